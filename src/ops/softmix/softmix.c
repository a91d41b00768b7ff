/* softmix.c - K candidates of every sequence, mixed by a softmax over their scores.
 *
 *   y[s] = sum_k p[s, k] x[s, k]          p[s] = softmax(a[s])
 *
 * What merges the paths of a scan order by a gate (RSMamba). */
#include "ops/softmix/softmix.h"

KR_REF_DECLARE(softmix_fwd);
KR_REF_DECLARE(softmix_bwd);
KR_VEC_DECLARE(softmix_fwd);
KR_VEC_DECLARE(softmix_bwd);

static kr_status softmix_plan(kr_call *c) {
    if (KR_SIZE(c, 'K') > 64) KR_FAIL(KR_ERR_SHAPE, "softmix: %lld candidates, at most 64", (long long)KR_SIZE(c, 'K'));
    c->bwd_scratch = (size_t)(c->rows * KR_SIZE(c, 'K')) * sizeof(float);
    return KR_OK;
}

const kr_op kr_op_softmix = {
    .name = "softmix",
    .sig = "x:*KE a:*K -> y:*E",
    .about = "y[s] = sum over k of softmax(a[s])[k] x[s, k]; K at most 64",
    .plan = softmix_plan,
    .fwd = {[KR_REF] = softmix_fwd_ref_f32, KR_VEC_IMPLS(softmix_fwd)},
    .bwd = {[KR_REF] = softmix_bwd_ref_f32, KR_VEC_IMPLS(softmix_bwd)},
    .fwd_f64 = softmix_fwd_ref_f64,
    .bwd_f64 = softmix_bwd_ref_f64,
    .bwd_in = 1 << SOFTMIX_X | 1 << SOFTMIX_A,
};
