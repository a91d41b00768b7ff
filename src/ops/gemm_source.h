/* gemm_source.h - KR_VL columns of weights in blocks, as they lie or woven (tensor/weave.h); for gemm_blocks*_vec.c.
 *
 * Byte `at` of the columns' rows: what is asked for comes lane by lane, a column each, whatever the arrangement.
 * `woven` is a constant where it is passed. */
#ifndef KR_OPS_GEMM_SOURCE_H
#define KR_OPS_GEMM_SOURCE_H
#include <string.h>

#include "ops/gemm.h"
#include "ops/gemm_turn.h"
#include "tensor/weave.h"

#define SOURCE_INLINE static inline __attribute__((always_inline))
typedef uint16_t vh __attribute__((vector_size(KR_VL * sizeof(uint16_t))));

typedef struct source {
    const uint8_t *row[KR_VL]; /* plain: where the columns' blocks begin (a column past the end: the last again) */
    vi offset;                 /* how far behind the first each is */
    const uint8_t *words, *halves; /* woven: these lanes of the strip, of four bytes and of two each */
    const char *ahead;         /* what to fetch meanwhile */
    bool woven;
} source;

/* n columns from j on, from number k of their rows on. */
static void source_at(source *s, const kr_gemm *g, int64_t j, int64_t n, int64_t k) {
    int64_t ld = (int64_t)kr_dtype_row_bytes(g->b_type, g->ldb), skip = (int64_t)kr_dtype_row_bytes(g->b_type, k), lane = j % KR_STRIP;
    const uint8_t *first = (const uint8_t *)g->b + j * ld + skip;
    s->woven = kr_is_woven(g->b_type) && j - lane + KR_STRIP <= g->n;
    s->words = (const uint8_t *)g->b + (j - lane) * ld + skip * KR_STRIP + 4 * lane, s->halves = s->words - 2 * lane;
    for (int i = 0; i < KR_VL && !s->woven; i++) {
        s->offset[i] = (int32_t)(kr_gemm_least(i, n - 1) * ld);
        s->row[i] = first + s->offset[i];
    }
}

/* Words of four bytes from `at` on: 4 or 8 of them. */
SOURCE_INLINE void words_at(const source *s, const bool woven, int64_t at, const int n, vi *t) {
    if (woven) {
#pragma GCC unroll 8
        for (int c = 0; c < n; c++) memcpy(&t[c], s->words + KR_STRIP * (at + 4 * c), sizeof *t);
    } else if (n == 8) {
        turn_eight(s->row, at, t);
    } else {
        turn_four(s->row, at, t);
    }
}

/* Four bytes of each column, where they lie. */
SOURCE_INLINE vi four_bytes(const source *s, int64_t at) {
#if defined(KR_V512_)
    return (vi)_mm512_i32gather_epi32((__m512i)s->offset, s->row[0] + at, 1);
#elif defined(KR_V256_)
    return (vi)_mm256_i32gather_epi32((const int *)(const void *)(s->row[0] + at), (__m256i)s->offset, 1);
#else
    vi v;
    for (int i = 0; i < KR_VL; i++) memcpy((char *)&v + 4 * i, s->row[i] + at, 4);
    return v;
#endif
}
SOURCE_INLINE vf low_half(vi h) { return from_upper(h << 16, false); }
SOURCE_INLINE vf high_half(vi h) { return from_upper(h & (int32_t)0xffff0000u, false); }

/* The half at `at`: before (then two bytes more are read) or behind a block's other bytes. */
SOURCE_INLINE vf half_at(const source *s, const bool woven, int64_t at, const bool behind) {
    if (woven) {
        const void *from = s->halves + KR_STRIP * at;
#if defined(KR_V512_)
        return (vf)_mm512_cvtph_ps(_mm256_loadu_si256(from));
#elif defined(KR_V256_)
        return (vf)_mm256_cvtph_ps(_mm_loadu_si128(from));
#else
        vh h;
        memcpy(&h, from, sizeof h);
        return low_half(__builtin_convertvector(h, vi));
#endif
    }
    return behind ? high_half(four_bytes(s, at - 2)) : low_half(four_bytes(s, at));
}

/* gemm_blocks_row_vec.c: columns [j0, j1) of all rows, which have been rounded to x and a, on the calling thread; for so
 * many rows as it is made for, of which 1 is always one. */
bool KR_VEC(kr_gemm_blocks_has_rows)(int64_t rows, kr_dtype type, bool vnni);
void KR_VEC(kr_gemm_blocks_row)(const kr_gemm *g, bool vnni, const int8_t *x, const kr_gemm_group *a, int64_t j0, int64_t j1);
#endif
