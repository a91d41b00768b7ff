/* order_scan.c - the mixer walks a grid along the paths of a scan order (krait/order.h).
 *
 *   y = merge over k of  inverse_k(mixer_k(path_k(x)))
 *
 * mixer_k has its own parameters (scope mixer.k), or all share one (scope mixer), and then
 * all paths of one length run as one batch.  Paths that share the cells out are put
 * together again whatever `merge` says.
 *
 * With `coarse` n all paths but the first walk the means of n x n cells, and what they say of a patch goes to each of its
 * cells (MSVMamba, whose patches are made by a convolution; Voxel Mamba's walk back).
 *
 * With `shuffle` p the steps are, while training, put in a random order before all this and put back behind it, with
 * probability p in the last layer and less the nearer a layer is to the first (SLWS: Huang et al. 2024).
 *
 * The pieces of a path, if it has several, are sequences of their own.  With axis "channels" the walk is over the
 * channels, each a step of L numbers (MambaMixer, TimeMachine, Motion Mamba). */
#include <string.h>

#include "ops/concat/concat.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/shuffle/shuffle.h"
#include "ops/unary/unary.h"
#include "parts/grid.h"
#include "parts/route.h"

enum { SUM, MEAN, CONCAT, GATE };
typedef struct scan {
    const char *path, *size;
    int64_t path_window, path_seed, coarse;
    bool symmetries, share;
    double shuffle;
    int merge, axis;
} scan;
static const kr_key keys[] = {
    KR_KEY_TEXT(scan, path, "bidirectional", "the scan order; `krait inspect order` lists them"),
    KR_KEY_TEXT(scan, size, "", "the grid that the steps are: HxW or TxHxW; unless told, the encoder's pictures, or a line"),
    KR_KEY_INT(scan, path_window, 0, 0, 1e9, "side of a window, step of an atrous order, number of slices or levels; 0: the order's own"),
    KR_KEY_INT(scan, path_seed, 0, 0, 9e15, "of random orders"),
    KR_KEY_INT(scan, coarse, 1, 1, 1024, "all paths but the first walk the picture's means over so many cells each way"),
    KR_KEY_BOOL(scan, symmetries, false, "one path seen in the 8 mirrors of a picture"),
    KR_KEY_BOOL(scan, share, false, "all paths use the same parameters"),
    KR_KEY_CHOICE(scan, merge, "sum|mean|concat|gate", "how the paths' outputs become one; concat has a product after it, gate weighs paths by their means"),
    KR_KEY_REAL(scan, shuffle, 0, 0, 1, "training: chance that the last layer's steps are put in a random order first, smaller with less depth"),
    KR_KEY_CHOICE(scan, axis, "steps|channels", "what the paths lead over; channels: a line of them, each with all steps as its numbers"),
    KR_KEY_END};

/* Path k of x, walked from each cell's place, and back. */
static kr_node *walked(kr_build *b, const kr_order *o, int k, kr_node *x) {
    const struct kr_order_path *p = &o->path[k];
    return kr_steps_at(b, p->flipped ? kr_flip(b, x) : x, p->cell, p->n);
}
static kr_node *walked_back(kr_build *b, const kr_order *o, int k, int64_t behind, int32_t *idx, kr_node *y) {
    kr_order_inverse(o, k, idx);
    for (int64_t c = 0; c < o->n_cells; c++)
        if (idx[c] >= 0) idx[c] += (int32_t)behind;
    y = kr_steps_at(b, y, idx, o->n_cells);
    return o->path[k].flipped ? kr_flip(b, y) : y;
}

/* What the paths say, cell by cell again: [S, n_cells, M] of each in y.  idx has room for all paths. */
static void run_paths(kr_build *b, const kr_order *o, int first, int n_paths, bool share, int32_t *idx, kr_node *x, kr_node **y) {
    int64_t n = o->path[first].n;
    bool batch = share && n_paths > 1;
    for (int k = 0; k < n_paths; k++) batch = batch && o->path[first + k].n == n && !o->path[first + k].flipped;
    if (batch) {
        for (int k = 0; k < n_paths; k++) memcpy(idx + k * n, o->path[first + k].cell, (size_t)n * sizeof *idx);
        kr_node *all = kr_mix_walks(b, "mixer", &o->path[first], n_paths, kr_steps_at(b, x, idx, n_paths * n));
        for (int k = 0; k < n_paths; k++) y[k] = walked_back(b, o, first + k, k * n, idx, all);
        return;
    }
    for (int k = 0; k < n_paths; k++) {
        char scope[32];
        snprintf(scope, sizeof scope, share || n_paths == 1 ? "mixer" : "mixer.%d", k);
        kr_node *said = kr_mix_walks(b, scope, &o->path[first + k], 1, walked(b, o, first + k, x));
        y[k] = walked_back(b, o, first + k, 0, idx, said);
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
    return *o->size && !o->axis ? n_cells(kr_order_size(o->size, size), size) : 0;
}

/* All paths of `o` but the first over b's pictures made smaller; y as run_paths has it. */
static kr_node *run_coarse(kr_build *b, const scan *o, const kr_order *order, int32_t *idx, kr_node *x, kr_node **y) {
    int64_t H = b->H, W = b->W, size[KR_ORDER_AXES];
    kr_order_options options = {.window = o->path_window, .seed = (uint64_t)o->path_seed, .layer = b->layer, .symmetries = o->symmetries};
    kr_order *small;
    if (order->per_layer || order->share_out || !H || *o->size)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "order.coarse wants pictures of the encoder's, and paths that each visit every cell in every layer");
    y[0] = walked_back(b, order, 0, 0, idx, kr_mix_walks(b, o->share ? "mixer" : "mixer.0", &order->path[0], 1, walked(b, order, 0, x)));
    x = kr_pool2d(b, x, o->coarse, KR_POOL_MEAN); /* b's pictures are small now */
    kr_status st = kr_order_new(&small, o->path, kr_grid_axes(b, size), size, &options);
    if (st != KR_OK) return kr_graph_fail(b->g, st, "order: %s", kr_error());
    for (int k = 1; k < small->n_paths; k++) {
        char scope[32];
        int64_t h = b->H, w = b->W, L = b->L;
        snprintf(scope, sizeof scope, o->share ? "mixer" : "mixer.%d", k);
        kr_node *said = kr_mix_walks(b, scope, &small->path[k], 1, walked(b, small, k, x));
        y[k] = kr_enlarge(b, walked_back(b, small, k, 0, idx, said), o->coarse, H, W);
        b->H = h, b->W = w, b->L = L;
    }
    kr_order_free(small);
    b->H = H, b->W = W, b->L = order->n_cells;
    return y[0];
}

/* The walk over b's L steps of d_model numbers. */
static kr_node *walk(kr_build *b, const scan *o, kr_node *x) {
    int64_t size[KR_ORDER_AXES];
    kr_order *order;
    kr_node *y[KR_ORDER_PATHS] = {NULL};
    int n_axes = axes_of(b, o->size, size);
    if (n_cells(n_axes, size) != b->L)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "order.size is \"%s\", but a row has %lld %s; want HxW or TxHxW with that many cells", o->size, (long long)b->L, o->axis ? "channels" : "steps");
    kr_order_options options = {.window = o->path_window, .seed = (uint64_t)o->path_seed, .layer = b->layer, .symmetries = o->symmetries};
    kr_status st = kr_order_new(&order, o->path, n_axes, size, &options);
    if (st != KR_OK) return kr_graph_fail(b->g, st, "order: %s", kr_error());
    int first = order->per_layer ? (int)(b->layer % order->n_paths) : 0, n = order->per_layer ? 1 : order->n_paths;
    int32_t *idx = kr_mem_array((size_t)(n * order->n_cells), sizeof *idx);
    if (idx && o->coarse > 1 && n > 1) run_coarse(b, o, order, idx, x, y);
    else if (idx) run_paths(b, order, first, n, o->share, idx, x, y);
    x = idx ? merge(b, order->share_out ? SUM : o->merge, n, y) : kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    kr_mem_free(idx);
    kr_order_free(order);
    return x;
}

static kr_node *shuffled(kr_build *b, const scan *o, kr_node *x) {
    char name[40];
    kr_node *out[KR_MAX_OUT] = {NULL};
    shuffle_attr a = {.n = b->L, .p = o->shuffle * (double)(b->residual + 1) / (double)b->n_residual};
    snprintf(name, sizeof name, "shuffle_key.%lld", (long long)b->residual);
    kr_apply(b->g, &kr_op_shuffle, &a, (kr_node *const[KR_MAX_IN]){kr_input(b->g, name, KR_I32, 1, KR_DIMS(4))}, out);
    x = walk(b, o, KR_APPLY(b->g, gather, NULL, x, out[SHUFFLE_ORDER], out[SHUFFLE_PLACE]));
    return KR_APPLY(b->g, gather, NULL, x, out[SHUFFLE_PLACE], out[SHUFFLE_ORDER]);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const scan *o = opt;
    if (b->stateful) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a scan order sees the future, so it cannot go step by step");
    if (b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a scan order does not take packed documents");
    if (o->shuffle > 0 && b->training && !o->axis) return shuffled(b, o, x);
    if (!o->axis) return walk(b, o, x);
    int64_t H = b->H, W = b->W, L = b->L, M = b->d_model;
    b->H = b->W = 0, b->L = M, b->d_model = L; /* a line of channels */
    x = walk(b, o, kr_turn(b, x));
    b->H = H, b->W = W, b->L = L, b->d_model = M;
    return kr_turn(b, x);
}

const kr_part kr_part_order_scan = {.kind = "order", .name = "scan", .about = "along the paths of a scan order: pictures, volumes, lines",
                                    .bytes = sizeof(scan), .keys = keys, .build = build, .steps = steps};
