/* gemm_blocks_row_vec.c - one row, or a few, by weights in blocks, as decoding takes them.
 *
 * As gemm_blocks_vec.c does it, but what is turned around is multiplied at once, from registers:
 * for few rows the way through a panel in L1 would cost more than the products.  The sums are
 * those of gemm.h, bit for bit. */
#include <string.h>

#include "base/vec.h"
#include "ops/gemm.h"
#include "ops/gemm_dot.h"
#include "ops/gemm_source.h"
#include "tensor/quant.h"

#define INLINE static inline __attribute__((always_inline))

/* The rows, rounded, k apart; groups of them to do here, and all that a row has; of a strip the columns whose bytes behind
 * it are fetched by this pass over it. */
typedef struct few { const int8_t *x; const kr_gemm_group *a; int64_t k, n, groups, share; } few;
#define EACH_ROW _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++)

/* Into L1 what is next, into L2 what follows: L1 alone has too few lines under way to keep up with memory.  Row i of so
 * many asks for its share of the bytes: many at once would make the products wait. */
enum { NEXT = 4096, FURTHER = 16384 }; /* bytes */
INLINE void fetch(const source *s, int64_t bytes, const int i, const int rows) {
    for (int64_t at = 64 * i; at < bytes; at += 64 * rows)
        __builtin_prefetch(s->ahead + at), __builtin_prefetch(s->ahead + at + FURTHER, 0, 2);
}

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

INLINE void row_q8_0(source *s, const few *r, const int rows, const bool vnni, const bool woven, vf *sum) {
    for (int64_t g = 0; g < r->n; g++) {
        vi t[8];
        vf scale = half_at(s, woven, g * 34, false);
        if (ONE_ROW && vnni && rows == 1 && !woven) {
            fetch(s, KR_VL * 34, 0, 1);
            s->ahead += KR_VL * 34;
            sum[0] = scaled(sum[0], dots_of_one(s, g * 34 + 2, r->x + 32 * g) + r->a[g].base[0], scale, r->a[g].d);
            continue;
        }
        words_at(s, woven, g * 34 + 2, 8, t);
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

INLINE void row_q4_0(source *s, const few *r, const int rows, const bool vnni, const bool woven, vf *sum) {
    for (int64_t g = 0; g < r->n; g++) {
        vi t[4], w[8];
        words_at(s, woven, g * 18 + 2, 4, t);
        vf scale = half_at(s, woven, g * 18, false);
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

INLINE void row_q4_k(source *s, const few *r, const int rows, const bool vnni, const bool woven, vf *sum) {
    for (int64_t g = 0; g < r->n; g += 8) {
        int64_t at = g / 8 * 144;
        vi t[4], scale[2], min[2];
        words_at(s, woven, at, 4, t);
        vf d = low_half(t[0]), dmin = high_half(t[0]), d16 = d * 0.0625f;
        scale[0] = t[1] & 0x3f3f3f3f, min[0] = t[2] & 0x3f3f3f3f;
        scale[1] = (t[3] & 0x0f0f0f0f) | (t[1] >> 2 & 0x30303030), min[1] = (t[3] >> 4 & 0x0f0f0f0f) | (t[2] >> 2 & 0x30303030);
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; pair++) {
            vi q[8], w[8];
            words_at(s, woven, at + 16 + 32 * pair, 8, q);
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

INLINE void row_q6_k(source *s, const few *r, const int rows, const bool vnni, const bool woven, vf *sum) {
    for (int64_t g = 0; g < r->n; g += 8) {
        int64_t at = g / 8 * 210;
        vi scale[4];
        vf d = half_at(s, woven, at + 208, true);
        words_at(s, woven, at + 192, 4, scale);
        for (int h = 0; h < 2; h++) {
            vi t[16], high[8];
            words_at(s, woven, at + 64 * h, 8, t), words_at(s, woven, at + 64 * h + 32, 8, t + 8);
            words_at(s, woven, at + 128 + 32 * h, 8, high);
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

#if defined(KR_V256_)
/* A whole strip of q8_0 without VNNI, two vectors: four numbers of a row are spread once for both.  Hardly unrolled, as
 * there are no registers to spare. */
INLINE void strip_q8_0(source *s, const few *r, const int rows, vf *sum) {
    const int64_t by = r->share * 34, line = by / 9;
    for (int64_t g = 0; g < r->n; g++) {
        const char *w = (const char *)s->words + KR_STRIP * (g * 34 + 2);
        vi n[4][2];
        EACH_ROW n[i][0] = n[i][1] = (vi){0};
#pragma GCC unroll 2
        for (int c = 0; c < 8; c++, w += 4 * KR_STRIP) {
            vi t[2];
            memcpy(&t[0], w, sizeof *t), memcpy(&t[1], w + sizeof *t, sizeof *t);
            __builtin_prefetch(w + NEXT), __builtin_prefetch(s->ahead + c * line, 0, 2);
            EACH_ROW {
                vi x = four_of(r->x + i * r->k + 32 * g + 4 * c);
                n[i][0] = dot_signed(n[i][0], t[0], x), n[i][1] = dot_signed(n[i][1], t[1], x);
            }
        }
        __builtin_prefetch(s->ahead + 8 * line, 0, 2);
        s->ahead += by;
        vf scale[2];
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) scale[v] = (vf)_mm256_cvtph_ps(_mm_loadu_si128((const void *)(s->halves + KR_STRIP * g * 34 + 2 * KR_VL * v)));
        EACH_ROW {
            float d = r->a[i * r->groups + g].d;
            sum[2 * i] = scaled(sum[2 * i], n[i][0], scale[0], d), sum[2 * i + 1] = scaled(sum[2 * i + 1], n[i][1], scale[1], d);
        }
    }
}
#endif

typedef void row_kernel(source *s, const few *r, vf *sum);
#define ROW(type, rows, vnni, woven)                                                        \
    static void type##_##rows##_##vnni##_##woven(source *s, const few *r, vf *sum) {       \
        vf y[rows];                                                                         \
        memcpy(y, sum, sizeof y);                                                           \
        row_##type(s, r, rows, vnni, woven, y);                                             \
        memcpy(sum, y, sizeof y);                                                           \
    }
#define TYPES(rows, vnni, woven) \
    ROW(q8_0, rows, vnni, woven) ROW(q4_0, rows, vnni, woven) ROW(q4_k, rows, vnni, woven) ROW(q6_k, rows, vnni, woven)
#define BOTH(rows, vnni) TYPES(rows, vnni, 0) TYPES(rows, vnni, 1)
#define NAMES(rows, vnni, woven) \
    {q8_0_##rows##_##vnni##_##woven, q4_0_##rows##_##vnni##_##woven, q4_k_##rows##_##vnni##_##woven, q6_k_##rows##_##vnni##_##woven}
/* [woven][log2 rows]; for plain weights of more rows there are panels, but with AVX-512 */
BOTH(1, 0)
#if defined(KR_V512_)
BOTH(1, 1) BOTH(2, 1) BOTH(4, 1) BOTH(8, 1)
static row_kernel *const fast[2][4][4] = {{NAMES(1, 1, 0), NAMES(2, 1, 0), NAMES(4, 1, 0), NAMES(8, 1, 0)},
                                          {NAMES(1, 1, 1), NAMES(2, 1, 1), NAMES(4, 1, 1), NAMES(8, 1, 1)}};
static row_kernel *const slow[2][4][4] = {{NAMES(1, 0, 0)}, {NAMES(1, 0, 1)}};
#elif defined(KR_V256_)
BOTH(1, 1) TYPES(2, 1, 1) TYPES(4, 1, 1) TYPES(2, 0, 1) TYPES(4, 0, 1)
static row_kernel *const fast[2][4][4] = {{NAMES(1, 1, 0)}, {NAMES(1, 1, 1), NAMES(2, 1, 1), NAMES(4, 1, 1)}};
static row_kernel *const slow[2][4][4] = {{NAMES(1, 0, 0)}, {NAMES(1, 0, 1), NAMES(2, 0, 1), NAMES(4, 0, 1)}};
#else
static row_kernel *const slow[2][4][4] = {{NAMES(1, 0, 0)}, {NAMES(1, 0, 1)}};
#define fast slow
#endif
#if defined(KR_V256_)
#define STRIP(rows)                                              \
    static void strip_##rows(source *s, const few *r, vf *sum) { \
        vf y[2 * rows];                                          \
        memcpy(y, sum, sizeof y);                                \
        strip_q8_0(s, r, rows, y);                               \
        memcpy(sum, y, sizeof y);                                \
    }
STRIP(1) STRIP(2) STRIP(4)
static row_kernel *const strips[4] = {strip_1, strip_2, strip_4};
#else
static row_kernel *const strips[4] = {NULL};
#endif
typedef row_kernel *const (*kernels)[4]; /* by log2 of the rows, and type */
static kernels kernels_for(bool vnni, bool woven) { return vnni ? fast[woven] : slow[woven]; }
static int most_of(kernels k) { return k[3][0] ? 8 : k[2][0] ? 4 : k[1][0] ? 2 : 1; }

/* A strip that is woven is read in order, and for more rows once more from L1; turning one around pays only for as many
 * rows as there is a kernel for. */
bool KR_VEC(kr_gemm_blocks_has_rows)(int64_t rows, kr_dtype type, bool vnni) {
    int most = most_of(kernels_for(vnni, kr_is_woven(type)));
    if (most == 1) return rows == 1;
    return kr_is_woven(type) ? rows <= 2 * most : rows <= most && (rows & (rows - 1)) == 0;
}

enum { STRETCH = 24 }; /* of a strip that rows take several passes over: groups that go through all before the next */

/* Columns of a vector, or of two (a strip), n of them, from j on; all rows; some groups, from k on. */
static void piece(const kr_gemm *g, source *s, kernels kernel, const int vectors, const few *all, int64_t j, int64_t n, int64_t k) {
    int type = (int)(kr_unwoven(g->b_type) - KR_Q8_0);
    for (int64_t i = 0, step = most_of(kernel); i < g->m; i += step) {
        while (step > g->m - i) step /= 2;
        int64_t by = step == 8 ? 3 : step / 2, left = kr_gemm_least(KR_VL, n);
        few r = *all;
        r.x += i * g->k + 32 * k, r.a += i * r.groups + k;
        vf sum[8];
        for (int64_t h = 0; h < step * vectors; h++) {
            int64_t at = j + h % vectors * KR_VL;
            sum[h] = g->acc || k ? v_load_n(g->c + (i + h / vectors) * g->ldc + at, left) : (vf){0};
            if (g->bias && !k) sum[h] += v_load_n(g->bias + at, left);
        }
        (vectors == 2 ? strips[by] : kernel[by][type])(s, &r, sum);
        for (int64_t h = 0; h < step * vectors; h++) v_store_n(g->c + (i + h / vectors) * g->ldc + j + h % vectors * KR_VL, sum[h], left);
    }
}

void KR_VEC(kr_gemm_blocks_row)(const kr_gemm *g, bool vnni, const int8_t *x, const kr_gemm_group *a, int64_t j0, int64_t j1) {
    const int64_t ld = (int64_t)kr_dtype_row_bytes(g->b_type, g->ldb);
    for (int64_t j = j0, by; j < j1; j += by) {
        int64_t n = kr_gemm_least(KR_VL, j1 - j);
        source s;
        source_at(&s, g, j, n, 0);
        kernels kernel = kernels_for(vnni, s.woven);
        const int vectors = strips[0] && s.woven && !vnni && g->b_type == KR_Q8_0_WOVEN ? 2 : 1;
        few r = {.x = x, .a = a, .k = g->k, .n = g->k / 32, .groups = g->k / 32, .share = KR_STRIP};
        by = vectors * KR_VL;
        s.ahead = (const char *)g->b + (j + KR_VL) * ld;
        if (vectors == 1) {
            piece(g, &s, kernel, 1, &r, j, n, 0);
            continue;
        }
        int64_t most = most_of(kernel), passes = g->m / most + __builtin_popcount((unsigned)(g->m % most));
        r.share = (KR_STRIP + passes - 1) / passes;
        for (int64_t k = 0; k < r.groups; k += r.n) {
            r.n = kr_gemm_least(passes > 1 ? STRETCH : r.groups, r.groups - k);
            source_at(&s, g, j, KR_STRIP, 32 * k);
            s.ahead = (const char *)s.words + FURTHER;
            piece(g, &s, kernel, 2, &r, j, KR_STRIP, k);
        }
    }
}
