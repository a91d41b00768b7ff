/* attention.c - softmax attention (Vaswani et al. 2017), with what decoding needs of it.
 *
 *   y[t] = sum_j p[t,j] v[j],   p[t,.] = softmax over j of scale q[t] . k[j]
 *
 * for each sequence S and head H; the H/G heads of a group share k and v.  A step sees
 * itself and the steps before it (causal) or all, `window` of them at most, and never one
 * of another seq_idx.
 *
 * cache holds the keys (rows 0 .. G-1) and values (G .. 2G-1) of the C steps before the
 * first, step number i in slot i % C; n0 steps were read so far.  A step then sees C at most.
 * The document of the first step goes on with the cache; when a later one ends the row, the
 * cache and the count start anew with it.  Without a cache there is nothing before the row. */
#include "ops/attention/attention.h"

#include "ops/attention/attention_tiles.h"

KR_REF_DECLARE(attention_fwd);
KR_REF_DECLARE(attention_bwd);
KR_VEC_DECLARE(attention_fwd);
KR_VEC_DECLARE(attention_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(attention_attr, causal, 1, "1: a step sees none after it"),
    KR_ATTR_INT(attention_attr, window, 0, "steps that a step sees on one side, itself included; 0: all"),
    KR_ATTR_INT(attention_attr, cache_len, 0, "slots C of the cache that is made where none is given; 0: one, and no limit of sight"),
    KR_ATTR_REAL(attention_attr, scale, 0, "factor of the scores; 0: 1 / sqrt(P)"),
    KR_ATTR_END,
};

static kr_status attention_plan(kr_call *c) {
    const attention_attr *a = c->attr;
    for (const char *l = "SLHGP"; *l; l++)
        if (KR_SIZE(c, *l) == 0) KR_FAIL(KR_ERR_SHAPE, "attention: %c is 0, want at least 1", *l);
    int64_t H = KR_SIZE(c, 'H'), G = KR_SIZE(c, 'G'), T = KR_SIZE(c, 'T');
    if (H % G != 0) KR_FAIL(KR_ERR_SHAPE, "attention: H = %lld heads do not split into G = %lld groups", (long long)H, (long long)G);
    if (T >= 0 && T != 2 * G)
        KR_FAIL(KR_ERR_SHAPE, "attention: cache0 has T = %lld rows, want 2 G = %lld", (long long)T, (long long)(2 * G));
    if (a->window < 0 || a->cache_len < 0) KR_FAIL(KR_ERR_ARG, "attention: window and cache_len may not be negative");
    bool cached = c->in[ATTENTION_CACHE0].n_dims > 0;
    if (cached != (c->in[ATTENTION_N0].n_dims > 0)) KR_FAIL(KR_ERR_ARG, "attention: cache0 and n0 come together or not at all");
    if (cached && !a->causal) KR_FAIL(KR_ERR_ARG, "attention: with a cache it has to be causal");
    if (cached && KR_SIZE(c, 'C') == 0) KR_FAIL(KR_ERR_SHAPE, "attention: C is 0, want at least 1");
    KR_SIZE(c, 'T') = 2 * G;
    if (!cached) KR_SIZE(c, 'C') = a->cache_len ? a->cache_len : 1;
    attention_dims d = attention_dims_of(c);
    /* a reference keeps a row of probabilities, and of their gradients */
    size_t row = 2 * (size_t)(d.L + (cached ? d.C : 0)) * kr_dtype_bytes(c->in[ATTENTION_Q].dtype);
    size_t fwd = attention_fwd_bytes(&d, c->n_threads), bwd = attention_bwd_bytes(&d, c->n_threads);
    c->fwd_scratch = fwd > row ? fwd : row;
    c->bwd_scratch = bwd > row ? bwd : row;
    if (c->training) c->saved_bytes = (size_t)(d.S * d.H * d.L) * sizeof(float);
    return KR_OK;
}

/* Of the scores and of the sum over values. */
static double attention_flops(const kr_call *c) {
    attention_dims d = attention_dims_of(c);
    double L = (double)d.L, w = d.reach < d.L ? (double)d.reach : L;
    double seen = d.causal ? L * w - w * (w - 1) / 2 : L * (2 * w < L ? 2 * w : L);
    if (d.cached) seen += L * (double)d.C;
    return 4 * (double)(d.S * d.H * d.P) * seen;
}

const kr_op kr_op_attention = {
    .name = "attention",
    .sig = "q:SLHP k:SLGP v:SLGP cache0?:STCP@f n0?:S@i seq_idx?:SL@i -> y:SLHP cache:STCP@f n:S@i",
    .about = "softmax attention; G < H: heads share keys",
    .attr_bytes = sizeof(attention_attr),
    .attrs = attrs,
    .plan = attention_plan,
    .fwd = {[KR_REF] = attention_fwd_ref_f32, KR_VEC_IMPLS(attention_fwd)},
    .bwd = {[KR_REF] = attention_bwd_ref_f32, KR_VEC_IMPLS(attention_bwd)},
    .fwd_f64 = attention_fwd_ref_f64,
    .bwd_f64 = attention_bwd_ref_f64,
    .bwd_in = (1 << (ATTENTION_SEQ_IDX + 1)) - 1,
    .bwd_out = 1 << ATTENTION_Y,
    .no_grad = 1 << ATTENTION_CACHE0 | 1 << ATTENTION_N0 | 1 << ATTENTION_SEQ_IDX,
    .state = {{ATTENTION_CACHE0 + 1, ATTENTION_CACHE + 1}, {ATTENTION_N0 + 1, ATTENTION_N + 1}},
    .may_alias = 1 << ATTENTION_CACHE | 1 << ATTENTION_N,
    .flops = attention_flops,
};
