/* to_float.c - from the precision of activations to float32: y = x.
 *
 * On a CPU the two are one and this is a copy; a graph puts it where float32 is wanted and a
 * bfloat16 activation comes. */
#include "ops/to_float/to_float.h"

KR_REF_DECLARE(to_float_fwd);
KR_REF_DECLARE(to_float_bwd);
KR_VEC_DECLARE(to_float_fwd);
KR_VEC_DECLARE(to_float_bwd);

const kr_op kr_op_to_float = {
    .name = "to_float",
    .sig = "x:*D -> y:*D@f",
    .about = "activations in float32",
    .fwd = {[KR_REF] = to_float_fwd_ref_f32, KR_VEC_IMPLS(to_float_fwd)},
    .bwd = {[KR_REF] = to_float_bwd_ref_f32, KR_VEC_IMPLS(to_float_bwd)},
    .fwd_f64 = to_float_fwd_ref_f64,
    .bwd_f64 = to_float_bwd_ref_f64,
};
