/* path_loose.c - orders that the things themselves decide: points along a curve, nodes of a graph by degree, cells
 * of a picture along a tree. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "krait/order.h"
#include "ops/spanning_tree/spanning_tree.h"
#include "parts/path.h"

typedef struct keyed { double draw; uint64_t key; int32_t i; } keyed;
static int by_key(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}
static void sort_keys(keyed *k, int64_t n, int32_t *rank) {
    qsort(k, (size_t)n, sizeof *k, by_key);
    for (int64_t i = 0; i < n; i++) rank[i] = k[i].i;
}

enum { POINT_BITS = 20 };
/* axis[0] slowest; to and fro in the faster ones. */
static uint64_t snake_code(const uint32_t x[3], const int axis[3]) {
    uint64_t top = (1u << POINT_BITS) - 1, a = x[axis[0]], b = x[axis[1]], c = x[axis[2]];
    if (a % 2) b = top - b;
    if (b % 2) c = top - c;
    return (a << POINT_BITS | b) << POINT_BITS | c;
}

kr_status kr_order_points(const char *curve, double grid, int64_t n, const float *xyz, int32_t *rank) {
    bool hilbert = strcmp(curve, "hilbert") == 0, swapped = strcmp(curve, "hilbert-trans") == 0, z = strcmp(curve, "z") == 0;
    int axis[3] = {0}, seen = 0;
    for (int i = 0; !hilbert && !swapped && !z && i < 3; i++)
        if (curve[0] && strlen(curve) == 3 && curve[i] >= 'x' && curve[i] <= 'z') axis[i] = curve[i] - 'x', seen |= 1 << axis[i];
    if (!hilbert && !swapped && !z && seen != 7)
        KR_FAIL(KR_ERR_CONFIG, "points: there is no order \"%s\"; there are hilbert, hilbert-trans, z and the six orders of xyz", curve);
    float low[3] = {FLT_MAX, FLT_MAX, FLT_MAX}, side = 0;
    for (int64_t i = 0; i < 3 * n; i++) {
        if (!isfinite(xyz[i])) KR_FAIL(KR_ERR_NUMERIC, "points: coordinate %c of point %lld is not finite", (int)('x' + i % 3), (long long)(i / 3));
        if (xyz[i] < low[i % 3]) low[i % 3] = xyz[i];
    }
    for (int64_t i = 0; i < 3 * n; i++) side = fmaxf(side, xyz[i] - low[i % 3]);
    double cell = grid > 0 ? grid : side > 0 ? side / 1024. : 1;
    if (side / cell >= 1 << POINT_BITS)
        KR_FAIL(KR_ERR_CONFIG, "points: %g across in cells of %g are more than 2^%d cells; want a coarser grid", side, cell, POINT_BITS);
    keyed *k = kr_mem_array((size_t)n, sizeof *k);
    if (!k) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        uint32_t x[3];
        for (int a = 0; a < 3; a++) x[swapped && a < 2 ? 1 - a : a] = (uint32_t)((xyz[3 * i + a] - low[a]) / cell);
        k[i] = (keyed){0, z ? kr_morton_code(x, 3, POINT_BITS) : hilbert || swapped ? kr_hilbert_code(x, 3, POINT_BITS) : snake_code(x, axis),
                       (int32_t)i};
    }
    sort_keys(k, n, rank);
    kr_mem_free(k);
    return KR_OK;
}

kr_status kr_order_degree(int64_t n_nodes, int64_t n_edges, const int32_t *edge, uint64_t seed, int32_t *rank) {
    keyed *k = kr_mem_array((size_t)n_nodes, sizeof *k);
    if (!k) return KR_ERR_NOMEM;
    kr_rng r = {seed, kr_rng_stream("degree order"), 0};
    for (int64_t i = 0; i < n_nodes; i++) k[i] = (keyed){kr_rng_uniform(&r), 0, (int32_t)i};
    for (int64_t i = 0; i < 2 * n_edges; i++) {
        if (edge[i] < 0 || edge[i] >= n_nodes) {
            kr_mem_free(k);
            KR_FAIL(KR_ERR_ARG, "graph: edge %lld names node %d; there are %lld", (long long)(i / 2), (int)edge[i], (long long)n_nodes);
        }
        k[edge[i]].key++;
    }
    sort_keys(k, n_nodes, rank);
    kr_mem_free(k);
    return KR_OK;
}

static double alike(const float *a, const float *b, int64_t D) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t d = 0; d < D; d++) ab += (double)a[d] * b[d], aa += (double)a[d] * a[d], bb += (double)b[d] * b[d];
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

kr_status kr_order_tree(int64_t H, int64_t W, int64_t D, const float *x, int32_t *rank, int32_t *parent) {
    if (H < 1 || W < 1 || D < 1 || H > INT32_MAX / 8 / W) KR_FAIL(KR_ERR_ARG, "tree: a picture of %lld x %lld cells of %lld numbers", (long long)H, (long long)W, (long long)D);
    int32_t L = (int32_t)(H * W), n = 0;
    char *room = kr_mem_array(1, tree_bytes(L) + (size_t)L * sizeof(int32_t));
    if (!room) return KR_ERR_NOMEM;
    tree_edge *edge = (tree_edge *)room;
    for (int32_t i = 0; i < L; i++)
        for (int32_t down = 0; down < 2; down++) {
            int64_t j = down ? i + W : i + 1;
            if (down ? j < L : i % W + 1 < W) edge[n++] = (tree_edge){(float)-alike(x + i * D, x + j * D, D), 2 * i + down};
        }
    tree_build(room, n, L, (int32_t)W, rank, (int32_t *)(room + tree_bytes(L)), parent);
    kr_mem_free(room);
    return KR_OK;
}
