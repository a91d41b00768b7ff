/* mixer_s4d.c - S4D (Gu et al. 2022) in the block of Mamba: what a selective scan is
 * compared with, the same everywhere but for A, B, C and dt, which do not look at the input.
 *
 *   x, z = u W_in                     one product, split by width
 *   x    = silu(conv1d(x))
 *   y    = lti_scan(x; dt, A, C, D) * silu(z)
 *   out  = y W_out
 *
 * A state of d_state numbers is d_state / 2 conjugate pairs, or d_state real modes. */
#include "ops/ops.h"
#include "parts/hippo.h"

#include <math.h>
#include <string.h>

#include "ops/binary/binary.h"
#include "ops/lti_scan/lti_scan.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct s4d {
    int64_t d_state, d_conv, expand, d_inner;
    double dt_min, dt_max;
    int init, disc;
    bool conv_bias, bias;
} s4d;

static const kr_key keys[] = {
    KR_KEY_INT(s4d, d_state, 16, 1, 4096, "numbers N in each channel's state; even, unless init is real"),
    KR_KEY_INT(s4d, d_conv, 4, 0, 8, "taps K of the short convolution; 0: none"),
    KR_KEY_INT(s4d, expand, 2, 1, 64, "inner width over d_model"),
    KR_KEY_INT(s4d, d_inner, 0, 0, 1 << 24, "inner width E; 0: expand * d_model"),
    KR_KEY_CHOICE(s4d, init, "lin|legs|inv|real|random", "eigenvalues A starts from, as S4D names them"),
    KR_KEY_CHOICE(s4d, disc, "zoh|euler|bilinear|mamba", "discretisation"),
    KR_KEY_REAL(s4d, dt_min, 1e-3, 1e-9, 1e3, "least step size drawn at initialisation"),
    KR_KEY_REAL(s4d, dt_max, 0.1, 1e-9, 1e3, "largest step size drawn at initialisation"),
    KR_KEY_BOOL(s4d, conv_bias, true, "the convolution has a bias"),
    KR_KEY_BOOL(s4d, bias, false, "in_proj and out_proj have a bias"),
    KR_KEY_END};

/* A as -exp(A_log) + i A_imag, so that it stays stable; A_imag NULL for real modes. */
static kr_status spectrum(kr_build *b, const s4d *o, int64_t E, int64_t n, kr_node **re, kr_node **im) {
    static const kr_s4d kinds[] = {KR_S4D_LIN, KR_S4D_LEGS, KR_S4D_INV, KR_S4D_REAL, KR_S4D_RANDOM};
    double *x = kr_mem_array((size_t)n, 2 * sizeof *x);
    float *row = kr_mem_array((size_t)n, 2 * sizeof *row);
    kr_status st = x && row ? kr_s4d_init(kinds[o->init], n, (uint64_t)b->layer, x, x + n) : KR_ERR_NOMEM;
    if (st == KR_OK) {
        for (int64_t i = 0; i < n; i++) row[i] = (float)log(-x[i]), row[n + i] = (float)x[n + i];
        *re = kr_decay(b, 2, KR_DIMS(E, n), (kr_init){.kind = KR_INIT_ROW, .row = row});
        *im = kinds[o->init] == KR_S4D_REAL ? NULL : kr_weight(b->g, "A_imag", KR_NO_DECAY, 2, KR_DIMS(E, n), (kr_init){.kind = KR_INIT_ROW, .row = row + n});
    }
    kr_mem_free(x);
    kr_mem_free(row);
    return st;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const s4d *o = opt;
    bool real = o->init == 3;
    int64_t E = o->d_inner ? o->d_inner : o->expand * b->d_model, n = real ? o->d_state : o->d_state / 2;
    kr_graph *g = b->g;
    if (!real && o->d_state % 2) return kr_graph_fail(g, KR_ERR_CONFIG, "s4d: d_state %lld is odd, but conjugate pairs have two numbers each", (long long)o->d_state);
    if (o->d_conv == 1) return kr_graph_fail(g, KR_ERR_CONFIG, "s4d: d_conv is 1, want 0 for none, or 2 to 8");

    kr_node *xz = kr_linear(b, x, "in_proj", 2 * E, o->bias), *u = kr_columns(g, xz, 0, E), *are = NULL, *aim = NULL;
    if (o->d_conv) u = kr_conv1d(b, u, o->d_conv, o->conv_bias, 0);
    kr_status st = spectrum(b, o, E, n, &are, &aim);
    if (st != KR_OK) return kr_graph_fail(g, st, "%s", kr_error());
    kr_init c = {KR_INIT_NORMAL, sqrt(0.5), 0, 0, NULL}, dt = {KR_INIT_UNIFORM, log(o->dt_min), log(o->dt_max), 0, NULL};
    kr_node *in[KR_MAX_IN] = {[LTI_U] = u, [LTI_ARE] = are, [LTI_AIM] = aim, [LTI_SEQ_IDX] = b->seq_idx}, *out[KR_MAX_OUT];
    in[LTI_LOG_DT] = kr_weight(g, "log_dt", KR_NO_DECAY, 1, &E, dt);
    in[LTI_CRE] = kr_weight(g, "C_real", KR_NO_DECAY, 2, KR_DIMS(E, n), c);
    if (!real) in[LTI_CIM] = kr_weight(g, "C_imag", KR_NO_DECAY, 2, KR_DIMS(E, n), c);
    in[LTI_D] = kr_weight(g, "D", KR_NO_DECAY, 1, &E, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    if (b->stateful) {
        in[LTI_H0RE] = kr_state(g, "ssm_state", 3, KR_DIMS(b->S, E, n));
        if (!real) in[LTI_H0IM] = kr_state(g, "ssm_state_imag", 3, KR_DIMS(b->S, E, n));
    }
    lti_scan_attr a = {.disc = o->disc};
    kr_scan scan = {.op = &kr_op_lti_scan, .attr = &a, .u = x, .E = E};
    memcpy(scan.in, in, sizeof in);
    kr_node *y = kr_read_out(b, &scan, out);
    if (y && b->stateful) {
        kr_state_set_next(g, in[LTI_H0RE], out[LTI_HRE]);
        if (!real) kr_state_set_next(g, in[LTI_H0IM], out[LTI_HIM]);
    }
    binary_attr mul = {.kind = KR_BINARY_MUL};
    y = KR_APPLY(g, binary, &mul, y, kr_act(b, kr_columns(g, xz, E, E), KR_UNARY_SILU));
    return kr_linear_out(b, y, "out_proj", b->d_model, o->bias);
}

const kr_part kr_part_mixer_s4d = {.kind = "mixer", .name = "s4d", .about = "time-invariant diagonal state space (S4D) with a short convolution and a gate",
                                   .bytes = sizeof(s4d), .keys = keys, .causal = true, .build = build};
