/* unary.c - a function of each element: y = f(x).
 *
 *   0 silu      x sigmoid(x)            4 sigmoid   1 / (1 + exp(-x))      8 neg_exp  -exp(x)
 *   1 gelu      x Phi(x), by erf        5 tanh                             9 copy     x
 *   2 gelu_tanh its tanh likeness       6 softplus  log(1 + exp(x)),      10 scale    alpha x
 *   3 relu      max(x, 0)                           x itself above 20
 *                                       7 exp                             11 recip    1 / (x + alpha) */
#include "ops/unary/unary.h"

KR_REF_DECLARE(unary_fwd);
KR_REF_DECLARE(unary_bwd);
KR_VEC_DECLARE(unary_fwd);
KR_VEC_DECLARE(unary_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(unary_attr, kind, 0, "which function: 0 silu, 1 gelu, 2 gelu_tanh, 3 relu, 4 sigmoid, 5 tanh, "
                                     "6 softplus, 7 exp, 8 neg_exp, 9 copy, 10 scale, 11 recip"),
    KR_ATTR_REAL(unary_attr, alpha, 1, "the factor of scale; what recip adds to x"),
    KR_ATTR_END,
};

static kr_status unary_plan(kr_call *c) {
    int64_t kind = ((const unary_attr *)c->attr)->kind;
    if (kind < 0 || kind >= KR_N_UNARY)
        KR_FAIL(KR_ERR_ARG, "unary: kind is %lld, want 0 to %d", (long long)kind, KR_N_UNARY - 1);
    return KR_OK;
}

const kr_op kr_op_unary = {
    .name = "unary",
    .sig = "x:*D -> y:*D",
    .about = "a function of each element (kind)",
    .attr_bytes = sizeof(unary_attr),
    .attrs = attrs,
    .plan = unary_plan,
    .fwd = {[KR_REF] = unary_fwd_ref_f32, KR_VEC_IMPLS(unary_fwd)},
    .bwd = {[KR_REF] = unary_bwd_ref_f32, KR_VEC_IMPLS(unary_bwd)},
    .fwd_f64 = unary_fwd_ref_f64,
    .bwd_f64 = unary_bwd_ref_f64,
    .bwd_in = 1 << UNARY_X,
};
