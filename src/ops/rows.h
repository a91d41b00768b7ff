/* rows.h - what the row-wise ops share: how work is cut so that threads cannot change a bit.
 *
 * Three ways are enough:
 *   - each row is one thread's own (a norm);
 *   - a sum over rows, such as a weight's gradient, goes through partial sums over blocks
 *     of rows of a fixed size, added up in order;
 *   - element-wise work is cut into tiles of a row. */
#ifndef KR_OPS_ROWS_H
#define KR_OPS_ROWS_H
#include "ops/op.h"

/* Rows in a block, and blocks: at most 64, and none of fewer than 16 rows but the last. */
static inline int64_t rows_step(int64_t rows) { return rows > 64 * 16 ? (rows + 63) / 64 : 16; }
static inline int64_t rows_blocks(int64_t rows) { return (rows + rows_step(rows) - 1) / rows_step(rows); }
/* Bytes of scratch for partial sums over `width` floats. */
static inline size_t rows_part_bytes(int64_t rows, int64_t width) {
    return (size_t)rows_blocks(rows) * (size_t)width * sizeof(float);
}

/* Waking threads costs microseconds: all of them, or for little work only the caller.
 * (Never a number in between: libgomp ends the threads that a smaller team leaves out.) */
static inline int rows_threads(const kr_call *c, int64_t n_elements) { return n_elements < 16384 ? 1 : c->n_threads; }

/* Row r of a tensor whose rows may lie apart; NULL stays NULL. */
static inline float *row_at(const kr_tensor *t, int64_t r) { return t->data ? (float *)t->data + r * t->pitch : NULL; }
/* Row r of a contiguous tensor (outputs and their gradients). */
static inline float *row_of(const kr_tensor *t, int64_t r, int64_t width) {
    return t->data ? (float *)t->data + r * width : NULL;
}

/* Tiles of [rows, width]: at most ROWS_TILE elements of one row.  `dense` (the rows lie side
 * by side in every tensor) makes it all one long row, so that narrow rows cost nothing. */
enum { ROWS_TILE = 4096 };
typedef struct rows_tiles { int64_t n, per_row, width; } rows_tiles;
typedef struct rows_tile { int64_t row, col, n; } rows_tile;
static inline rows_tiles rows_cut(int64_t rows, int64_t width, bool dense) {
    if (dense) width *= rows, rows = rows > 0;
    int64_t per_row = (width + ROWS_TILE - 1) / ROWS_TILE;
    return (rows_tiles){rows * per_row, per_row, width};
}
static inline rows_tile rows_get(const rows_tiles *t, int64_t k) {
    int64_t col = k % t->per_row * ROWS_TILE, left = t->width - col;
    return (rows_tile){k / t->per_row, col, left < ROWS_TILE ? left : ROWS_TILE};
}

#ifdef KR_VL /* for *_vec.c */
#include <math.h>
#include <string.h>

#include "base/team.h"
#include "base/vec.h"

/* n elements are left at p: a whole vector, or the n there are. */
static inline vf v_get(const float *p, int64_t n) { return n >= KR_VL ? v_load(p) : v_load_n(p, n); }
static inline void v_put(float *p, vf v, int64_t n) {
    if (n >= KR_VL) v_store(p, v);
    else v_store_n(p, v, n);
}
/* p = v or p += v */
static inline void v_give(float *p, vf v, bool add, int64_t n) { v_put(p, add ? v_get(p, n) + v : v, n); }
/* The same for a row of n; NULL: unwanted. */
static inline void row_give(float *to, const float *from, bool add, int64_t n) {
    for (int64_t i = 0; to && i < n; i += KR_VL) v_give(to + i, v_get(from + i, n - i), add, n - i);
}
/* v with zeros past the n elements that are left. */
static inline vf v_keep(vf v, int64_t n) {
    float t[KR_VL] = {0};
    if (n >= KR_VL) return v;
    v_store_n(t, v, n);
    return v_load(t);
}

/* 1 / sqrt(mean of squares + eps) */
static inline float row_inverse_rms(vf squares, int64_t n, double eps) { return (float)(1 / sqrt(v_sum(squares) / (double)n + eps)); }

/* row(c, r, who) for each row of a forward pass: a team stands ready for less than pays to wake OpenMP's threads. */
static inline void rows_forward(const kr_call *c, int64_t width, kr_team_work *row) {
    int64_t rows = c->rows;
    if (rows * width < 16384) {
        kr_team_each(rows * width < 3072 ? 1 : c->n_threads, rows, row, (void *)c);
        return;
    }
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) row((void *)c, r, 0);
}

/* row(c, r, part) for each row, part being the `width` floats, zero at first, in which the
 * rows of its block add up (block b: parts + b * width); parts NULL: there is nothing to add. */
static inline void rows_each(const kr_call *c, float *parts, int64_t width, void (*row)(const kr_call *c, int64_t r, float *part)) {
    int64_t rows = c->rows, step = rows_step(rows), n_blocks = rows_blocks(rows);
#pragma omp parallel for num_threads(rows_threads(c, rows * width)) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *part = parts ? parts + b * width : NULL;
        if (part) memset(part, 0, (size_t)width * sizeof *part);
        for (int64_t r = b * step; r < rows && r < (b + 1) * step; r++) row(c, r, part);
    }
}

/* d = or += the sum over blocks of part[b * stride + i], in the order of b. */
static inline void rows_reduce(const kr_call *c, float *d, bool add, const float *part, int64_t stride, int64_t width) {
    int64_t n_blocks = rows_blocks(c->rows);
    if (!d) return;
#pragma omp parallel for num_threads(rows_threads(c, n_blocks * width / 4)) schedule(static)
    for (int64_t i = 0; i < width; i += KR_VL) {
        vf sum = add ? v_get(d + i, width - i) : (vf){0};
        for (int64_t b = 0; b < n_blocks; b++) sum += v_get(part + b * stride + i, width - i);
        v_put(d + i, sum, width - i);
    }
}
#endif
#endif
