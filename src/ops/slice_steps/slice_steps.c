/* slice_steps.c - a range of steps of every sequence, copied: the last one for a head, say.
 *
 *   y = x[:, start : start + count]        start < 0 counts from the end; count 0: to the end */
#include "ops/slice_steps/slice_steps.h"

KR_REF_DECLARE(slice_steps_fwd);
KR_REF_DECLARE(slice_steps_bwd);
KR_VEC_DECLARE(slice_steps_fwd);
KR_VEC_DECLARE(slice_steps_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(slice_steps_attr, start, 0, "first step; negative: from the end"),
    KR_ATTR_INT(slice_steps_attr, count, 0, "steps; 0: to the end"),
    KR_ATTR_END,
};

static kr_status slice_steps_plan(kr_call *c) {
    const slice_steps_attr *a = c->attr;
    int64_t L = KR_SIZE(c, 'L'), from = slice_steps_from(c);
    if (from < 0 || from > L || a->count < 0 || a->count > L - from)
        KR_FAIL(KR_ERR_ARG, "slice_steps: %lld steps from %lld do not fit in L = %lld", (long long)a->count,
                (long long)a->start, (long long)L);
    KR_SIZE(c, 'J') = a->count ? a->count : L - from;
    return KR_OK;
}

const kr_op kr_op_slice_steps = {
    .name = "slice_steps",
    .sig = "x:SLD -> y:SJD",
    .about = "steps start to start + count",
    .attr_bytes = sizeof(slice_steps_attr),
    .attrs = attrs,
    .plan = slice_steps_plan,
    .fwd = {[KR_REF] = slice_steps_fwd_ref_f32, KR_VEC_IMPLS(slice_steps_fwd)},
    .bwd = {[KR_REF] = slice_steps_bwd_ref_f32, KR_VEC_IMPLS(slice_steps_bwd)},
    .fwd_f64 = slice_steps_fwd_ref_f64,
    .bwd_f64 = slice_steps_bwd_ref_f64,
};
