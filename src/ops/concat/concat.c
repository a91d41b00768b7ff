/* concat.c - two tensors side by side along the last axis. */
#include "ops/concat/concat.h"

KR_REF_DECLARE(concat_fwd);
KR_REF_DECLARE(concat_bwd);
KR_VEC_DECLARE(concat_fwd);
KR_VEC_DECLARE(concat_bwd);

static kr_status concat_plan(kr_call *c) {
    KR_SIZE(c, 'C') = KR_SIZE(c, 'A') + KR_SIZE(c, 'B');
    return KR_OK;
}

const kr_op kr_op_concat = {
    .name = "concat",
    .sig = "a:*A b:*B -> y:*C",
    .about = "a and b side by side: C = A + B",
    .plan = concat_plan,
    .fwd = {[KR_REF] = concat_fwd_ref_f32, KR_VEC_IMPLS(concat_fwd)},
    .bwd = {[KR_REF] = concat_bwd_ref_f32, KR_VEC_IMPLS(concat_bwd)},
    .fwd_f64 = concat_fwd_ref_f64,
    .bwd_f64 = concat_bwd_ref_f64,
};
