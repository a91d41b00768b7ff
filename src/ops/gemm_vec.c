/* gemm_vec.c - dense products for CPUs, after Goto & van de Geijn 2008.
 *
 * A register tile of MR rows by NV vectors of C is summed over one block of k from packed
 * A ([k][rows]) and packed B ([k][columns]), both read once, in order.  Around it: a block
 * of B stays in the L2 cache, a panel of it in L1, blocks of A pass by.  Threads share
 * nothing: each takes tiles of C and packs for itself, so there is no barrier.
 *
 * What a number of C is made of is fixed in gemm.h; the code below only chooses when.  With
 * few rows (decoding) B is packed a panel at a time and used at once from L1, so that
 * weights [n, k] stream through once: transposing in registers is faster than memory. */
#include <omp.h>
#include <string.h>

#include "base/team.h"
#include "base/vec.h"
#include "ops/gemm.h"
#include "ops/gemm_turn.h"
#include "tensor/weave.h"

/* The tallest tile whose accumulators, one row of B and a broadcast fit the registers. */
#if KR_VL == 16
enum { MR = 14, NV = 2 };
#elif KR_VL == 8
enum { MR = 4, NV = 3 };
#elif defined(__aarch64__)
enum { MR = 8, NV = 3 };
#else
enum { MR = 4, NV = 3 };
#endif
enum { NR = NV * KR_VL, GROUPS = (MR + KR_VL - 1) / KR_VL, WHOLE_STRIPS = NR % KR_STRIP ? 4 * NR : NR };
_Static_assert(WHOLE_STRIPS % KR_STRIP == 0, "a part of woven B begins with a strip");
_Static_assert((int)MR <= (int)KR_GEMM_MR, "packed A is sized by KR_GEMM_MR");

typedef uint16_t vh __attribute__((vector_size(KR_VL * sizeof(uint16_t))));
#define INLINE static inline __attribute__((always_inline))
#define least kr_gemm_least

/* --- the register tile --------------------------------------------------------------- */

typedef struct place { /* where a tile goes, and what its first block adds to */
    float *c;
    int64_t ldc, step; /* from row to row, from column to column */
    int64_t n;         /* columns that exist */
    const float *bias; /* NULL: none */
    bool load;         /* c holds something to add to */
    uintptr_t ahead;   /* lines to fetch into L2 meanwhile, */
    int64_t ahead_by, burst; /* so many bytes apart, so many at once */
} place;

/* One k.  With AVX2 a core shared with another thread gets half the instructions and rarely half the products: there each
 * counts.  So B is loaded once, not again with every product, several k go to a turn, and what comes next is left to the CPU. */
enum { UNROLL = KR_VL == 8 ? 4 : 1 };
INLINE void add_products(const int rows, const int vecs, const float *a, const float *b, vf (*s)[NV]) {
    vf y[NV];
#pragma GCC unroll 4
    for (int j = 0; j < vecs * KR_VL && KR_VL != 8; j += 16) __builtin_prefetch(b + 16 * vecs * KR_VL + j);
#pragma GCC unroll 4
    for (int j = 0; j < vecs; j++) y[j] = KR_VL == 8 ? v_held(v_load(b + j * KR_VL)) : v_load(b + j * KR_VL);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) s[r][j] += a[r] * y[j];
}

/* A CPU waits for some dozen lines at a time, so what comes from afar (C, and lines ahead) is asked
 * for in small portions all along: as many as rows, and two more for the last to arrive. */
INLINE void tile(int rows, int vecs, int64_t kc, const float *a, const float *b, const place *to) {
    vf s[MR][NV];
    uintptr_t ahead = to->ahead;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) s[r][j] = (vf){0};
    int64_t portion = (kc + rows + 1) / (rows + 2), k = 0;
    portion = portion < 16 ? 16 : (portion + UNROLL - 1) / UNROLL * UNROLL;
    for (int i = 0; i < rows + 2; i++) {
        const float *c = to->c + least(i, rows - 1) * to->ldc;
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j += 64 / (int)sizeof(vf)) __builtin_prefetch(c + j * KR_VL, 1);
        for (int64_t f = 0; f < to->burst; f++, ahead += (uintptr_t)to->ahead_by)
            __builtin_prefetch((const void *)ahead, 0, 2);
        int64_t end = least(k + portion, kc);
        for (; k + UNROLL <= end; k += UNROLL, a += UNROLL * rows, b += UNROLL * vecs * KR_VL)
#pragma GCC unroll 4
            for (int u = 0; u < UNROLL; u++) add_products(rows, vecs, a + u * rows, b + u * vecs * KR_VL, s);
        for (; k < end; k++, a += rows, b += vecs * KR_VL) add_products(rows, vecs, a, b, s);
    }
    if (to->n == vecs * KR_VL && to->step == 1) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int j = 0; j < vecs; j++) {
                float *c = to->c + r * to->ldc + j * KR_VL;
                vf base = to->load ? v_load(c) : (vf){0};
                if (to->bias) base += v_load(to->bias + j * KR_VL);
                v_store(c, base + s[r][j]);
            }
        return;
    }
    float part[MR][NR];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) v_store(part[r] + j * KR_VL, s[r][j]);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < to->n && j < vecs * KR_VL; j++) {
            float *c = to->c + r * to->ldc + j * to->step, base = to->load ? *c : 0;
            if (to->bias) base += to->bias[j];
            *c = base + part[r][j];
        }
}

typedef void tile_kernel(int64_t kc, const float *a, const float *b, const place *to);
#define TILE(r, v)                                                                             \
    static void tile_##r##_##v(int64_t kc, const float *a, const float *b, const place *to) { \
        tile(r, v, kc, a, b, to);                                                              \
    }
#define TILES_4(v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v)
#define NAMES_4(v) tile_1_##v, tile_2_##v, tile_3_##v, tile_4_##v
#if KR_VL == 16
#define TILES(v)                                                               \
    TILES_4(v) TILE(5, v) TILE(6, v) TILE(7, v) TILE(8, v) TILE(9, v) TILE(10, v) \
    TILE(11, v) TILE(12, v) TILE(13, v) TILE(14, v)
#define NAMES(v)                                                                                                       \
    {NAMES_4(v),  tile_5_##v,  tile_6_##v,  tile_7_##v,  tile_8_##v,                                                   \
     tile_9_##v, tile_10_##v, tile_11_##v, tile_12_##v, tile_13_##v, tile_14_##v}
TILES(1) TILES(2)
static tile_kernel *const tiles[NV][MR] = {NAMES(1), NAMES(2)};
#elif defined(__aarch64__)
#define TILES(v) TILES_4(v) TILE(5, v) TILE(6, v) TILE(7, v) TILE(8, v)
#define NAMES(v) {NAMES_4(v), tile_5_##v, tile_6_##v, tile_7_##v, tile_8_##v}
TILES(1) TILES(2) TILES(3)
static tile_kernel *const tiles[NV][MR] = {NAMES(1), NAMES(2), NAMES(3)};
#else
TILES_4(1) TILES_4(2) TILES_4(3)
static tile_kernel *const tiles[NV][MR] = {{NAMES_4(1)}, {NAMES_4(2)}, {NAMES_4(3)}};
#endif

/* --- packing -------------------------------------------------------------------------- */

/* p[k][r] = a[r][k]: `rows` <= MR rows of A side by side.  Whole vectors are stored in rising k,
 * so what one spills past its row the next one mends; the last spill is spare room or the next panel. */
static void pack_a_rows(const float *a, int64_t lda, int rows, int64_t kc, float *p) {
    if (rows == 1 || kc < KR_VL) {
        for (int r = 0; r < rows; r++)
            for (int64_t k = 0; k < kc; k++) p[k * rows + r] = a[r * lda + k];
        return;
    }
    int groups = (rows + KR_VL - 1) / KR_VL;
    for (int64_t at = 0; at < kc; at += KR_VL) {
        int64_t k = least(at, kc - KR_VL); /* the last block steps back: the same numbers again */
#if KR_VL == 8
        if (rows == 4) { /* half a square: two k to a vector */
            vf r[4], u[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) r[i] = v_load(a + i * lda + k);
            turn_lanes(r, u);
#pragma GCC unroll 2
            for (int i = 0; i < 4; i += 2) {
                v_store(p + (k + i) * 4, SHUFFLE(u[i], u[i + 1], 0, 1, 2, 3, 8, 9, 10, 11));
                v_store(p + (k + 4 + i) * 4, SHUFFLE(u[i], u[i + 1], 4, 5, 6, 7, 12, 13, 14, 15));
            }
            continue;
        }
#endif
        vf t[GROUPS][KR_VL];
        for (int g = 0; g < groups; g++) {
#pragma GCC unroll 16
            for (int i = 0; i < KR_VL; i++) t[g][i] = v_load(a + least(g * KR_VL + i, rows - 1) * lda + k);
            transpose(t[g]);
        }
        if (GROUPS == 1)
#pragma GCC unroll 16
            for (int i = 0; i < KR_VL; i++) v_store(p + (k + i) * rows, t[0][i]);
        else
            for (int i = 0; i < KR_VL; i++)
                for (int g = 0; g < groups; g++) v_store(p + (k + i) * rows + g * KR_VL, t[g][i]);
    }
}

/* The same from A held as [k, m]: rows are already side by side. */
INLINE void copy_rows(const float *a, int rows, float *p) {
    for (int r = 0; r < rows; r++) p[r] = a[r];
}

/* m rows of A in strips of `high`, strip after strip. */
static void pack_a(const kr_gemm *g, int64_t i0, int64_t m, int64_t high, int64_t k, int64_t kc, float *p) {
    if (!g->a_trans)
        for (int64_t i = 0; i < m; i += high)
            pack_a_rows(g->a + (i0 + i) * g->lda + k, g->lda, (int)least(high, m - i), kc, p + i * kc);
    else
        for (int64_t at = 0; at < kc; at++) { /* whole rows of memory at a time */
            const float *a = g->a + (k + at) * g->lda + i0;
            int64_t i = 0;
            if (high <= KR_VL && (kc - at) * high >= KR_VL) /* as above: the next k mend the spill, within the strip */
                for (; i + high <= m && i + KR_VL <= m; i += high) v_store(p + i * kc + at * high, v_load(a + i));
            for (; i + high <= m; i += high) copy_rows(a + i, (int)high, p + i * kc + at * high);
            if (i < m) copy_rows(a + i, (int)(m - i), p + i * kc + at * (m - i));
        }
}
/* p[k][j] = b[j][k] for n columns, padded to whole vectors by repeating the last. */
static void pack_b_rows_f32(const float *b, int64_t ldb, int64_t n, int64_t kc, float *p) {
    int64_t width = (n + KR_VL - 1) / KR_VL * KR_VL;
    for (int64_t j = 0; j < width; j += KR_VL)
        for (int64_t at = 0; at < kc; at += KR_VL) {
            int64_t k = least(at, kc - KR_VL);
            if (k < 0) {
                for (int i = 0; i < KR_VL; i++)
                    for (k = 0; k < kc; k++) p[k * width + j + i] = b[least(j + i, n - 1) * ldb + k];
                break;
            }
            vf t[KR_VL];
#pragma GCC unroll 16
            for (int i = 0; i < KR_VL; i++) t[i] = v_load(b + least(j + i, n - 1) * ldb + k);
            transpose(t);
#pragma GCC unroll 16
            for (int i = 0; i < KR_VL; i++) v_store(p + (k + i) * width + j, t[i]);
        }
}

INLINE float from_half(uint16_t h, const bool bf16) { return bf16 ? kr_from_bf16(h) : kr_from_f16(h); }

/* The same from 16 bits: pairs of k are transposed together, then parted into two floats. */
INLINE void pack_b_rows_16(const uint16_t *b, const bool bf16, int64_t ldb, int64_t n, int64_t kc, float *p) {
    int64_t width = (n + KR_VL - 1) / KR_VL * KR_VL;
    for (int64_t j = 0; j < width; j += KR_VL)
        for (int64_t at = 0; at < kc; at += 2 * KR_VL) {
            int64_t k = least(at, kc - 2 * KR_VL);
            if (k < 0) {
                for (int i = 0; i < KR_VL; i++)
                    for (k = 0; k < kc; k++) p[k * width + j + i] = from_half(b[least(j + i, n - 1) * ldb + k], bf16);
                break;
            }
            vf t[KR_VL];
#pragma GCC unroll 16
            for (int i = 0; i < KR_VL; i++) memcpy(&t[i], b + least(j + i, n - 1) * ldb + k, sizeof t[i]);
            transpose(t);
#pragma GCC unroll 16
            for (int i = 0; i < KR_VL; i++) {
                v_store(p + (k + 2 * i) * width + j, from_upper((vi)t[i] << 16, bf16));
                v_store(p + (k + 2 * i + 1) * width + j, from_upper((vi)t[i] & (int32_t)0xffff0000u, bf16));
            }
        }
}
static void pack_b_rows_bf16(const uint16_t *b, int64_t ldb, int64_t n, int64_t kc, float *p) { pack_b_rows_16(b, true, ldb, n, kc, p); }
static void pack_b_rows_f16(const uint16_t *b, int64_t ldb, int64_t n, int64_t kc, float *p) { pack_b_rows_16(b, false, ldb, n, kc, p); }

/* From B held as [k, n]: columns are already side by side. */
INLINE void copy_columns(const void *b, kr_dtype type, int64_t n, float *p) {
    bool bf16 = type == KR_BF16;
    if (n % KR_VL) v_store(p + n / KR_VL * KR_VL, (vf){0});
    if (type != KR_F32) {
        const uint16_t *from = b;
        int64_t j = 0;
        for (; j + KR_VL <= n; j += KR_VL) {
            vh h;
            memcpy(&h, from + j, sizeof h);
            v_store(p + j, from_upper(__builtin_convertvector(h, vi) << 16, bf16));
        }
        for (; j < n; j++) p[j] = from_half(from[j], bf16);
    } else if (n == NR) memcpy(p, b, NR * sizeof *p);
    else {
        const float *from = b;
        for (int64_t j = 0; j < n; j++) p[j] = from[j];
    }
}

/* The same of woven B, n <= NR columns from j on: its strips have a vector's columns side by side. */
static void pack_b_woven(const kr_gemm *g, int64_t j, int64_t n, int64_t k, int64_t kc, float *p) {
    int64_t size = kr_gemm_b_bytes(g), width = (n + KR_VL - 1) / KR_VL * KR_VL;
    kr_dtype type = kr_unwoven(g->b_type);
    for (int64_t v = 0; v < width; v += KR_VL) {
        int64_t lane = (j + v) % KR_STRIP, strip = j + v - lane;
        const char *b = (const char *)g->b + strip * g->ldb * size + k * KR_STRIP * size + 4 * lane;
        if (strip + KR_STRIP > g->n) { /* rows that are not woven */
            for (int64_t i = v; i < v + KR_VL; i++)
                for (int64_t at = 0; at < kc; at++) {
                    const char *x = (const char *)g->b + (least(j + i, g->n - 1) * g->ldb + k + at) * size;
                    if (type == KR_F32) memcpy(p + at * width + i, x, sizeof *p);
                    else p[at * width + i] = from_half(*(const uint16_t *)(const void *)x, type == KR_BF16);
                }
            continue;
        }
        for (int64_t at = 0; at < kc; at += type == KR_F32 ? 1 : 2, b += 4 * KR_STRIP) {
            vi t;
            float *to = p + at * width + v;
            memcpy(&t, b, sizeof t);
            if (type == KR_F32) v_store(to, (vf)t);
            else v_store(to, from_upper(t << 16, type == KR_BF16)), v_store(to + width, from_upper(t & (int32_t)0xffff0000u, type == KR_BF16));
        }
    }
}

/* n columns of B in panels of NR, panel after panel. */
static void pack_b(const kr_gemm *g, int64_t j0, int64_t n, int64_t k, int64_t kc, float *p) {
    int64_t size = kr_gemm_b_bytes(g), last = n % NR;
    if (kr_is_woven(g->b_type))
        for (int64_t j = 0; j < n; j += NR) pack_b_woven(g, j0 + j, least(NR, n - j), k, kc, p + j * kc);
    else if (g->b_trans)
        for (int64_t j = 0; j < n; j += NR) {
            const char *b = (const char *)g->b + ((j0 + j) * g->ldb + k) * size;
            if (g->b_type == KR_BF16) pack_b_rows_bf16((const uint16_t *)b, g->ldb, least(NR, n - j), kc, p + j * kc);
            else if (g->b_type == KR_F16) pack_b_rows_f16((const uint16_t *)b, g->ldb, least(NR, n - j), kc, p + j * kc);
            else pack_b_rows_f32((const float *)b, g->ldb, least(NR, n - j), kc, p + j * kc);
        }
    else
        for (int64_t at = 0; at < kc; at++) { /* whole rows of memory at a time */
            const char *b = (const char *)g->b + ((k + at) * g->ldb + j0) * size;
            for (int64_t j = 0; j + NR <= n; j += NR) copy_columns(b + j * size, g->b_type, NR, p + j * kc + at * NR);
            if (last) {
                int64_t width = (last + KR_VL - 1) / KR_VL * KR_VL;
                copy_columns(b + (n - last) * size, g->b_type, last, p + (n - last) * kc + at * width);
            }
        }
}

/* --- what comes next -------------------------------------------------------------------- */

/* Packing waits for memory: a strided read of a few lines a row is no stream that the CPU would
 * see coming.  So while one block is multiplied, the tiles fetch the next one's lines. */
typedef struct region { /* rows of lines of 64 bytes, ld bytes apart */
    uintptr_t at;
    int64_t ld, rows, lines;
} region;
typedef struct ahead {
    region of[2];       /* of A and of B */
    int64_t i, row, line; /* the next to take: rows of one line, then of the next */
    int64_t burst;
} ahead;

static region region_of(const void *at, int64_t ld, int64_t rows, int64_t row_bytes) {
    int64_t skip = (int64_t)((uintptr_t)at % 64);
    return (region){(uintptr_t)at - (uintptr_t)skip, ld, rows, (skip + row_bytes + 63) / 64};
}

/* Lets a tile of so many rows fetch the next lines. */
static void fetch_ahead(ahead *f, int64_t rows, place *to) {
    if (f->line >= f->of[f->i].lines && f->i == 0) f->i = 1, f->line = 0;
    const region *r = &f->of[f->i];
    if (f->line >= r->lines) return; /* no more */
    to->ahead = r->at + (uintptr_t)(f->row * r->ld + f->line * 64), to->ahead_by = r->ld, to->burst = f->burst;
    f->row += (rows + 2) * f->burst;
    if (f->row >= r->rows) f->row = 0, f->line++;
}

/* --- the loops around ----------------------------------------------------------------- */

/* A product, and whether it stands for its transpose: c'[j][i] is made. */
typedef struct job { kr_gemm g; bool flip; } job;

/* One tile: rows [i, i + rows) by columns [j, j + n), block of k at k. */
static void run_tile(const job *w, int64_t i, int64_t rows, int64_t j, int64_t n, int64_t k, int64_t kc,
                     const float *a, const float *b, ahead *next) {
    const kr_gemm *g = &w->g;
    int64_t ldc = w->flip ? 1 : g->ldc, step = w->flip ? g->ldc : 1;
    place to = {.c = g->c + i * ldc + j * step, .ldc = ldc, .step = step, .n = n,
                .bias = k || !g->bias ? NULL : g->bias + j, .load = k || g->acc};
    fetch_ahead(next, rows, &to);
    tiles[(n + KR_VL - 1) / KR_VL - 1][rows - 1](kc, a, b, &to);
}

/* Rows that fit one tile: A is packed whole, B streams through a panel in L1. */
static void few_rows(const job *w, float *pa, float *pb) {
    const kr_gemm *g = &w->g;
    int64_t step = kr_gemm_step(g->k);
    ahead none = {0};
    for (int64_t k = 0; k < g->k; k += step) pack_a(g, 0, g->m, g->m, k, least(step, g->k - k), pa + k * g->m);
    for (int64_t j = 0; j < g->n; j += NR)
        for (int64_t k = 0; k < g->k; k += step) {
            int64_t kc = least(step, g->k - k), n = least(NR, g->n - j);
            pack_b(g, j, n, k, kc, pb);
            run_tile(w, 0, g->m, j, n, k, kc, pa + k * g->m, pb, &none);
        }
}

/* A block of A, rows i .. i + m by k .. k + kc, and the block of B it meets, columns j .. j + n.
 * From the inside outwards: the k of one packed B (k0 and on), i, k0, j. */
typedef struct block { int64_t j, k0, i, k, n, m, kc; } block;
typedef struct steps { int64_t j, i, k, k0; } steps;

static void cut(const kr_gemm *g, const steps *by, block *b) {
    b->n = least(by->j, g->n - b->j), b->m = least(by->i, g->m - b->i), b->kc = least(by->k, g->k - b->k);
}
static bool next_block(const kr_gemm *g, const steps *by, block *b) {
    if ((b->k += by->k) >= g->k || b->k >= b->k0 + by->k0) b->k = b->k0, b->i += by->i;
    if (b->i >= g->m) b->i = 0, b->k = b->k0 += by->k0;
    if (b->k0 >= g->k) b->k = b->k0 = 0, b->j += by->j;
    if (b->j >= g->n) return false;
    cut(g, by, b);
    return true;
}

/* What will be packed for b, to be fetched by n_tiles of so many rows. */
static ahead ahead_of(const kr_gemm *g, const block *b, int64_t n_tiles, int64_t rows) {
    int64_t size = kr_gemm_b_bytes(g), lda = g->lda * 4, ldb = g->ldb * size;
    const char *at = g->b;
    ahead f = {0};
    f.of[0] = g->a_trans ? region_of(g->a + b->k * g->lda + b->i, lda, b->kc, b->m * 4)
                         : region_of(g->a + b->i * g->lda + b->k, lda, b->m, b->kc * 4);
    if (b->i == 0 && kr_is_woven(g->b_type))
        f.of[1] = region_of(at + b->j * ldb + KR_STRIP * b->k * size, KR_STRIP * ldb, b->n / KR_STRIP, KR_STRIP * b->kc * size);
    else if (b->i == 0)
        f.of[1] = g->b_trans ? region_of(at + b->j * ldb + b->k * size, ldb, b->n, b->kc * size)
                             : region_of(at + b->k * ldb + b->j * size, ldb, b->kc, b->n * size);
    int64_t lines = f.of[0].rows * f.of[0].lines + f.of[1].rows * f.of[1].lines;
    f.burst = least((lines + lines / 8) / (n_tiles * (rows + 2)) + 1, 8);
    return f;
}

/* n in even parts, whole panels, not above KR_GEMM_NC. */
static int64_t column_block(int64_t n) {
    int64_t most = KR_GEMM_NC / NR * NR, parts = (n + most - 1) / most;
    return ((n + parts - 1) / parts + NR - 1) / NR * NR;
}

static void many_rows(const job *w, float *pa, float *pb) {
    const kr_gemm *g = &w->g;
    int64_t strips = (g->m + MR - 1) / MR, high = (g->m + strips - 1) / strips; /* even strips, not a thin last one */
    steps by = {column_block(g->n), KR_GEMM_MC / high * high, kr_gemm_step(g->k), g->k};
    /* C is fetched once if all of k can be packed; else B leaves room in L2, the more the smaller C.  Narrow vectors take so
     * long for a block that C comes in time, and half an L2 is then enough */
    if (KR_VL == 8) by.k0 = by.k;
    else if (g->k > KR_GEMM_KK * KR_GEMM_KC) by.k0 = g->m * by.j <= 150000 ? by.k : 2 * by.k;
    block now = {0}, next;
    cut(g, &by, &now);
    for (bool more = true; more; now = next) {
        next = now;
        more = next_block(g, &by, &next);
        int64_t n_tiles = (now.n + NR - 1) / NR * ((now.m + high - 1) / high);
        ahead f = more ? ahead_of(g, &next, n_tiles, least(high, now.m)) : (ahead){0};
        float *b = pb + (now.k - now.k0) * ((now.n + KR_VL - 1) / KR_VL * KR_VL);
        if (now.i == 0) pack_b(g, now.j, now.n, now.k, now.kc, b);
        pack_a(g, now.i, now.m, high, now.k, now.kc, pa);
        for (int64_t j = 0; j < now.n; j += NR)
            for (int64_t i = 0; i < now.m; i += high)
                run_tile(w, now.i + i, least(high, now.m - i), now.j + j, least(NR, now.n - j), now.k, now.kc,
                         pa + i * now.kc, b + j * now.kc, &f);
    }
}

static void no_sum(const kr_gemm *g) {
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            float *c = g->c + i * g->ldc + j;
            *c = (g->acc ? *c : 0) + (g->bias ? g->bias[j] : 0);
        }
}

/* A [k, m] by B [k, n] with few columns: as its transpose, which copies A in long rows, not in strips. */
static bool flips(const kr_gemm *g) {
    return g->a_trans && !g->b_trans && g->b_type == KR_F32 && !g->bias && g->n <= KR_GEMM_FLIP && g->m >= 4 * KR_GEMM_FLIP;
}

static void multiply(const kr_gemm *g, bool flip, float *scratch) {
    job w = {*g, flip};
    if (flip) w.g.m = g->n, w.g.n = g->m, w.g.a = g->b, w.g.lda = g->ldb, w.g.b = g->a, w.g.ldb = g->lda;
    float *pa = scratch, *pb = pa + kr_gemm_a_floats(w.g.m, w.g.k);
    if (w.g.m <= MR) few_rows(&w, pa, pb);
    else many_rows(&w, pa, pb);
}

void KR_VEC(kr_gemm_one)(const kr_gemm *g, void *scratch) {
    if (g->m <= 0 || g->n <= 0) return;
    if (g->k <= 0) no_sum(g);
    else if (kr_dtype_block(g->b_type) > 1) KR_VEC(kr_gemm_blocks)(g, scratch, 1);
    else multiply(g, flips(g), scratch);
}

/* Tiles of C for threads to take: four a thread while they are large enough to pay for their
 * packing, one a thread while they are worth anything. */
static void choose_tiles(const kr_gemm *g, int n_threads, int64_t *mt, int64_t *nt) {
    int64_t parts_m = (g->m + 1023) / 1024, parts_n = (g->n + KR_GEMM_NC - 1) / KR_GEMM_NC;
    for (int64_t parts; (parts = parts_m * parts_n) < 4 * n_threads;) {
        int64_t m = g->m / parts_m, n = g->n / parts_n, least_m = 256, least_n = 256;
        if (g->m <= MR) least_n = 4 * NR; /* nothing is packed twice */
        else if (parts < n_threads) least_m = 4 * MR, least_n = 2 * NR;
        if (m >= n && m >= 2 * least_m) parts_m++;
        else if (n >= 2 * least_n) parts_n++;
        else if (m >= 2 * least_m) parts_m++;
        else break;
    }
    *mt = (g->m + parts_m - 1) / parts_m;
    int64_t by = kr_is_woven(g->b_type) ? WHOLE_STRIPS : NR;
    *nt = least((((g->n + parts_n - 1) / parts_n + by - 1) / by) * by, KR_GEMM_NC / by * by);
    *nt = least(*nt, g->n);
}

typedef struct few { const kr_gemm *g; int64_t width; } few;
static void few_columns(void *arg, int64_t i, int who) {
    const few *f = arg;
    (void)who;
    KR_VEC(kr_gemm_few)(f->g, i * f->width, least((i + 1) * f->width, f->g->n));
}

void KR_VEC(kr_gemm_all)(const kr_gemm *g, void *scratch, int n_threads) {
    if (kr_dtype_block(g->b_type) > 1 && g->m > 0 && g->n > 0 && g->k > 0) {
        KR_VEC(kr_gemm_blocks)(g, scratch, n_threads);
        return;
    }
    if (g->m > 0 && g->m <= KR_GEMM_FEW && g->k > 0 && g->b_trans && !g->a_trans) {
        few f = {g, kr_gemm_few_columns(g->m, g->n, g->k * kr_gemm_b_bytes(g), n_threads)};
        kr_team_each(n_threads, (g->n + f.width - 1) / f.width, few_columns, &f);
        return;
    }
    /* below some 20 us of work a team of threads costs more than it brings */
    if (n_threads <= 1 || (double)g->m * (double)g->n * (double)g->k < 3e5) {
        KR_VEC(kr_gemm_one)(g, scratch);
        return;
    }
    bool flip = flips(g); /* the whole decides: scratch is sized by it */
    int64_t mt, nt;
    choose_tiles(g, n_threads, &mt, &nt);
    int64_t rows = (g->m + mt - 1) / mt, columns = (g->n + nt - 1) / nt;
    int64_t own = kr_gemm_floats(mt, nt, g->k);
#pragma omp parallel num_threads(n_threads)
    {
        float *mine = (float *)scratch + omp_get_thread_num() * own;
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < rows * columns; t++) {
            int64_t i = t / columns * mt, j = t % columns * nt;
            kr_gemm part = *g;
            part.m = least(mt, g->m - i), part.n = least(nt, g->n - j);
            part.a += g->a_trans ? i : i * g->lda;
            int64_t skip = g->b_trans ? j * g->ldb : j;
            part.b = (const char *)g->b + skip * kr_gemm_b_bytes(g);
            part.c += i * g->ldc + j;
            if (g->bias) part.bias += j;
            multiply(&part, flip, mine);
        }
    }
}
