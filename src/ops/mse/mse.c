/* mse.c - mean squared error: loss = mean((x - target)^2) over all elements; 0 if there are none. */
#include "ops/mse/mse.h"

#include "ops/rows.h"

KR_REF_DECLARE(mse_fwd);
KR_REF_DECLARE(mse_bwd);
KR_VEC_DECLARE(mse_fwd);
KR_VEC_DECLARE(mse_bwd);

static kr_status mse_plan(kr_call *c) {
    KR_SIZE(c, 'T') = 1;
    c->fwd_scratch = (size_t)rows_blocks(c->rows) * sizeof(double);
    return KR_OK;
}

const kr_op kr_op_mse = {
    .name = "mse",
    .sig = "x:*D target:*D@f -> loss:T@f",
    .about = "mean squared error over all elements; T = 1",
    .plan = mse_plan,
    .fwd = {[KR_REF] = mse_fwd_ref_f32, KR_VEC_IMPLS(mse_fwd)},
    .bwd = {[KR_REF] = mse_bwd_ref_f32, KR_VEC_IMPLS(mse_bwd)},
    .fwd_f64 = mse_fwd_ref_f64,
    .bwd_f64 = mse_bwd_ref_f64,
    .bwd_in = 1 << MSE_X | 1 << MSE_TARGET,
};
