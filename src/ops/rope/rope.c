/* rope.c - rotary positions (Su et al. 2021): pairs of a head's numbers turn with the step.
 *
 *   (a, b) at position m  ->  (a cos - b sin, b cos + a sin)   of the angle m theta^(-2i/dims)
 *
 * for pair i of the first `dims` numbers: (i, i + dims/2), or interleaved (2i, 2i + 1).  The
 * others stay.  The position is n0[s] + t; with seq_idx each later document starts at 0. */
#include "ops/rope/rope.h"

KR_REF_DECLARE(rope_fwd);
KR_REF_DECLARE(rope_bwd);
KR_VEC_DECLARE(rope_fwd);
KR_VEC_DECLARE(rope_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(rope_attr, dims, 0, "numbers of a head that turn, even; 0: all"),
    KR_ATTR_INT(rope_attr, interleaved, 0, "1: neighbours are a pair; 0: halves are"),
    KR_ATTR_REAL(rope_attr, theta, 10000, "base of the wavelengths"),
    KR_ATTR_END,
};

static kr_status rope_plan(kr_call *c) {
    const rope_attr *a = c->attr;
    int64_t P = KR_SIZE(c, 'P'), dims = rope_dims(c), rows = c->in[ROPE_N0].n_dims ? KR_SIZE(c, 'S') * KR_SIZE(c, 'L') : KR_SIZE(c, 'L');
    if (a->dims < 0 || a->dims > P || a->dims % 2)
        KR_FAIL(KR_ERR_ARG, "rope: dims is %lld, want an even number up to P = %lld", (long long)a->dims, (long long)P);
    if (!(a->theta > 0)) KR_FAIL(KR_ERR_ARG, "rope: theta is %g, want more than 0", a->theta);
    c->fwd_scratch = c->bwd_scratch = (size_t)(rows * dims) * sizeof(float); /* a table of cosines and sines */
    return KR_OK;
}

const kr_op kr_op_rope = {
    .name = "rope",
    .sig = "x:SLHP n0?:S@i seq_idx?:SL@i -> y:SLHP",
    .about = "rotary positions: pairs of numbers turn with the step",
    .attr_bytes = sizeof(rope_attr),
    .attrs = attrs,
    .plan = rope_plan,
    .fwd = {[KR_REF] = rope_fwd_ref_f32, KR_VEC_IMPLS(rope_fwd)},
    .bwd = {[KR_REF] = rope_bwd_ref_f32, KR_VEC_IMPLS(rope_bwd)},
    .fwd_f64 = rope_fwd_ref_f64,
    .bwd_f64 = rope_bwd_ref_f64,
    .bwd_in = 1 << ROPE_N0 | 1 << ROPE_SEQ_IDX,
    .no_grad = 1 << ROPE_N0 | 1 << ROPE_SEQ_IDX,
};
