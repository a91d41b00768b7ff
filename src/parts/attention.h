/* attention.h - what every part with attention builds it by. */
#ifndef KR_PARTS_ATTENTION_H
#define KR_PARTS_ATTENTION_H
#include "parts/part.h"

typedef struct kr_attention {
    int64_t n_head, n_kv_head, head_dim, rope_dims, window, d_conv, cache_len;
    double rope_theta, scale, norm_eps;
    bool causal, rope_interleaved, qkv_bias, out_bias, qk_norm;
} kr_attention;

/* u [S, L, any width] -> [S, L, M]; `more` is added to what in_proj makes (NULL: nothing). */
kr_node *kr_attention_build(kr_build *b, const kr_attention *o, kr_node *u, kr_node *more);
#endif
