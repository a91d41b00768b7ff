/* spanning_tree.h - the slots, options and algorithm of spanning_tree. */
#ifndef KR_OPS_SPANNING_TREE_H
#define KR_OPS_SPANNING_TREE_H
#include "ops/op.h"

enum { TREE_X };
enum { TREE_ORDER, TREE_PLACE, TREE_PARENT };
typedef struct spanning_tree_attr { int64_t width; } spanning_tree_attr;

#ifdef __CUDACC__
#define TREE_FN static __device__ inline
#else
#define TREE_FN static inline
#endif

/* An edge: 2 cell + (0: to the right, 1: down), and how unlike its ends are. */
typedef struct tree_edge { float w; int32_t id; } tree_edge;
TREE_FN bool tree_before(tree_edge a, tree_edge b) { return a.w < b.w || (a.w == b.w && a.id < b.id); }

/* Room for one picture of L cells: 2 L edges, then four lists of L. */
static inline size_t tree_bytes(int64_t L) { return (size_t)L * (2 * sizeof(tree_edge) + 4 * sizeof(int32_t)); }

TREE_FN void tree_sift(tree_edge *e, int32_t root, int32_t n) {
    tree_edge v = e[root];
    for (int32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && tree_before(e[child], e[child + 1])) child++;
        if (!tree_before(v, e[child])) break;
        e[root] = e[child];
    }
    e[root] = v;
}
TREE_FN void tree_sort(tree_edge *e, int32_t n) { /* a heap: no recursion, no worst case */
    for (int32_t i = n / 2; i-- > 0;) tree_sift(e, i, n);
    while (--n > 0) {
        tree_edge last = e[n];
        e[n] = e[0], e[0] = last;
        tree_sift(e, 0, n);
    }
}
TREE_FN int32_t tree_root(int32_t *up, int32_t i) {
    while (up[i] != i) i = up[i] = up[up[i]];
    return i;
}

/* Kruskal over the n edges in room, then a walk in breadth from cell 0: neighbours to the right,
 * below, to the left, above, in this order. */
TREE_FN void tree_build(void *room, int32_t n, int32_t L, int32_t W, int32_t *order, int32_t *place, int32_t *parent) {
    tree_edge *edge = (tree_edge *)room;
    int32_t *up = (int32_t *)(edge + 2 * (int64_t)L), *ways = up + L;
    tree_sort(edge, n);
    for (int32_t i = 0; i < L; i++) up[i] = i, ways[i] = 0, place[i] = -1;
    for (int32_t k = 0; k < n; k++) {
        int32_t a = edge[k].id / 2, down = edge[k].id % 2, b = down ? a + W : a + 1;
        int32_t ra = tree_root(up, a), rb = tree_root(up, b);
        if (ra == rb) continue;
        up[rb] = ra;
        ways[a] |= down ? 2 : 1, ways[b] |= down ? 8 : 4;
    }
    order[0] = 0, place[0] = 0, parent[0] = -1;
    for (int32_t at = 0, end = 1; at < L; at++) {
        int32_t i = order[at], to[4] = {i + 1, i + W, i - 1, i - W};
        for (int k = 0; k < 4; k++)
            if (ways[i] >> k & 1 && place[to[k]] < 0) place[to[k]] = end, parent[end] = at, order[end++] = to[k];
    }
}
#endif
