/* reverse.c - every sequence from its end; of one that ends early its len steps, and what pads it stays behind.
 *
 *   y[s, l] = x[s, len[s] - 1 - l]   for l < len[s] (no len: L),   else x[s, l]
 *
 * The same twice is x again, so backward is forward. */
#include "ops/reverse/reverse.h"

KR_REF_DECLARE(reverse_fwd);
KR_REF_DECLARE(reverse_bwd);
KR_VEC_DECLARE(reverse_fwd);
KR_VEC_DECLARE(reverse_bwd);

const kr_op kr_op_reverse = {
    .name = "reverse",
    .sig = "x:SLD len?:S@i -> y:SLD",
    .about = "every sequence from its end, padding left where it is",
    .fwd = {[KR_REF] = reverse_fwd_ref_f32, KR_VEC_IMPLS(reverse_fwd)},
    .bwd = {[KR_REF] = reverse_bwd_ref_f32, KR_VEC_IMPLS(reverse_bwd)},
    .fwd_f64 = reverse_fwd_ref_f64,
    .bwd_f64 = reverse_bwd_ref_f64,
    .bwd_in = 1 << REVERSE_LEN,
    .no_grad = 1 << REVERSE_LEN,
};
