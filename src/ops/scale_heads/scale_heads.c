/* scale_heads.c - every head times a number of its own: y = w x, one w for each step and head. */
#include "ops/scale_heads/scale_heads.h"

KR_REF_DECLARE(scale_heads_fwd);
KR_REF_DECLARE(scale_heads_bwd);
KR_VEC_DECLARE(scale_heads_fwd);
KR_VEC_DECLARE(scale_heads_bwd);

const kr_op kr_op_scale_heads = {
    .name = "scale_heads",
    .sig = "x:SLHP w:SLH -> y:SLHP",
    .about = "y = w x, one w for each step and head",
    .fwd = {[KR_REF] = scale_heads_fwd_ref_f32, KR_VEC_IMPLS(scale_heads_fwd)},
    .bwd = {[KR_REF] = scale_heads_bwd_ref_f32, KR_VEC_IMPLS(scale_heads_bwd)},
    .fwd_f64 = scale_heads_fwd_ref_f64,
    .bwd_f64 = scale_heads_bwd_ref_f64,
    .bwd_in = 1 << SCALE_HEADS_X | 1 << SCALE_HEADS_W,
};
