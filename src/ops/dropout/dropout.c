/* dropout.c - elements zeroed at random with probability p, the rest scaled by 1 / (1 - p).
 *
 * key is {seed low, seed high, step, tensor}.  Whether an element stays is a pure function
 * of the key and its index, so backward draws the mask again instead of storing it. */
#include "ops/dropout/dropout.h"

KR_REF_DECLARE(dropout_fwd);
KR_REF_DECLARE(dropout_bwd);
KR_VEC_DECLARE(dropout_fwd);
KR_VEC_DECLARE(dropout_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(dropout_attr, p, 0, "probability of a zero; 0: a copy"),
    KR_ATTR_END,
};

static kr_status dropout_plan(kr_call *c) {
    double p = ((const dropout_attr *)c->attr)->p;
    if (!(p >= 0 && p < 1)) KR_FAIL(KR_ERR_ARG, "dropout: p is %g, want 0 <= p < 1", p);
    if (KR_SIZE(c, 'K') != 4)
        KR_FAIL(KR_ERR_SHAPE, "dropout: key is [%lld], want [4]: seed low, seed high, step, tensor", (long long)KR_SIZE(c, 'K'));
    return KR_OK;
}

const kr_op kr_op_dropout = {
    .name = "dropout",
    .sig = "x:*D key:K@i -> y:*D",
    .about = "zeroes with probability p, the rest scaled by 1 / (1 - p); key: seed low, seed high, step, tensor",
    .attr_bytes = sizeof(dropout_attr),
    .attrs = attrs,
    .plan = dropout_plan,
    .fwd = {[KR_REF] = dropout_fwd_ref_f32, KR_VEC_IMPLS(dropout_fwd)},
    .bwd = {[KR_REF] = dropout_bwd_ref_f32, KR_VEC_IMPLS(dropout_bwd)},
    .fwd_f64 = dropout_fwd_ref_f64,
    .bwd_f64 = dropout_bwd_ref_f64,
    .bwd_in = 1 << DROPOUT_KEY,
    .no_grad = 1 << DROPOUT_KEY,
};
