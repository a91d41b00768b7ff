/* rmsnorm.c - root mean square normalisation (Zhang & Sennrich 2019, eq. 4).
 *
 *   y = x / sqrt(mean(x^2) + eps) * w          over the last axis; no w: all ones */
#include "ops/rmsnorm/rmsnorm.h"

#include "ops/rows.h"

KR_REF_DECLARE(rmsnorm_fwd);
KR_REF_DECLARE(rmsnorm_bwd);
KR_VEC_DECLARE(rmsnorm_fwd);
KR_VEC_DECLARE(rmsnorm_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(rmsnorm_attr, eps, 1e-5, "added to the mean square"),
    KR_ATTR_END,
};

static kr_status rmsnorm_plan(kr_call *c) {
    /* dw is summed over fixed blocks of rows, so that threads cannot change its bits */
    c->bwd_scratch = rows_part_bytes(c->rows, KR_SIZE(c, 'D'));
    return KR_OK;
}

const kr_op kr_op_rmsnorm = {
    .name = "rmsnorm",
    .sig = "x:*D w?:D@f -> y:*D",
    .about = "x over its root mean square, times w",
    .attr_bytes = sizeof(rmsnorm_attr),
    .attrs = attrs,
    .plan = rmsnorm_plan,
    .fwd = {[KR_REF] = rmsnorm_fwd_ref_f32, KR_VEC_IMPLS(rmsnorm_fwd)},
    .bwd = {[KR_REF] = rmsnorm_bwd_ref_f32, KR_VEC_IMPLS(rmsnorm_bwd)},
    .fwd_f64 = rmsnorm_fwd_ref_f64,
    .bwd_f64 = rmsnorm_bwd_ref_f64,
    .bwd_in = 1 << RMSNORM_X | 1 << RMSNORM_W,
};
