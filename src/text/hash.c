/* hash.c - bytes to a token, two tokens to the one they merge into: open addressing. */
#include <string.h>

#include "text/tokenizer.h"

static inline uint64_t mix(uint64_t x) {
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

uint32_t kr_bytes_hash(const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    uint64_t h = n, word;
    for (; n >= 8; p += 8, n -= 8) memcpy(&word, p, 8), h = mix(h ^ word);
    word = 0;
    for (size_t i = 0; i < n; i++) word |= (uint64_t)p[i] << (8 * i);
    return (uint32_t)(mix(mix(h ^ word)) >> 32);
}

uint32_t kr_pair_hash(uint64_t pair) { return (uint32_t)(mix(mix(pair)) >> 32); }

int32_t kr_tokens_find(const kr_tokenizer *t, const void *bytes, size_t n) {
    for (uint32_t i = kr_bytes_hash(bytes, n) & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        int32_t id = t->slot[i];
        if (id < 0 || (t->token[id].n == n && memcmp(t->token[id].text, bytes, n) == 0)) return id;
    }
}

const kr_merge *kr_merges_find(const kr_tokenizer *t, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint32_t i = kr_pair_hash(pair) & t->merge_mask;; i = (i + 1) & t->merge_mask) {
        if (t->merge[i].pair == pair) return &t->merge[i];
        if (t->merge[i].pair == UINT64_MAX) return NULL;
    }
}
