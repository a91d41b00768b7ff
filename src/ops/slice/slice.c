/* slice.c - a range of columns, copied.  (A view costs less where the reader takes one.)
 *
 *   y = x[..., start : start + width]      start < 0 counts from the end; width 0: to the end */
#include "ops/slice/slice.h"

KR_REF_DECLARE(slice_fwd);
KR_REF_DECLARE(slice_bwd);
KR_VEC_DECLARE(slice_fwd);
KR_VEC_DECLARE(slice_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(slice_attr, start, 0, "first column; negative: from the end"),
    KR_ATTR_INT(slice_attr, width, 0, "columns; 0: to the end"),
    KR_ATTR_END,
};

static kr_status slice_plan(kr_call *c) {
    const slice_attr *a = c->attr;
    int64_t A = KR_SIZE(c, 'A'), from = slice_from(c);
    if (from < 0 || from > A || a->width < 0 || a->width > A - from)
        KR_FAIL(KR_ERR_ARG, "slice: %lld columns from %lld do not fit in A = %lld", (long long)a->width, (long long)a->start,
                (long long)A);
    KR_SIZE(c, 'B') = a->width ? a->width : A - from;
    return KR_OK;
}

const kr_op kr_op_slice = {
    .name = "slice",
    .sig = "x:*A -> y:*B",
    .about = "columns start to start + width",
    .attr_bytes = sizeof(slice_attr),
    .attrs = attrs,
    .plan = slice_plan,
    .fwd = {[KR_REF] = slice_fwd_ref_f32, KR_VEC_IMPLS(slice_fwd)},
    .bwd = {[KR_REF] = slice_bwd_ref_f32, KR_VEC_IMPLS(slice_bwd)},
    .fwd_f64 = slice_fwd_ref_f64,
    .bwd_f64 = slice_bwd_ref_f64,
};
