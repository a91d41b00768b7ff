/* moe_balance.c - how unevenly rows go to experts (Fedus et al. 2021, eq. 4 to 6, for K a row).
 *
 *   loss = base + weight X sum over x of f_x P_x     f_x = choices of expert x / rows
 *                                                    P_x = mean over rows of softmax(logits)_x
 *
 * The sum is K when all is even, up to X K when all rows go to the same.  The choices have no gradient. */
#include "ops/moe_balance/moe_balance.h"

#include "ops/rows.h"

KR_REF_DECLARE(moe_balance_fwd);
KR_REF_DECLARE(moe_balance_bwd);
KR_VEC_DECLARE(moe_balance_fwd);
KR_VEC_DECLARE(moe_balance_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(moe_balance_attr, weight, 1, "factor of the sum"),
    KR_ATTR_END,
};

static kr_status moe_balance_plan(kr_call *c) {
    if (KR_SIZE(c, 'T') >= 0 && KR_SIZE(c, 'T') != 1) KR_FAIL(KR_ERR_SHAPE, "moe_balance: base has %lld elements, want 1", (long long)KR_SIZE(c, 'T'));
    KR_SIZE(c, 'T') = 1;
    c->bwd_scratch = (size_t)KR_SIZE(c, 'X') * sizeof(float);
    c->fwd_scratch = rows_part_bytes(c->rows, 2 * KR_SIZE(c, 'X'));
    return KR_OK;
}

const kr_op kr_op_moe_balance = {
    .name = "moe_balance",
    .sig = "logits:*X idx:*K@i base?:T@f -> loss:T@f",
    .about = "the load-balance loss of a mixture of experts, added to base; T = 1",
    .attr_bytes = sizeof(moe_balance_attr),
    .attrs = attrs,
    .plan = moe_balance_plan,
    .fwd = {[KR_REF] = moe_balance_fwd_ref_f32, KR_VEC_IMPLS(moe_balance_fwd)},
    .bwd = {[KR_REF] = moe_balance_bwd_ref_f32, KR_VEC_IMPLS(moe_balance_bwd)},
    .fwd_f64 = moe_balance_fwd_ref_f64,
    .bwd_f64 = moe_balance_bwd_ref_f64,
    .bwd_in = 1 << MOE_BALANCE_LOGITS | 1 << MOE_BALANCE_IDX,
    .no_grad = 1 << MOE_BALANCE_IDX,
};
