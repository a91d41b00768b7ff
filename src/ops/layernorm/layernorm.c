/* layernorm.c - layer normalisation (Ba et al. 2016).
 *
 *   y = (x - mean(x)) / sqrt(var(x) + eps) * w + b     over the last axis, var with 1/D
 *                                                      no w: all ones; no b: zero */
#include "ops/layernorm/layernorm.h"

#include "ops/rows.h"

KR_REF_DECLARE(layernorm_fwd);
KR_REF_DECLARE(layernorm_bwd);
KR_VEC_DECLARE(layernorm_fwd);
KR_VEC_DECLARE(layernorm_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(layernorm_attr, eps, 1e-5, "added to the variance"),
    KR_ATTR_END,
};

static kr_status layernorm_plan(kr_call *c) {
    c->bwd_scratch = rows_part_bytes(c->rows, 2 * KR_SIZE(c, 'D')); /* dw and db */
    return KR_OK;
}

const kr_op kr_op_layernorm = {
    .name = "layernorm",
    .sig = "x:*D w?:D@f b?:D@f -> y:*D",
    .about = "x less its mean, over its standard deviation, times w plus b",
    .attr_bytes = sizeof(layernorm_attr),
    .attrs = attrs,
    .plan = layernorm_plan,
    .fwd = {[KR_REF] = layernorm_fwd_ref_f32, KR_VEC_IMPLS(layernorm_fwd)},
    .bwd = {[KR_REF] = layernorm_bwd_ref_f32, KR_VEC_IMPLS(layernorm_bwd)},
    .fwd_f64 = layernorm_fwd_ref_f64,
    .bwd_f64 = layernorm_bwd_ref_f64,
    .bwd_in = 1 << LAYERNORM_X | 1 << LAYERNORM_W,
};
