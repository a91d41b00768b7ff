/* conv1d.c - depthwise causal convolution over the steps, with an optional SiLU.
 *
 *   y[t] = silu(b + sum_j w[K-1-j] x[t-j])     j = 0 .. K-1, for each channel by itself
 *
 * Inputs before the first step are x0 (oldest first), or zero without it.  seq_idx packs
 * several sequences into one row: a tap counts only if seq_idx is the same all the way
 * from its step to t.  x0 belongs to the run of the first step: there is no reset at step
 * 0, so a caller whose next chunk opens a new sequence clears the state himself.  A row
 * cut in two gives the bits of the whole at any step where seq_idx does not change.
 *
 * x1 is what the next chunk needs as its x0: the last J = K-1 inputs (of x0 too, when L <
 * J), with those of another run than the last step's set to zero. */
#include "ops/conv1d/conv1d.h"

KR_REF_DECLARE(conv1d_fwd);
KR_REF_DECLARE(conv1d_bwd);
KR_VEC_DECLARE(conv1d_fwd);
KR_VEC_DECLARE(conv1d_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(conv1d_attr, silu, 1, "1: SiLU after the sum"),
    KR_ATTR_END,
};

static kr_status conv1d_plan(kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), K = KR_SIZE(c, 'K'), J = KR_SIZE(c, 'J');
    if (K < 2 || K > CONV1D_MAX_K)
        KR_FAIL(KR_ERR_SHAPE, "conv1d: w has K=%lld taps, want 2 to %d", (long long)K, CONV1D_MAX_K);
    if (J >= 0 && J != K - 1)
        KR_FAIL(KR_ERR_SHAPE, "conv1d: x0 has J=%lld steps, want %lld for K=%lld taps", (long long)J,
                (long long)K - 1, (long long)K);
    if (L < 1) KR_FAIL(KR_ERR_SHAPE, "conv1d: x has no steps, want at least one");
    KR_SIZE(c, 'J') = K - 1;
    c->bwd_scratch = (size_t)(conv1d_groups(c).n_groups * (K + 1) * KR_SIZE(c, 'D')) * sizeof(float);
    return KR_OK;
}

const kr_op kr_op_conv1d = {
    .name = "conv1d",
    .sig = "x:SLD w:DK@f b?:D@f x0?:SJD@f seq_idx?:SL@i -> y:SLD x1:SJD@f",
    .about = "depthwise causal convolution over the steps, then SiLU",
    .attr_bytes = sizeof(conv1d_attr),
    .attrs = attrs,
    .plan = conv1d_plan,
    .fwd = {[KR_REF] = conv1d_fwd_ref_f32, KR_VEC_IMPLS(conv1d_fwd)},
    .bwd = {[KR_REF] = conv1d_bwd_ref_f32, KR_VEC_IMPLS(conv1d_bwd)},
    .fwd_f64 = conv1d_fwd_ref_f64,
    .bwd_f64 = conv1d_bwd_ref_f64,
    .bwd_in = 1 << CONV1D_X | 1 << CONV1D_W | 1 << CONV1D_B | 1 << CONV1D_X0 | 1 << CONV1D_SEQ_IDX,
    .no_grad = 1 << CONV1D_SEQ_IDX,
    .state = {{CONV1D_X0 + 1, CONV1D_X1 + 1}},
    .may_alias = 1 << CONV1D_X1,
};
