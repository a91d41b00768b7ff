/* gated_rmsnorm.c - the norm of a Mamba-2 block before its output projection.
 *
 *   y = norm(x silu(z)) w          norm_before_gate = 0, as Mamba-2 models have it
 *   y = norm(x) w silu(z)          norm_before_gate = 1
 *
 * norm divides each group of group_size columns by its own sqrt(mean square + eps), so that
 * a model split over devices by groups needs no exchange. */
#include "ops/gated_rmsnorm/gated_rmsnorm.h"

#include "ops/rows.h"

KR_REF_DECLARE(gated_rmsnorm_fwd);
KR_REF_DECLARE(gated_rmsnorm_bwd);
KR_VEC_DECLARE(gated_rmsnorm_fwd);
KR_VEC_DECLARE(gated_rmsnorm_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(gated_rmsnorm_attr, eps, 1e-5, "added to the mean square"),
    KR_ATTR_INT(gated_rmsnorm_attr, group_size, 0, "columns normalised together; 0: all"),
    KR_ATTR_INT(gated_rmsnorm_attr, norm_before_gate, 0, "1: normalise x, then gate"),
    KR_ATTR_END,
};

static kr_status gated_rmsnorm_plan(kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), group = gated_rmsnorm_group(c);
    if (group < 0 || (D > 0 && D % group != 0))
        KR_FAIL(KR_ERR_ARG, "gated_rmsnorm: group_size %lld does not divide D = %lld", (long long)group, (long long)D);
    c->bwd_scratch = rows_part_bytes(c->rows, 2 * D); /* dw, and sigmoid(z) of the row at hand */
    return KR_OK;
}

const kr_op kr_op_gated_rmsnorm = {
    .name = "gated_rmsnorm",
    .sig = "x:*D z:*D w?:D@f -> y:*D",
    .about = "x times silu(z), over its root mean square by groups, times w",
    .attr_bytes = sizeof(gated_rmsnorm_attr),
    .attrs = attrs,
    .plan = gated_rmsnorm_plan,
    .fwd = {[KR_REF] = gated_rmsnorm_fwd_ref_f32, KR_VEC_IMPLS(gated_rmsnorm_fwd)},
    .bwd = {[KR_REF] = gated_rmsnorm_bwd_ref_f32, KR_VEC_IMPLS(gated_rmsnorm_bwd)},
    .fwd_f64 = gated_rmsnorm_fwd_ref_f64,
    .bwd_f64 = gated_rmsnorm_bwd_ref_f64,
    .bwd_in = 1 << GATED_RMSNORM_X | 1 << GATED_RMSNORM_Z | 1 << GATED_RMSNORM_W,
    .bwd_again = 1 << GATED_RMSNORM_Y,
};
