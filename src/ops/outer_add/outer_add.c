/* outer_add.c - a state and one more step: y[p, n] = h[p, n] + a x[p] k[n] for each sequence and head. */
#include "ops/outer_add/outer_add.h"

KR_REF_DECLARE(outer_add_fwd);
KR_REF_DECLARE(outer_add_bwd);
KR_VEC_DECLARE(outer_add_fwd);
KR_VEC_DECLARE(outer_add_bwd);

const kr_op kr_op_outer_add = {
    .name = "outer_add",
    .sig = "h:SHPN@f a:SH@f x:SHP@f k:SHN@f -> y:SHPN@f",
    .about = "a state and one more step: y[p, n] = h[p, n] + a x[p] k[n]",
    .fwd = {[KR_REF] = outer_add_fwd_ref_f32, KR_VEC_IMPLS(outer_add_fwd)},
    .bwd = {[KR_REF] = outer_add_bwd_ref_f32, KR_VEC_IMPLS(outer_add_bwd)},
    .fwd_f64 = outer_add_fwd_ref_f64,
    .bwd_f64 = outer_add_bwd_ref_f64,
    .bwd_in = 1 << OUTER_ADD_A | 1 << OUTER_ADD_X | 1 << OUTER_ADD_K,
};
