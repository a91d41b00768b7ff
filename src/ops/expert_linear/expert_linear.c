/* expert_linear.c - each row through the matrices of its K experts.
 *
 *   y[r, k] = W[idx[r, k]] x[r]          zeros, and no gradient, for an index outside [0, X)
 *
 * Rows are gathered expert by expert, so that each expert is one product over its rows; none is
 * dropped, however uneven they are.  A row's result does not depend on the others. */
#include "ops/expert_linear/expert_linear.h"

KR_REF_DECLARE(expert_linear_fwd);
KR_REF_DECLARE(expert_linear_bwd);
KR_VEC_DECLARE(expert_linear_fwd);
KR_VEC_DECLARE(expert_linear_bwd);

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }
static size_t whole(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Scratch: pairs (row, k) in the order of experts, where each expert's begin; a block of x and
 * one of y; the products' own. */
static kr_status expert_linear_plan(kr_call *c) {
    int64_t n = c->rows * KR_SIZE(c, 'K'), m = n < EXPERT_ROWS ? n : EXPERT_ROWS, N = KR_SIZE(c, 'N'), D = KR_SIZE(c, 'D');
    size_t lists = whole((size_t)n * sizeof(int64_t)) + whole((size_t)(KR_SIZE(c, 'X') + 2) * sizeof(int64_t));
    size_t blocks = whole((size_t)(m * D) * sizeof(float)) + whole((size_t)(m * N) * sizeof(float));
    c->fwd_scratch = lists + blocks + kr_gemm_scratch_for(c->in[EXPERT_LINEAR_W].dtype, m, N, D, c->n_threads);
    c->bwd_scratch = lists + blocks + larger(kr_gemm_scratch(m, D, N, c->n_threads), kr_gemm_scratch(N, D, m, c->n_threads));
    return KR_OK;
}

static double expert_linear_flops(const kr_call *c) {
    return 2.0 * (double)(c->rows * KR_SIZE(c, 'K')) * (double)KR_SIZE(c, 'N') * (double)KR_SIZE(c, 'D');
}

const kr_op kr_op_expert_linear = {
    .name = "expert_linear",
    .sig = "x:*D W:XND@w idx:*K@i -> y:*KN",
    .about = "each row through the matrices of its K experts; zeros for an index outside [0, X)",
    .plan = expert_linear_plan,
    .fwd = {[KR_REF] = expert_linear_fwd_ref_f32, KR_VEC_IMPLS(expert_linear_fwd)},
    .bwd = {[KR_REF] = expert_linear_bwd_ref_f32, KR_VEC_IMPLS(expert_linear_bwd)},
    .fwd_f64 = expert_linear_fwd_ref_f64,
    .bwd_f64 = expert_linear_bwd_ref_f64,
    .bwd_in = 1 << EXPERT_LINEAR_X | 1 << EXPERT_LINEAR_W | 1 << EXPERT_LINEAR_IDX,
    .no_grad = 1 << EXPERT_LINEAR_IDX,
    .flops = expert_linear_flops,
};
