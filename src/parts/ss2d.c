/* ss2d.c - see ss2d.h.
 *
 *   x, z   = u W_in
 *   x      = silu(conv(x))                        over the picture, along the line, or along each path
 *   y      = merge over paths k of  inverse_k(S6_k(path_k(x)))
 *   out    = (norm(y) * silu(z)) W_out
 *
 * S6_k is Mamba-1's scan with dt, B, C products of its input and A, D, all of the path's own, or
 * shared but for A (Vim v1), or all shared; then all paths run as one batch.  `directions` adds to
 * B a learnt vector for where a step came from: the start, left, right, below, above (PlainMamba).
 *
 * Where a path has pieces, S6_k and a convolution along the path begin anew in each; those over the picture and
 * along the line come before the paths and know of none.  A flipped path has the E channels of x in reverse.
 *
 * dt, B and C are made of each cell by itself, so where the convolution is not along the path, and the path is one
 * piece through all cells, nothing is put in another order: the scan takes the cells by the path's list.
 *
 * path "tree" (GrootV) has no list of cells but a tree over the picture that joins what is alike in
 * x; along it every cell hears every other. */
#include "parts/ss2d.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/binary_row/binary_row.h"
#include "ops/glu/glu.h"
#include "ops/ops.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/spanning_tree/spanning_tree.h"
#include "ops/unary/unary.h"
#include "parts/grid.h"
#include "parts/route.h"

enum { CONV_GRID, CONV_LINE, CONV_PATH, CONV_NONE };
enum { OWN_ALL, OWN_A, OWN_NONE };

const kr_key kr_ss2d_keys[] = {
    KR_KEY_TEXT(kr_ss2d, path, "cross", "the scan order; `krait inspect order` lists them; or tree, one that joins what is alike (GrootV)"),
    KR_KEY_INT(kr_ss2d, path_window, 0, 0, 1e9, "side of a window, step of an atrous order, number of slices; 0: the order's own"),
    KR_KEY_INT(kr_ss2d, path_seed, 0, 0, 9e15, "of random orders"),
    KR_KEY_CHOICE(kr_ss2d, conv, "grid|line|path|none", "the depthwise convolution: over the picture, along the line, or along each path"),
    KR_KEY_CHOICE(kr_ss2d, own, "all|A|none", "what each path has of its own"),
    KR_KEY_CHOICE(kr_ss2d, merge, "sum|mean", "how the paths' outputs become one"),
    KR_KEY_CHOICE(kr_ss2d, norm, "layer|none", "behind the merge"),
    {"gate", KR_KEY_BOOL, offsetof(kr_ss2d, gate), 1, 0, 1, NULL, NULL, "times silu(z)"},
    KR_KEY_BOOL(kr_ss2d, directions, false, "a learnt vector for the direction of each step is added to B (PlainMamba)"),
    KR_KEY_INT(kr_ss2d, d_state, 16, 1, 4096, "size N of each channel's state"),
    KR_KEY_INT(kr_ss2d, d_conv, 3, 1, 15, "taps of the convolution, each way; along a line or path 2 to 8"),
    KR_KEY_INT(kr_ss2d, expand, 2, 1, 64, "inner width over d_model"),
    KR_KEY_INT(kr_ss2d, d_inner, 0, 0, 1 << 24, "inner width E; 0: expand * d_model"),
    KR_KEY_INT(kr_ss2d, dt_rank, 0, 0, 1 << 20, "rank R of the step size; 0: d_model / 16, rounded up"),
    KR_KEY_REAL(kr_ss2d, dt_min, 1e-3, 0, 1e3, "least step size drawn at initialisation"),
    KR_KEY_REAL(kr_ss2d, dt_max, 0.1, 0, 1e3, "largest step size drawn at initialisation"),
    KR_KEY_BOOL(kr_ss2d, conv_bias, true, "the convolution has a bias"),
    KR_KEY_BOOL(kr_ss2d, bias, false, "in_proj and out_proj have a bias"),
    KR_KEY_END};

/* What a walk over paths has at hand. */
typedef struct walk {
    const kr_ss2d *o;
    const kr_order *order;
    int first, n_paths;
    int64_t E, R;
    int32_t *idx; /* room for n_paths times all cells */
} walk;

/* From where a step of a path came: 0 it starts, or jumps; from the left 1, the right 2, below 3, above 4. */
static int32_t direction(const kr_order *o, int32_t from, int32_t to) {
    int64_t W = o->size[o->n_axes - 1];
    if (!kr_order_is_step(o, from, to)) return 0;
    return to == from + 1 ? 1 : to == from - 1 ? 2 : to == from - W ? 3 : to == from + W ? 4 : 0;
}

/* Learnt vectors for B, [rows, steps, N] of n_paths walks a sequence; the steps' directions are the same for each.
 * by_cell: each stands at its cell, not at its step. */
static kr_node *direction_vectors(kr_build *b, const walk *w, int k0, int n_paths, int64_t rows, int64_t steps, bool by_cell) {
    int64_t n = w->order->path[w->first + k0].n;
    int32_t *id = kr_mem_array((size_t)(b->S * n_paths * n), sizeof *id);
    if (!id) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t s = 0, i = 0; s < b->S; s++)
        for (int k = 0; k < n_paths; k++, i += n)
            for (int64_t t = 0; t < n; t++) {
                const struct kr_order_path *p = &w->order->path[w->first + k0 + k];
                bool begins = t == 0 || (p->piece && p->piece[t] != p->piece[t - 1]);
                id[i + (by_cell ? p->cell[t] : t)] = begins ? 0 : direction(w->order, p->cell[t - 1], p->cell[t]);
            }
    kr_node *ids = kr_reshape(b->g, kr_const_i32(b->g, id, b->S * n_paths * n), 2, KR_DIMS(rows, steps));
    kr_mem_free(id);
    kr_node *table = kr_weight(b->g, "direction", KR_MATRIX, 2, KR_DIMS(5, w->o->d_state), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    return KR_APPLY(b->g, embedding, NULL, ids, table);
}

/* What S6 takes beside u [S', n, E]; B and C are [S', n, N].  dt is before its softplus, without the bias. */
typedef struct s6 { kr_node *dt, *dt_bias, *A, *B, *C, *D; } s6;

static kr_node *rates(kr_build *b, const walk *w, const char *A_log) {
    return kr_act(b, kr_weight(b->g, A_log, KR_NO_DECAY, 2, KR_DIMS(w->E, w->o->d_state), (kr_init){KR_INIT_LOG_COUNT, 0, 0, 0, NULL}), KR_UNARY_NEG_EXP);
}

static s6 products(kr_build *b, const walk *w, const char *A_log, kr_node *u) {
    const kr_ss2d *o = w->o;
    kr_graph *g = b->g;
    int64_t E = w->E, R = w->R, N = o->d_state;
    double r = 1 / sqrt((double)R);
    kr_node *dbc = kr_linear(b, u, "x_proj", R + 2 * N, false), *bc = kr_columns(g, dbc, R, 2 * N);
    if (R % 8) bc = kr_act(b, bc, KR_UNARY_COPY); /* a GPU's scan wants rows that begin at 16 bytes: Vim-Ti's R is 12 */
    s6 p = {.B = kr_columns(g, bc, 0, N), .C = kr_columns(g, bc, N, N)};
    kr_scope_push(g, "dt_proj");
    kr_node *W = kr_weight(g, "weight", KR_MATRIX, 2, KR_DIMS(E, R), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
    p.dt_bias = kr_weight(g, "bias", KR_NO_DECAY, 1, &E, (kr_init){KR_INIT_DT_BIAS, o->dt_min, o->dt_max, 1e-4, NULL});
    kr_scope_pop(g);
    p.dt = KR_APPLY(g, linear, NULL, kr_columns(g, dbc, 0, R), W);
    p.A = rates(b, w, A_log);
    p.D = kr_weight(g, "D", KR_NO_DECAY, 1, &E, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    return p;
}

/* S6 of what is ready, along `order` if it is there; B and C are [rows, n, N]. */
static kr_node *scan_of(kr_build *b, const s6 *p, kr_node *u, kr_node *order) {
    int64_t rows = kr_node_dim(u, 0), n = kr_node_dim(u, 1), N = kr_node_dim(p->B, -1);
    kr_node *in[KR_MAX_IN] = {[SCAN_U] = u, [SCAN_DT] = p->dt, [SCAN_A] = p->A, [SCAN_D] = p->D, [SCAN_DT_BIAS] = p->dt_bias, [SCAN_ORDER] = order};
    in[SCAN_B] = kr_reshape(b->g, p->B, 4, KR_DIMS(rows, n, 1, N));
    in[SCAN_C] = kr_reshape(b->g, p->C, 4, KR_DIMS(rows, n, 1, N));
    in[SCAN_SEQ_IDX] = b->seq_idx;
    return kr_apply(b->g, &kr_op_selective_scan, NULL, in, NULL);
}

static void name_of_rates(const walk *w, int k, char *name, size_t size) { snprintf(name, size, w->o->own == OWN_A ? "A_log.%d" : "A_log", k); }

/* S6 over u [S, n_paths n, E], the paths k0 .. k0 + n_paths of each sequence one behind the other. */
static kr_node *scan(kr_build *b, const walk *w, int k0, int n_paths, kr_node *u) {
    const kr_ss2d *o = w->o;
    char name[24];
    if (!u) return NULL;
    const struct kr_order_path *path = &w->order->path[w->first + k0];
    int64_t n = kr_cut_walks(b, path, n_paths), rows = b->S * n_paths * path->n / n;
    u = kr_reshape(b->g, u, 3, KR_DIMS(rows, n, w->E));
    if (o->conv == CONV_PATH) u = kr_conv1d(b, u, o->d_conv, o->conv_bias, 0);
    name_of_rates(w, k0, name, sizeof name);
    s6 p = products(b, w, name, u);
    if (o->directions) p.B = kr_add(b, p.B, direction_vectors(b, w, k0, n_paths, rows, n, false));
    u = scan_of(b, &p, u, NULL);
    b->seq_idx = NULL;
    return kr_reshape(b->g, u, 3, KR_DIMS(b->S, n_paths * path->n, w->E));
}

/* The same along a tree over each picture: steps and all their products in the tree's order, and back. */
static kr_node *tree(kr_build *b, const walk *w, kr_node *x) {
    kr_graph *g = b->g;
    spanning_tree_attr width = {.width = b->W};
    binary_row_attr add = {.kind = KR_BINARY_ROW_ADD};
    kr_node *out[KR_MAX_OUT];
    if (!kr_grid_wanted(b, "ss2d along a tree")) return NULL;
    int64_t n = b->H * b->W, T = b->S * b->L / n;
    x = kr_reshape(g, x, 3, KR_DIMS(T, n, w->E));
    kr_node *order = kr_apply(g, &kr_op_spanning_tree, &width, (kr_node *const[KR_MAX_IN]){x}, out);
    if (!order) return NULL;
    x = KR_APPLY(g, pick, NULL, x, order);
    kr_scope_push(g, "route");
    s6 p = products(b, w, "A_log", x);
    kr_scope_pop(g);
    p.dt = kr_act(b, KR_APPLY(g, binary_row, &add, p.dt, p.dt_bias), KR_UNARY_SOFTPLUS);
    x = KR_APPLY(g, tree_scan, NULL, x, p.dt, p.A, p.B, p.C, p.D, out[TREE_PARENT]);
    return kr_reshape(g, KR_APPLY(g, pick, NULL, x, out[TREE_PLACE]), 3, KR_DIMS(b->S, b->L, w->E));
}

/* Rows of x by a list that was put into w->idx. */
static kr_node *pick(kr_build *b, const walk *w, kr_node *x, int64_t n) { return kr_steps_at(b, x, w->idx, n); }

/* Can the scan walk path k over cells that stay where they are? */
static bool is_list(const walk *w, int k) {
    const struct kr_order_path *p = &w->order->path[w->first + k];
    return w->o->conv != CONV_PATH && !p->piece && !p->flipped && p->n == w->order->n_cells;
}
/* The list, as a scan takes it; NULL: the cells' own order. */
static kr_node *list_of(kr_build *b, const struct kr_order_path *p) {
    int64_t t = 0;
    while (t < p->n && p->cell[t] == t) t++;
    return t < p->n ? kr_const_i32(b->g, p->cell, p->n) : NULL;
}
/* S6 along path k of x as it is.  What all paths share is made once, in `shared`. */
static kr_node *scan_list(kr_build *b, const walk *w, int k, kr_node *x, s6 *shared) {
    const struct kr_order_path *p = &w->order->path[w->first + k];
    char name[24];
    if (!x) return NULL;
    name_of_rates(w, k, name, sizeof name);
    if (!shared->dt || w->o->own == OWN_ALL) *shared = products(b, w, name, x);
    else if (w->o->own == OWN_A) shared->A = rates(b, w, name);
    s6 mine = *shared;
    if (w->o->directions) mine.B = kr_add(b, mine.B, direction_vectors(b, w, k, 1, b->S, p->n, true));
    return scan_of(b, &mine, x, list_of(b, p));
}

/* Paths of one length as one batch: their outputs, summed cell by cell. */
static kr_node *together(kr_build *b, const walk *w, kr_node *x) {
    int64_t n = w->order->path[w->first].n, cells = w->order->n_cells;
    int P = w->n_paths;
    kr_node *sum = NULL;
    for (int k = 0; k < P; k++) memcpy(w->idx + k * n, w->order->path[w->first + k].cell, (size_t)n * sizeof *w->idx);
    kr_scope_push(b->g, "route");
    x = scan(b, w, 0, P, pick(b, w, x, P * n));
    kr_scope_pop(b->g);
    for (int k = 0; k < P; k++) {
        kr_order_inverse(w->order, w->first + k, w->idx);
        for (int64_t c = 0; c < cells; c++)
            if (w->idx[c] >= 0) w->idx[c] += (int32_t)(k * n);
        kr_node *y = pick(b, w, x, cells);
        sum = k ? kr_add(b, sum, y) : y;
    }
    return sum;
}

static kr_node *one_by_one(kr_build *b, const walk *w, kr_node *x) {
    kr_node *sum = NULL;
    s6 shared = {0};
    for (int k = 0; k < w->n_paths; k++) {
        char name[24] = "route";
        const struct kr_order_path *p = &w->order->path[w->first + k];
        if (w->o->own == OWN_ALL) snprintf(name, sizeof name, "route.%d", k);
        kr_node *y;
        kr_scope_push(b->g, name);
        if (is_list(w, k)) y = scan_list(b, w, k, x, &shared);
        else {
            memcpy(w->idx, p->cell, (size_t)p->n * sizeof *w->idx);
            y = pick(b, w, x, p->n);
            y = scan(b, w, k, 1, p->flipped ? kr_flip(b, y) : y);
            y = p->flipped ? kr_flip(b, y) : y;
            kr_order_inverse(w->order, w->first + k, w->idx);
            y = pick(b, w, y, w->order->n_cells);
        }
        kr_scope_pop(b->g);
        sum = k ? kr_add(b, sum, y) : y;
    }
    return sum;
}

static kr_node *along_paths(kr_build *b, const kr_ss2d *o, kr_node *x) {
    int64_t size[KR_ORDER_AXES];
    int n_axes = kr_grid_axes(b, size);
    kr_order_options options = {.window = o->path_window, .seed = (uint64_t)o->path_seed, .layer = b->layer};
    kr_order *order;
    walk w = {.o = o, .E = kr_node_dim(x, -1), .R = o->dt_rank ? o->dt_rank : (b->d_model + 15) / 16};
    if (strcmp(o->path, "tree") == 0) return tree(b, &w, x);
    if (o->directions && n_axes != 2) return kr_graph_fail(b->g, KR_ERR_CONFIG, "ss2d: directions are those of a picture");
    kr_status st = kr_order_new(&order, o->path, n_axes, size, &options);
    if (st != KR_OK) return kr_graph_fail(b->g, st, "ss2d: %s", kr_error());
    w.order = order;
    w.first = order->per_layer ? (int)(b->layer % order->n_paths) : 0;
    w.n_paths = order->per_layer ? 1 : order->n_paths;
    bool batch = o->own == OWN_NONE, lists = true;
    for (int k = 0; k < w.n_paths; k++) {
        batch = batch && order->path[w.first + k].n == order->path[w.first].n && !order->path[w.first + k].flipped;
        lists = lists && is_list(&w, k);
    }
    if (!(w.idx = kr_mem_array((size_t)(w.n_paths * order->n_cells), sizeof *w.idx))) x = kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    else x = batch && !lists ? together(b, &w, x) : one_by_one(b, &w, x);
    x = o->merge && !order->share_out ? kr_scale(b, x, 1. / w.n_paths) : x;
    kr_mem_free(w.idx);
    kr_order_free(order);
    return x;
}

kr_node *kr_ss2d_build(kr_build *b, const kr_ss2d *o, kr_node *x) {
    int64_t E = o->d_inner ? o->d_inner : o->expand * b->d_model;
    kr_graph *g = b->g;
    if (b->stateful || b->seq_idx) return kr_graph_fail(g, KR_ERR_CONFIG, "ss2d sees all of a row at once: it takes no packed documents and goes not step by step");
    kr_node *xz = kr_linear(b, x, "in_proj", o->gate ? 2 * E : E, o->bias), *z = o->gate ? kr_columns(g, xz, E, E) : NULL;
    x = o->gate ? kr_columns(g, xz, 0, E) : xz;
    if (o->conv == CONV_GRID) x = kr_act(b, kr_conv2d_depthwise(b, x, "conv2d", o->d_conv, o->conv_bias), KR_UNARY_SILU);
    if (o->conv == CONV_LINE) x = kr_conv1d(b, x, o->d_conv, o->conv_bias, 0);
    kr_node *y = along_paths(b, o, x);
    if (o->norm == 0) y = kr_layernorm(b, y, "out_norm", 1e-5);
    glu_attr silu = {.kind = KR_GLU_SILU};
    if (z) y = KR_APPLY(g, glu, &silu, y, z);
    return kr_linear_out(b, y, "out_proj", b->d_model, o->bias);
}
