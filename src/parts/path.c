/* path.c - walks over a grid: rows, snakes, diagonals, windows, curves. */
#include "parts/path.h"

#include <stdlib.h>
#include <string.h>

void kr_walk_rows(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    for (int64_t i = 0; i < H * W; i++) cell[i] = (int32_t)i;
}

void kr_walk_snake(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    for (int64_t h = 0; h < H; h++)
        for (int64_t w = 0; w < W; w++) *cell++ = (int32_t)(h * W + (h % 2 ? W - 1 - w : w));
}

void kr_walk_diagonal(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    for (int64_t w = 0; w < W; w++)
        for (int64_t h = 0; h < H; h++) *cell++ = (int32_t)(h * W + (h + w) % W);
}

void kr_walk_anti(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    for (int64_t w = 0; w < W; w++)
        for (int64_t h = 0; h < H; h++) *cell++ = (int32_t)(h * W + ((w - h) % W + W) % W);
}

void kr_walk_jpeg(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    for (int64_t d = 0; d < H + W - 1; d++) {
        int64_t low = d < W ? 0 : d - W + 1, high = d < H ? d : H - 1; /* rows that this diagonal meets */
        for (int64_t i = low; i <= high; i++) {
            int64_t h = d % 2 ? i : low + high - i;
            *cell++ = (int32_t)(h * W + d - h);
        }
    }
}

void kr_walk_windows(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    for (int64_t h0 = 0; h0 < H; h0 += k)
        for (int64_t w0 = 0; w0 < W; w0 += k)
            for (int64_t h = h0; h < h0 + k && h < H; h++)
                for (int64_t w = w0; w < w0 + k && w < W; w++) *cell++ = (int32_t)(h * W + w);
}

void kr_walk_windows3(int32_t *cell, const int64_t size[3], int64_t k) {
    for (int64_t t0 = 0; t0 < size[0]; t0 += k)
        for (int64_t h0 = 0; h0 < size[1]; h0 += k)
            for (int64_t w0 = 0; w0 < size[2]; w0 += k)
                for (int64_t t = t0; t < t0 + k && t < size[0]; t++)
                    for (int64_t h = h0; h < h0 + k && h < size[1]; h++)
                        for (int64_t w = w0; w < w0 + k && w < size[2]; w++) *cell++ = (int32_t)((t * size[1] + h) * size[2] + w);
}

/* --- curves ------------------------------------------------------------------------- */

/* A box of the grid with its own axes: where it begins, and three (or two) sides, each a
 * signed length along one axis of the grid. */
typedef struct vec { int64_t at[3]; } vec;
typedef struct curve { int32_t *next; const int64_t *size; } curve;

static vec plus(vec a, vec b) { return (vec){{a.at[0] + b.at[0], a.at[1] + b.at[1], a.at[2] + b.at[2]}}; }
static vec minus(vec a, vec b) { return (vec){{a.at[0] - b.at[0], a.at[1] - b.at[1], a.at[2] - b.at[2]}}; }
static vec negative(vec a) { return minus((vec){{0}}, a); }
static int64_t length(vec a) { return llabs(a.at[0] + a.at[1] + a.at[2]); } /* one of them only */
static vec unit(vec a) {
    for (int i = 0; i < 3; i++) a.at[i] = (a.at[i] > 0) - (a.at[i] < 0);
    return a;
}
/* Half of a side, rounded down; one more if that is odd and the side allows it, since a
 * part of even length ends on the side where the next begins. */
static vec half(vec a, bool even) {
    vec h = a;
    for (int i = 0; i < 3; i++) h.at[i] = a.at[i] < 0 ? -((1 - a.at[i]) / 2) : a.at[i] / 2;
    return even && length(h) % 2 && length(a) > 2 ? plus(h, unit(a)) : h;
}

static void emit_line(curve *c, vec p, vec side) {
    vec d = unit(side);
    for (int64_t i = length(side); i > 0; i--, p = plus(p, d))
        *c->next++ = (int32_t)((p.at[0] * c->size[1] + p.at[1]) * c->size[2] + p.at[2]);
}

/* From a corner along side a to that side's other end, filling a x b.  (The curve for any
 * rectangle that Cerveny describes; sides of 2^k give Hilbert's own.) */
static void curve2(curve *c, vec p, vec a, vec b) {
    int64_t w = length(a), h = length(b);
    if (h == 1) {
        emit_line(c, p, a);
    } else if (w == 1) {
        emit_line(c, p, b);
    } else if (2 * w > 3 * h) {
        vec a2 = half(a, true);
        curve2(c, p, a2, b);
        curve2(c, plus(p, a2), minus(a, a2), b);
    } else {
        vec a2 = half(a, false), b2 = half(b, true);
        curve2(c, p, b2, a2);
        curve2(c, plus(p, b2), a, minus(b, b2));
        curve2(c, plus(p, plus(minus(a, unit(a)), minus(b2, unit(b)))), negative(b2), negative(minus(a, a2)));
    }
}

/* The same for a box a x b x c: cut in two along a long a, in three where b or c is long, or in five. */
static void curve3(curve *k, vec p, vec a, vec b, vec c) {
    int64_t w = length(a), h = length(b), d = length(c);
    if (h == 1 && d == 1) {
        emit_line(k, p, a);
    } else if (w == 1 && d == 1) {
        emit_line(k, p, b);
    } else if (w == 1 && h == 1) {
        emit_line(k, p, c);
    } else if (2 * w > 3 * h && 2 * w > 3 * d) {
        vec a2 = half(a, true);
        curve3(k, p, a2, b, c);
        curve3(k, plus(p, a2), minus(a, a2), b, c);
    } else {
        vec a2 = half(a, true), b2 = half(b, true), c2 = half(c, true);
        vec a_end = minus(a, unit(a)), b_turn = minus(b2, unit(b)), c_turn = minus(c2, unit(c)), c_end = minus(c, unit(c));
        vec a_rest = negative(minus(a, a2));
        if (3 * h > 4 * d) {
            curve3(k, p, b2, c, a2);
            curve3(k, plus(p, b2), a, minus(b, b2), c);
            curve3(k, plus(p, plus(a_end, b_turn)), negative(b2), c, a_rest);
        } else if (3 * d > 4 * h) {
            curve3(k, p, c2, a2, b);
            curve3(k, plus(p, c2), a, b, minus(c, c2));
            curve3(k, plus(p, plus(a_end, c_turn)), negative(c2), a_rest, b);
        } else {
            curve3(k, p, b2, c2, a2);
            curve3(k, plus(p, b2), c, a2, minus(b, b2));
            curve3(k, plus(p, plus(b_turn, c_end)), a, negative(b2), negative(minus(c, c2)));
            curve3(k, plus(p, plus(a_end, plus(b2, c_end))), negative(c), a_rest, minus(b, b2));
            curve3(k, plus(p, plus(a_end, b_turn)), negative(b2), c2, a_rest);
        }
    }
}

void kr_walk_hilbert(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    int64_t size[3] = {1, H, W};
    curve c = {cell, size};
    vec rows = {{0, H, 0}}, columns = {{0, 0, W}}, origin = {{0}};
    if (W >= H) curve2(&c, origin, columns, rows);
    else curve2(&c, origin, rows, columns);
}

void kr_walk_hilbert3(int32_t *cell, const int64_t size[3]) {
    curve c = {cell, size};
    vec side[3] = {{{size[0], 0, 0}}, {{0, size[1], 0}}, {{0, 0, size[2]}}};
    int a = 0; /* the longest side first */
    for (int i = 1; i < 3; i++)
        if (size[i] > size[a]) a = i;
    curve3(&c, (vec){{0}}, side[a], side[a == 0 ? 1 : 0], side[a == 2 ? 1 : 2]);
}

uint64_t kr_morton_code(const uint32_t *x, int dims, int bits) {
    uint64_t code = 0;
    for (int b = bits - 1; b >= 0; b--)
        for (int i = 0; i < dims; i++) code = code << 1 | (x[i] >> b & 1);
    return code;
}

/* Skilling, "Programming the Hilbert curve" (2004): undo the reflections and exchanges of
 * each level, then the Gray code; the code is the transposed bits. */
uint64_t kr_hilbert_code(const uint32_t *at, int dims, int bits) {
    uint32_t x[3], top = 1u << (bits - 1), t = 0;
    memcpy(x, at, (size_t)dims * sizeof *x);
    for (uint32_t q = top; q > 1; q >>= 1)
        for (int i = 0; i < dims; i++) {
            if (x[i] & q) {
                x[0] ^= q - 1;
            } else {
                uint32_t swap = (x[0] ^ x[i]) & (q - 1);
                x[0] ^= swap;
                x[i] ^= swap;
            }
        }
    for (int i = 1; i < dims; i++) x[i] ^= x[i - 1];
    for (uint32_t q = top; q > 1; q >>= 1)
        if (x[dims - 1] & q) t ^= q - 1;
    for (int i = 0; i < dims; i++) x[i] ^= t;
    return kr_morton_code(x, dims, bits);
}

static int bits_for(int64_t n) {
    int bits = 1;
    while ((int64_t)1 << bits < n) bits++;
    return bits;
}

/* The box of side 2^(bit + 1) at x, y, z, its eighths in order; boxes off the grid are empty. */
static void morton_box(curve *k, int64_t x, int64_t y, int64_t z, int bit) {
    const int64_t *n = k->size;
    if (x >= n[0] || y >= n[1] || z >= n[2]) return;
    if (bit < 0) {
        *k->next++ = (int32_t)((x * n[1] + y) * n[2] + z);
        return;
    }
    for (int i = 0; i < 8; i++)
        morton_box(k, x | (int64_t)(i >> 2 & 1) << bit, y | (int64_t)(i >> 1 & 1) << bit, z | (int64_t)(i & 1) << bit, bit - 1);
}

void kr_walk_morton3(int32_t *cell, const int64_t size[3]) {
    curve c = {cell, size};
    int most = 0;
    for (int i = 0; i < 3; i++)
        if (bits_for(size[i]) > most) most = bits_for(size[i]);
    morton_box(&c, 0, 0, 0, most - 1);
}

void kr_walk_morton(int32_t *cell, int64_t H, int64_t W, int64_t k) {
    (void)k;
    kr_walk_morton3(cell, (const int64_t[3]){1, H, W});
}

void kr_walk_axes(int32_t *cell, const int64_t size[3], const int axis[3], bool snake) {
    int64_t step[3] = {size[1] * size[2], size[2], 1}, n[3] = {size[axis[0]], size[axis[1]], size[axis[2]]};
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++) {
            int64_t y = snake && i % 2 ? n[1] - 1 - j : j;
            bool back = snake && (i * n[1] + j) % 2;
            for (int64_t l = 0; l < n[2]; l++)
                *cell++ = (int32_t)(i * step[axis[0]] + y * step[axis[1]] + (back ? n[2] - 1 - l : l) * step[axis[2]]);
        }
}

void kr_walk_mirrored(kr_walk *walk, int mirror, int32_t *cell, int64_t H, int64_t W, int64_t k) {
    int64_t rows = mirror & 4 ? W : H, columns = mirror & 4 ? H : W;
    walk(cell, rows, columns, k);
    for (int64_t i = 0; i < H * W; i++) {
        int64_t h = cell[i] / columns, w = cell[i] % columns;
        if (mirror & 4) {
            int64_t swap = h;
            h = w, w = swap;
        }
        if (mirror & 1) h = H - 1 - h;
        if (mirror & 2) w = W - 1 - w;
        cell[i] = (int32_t)(h * W + w);
    }
}

void kr_walk_reverse(int32_t *cell, int64_t n) {
    for (int64_t i = 0; i < n / 2; i++) {
        int32_t swap = cell[i];
        cell[i] = cell[n - 1 - i], cell[n - 1 - i] = swap;
    }
}
