/* attention.c - attention between steps, as in LLaMA, Jamba, Bamba and state-spaces' MHA.
 *
 *   q, k, v = u W_in                  one product, split by width; optionally conv1d on all three
 *   q, k    = rope(norm(q), norm(k))  each optional
 *   out     = attention(q, k, v) W_out
 *
 * While decoding the keys and values of the last cache_len steps are a state. */
#include "ops/ops.h"
#include "parts/attention.h"

#include "ops/attention/attention.h"
#include "ops/rope/rope.h"
#include "ops/unary/unary.h"

/* A norm reads rows of one head, so the slice is copied. */
static kr_node *normed(kr_build *b, const kr_attention *o, kr_node *x, const char *name, int64_t H, int64_t P) {
    return kr_rmsnorm(b, kr_split_last(b, kr_act(b, x, KR_UNARY_COPY), H, P), name, o->norm_eps);
}

static kr_node *turned(kr_build *b, const kr_attention *o, kr_node *x, kr_node *n0) {
    rope_attr a = {.dims = o->rope_dims < 0 ? 0 : o->rope_dims, .interleaved = o->rope_interleaved, .theta = o->rope_theta};
    return o->rope_dims == 0 ? x : KR_APPLY(b->g, rope, &a, x, n0, b->seq_idx);
}

kr_node *kr_attention_build(kr_build *b, const kr_attention *o, kr_node *u, kr_node *more) {
    kr_graph *g = b->g;
    int64_t H = o->n_head, G = o->n_kv_head ? o->n_kv_head : H, P = o->head_dim ? o->head_dim : b->d_model / H;
    if (H % G) return kr_graph_fail(g, KR_ERR_CONFIG, "attention: n_head %lld is no multiple of n_kv_head %lld", (long long)H, (long long)G);
    if (!o->head_dim && b->d_model % H)
        return kr_graph_fail(g, KR_ERR_CONFIG, "attention: d_model %lld is no multiple of n_head %lld", (long long)b->d_model, (long long)H);
    if (o->rope_dims > 0 && (o->rope_dims % 2 || o->rope_dims > P))
        return kr_graph_fail(g, KR_ERR_CONFIG, "attention: rope_dims is %lld, want an even number up to head_dim %lld", (long long)o->rope_dims, (long long)P);
    if (!o->causal && b->stateful) return kr_graph_fail(g, KR_ERR_CONFIG, "attention that is not causal sees the future, so it cannot go step by step");
    if (o->d_conv == 1) return kr_graph_fail(g, KR_ERR_CONFIG, "attention: d_conv is 1, want 0 or 2 to 8");
    kr_node *p = kr_linear(b, u, "in_proj", (H + 2 * G) * P, o->qkv_bias);
    if (more) p = kr_add(b, p, more);
    if (o->d_conv) p = kr_conv1d_plain(b, p, o->d_conv, true);
    kr_node *n0 = b->stateful ? kr_state_i32(g, "position", 1, &b->S) : NULL;
    kr_node *cache = b->stateful ? kr_state(g, "kv_cache", 4, KR_DIMS(b->S, 2 * G, o->cache_len, P)) : NULL;
    kr_node *v = kr_split_last(b, kr_columns(g, p, (H + G) * P, G * P), G, P), *q, *k;
    if (o->qk_norm) {
        q = turned(b, o, normed(b, o, kr_columns(g, p, 0, H * P), "q_norm", H, P), n0);
        k = turned(b, o, normed(b, o, kr_columns(g, p, H * P, G * P), "k_norm", G, P), n0);
    } else { /* both at once: heads are alike */
        kr_node *qk = turned(b, o, kr_split_last(b, kr_columns(g, p, 0, (H + G) * P), H + G, P), n0);
        if (o->rope_dims != 0) p = kr_reshape(g, qk, 3, KR_DIMS(b->S, b->L, (H + G) * P));
        q = kr_split_last(b, kr_columns(g, p, 0, H * P), H, P);
        k = kr_split_last(b, kr_columns(g, p, H * P, G * P), G, P);
    }
    attention_attr a = {.causal = o->causal, .window = o->window, .scale = o->scale};
    kr_node *out[KR_MAX_OUT], *in[KR_MAX_IN] = {[ATTENTION_Q] = q, [ATTENTION_K] = k, [ATTENTION_V] = v, [ATTENTION_CACHE0] = cache,
                                                [ATTENTION_N0] = n0, [ATTENTION_SEQ_IDX] = b->seq_idx};
    kr_node *y = kr_apply(g, &kr_op_attention, &a, in, out);
    if (y && cache) {
        kr_state_set_next(g, cache, out[ATTENTION_CACHE]);
        kr_state_set_next(g, n0, out[ATTENTION_N]);
    }
    return kr_linear_out(b, kr_reshape(g, y, 3, KR_DIMS(b->S, b->L, H * P)), "out_proj", b->d_model, o->out_bias);
}
