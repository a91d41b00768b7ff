/* cross_entropy.c - the output head and its loss in one, without ever holding all logits.
 *
 *   l = x W^T over the first v_valid of the vocabulary (0: all; the others are padding)
 *   lse = log sum_v exp l[v],   nll = lse - l[target]
 *   loss = mean over scored tokens of  nll + z_loss lse^2      (0 if none is scored)
 *
 * A token is scored if its target is an id of the (unpadded) vocabulary: give -1 for "not
 * this one".  Its nll is 0 otherwise; lse is there for every token.  All three outputs
 * have gradients.  Scratch is a slab of logits of 2 MiB, three numbers a token, and what
 * the products need; saved is lse. */
#include "ops/cross_entropy/cross_entropy.h"

#include "ops/gemm.h"

KR_REF_DECLARE(cross_entropy_fwd);
KR_REF_DECLARE(cross_entropy_bwd);
KR_VEC_DECLARE(cross_entropy_fwd);
KR_VEC_DECLARE(cross_entropy_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(cross_entropy_attr, z_loss, 0, "weight of lse^2 in the loss"),
    KR_ATTR_INT(cross_entropy_attr, v_valid, 0, "size of the vocabulary without padding; 0: V"),
    KR_ATTR_END,
};

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static kr_status cross_entropy_plan(kr_call *c) {
    int64_t V = KR_SIZE(c, 'V'), K = KR_SIZE(c, 'K'), v_valid = ((const cross_entropy_attr *)c->attr)->v_valid;
    if (V < 1) KR_FAIL(KR_ERR_SHAPE, "cross_entropy: W has no rows, want a vocabulary of V=1 or more");
    if (v_valid < 0 || v_valid > V)
        KR_FAIL(KR_ERR_ARG, "cross_entropy: v_valid is %lld, want 0 to V=%lld", (long long)v_valid, (long long)V);
    KR_SIZE(c, 'T') = 1;
    cross_entropy_slab s = cross_entropy_slabs(c);
    int64_t rows = c->rows < s.rows ? c->rows : s.rows;
    size_t floats = (size_t)cross_entropy_floats(c) * sizeof(float);
    size_t logits = kr_gemm_scratch_for(c->in[CROSS_ENTROPY_W].dtype, rows, s.columns, K, c->n_threads);
    size_t dx = kr_gemm_scratch(rows, K, s.columns, c->n_threads);
    size_t dw = kr_gemm_scratch(s.columns, K, rows, c->n_threads);
    c->fwd_scratch = floats + logits;
    c->bwd_scratch = floats + larger(logits, larger(dx, dw));
    c->saved_bytes = (size_t)c->rows * sizeof(float);
    return KR_OK;
}

static double cross_entropy_flops(const kr_call *c) {
    return 2.0 * (double)c->rows * (double)KR_SIZE(c, 'K') * (double)cross_entropy_columns(c);
}

const kr_op kr_op_cross_entropy = {
    .name = "cross_entropy",
    .sig = "x:*K W:VK@w targets:*@i -> loss:T@f nll:*@f lse:*@f",
    .about = "mean of -log softmax(x W^T)[target] over the tokens whose target is an id",
    .attr_bytes = sizeof(cross_entropy_attr),
    .attrs = attrs,
    .plan = cross_entropy_plan,
    .fwd = {[KR_REF] = cross_entropy_fwd_ref_f32, KR_VEC_IMPLS(cross_entropy_fwd)},
    .bwd = {[KR_REF] = cross_entropy_bwd_ref_f32, KR_VEC_IMPLS(cross_entropy_bwd)},
    .fwd_f64 = cross_entropy_fwd_ref_f64,
    .bwd_f64 = cross_entropy_bwd_ref_f64,
    .bwd_in = 1 << CROSS_ENTROPY_X | 1 << CROSS_ENTROPY_W | 1 << CROSS_ENTROPY_TARGETS,
    .no_grad = 1 << CROSS_ENTROPY_TARGETS,
    .flops = cross_entropy_flops,
};
