/* path.h - walks over a grid, from which the named scan orders are made (path_set.c).
 *
 * Each function fills cell[0, H W) (or H W D) with the cells in the order of the walk; a
 * cell of a grid of H rows and W columns is h W + w. */
#ifndef KR_PARTS_PATH_H
#define KR_PARTS_PATH_H
#include "krait/order.h"

/* h, w: a cell's row and column; k: what the walk is asked (window, ...). */
typedef void kr_walk(int32_t *cell, int64_t H, int64_t W, int64_t k);

kr_walk kr_walk_rows;      /* row by row */
kr_walk kr_walk_snake;     /* odd rows backwards */
kr_walk kr_walk_diagonal;  /* h W + (h + w) mod W, w outer: RS-Mamba */
kr_walk kr_walk_anti;      /* h W + (w - h) mod W */
kr_walk kr_walk_jpeg;      /* anti-diagonals, to and fro */
kr_walk kr_walk_windows;   /* k x k windows row by row, rows within: LocalMamba; the last may be smaller */
kr_walk kr_walk_hilbert;   /* a generalised Hilbert curve, any size */
kr_walk kr_walk_morton;    /* bits of row and column interleaved */

void kr_walk_hilbert3(int32_t *cell, const int64_t size[3]);
void kr_walk_morton3(int32_t *cell, const int64_t size[3]);
void kr_walk_windows3(int32_t *cell, const int64_t size[3], int64_t k); /* k x k x k */
/* axis[0] slowest.  A snake runs to and fro in the faster axes. */
void kr_walk_axes(int32_t *cell, const int64_t size[3], const int axis[3], bool snake);

/* The walk seen in a mirror: bit 0 rows upside down, 1 columns, 2 rows and columns swapped
 * (the walk is then one of W rows and H columns). */
void kr_walk_mirrored(kr_walk *walk, int mirror, int32_t *cell, int64_t H, int64_t W, int64_t k);
void kr_walk_reverse(int32_t *cell, int64_t n);

/* A place on Skilling's Hilbert curve (dims axes of `bits` bits), and on Morton's. */
uint64_t kr_hilbert_code(const uint32_t *x, int dims, int bits);
uint64_t kr_morton_code(const uint32_t *x, int dims, int bits);
#endif
