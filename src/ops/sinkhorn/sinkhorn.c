/* sinkhorn.c - what to add to the scores of X experts so that rows share them out evenly (BlackMamba: Anthony et al. 2024,
 * after Sinkhorn 1967).
 *
 *   bias = 0;  so many rounds:   p    = softmax of each row of logits + bias
 *                                bias = bias - log(mean over rows of p) - log X
 *
 * In the end rows of exp(logits + bias) add up alike, and columns nearly so.  It steers a choice, so it has no
 * gradient; as it is made of all rows of a batch, it is for training alone. */
#include "ops/sinkhorn/sinkhorn.h"

#include "ops/rows.h"

KR_REF_DECLARE(sinkhorn_fwd);
KR_VEC_DECLARE(sinkhorn_fwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(sinkhorn_attr, rounds, 8, "over rows and columns"),
    KR_ATTR_END,
};

static kr_status sinkhorn_plan(kr_call *c) {
    int64_t rounds = ((const sinkhorn_attr *)c->attr)->rounds;
    if (rounds < 1 || rounds > 10000) KR_FAIL(KR_ERR_ARG, "sinkhorn: %lld rounds, want 1 to 10000", (long long)rounds);
    c->fwd_scratch = rows_part_bytes(c->rows, KR_SIZE(c, 'X')) + (size_t)KR_SIZE(c, 'X') * sizeof(double);
    return KR_OK;
}

const kr_op kr_op_sinkhorn = {
    .name = "sinkhorn",
    .sig = "logits:*X -> bias:X@f",
    .about = "what makes the choice of experts even over all rows, to be added to their scores",
    .attr_bytes = sizeof(sinkhorn_attr),
    .attrs = attrs,
    .plan = sinkhorn_plan,
    .fwd = {[KR_REF] = sinkhorn_fwd_ref_f32, KR_VEC_IMPLS(sinkhorn_fwd)},
    .fwd_f64 = sinkhorn_fwd_ref_f64,
};
