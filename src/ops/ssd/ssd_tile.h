/* ssd_tile.h - the small products inside a chunk, for ssd's *_vec.c files.
 *
 * They are 64 to 256 on a side, live in the first two caches and come by the thousand, so
 * nothing is packed: operands are copied once into padded arrays of our own (rows and
 * columns up to a multiple of SSD_PAD, the rest zero), and the kernel has no tails.
 * Triangular operands skip the half that is zero. */
#ifndef KR_OPS_SSD_TILE_H
#define KR_OPS_SSD_TILE_H
#include "base/vec.h"

/* Rows and vectors of the block of C held in registers: 16 of 32, or 8 of 16; where no shape bounds its columns
 * TILE_WIDE vectors, 12 of 16. */
#if KR_VL == 16
enum { TILE_M = 8, TILE_V = 2, TILE_WIDE = 2 };
#elif KR_VL == 8
enum { TILE_M = 4, TILE_V = 2, TILE_WIDE = 3 };
#else
enum { TILE_M = 4, TILE_V = 2, TILE_WIDE = 2 };
#endif

/* Which part of a product is known to be zero or not wanted. */
typedef enum tile_shape {
    TILE_FULL,
    TILE_A_LOWER, /* a[i][k] = 0 for k > i */
    TILE_A_UPPER, /* a[i][k] = 0 for k < i (k runs down a lower matrix read by columns) */
    TILE_B_LOWER, /* b[k][j] = 0 for k < j */
    TILE_C_LOWER, /* c[i][j] not wanted for j > i */
} tile_shape;

/* Rows of floats, ld apart. */
typedef struct mat {
    float *at;
    int64_t ld;
} mat;

/* What the next chunk will read and write: rows of lines to fetch into L2 while products run.  The
 * rows are strided, so the CPU does not see them coming. */
enum { AHEAD_MOST = 6, AHEAD_LINES = 12 }; /* lines for each tile */
typedef struct ahead {
    struct { uintptr_t at; int64_t ld, lines; } of[AHEAD_MOST];
    int64_t rows, n, i, row, line; /* the next one: line `line` of row `row` of of[i] */
} ahead;

static inline void ahead_add(ahead *f, const float *at, int64_t ld, int64_t n) {
    if (!at) return;
    uintptr_t from = (uintptr_t)at / 64 * 64;
    f->of[f->n].at = from, f->of[f->n].ld = ld * 4;
    f->of[f->n++].lines = ((int64_t)((uintptr_t)at - from) + 4 * n + 63) / 64;
}

static inline void ahead_fetch(ahead *f) {
    for (int k = 0; k < AHEAD_LINES && f->i < f->n; k++) {
        __builtin_prefetch((const void *)(f->of[f->i].at + (uintptr_t)(f->row * f->of[f->i].ld + 64 * f->line)), 0, 2);
        if (++f->line < f->of[f->i].lines) continue;
        f->line = 0;
        if (++f->row < f->rows) continue;
        f->row = 0, f->i++;
    }
}

/* c [m, n] = keep from + a [m, k] b [k, n].  a_trans: a lies as [k, m].  from lies as c
 * does, and may be c; NULL: none.  m, n: multiples of SSD_PAD. */
typedef struct product {
    int64_t m, n, k;
    mat a, b, c;
    bool a_trans;
    const float *from;
    float keep;
    const float *keep_rows;   /* instead of keep: one for each row */
    tile_shape shape;
    ahead *ahead;             /* NULL: nothing to fetch */
} product;

static inline __attribute__((always_inline)) void tile_block(const product *g, int64_t i0, int64_t j0, int64_t k0,
                                                             int64_t k1, const int n_vec, const bool a_trans) {
    vf sum[TILE_M][TILE_WIDE];
    int64_t a_row = a_trans ? 1 : g->a.ld, a_step = a_trans ? g->a.ld : 1;
    const float *a = g->a.at + i0 * a_row + k0 * a_step, *b = g->b.at + k0 * g->b.ld + j0;
    float *c = g->c.at + i0 * g->c.ld + j0;
    const float *from = g->from ? g->from + i0 * g->c.ld + j0 : NULL;
#pragma GCC unroll 8
    for (int i = 0; i < TILE_M; i++) {
        float keep = g->keep_rows ? g->keep_rows[i0 + i] : g->keep;
#pragma GCC unroll 4
        for (int v = 0; v < n_vec; v++) sum[i][v] = from ? v_load(from + i * g->c.ld + v * KR_VL) * keep : (vf){0};
    }
    for (int64_t k = k0; k < k1; k++, a += a_step, b += g->b.ld) {
        vf row[TILE_WIDE];
#pragma GCC unroll 4
        for (int v = 0; v < n_vec; v++) row[v] = KR_VL == 8 ? v_held(v_load(b + v * KR_VL)) : v_load(b + v * KR_VL);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_M; i++)
#pragma GCC unroll 4
            for (int v = 0; v < n_vec; v++) sum[i][v] += a[i * a_row] * row[v];
    }
#pragma GCC unroll 8
    for (int i = 0; i < TILE_M; i++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vec; v++) v_store(c + i * g->c.ld + v * KR_VL, sum[i][v]);
}

/* Vectors of the next block, where so many columns are left: 64 are 24, 24 and 16. */
static inline int tile_vectors(const product *g, int64_t left) {
    bool bounded = g->shape == TILE_C_LOWER || g->shape == TILE_B_LOWER;
    if (TILE_WIDE > TILE_V && !bounded && (left >= 6 * KR_VL || left % (2 * KR_VL))) return TILE_WIDE;
    return left >= TILE_V * KR_VL ? TILE_V : 1;
}

static void multiply(const product *g) {
    for (int64_t j = 0, n_vec; j < g->n; j += n_vec * KR_VL) {
        n_vec = tile_vectors(g, g->n - j);
        for (int64_t i = 0; i < g->m; i += TILE_M) {
            int64_t k0 = 0, k1 = g->k;
            if (g->shape == TILE_C_LOWER && j >= i + TILE_M) continue;
            if (g->shape == TILE_A_LOWER && k1 > i + TILE_M) k1 = i + TILE_M;
            if (g->shape == TILE_A_UPPER) k0 = i;
            if (g->shape == TILE_B_LOWER) k0 = j;
            if (g->ahead) ahead_fetch(g->ahead);
            if (g->a_trans) {
                if (TILE_WIDE > TILE_V && n_vec == TILE_WIDE) tile_block(g, i, j, k0, k1, TILE_WIDE, true);
                else if (n_vec == TILE_V) tile_block(g, i, j, k0, k1, TILE_V, true);
                else tile_block(g, i, j, k0, k1, 1, true);
            } else {
                if (TILE_WIDE > TILE_V && n_vec == TILE_WIDE) tile_block(g, i, j, k0, k1, TILE_WIDE, false);
                else if (n_vec == TILE_V) tile_block(g, i, j, k0, k1, TILE_V, false);
                else tile_block(g, i, j, k0, k1, 1, false);
            }
        }
    }
}
#endif
