/* to_real.c - from float32 to the precision of activations: y = x, rounded.
 *
 * On a CPU the two are one and this is a copy; a graph puts it before a slot where a bfloat16
 * activation is wanted and something in float32 comes. */
#include "ops/to_real/to_real.h"

KR_REF_DECLARE(to_real_fwd);
KR_REF_DECLARE(to_real_bwd);
KR_VEC_DECLARE(to_real_fwd);
KR_VEC_DECLARE(to_real_bwd);

const kr_op kr_op_to_real = {
    .name = "to_real",
    .sig = "x:*D@f -> y:*D",
    .about = "float32 in the precision of activations",
    .fwd = {[KR_REF] = to_real_fwd_ref_f32, KR_VEC_IMPLS(to_real_fwd)},
    .bwd = {[KR_REF] = to_real_bwd_ref_f32, KR_VEC_IMPLS(to_real_bwd)},
    .fwd_f64 = to_real_fwd_ref_f64,
    .bwd_f64 = to_real_bwd_ref_f64,
};
