/* gguf_case.h - GGUF files made by hand, for tests: a Mamba-1 of one layer with a vocabulary of 260. */
#ifndef KR_TESTS_GGUF_CASE_H
#define KR_TESTS_GGUF_CASE_H
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "model/gguf.h"
#include "text/tokenizer.h"

static inline void put_int(kr_str *s, uint64_t x, size_t bytes) { kr_str_append_n(s, &x, bytes); }
static inline void put_text(kr_str *s, const char *text) {
    put_int(s, strlen(text), 8);
    kr_str_append(s, text);
}
static inline void put_key(kr_str *s, const char *key, kr_gguf_kind kind) {
    put_text(s, key);
    put_int(s, kind, 4);
}
static inline void put_pair_text(kr_str *s, const char *key, const char *text) {
    put_key(s, key, KR_GGUF_TEXT);
    put_text(s, text);
}
static inline void put_pair_int(kr_str *s, const char *key, uint32_t x) {
    put_key(s, key, KR_GGUF_U32);
    put_int(s, x, 4);
}
static inline void put_header(kr_str *s, uint32_t version, uint64_t n_tensors, uint64_t n_pairs) {
    kr_str_append(s, "GGUF");
    put_int(s, version, 4);
    put_int(s, n_tensors, 8);
    put_int(s, n_pairs, 8);
}
/* ne: innermost first, as in the file. */
static inline void put_info(kr_str *s, const char *name, int n_dims, const uint64_t *ne, uint32_t type, uint64_t offset) {
    put_text(s, name);
    put_int(s, (uint64_t)n_dims, 4);
    for (int i = 0; i < n_dims; i++) put_int(s, ne[i], 8);
    put_int(s, type, 4);
    put_int(s, offset, 8);
}

enum { CASE_V = 260, CASE_M = 32, CASE_E = 64, CASE_N = 2, CASE_K = 4, CASE_R = 2 };

/* type: of the table and the big products. */
static inline void put_model(kr_str *s, kr_dtype type) {
    static const char *const names[] = {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ssm_in.weight", "blk.0.ssm_conv1d.weight",
                                        "blk.0.ssm_conv1d.bias", "blk.0.ssm_x.weight", "blk.0.ssm_dt.weight", "blk.0.ssm_dt.bias", "blk.0.ssm_a", "blk.0.ssm_d", "blk.0.ssm_out.weight"};
    static const uint64_t ne[][2] = {{CASE_M, CASE_V}, {CASE_M}, {CASE_M}, {CASE_M, 2 * CASE_E}, {CASE_K, CASE_E}, {CASE_E}, {CASE_E, CASE_R + 2 * CASE_N},
                                     {CASE_R, CASE_E}, {CASE_E}, {CASE_N, CASE_E}, {CASE_E}, {CASE_E, CASE_M}};
    uint64_t offset = 0;
    float minus = -0.5f, eps = 1e-5f;
    put_header(s, 3, 12, 14);
    put_pair_text(s, "general.architecture", "mamba");
    put_pair_int(s, "mamba.embedding_length", CASE_M);
    put_pair_int(s, "mamba.block_count", 1);
    put_pair_int(s, "mamba.ssm.conv_kernel", CASE_K);
    put_pair_int(s, "mamba.ssm.inner_size", CASE_E);
    put_pair_int(s, "mamba.ssm.state_size", CASE_N);
    put_pair_int(s, "mamba.ssm.time_step_rank", CASE_R);
    put_key(s, "mamba.attention.layer_norm_rms_epsilon", KR_GGUF_F32);
    kr_str_append_n(s, &eps, 4);
    put_pair_text(s, "tokenizer.ggml.model", "gpt2");
    put_pair_text(s, "tokenizer.ggml.pre", "mpt");
    put_pair_int(s, "tokenizer.ggml.eos_token_id", 258);
    put_key(s, "tokenizer.ggml.tokens", KR_GGUF_ARRAY); /* bytes, "th", "<|end|>", a hole, spaces */
    put_int(s, KR_GGUF_TEXT, 4);
    put_int(s, CASE_V, 8);
    for (int b = 0; b < 256; b++) {
        kr_str letter = {0};
        kr_spell_bytes(&letter, &(char){(char)b}, 1);
        put_text(s, kr_str_text(&letter));
        kr_str_free(&letter);
    }
    put_text(s, "th");
    put_text(s, "[PAD257]");
    put_text(s, "<|end|>");
    put_text(s, "    ");
    put_key(s, "tokenizer.ggml.token_type", KR_GGUF_ARRAY);
    put_int(s, KR_GGUF_I32, 4);
    put_int(s, CASE_V, 8);
    for (int i = 0; i < CASE_V; i++) put_int(s, i == 257 ? 5 : i == 258 ? 3 : i == 259 ? 4 : 1, 4);
    put_key(s, "tokenizer.ggml.merges", KR_GGUF_ARRAY);
    put_int(s, KR_GGUF_TEXT, 4);
    put_int(s, 1, 8);
    put_text(s, "t h");
    for (int i = 0; i < 12; i++) {
        kr_dtype t = i == 0 || i == 3 || i == 11 ? type : KR_F32;
        put_info(s, names[i], ne[i][1] ? 2 : 1, ne[i], (uint32_t)kr_gguf_type_of(t), offset);
        offset += (kr_dtype_row_bytes(t, (int64_t)(ne[i][0] * (ne[i][1] ? ne[i][1] : 1))) + 31) / 32 * 32;
    }
    while (s->n % 32) kr_str_append_char(s, 0);
    for (uint64_t i = 0; i < offset; i += 4) kr_str_append_n(s, &minus, 4);
}
#endif
