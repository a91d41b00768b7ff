/* weave.c - rows into strips, and numbers out of them. */
#include "tensor/weave.h"

#include <string.h>

#include "base/mem.h"
#include "tensor/quant.h"

_Static_assert(KR_F16_WOVEN - KR_BF16_WOVEN == KR_F16 - KR_BF16 && KR_Q6_K_WOVEN - KR_Q8_0_WOVEN == KR_Q6_K - KR_Q8_0, "in one order");

kr_dtype kr_woven(kr_dtype t, int64_t width) {
    if (t >= KR_Q8_0 && t <= KR_Q6_K) return (kr_dtype)(KR_Q8_0_WOVEN + (t - KR_Q8_0));
    if (t == KR_F32) return KR_F32_WOVEN;
    return (t == KR_BF16 || t == KR_F16) && width % 2 == 0 ? (kr_dtype)(KR_BF16_WOVEN + (t - KR_BF16)) : t;
}

/* A block, or a word: `numbers` of them; `first` bytes that go by twos, then words, then `last` bytes by twos. */
typedef struct layout { int64_t numbers; size_t bytes, first, last; } layout;
static layout layout_of(kr_dtype plain) {
    int64_t numbers = kr_dtype_block(plain) > 1 ? kr_dtype_block(plain) : plain == KR_F32 ? 1 : 2;
    return (layout){numbers, kr_dtype_row_bytes(plain, numbers), plain == KR_Q8_0 || plain == KR_Q4_0 ? 2 : 0, plain == KR_Q6_K ? 2 : 0};
}

/* Of byte `at` of a block of the strip's row `lane`, from where the strip's blocks of that number begin. */
static inline size_t place(const layout *b, size_t lane, size_t at) {
    size_t end = b->bytes - b->last;
    if (at < b->first || at >= end) return at < b->first ? 2 * lane + at : KR_STRIP * end + 2 * lane + at - end;
    size_t within = (at - b->first) % 4;
    return KR_STRIP * (at - within) + 4 * lane + within;
}

size_t kr_woven_at(kr_dtype plain, int64_t rows, int64_t width, size_t at) {
    layout b = layout_of(plain);
    size_t ld = kr_dtype_row_bytes(plain, width), row = at / ld, in_row = at % ld, strip = row / KR_STRIP;
    if ((int64_t)((strip + 1) * KR_STRIP) > rows) return at;
    return strip * KR_STRIP * ld + in_row / b.bytes * b.bytes * KR_STRIP + place(&b, row % KR_STRIP, in_row % b.bytes);
}

static void weave_strip(uint8_t *to, const uint8_t *from, const layout *b, size_t ld) {
    size_t end = b->bytes - b->last; /* of the words */
    for (size_t n = 0; n < ld / b->bytes; n++, to += KR_STRIP * b->bytes)
        for (size_t lane = 0; lane < KR_STRIP; lane++) {
            const uint8_t *x = from + lane * ld + n * b->bytes;
            if (b->first) memcpy(to + 2 * lane, x, 2);
            for (size_t at = b->first; at < end; at += 4) memcpy(to + KR_STRIP * at + 4 * lane, x + at, 4);
            if (b->last) memcpy(to + KR_STRIP * end + 2 * lane, x + end, 2);
        }
}

kr_status kr_weave(void *data, kr_dtype plain, int64_t rows, int64_t width) {
    layout b = layout_of(plain);
    size_t ld = kr_dtype_row_bytes(plain, width);
    uint8_t *strip = kr_mem_array(KR_STRIP, ld);
    if (!strip) return KR_ERR_NOMEM;
    for (int64_t row = 0; row + KR_STRIP <= rows; row += KR_STRIP) {
        uint8_t *at = (uint8_t *)data + (size_t)row * ld;
        memcpy(strip, at, KR_STRIP * ld);
        weave_strip(at, strip, &b, ld);
    }
    kr_mem_free(strip);
    return KR_OK;
}

void kr_unweave(float *to, const void *data, kr_dtype woven, int64_t rows, int64_t width, int64_t from, int64_t n) {
    kr_dtype plain = kr_unwoven(woven);
    layout b = layout_of(plain);
    uint32_t one[(sizeof(kr_q6_k) + 3) / 4]; /* the largest block, as aligned as any */
    for (int64_t i = from; i < from + n; i += b.numbers, to += b.numbers) {
        size_t at = kr_dtype_row_bytes(plain, i);
        for (size_t k = 0; k < b.bytes; k += 2) memcpy((char *)one + k, (const char *)data + kr_woven_at(plain, rows, width, at + k), 2);
        kr_convert(to, KR_F32, one, plain, b.numbers);
    }
}

float kr_woven_number(const void *data, kr_dtype woven, int64_t rows, int64_t width, int64_t i) {
    float block[256];
    int64_t numbers = layout_of(kr_unwoven(woven)).numbers;
    kr_unweave(block, data, woven, rows, width, i / numbers * numbers, numbers);
    return block[i % numbers];
}
