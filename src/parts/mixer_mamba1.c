/* mixer_mamba1.c - the Mamba-1 mixer (Gu & Dao 2023, fig. 3 and alg. 2).
 *
 *   x, z   = u W_in                          one product, split by width
 *   x      = silu(conv1d(x))
 *   dt,B,C = x W_x                           of widths R, N, N
 *   y      = selective_scan(x, softplus(dt W_dt + b_dt), A, B, C, D) * silu(z)
 *   out    = y W_out
 *
 * forget_gate: what the gate keeps from y it lets in of x (Bi-Mamba+: Liang et al. 2024),
 *
 *   y      = scan(..) silu(z) + x (1 - sigmoid(z))
 *
 * Falcon-Mamba normalises dt, B and C by their root mean square (rms_norm_dt_bc); Jamba does so
 * with weights (dt_bc_weights).
 *
 * int8_inputs, hadamard: the recipe of Quamba (Chiang et al. 2024), see docs/quantization.md. */
#include <math.h>

#include "ops/binary/binary.h"
#include "ops/glu/glu.h"
#include "ops/ops.h"
#include "ops/rmsnorm/rmsnorm.h"
#include "ops/selective_scan/selective_scan.h"
#include "parts/part.h"

typedef struct mamba1 {
    int64_t d_state, d_conv, expand, d_inner, dt_rank;
    double dt_min, dt_max, dt_scale, dt_init_floor, bc_dt_rms_eps;
    int dt_init;
    bool conv_bias, bias, rms_norm_dt_bc, dt_bc_weights, forget_gate, int8_inputs, hadamard;
} mamba1;

static const kr_key keys[] = {
    KR_KEY_INT(mamba1, d_state, 16, 1, 4096, "size N of each channel's state"),
    KR_KEY_INT(mamba1, d_conv, 4, 2, 8, "taps K of the short convolution"),
    KR_KEY_INT(mamba1, expand, 2, 1, 64, "inner width over d_model"),
    KR_KEY_INT(mamba1, d_inner, 0, 0, 1 << 24, "inner width E; 0: expand * d_model"),
    KR_KEY_INT(mamba1, dt_rank, 0, 0, 1 << 20, "rank R of the step size; 0: d_model / 16, rounded up"),
    KR_KEY_REAL(mamba1, dt_min, 1e-3, 0, 1e3, "least step size drawn at initialisation"),
    KR_KEY_REAL(mamba1, dt_max, 0.1, 0, 1e3, "largest step size drawn at initialisation"),
    KR_KEY_CHOICE(mamba1, dt_init, "random|constant", "how dt_proj.weight is drawn"),
    KR_KEY_REAL(mamba1, dt_scale, 1, 0, 1e3, "factor of dt_proj.weight's range R^-0.5"),
    KR_KEY_REAL(mamba1, dt_init_floor, 1e-4, 0, 1e3, "lower bound of the drawn step sizes"),
    KR_KEY_BOOL(mamba1, conv_bias, true, "the convolution has a bias"),
    KR_KEY_BOOL(mamba1, bias, false, "in_proj and out_proj have a bias"),
    KR_KEY_BOOL(mamba1, rms_norm_dt_bc, false, "normalise dt, B and C, as Falcon-Mamba does"),
    KR_KEY_BOOL(mamba1, dt_bc_weights, false, "... and with weights, as Jamba does"),
    KR_KEY_REAL(mamba1, bc_dt_rms_eps, 1e-6, 0, 1, "epsilon of that normalisation"),
    KR_KEY_BOOL(mamba1, forget_gate, false, "what the gate keeps from y it lets in of x, as Bi-Mamba+ does"),
    KR_KEY_BOOL(mamba1, int8_inputs, false, "products and the scan's x have one scale each for eight bits, which krait quantize --format w8a8 finds"),
    KR_KEY_BOOL(mamba1, hadamard, false, "out_proj reads its input rotated by Hadamard's matrix, as its weights were"),
    KR_KEY_END};

/* y silu(z) + u (1 - sigmoid(z)) */
static kr_node *forget(kr_build *b, kr_node *y, kr_node *u, kr_node *z) {
    glu_attr silu = {.kind = KR_GLU_SILU}, sigmoid = {.kind = KR_GLU_SIGMOID};
    binary_attr minus = {.kind = KR_BINARY_SUB};
    y = KR_APPLY(b->g, glu, &silu, y, z);
    return kr_add(b, y, KR_APPLY(b->g, binary, &minus, u, KR_APPLY(b->g, glu, &sigmoid, u, z)));
}

static kr_node *normalised(kr_build *b, const mamba1 *o, kr_node *x, const char *name) {
    rmsnorm_attr a = {.eps = o->bc_dt_rms_eps};
    if (!o->rms_norm_dt_bc) return x;
    return o->dt_bc_weights ? kr_rmsnorm(b, x, name, o->bc_dt_rms_eps) : KR_APPLY(b->g, rmsnorm, &a, x);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const mamba1 *o = opt;
    int64_t E = o->d_inner ? o->d_inner : o->expand * b->d_model, N = o->d_state;
    int64_t R = o->dt_rank ? o->dt_rank : (b->d_model + 15) / 16;
    double r = o->dt_scale / sqrt((double)R);
    kr_graph *g = b->g;

    b->input_scales = o->int8_inputs;
    kr_node *xz = kr_linear(b, x, "in_proj", 2 * E, o->bias);
    kr_node *z = kr_columns(g, xz, E, E);
    kr_node *u = kr_conv1d(b, kr_columns(g, xz, 0, E), o->d_conv, o->conv_bias, 0);
    if (o->int8_inputs) u = kr_round8(b, u);
    kr_node *dbc = kr_linear(b, u, "x_proj", R + 2 * N, false);
    kr_node *dt = normalised(b, o, kr_columns(g, dbc, 0, R), "dt_norm");
    kr_node *B = normalised(b, o, kr_columns(g, dbc, R, N), "B_norm");
    kr_node *C = normalised(b, o, kr_columns(g, dbc, R + N, N), "C_norm");

    kr_scope_push(g, "dt_proj");
    kr_init w = o->dt_init ? (kr_init){KR_INIT_CONST, r, 0, 0, NULL} : (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL};
    kr_node *W = kr_weight(g, "weight", KR_MATRIX, 2, KR_DIMS(E, R), w);
    kr_node *dt_bias = kr_weight(g, "bias", KR_NO_DECAY, 1, &E, (kr_init){KR_INIT_DT_BIAS, o->dt_min, o->dt_max, o->dt_init_floor, NULL});
    kr_node *dt_scale = o->int8_inputs ? kr_input_scale(b, "input_scale") : NULL;
    kr_scope_pop(g);
    dt = KR_APPLY(g, linear, NULL, dt, W, NULL, dt_scale);

    kr_node *A = kr_decay(b, 2, KR_DIMS(E, N), (kr_init){KR_INIT_LOG_COUNT, 0, 0, 0, NULL});
    kr_node *D = kr_weight(g, "D", KR_NO_DECAY, 1, &E, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    kr_node *h0 = b->stateful ? kr_state_low(g, "ssm_state", 3, KR_DIMS(b->S, E, N)) : NULL, *out[KR_MAX_OUT];
    kr_node *gate = o->forget_gate || kr_has_memory(b) ? NULL : z; /* a memory rule reads out what the gate then gates */
    kr_scan scan = {.op = &kr_op_selective_scan, .u = x, .E = E,
                    .in = {u, dt, A, kr_split_last(b, B, 1, N), kr_split_last(b, C, 1, N), D, gate, dt_bias, h0, b->seq_idx}};
    kr_node *y = kr_read_out(b, &scan, out);
    if (y && h0) kr_state_set_next(g, h0, out[SCAN_H]);
    if (o->forget_gate) y = forget(b, y, u, z);
    else if (!gate) y = KR_APPLY(g, glu, &(glu_attr){.kind = KR_GLU_SILU}, y, z);
    if (o->hadamard) y = KR_APPLY(g, hadamard, NULL, y);
    y = kr_linear_out(b, y, "out_proj", b->d_model, o->bias);
    b->input_scales = false;
    return y;
}

const kr_part kr_part_mixer_mamba1 = {.kind = "mixer", .name = "mamba1", .about = "selective state space (S6) with a short convolution and a gate",
                                      .bytes = sizeof(mamba1), .keys = keys, .causal = true, .build = build};
