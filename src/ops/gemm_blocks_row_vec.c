/* gemm_blocks_row_vec.c - one row, or a few, by weights in blocks, as decoding takes them.
 *
 * As gemm_blocks_vec.c does it, but what is turned around is multiplied at once, from registers:
 * for few rows the way through a panel in L1 would cost more than the products.  The sums are
 * those of gemm.h, bit for bit. */
#include <string.h>

#include "base/vec.h"
#include "ops/gemm.h"
#include "ops/gemm_dot.h"
#include "ops/gemm_turn.h"
#include "tensor/quant.h"

#define INLINE static inline __attribute__((always_inline))

/* Where KR_VL columns' blocks begin (a column past the end: the last again), how far behind the first
 * each is, and what to fetch meanwhile. */
typedef struct source { const uint8_t *row[KR_VL]; vi offset; const char *ahead; } source;

typedef struct few { const int8_t *x; const kr_gemm_group *a; int64_t k, groups; } few; /* the rows, rounded */
#define EACH_ROW _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++)

/* Into L1 what is next, into L2 what follows: L1 alone has too few lines under way to keep up with memory.  Row i of so
 * many asks for its share of the bytes: many at once would make the products wait. */
enum { FURTHER = 16384 }; /* bytes */
INLINE void fetch(const source *s, int64_t bytes, const int i, const int rows) {
    for (int64_t at = 64 * i; at < bytes; at += 64 * rows)
        __builtin_prefetch(s->ahead + at), __builtin_prefetch(s->ahead + at + FURTHER, 0, 2);
}

/* Four bytes of each column. */
INLINE vi four_bytes(const source *s, int64_t at) {
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
INLINE vf low_half(vi h) { return from_upper(h << 16, false); }
INLINE vf high_half(vi h) { return from_upper(h & (int32_t)0xffff0000u, false); }

INLINE vi four_of(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
    return four - (vi){0};
}
/* s + the products of n words of weights with four numbers of x each; the weights have `bits` bits. */
INLINE vi dots(vi s, const vi *w, const int8_t *x, const int n, const int bits, const bool vnni) {
    if (DOT_PAIRS && !vnni) {
        const int most = bits == 4 ? 8 : 2;
        for (int i = 0; i < n; i += most) {
            v16 pairs = {0};
#pragma GCC unroll 8
            for (int k = i; k < i + most; k++) pairs = dot_add16(pairs, w[k], four_of(x + 4 * k));
            s = dot_sum16(s, pairs);
        }
        return s;
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) s = dot_low(s, w[i], four_of(x + 4 * i), vnni);
    return s;
}
/* The upper of two numbers in each byte; where bytes may have all eight bits, 16 times it. */
INLINE vi upper(vi q, const bool whole) { return whole ? q & (int32_t)0xf0f0f0f0u : q >> 4 & 0x0f0f0f0f; }
/* Byte k of each word (below 64) as a number. */
INLINE vf byte_of(vi v, const int k) {
    return __builtin_convertvector(k == 0 ? v & 63 : k == 3 ? v >> 24 : v >> 8 * k & 63, vf);
}
INLINE vf scaled(vf sum, vi s, vf scale, float d) { return v_fma(__builtin_convertvector(s, vf), scale * d, sum); }

#if defined(KR_V512_)
#define ONE_ROW true
/* a and b's lanes in pairs: each sum beside that of the other vector. */
INLINE vi add_pairs(vi a, vi b) {
    return (vi)_mm512_unpacklo_epi32((__m512i)a, (__m512i)b) + (vi)_mm512_unpackhi_epi32((__m512i)a, (__m512i)b);
}
INLINE vi add_fours(const vi *v) {
    __m512i a = (__m512i)add_pairs(v[0], v[1]), b = (__m512i)add_pairs(v[2], v[3]);
    return (vi)_mm512_unpacklo_epi64(a, b) + (vi)_mm512_unpackhi_epi64(a, b);
}
/* A single row need not turn weights around: the lanes of a column can be summed when they are multiplied, as whole
 * numbers may be in any order.  32 bytes of each column by those of x, two columns to a vector. */
INLINE vi dots_of_one(const source *s, int64_t at, const int8_t *x) {
    vi v[8], y = (vi)_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)x));
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        int r = i < 4 ? i : i + 4;
        __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(s->row[r] + at));
        __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(s->row[r + 4] + at));
        v[i] = dot_low((vi){0}, (vi)_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1) ^ (int32_t)0x80808080u, y, true);
    }
    __m512i a = (__m512i)add_fours(v), b = (__m512i)add_fours(v + 4);
    return (vi)_mm512_shuffle_i32x4(a, b, 0x88) + (vi)_mm512_shuffle_i32x4(a, b, 0xdd);
}
#else
#define ONE_ROW false
INLINE vi dots_of_one(const source *s, int64_t at, const int8_t *x) {
    (void)s, (void)at, (void)x;
    return (vi){0};
}
#endif

INLINE void row_q8_0(source *s, const few *r, const int rows, const bool vnni, vf *sum) {
    for (int64_t g = 0; g < r->groups; g++) {
        vi t[8];
        vf scale = low_half(four_bytes(s, g * 34));
        if (ONE_ROW && vnni && rows == 1) {
            fetch(s, KR_VL * 34, 0, 1);
            s->ahead += KR_VL * 34;
            sum[0] = scaled(sum[0], dots_of_one(s, g * 34 + 2, r->x + 32 * g) + r->a[g].base[0], scale, r->a[g].d);
            continue;
        }
        turn_eight(s->row, g * 34 + 2, t);
        if (vnni) {
#pragma GCC unroll 8
            for (int c = 0; c < 8; c++) t[c] ^= (int32_t)0x80808080u;
        }
        EACH_ROW {
            const int8_t *x = r->x + i * r->k + 32 * g;
            const kr_gemm_group *a = &r->a[i * r->groups + g];
            fetch(s, KR_VL * 34, i, rows);
            vi n = vnni ? dots(a->base[0] - (vi){0}, t, x, 8, 8, true) : (vi){0};
#pragma GCC unroll 8
            for (int c = 0; c < 8 && !vnni; c++) n = dot_signed(n, t[c], four_of(x + 4 * c));
            sum[i] = scaled(sum[i], n, scale, a->d);
        }
        s->ahead += KR_VL * 34;
    }
}

INLINE void row_q4_0(source *s, const few *r, const int rows, const bool vnni, vf *sum) {
    for (int64_t g = 0; g < r->groups; g++) {
        vi t[4], w[8];
        turn_four(s->row, g * 18 + 2, t);
        vf scale = low_half(four_bytes(s, g * 18));
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) w[c] = t[c] & 0x0f0f0f0f, w[4 + c] = upper(t[c], vnni && rows == 1);
        EACH_ROW {
            const kr_gemm_group *a = &r->a[i * r->groups + g];
            const int8_t *x = r->x + i * r->k + 32 * g;
            fetch(s, KR_VL * 18, i, rows);
            vi n = dots(a->base[0] - (vi){0}, w, x, vnni && rows == 1 ? 4 : 8, 4, vnni);
            if (vnni && rows == 1) n += dots((vi){0}, w + 4, x + 16, 4, 8, true) >> 4;
            sum[i] = scaled(sum[i], n, scale, a->d);
        }
        s->ahead += KR_VL * 18;
    }
}

INLINE void row_q4_k(source *s, const few *r, const int rows, const bool vnni, vf *sum) {
    for (int64_t g = 0; g < r->groups; g += 8) {
        int64_t at = g / 8 * 144;
        vi t[4], scale[2], min[2];
        turn_four(s->row, at, t);
        vf d = low_half(t[0]), dmin = high_half(t[0]), d16 = d * 0.0625f;
        scale[0] = t[1] & 0x3f3f3f3f, min[0] = t[2] & 0x3f3f3f3f;
        scale[1] = (t[3] & 0x0f0f0f0f) | (t[1] >> 2 & 0x30303030), min[1] = (t[3] >> 4 & 0x0f0f0f0f) | (t[2] >> 2 & 0x30303030);
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; pair++) {
            vi q[8], w[8];
            turn_eight(s->row, at + 16 + 32 * pair, q);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                int k = 2 * pair + half;
#pragma GCC unroll 8
                for (int c = 0; c < 8; c++) w[c] = half ? upper(q[c], vnni) : q[c] & 0x0f0f0f0f;
                vf sk = (half && vnni ? d16 : d) * byte_of(scale[k / 4], k % 4), mk = dmin * byte_of(min[k / 4], k % 4);
                EACH_ROW {
                    const kr_gemm_group *a = &r->a[i * r->groups + g + k];
                    fetch(s, KR_VL * 36, half * rows + i, 2 * rows);
                    sum[i] = scaled(sum[i], dots((vi){0}, w, r->x + i * r->k + 32 * (g + k), 8, 4, vnni), sk, a->d);
                    sum[i] = v_fma(-mk, v_set(a->sum), sum[i]);
                }
            }
            s->ahead += KR_VL * 36;
        }
    }
}

INLINE void row_q6_k(source *s, const few *r, const int rows, const bool vnni, vf *sum) {
    for (int64_t g = 0; g < r->groups; g += 8) {
        int64_t at = g / 8 * 210;
        vi scale[4];
        vf d = high_half(four_bytes(s, at + 206)); /* two bytes more would be past the last block */
        turn_four(s->row, at + 192, scale);
        for (int h = 0; h < 2; h++) {
            vi t[16], high[8];
            turn_eight(s->row, at + 64 * h, t), turn_eight(s->row, at + 64 * h + 32, t + 8);
            turn_eight(s->row, at + 128 + 32 * h, high);
#pragma GCC unroll 8
            for (int half = 0; half < 8; half++) { /* of the groups g + 4 h .. + 3, 16 numbers each */
                int k = 8 * h + half;
                vi w[4];
#pragma GCC unroll 4
                for (int c = 0; c < 4; c++) {
                    int j = 4 * half + c;
                    vi low = t[j % 16] >> 4 * (j / 16), up = j / 8 < 2 ? high[j % 8] << (4 - 2 * (j / 8)) : high[j % 8] >> (2 * (j / 8) - 4);
                    w[c] = (up ^ ((up ^ low) & 0x0f0f0f0f)) & 0x3f3f3f3f;
                }
                vf sk = d * __builtin_convertvector(scale[k / 4] << (24 - 8 * (k % 4)) >> 24, vf);
                EACH_ROW {
                    const kr_gemm_group *a = &r->a[i * r->groups + g + 4 * h + half / 2];
                    fetch(s, KR_VL * 105, half * rows + i, 8 * rows);
                    vi n = dots(a->base[half % 2] - (vi){0}, w, r->x + i * r->k + 32 * (g + 4 * h) + 16 * half, 4, 6, vnni);
                    sum[i] = scaled(sum[i], n, sk, a->d);
                }
            }
            s->ahead += KR_VL * 105;
        }
    }
}

typedef void row_kernel(source *s, const few *r, vf *sum);
#define ROW(type, rows, vnni)                                                 \
    static void type##_##rows##_##vnni(source *s, const few *r, vf *sum) {   \
        vf y[rows];                                                           \
        memcpy(y, sum, sizeof y);                                             \
        row_##type(s, r, rows, vnni, y);                                      \
        memcpy(sum, y, sizeof y);                                             \
    }
#define TYPES(rows, vnni) ROW(q8_0, rows, vnni) ROW(q4_0, rows, vnni) ROW(q4_k, rows, vnni) ROW(q6_k, rows, vnni)
#define NAMES(rows, vnni) {q8_0_##rows##_##vnni, q4_0_##rows##_##vnni, q4_k_##rows##_##vnni, q6_k_##rows##_##vnni}
TYPES(1, 0)
static row_kernel *const plain[4] = NAMES(1, 0);
#if defined(KR_V512_)
TYPES(1, 1) TYPES(2, 1) TYPES(4, 1) TYPES(8, 1)
static row_kernel *const fast[4][4] = {NAMES(1, 1), NAMES(2, 1), NAMES(4, 1), NAMES(8, 1)};
#elif defined(KR_V256_)
TYPES(1, 1)
static row_kernel *const fast[1][4] = {NAMES(1, 1)};
#endif

static row_kernel *kernel_for(int64_t rows, kr_dtype type, bool vnni) {
    int t = type == KR_Q8_0 ? 0 : type == KR_Q4_0 ? 1 : type == KR_Q4_K ? 2 : 3;
#if defined(KR_V512_) || defined(KR_V256_)
    int64_t i = rows == 8 ? 3 : rows / 2;
    if (vnni) return i < (int64_t)(sizeof fast / sizeof *fast) && rows == (int64_t)1 << i ? fast[i][t] : NULL;
#endif
    (void)vnni;
    return rows == 1 ? plain[t] : NULL;
}

bool KR_VEC(kr_gemm_blocks_has_rows)(int64_t rows, bool vnni) { return kernel_for(rows, KR_Q8_0, vnni) != NULL; }

void KR_VEC(kr_gemm_blocks_row)(const kr_gemm *g, bool vnni, const int8_t *x, const kr_gemm_group *a, int64_t j0, int64_t j1) {
    int64_t ld = (int64_t)kr_dtype_row_bytes(g->b_type, g->ldb);
    few r = {x, a, g->k, g->k / 32};
    row_kernel *kernel = kernel_for(g->m, g->b_type, vnni);
    for (int64_t j = j0; j < j1; j += KR_VL) {
        int64_t n = kr_gemm_least(KR_VL, j1 - j);
        source s = {.ahead = (const char *)g->b + (j + KR_VL) * ld};
        vf sum[8];
        for (int i = 0; i < KR_VL; i++) {
            int64_t offset = kr_gemm_least(i, n - 1) * ld;
            s.row[i] = (const uint8_t *)g->b + j * ld + offset;
            s.offset[i] = (int32_t)offset;
        }
        for (int64_t i = 0; i < g->m; i++) {
            sum[i] = g->acc ? v_load_n(g->c + i * g->ldc + j, n) : (vf){0};
            if (g->bias) sum[i] += v_load_n(g->bias + j, n);
        }
        kernel(&s, &r, sum);
        for (int64_t i = 0; i < g->m; i++) v_store_n(g->c + i * g->ldc + j, sum[i], n);
    }
}
