/* moe_route.c - to which K of X experts a row goes, and with what weights.
 *
 *   p    = softmax(logits), or sigmoid(logits) one by one
 *   idx  = the K largest of p (+ bias), largest first; of equals the first; with bias_logits of logits + bias
 *   w    = scale p[idx], with `normalise` scale p[idx] / their sum
 *
 * The bias only chooses (DeepSeek-V3): it has no gradient, and w is without it.  Every row is
 * served: nothing is dropped. */
#include "ops/moe_route/moe_route.h"

KR_REF_DECLARE(moe_route_fwd);
KR_REF_DECLARE(moe_route_bwd);
KR_VEC_DECLARE(moe_route_fwd);
KR_VEC_DECLARE(moe_route_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(moe_route_attr, k, 2, "experts K for each row"),
    KR_ATTR_INT(moe_route_attr, gate, 0, "0: softmax over all experts, 1: sigmoid of each"),
    KR_ATTR_INT(moe_route_attr, normalise, 1, "the K weights add up to scale"),
    KR_ATTR_INT(moe_route_attr, bias_logits, 0, "the bias is for logits, not for p"),
    KR_ATTR_REAL(moe_route_attr, scale, 1, "factor of the weights"),
    KR_ATTR_END,
};

static kr_status moe_route_plan(kr_call *c) {
    const moe_route_attr *a = c->attr;
    int64_t X = KR_SIZE(c, 'X');
    if (a->k < 1 || a->k > X || a->k > MOE_ROUTE_MOST)
        KR_FAIL(KR_ERR_ARG, "moe_route: k is %lld, want 1 to %d and at most the %lld experts", (long long)a->k, MOE_ROUTE_MOST, (long long)X);
    if (a->gate < 0 || a->gate >= MOE_N_GATES) KR_FAIL(KR_ERR_ARG, "moe_route: gate is %lld, want 0 or 1", (long long)a->gate);
    KR_SIZE(c, 'K') = a->k;
    return KR_OK;
}

const kr_op kr_op_moe_route = {
    .name = "moe_route",
    .sig = "logits:*X bias?:X@f -> w:*K@f idx:*K@i",
    .about = "the k best of X experts for each row, and their weights",
    .attr_bytes = sizeof(moe_route_attr),
    .attrs = attrs,
    .plan = moe_route_plan,
    .fwd = {[KR_REF] = moe_route_fwd_ref_f32, KR_VEC_IMPLS(moe_route_fwd)},
    .bwd = {[KR_REF] = moe_route_bwd_ref_f32, KR_VEC_IMPLS(moe_route_bwd)},
    .fwd_f64 = moe_route_fwd_ref_f64,
    .bwd_f64 = moe_route_bwd_ref_f64,
    .bwd_in = 1 << MOE_ROUTE_LOGITS,
    .bwd_out = 1 << MOE_ROUTE_IDX,
    .no_grad = 1 << MOE_ROUTE_BIAS,
};
