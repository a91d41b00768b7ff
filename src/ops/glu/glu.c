/* glu.c - a gated unit (Shazeer 2020): y = x f(gate), element by element.
 *
 *   0 silu (SwiGLU)   1 gelu (GeGLU)   2 gelu_tanh   3 relu (ReGLU)   4 sigmoid (GLU)
 *
 * One pass, and nothing between x and y is kept.  relu of x times x is its square. */
#include "ops/glu/glu.h"

KR_REF_DECLARE(glu_fwd);
KR_REF_DECLARE(glu_bwd);
KR_VEC_DECLARE(glu_fwd);
KR_VEC_DECLARE(glu_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(glu_attr, kind, 0, "which function of the gate: 0 silu, 1 gelu, 2 gelu_tanh, 3 relu, 4 sigmoid"),
    KR_ATTR_END,
};

static kr_status glu_plan(kr_call *c) {
    int64_t kind = ((const glu_attr *)c->attr)->kind;
    if (kind < 0 || kind >= KR_N_GLU) KR_FAIL(KR_ERR_ARG, "glu: kind is %lld, want 0 to %d", (long long)kind, KR_N_GLU - 1);
    return KR_OK;
}

const kr_op kr_op_glu = {
    .name = "glu",
    .sig = "x:*D gate:*D -> y:*D",
    .about = "x times a function of a gate (kind)",
    .attr_bytes = sizeof(glu_attr),
    .attrs = attrs,
    .plan = glu_plan,
    .fwd = {[KR_REF] = glu_fwd_ref_f32, KR_VEC_IMPLS(glu_fwd)},
    .bwd = {[KR_REF] = glu_bwd_ref_f32, KR_VEC_IMPLS(glu_bwd)},
    .fwd_f64 = glu_fwd_ref_f64,
    .bwd_f64 = glu_bwd_ref_f64,
    .bwd_in = 1 << GLU_X | 1 << GLU_GATE,
};
