/* gather.c - steps of every sequence picked by one list: a scan order, its inverse, a subset.
 *
 *   y[s, j] = x[s, idx[j]]        zeros, and no gradient, for an index outside [0, L)
 *
 * Indices may repeat: backward adds up, in the order of j.  Where none does, `back` may say so: back[l]
 * is the j whose idx[j] is l, or is outside [0, J) if l is not picked.  Then backward is a gather, too. */
#include "ops/gather/gather.h"

KR_REF_DECLARE(gather_fwd);
KR_REF_DECLARE(gather_bwd);
KR_VEC_DECLARE(gather_fwd);
KR_VEC_DECLARE(gather_bwd);

const kr_op kr_op_gather = {
    .name = "gather",
    .sig = "x:SLD idx:J@i back?:L@i -> y:SJD",
    .about = "steps picked by a list of indices; zeros for an index outside [0, L)",
    .fwd = {[KR_REF] = gather_fwd_ref_f32, KR_VEC_IMPLS(gather_fwd)},
    .bwd = {[KR_REF] = gather_bwd_ref_f32, KR_VEC_IMPLS(gather_bwd)},
    .fwd_f64 = gather_fwd_ref_f64,
    .bwd_f64 = gather_bwd_ref_f64,
    .bwd_in = 1 << GATHER_IDX | 1 << GATHER_BACK,
    .no_grad = 1 << GATHER_IDX | 1 << GATHER_BACK,
};
