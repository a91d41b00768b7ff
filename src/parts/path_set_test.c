/* path_set_test.c - every scan order is what it says: each cell once, back and forth, steps
 * to neighbours where it claims them; a few against lists written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "krait/order.h"
#include "parts/path.h"

static const int64_t grids[][3] = {{1}, {2}, {13}, {64}, {1, 1}, {1, 7}, {7, 1}, {4, 4}, {8, 8}, {6, 10}, {5, 7}, {13, 3}, {16, 9}, {31, 29},
                                   {1, 1, 1}, {2, 2, 2}, {4, 4, 4}, {3, 5, 7}, {2, 9, 4}, {8, 6, 10}, {1, 6, 6}};
static int axes_of(const int64_t *size) { return size[2] ? 3 : size[1] ? 2 : 1; }

static void each_cell_once(void **state) {
    (void)state;
    kr_order_info info;
    int seen = 0;
    for (int i = 0; kr_order_list(i, &info); i++)
        for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
            int n_axes = axes_of(grids[g]);
            kr_order *o;
            if (n_axes < info.min_axes || n_axes > info.max_axes) continue;
            if (strcmp(info.name, "atrous") == 0 && (grids[g][0] < 2 || grids[g][1] < 2)) continue;
            assert_int_equal(kr_order_new(&o, info.name, n_axes, grids[g], NULL), KR_OK);
            int32_t *inverse = kr_mem_array((size_t)o->n_cells, sizeof *inverse);
            unsigned char *met = kr_mem_new((size_t)o->n_cells);
            for (int k = 0; k < o->n_paths; k++) {
                kr_order_inverse(o, k, inverse);
                if (!o->share_out) assert_int_equal(o->path[k].n, o->n_cells);
                for (int64_t t = 0; t < o->path[k].n; t++) {
                    int32_t cell = o->path[k].cell[t];
                    assert_true(cell >= 0 && cell < o->n_cells);
                    assert_int_equal(inverse[cell], t); /* so no cell comes twice */
                    met[cell]++;
                }
            }
            for (int64_t c = 0; c < o->n_cells; c++) assert_int_equal(met[c], o->share_out ? 1 : o->n_paths);
            kr_mem_free(met);
            kr_mem_free(inverse);
            kr_order_free(o);
            seen++;
        }
    assert_true(seen > 150);
}

/* A curve over odd sides can need one step across a corner; even sides need none. */
static void steps_go_to_neighbours(void **state) {
    (void)state;
    kr_order_info info;
    for (int i = 0; kr_order_list(i, &info); i++)
        for (size_t g = 0; info.adjacent && g < sizeof grids / sizeof *grids; g++) {
            int n_axes = axes_of(grids[g]);
            kr_order *o;
            if (n_axes < info.min_axes || n_axes > info.max_axes) continue;
            assert_int_equal(kr_order_new(&o, info.name, n_axes, grids[g], NULL), KR_OK);
            bool hilbert = strcmp(info.name, "hilbert") == 0, even = true;
            for (int a = 0; a < n_axes; a++) even = even && (grids[g][a] % 2 == 0 || grids[g][a] == 1);
            for (int k = 0; k < o->n_paths; k++) {
                int64_t jumps = kr_order_jumps(o, k);
                if (!hilbert || even) assert_int_equal(jumps, 0);
                else assert_true(jumps <= (n_axes == 2 ? 1 : o->n_cells / 12));
            }
            kr_order_free(o);
        }
}

static void expect(const char *name, const kr_order_options *opt, int k, int64_t H, int64_t W, const int32_t *want) {
    kr_order *o;
    assert_int_equal(kr_order_new(&o, name, 2, (const int64_t[]){H, W}, opt), KR_OK);
    assert_true(k < o->n_paths);
    for (int64_t i = 0; i < o->path[k].n; i++)
        if (o->path[k].cell[i] != want[i]) fail_msg("%s, path %d, step %d: cell %d, want %d", name, k, (int)i, o->path[k].cell[i], want[i]);
    kr_order_free(o);
}
#define CELLS(...) ((const int32_t[]){__VA_ARGS__})

static void walks_as_published(void **state) {
    (void)state;
    expect("cross", NULL, 1, 2, 3, CELLS(0, 3, 1, 4, 2, 5));
    expect("cross", NULL, 3, 2, 3, CELLS(5, 2, 4, 1, 3, 0));
    expect("continuous", NULL, 0, 2, 3, CELLS(0, 1, 2, 5, 4, 3));
    expect("continuous", NULL, 2, 2, 3, CELLS(0, 3, 4, 1, 2, 5));
    expect("zigzag", NULL, 3, 2, 3, CELLS(5, 4, 3, 0, 1, 2));
    expect("atrous", NULL, 1, 4, 4, CELLS(4, 12, 6, 14));
    expect("atrous", NULL, 2, 4, 4, CELLS(1, 3, 9, 11));
    expect("omni", NULL, 2, 2, 3, CELLS(0, 4, 1, 5, 2, 3));
    expect("omni", NULL, 3, 2, 3, CELLS(0, 5, 1, 3, 2, 4));
    expect("jpeg", NULL, 0, 3, 3, CELLS(0, 1, 3, 6, 4, 2, 5, 7, 8));
    expect("window", NULL, 0, 4, 4, CELLS(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    expect("zorder", NULL, 0, 4, 4, CELLS(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    expect("hilbert", NULL, 0, 4, 4, CELLS(0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3));
    expect("slices", &(kr_order_options){.window = 3}, 0, 1, 7, CELLS(0, 3, 6, 1, 4, 2, 5));
    expect("alternating", NULL, 2, 2, 3, CELLS(0, 3, 1, 4, 2, 5));
}

/* LocalMamba's formula: where cell (i, j) comes in the walk of windows of K. */
static void windows_by_their_formula(void **state) {
    (void)state;
    enum { H = 12, W = 9, K = 3 };
    kr_order *o;
    int32_t when[H * W];
    assert_int_equal(kr_order_new(&o, "window", 2, (const int64_t[]){H, W}, &(kr_order_options){.window = K}), KR_OK);
    kr_order_inverse(o, 0, when);
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) assert_int_equal(when[i * W + j], (W / K * (i / K) + j / K) * K * K + i % K * K + j % K);
    kr_order_free(o);
}

/* d2xy of the paper's table against the curve that takes any size, up to a mirror. */
static void hilbert_of_a_power_of_two(void **state) {
    (void)state;
    enum { N = 16 };
    kr_order *o;
    int32_t want[N * N];
    for (int d = 0; d < N * N; d++) {
        int x = 0, y = 0;
        for (int s = 1, t = d; s < N; s *= 2, t /= 4) {
            int rx = 1 & (t / 2), ry = 1 & (t ^ rx);
            if (ry == 0) {
                if (rx == 1) x = s - 1 - x, y = s - 1 - y;
                int swap = x;
                x = y, y = swap;
            }
            x += s * rx, y += s * ry;
        }
        want[d] = x * N + y;
    }
    assert_int_equal(kr_order_new(&o, "hilbert", 2, (const int64_t[]){N, N}, &(kr_order_options){.symmetries = true}), KR_OK);
    assert_int_equal(o->n_paths, 8);
    int same = 0;
    for (int k = 0; k < 8; k++) same += memcmp(o->path[k].cell, want, sizeof want) == 0;
    assert_int_equal(same, 1);
    kr_order_free(o);
}

static void symmetries_differ(void **state) {
    (void)state;
    static const char *const names[] = {"snake", "hilbert", "zorder", "jpeg"};
    for (int i = 0; i < 4; i++) {
        kr_order *o;
        assert_int_equal(kr_order_new(&o, names[i], 2, (const int64_t[]){6, 6}, &(kr_order_options){.symmetries = true}), KR_OK);
        for (int a = 0; a < 8; a++)
            for (int b = 0; b < a; b++) assert_int_not_equal(memcmp(o->path[a].cell, o->path[b].cell, 36 * sizeof(int32_t)), 0);
        kr_order_free(o);
    }
}

static void random_by_seed_and_layer(void **state) {
    (void)state;
    kr_order *a, *b, *c;
    const int64_t n = 50;
    assert_int_equal(kr_order_new(&a, "shuffle", 1, &n, &(kr_order_options){.seed = 1}), KR_OK);
    assert_int_equal(kr_order_new(&b, "shuffle", 1, &n, &(kr_order_options){.seed = 1}), KR_OK);
    assert_int_equal(kr_order_new(&c, "shuffle", 1, &n, &(kr_order_options){.seed = 1, .layer = 1}), KR_OK);
    assert_memory_equal(a->path[0].cell, b->path[0].cell, 50 * sizeof(int32_t));
    assert_memory_not_equal(a->path[0].cell, c->path[0].cell, 50 * sizeof(int32_t));
    kr_order_free(a), kr_order_free(b), kr_order_free(c);
}

/* The paths that cross has are those of a list of mirrors; a turned walk of any order is the walk of the
 * turned grid. */
static void lists(void **state) {
    (void)state;
    static const char *const same[][2] = {{"cross", "forward,forward:turned,forward:back,forward:turned:back"}, {"continuous", "snake,snake:back,snake:turned,snake:back:turned"},
                                          {"bidirectional", "forward,forward:back"}, {"omni", "omni"},
                                          {"local", "forward,forward:back,forward:turned,forward:turned:back,window:2,window:2:back,window:7,window:back:7"}};
    const int64_t size[2] = {5, 7};
    for (int i = 0; i < 5; i++) {
        kr_order *a, *b;
        assert_int_equal(kr_order_new(&a, same[i][0], 2, size, NULL), KR_OK);
        if (kr_order_new(&b, same[i][1], 2, size, NULL) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(a->n_paths, b->n_paths);
        assert_int_equal(b->n_cells, 35);
        for (int k = 0; k < a->n_paths; k++) {
            assert_int_equal(a->path[k].n, b->path[k].n);
            assert_memory_equal(a->path[k].cell, b->path[k].cell, 35 * sizeof(int32_t));
        }
        kr_order_free(a), kr_order_free(b);
    }
    kr_order *h, *t;
    assert_int_equal(kr_order_new(&h, "atrous", 2, (const int64_t[]){7, 5}, NULL), KR_OK);
    assert_int_equal(kr_order_new(&t, "atrous:turned", 2, size, NULL), KR_OK);
    for (int k = 0; k < h->n_paths; k++)
        for (int64_t i = 0; i < h->path[k].n; i++) assert_int_equal(t->path[k].cell[i], h->path[k].cell[i] % 5 * 7 + h->path[k].cell[i] / 5);
    assert_int_equal(t->size[0], 5);
    kr_order_free(h), kr_order_free(t);
}

/* Where a cell comes row by row, or column by column. */
static int64_t at(int64_t cell, bool by_column, int64_t H, int64_t W) { return by_column ? cell % W * H + cell / W : cell; }

/* Each piece of a path is one row, window, frame, place or round, all of it, and they are numbered as they come. */
static void pieces_are_whole(void **state) {
    (void)state;
    kr_order_info info;
    int seen = 0;
    for (int i = 0; kr_order_list(i, &info); i++)
        for (size_t g = 0; info.pieces && g < sizeof grids / sizeof *grids; g++)
            for (int way = 0; way < 4; way++) {
                static const char *const ways[] = {":apart", ":back:apart", ":turned:apart", ":apart:turned:back"};
                char name[64];
                kr_order *o;
                int n_axes = axes_of(grids[g]);
                if (n_axes < info.min_axes || n_axes > info.max_axes || (way > 1 && n_axes != 2)) continue;
                snprintf(name, sizeof name, "%s%s", info.name, ways[way]);
                if (kr_order_new(&o, name, n_axes, grids[g], &(kr_order_options){.window = 3}) != KR_OK) fail_msg("%s: %s", name, kr_error());
                int64_t W = o->size[n_axes - 1], H = n_axes > 1 ? o->size[n_axes - 2] : 1, T = o->n_cells / W / H, third = 0;
                bool turned = way > 1, windows = strcmp(info.pieces, "windows") == 0;
                if (windows) third = ((T + 2) / 3) * ((H + 2) / 3) * ((W + 2) / 3);
                else if (strcmp(info.pieces, "frames") == 0) third = T;
                else if (strcmp(info.pieces, "places") == 0) third = H * W;
                else if (strcmp(info.pieces, "rounds") == 0) third = (o->n_cells + 2) / 3;
                else third = turned ? W : T * H;
                for (int k = 0; k < o->n_paths; k++) {
                    const struct kr_order_path *p = &o->path[k];
                    assert_int_equal(p->n_pieces, third);
                    assert_int_equal(p->piece[0], 0);
                    assert_int_equal(p->piece[p->n - 1], third - 1);
                    for (int64_t t = 1; t < p->n; t++) {
                        int64_t a = p->cell[t - 1], b = p->cell[t], up = p->piece[t] - p->piece[t - 1];
                        bool same = windows ? a / W / H / 3 == b / W / H / 3 && a / W % H / 3 == b / W % H / 3 && a % W / 3 == b % W / 3
                                  : strcmp(info.pieces, "frames") == 0 ? a / W / H == b / W / H : strcmp(info.pieces, "places") == 0 ? a % (W * H) == b % (W * H)
                                  : strcmp(info.pieces, "rounds") == 0 ? at(a, way > 1, H, W) % third == at(b, way > 1, H, W) % third
                                  : turned ? a % W == b % W : a / W == b / W;
                        assert_true(up == 0 || up == 1);
                        assert_int_equal(up == 0, same);
                    }
                    if (strcmp(info.name, "forward") == 0 || strcmp(info.name, "snake") == 0) assert_int_equal(kr_order_jumps(o, k), 0);
                }
                kr_order_free(o);
                seen++;
            }
    assert_true(seen > 100);
}

static void volumes_as_published(void **state) {
    (void)state;
    static const struct { const char *name; int64_t size[3]; int k; int32_t want[12]; } walks[] = {
        {"interleaved", {2, 2, 3}, 0, {0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11}}, /* row 0 of both, column by column */
        {"interleaved", {2, 2, 3}, 1, {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11}},
        {"abreast", {2, 2, 3}, 0, {0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11}},
        {"abreast", {2, 2, 3}, 3, {11, 8, 10, 7, 9, 6, 5, 2, 4, 1, 3, 0}},
        {"zigzag", {2, 2, 3}, 0, {0, 1, 2, 5, 4, 3, 9, 10, 11, 8, 7, 6}}, /* the second frame from its end */
        {"zigzag:apart", {2, 2, 3}, 0, {0, 1, 2, 5, 4, 3, 6, 7, 8, 11, 10, 9}},
        {"window", {1, 4, 3}, 0, {0, 1, 3, 4, 2, 5, 6, 7, 9, 10, 8, 11}},
        {"alternating", {2, 2, 3}, 0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
        {"alternating", {2, 2, 3}, 2, {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}}, /* down columns, frame by frame */
        {"alternating", {2, 2, 3}, 4, {0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11}}, /* through time */
        {"alternating", {2, 2, 3}, 5, {11, 5, 8, 2, 10, 4, 7, 1, 9, 3, 6, 0}},
    };
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
        kr_order *o;
        if (kr_order_new(&o, walks[i].name, 3, walks[i].size, NULL) != KR_OK) fail_msg("%s", kr_error());
        for (int t = 0; t < 12; t++)
            if (o->path[walks[i].k].cell[t] != walks[i].want[t]) fail_msg("%s, path %d, step %d: cell %d, want %d", walks[i].name, walks[i].k, t, o->path[walks[i].k].cell[t], walks[i].want[t]);
        kr_order_free(o);
    }
    for (int64_t layer = 0; layer < 10; layer++) { /* 5 3 1 3 5, and again */
        kr_order *o;
        assert_int_equal(kr_order_new(&o, "levels", 1, walks[0].size, &(kr_order_options){.window = 3, .layer = layer}), KR_OK);
        assert_int_equal(o->n_paths, 1 + 2 * llabs(2 - layer % 5));
        kr_order_free(o);
    }
}

static void refuse(const char *name, int n_axes, int64_t h, int64_t w, const kr_order_options *opt, const char *says) {
    kr_order *o;
    assert_int_equal(kr_order_new(&o, name, n_axes, (const int64_t[3]){h, w, 2}, opt), KR_ERR_CONFIG);
    assert_null(o);
    if (!strstr(kr_error(), says)) fail_msg("%s", kr_error());
}
static void refusals_say_why(void **state) {
    (void)state;
    refuse("hilbrt", 2, 4, 4, NULL, "there is no scan order \"hilbrt\"");
    refuse("cross", 1, 4, 4, NULL, "a grid of 1 axes");
    refuse("cross", 2, 0, 4, NULL, "side 1 of the grid is 0");
    refuse("cross", 2, 1 << 20, 1 << 20, NULL, "at most 2^31 - 1 cells");
    refuse("atrous", 2, 1, 4, NULL, "a step of 2 in a grid of 1 x 4");
    refuse("cross", 2, 4, 4, &(kr_order_options){.symmetries = true}, "symmetries are for orders of one path");
    refuse("forward:up", 2, 4, 4, NULL, "behind the name go :turned");
    refuse("forward:back:back", 2, 4, 4, NULL, "each once");
    refuse("window:2:7", 2, 4, 4, NULL, "each once");
    refuse("window:0", 2, 4, 4, NULL, "any number: its window");
    refuse("window:2x", 2, 4, 4, NULL, "any number: its window");
    refuse("window:99999999999", 2, 4, 4, NULL, "window is 99999999999");
    refuse("forward,", 2, 4, 4, NULL, "there is no scan order \"\"");
    refuse("forward:turned", 3, 4, 4, NULL, "only pictures are turned");
    refuse("forward,zigzag", 2, 4, 4, NULL, "in a list: there every path");
    refuse("atrous,forward", 2, 4, 4, NULL, "in a list: there every path");
    refuse("omni,omni,forward", 2, 4, 4, NULL, "more than 16 paths");
    refuse("window", 2, 4, 4, &(kr_order_options){.window = -1}, "window is -1");
    refuse("hilbert:apart", 2, 4, 4, NULL, "has no pieces");
    refuse("forward:apart:apart", 2, 4, 4, NULL, "each once");
    refuse("levels", 2, 4, 4, &(kr_order_options){.window = 9}, "want at most 8");
}

/* Skilling's code, over a whole cube: every code once, and each step to a neighbour. */
static void hilbert_codes(void **state) {
    (void)state;
    enum { BITS = 3, SIDE = 1 << BITS, N = SIDE * SIDE * SIDE };
    int at[N];
    memset(at, -1, sizeof at);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t code = kr_hilbert_code((const uint32_t[]){i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE}, 3, BITS);
        assert_true(code < N && at[code] < 0);
        at[code] = (int)i;
    }
    for (int c = 1; c < N; c++) {
        int a = at[c - 1], b = at[c];
        assert_int_equal(abs(a / SIDE / SIDE - b / SIDE / SIDE) + abs(a / SIDE % SIDE - b / SIDE % SIDE) + abs(a % SIDE - b % SIDE), 1);
    }
}

static double unlike(const float *a, const float *b, int D) {
    double ab = 0, aa = 0, bb = 0;
    for (int d = 0; d < D; d++) ab += (double)a[d] * b[d], aa += (double)a[d] * a[d], bb += (double)b[d] * b[d];
    return -ab / sqrt(aa * bb);
}

static void check_each_once(const int32_t *rank, int n) {
    bool met[512] = {false};
    for (int i = 0; i < n; i++) {
        assert_true(rank[i] >= 0 && rank[i] < n && !met[rank[i]]);
        met[rank[i]] = true;
    }
}

static void points_and_graphs(void **state) {
    (void)state;
    const float xyz[] = {0, 0, 0, 3, 3, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3};
    static const char *const curves[] = {"hilbert", "hilbert-trans", "z", "xyz", "zyx", "yxz"};
    int32_t rank[5];
    for (int i = 0; i < 6; i++) {
        int met = 0;
        assert_int_equal(kr_order_points(curves[i], 1, 5, xyz, rank), KR_OK);
        for (int j = 0; j < 5; j++) met |= 1 << rank[j];
        assert_int_equal(met, 31);
    }
    assert_int_equal(kr_order_points("z", 1, 5, xyz, rank), KR_OK); /* z bits lowest: 0, 4 at z = 3, ... */
    assert_int_equal(rank[0], 0), assert_int_equal(rank[4], 1);
    assert_int_equal(kr_order_points("zyx", 1, 5, xyz, rank), KR_OK); /* by z, then y, then x */
    assert_int_equal(rank[0], 0), assert_int_equal(rank[1], 2), assert_int_equal(rank[2], 3);
    assert_int_equal(kr_order_points("xxy", 1, 5, xyz, rank), KR_ERR_CONFIG);
    enum { MANY = 300 };
    float cloud[3 * MANY];
    int32_t walk[MANY], link[MANY][2], degree[MANY];
    for (int i = 0; i < 3 * MANY; i++) cloud[i] = (float)(i * 7919 % 97) / 10; /* some stand in one cell */
    for (int i = 0; i < 9; i++) {
        static const char *const all[] = {"hilbert", "hilbert-trans", "z", "xyz", "xzy", "yxz", "yzx", "zxy", "zyx"};
        assert_int_equal(kr_order_points(all[i], 2, MANY, cloud, walk), KR_OK);
        check_each_once(walk, MANY);
    }
    memset(degree, 0, sizeof degree);
    for (int i = 0; i < MANY; i++) {
        link[i][0] = i * 131 % MANY, link[i][1] = i * i * 17 % MANY;
        degree[link[i][0]]++, degree[link[i][1]]++;
    }
    assert_int_equal(kr_order_degree(MANY, MANY, &link[0][0], 3, walk), KR_OK);
    check_each_once(walk, MANY);
    for (int i = 1; i < MANY; i++) assert_true(degree[walk[i]] >= degree[walk[i - 1]]);
    /* a star: its middle comes last; the other five by lot, which the seed decides */
    const int32_t edge[] = {3, 0, 3, 1, 3, 2, 3, 4, 3, 5};
    int32_t other[6], nodes[6];
    assert_int_equal(kr_order_degree(6, 5, edge, 1, nodes), KR_OK);
    assert_int_equal(nodes[5], 3);
    assert_int_equal(kr_order_degree(6, 5, edge, 1, other), KR_OK);
    assert_memory_equal(nodes, other, sizeof nodes);
    assert_int_equal(kr_order_degree(6, 5, edge, 2, other), KR_OK);
    assert_memory_not_equal(nodes, other, sizeof nodes);
    assert_int_equal(kr_order_degree(5, 5, edge, 1, nodes), KR_ERR_ARG);
}

/* Parents come first and are neighbours; no other tree is of less weight: each edge left out is the worst of the ring
 * that it would close. */
static void a_tree(void **state) {
    (void)state;
    enum { H = 5, W = 7, D = 3, L = H * W };
    float x[L * D];
    int32_t rank[L], parent[L], when[L];
    for (int i = 0; i < L * D; i++) x[i] = (float)((i * 7919 + 13) % 101 - 40) / 20;
    assert_int_equal(kr_order_tree(H, W, D, x, rank, parent), KR_OK);
    memset(when, -1, sizeof when);
    for (int k = 0; k < L; k++) assert_true(rank[k] >= 0 && rank[k] < L && when[rank[k]] < 0), when[rank[k]] = k;
    assert_true(rank[0] == 0 && parent[0] == -1);
#define UNLIKE(a, b) unlike(x + (a) * D, x + (b) * D, D)
    for (int k = 1; k < L; k++) {
        int a = rank[k], b = rank[parent[k]];
        assert_true(parent[k] < k && abs(a / W - b / W) + abs(a % W - b % W) == 1);
    }
    for (int i = 0; i < L; i++)
        for (int down = 0; down < 2; down++) {
            int j = down ? i + W : i + 1;
            if (down ? j >= L : i % W + 1 >= W) continue;
            for (int a = when[i], b = when[j]; a != b;) { /* up from the later one until they meet */
                int *up = a > b ? &a : &b, above = parent[*up];
                assert_true(UNLIKE(rank[*up], rank[above]) <= UNLIKE(i, j) + 1e-6);
                *up = above;
            }
        }
    const float one = 1;
    assert_int_equal(kr_order_tree(1, 1, 1, &one, rank, parent), KR_OK);
    assert_int_equal(kr_order_tree(0, 1, 1, &one, rank, parent), KR_ERR_ARG);
}

static void pictures(void **state) {
    (void)state;
    kr_order_info info;
    char path[] = "/tmp/krait-order-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (int i = 0; kr_order_list(i, &info); i++) {
        kr_order *o;
        char *text;
        size_t n;
        assert_int_equal(kr_order_new(&o, info.name, info.max_axes, (const int64_t[]){5, 6, 4}, NULL), KR_OK);
        assert_int_equal(kr_order_draw(o, "a <title> & more", path), KR_OK);
        assert_int_equal(kr_file_read((void **)&text, &n, path), KR_OK);
        assert_non_null(strstr(text, "</svg>"));
        assert_non_null(strstr(text, "a &lt;title> &amp; more"));
        assert_null(strstr(text, "nan"));
        kr_mem_free(text);
        kr_order_free(o);
    }
    const float xy[] = {0, 0, 1, 2, 3, -1};
    const int32_t rank[] = {2, 0, 1}, link[] = {0, 1, 1, 2};
    for (int n = 1; n < 4; n += 2) {
        char *text;
        size_t size;
        assert_int_equal(kr_order_draw_loose(&(kr_order_loose){.n = n, .n_links = n == 3 ? 2 : 0, .xy = xy, .rank = n == 3 ? rank : rank + 1, .link = link, .line = true}, "<three>", path), KR_OK);
        assert_int_equal(kr_file_read((void **)&text, &size, path), KR_OK);
        assert_true(strstr(text, "</svg>") && strstr(text, "&lt;three>") && !strstr(text, "nan") && !strstr(text, "inf"));
        kr_mem_free(text);
    }
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_once),           cmocka_unit_test(steps_go_to_neighbours), cmocka_unit_test(walks_as_published),
        cmocka_unit_test(windows_by_their_formula), cmocka_unit_test(hilbert_of_a_power_of_two), cmocka_unit_test(symmetries_differ),
        cmocka_unit_test(random_by_seed_and_layer), cmocka_unit_test(refusals_say_why),       cmocka_unit_test(hilbert_codes),
        cmocka_unit_test(points_and_graphs),        cmocka_unit_test(pictures),               cmocka_unit_test(lists),
        cmocka_unit_test(a_tree),                  cmocka_unit_test(pieces_are_whole),         cmocka_unit_test(volumes_as_published)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
