/* strands.c - each sequence of letters, and behind it the other strand as it is read: from its end, each letter's
 * complement.
 *
 *   y[s, l]     = ids[s, l]
 *   y[s, L + l] = map[ids[s, len[s] - 1 - l]]   for l < len[s] (no len: L),   else map[ids[s, l]]
 *
 * An id outside the map stays as it is. */
#include "ops/strands/strands.h"

KR_REF_DECLARE(strands_fwd);
KR_VEC_DECLARE(strands_fwd);

static kr_status strands_plan(kr_call *c) {
    KR_SIZE(c, 'J') = 2 * KR_SIZE(c, 'L');
    return KR_OK;
}

const kr_op kr_op_strands = {
    .name = "strands",
    .sig = "ids:SL@i map:V@i len?:S@i -> y:SJ@i",
    .about = "sequences of letters, each with its reverse complement behind it",
    .plan = strands_plan,
    .fwd = {[KR_REF] = strands_fwd_ref_f32, KR_VEC_IMPLS(strands_fwd)},
    .fwd_f64 = strands_fwd_ref_f64,
};
