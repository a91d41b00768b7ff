/* order.h - scan orders: in what order a sequence model walks a line, a picture, a volume,
 * a cloud of points or a graph.
 *
 * An order is one or more paths; a path lists the cells of a grid in the order of the walk.
 * Cells are numbered as in memory, the last axis fastest.  Everything here is a pure
 * function of names, sizes and options.  Unstable until 1.0.
 *
 * Sources are named beside each order (`krait inspect order` lists them). */
#ifndef KRAIT_ORDER_H
#define KRAIT_ORDER_H
#include <stdbool.h>
#include <stdint.h>

#include "krait/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KR_ORDER_AXES = 3, KR_ORDER_PATHS = 16 };

typedef struct kr_order_options {
    int64_t window;      /* side of a window, step of an atrous order, number of slices or levels; 0: the order's own */
    uint64_t seed;       /* of random orders */
    int64_t layer;       /* random orders draw anew for each layer, and the number of paths may depend on it */
    bool symmetries;     /* the first path under the 8 symmetries of a rectangle, instead of all paths */
} kr_order_options;

typedef struct kr_order {
    int n_axes;
    int64_t size[KR_ORDER_AXES], n_cells;
    int n_paths;
    struct kr_order_path {
        int32_t *cell;   /* [n] the walk */
        int64_t n;       /* n_cells, unless the paths share the cells out */
        int32_t *piece;  /* [n] pieces of the walk, which know nothing of each other, from 0; NULL: it is one */
        int64_t n_pieces;
        bool flipped;    /* the channels of its steps go from the last to the first */
    } path[KR_ORDER_PATHS];
    bool share_out;      /* every cell lies on one path; else every path visits every cell */
    bool per_layer;      /* meant as one path a layer, in turn, not as all of them in each */
} kr_order;

typedef struct kr_order_info {
    const char *name, *about; /* "hilbert"; one line with its source */
    int min_axes, max_axes;
    bool adjacent;       /* steps of a path go to a neighbour (see kr_order_jumps) */
    const char *pieces;  /* what :apart cuts its paths into: "rows"; NULL: nothing */
} kr_order_info;

/* The i-th order there is; false past the last. */
KR_API bool kr_order_list(int i, kr_order_info *info);

/* "4x16x16" -> 3 and the sides; 0 if it is no grid of up to three sides from 1 to 2^31 - 1. */
KR_API int kr_order_size(const char *text, int64_t size[KR_ORDER_AXES]);
/* Does a step from one cell to the other go to one of the 2 n_axes neighbours? */
KR_API bool kr_order_is_step(const kr_order *o, int32_t from, int32_t to);
/* Builds `name` for a grid: an order, or a list "forward,forward:back,hilbert:turned" whose paths are
 * taken together; :back walks each path from its end, :turned has rows and columns change places
 * (pictures), :apart makes each row, window, frame, place or round a walk by itself, :flipped has the channels of a
 * step in reverse, :7 is a window of its own.  opt may be NULL.  The caller frees *out.
 * KR_ERR_CONFIG: no such order, a size it cannot take; KR_ERR_NOMEM. */
KR_API kr_status kr_order_new(kr_order **out, const char *name, int n_axes, const int64_t *size,
                              const kr_order_options *opt);
KR_API void kr_order_free(kr_order *o);

/* inverse[cell] = when path k comes by; -1 for a cell it does not visit.  [n_cells] */
KR_API void kr_order_inverse(const kr_order *o, int k, int32_t *inverse);
/* Steps of path k that do not go to a neighbour; from one piece to the next there is none. */
KR_API int64_t kr_order_jumps(const kr_order *o, int k);
/* A picture (SVG) of all paths, written to a file that is there whole or not at all. */
KR_API kr_status kr_order_draw(const kr_order *o, const char *title, const char *path);

/* --- orders of things that lie on no grid: rank[i] is the i-th thing of the walk ------------- */

/* Points xyz [n][3], quantised to cells of side `grid` (0: the longest side / 1024).
 * curve: "hilbert" (Skilling's code), "hilbert-trans" (x and y swapped), "z", or three of the
 * letters x, y and z, the slowest axis first, snaking in the faster ones ("xyz"; PCM).
 * Points of one cell keep their order. */
KR_API kr_status kr_order_points(const char *curve, double grid, int64_t n, const float *xyz, int32_t *rank);

/* Nodes of a graph by degree plus a draw from [0, 1), ascending (Graph-Mamba): hubs come last
 * and see most.  edge [n_edges][2]; an edge counts for both its ends. */
KR_API kr_status kr_order_degree(int64_t n_nodes, int64_t n_edges, const int32_t *edge, uint64_t seed, int32_t *rank);

/* Cells of an H x W picture along the tree that joins what is alike in x [H W][D] (GrootV): of all edges between
 * neighbours those of least -cos(x_i, x_j), in breadth from the first cell.  parent[k]: when the parent of the
 * k-th cell came by, -1 for the first. */
KR_API kr_status kr_order_tree(int64_t H, int64_t W, int64_t D, const float *x, int32_t *rank, int32_t *parent);

/* A picture of such a walk: things at xy [n][2], links between them drawn thin, and the walk as a line if wanted. */
typedef struct kr_order_loose {
    int64_t n, n_links;
    const float *xy;
    const int32_t *rank;
    const int32_t *link;   /* [n_links][2] */
    bool line;
} kr_order_loose;
KR_API kr_status kr_order_draw_loose(const kr_order_loose *o, const char *title, const char *path);

#ifdef __cplusplus
}
#endif
#endif
