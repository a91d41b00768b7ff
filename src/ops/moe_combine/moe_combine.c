/* moe_combine.c - what K experts made of a row, weighted and added:  y = sum over k of w[k] x[k]. */
#include "ops/moe_combine/moe_combine.h"

KR_REF_DECLARE(moe_combine_fwd);
KR_REF_DECLARE(moe_combine_bwd);
KR_VEC_DECLARE(moe_combine_fwd);
KR_VEC_DECLARE(moe_combine_bwd);

const kr_op kr_op_moe_combine = {
    .name = "moe_combine",
    .sig = "x:*KD w:*K@f -> y:*D",
    .about = "y = sum over k of w[k] x[k]",
    .fwd = {[KR_REF] = moe_combine_fwd_ref_f32, KR_VEC_IMPLS(moe_combine_fwd)},
    .bwd = {[KR_REF] = moe_combine_bwd_ref_f32, KR_VEC_IMPLS(moe_combine_bwd)},
    .fwd_f64 = moe_combine_fwd_ref_f64,
    .bwd_f64 = moe_combine_bwd_ref_f64,
    .bwd_in = 1 << MOE_COMBINE_X | 1 << MOE_COMBINE_W,
};
