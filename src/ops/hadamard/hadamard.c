/* hadamard.c - a rotation that spreads what stands out over all columns:  y = H x / sqrt(D).
 *
 * H (hadamard.h) has only 1 and -1 and orthogonal rows, so a product's weights whose rows were rotated alike
 * undo it: (W H') (H x) = W x, but for rounding, and what is rounded has no columns larger than the others. */
#include "ops/hadamard/hadamard.h"

KR_REF_DECLARE(hadamard_fwd);
KR_REF_DECLARE(hadamard_bwd);
KR_VEC_DECLARE(hadamard_fwd);
KR_VEC_DECLARE(hadamard_bwd);

static kr_status hadamard_plan(kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    if (!hadamard_paley(D))
        KR_FAIL(KR_ERR_ARG, "hadamard: no matrix is known here for a width of %lld; want a power of two, or that times p + 1 for a prime p = 4 n + 3 (12, 20, 24, ...)",
                (long long)D);
    c->bwd_scratch = (size_t)c->n_threads * (size_t)((D + 15) / 16 * 16) * sizeof(float);
    return KR_OK;
}

const kr_op kr_op_hadamard = {
    .name = "hadamard",
    .sig = "x:*D -> y:*D",
    .about = "rotation by Hadamard's matrix, H x / sqrt(D)",
    .plan = hadamard_plan,
    .fwd = {[KR_REF] = hadamard_fwd_ref_f32, KR_VEC_IMPLS(hadamard_fwd)},
    .bwd = {[KR_REF] = hadamard_bwd_ref_f32, KR_VEC_IMPLS(hadamard_bwd)},
    .fwd_f64 = hadamard_fwd_ref_f64,
    .bwd_f64 = hadamard_bwd_ref_f64,
};
