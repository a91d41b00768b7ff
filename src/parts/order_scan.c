/* order_scan.c - the mixer walks a grid along the paths of a scan order (krait/order.h).
 *
 *   y = merge over k of  inverse_k(mixer_k(path_k(x)))
 *
 * mixer_k has its own parameters (scope mixer.k), or all share one (scope mixer), and then
 * all paths of one length run as one batch.  Paths that share the cells out are put
 * together again whatever `merge` says. */
#include <stdlib.h>
#include <string.h>

#include "krait/order.h"
#include "ops/concat/concat.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/unary/unary.h"
#include "parts/grid.h"

enum { SUM, MEAN, CONCAT, GATE };
typedef struct scan {
    const char *path, *size;
    int64_t path_window, path_seed;
    bool symmetries, share;
    int merge;
} scan;
static const kr_key keys[] = {
    KR_KEY_TEXT(scan, path, "bidirectional", "the scan order; `krait inspect order` lists them"),
    KR_KEY_TEXT(scan, size, "", "the grid that the steps are: HxW or TxHxW; unless told, the encoder's pictures, or a line"),
    KR_KEY_INT(scan, path_window, 0, 0, 1e9, "side of a window, step of an atrous order, number of slices; 0: the order's own"),
    KR_KEY_INT(scan, path_seed, 0, 0, 9e15, "of random orders"),
    KR_KEY_BOOL(scan, symmetries, false, "one path seen in the 8 mirrors of a picture"),
    KR_KEY_BOOL(scan, share, false, "all paths use the same parameters"),
    KR_KEY_CHOICE(scan, merge, "sum|mean|concat|gate", "how the paths' outputs become one; concat has a product after it, gate weighs paths by their means"),
    KR_KEY_END};



/* Rows of x in another order, [S, n, D]. */
static kr_node *pick(kr_build *b, kr_node *x, const int32_t *idx, int64_t n) {
    return KR_APPLY(b->g, gather, NULL, x, kr_const_i32(b->g, idx, n));
}

static kr_node *mix(kr_build *b, const char *scope, int64_t S, int64_t L, kr_node *x) {
    int64_t was_S = b->S, was_L = b->L;
    b->S = S, b->L = L;
    kr_scope_push(b->g, scope);
    x = b->mixer->build(b, b->mixer_opt, x);
    kr_scope_pop(b->g);
    b->S = was_S, b->L = was_L;
    return x;
}

/* What the paths say, cell by cell again: [S, n_cells, M] of each in y. */
static void run_paths(kr_build *b, const kr_order *o, int first, int n_paths, bool share, int32_t *idx, kr_node *x, kr_node **y) {
    int64_t D = kr_node_dim(x, -1), n = o->path[first].n;
    bool batch = share && n_paths > 1;
    for (int k = 0; k < n_paths; k++) batch = batch && o->path[first + k].n == n;
    if (batch) {
        for (int k = 0; k < n_paths; k++) memcpy(idx + k * n, o->path[first + k].cell, (size_t)n * sizeof *idx);
        kr_node *all = kr_reshape(b->g, pick(b, x, idx, n_paths * n), 3, KR_DIMS(b->S * n_paths, n, D));
        all = mix(b, "mixer", b->S * n_paths, n, all);
        all = kr_reshape(b->g, all, 3, KR_DIMS(b->S, n_paths * n, kr_node_dim(all, -1)));
        for (int k = 0; k < n_paths; k++) {
            kr_order_inverse(o, first + k, idx);
            for (int64_t c = 0; c < o->n_cells; c++)
                if (idx[c] >= 0) idx[c] += (int32_t)(k * n);
            y[k] = pick(b, all, idx, o->n_cells);
        }
        return;
    }
    for (int k = 0; k < n_paths; k++) {
        char scope[32];
        snprintf(scope, sizeof scope, share || n_paths == 1 ? "mixer" : "mixer.%d", k);
        kr_node *walked = pick(b, x, o->path[first + k].cell, o->path[first + k].n);
        walked = mix(b, scope, b->S, o->path[first + k].n, walked);
        kr_order_inverse(o, first + k, idx);
        y[k] = pick(b, walked, idx, o->n_cells);
    }
}

/* softmax over paths of a product with the paths' means (RSMamba). */
static kr_node *gate(kr_build *b, int n, kr_node **y) {
    pool_attr mean = {.kind = KR_POOL_MEAN};
    kr_node *scores = NULL, *all = NULL;
    int64_t D = kr_node_dim(y[0], -1);
    for (int k = 0; k < n; k++) {
        kr_node *m = KR_APPLY(b->g, pool, &mean, y[k]), *flat = kr_reshape(b->g, y[k], 2, KR_DIMS(b->S, b->L * D));
        scores = k ? KR_APPLY(b->g, concat, NULL, scores, m) : m;
        all = k ? KR_APPLY(b->g, concat, NULL, all, flat) : flat;
    }
    scores = kr_linear(b, scores, "gate", n, true);
    all = kr_reshape(b->g, all, 3, KR_DIMS(b->S, n, b->L * D));
    return kr_reshape(b->g, KR_APPLY(b->g, softmix, NULL, all, scores), 3, KR_DIMS(b->S, b->L, D));
}

static kr_node *merge(kr_build *b, int how, int n, kr_node **y) {
    if (n == 1) return y[0];
    if (how == GATE) return gate(b, n, y);
    kr_node *sum = y[0];
    for (int k = 1; k < n; k++) sum = how == CONCAT ? KR_APPLY(b->g, concat, NULL, sum, y[k]) : kr_add(b, sum, y[k]);
    unary_attr mean = {.kind = KR_UNARY_SCALE, .alpha = 1. / n};
    if (how == MEAN) return KR_APPLY(b->g, unary, &mean, sum);
    return how == CONCAT ? kr_linear_out(b, sum, "merge", b->d_model, false) : sum;
}

/* Axes of the grid, and their sides; 0 if `text` is none. */
static int axes_of(const kr_build *b, const char *text, int64_t size[KR_ORDER_AXES]) { return *text ? kr_order_size(text, size) : kr_grid_axes(b, size); }
static int64_t n_cells(int n_axes, const int64_t *size) {
    int64_t n = n_axes > 0;
    for (int i = 0; i < n_axes; i++)
        if (__builtin_mul_overflow(n, size[i], &n)) return 0;
    return n;
}

static int64_t steps(const void *opt) {
    const scan *o = opt;
    int64_t size[KR_ORDER_AXES];
    return *o->size ? n_cells(kr_order_size(o->size, size), size) : 0;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const scan *o = opt;
    int64_t size[KR_ORDER_AXES];
    kr_order *order;
    kr_node *y[KR_ORDER_PATHS] = {NULL};
    if (b->stateful) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a scan order sees the future, so it cannot go step by step");
    if (b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a scan order does not take packed documents");
    int n_axes = axes_of(b, o->size, size);
    if (n_cells(n_axes, size) != b->L) return kr_graph_fail(b->g, KR_ERR_CONFIG, "order.size is \"%s\", but a row has %lld steps; want HxW or TxHxW with that many cells", o->size, (long long)b->L);
    kr_order_options options = {.window = o->path_window, .seed = (uint64_t)o->path_seed, .layer = b->layer, .symmetries = o->symmetries};
    kr_status st = kr_order_new(&order, o->path, n_axes, size, &options);
    if (st != KR_OK) return kr_graph_fail(b->g, st, "order: %s", kr_error());
    int first = order->per_layer ? (int)(b->layer % order->n_paths) : 0, n = order->per_layer ? 1 : order->n_paths;
    int32_t *idx = kr_mem_array((size_t)(n * order->n_cells), sizeof *idx);
    if (idx) run_paths(b, order, first, n, o->share, idx, x, y);
    x = idx ? merge(b, order->share_out ? SUM : o->merge, n, y) : kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    kr_mem_free(idx);
    kr_order_free(order);
    return x;
}

const kr_part kr_part_order_scan = {.kind = "order", .name = "scan", .about = "along the paths of a scan order: pictures, volumes, lines",
                                    .bytes = sizeof(scan), .keys = keys, .build = build, .steps = steps};
