/* linear.c - the dense layer  y = x W^T + b.
 *
 * s: the scale of x's eight bits where W is in blocks (gemm.h); without, groups of x have their own. */
#include "ops/linear/linear.h"

KR_REF_DECLARE(linear_fwd);
KR_REF_DECLARE(linear_bwd);
KR_VEC_DECLARE(linear_fwd);
KR_VEC_DECLARE(linear_bwd);

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static kr_status linear_plan(kr_call *c) {
    int64_t M = c->rows, N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    if (c->in[LINEAR_S].n_dims && KR_SIZE(c, 'Z') != 1) KR_FAIL(KR_ERR_SHAPE, "linear: s has %lld numbers, want one", (long long)KR_SIZE(c, 'Z'));
    c->fwd_scratch = kr_gemm_scratch_for(c->in[LINEAR_W].dtype, M, N, K, c->n_threads);
    c->bwd_scratch = larger(kr_gemm_scratch(M, K, N, c->n_threads), kr_gemm_scratch(N, K, M, c->n_threads));
    c->bwd_scratch = larger(c->bwd_scratch, (size_t)LINEAR_BLOCKS(M) * (size_t)N * sizeof(float));
    return KR_OK;
}

static double linear_flops(const kr_call *c) { return 2.0 * (double)c->rows * (double)KR_SIZE(c, 'N') * (double)KR_SIZE(c, 'K'); }

const kr_op kr_op_linear = {
    .name = "linear",
    .sig = "x:*K W:NK@w b?:N@f s?:Z@f -> y:*N",
    .about = "the dense layer x W^T + b",
    .plan = linear_plan,
    .fwd = {[KR_REF] = linear_fwd_ref_f32, KR_VEC_IMPLS(linear_fwd)},
    .bwd = {[KR_REF] = linear_bwd_ref_f32, KR_VEC_IMPLS(linear_bwd)},
    .fwd_f64 = linear_fwd_ref_f64,
    .bwd_f64 = linear_bwd_ref_f64,
    .bwd_in = 1 << LINEAR_X | 1 << LINEAR_W,
    .no_grad = 1 << LINEAR_S,
    .flops = linear_flops,
};
