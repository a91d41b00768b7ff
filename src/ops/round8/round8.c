/* round8.c - what is left of numbers in eight bits with one scale:  y = s q,  q = x / s rounded and held to -127..127.
 *
 * What is larger than 127 s is cut off there.  It is no function to learn through, so it has no gradient. */
#include "ops/round8/round8.h"

KR_REF_DECLARE(round8_fwd);
KR_VEC_DECLARE(round8_fwd);

static kr_status round8_plan(kr_call *c) {
    if (KR_SIZE(c, 'Z') != 1) KR_FAIL(KR_ERR_SHAPE, "round8: s has %lld numbers, want one", (long long)KR_SIZE(c, 'Z'));
    return KR_OK;
}

const kr_op kr_op_round8 = {
    .name = "round8",
    .sig = "x:*D s:Z@f -> y:*D",
    .about = "rounding to eight bits with one scale, and clipping",
    .plan = round8_plan,
    .fwd = {[KR_REF] = round8_fwd_ref_f32, KR_VEC_IMPLS(round8_fwd)},
    .fwd_f64 = round8_fwd_ref_f64,
};
