/* path_set.c - the named scan orders: which walks each takes, and things that lie on no grid. */
#include "krait/order.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "parts/path.h"

/* What an order's builder works on. */
typedef struct maker {
    kr_order *o;
    kr_order_options opt;
    kr_status status;
} maker;

static int32_t *add_path(maker *m, int64_t n) {
    kr_order *o = m->o;
    int32_t *cell = m->status == KR_OK ? kr_mem_array((size_t)n, sizeof *cell) : NULL;
    if (!cell) {
        m->status = KR_ERR_NOMEM;
        return NULL;
    }
    o->path[o->n_paths].cell = cell;
    o->path[o->n_paths++].n = n;
    return cell;
}
/* Rows and columns: a volume is taken as its rows, one below the other. */
static int64_t n_columns(const kr_order *o) { return o->size[o->n_axes - 1]; }
static void add_walk(maker *m, kr_walk *walk, int mirror, int64_t k, bool reverse) {
    int32_t *cell = add_path(m, m->o->n_cells);
    if (!cell) return;
    kr_walk_mirrored(walk, mirror, cell, m->o->n_cells / n_columns(m->o), n_columns(m->o), k);
    if (reverse) kr_walk_reverse(cell, m->o->n_cells);
}
static void add_axes(maker *m, int a, int b, int c, bool snake, bool reverse) {
    int32_t *cell = add_path(m, m->o->n_cells);
    if (!cell) return;
    kr_walk_axes(cell, m->o->size, (const int[3]){a, b, c}, snake);
    if (reverse) kr_walk_reverse(cell, m->o->n_cells);
}
enum { TRANSPOSED = 4 };

/* --- the orders ------------------------------------------------------------------------ */

static void bidirectional(maker *m) {
    add_walk(m, kr_walk_rows, 0, 0, false);
    add_walk(m, kr_walk_rows, 0, 0, true);
}

static void cross(maker *m) {
    add_walk(m, kr_walk_rows, 0, 0, false);
    add_walk(m, kr_walk_rows, TRANSPOSED, 0, false);
    add_walk(m, kr_walk_rows, 0, 0, true);
    add_walk(m, kr_walk_rows, TRANSPOSED, 0, true);
}

static void continuous(maker *m) {
    add_walk(m, kr_walk_snake, 0, 0, false);
    add_walk(m, kr_walk_snake, 0, 0, true);
    add_walk(m, kr_walk_snake, TRANSPOSED, 0, false);
    add_walk(m, kr_walk_snake, TRANSPOSED, 0, true);
}

static void zigzag(maker *m) {
    m->o->per_layer = true;
    for (int i = 0; i < 8; i++) add_walk(m, kr_walk_snake, (i & 3) | (i & 4 ? TRANSPOSED : 0), 0, false);
}

static void local(maker *m) {
    int64_t small = m->opt.window ? m->opt.window : 2;
    for (int i = 0; i < 8; i++) {
        int kind = i / 2;
        bool reverse = i % 2;
        if (kind < 2) add_walk(m, kr_walk_rows, kind ? TRANSPOSED : 0, 0, reverse);
        else add_walk(m, kr_walk_windows, 0, kind == 2 ? small : 7, reverse);
    }
}

static void atrous(maker *m) {
    kr_order *o = m->o;
    int64_t step = m->opt.window ? m->opt.window : 2, H = o->size[0], W = o->size[1];
    if (step * step > KR_ORDER_PATHS || step > H || step > W) {
        m->status = kr_fail(KR_ERR_CONFIG, "scan order atrous: a step of %lld in a grid of %lld x %lld; want at most 4, and no more than a side",
                            (long long)step, (long long)H, (long long)W);
        return;
    }
    o->share_out = true;
    for (int64_t i = 0; i < step * step; i++) {
        int64_t h0 = i % step, w0 = i / step, rows = (H - h0 + step - 1) / step, columns = (W - w0 + step - 1) / step;
        int32_t *cell = add_path(m, rows * columns);
        for (int64_t j = 0; cell && j < rows * columns; j++) {
            bool by_column = h0 % 2; /* the published code turns every second group */
            int64_t h = by_column ? j % rows : j / columns, w = by_column ? j / rows : j % columns;
            cell[j] = (int32_t)((h0 + h * step) * W + w0 + w * step);
        }
    }
}

static void omni(maker *m) {
    for (int i = 0; i < 8; i++) {
        kr_walk *walk = i % 4 < 2 ? kr_walk_rows : i % 4 == 2 ? kr_walk_diagonal : kr_walk_anti;
        add_walk(m, walk, i % 4 == 1 ? TRANSPOSED : 0, 0, i >= 4);
    }
}

static void shuffle_cells(maker *m, int32_t *cell) {
    kr_rng r = {m->opt.seed, kr_rng_stream("scan order") + (uint64_t)m->opt.layer, 0};
    for (int64_t i = m->o->n_cells - 1; cell && i > 0; i--) {
        int64_t j = kr_rng_below(&r, i + 1);
        int32_t swap = cell[i];
        cell[i] = cell[j], cell[j] = swap;
    }
}
static void shuffled(maker *m) {
    add_walk(m, kr_walk_rows, 0, 0, false);
    if (m->status == KR_OK) shuffle_cells(m, m->o->path[0].cell);
}
static void multi_path(maker *m) {
    bidirectional(m);
    add_walk(m, kr_walk_rows, 0, 0, false);
    if (m->status == KR_OK) shuffle_cells(m, m->o->path[2].cell);
}

/* The line in `slices` parts, a step of each in turn. */
static void add_slices(maker *m, int64_t slices) {
    int64_t n = m->o->n_cells, part = (n + slices - 1) / slices;
    int32_t *cell = add_path(m, n);
    for (int64_t i = 0; cell && i < part; i++)
        for (int64_t s = 0; s < slices; s++)
            if (s * part + i < n) *cell++ = (int32_t)(s * part + i);
}
static void slices(maker *m) { add_slices(m, m->opt.window ? m->opt.window : 10); }
static void tri_orientated(maker *m) {
    bidirectional(m);
    add_slices(m, m->opt.window ? m->opt.window : m->o->size[0]);
}

static void snake3(maker *m) { add_axes(m, 0, 1, 2, true, false); }
static void hilbert3(maker *m) {
    int32_t *cell = add_path(m, m->o->n_cells);
    if (cell) kr_walk_hilbert3(cell, m->o->size);
}
static void morton3(maker *m) {
    int32_t *cell = add_path(m, m->o->n_cells);
    if (cell) kr_walk_morton3(cell, m->o->size);
}

static void spatial_first(maker *m) {
    add_axes(m, 0, 1, 2, false, false);
    add_axes(m, 0, 1, 2, false, true);
}
static void temporal_first(maker *m) {
    add_axes(m, 1, 2, 0, false, false);
    add_axes(m, 1, 2, 0, false, true);
}
static void spatiotemporal(maker *m) {
    spatial_first(m);
    temporal_first(m);
}

static void alternating(maker *m) {
    static const int axes[3][3] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0}};
    m->o->per_layer = true;
    if (m->o->n_axes == 2)
        for (int i = 0; i < 4; i++) add_walk(m, kr_walk_rows, i < 2 ? 0 : TRANSPOSED, 0, i % 2);
    else
        for (int i = 0; i < 6; i++) add_axes(m, axes[i / 2][0], axes[i / 2][1], axes[i / 2][2], false, i % 2);
}

static const struct named {
    kr_order_info info;
    kr_walk *walk;            /* of one path on a line or a picture, */
    void (*make)(maker *m);   /* or all paths; with both, this one is for volumes */
} orders[] = {
    {{"forward", "row by row", 1, 3, false}, kr_walk_rows, NULL},
    {{"bidirectional", "row by row, and back (Vim)", 1, 3, false}, NULL, bidirectional},
    {{"cross", "rows, columns, and both back (VMamba's SS2D)", 2, 2, false}, NULL, cross},
    {{"snake", "row by row, every second one backwards", 2, 3, true}, kr_walk_snake, snake3},
    {{"continuous", "snakes along rows and columns, and back (PlainMamba)", 2, 2, true}, NULL, continuous},
    {{"zigzag", "a snake from each corner, along rows or columns, one a layer (ZigMa)", 2, 2, true}, NULL, zigzag},
    {{"window", "rows inside windows (of 2), one after the other", 2, 2, false}, kr_walk_windows, NULL},
    {{"local", "rows, columns, windows of 2 and of 7, each also back (LocalMamba)", 2, 2, false}, NULL, local},
    {{"atrous", "every second row and column: walks that share the cells out (EfficientVMamba's ES2D)", 2, 2, false}, NULL, atrous},
    {{"omni", "rows, columns, both diagonals, and all back (RS-Mamba)", 2, 2, false}, NULL, omni},
    {{"jpeg", "anti-diagonals to and fro: low frequencies first (MambaAD, FourierMamba)", 2, 2, false}, kr_walk_jpeg, NULL},
    {{"hilbert", "Hilbert's curve, generalised to any size (MambaAD, Voxel Mamba)", 2, 3, true}, kr_walk_hilbert, hilbert3},
    {{"zorder", "Morton's Z curve (MambaAD)", 2, 3, false}, kr_walk_morton, morton3},
    {{"shuffle", "at random, anew for each layer (SLWS)", 1, 3, false}, NULL, shuffled},
    {{"multipath", "forward, back and at random (RSMamba)", 1, 3, false}, NULL, multi_path},
    {{"slices", "a step of each of (10) slices in turn (MambaMIL's SRMamba)", 1, 3, false}, NULL, slices},
    {{"tri", "forward, back and across slices, unless told along the first axis (SegMamba, Vivim)", 1, 3, false}, NULL, tri_orientated},
    {{"spatial", "frame by frame, and back (VideoMamba)", 3, 3, false}, NULL, spatial_first},
    {{"temporal", "each place through time, and back (VideoMamba)", 3, 3, false}, NULL, temporal_first},
    {{"spatiotemporal", "both spatial and temporal (VideoMamba)", 3, 3, false}, NULL, spatiotemporal},
    {{"alternating", "one axis order a layer, to and fro (Mamba-ND)", 2, 3, false}, NULL, alternating},
};
enum { N_ORDERS = sizeof orders / sizeof *orders };

bool kr_order_list(int i, kr_order_info *info) {
    if (i < 0 || i >= N_ORDERS) return false;
    *info = orders[i].info;
    return true;
}

int kr_order_size(const char *text, int64_t size[KR_ORDER_AXES]) {
    for (int n = 0; n < KR_ORDER_AXES; n++) {
        char *end;
        size[n] = strtoll(text, &end, 10);
        if (end == text || size[n] < 1 || size[n] > INT32_MAX || (*end && *end != 'x')) return 0;
        if (!*end) return n + 1;
        text = end + 1;
    }
    return 0;
}

static kr_status check_size(const struct named *n, int n_axes, const int64_t *size, const kr_order_options *opt) {
    const char *name = n->info.name;
    if (n_axes < n->info.min_axes || n_axes > n->info.max_axes)
        KR_FAIL(KR_ERR_CONFIG, "scan order %s: a grid of %d axes; it walks grids of %d to %d", name, n_axes, n->info.min_axes, n->info.max_axes);
    int64_t cells = 1;
    for (int i = 0; i < n_axes; i++) {
        if (size[i] < 1 || size[i] > INT32_MAX / cells)
            KR_FAIL(KR_ERR_CONFIG, "scan order %s: side %d of the grid is %lld; want at least 1, and at most 2^31 - 1 cells in all", name, i + 1,
                    (long long)size[i]);
        cells *= size[i];
    }
    if (opt->window < 0 || opt->window > INT32_MAX) KR_FAIL(KR_ERR_CONFIG, "scan order %s: window is %lld, want 0 to 2^31 - 1", name, (long long)opt->window);
    if (opt->symmetries && (n_axes != 2 || !n->walk))
        KR_FAIL(KR_ERR_CONFIG, "scan order %s: symmetries are for orders of one path in a picture (forward, snake, window, jpeg, hilbert, zorder)", name);
    return KR_OK;
}

/* One order of a list, "hilbert:turned:back": its name, and what is done with its paths. */
typedef struct item { const struct named *order; bool turned, back; } item;

static kr_status read_item(const char *text, size_t n, item *it) {
    *it = (item){0};
    size_t name = strcspn(text, ":,");
    for (int i = 0; i < N_ORDERS; i++)
        if (strlen(orders[i].info.name) == name && strncmp(orders[i].info.name, text, name) == 0) it->order = &orders[i];
    if (!it->order) KR_FAIL(KR_ERR_CONFIG, "there is no scan order \"%.*s\"; `krait inspect order` lists them", (int)name, text);
    for (size_t at = name, m; at < n; at += m) {
        m = 1 + strcspn(text + at + 1, ":,");
        if (m == 5 && strncmp(text + at, ":back", 5) == 0 && !it->back) it->back = true;
        else if (m == 7 && strncmp(text + at, ":turned", 7) == 0 && !it->turned) it->turned = true;
        else KR_FAIL(KR_ERR_CONFIG, "scan order \"%.*s\": behind the name go :turned (rows and columns change places) and :back (from its end), each once", (int)n, text);
    }
    return KR_OK;
}

/* All paths of one order, over o's grid. */
static kr_status make_paths(kr_order *o, const struct named *n, const kr_order_options *opt) {
    maker m = {o, *opt, KR_OK};
    o->n_cells = 1;
    for (int i = 0; i < o->n_axes; i++) o->n_cells *= o->size[i];
    if (n->walk && (o->n_axes < 3 || !n->make))
        for (int mirror = 0; mirror < (opt->symmetries ? 8 : 1); mirror++) add_walk(&m, n->walk, mirror, opt->window ? opt->window : 2, false);
    else n->make(&m);
    return m.status;
}

static kr_status make_item(kr_order *o, const item *it, const kr_order_options *opt) {
    if (it->turned && o->n_axes != 2) KR_FAIL(KR_ERR_CONFIG, "scan order %s:turned: a grid of %d axes; only pictures are turned", it->order->info.name, o->n_axes);
    int64_t H = o->size[0], W = o->size[1];
    if (it->turned) o->size[0] = W, o->size[1] = H;
    kr_status st = check_size(it->order, o->n_axes, o->size, opt);
    if (st == KR_OK) st = make_paths(o, it->order, opt);
    for (int k = 0; k < o->n_paths; k++) {
        int32_t *cell = o->path[k].cell;
        for (int64_t i = 0; cell && it->turned && i < o->path[k].n; i++) cell[i] = (int32_t)(cell[i] % H * W + cell[i] / H);
        if (cell && it->back) kr_walk_reverse(cell, o->path[k].n);
    }
    if (it->turned) o->size[0] = H, o->size[1] = W;
    return st;
}

static kr_status new_grid(kr_order **out, int n_axes, const int64_t *size) {
    kr_order *o = *out = kr_mem_new(sizeof *o);
    if (!o) return KR_ERR_NOMEM;
    o->n_axes = n_axes, o->n_cells = 1;
    for (int i = 0; i < n_axes; i++) o->size[i] = size[i];
    return KR_OK;
}

/* The paths of the order that `text` begins with behind those of o. */
static kr_status append(kr_order *o, const char *text, size_t n, const kr_order_options *opt) {
    kr_order *from;
    item it;
    KR_TRY(read_item(text, n, &it));
    KR_TRY(new_grid(&from, o->n_axes, o->size));
    kr_status st = make_item(from, &it, opt);
    if (st == KR_OK && (from->share_out || from->per_layer))
        st = kr_fail(KR_ERR_CONFIG, "scan order %s in a list: there every path visits every cell, in every layer", it.order->info.name);
    if (st == KR_OK && o->n_paths + from->n_paths > KR_ORDER_PATHS) st = kr_fail(KR_ERR_CONFIG, "a list of scan orders has more than %d paths", KR_ORDER_PATHS);
    for (int k = 0; k < from->n_paths && st == KR_OK; k++) o->path[o->n_paths++] = from->path[k];
    if (st == KR_OK) o->n_cells = from->n_cells, from->n_paths = 0;
    kr_order_free(from);
    return st;
}

kr_status kr_order_new(kr_order **out, const char *name, int n_axes, const int64_t *size, const kr_order_options *opt) {
    static const kr_order_options plain;
    kr_order *o;
    item it;
    *out = NULL;
    KR_TRY(read_item(name, strcspn(name, ","), &it));
    if (!opt) opt = &plain;
    KR_TRY(check_size(it.order, n_axes, size, opt));
    KR_TRY(new_grid(&o, n_axes, size));
    kr_status st = KR_OK;
    if (!strchr(name, ',')) st = make_item(o, &it, opt);
    else
        for (const char *p = name; st == KR_OK; p++) {
            st = append(o, p, strcspn(p, ","), opt);
            if (!*(p += strcspn(p, ","))) break;
        }
    if (st != KR_OK) kr_order_free(o);
    else *out = o;
    return st;
}

void kr_order_free(kr_order *o) {
    for (int k = 0; o && k < o->n_paths; k++) kr_mem_free(o->path[k].cell);
    kr_mem_free(o);
}

void kr_order_inverse(const kr_order *o, int k, int32_t *inverse) {
    for (int64_t i = 0; i < o->n_cells; i++) inverse[i] = -1;
    for (int64_t i = 0; i < o->path[k].n; i++) inverse[o->path[k].cell[i]] = (int32_t)i;
}

bool kr_order_is_step(const kr_order *o, int32_t from, int32_t to) {
    int64_t a = from, b = to, far = 0;
    for (int axis = o->n_axes - 1; axis >= 0; axis--) {
        far += llabs(a % o->size[axis] - b % o->size[axis]);
        a /= o->size[axis], b /= o->size[axis];
    }
    return far == 1;
}

int64_t kr_order_jumps(const kr_order *o, int k) {
    int64_t jumps = 0;
    for (int64_t i = 1; i < o->path[k].n; i++) jumps += !kr_order_is_step(o, o->path[k].cell[i - 1], o->path[k].cell[i]);
    return jumps;
}

/* --- things that lie on no grid -------------------------------------------------------- */

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
