/* gemm_few_vec.c - products of a few rows with weights [n, k], as decoding takes them.
 *
 * The weights come from memory once, and little is done with each number of them, so all must
 * keep up with memory: two panels of KR_VL columns are turned around, a stretch of k at a time,
 * into a corner of L1, and multiplied from there with every row.  A single row takes them from
 * the registers, a panel at a time.  What a number of C is made of is that of gemm.h, bit for bit.
 *
 * Woven weights (tensor/weave.h) stand as they are multiplied, and are.
 *
 * KR_VL rows of weights side by side are no stream a CPU would foresee; but the next rows lie
 * behind them in one piece, and are fetched in order while these are used. */
#include <string.h>

#include "base/vec.h"
#include "ops/gemm.h"
#include "ops/gemm_turn.h"
#include "tensor/weave.h"

#if KR_VL == 16
enum { MR = 14 }; /* rows whose sums in two panels, two vectors of weights and a broadcast fit the registers */
#elif KR_VL == 8
enum { MR = 6 };
#else
enum { MR = 4 };
#endif
enum { WIDE = 2 * KR_VL, STRETCH = 32 }; /* of columns; of k */
#define INLINE static inline __attribute__((always_inline))
#define least kr_gemm_least

/* Where the weights of columns j .. j + WIDE lie (a column past the end: the last again), and what
 * to fetch meanwhile. */
typedef struct weights { const uint8_t *row[WIDE]; const char *ahead; } weights;

static void weights_at(const kr_gemm *g, int64_t j, int64_t n, weights *w) {
    int64_t size = kr_gemm_b_bytes(g);
    for (int i = 0; i < WIDE; i++) w->row[i] = (const uint8_t *)g->b + (j + least(i, n - 1)) * g->ldb * size;
    w->ahead = (const char *)g->b + (j + (g->m > 1 ? WIDE : KR_VL)) * g->ldb * size; /* the panel, or panels, behind this one */
}

INLINE void fetch(weights *w, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(w->ahead + i, 0, 2);
    w->ahead += bytes;
}

/* Numbers of k that are turned around at once, 32 bytes of each of KR_VL columns: t[i] holds number i, of 16 bits 2 i
 * (low halves) and 2 i + 1. */
INLINE int64_t square(const kr_dtype type) { return type != KR_F32 ? 16 : 8; }
INLINE void turn_square(const weights *w, const kr_dtype type, int panel, int64_t k, vi *t) {
    turn_eight(w->row + panel * KR_VL, (type != KR_F32 ? 2 : 4) * k, t);
}
INLINE vf low_half(vi t, const kr_dtype type) { return from_upper(t << 16, type == KR_BF16); }
INLINE vf high_half(vi t, const kr_dtype type) { return from_upper(t & (int32_t)0xffff0000u, type == KR_BF16); }
INLINE float one_weight(const weights *w, const kr_dtype type, int64_t column, int64_t k) {
    uint16_t h;
    float f;
    if (type != KR_F32) return memcpy(&h, w->row[column] + 2 * k, 2), type == KR_BF16 ? kr_from_bf16(h) : kr_from_f16(h);
    return memcpy(&f, w->row[column] + 4 * k, 4), f;
}

/* p[k][column] for kc numbers from k on; meanwhile half as much is fetched. */
INLINE void turn(weights *w, const kr_dtype type, int64_t k, int64_t kc, float *p) {
    const int64_t by = square(type);
    int64_t at = 0;
    for (int panel = 0; panel < 2; panel++)
        for (at = 0; at + by <= kc; at += by) {
            float *to = p + at * WIDE + panel * KR_VL;
            vi t[8];
            fetch(w, KR_VL * 16);
            turn_square(w, type, panel, k + at, t);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                if (type == KR_F32) v_store(to + i * WIDE, (vf)t[i]);
                else v_store(to + 2 * i * WIDE, low_half(t[i], type)), v_store(to + (2 * i + 1) * WIDE, high_half(t[i], type));
            }
        }
    for (; at < kc; at++)
        for (int i = 0; i < WIDE; i++) p[at * WIDE + i] = one_weight(w, type, i, k + at);
}

/* s[row][panel] += A's rows times p; meanwhile `by` bytes for each k are fetched. */
INLINE void multiply(const int rows, int64_t kc, const float *a, int64_t lda, const float *p, vf (*s)[2], const char *ahead, int64_t by) {
    vf sum[MR][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = s[r][0], sum[r][1] = s[r][1];
    for (int64_t k = 0; k < kc; k++, p += WIDE) {
        vf w0 = v_load(p), w1 = v_load(p + KR_VL);
        __builtin_prefetch(ahead, 0, 2);
        ahead += by;
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            vf x = v_set(a[r * lda + k]);
            sum[r][0] += x * w0, sum[r][1] += x * w1;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) s[r][0] = sum[r][0], s[r][1] = sum[r][1];
}
typedef void rows_kernel(int64_t kc, const float *a, int64_t lda, const float *p, vf (*s)[2], const char *ahead, int64_t by);
#define ROWS(r) \
    static void rows_##r(int64_t kc, const float *a, int64_t lda, const float *p, vf (*s)[2], const char *ahead, int64_t by) { \
        multiply(r, kc, a, lda, p, s, ahead, by);                                                                             \
    }
ROWS(1) ROWS(2) ROWS(3) ROWS(4)
#if KR_VL >= 8
ROWS(5) ROWS(6)
#endif
#if KR_VL == 16
ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12) ROWS(13) ROWS(14)
static rows_kernel *const rows_of[MR] = {rows_1, rows_2, rows_3,  rows_4,  rows_5,  rows_6,  rows_7,
                                         rows_8, rows_9, rows_10, rows_11, rows_12, rows_13, rows_14};
#elif KR_VL == 8
static rows_kernel *const rows_of[MR] = {rows_1, rows_2, rows_3, rows_4, rows_5, rows_6};
#else
static rows_kernel *const rows_of[MR] = {rows_1, rows_2, rows_3, rows_4};
#endif

static void many(const kr_gemm *g, weights *w, int64_t k0, int64_t kc, vf (*s)[2]) {
    _Alignas(64) float p[STRETCH * WIDE];
    int64_t strips = (g->m + MR - 1) / MR, high = (g->m + strips - 1) / strips, size = kr_gemm_b_bytes(g);
    for (int64_t k = k0; k < k0 + kc; k += STRETCH) {
        int64_t n = least(STRETCH, k0 + kc - k);
        if (g->b_type == KR_BF16) turn(w, KR_BF16, k, n, p);
        else if (g->b_type == KR_F16) turn(w, KR_F16, k, n, p);
        else turn(w, KR_F32, k, n, p);
        for (int64_t i = 0; i < g->m; i += high) /* the other half */
            rows_of[least(high, g->m - i) - 1](n, g->a + i * g->lda + k, g->lda, p, s + i, i ? (char *)p : w->ahead, i ? 0 : WIDE * size / 2);
        w->ahead += n * WIDE * size / 2;
    }
}

/* The same for a single row, from registers, panel after panel: fewer rows of weights at a time come
 * quicker from memory. */
INLINE void single(const kr_gemm *g, const kr_dtype type, weights *w, int panels, int64_t k0, int64_t kc, vf (*s)[2]) {
    const int64_t by = square(type);
    int64_t k = k0;
    for (int panel = 0; panel < panels; panel++) {
        vf sum = s[0][panel];
        for (k = k0; k + by <= k0 + kc; k += by) {
            const float *a = g->a + k;
            vi t[8];
            fetch(w, KR_VL * 32);
            turn_square(w, type, panel, k, t);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                if (type == KR_F32) sum += a[i] * (vf)t[i];
                else sum += a[2 * i] * low_half(t[i], type), sum += a[2 * i + 1] * high_half(t[i], type);
            }
        }
        s[0][panel] = sum;
    }
    if (k < k0 + kc) {
        float p[16 * WIDE]; /* of a square at most */
        turn(w, type, k, k0 + kc - k, p);
        rows_1(k0 + kc - k, g->a + k, 0, p, s, w->ahead, 0);
    }
}

#if defined(KR_V512_)
/* A row of bfloat16 by whole blocks of k, some at a time: a sum alone would wait for its own last addition. */
enum { AT_ONCE = 3 };
INLINE void sum_blocks(const kr_gemm *g, weights *w, const int blocks, int panels, int64_t k0, int64_t kc, vf (*s)[1][2]) {
    for (int panel = 0; panel < panels; panel++) {
        vf sum[AT_ONCE];
        for (int b = 0; b < blocks; b++) sum[b] = (vf){0};
        for (int64_t k = k0; k < k0 + kc; k += 16) {
            fetch(w, blocks * 8 * 64);
#pragma GCC unroll 4
            for (int b = 0; b < blocks; b++) {
                const float *a = g->a + k + b * kc;
                vi t[8];
                turn_square(w, KR_BF16, panel, k + b * kc, t);
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) sum[b] += a[2 * i] * low_half(t[i], KR_BF16), sum[b] += a[2 * i + 1] * high_half(t[i], KR_BF16);
            }
        }
        for (int b = 0; b < blocks; b++) s[b][0][panel] = sum[b];
    }
}
#endif

/* The sums of the block of k at k0 to where they belong. */
static void add_sums(const kr_gemm *g, int64_t j, int64_t n, int64_t k0, vf (*s)[2]) {
    bool load = k0 || g->acc, bias = !k0 && g->bias;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t at = 0; at < n; at += KR_VL) {
            float *c = g->c + i * g->ldc + j + at;
            int64_t left = least(KR_VL, n - at);
            vf base = load ? v_load_n(c, left) : (vf){0};
            if (bias) base += v_load_n(g->bias + j + at, left);
            v_store_n(c, base + s[i][at / KR_VL], left);
        }
}

/* n <= WIDE columns from j on, of all rows. */
static void columns(const kr_gemm *g, int64_t j, int64_t n) {
    int64_t step = kr_gemm_step(g->k);
    int panels = n > KR_VL ? 2 : 1;
    weights w;
    weights_at(g, j, n, &w);
    int64_t k = 0;
#if defined(KR_V512_)
    for (int64_t blocks; g->m == 1 && g->b_type == KR_BF16 && (blocks = least((g->k - k) / step, AT_ONCE)) > 1; k += blocks * step) {
        vf s[AT_ONCE][1][2];
        if (blocks == AT_ONCE) sum_blocks(g, &w, AT_ONCE, panels, k, step, s);
        else sum_blocks(g, &w, 2, panels, k, step, s);
        for (int64_t b = 0; b < blocks; b++) add_sums(g, j, n, k + b * step, s[b]);
    }
#endif
    for (; k < g->k; k += step) {
        vf s[KR_GEMM_FEW][2];
        int64_t kc = least(step, g->k - k);
        for (int64_t i = 0; i < g->m; i++) s[i][0] = s[i][1] = (vf){0};
        if (g->m > 1) many(g, &w, k, kc, s);
        else if (g->b_type == KR_BF16) single(g, KR_BF16, &w, panels, k, kc, s);
        else if (g->b_type == KR_F16) single(g, KR_F16, &w, panels, k, kc, s);
        else single(g, KR_F32, &w, panels, k, kc, s);
        add_sums(g, j, n, k, s);
    }
}

/* --- woven ------------------------------------------------------------------------------- */

enum { NEXT = 4096, FURTHER = 16384 }; /* bytes on in a strip: into L1 what is next, into L2 what follows */

/* Two vectors' columns of a block of k, and what to fetch meanwhile into L2, `by` bytes a word: where rows go in several
 * passes each asks for its share, as memory would rest while those after the first find the block in L1. */
typedef struct block { const char *u, *w, *ahead; int64_t by; } block;

/* s[row][vector] += A's rows times kc words or pairs of b's columns. */
INLINE void multiply_woven(const int rows, const kr_dtype type, int64_t kc, const float *a, int64_t lda, const block *b, vf (*s)[2]) {
    const int pairs = type == KR_F32 ? 1 : 2;
    const char *u = b->u, *w = b->w, *ahead = b->ahead;
    const int64_t by = b->by, apart = w - u;
    vf sum[8][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sum[r][0] = s[r][0], sum[r][1] = s[r][1];
#pragma GCC unroll 2
    for (int64_t k = 0; k < kc; k += pairs, u += 4 * KR_STRIP, w += 4 * KR_STRIP, ahead += by) {
        vi t[2];
        memcpy(&t[0], u, sizeof *t), memcpy(&t[1], w, sizeof *t);
        __builtin_prefetch(u + NEXT), __builtin_prefetch(ahead, 0, 2);
        if (KR_VL == KR_STRIP) __builtin_prefetch(w + NEXT), __builtin_prefetch(ahead + apart, 0, 2);
#pragma GCC unroll 2
        for (int i = 0; i < pairs; i++) {
            vf x0 = type == KR_F32 ? (vf)t[0] : i ? high_half(t[0], type) : low_half(t[0], type);
            vf x1 = type == KR_F32 ? (vf)t[1] : i ? high_half(t[1], type) : low_half(t[1], type);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                vf x = v_set(a[r * lda + k + i]);
                sum[r][0] += x * x0, sum[r][1] += x * x1;
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) s[r][0] = sum[r][0], s[r][1] = sum[r][1];
}
typedef void woven_kernel(int64_t kc, const float *a, int64_t lda, const block *b, vf (*s)[2]);
#define WOVEN(type, rows)                                                                                          \
    static void woven_##type##_##rows(int64_t kc, const float *a, int64_t lda, const block *b, vf (*s)[2]) { \
        multiply_woven(rows, KR_##type, kc, a, lda, b, s);                                                         \
    }
#define WOVEN_TYPES(rows) WOVEN(F32, rows) WOVEN(BF16, rows) WOVEN(F16, rows)
#define WOVEN_NAMES(rows) {woven_F32_##rows, woven_BF16_##rows, woven_F16_##rows}
WOVEN_TYPES(1) WOVEN_TYPES(2) WOVEN_TYPES(4)
#if KR_VL == 16
WOVEN_TYPES(8)
static woven_kernel *const woven_of[][3] = {WOVEN_NAMES(1), WOVEN_NAMES(2), WOVEN_NAMES(4), WOVEN_NAMES(8)};
enum { MOST = 8 }; /* rows at once */
#else
static woven_kernel *const woven_of[][3] = {WOVEN_NAMES(1), WOVEN_NAMES(2), WOVEN_NAMES(4)};
enum { MOST = 4 };
#endif

/* n columns from j on, WIDE or, in a last strip alone, half of them.  Rows after the first find a block of k in L1. */
static void woven_columns(const kr_gemm *g, int64_t j, int64_t n) {
    int64_t step = kr_gemm_step(g->k), size = kr_gemm_b_bytes(g), at[2] = {j, n > KR_VL ? j + KR_VL : j};
    int64_t passes = g->m / MOST + __builtin_popcount((unsigned)g->m % MOST);
    int type = (int)(g->b_type - KR_F32_WOVEN);
    const char *from[2];
    for (int v = 0; v < 2; v++) {
        int64_t lane = at[v] % KR_STRIP;
        from[v] = (const char *)g->b + (at[v] - lane) * g->ldb * size + 4 * lane;
    }
    for (int64_t k = 0; k < g->k; k += step) {
        vf s[KR_GEMM_FEW][2];
        int64_t kc = least(step, g->k - k), skip = KR_STRIP * size * k, by = 4 * KR_STRIP / passes;
        block b = {from[0] + skip, from[1] + skip, from[0] + skip + FURTHER, by};
        for (int64_t i = 0, rows = MOST, kernel = MOST == 8 ? 3 : 2; i < g->m; i += rows, b.ahead += kc * size / 4 * by) {
            for (; rows > g->m - i; kernel--) rows /= 2;
            for (int64_t r = i; r < i + rows; r++) s[r][0] = s[r][1] = (vf){0};
            woven_of[kernel][type](kc, g->a + i * g->lda + k, g->lda, &b, s + i);
        }
        add_sums(g, j, n, k, s);
    }
}

/* Whole strips, then the rows that are not woven. */
static void woven(const kr_gemm *g, int64_t j0, int64_t j1) {
    int64_t end = least(j1, g->n / KR_STRIP * KR_STRIP), j = j0;
    kr_gemm plain = *g;
    plain.b_type = kr_unwoven(g->b_type);
    for (; j < end; j += WIDE) woven_columns(g, j, least(WIDE, end - j));
    for (j = end > j0 ? end : j0; j < j1; j += WIDE) columns(&plain, j, least(WIDE, j1 - j));
}

void KR_VEC(kr_gemm_few)(const kr_gemm *g, int64_t j0, int64_t j1) {
    if (kr_is_woven(g->b_type)) {
        woven(g, j0, j1);
        return;
    }
    for (int64_t j = j0; j < j1; j += WIDE) columns(g, j, least(WIDE, j1 - j));
}
