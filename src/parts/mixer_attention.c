/* mixer_attention.c - attention between steps as a mixer; see attention.h. */
#include "parts/attention.h"

static const kr_key keys[] = {
    KR_KEY_INT(kr_attention, n_head, 8, 1, 1 << 20, "heads H of queries"),
    KR_KEY_INT(kr_attention, n_kv_head, 0, 0, 1 << 20, "heads G of keys and values, shared evenly; 0: n_head"),
    KR_KEY_INT(kr_attention, head_dim, 0, 0, 1 << 20, "width P of a head; 0: d_model / n_head"),
    KR_KEY_BOOL(kr_attention, causal, true, "a step sees none after it; false: it sees all, and nothing can be decoded"),
    KR_KEY_INT(kr_attention, rope_dims, -1, -1, 1 << 20, "numbers of a head that rotary positions turn, even; 0: none; -1: all"),
    KR_KEY_REAL(kr_attention, rope_theta, 10000, 1e-3, 1e30, "base of their wavelengths"),
    KR_KEY_BOOL(kr_attention, rope_interleaved, false, "neighbouring numbers turn together, not the halves of a head"),
    KR_KEY_INT(kr_attention, window, 0, 0, INT32_MAX, "steps that a step sees, itself included; 0: all before it"),
    KR_KEY_REAL(kr_attention, scale, 0, 0, 1e6, "factor of the scores; 0: head_dim^-0.5"),
    KR_KEY_BOOL(kr_attention, qk_norm, false, "queries and keys are normalised, head by head"),
    KR_KEY_REAL(kr_attention, norm_eps, 1e-6, 0, 1, "epsilon of these norms"),
    KR_KEY_INT(kr_attention, d_conv, 0, 0, 8, "taps of a convolution on queries, keys and values; 0: none"),
    KR_KEY_BOOL(kr_attention, qkv_bias, false, "in_proj has a bias"),
    KR_KEY_BOOL(kr_attention, out_bias, false, "out_proj has a bias"),
    KR_KEY_INT(kr_attention, cache_len, 2048, 1, INT32_MAX, "steps that decoding remembers; a step then sees no further back"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *u) { return kr_attention_build(b, opt, u, NULL); }

static bool looks_ahead(const void *opt) { return !((const kr_attention *)opt)->causal; }

const kr_part kr_part_mixer_attention = {.kind = "mixer", .name = "attention", .about = "softmax attention with rotary positions; heads may share keys",
                                         .bytes = sizeof(kr_attention), .keys = keys, .causal = true, .looks_ahead = looks_ahead, .build = build};
