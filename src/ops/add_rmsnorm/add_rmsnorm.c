/* add_rmsnorm.c - the step between two blocks of a pre-norm residual stream, in one pass.
 *
 *   sum = x + res                              no res: sum = x
 *   y   = sum / sqrt(mean(sum^2) + eps) * w    over the last axis; no w: all ones
 *
 * Backward needs only the sum, which the stream keeps anyway. */
#include "ops/add_rmsnorm/add_rmsnorm.h"

#include "ops/rows.h"

KR_REF_DECLARE(add_rmsnorm_fwd);
KR_REF_DECLARE(add_rmsnorm_bwd);
KR_VEC_DECLARE(add_rmsnorm_fwd);
KR_VEC_DECLARE(add_rmsnorm_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(add_rmsnorm_attr, eps, 1e-5, "added to the mean square"),
    KR_ATTR_END,
};

static kr_status add_rmsnorm_plan(kr_call *c) {
    c->bwd_scratch = rows_part_bytes(c->rows, KR_SIZE(c, 'D'));
    return KR_OK;
}

const kr_op kr_op_add_rmsnorm = {
    .name = "add_rmsnorm",
    .sig = "x:*D res?:*D@f w?:D@f -> y:*D sum:*D@f",
    .about = "x + res, and that over its root mean square, times w",
    .attr_bytes = sizeof(add_rmsnorm_attr),
    .attrs = attrs,
    .plan = add_rmsnorm_plan,
    .fwd = {[KR_REF] = add_rmsnorm_fwd_ref_f32, KR_VEC_IMPLS(add_rmsnorm_fwd)},
    .bwd = {[KR_REF] = add_rmsnorm_bwd_ref_f32, KR_VEC_IMPLS(add_rmsnorm_bwd)},
    .fwd_f64 = add_rmsnorm_fwd_ref_f64,
    .bwd_f64 = add_rmsnorm_bwd_ref_f64,
    .bwd_in = 1 << ADD_RMSNORM_W,
    .bwd_out = 1 << ADD_RMSNORM_SUM,
    .bwd_again = 1 << ADD_RMSNORM_Y,
};
