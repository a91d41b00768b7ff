/* lstm.c - the long short-term memory of Hochreiter & Schmidhuber (1997), with a forget gate (Gers et al. 2000).
 *
 *   i, f, g, o = x[t] + h[t-1] W'                  of widths H; x = u W_in' + b is a product of its own
 *   c[t]  = sigmoid(f) c[t-1] + sigmoid(i) tanh(g)
 *   y[t]  = h[t] = sigmoid(o) tanh(c[t])           h[-1] = h0, c[-1] = c0, h = h[L-1], c = c[L-1]
 *
 * Rows of W stand in PyTorch's order i, f, g, o.  What a step does to the state is not linear in it, so
 * there is no scan: steps follow each other.  Where seq_idx changes, h[t-1] and c[t-1] are zero. */
#include "ops/lstm/lstm.h"

#include "ops/gemm.h"

KR_REF_DECLARE(lstm_fwd);
KR_REF_DECLARE(lstm_bwd);
KR_VEC_DECLARE(lstm_fwd);
KR_VEC_DECLARE(lstm_bwd);

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static kr_status lstm_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), D = KR_SIZE(c, 'D');
    if (D != LSTM_GATES * H) KR_FAIL(KR_ERR_SHAPE, "lstm: x and W have %lld gates for H=%lld, want 4 H", (long long)D, (long long)H);
    if (S == 0 || L == 0 || H == 0)
        KR_FAIL(KR_ERR_SHAPE, "lstm: S=%lld, L=%lld, H=%lld, want none empty", (long long)S, (long long)L, (long long)H);
    size_t ref = (size_t)(L * 6 * H + 8 * H) * kr_dtype_bytes(c->in[LSTM_X].dtype);
    size_t rows = (size_t)(S * L) * sizeof(float);
    /* h, c and the gates of a step; backward: those gates' gradients for all steps, and h */
    c->fwd_scratch = (size_t)(S * 6 * H + 16) * sizeof(float) + kr_gemm_scratch_for(c->in[LSTM_W].dtype, S, D, H, c->n_threads);
    c->bwd_scratch = rows * (size_t)(5 * H) + (size_t)(S * 2 * H + 48) * sizeof(float) +
                     larger(kr_gemm_scratch(S, H, D, c->n_threads), kr_gemm_scratch(D, H, S * L, c->n_threads));
    c->fwd_scratch = larger(c->fwd_scratch, ref);
    c->bwd_scratch = larger(c->bwd_scratch, ref);
    if (c->training) c->saved_bytes = rows * (size_t)(LSTM_SAVED * H);
    return KR_OK;
}

static double lstm_flops(const kr_call *c) {
    return 2.0 * (double)KR_SIZE(c, 'S') * (double)KR_SIZE(c, 'L') * (double)KR_SIZE(c, 'D') * (double)KR_SIZE(c, 'H');
}

const kr_op kr_op_lstm = {
    .name = "lstm",
    .sig = "x:SLD W:DH@w h0?:SH@f c0?:SH@f seq_idx?:SL@i -> y:SLH h:SH@f c:SH@f",
    .about = "a long short-term memory: gates x + h W', in the order i, f, g, o",
    .plan = lstm_plan,
    .fwd = {[KR_REF] = lstm_fwd_ref_f32, KR_VEC_IMPLS(lstm_fwd)},
    .bwd = {[KR_REF] = lstm_bwd_ref_f32, KR_VEC_IMPLS(lstm_bwd)},
    .fwd_f64 = lstm_fwd_ref_f64,
    .bwd_f64 = lstm_bwd_ref_f64,
    .bwd_in = (1 << (LSTM_SEQ_IDX + 1)) - 1,
    .no_grad = 1 << LSTM_SEQ_IDX,
    .state = {{LSTM_H0 + 1, LSTM_H + 1}, {LSTM_C0 + 1, LSTM_C + 1}},
    .may_alias = 1 << LSTM_H | 1 << LSTM_C,
    .flops = lstm_flops,
};
