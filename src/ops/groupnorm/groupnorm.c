/* groupnorm.c - group normalisation (Wu & He 2018) over all steps of a sequence.
 *
 *   y = (x - mean) / sqrt(var + eps) * w + b     mean and var of a sequence's group of channels
 *                                                over all its steps, var with 1 / count
 *
 * As many groups as channels is instance normalisation (what `groups` 0 says). */
#include "ops/groupnorm/groupnorm.h"

KR_REF_DECLARE(groupnorm_fwd);
KR_REF_DECLARE(groupnorm_bwd);
KR_VEC_DECLARE(groupnorm_fwd);
KR_VEC_DECLARE(groupnorm_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(groupnorm_attr, groups, 0, "groups of channels; 0: each channel is one"),
    KR_ATTR_REAL(groupnorm_attr, eps, 1e-5, "added to the variance"),
    KR_ATTR_END,
};

static kr_status groupnorm_plan(kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), groups = ((const groupnorm_attr *)c->attr)->groups;
    if (groups < 0 || (groups > 0 && D % groups)) KR_FAIL(KR_ERR_SHAPE, "groupnorm: %lld channels do not make %lld groups", (long long)D, (long long)groups);
    c->fwd_scratch = (size_t)(KR_SIZE(c, 'S') * 3 * D) * sizeof(float);
    c->bwd_scratch = (size_t)(KR_SIZE(c, 'S') * 7 * D) * sizeof(float);
    return KR_OK;
}

const kr_op kr_op_groupnorm = {
    .name = "groupnorm",
    .sig = "x:SLD w?:D@f b?:D@f -> y:SLD",
    .about = "x less its mean, over its standard deviation, of groups of channels over all steps, times w plus b",
    .attr_bytes = sizeof(groupnorm_attr),
    .attrs = attrs,
    .plan = groupnorm_plan,
    .fwd = {[KR_REF] = groupnorm_fwd_ref_f32, KR_VEC_IMPLS(groupnorm_fwd)},
    .bwd = {[KR_REF] = groupnorm_bwd_ref_f32, KR_VEC_IMPLS(groupnorm_bwd)},
    .fwd_f64 = groupnorm_fwd_ref_f64,
    .bwd_f64 = groupnorm_bwd_ref_f64,
    .bwd_in = 1 << GROUPNORM_X | 1 << GROUPNORM_W,
};
