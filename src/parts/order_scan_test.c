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

/* y of the order that `json` says on L steps; x is 0, 1, 2, ... */
static kr_status run(const char *json, const kr_part *mixer, int64_t L, int64_t layer, float *y) {
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
    kr_build b = {.g = g, .S = S, .L = L, .d_model = D, .n_residual = 1, .layer = layer, .mixer = mixer};
    kr_node *x = kr_input(g, "x", KR_F32, 3, KR_DIMS(S, L, D));
    kr_graph_keep(g, order->build(&b, opt, x), "y");
    kr_status st = kr_graph_plan(g);
    if (st == KR_OK) {
        assert_int_equal(kr_params_alloc(params, false), KR_OK);
        kr_params_init(params, 1);
        assert_int_equal(kr_graph_alloc(g), KR_OK);
        for (int64_t i = 0; i < S * L * D; i++) ((float *)kr_graph_data(g, "x"))[i] = (float)i;
        kr_graph_run(g, KR_RUN_FORWARD);
        memcpy(y, kr_graph_data(g, "y"), (size_t)(S * L * D) * sizeof *y);
    }
    kr_graph_free(g);
    kr_params_free(params);
    kr_arena_clear(&arena);
    json_decref(j);
    return st;
}

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
            for (int m = 0; m < 3; m++) {
                snprintf(json, sizeof json, "{\"type\": \"scan\", \"path\": \"%s\", \"size\": \"%s\", \"share\": %s, \"merge\": \"%s\"}", info.name,
                         n_axes == 3 ? "5x4x3" : n_axes == 2 ? "5x4" : "5", share ? "true" : "false", merges[m]);
                expect_times(json, o->n_cells, 3, m == 0 && !o->per_layer && !o->share_out ? o->n_paths : 1);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(paths_begin_where_they_say), cmocka_unit_test(refusals_say_why)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
