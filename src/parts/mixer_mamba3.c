/* mixer_mamba3.c - the Mamba-3 mixer, one input and one output a head (Lahoti et al. 2026).
 *
 *   z, x, B, C, dt, A, trap, angle = u W_in      one product, split by width
 *   k, q  = B and C, normalised, with a bias for each head, turned by angles that add up (rotary_bc)
 *   S_t   = e^(A dt) S_{t-1} + beta_t x_{t-1} k_{t-1}' + gamma_t x_t k_t'     the trapezoid's rule (trapezoid)
 *   y     = S q + D x, times silu(z); with is_outproj_norm normalised by head before the gate
 *   out   = y W_out
 *
 * There is no convolution: the rule sees two steps.  The recurrence is ssd with inputs that
 * bring ahead what the next step would add, less what step t must not see yet. */
#include "ops/binary/binary.h"
#include "ops/binary_row/binary_row.h"
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/rmsnorm/rmsnorm.h"
#include "ops/rotary_bc/rotary_bc.h"
#include "ops/slice_steps/slice_steps.h"
#include "ops/ssd/ssd.h"
#include "ops/trapezoid/trapezoid.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct mamba3 {
    int64_t d_state, expand, d_inner, headdim, ngroups, chunk_size;
    double rope_fraction, dt_min, dt_max, dt_init_floor, A_floor, norm_eps;
    bool is_outproj_norm, rope_halves;
} mamba3;

static const kr_key keys[] = {
    KR_KEY_INT(mamba3, d_state, 128, 2, 512, "size N of a head's state, per channel; even"),
    KR_KEY_INT(mamba3, expand, 2, 1, 64, "inner width over d_model"),
    KR_KEY_INT(mamba3, d_inner, 0, 0, 1 << 24, "inner width; 0: expand * d_model"),
    KR_KEY_INT(mamba3, headdim, 64, 1, 4096, "width P of a head"),
    KR_KEY_INT(mamba3, ngroups, 1, 1, 4096, "groups G of heads that share B and C before their biases"),
    KR_KEY_REAL(mamba3, rope_fraction, 0.5, 0, 1, "part of the state that turns"),
    KR_KEY_BOOL(mamba3, rope_halves, false, "pairs are i and i + N/2 (as the published MIMO models), not 2i and 2i + 1"),
    KR_KEY_REAL(mamba3, dt_min, 1e-3, 0, 1e3, "least step size drawn at initialisation"),
    KR_KEY_REAL(mamba3, dt_max, 0.1, 0, 1e3, "largest step size drawn at initialisation"),
    KR_KEY_REAL(mamba3, dt_init_floor, 1e-4, 0, 1e3, "lower bound of the drawn step sizes"),
    KR_KEY_REAL(mamba3, A_floor, 1e-4, 1e-30, 1e3, "least decay rate"),
    KR_KEY_REAL(mamba3, norm_eps, 1e-5, 0, 1, "epsilon of the norms inside"),
    KR_KEY_BOOL(mamba3, is_outproj_norm, false, "each head is normalised before its gate"),
    KR_KEY_INT(mamba3, chunk_size, 0, 0, 1 << 16, "steps computed as one block; 0: what is fastest here; the result is the same"),
    KR_KEY_END};

static kr_node *ones(kr_build *b, const char *scope, const char *name, int n_dims, const int64_t *dim) {
    if (scope) kr_scope_push(b->g, scope);
    kr_node *w = kr_weight(b->g, name, KR_NO_DECAY, n_dims, dim, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    if (scope) kr_scope_pop(b->g);
    return w;
}

/* rmsnorm over N of each group, [S, L, G, N]. */
static kr_node *normed(kr_build *b, kr_node *x, const char *name, int64_t G, int64_t N, double eps) {
    rmsnorm_attr a = {.eps = eps};
    if (G > 1) x = kr_split_last(b, kr_act(b, x, KR_UNARY_COPY), G, N); /* rows of a slice lie apart, its groups do not */
    x = KR_APPLY(b->g, rmsnorm, &a, x, ones(b, name, "weight", 1, &N));
    return G > 1 ? x : kr_split_last(b, x, 1, N);
}

static kr_node *times(kr_build *b, kr_node *x, kr_node *y) {
    binary_attr mul = {.kind = KR_BINARY_MUL};
    return KR_APPLY(b->g, binary, &mul, x, y);
}
static kr_node *step_of(kr_build *b, kr_node *x, int64_t at, int64_t width) {
    slice_steps_attr a = {.start = at, .count = 1};
    return KR_APPLY(b->g, slice_steps, &a, kr_reshape(b->g, x, 3, KR_DIMS(b->S, b->L, width)));
}

/* The state before the first step, with what the step before that one brings into it:
 * (1 - lam_1) step_1 x_0 k_0' (the decay of step 1 is still to come). */
static kr_node *carried(kr_build *b, kr_node *state, kr_node *trap, kr_node *step, kr_node *k, kr_node *x, int64_t H, int64_t P, int64_t N) {
    unary_attr minus = {.kind = KR_UNARY_SCALE, .alpha = -1};
    kr_node *k0 = kr_state(b->g, "k_state", 3, KR_DIMS(b->S, 1, H * N)), *x0 = kr_state(b->g, "x_state", 3, KR_DIMS(b->S, 1, H * P));
    kr_node *weight = times(b, kr_act(b, KR_APPLY(b->g, unary, &minus, trap), KR_UNARY_SIGMOID), step);
    kr_state_set_next(b->g, k0, step_of(b, k, -1, H * N));
    kr_state_set_next(b->g, x0, step_of(b, x, -1, H * P));
    return KR_APPLY(b->g, outer_add, NULL, state, kr_reshape(b->g, step_of(b, weight, 0, H), 2, KR_DIMS(b->S, H)),
                    kr_reshape(b->g, x0, 3, KR_DIMS(b->S, H, P)), kr_reshape(b->g, k0, 3, KR_DIMS(b->S, H, N)));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    const mamba3 *o = opt;
    kr_graph *g = b->g;
    int64_t E = o->d_inner ? o->d_inner : o->expand * b->d_model, P = o->headdim, H = E / P, G = o->ngroups, N = o->d_state;
    int64_t turning = (int64_t)((double)N * o->rope_fraction), J = turning / 2, W = G * N;
    if (E % P) return kr_graph_fail(g, KR_ERR_CONFIG, "mamba3: d_inner %lld is not a number of heads of headdim %lld", (long long)E, (long long)P);
    if (H % G) return kr_graph_fail(g, KR_ERR_CONFIG, "mamba3: %lld heads do not split into ngroups %lld", (long long)H, (long long)G);
    if (N % 2 || J < 1) return kr_graph_fail(g, KR_ERR_CONFIG, "mamba3: d_state %lld with rope_fraction %g turns no pair; want d_state even and a pair at least", (long long)N, o->rope_fraction);

    kr_node *p = kr_linear(b, u, "in_proj", 2 * E + 2 * W + 3 * H + J, false);
    int64_t at = 2 * E + 2 * W;
    kr_node *z = kr_columns(g, p, 0, E), *x = kr_split_last(b, kr_columns(g, p, E, E), H, P), *trap = kr_columns(g, p, at + 2 * H, H);
    kr_node *B = normed(b, kr_columns(g, p, 2 * E, W), "B_norm", G, N, o->norm_eps), *C = normed(b, kr_columns(g, p, 2 * E + W, W), "C_norm", G, N, o->norm_eps);

    kr_node *dt_bias = kr_weight(g, "dt_bias", KR_NO_DECAY, 1, &H, (kr_init){KR_INIT_DT_BIAS, o->dt_min, o->dt_max, o->dt_init_floor, NULL});
    kr_node *t[KR_MAX_OUT] = {NULL}, *r[KR_MAX_OUT] = {NULL}, *out[KR_MAX_OUT] = {NULL};
    trapezoid_attr ta = {.A_floor = o->A_floor};
    kr_apply(g, &kr_op_trapezoid, &ta, (kr_node *const[KR_MAX_IN]){kr_columns(g, p, at, H), kr_columns(g, p, at + H, H), trap, dt_bias, b->seq_idx}, t);

    kr_node *bias[2];
    for (int i = 0; i < 2; i++) bias[i] = kr_reshape(g, ones(b, NULL, i ? "C_bias" : "B_bias", 3, KR_DIMS(H, 1, N)), 2, KR_DIMS(H, N));
    kr_node *phi = b->stateful ? kr_state(g, "angle_state", 3, KR_DIMS(b->S, H, J)) : NULL;
    rotary_bc_attr ra = {.halves = o->rope_halves};
    kr_apply(g, &kr_op_rotary_bc, &ra, (kr_node *const[KR_MAX_IN]){B, C, bias[0], bias[1], kr_columns(g, p, at + 3 * H, J), t[TRAPEZOID_STEP], phi, b->seq_idx}, r);
    if (phi && r[ROTARY_PHI]) kr_state_set_next(g, phi, r[ROTARY_PHI]);

    kr_node *state = b->stateful ? kr_state(g, "ssm_state", 4, KR_DIMS(b->S, H, P, N)) : NULL;
    kr_node *h0 = state ? carried(b, state, trap, t[TRAPEZOID_STEP], r[ROTARY_K], kr_act(b, kr_columns(g, p, E, E), KR_UNARY_COPY), H, P, N) : NULL;
    ssd_attr a;
    kr_attr_defaults(&kr_op_ssd, &a);
    a.dt_softplus = 0;
    a.dt_max = INFINITY;
    a.chunk_size = o->chunk_size;
    kr_node *unit = kr_act(b, kr_input(g, "zero", KR_F32, 1, &H), KR_UNARY_NEG_EXP); /* -1: inputs start as zeros */
    kr_node *y = kr_apply(g, &kr_op_ssd, &a, (kr_node *const[KR_MAX_IN]){
        [SSD_X] = KR_APPLY(g, scale_heads, NULL, x, t[TRAPEZOID_RATIO]), [SSD_DT] = t[TRAPEZOID_DECAY], [SSD_A] = unit, [SSD_B] = r[ROTARY_K],
        [SSD_C] = r[ROTARY_Q], [SSD_H0] = h0, [SSD_SEQ_IDX] = b->seq_idx}, out);
    if (y && state) kr_state_set_next(g, state, out[SSD_H]);

    /* y + (D - ahead k.q) x */
    binary_attr sub = {.kind = KR_BINARY_SUB};
    binary_row_attr less = {.kind = KR_BINARY_ROW_SUB};
    kr_node *early = KR_APPLY(g, binary_row, &less, times(b, t[TRAPEZOID_AHEAD], r[ROTARY_KQ]), ones(b, NULL, "D", 1, &H));
    y = KR_APPLY(g, binary, &sub, y, KR_APPLY(g, scale_heads, NULL, x, early));
    y = kr_reshape(g, y, 3, KR_DIMS(b->S, b->L, E));
    if (o->is_outproj_norm) {
        gated_rmsnorm_attr n = {.eps = o->norm_eps, .group_size = P, .norm_before_gate = true};
        y = KR_APPLY(g, gated_rmsnorm, &n, y, z, ones(b, "norm", "weight", 1, &E));
    } else {
        y = times(b, y, kr_act(b, z, KR_UNARY_SILU));
    }
    return kr_linear_out(b, y, "out_proj", b->d_model, false);
}

const kr_part kr_part_mixer_mamba3 = {.kind = "mixer", .name = "mamba3", .about = "trapezoidal rule, turning states, no convolution (single input, single output)",
                                      .bytes = sizeof(mamba3), .keys = keys, .causal = true, .build = build};
