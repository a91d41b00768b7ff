/* path_set.c - the named scan orders: which walks each takes, and what is done with them. */
#include "krait/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "parts/path.h"

/* What an order's builder works on. */
typedef struct maker {
    kr_order *o;
    kr_order_options opt;
    bool apart;               /* its pieces will know nothing of each other */
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

/* In a volume frame by frame: every second one from its end, so that the walk goes on where it was, unless each is a
 * walk by itself. */
static void zigzag(maker *m) {
    const kr_order *o = m->o;
    int64_t W = n_columns(o), H = o->size[o->n_axes - 2], n = H * W;
    m->o->per_layer = true;
    for (int i = 0; i < 8; i++) {
        int32_t *cell = add_path(m, o->n_cells);
        for (int64_t t = 0; cell && t < o->n_cells / n; t++, cell += n) {
            kr_walk_mirrored(kr_walk_snake, (i & 3) | (i & 4 ? TRANSPOSED : 0), cell, H, W, 0);
            if (t % 2 && !m->apart) kr_walk_reverse(cell, n);
            for (int64_t k = 0; k < n; k++) cell[k] += (int32_t)(t * n);
        }
    }
}

static void windows3(maker *m) {
    int32_t *cell = add_path(m, m->o->n_cells);
    if (cell) kr_walk_windows3(cell, m->o->size, m->opt.window ? m->opt.window : 2);
}

/* Of N levels 2 N - 1 forward walks in the first layer, two fewer in each, one in the middle, and up again. */
static void levels(maker *m) {
    int64_t N = m->opt.window ? m->opt.window : 2, at = m->opt.layer % (2 * N - 1);
    if (2 * N - 1 > KR_ORDER_PATHS) {
        m->status = kr_fail(KR_ERR_CONFIG, "scan order levels: %lld of them; want at most %d", (long long)N, (KR_ORDER_PATHS + 1) / 2);
        return;
    }
    for (int64_t i = 2 * llabs(N - 1 - at) + 1; i > 0; i--) add_walk(m, kr_walk_rows, 0, 0, false);
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

enum { SLICES = 10 };
static int64_t slice_length(const kr_order *o, int64_t slices) { return (o->n_cells + slices - 1) / slices; }
/* The line in `slices` parts, a step of each in turn. */
static void add_slices(maker *m, int64_t slices) {
    int64_t n = m->o->n_cells, part = slice_length(m->o, slices);
    int32_t *cell = add_path(m, n);
    for (int64_t i = 0; cell && i < part; i++)
        for (int64_t s = 0; s < slices; s++)
            if (s * part + i < n) *cell++ = (int32_t)(s * part + i);
}
static void slices(maker *m) { add_slices(m, m->opt.window ? m->opt.window : SLICES); }
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

/* Rows, columns and both back of the picture that T pictures make: with their columns in turn, or side by side. */
static void interleaved(maker *m) {
    for (int back = 0; back < 2; back++) add_axes(m, 1, 2, 0, false, back), add_axes(m, 2, 0, 1, false, back);
}
static void abreast(maker *m) {
    for (int back = 0; back < 2; back++) add_axes(m, 1, 0, 2, false, back), add_axes(m, 0, 2, 1, false, back);
}

static void alternating(maker *m) {
    static const int axes[3][3] = {{0, 1, 2}, {0, 2, 1}, {2, 1, 0}}; /* thw, twh, wht: along each axis once */
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
    {{"forward", "row by row", 1, 3, false, "rows"}, kr_walk_rows, NULL},
    {{"bidirectional", "row by row, and back (Vim)", 1, 3, false, "rows"}, NULL, bidirectional},
    {{"cross", "rows, columns, and both back (VMamba's SS2D)", 2, 2, false, NULL}, NULL, cross},
    {{"snake", "row by row, every second one backwards", 2, 3, true, "rows"}, kr_walk_snake, snake3},
    {{"continuous", "snakes along rows and columns, and back (PlainMamba)", 2, 2, true, NULL}, NULL, continuous},
    {{"zigzag", "a snake from each corner, along rows or columns, one a layer (ZigMa)", 2, 3, true, "frames"}, NULL, zigzag},
    {{"window", "rows inside windows (of 2), one after the other", 1, 3, false, "windows"}, kr_walk_windows, windows3},
    {{"local", "rows, columns, windows of 2 and of 7, each also back (LocalMamba)", 2, 2, false, NULL}, NULL, local},
    {{"atrous", "every second row and column: walks that share the cells out (EfficientVMamba's ES2D)", 2, 2, false, NULL}, NULL, atrous},
    {{"omni", "rows, columns, both diagonals, and all back (RS-Mamba)", 2, 2, false, NULL}, NULL, omni},
    {{"jpeg", "anti-diagonals to and fro: low frequencies first (MambaAD, FourierMamba)", 2, 2, false, NULL}, kr_walk_jpeg, NULL},
    {{"hilbert", "Hilbert's curve, generalised to any size (MambaAD, Voxel Mamba)", 2, 3, true, NULL}, kr_walk_hilbert, hilbert3},
    {{"zorder", "Morton's Z curve (MambaAD)", 2, 3, false, NULL}, kr_walk_morton, morton3},
    {{"shuffle", "at random, another for each layer", 1, 3, false, NULL}, NULL, shuffled},
    {{"multipath", "forward, back and at random (RSMamba)", 1, 3, false, NULL}, NULL, multi_path},
    {{"slices", "a step of each of (10) slices in turn (MambaMIL's SRMamba)", 1, 3, false, "rounds"}, NULL, slices},
    {{"tri", "forward, back and across slices, unless told along the first axis (SegMamba, Vivim)", 1, 3, false, NULL}, NULL, tri_orientated},
    {{"spatial", "frame by frame, and back (VideoMamba)", 3, 3, false, "frames"}, NULL, spatial_first},
    {{"temporal", "each place through time, and back (VideoMamba)", 3, 3, false, "places"}, NULL, temporal_first},
    {{"spatiotemporal", "both spatial and temporal (VideoMamba)", 3, 3, false, NULL}, NULL, spatiotemporal},
    {{"interleaved", "rows and columns of T pictures whose columns come in turn, and back (ChangeMamba's cross)", 3, 3, false, NULL}, NULL, interleaved},
    {{"abreast", "rows and columns of T pictures side by side, and back (ChangeMamba's parallel)", 3, 3, false, NULL}, NULL, abreast},
    {{"levels", "2 N - 1, ..., 3, 1, 3, ... walks forward, a number for each layer, of N (2) levels (Motion Mamba)", 1, 3, false, NULL}, NULL, levels},
    {{"alternating", "one axis order a layer, to and fro (Mamba-ND)", 2, 3, false, NULL}, NULL, alternating},
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

/* One order of a list, "window:7:turned:back": its name, a window of its own, and what is done with its paths. */
typedef struct item { const struct named *order; int64_t window; bool turned, back, apart, flipped; } item;

static kr_status read_item(const char *text, size_t n, item *it) {
    *it = (item){0};
    size_t name = strcspn(text, ":,");
    for (int i = 0; i < N_ORDERS; i++)
        if (strlen(orders[i].info.name) == name && strncmp(orders[i].info.name, text, name) == 0) it->order = &orders[i];
    if (!it->order) KR_FAIL(KR_ERR_CONFIG, "there is no scan order \"%.*s\"; `krait inspect order` lists them", (int)name, text);
    for (size_t at = name, m; at < n; at += m) {
        static const char *const words[] = {":turned", ":back", ":apart", ":flipped"};
        bool *const said[] = {&it->turned, &it->back, &it->apart, &it->flipped};
        int k = 0;
        m = 1 + strcspn(text + at + 1, ":,");
        if (!it->window && strspn(text + at + 1, "0123456789") == m - 1 && (it->window = strtoll(text + at + 1, NULL, 10)) > 0) continue;
        while (k < 4 && (strlen(words[k]) != m || strncmp(words[k], text + at, m) != 0 || *said[k])) k++;
        if (k == 4)
            KR_FAIL(KR_ERR_CONFIG, "scan order \"%.*s\": behind the name go :turned (rows and columns change places), :back (from its end), :apart (each piece a "
                    "walk by itself), :flipped (channels in reverse) and :7 (any number: its window), each once", (int)n, text);
        *said[k] = true;
    }
    if (it->apart && !it->order->info.pieces) KR_FAIL(KR_ERR_CONFIG, "scan order %s has no pieces to walk apart", it->order->info.name);
    return KR_OK;
}

/* All paths of one order, over o's grid. */
static kr_status make_paths(kr_order *o, const struct named *n, bool apart, const kr_order_options *opt) {
    maker m = {o, *opt, apart, KR_OK};
    o->n_cells = 1;
    for (int i = 0; i < o->n_axes; i++) o->n_cells *= o->size[i];
    if (n->walk && (o->n_axes < 3 || !n->make))
        for (int mirror = 0; mirror < (opt->symmetries ? 8 : 1); mirror++) add_walk(&m, n->walk, mirror, opt->window ? opt->window : 2, false);
    else n->make(&m);
    return m.status;
}

/* Which row, window, frame, place or round a cell lies in. */
static int64_t piece_of(const kr_order *o, const char *pieces, int64_t window, int64_t cell) {
    int64_t W = n_columns(o), H = o->n_axes > 1 ? o->size[o->n_axes - 2] : 1, w = cell % W, h = cell / W % H, t = cell / W / H;
    if (strcmp(pieces, "rows") == 0) return cell / W;
    if (strcmp(pieces, "frames") == 0) return t;
    if (strcmp(pieces, "places") == 0) return cell % (W * H);
    if (strcmp(pieces, "rounds") == 0) return cell % slice_length(o, window);
    int64_t columns = (W + window - 1) / window, rows = (H + window - 1) / window;
    return ((t / window) * rows + h / window) * columns + w / window;
}

/* A piece of a path is as long as it stays in one of them. */
static kr_status cut(kr_order *o, const struct named *n, const kr_order_options *opt) {
    int64_t window = opt->window ? opt->window : strcmp(n->info.pieces, "rounds") == 0 ? SLICES : 2;
    for (int k = 0; k < o->n_paths; k++) {
        struct kr_order_path *p = &o->path[k];
        if (!(p->piece = kr_mem_array((size_t)p->n, sizeof *p->piece))) return KR_ERR_NOMEM;
        for (int64_t i = 1; i < p->n; i++)
            p->piece[i] = p->piece[i - 1] + (piece_of(o, n->info.pieces, window, p->cell[i]) != piece_of(o, n->info.pieces, window, p->cell[i - 1]));
        p->n_pieces = p->piece[p->n - 1] + 1;
    }
    return KR_OK;
}

static void walk_back(struct kr_order_path *p) {
    kr_walk_reverse(p->cell, p->n);
    if (p->piece) kr_walk_reverse(p->piece, p->n);
    for (int64_t i = 0; p->piece && i < p->n; i++) p->piece[i] = (int32_t)(p->n_pieces - 1 - p->piece[i]);
}

static kr_status make_item(kr_order *o, const item *it, const kr_order_options *all) {
    kr_order_options own = *all, *opt = &own;
    if (it->window) own.window = it->window;
    if (it->turned && o->n_axes != 2) KR_FAIL(KR_ERR_CONFIG, "scan order %s:turned: a grid of %d axes; only pictures are turned", it->order->info.name, o->n_axes);
    int64_t H = o->size[0], W = o->size[1];
    if (it->turned) o->size[0] = W, o->size[1] = H;
    kr_status st = check_size(it->order, o->n_axes, o->size, opt);
    if (st == KR_OK) st = make_paths(o, it->order, it->apart, opt);
    for (int k = 0; k < o->n_paths; k++) o->path[k].flipped = it->flipped, o->path[k].n_pieces = 1;
    if (st == KR_OK && it->apart) st = cut(o, it->order, opt);
    for (int k = 0; k < o->n_paths && st == KR_OK; k++) {
        int32_t *cell = o->path[k].cell;
        for (int64_t i = 0; it->turned && i < o->path[k].n; i++) cell[i] = (int32_t)(cell[i] % H * W + cell[i] / H);
        if (it->back) walk_back(&o->path[k]);
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
    for (int k = 0; o && k < o->n_paths; k++) kr_mem_free(o->path[k].cell), kr_mem_free(o->path[k].piece);
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
    const struct kr_order_path *p = &o->path[k];
    int64_t jumps = 0;
    for (int64_t i = 1; i < p->n; i++) jumps += (!p->piece || p->piece[i] == p->piece[i - 1]) && !kr_order_is_step(o, p->cell[i - 1], p->cell[i]);
    return jumps;
}
