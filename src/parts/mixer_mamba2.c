/* mixer_mamba2.c - the Mamba-2 mixer (Dao & Gu 2024, fig. 6 right).
 *
 *   z0, x0, z, xBC, dt = u W_in              one product, split by width; z0, x0 if d_ssm < d_inner
 *   x, B, C            = silu(conv1d(xBC))
 *   y   = ssd(x, clamp(softplus(dt + dt_bias)), A, B, C, D)
 *   y   = rmsnorm(y * silu(z))               or rmsnorm(y) * silu(z); without rmsnorm y * silu(z)
 *   out = [silu(z0) * x0, y] W_out
 *
 * int8_inputs, hadamard: the recipe of Quamba (Chiang et al. 2024), see docs/quantization.md. */
#include "ops/binary/binary.h"
#include "ops/binary_row/binary_row.h"
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/linear/linear.h"
#include "ops/ops.h"
#include "ops/ssd/ssd.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct mamba2 {
    int64_t d_state, d_conv, expand, d_inner, headdim, d_ssm, ngroups, chunk_size;
    double A_init_min, A_init_max, dt_min, dt_max, dt_init_floor, dt_limit_min, dt_limit_max, norm_eps, conv_init;
    double z_scale, x_scale, B_scale, C_scale, dt_scale;
    bool D_has_hdim, rmsnorm, norm_before_gate, group_norm, bias, conv_bias, learnable_init_states, int8_inputs, hadamard;
} mamba2;

static const kr_key keys[] = {
    KR_KEY_INT(mamba2, d_state, 128, 1, 4096, "size N of a head's state, per channel"),
    KR_KEY_INT(mamba2, d_conv, 4, 2, 8, "taps K of the short convolution"),
    KR_KEY_INT(mamba2, expand, 2, 1, 64, "inner width over d_model"),
    KR_KEY_INT(mamba2, d_inner, 0, 0, 1 << 24, "inner width; 0: expand * d_model"),
    KR_KEY_INT(mamba2, headdim, 64, 1, 4096, "width P of a head"),
    KR_KEY_INT(mamba2, d_ssm, 0, 0, 1 << 24, "inner channels that go through the state space; 0: all"),
    KR_KEY_INT(mamba2, ngroups, 1, 1, 4096, "groups G of heads that share B and C"),
    KR_KEY_REAL(mamba2, A_init_min, 1, 1e-6, 1e6, "least decay rate drawn at initialisation"),
    KR_KEY_REAL(mamba2, A_init_max, 16, 1e-6, 1e6, "largest decay rate drawn at initialisation"),
    KR_KEY_BOOL(mamba2, D_has_hdim, false, "D per channel instead of per head"),
    KR_KEY_BOOL(mamba2, rmsnorm, true, "normalise before out_proj"),
    KR_KEY_BOOL(mamba2, norm_before_gate, false, "rmsnorm(y) * silu(z) instead of rmsnorm(y * silu(z))"),
    KR_KEY_BOOL(mamba2, group_norm, true, "each of the ngroups is normalised by itself; false: all channels together"),
    KR_KEY_REAL(mamba2, norm_eps, 1e-5, 0, 1, "epsilon of that norm"),
    KR_KEY_REAL(mamba2, dt_min, 1e-3, 0, 1e3, "least step size drawn at initialisation"),
    KR_KEY_REAL(mamba2, dt_max, 0.1, 0, 1e3, "largest step size drawn at initialisation"),
    KR_KEY_REAL(mamba2, dt_init_floor, 1e-4, 0, 1e3, "lower bound of the drawn step sizes"),
    KR_KEY_REAL(mamba2, dt_limit_min, 0, 0, INFINITY, "step sizes below are raised to this"),
    KR_KEY_REAL(mamba2, dt_limit_max, INFINITY, 0, INFINITY, "step sizes above are cut to this"),
    KR_KEY_REAL(mamba2, conv_init, 0, 0, 1e3, "range of conv1d.weight at initialisation; 0: d_conv^-0.5"),
    KR_KEY_REAL(mamba2, z_scale, 1, -1e6, 1e6, "factor of z as in_proj gives it"),
    KR_KEY_REAL(mamba2, x_scale, 1, -1e6, 1e6, "... of x"),
    KR_KEY_REAL(mamba2, B_scale, 1, -1e6, 1e6, "... of B"),
    KR_KEY_REAL(mamba2, C_scale, 1, -1e6, 1e6, "... of C"),
    KR_KEY_REAL(mamba2, dt_scale, 1, -1e6, 1e6, "... of dt"),
    KR_KEY_BOOL(mamba2, bias, false, "in_proj and out_proj have a bias"),
    KR_KEY_BOOL(mamba2, conv_bias, true, "the convolution has a bias"),
    KR_KEY_BOOL(mamba2, learnable_init_states, false, "the state starts from learnt values, not from zero; not for several documents in a row"),
    KR_KEY_BOOL(mamba2, int8_inputs, false, "products and the scan's x have one scale each for eight bits, which krait quantize --format w8a8 finds"),
    KR_KEY_BOOL(mamba2, hadamard, false, "out_proj reads its input rotated by Hadamard's matrix, as its weights were"),
    KR_KEY_INT(mamba2, chunk_size, 0, 0, 1 << 16, "steps computed as one block; 0: what is fastest here; the result is the same"),
    KR_KEY_END};

/* state + fresh learnt: a row that was reset (its state is zero then) starts from the learnt
 * values, and only such rows send a gradient to them.  A reset puts 0 into `carried`, too. */
static kr_node *learnt_where_fresh(kr_build *b, kr_node *state, kr_node *learnt, int64_t n) {
    unary_attr exp = {.kind = KR_UNARY_EXP};
    binary_attr sub = {.kind = KR_BINARY_SUB};
    kr_node *one = KR_APPLY(b->g, unary, &exp, kr_input(b->g, "zero", KR_F32, 2, KR_DIMS(b->S, 1))); /* inputs start as zeros */
    kr_node *carried = kr_state(b->g, "ssm_carried", 2, KR_DIMS(b->S, 1));
    kr_state_set_next(b->g, carried, one);
    kr_node *fresh = KR_APPLY(b->g, binary, &sub, one, carried);
    return kr_add(b, state, KR_APPLY(b->g, linear, NULL, fresh, kr_reshape(b->g, learnt, 2, KR_DIMS(n, 1))));
}

static kr_node *initial_state(kr_build *b, const mamba2 *o, int64_t H, int64_t P, int64_t N, kr_node **state) {
    kr_node *learnt = NULL, *h0;
    *state = NULL;
    if (o->learnable_init_states) learnt = kr_weight(b->g, "init_states", KR_NO_DECAY, 3, KR_DIMS(H, P, N), (kr_init){0});
    if (b->stateful) *state = (learnt ? kr_state : kr_state_low)(b->g, "ssm_state", 4, KR_DIMS(b->S, H, P, N)); /* a start is float32 */
    if (!learnt) return *state;
    if (b->stateful && !kr_graph_get_options(b->g)->training) {
        kr_state_set_start(b->g, *state, learnt);
        return *state;
    }
    if (b->stateful) {
        h0 = learnt_where_fresh(b, kr_reshape(b->g, *state, 2, KR_DIMS(b->S, H * P * N)), learnt, H * P * N);
    } else {
        kr_node *zero = kr_input(b->g, "zero_state", KR_F32, 2, KR_DIMS(b->S, H * P * N));
        h0 = KR_APPLY(b->g, binary_row, NULL, zero, kr_reshape(b->g, learnt, 1, KR_DIMS(H * P * N)));
    }
    return kr_reshape(b->g, h0, 4, KR_DIMS(b->S, H, P, N));
}

static kr_node *gated(kr_build *b, kr_node *y, kr_node *z) {
    binary_attr mul = {.kind = KR_BINARY_MUL};
    return KR_APPLY(b->g, binary, &mul, y, kr_act(b, z, KR_UNARY_SILU));
}

/* The factors of the pieces of in_proj's output, behind the Em2 columns of z0 and x0. */
static kr_node *scaled(kr_build *b, const mamba2 *o, kr_node *p, int64_t Em2, int64_t Es, int64_t GN, int64_t H) {
    const double scale[] = {1, o->z_scale, o->x_scale, o->B_scale, o->C_scale, o->dt_scale};
    const int64_t width[] = {Em2, Es, Es, GN, GN, H};
    binary_row_attr mul = {.kind = KR_BINARY_ROW_MUL};
    kr_piece piece[6];
    bool any = false;
    for (int i = 0; i < 6; i++) piece[i] = (kr_piece){width[i], (float)scale[i]}, any = any || scale[i] != 1;
    return any ? KR_APPLY(b->g, binary_row, &mul, p, kr_const_pieces(b->g, piece, 6)) : p;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    const mamba2 *o = opt;
    int64_t E = o->d_inner ? o->d_inner : o->expand * b->d_model, Es = o->d_ssm ? o->d_ssm : E, Em = E - Es;
    int64_t P = o->headdim, H = Es / P, G = o->ngroups, N = o->d_state, W = Es + 2 * G * N;
    kr_graph *g = b->g;
    if (Es % P || Em < 0)
        return kr_graph_fail(g, KR_ERR_CONFIG, "mamba2: d_ssm %lld of d_inner %lld is not a number of heads of headdim %lld", (long long)Es, (long long)E, (long long)P);
    if (H % G) return kr_graph_fail(g, KR_ERR_CONFIG, "mamba2: %lld heads do not split into ngroups %lld", (long long)H, (long long)G);
    if (o->dt_limit_min > o->dt_limit_max)
        return kr_graph_fail(g, KR_ERR_CONFIG, "mamba2: dt_limit_min %g is above dt_limit_max %g", o->dt_limit_min, o->dt_limit_max);
    if (o->learnable_init_states && b->seq_idx)
        return kr_graph_fail(g, KR_ERR_CONFIG, "mamba2: learnable_init_states starts a row, but ssd starts each further document packed into it "
                             "from zero; train on one document, or set learnable_init_states to false");

    b->input_scales = o->int8_inputs;
    kr_node *p = kr_linear(b, u, "in_proj", 2 * Em + Es + W + H, o->bias);
    p = scaled(b, o, p, 2 * Em, Es, G * N, H);
    kr_node *z = kr_columns(g, p, 2 * Em, Es), *dt = kr_columns(g, p, 2 * Em + Es + W, H);
    kr_node *xbc = kr_conv1d(b, kr_columns(g, p, 2 * Em + Es, W), o->d_conv, o->conv_bias, o->conv_init);
    kr_node *x = kr_columns(g, xbc, 0, Es);
    x = kr_split_last(b, o->int8_inputs ? kr_round8(b, x) : x, H, P);
    kr_node *B = kr_split_last(b, kr_columns(g, xbc, Es, G * N), G, N);
    kr_node *C = kr_split_last(b, kr_columns(g, xbc, Es + G * N, G * N), G, N);

    kr_node *dt_bias = kr_weight(g, "dt_bias", KR_NO_DECAY, 1, &H, (kr_init){KR_INIT_DT_BIAS, o->dt_min, o->dt_max, o->dt_init_floor, NULL});
    kr_node *A = kr_decay(b, 1, &H, (kr_init){KR_INIT_LOG_UNIFORM, o->A_init_min, o->A_init_max, 0, NULL});
    kr_node *D = kr_weight(g, "D", KR_NO_DECAY, 1, o->D_has_hdim ? &Es : &H, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    kr_node *state, *h0 = initial_state(b, o, H, P, N, &state), *out[KR_MAX_OUT];
    kr_scan scan = {.op = &kr_op_ssd, .u = u, .E = Es, .in = {
        [SSD_X] = x, [SSD_DT] = dt, [SSD_A] = A, [SSD_B] = B, [SSD_C] = C, [SSD_DT_BIAS] = dt_bias, [SSD_H0] = h0, [SSD_SEQ_IDX] = b->seq_idx,
        [SSD_D] = o->D_has_hdim ? NULL : D, [SSD_DHP] = o->D_has_hdim ? kr_reshape(g, D, 2, KR_DIMS(H, P)) : NULL}};
    ssd_attr a;
    kr_attr_defaults(&kr_op_ssd, &a);
    a.dt_min = o->dt_limit_min;
    a.dt_max = o->dt_limit_max;
    a.chunk_size = o->chunk_size;
    scan.attr = &a;
    kr_node *y = kr_read_out(b, &scan, out);
    if (y && state) kr_state_set_next(g, state, out[SSD_H]);
    y = kr_reshape(g, y, 3, KR_DIMS(b->S, b->L, Es));

    if (o->rmsnorm) {
        gated_rmsnorm_attr n = {.eps = o->norm_eps, .group_size = o->group_norm ? Es / G : Es, .norm_before_gate = o->norm_before_gate};
        kr_scope_push(g, "norm");
        kr_node *w = kr_weight(g, "weight", KR_NO_DECAY, 1, &Es, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
        kr_scope_pop(g);
        y = KR_APPLY(g, gated_rmsnorm, &n, y, z, w);
    } else {
        y = gated(b, y, z);
    }
    if (Em) y = KR_APPLY(g, concat, NULL, gated(b, kr_columns(g, p, Em, Em), kr_columns(g, p, 0, Em)), y);
    if (o->hadamard) y = KR_APPLY(g, hadamard, NULL, y);
    y = kr_linear_out(b, y, "out_proj", b->d_model, o->bias);
    b->input_scales = false;
    return y;
}

const kr_part kr_part_mixer_mamba2 = {.kind = "mixer", .name = "mamba2", .about = "state-space duality (SSD): one decay per head, computed by products",
                                      .bytes = sizeof(mamba2), .keys = keys, .causal = true, .build = build};
