/* order_scan_test.c - paths there and back change nothing: with a mixer that copies, merging
 * gives K x, x or what the paths' share of the cells was; shared paths run as one batch give
 * what they give one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "krait/order.h"
#include "ops/ops.h"
#include "parts/part.h"

enum { S = 2, D = 3 };

static kr_node *copy(kr_build *b, const void *opt, kr_node *x) {
    (void)opt;
    assert_int_equal(kr_node_dim(x, 0), b->S);
    assert_int_equal(kr_node_dim(x, 1), b->L);
    return x;
}
static const kr_part copies = {.kind = "mixer", .name = "copies", .build = copy};

/* y of the order that `json` says on L steps, pictures of H rows unless H is 0; x is 0, 1, 2, ...  Trains if it shuffles. */
static kr_status run_picture(const char *json, const kr_part *mixer, int64_t H, int64_t L, int64_t layer, float *y) {
    json_t *j;
    kr_arena arena = {0};
    const kr_part *order;
    void *opt;
    kr_params *params;
    kr_graph *g;
    assert_int_equal(kr_json_parse(&j, json, strlen(json), "test"), KR_OK);
    if (kr_part_read("order", "causal", j, "order", &arena, &order, &opt) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_params_new(&params, KR_F32, NULL), KR_OK);
    kr_graph_options o = {.impl = KR_REF, .n_threads = 1};
    assert_int_equal(kr_graph_new(&g, params, &o), KR_OK);
    kr_build b = {.g = g, .S = S, .L = L, .d_model = D, .n_residual = 1, .layer = layer, .mixer = mixer, .H = H, .W = H ? L / H : 0, .training = strstr(json, "shuffle") != NULL};
    kr_node *x = kr_input(g, "x", KR_F32, 3, KR_DIMS(S, L, D));
    kr_graph_keep(g, order->build(&b, opt, x), "y");
    kr_status st = kr_graph_plan(g);
    if (st == KR_OK) {
        assert_int_equal(kr_params_alloc(params, false), KR_OK);
        kr_params_init(params, 1);
        assert_int_equal(kr_graph_alloc(g), KR_OK);
        for (int64_t i = 0; i < S * L * D; i++) ((float *)kr_graph_data(g, "x"))[i] = (float)i;
        int32_t *key = kr_graph_data(g, "shuffle_key.0");
        for (int i = 0; key && i < 4; i++) key[i] = 5 + i;
        kr_graph_run(g, KR_RUN_FORWARD);
        memcpy(y, kr_graph_data(g, "y"), (size_t)(S * L * D) * sizeof *y);
    }
    kr_graph_free(g);
    kr_params_free(params);
    kr_arena_clear(&arena);
    json_decref(j);
    return st;
}

static kr_status run(const char *json, const kr_part *mixer, int64_t L, int64_t layer, float *y) { return run_picture(json, mixer, 0, L, layer, y); }
static kr_status run_on(const char *json, const kr_part *mixer, int64_t H, int64_t W, float *y) { return run_picture(json, mixer, H, H ? H * W : W, 0, y); }

static void expect_times(const char *json, int64_t L, int64_t layer, double times) {
    float *y = kr_mem_array((size_t)(S * L * D), sizeof *y);
    kr_status st = run(json, &copies, L, layer, y);
    if (st != KR_OK) fail_msg("%s: %s", json, kr_error());
    for (int64_t i = 0; i < S * L * D; i++)
        if (fabs(y[i] - times * (double)i) > 1e-5 * (1 + (double)i)) fail_msg("%s: element %d is %g, want %g times it", json, (int)i, y[i], times);
    kr_mem_free(y);
}

static void there_and_back(void **state) {
    (void)state;
    kr_order_info info;
    for (int i = 0; kr_order_list(i, &info); i++)
        for (int share = 0; share < 2; share++) {
            static const char *const merges[] = {"sum", "mean", "gate"};
            kr_order *o;
            char json[200];
            const int64_t grid[3] = {5, 4, 3};
            int n_axes = info.max_axes;
            assert_int_equal(kr_order_new(&o, info.name, n_axes, grid, NULL), KR_OK);
            for (int m = 0; m < 9; m++) {
                static const char *const done[] = {"", ":flipped", ":back:apart"};
                if (m > 5 && !info.pieces) break;
                snprintf(json, sizeof json, "{\"type\": \"scan\", \"path\": \"%s%s\", \"size\": \"%s\", \"share\": %s, \"merge\": \"%s\"}", info.name, done[m / 3],
                         n_axes == 3 ? "5x4x3" : n_axes == 2 ? "5x4" : "5", share ? "true" : "false", merges[m % 3]);
                expect_times(json, o->n_cells, 3, m % 3 == 0 && !o->per_layer && !o->share_out ? o->n_paths : 1);
            }
            kr_order_free(o);
        }
}

/* Each path sees its own order: the sum of what lies before a step tells it. */
static kr_node *first_is_kept(kr_build *b, const void *opt, kr_node *x) {
    (void)opt; /* step 0 of every path, everywhere: a gather whose indices are all 0 */
    int32_t idx[64] = {0};
    return KR_APPLY(b->g, gather, NULL, x, kr_const_i32(b->g, idx, b->L));
}
/* In a random order and back: the first step is another, and where nothing is done all is as before. */
static void shuffled(void **state) {
    (void)state;
    const kr_part first = {.kind = "mixer", .name = "first", .build = first_is_kept};
    enum { L = 12 };
    float y[S * L * D];
    expect_times("{\"type\": \"scan\", \"path\": \"cross\", \"size\": \"3x4\", \"shuffle\": 1}", L, 0, 4);
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"forward\", \"size\": \"12\", \"shuffle\": 1}", &first, L, 0, y), KR_OK);
    assert_true(y[0] > 0);
    for (int i = 0; i < S * L * D; i++) assert_true(y[i] == y[0] + (float)(i / D / L * L * D + i % D));
}

static void paths_begin_where_they_say(void **state) {
    (void)state;
    const kr_part first = {.kind = "mixer", .name = "first", .build = first_is_kept};
    enum { L = 12 };
    float one[S * L * D], all[S * L * D];
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"cross\", \"size\": \"3x4\"}", &first, L, 0, one), KR_OK);
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"cross\", \"size\": \"3x4\", \"share\": true}", &first, L, 0, all), KR_OK);
    assert_memory_equal(one, all, sizeof one);
    for (int s = 0; s < S; s++) /* two paths begin at the first cell, two at the last */
        for (int i = 0; i < L * D; i++) assert_true(one[s * L * D + i] == 2 * (s * L * D + i % D) + 2 * (s * L * D + (L - 1) * D + i % D));
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"zigzag\", \"size\": \"3x4\"}", &first, L, 9, one), KR_OK); /* 9 mod 8: from the last row */
    for (int i = 0; i < L * D; i++) assert_true(one[i] == 8 * D + i % D);
}

/* The channels of a step are the walk's steps, and each step's channels go in reverse. */
static kr_node *last_number(kr_build *b, const void *opt, kr_node *x) {
    (void)opt; /* of each step's D the last, everywhere */
    int64_t n = kr_node_dim(x, -1);
    int32_t idx[64];
    x = kr_reshape(b->g, x, 3, KR_DIMS(kr_node_dim(x, 0), b->L * n, 1));
    for (int64_t i = 0; i < b->L * n; i++) idx[i] = (int32_t)(i / n * n + n - 1);
    return kr_reshape(b->g, KR_APPLY(b->g, gather, NULL, x, kr_const_i32(b->g, idx, b->L * n)), 3, KR_DIMS(kr_node_dim(x, 0), b->L, n));
}
static void over_channels(void **state) {
    (void)state;
    enum { L = 12 };
    const kr_part first = {.kind = "mixer", .name = "first", .build = first_is_kept}, last = {.kind = "mixer", .name = "last", .build = last_number};
    float y[S * L * D];
    expect_times("{\"type\": \"scan\", \"path\": \"bidirectional\", \"axis\": \"channels\"}", L, 3, 2);
    expect_times("{\"type\": \"scan\", \"path\": \"window:apart\", \"path_window\": 2, \"axis\": \"channels\", \"size\": \"3\"}", L, 3, 1);
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"forward:back\", \"axis\": \"channels\"}", &first, L, 0, y), KR_OK); /* step 0 is the last channel */
    for (int i = 0; i < S * L * D; i++) assert_true(y[i] == (float)(i / D * D + D - 1));
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"forward:flipped\", \"size\": \"12\"}", &last, L, 0, y), KR_OK); /* last of a reversed step */
    for (int i = 0; i < S * L * D; i++) assert_true(y[i] == (float)(i / D * D));
}

/* Each piece begins anew, whether the pieces are alike or not. */
static kr_node *place_in_row(kr_build *b, const void *opt, kr_node *x) {
    (void)opt; /* x + 1000 times which of the packed documents a step belongs to */
    assert_non_null(b->seq_idx);
    kr_node *table = kr_const_pieces(b->g, (const kr_piece[]){{D, 0}, {D, 1000}, {D, 2000}, {D, 3000}}, 4);
    return kr_add(b, x, KR_APPLY(b->g, embedding, NULL, b->seq_idx, kr_reshape(b->g, table, 2, KR_DIMS(4, D))));
}
static void pieces_apart(void **state) {
    (void)state;
    const kr_part first = {.kind = "mixer", .name = "first", .build = first_is_kept}, place = {.kind = "mixer", .name = "place", .build = place_in_row};
    enum { L = 12 };
    float y[S * L * D];
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"forward:apart\", \"size\": \"3x4\"}", &first, L, 0, y), KR_OK);
    for (int i = 0; i < S * L * D; i++) assert_true(y[i] == (float)(i / (4 * D) * 4 * D + i % D));
    assert_int_equal(run("{\"type\": \"scan\", \"path\": \"window:apart\", \"size\": \"3x4\"}", &place, L, 0, y), KR_OK);
    for (int i = 0; i < S * L * D; i++) {
        static const int number[] = {0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3}; /* the last ones have one row */
        assert_true(y[i] == (float)(i + 1000 * number[i / D % L]));
    }
}

/* y = x + the last step of its piece, their mean, ... */
static void levels_of_pieces(void **state) {
    (void)state;
    enum { L = 12 };
    float y[S * L * D];
    static const int last[L] = {5, 5, 7, 7, 5, 5, 7, 7, 9, 9, 11, 11}, corner[L] = {0, 0, 2, 2, 0, 0, 2, 2};
    assert_int_equal(run_on("{\"type\": \"nested\"}", &copies, 3, 4, y), KR_OK);
    for (int i = 0; i < S * L * D; i++) assert_true(y[i] == (float)(i + (i / D / L * L + last[i / D % L]) * D + i % D));
    assert_int_equal(run_on("{\"type\": \"nested\", \"by\": \"mean\", \"share\": true}", &copies, 2, 4, y), KR_OK); /* windows 0 1 4 5 and 2 3 6 7 */
    for (int i = 0; i < S * 8 * D; i++) assert_true(fabsf(y[i] - ((float)(i + (i / D / 8 * 8 + corner[i / D % 8]) * D + i % D) + 2.5f * D)) < 1e-3f);
    assert_int_equal(run_on("{\"type\": \"nested\", \"by\": \"mean\"}", &copies, 3, 4, y), KR_OK); /* the last windows have two cells */
    for (int i = 0; i < S * L * D; i++) {
        static const float mean[L] = {2.5f, 2.5f, 4.5f, 4.5f, 2.5f, 2.5f, 4.5f, 4.5f, 8.5f, 8.5f, 10.5f, 10.5f};
        assert_true(fabsf(y[i] - ((float)i + ((float)(i / D / L * L) + mean[i / D % L]) * D + (float)(i % D))) < 1e-3f);
    }
    assert_int_equal(run_on("{\"type\": \"nested\", \"window\": 5}", &copies, 0, 12, y), KR_OK); /* of a line: 5, 5 and 2 */
    for (int i = 0; i < S * L * D; i++) {
        int l = i / D % L, end = l < 5 ? 4 : l < 10 ? 9 : 11;
        assert_true(y[i] == (float)(i + (i / D / L * L + end) * D + i % D));
    }
}

/* y = x + the mean of its patch; there and back of the second path as of the first. */
static void coarse_paths(void **state) {
    (void)state;
    enum { L = 12 };
    float y[S * L * D];
    static const float mean[L] = {2.5f, 2.5f, 4.5f, 4.5f, 2.5f, 2.5f, 4.5f, 4.5f, 8.5f, 8.5f, 10.5f, 10.5f}; /* of 3 x 4: the last row stands for the one that is not there */
    for (int share = 0; share < 2; share++) {
        char json[160];
        snprintf(json, sizeof json, "{\"type\": \"scan\", \"path\": \"snake,hilbert:back\", \"coarse\": 2, \"share\": %s}", share ? "true" : "false");
        assert_int_equal(run_on(json, &copies, 3, 4, y), KR_OK);
        for (int i = 0; i < S * L * D; i++) assert_true(fabsf(y[i] - ((float)i + ((float)(i / D / L * L) + mean[i / D % L]) * D + (float)(i % D))) < 1e-3f);
    }
}

static void streams_swap(void **state) {
    (void)state;
    enum { L = 6 };
    const kr_part first = {.kind = "mixer", .name = "first", .build = first_is_kept};
    float y[S * L * 4];
    for (int share = 0; share < 2; share++) {
        char json[120];
        snprintf(json, sizeof json, "{\"type\": \"swap\", \"groups\": 3, \"back\": true, \"share\": %s}", share ? "true" : "false");
        expect_times(json, L, 0, 1); /* there and back */
        snprintf(json, sizeof json, "{\"type\": \"swap\", \"groups\": 3, \"first\": \"second\", \"share\": %s}", share ? "true" : "false");
        assert_int_equal(run(json, &copies, L, 0, y), KR_OK);
        for (int i = 0; i < S * L * D; i++) { /* the middle channel is the other stream's */
            int l = i / D % L;
            assert_true(y[i] == (float)(i % D == 1 ? i + (l < 3 ? 3 : -3) * D : i));
        }
        assert_int_equal(run(json, &first, L, 0, y), KR_OK); /* each stream begins anew */
        for (int i = 0; i < S * L * D; i++) assert_true(y[i] == (float)((i / D / L * L + (i / D % L < 3) * (i % D == 1) * 3 + (i / D % L >= 3) * (i % D != 1) * 3) * D + i % D));
    }
    assert_int_equal(run("{\"type\": \"swap\"}", &copies, L, 0, y), KR_ERR_CONFIG);
    assert_int_equal(run("{\"type\": \"swap\", \"groups\": 3}", &copies, 5, 0, y), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "5 steps of 3 channels"));
}

static void refuse(const char *json, const char *says) {
    float y[S * 12 * D];
    assert_int_equal(run(json, &copies, 12, 0, y), KR_ERR_CONFIG);
    if (!strstr(kr_error(), says)) fail_msg("%s", kr_error());
}
static void refusals_say_why(void **state) {
    (void)state;
    refuse("{\"type\": \"scan\", \"path\": \"cross\", \"size\": \"3x5\"}", "order.size is \"3x5\", but a row has 12 steps");
    refuse("{\"type\": \"scan\", \"path\": \"cross\", \"size\": \"3x4x\"}", "order.size is \"3x4x\"");
    refuse("{\"type\": \"scan\", \"path\": \"cross\"}", "a grid of 1 axes");
    refuse("{\"type\": \"scan\", \"path\": \"crss\"}", "there is no scan order \"crss\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(paths_begin_where_they_say), cmocka_unit_test(refusals_say_why),
                                       cmocka_unit_test(shuffled), cmocka_unit_test(over_channels), cmocka_unit_test(pieces_apart), cmocka_unit_test(levels_of_pieces), cmocka_unit_test(streams_swap), cmocka_unit_test(coarse_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
