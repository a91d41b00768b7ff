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

uint32_t kr_pair_hash(int32_t left, int32_t right) { return (uint32_t)(mix(mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right)) >> 32); }

int32_t kr_tokens_find(const kr_tokenizer *t, const void *bytes, size_t n) {
    uint32_t hash = kr_bytes_hash(bytes, n);
    for (uint32_t i = hash & t->slot_mask, slot; (slot = t->slot[i]); i = (i + 1) & t->slot_mask) {
        if (!kr_slot_may_be(slot, hash)) continue;
        int32_t id = (int32_t)kr_slot_index(slot);
        if (t->token[id].n == n && memcmp(kr_token_bytes(t, id), bytes, n) == 0) return id;
    }
    return -1;
}

const kr_merge *kr_merges_find(const kr_tokenizer *t, int32_t left, int32_t right) {
    uint32_t hash = kr_pair_hash(left, right);
    for (uint32_t i = hash & t->merge_mask, slot; (slot = t->merge_slot[i]); i = (i + 1) & t->merge_mask) {
        if (!kr_slot_may_be(slot, hash)) continue;
        const kr_merge *m = &t->merge[kr_slot_index(slot)];
        if (m->left == left && m->right == right) return m;
    }
    return NULL;
}
