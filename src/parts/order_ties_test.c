/* order_ties_test.c - order ties against the mixer run along each order by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "parts/part.h"

enum { S = 2, D = 6, L = 7, K = 3, N = S * L * D };
typedef struct asked { int draws; bool training, edges, memory; } asked; /* draws 0: order causal */

static kr_status build(kr_graph *g, const char *json, const asked *a, kr_arena *arena) {
    json_t *j, *m;
    const kr_part *order, *mixer, *memory = NULL;
    void *opt, *mixer_opt, *memory_opt = NULL;
    static const char mamba[] = "{\"type\": \"mamba1\", \"d_state\": 3, \"dt_min\": 0.1, \"dt_max\": 1}";
    assert_int_equal(kr_json_parse(&j, json, strlen(json), "test"), KR_OK);
    assert_int_equal(kr_json_parse(&m, mamba, strlen(mamba), "test"), KR_OK);
    assert_int_equal(kr_part_read("order", "causal", j, "order", arena, &order, &opt), KR_OK);
    assert_int_equal(kr_part_read("mixer", "none", m, "mixer", arena, &mixer, &mixer_opt), KR_OK);
    if (a->memory) assert_int_equal(kr_part_read("memory", "suppress", NULL, "memory", arena, &memory, &memory_opt), KR_OK);
    kr_build b = {.g = g, .S = S, .L = L, .d_model = D, .n_residual = 1, .mixer = mixer, .mixer_opt = mixer_opt, .memory = memory, .memory_opt = memory_opt, .training = a->training};
    if (a->edges) b.edge_from = kr_input(g, "edge_from", KR_I32, 2, KR_DIMS(S, 4));
    kr_graph_keep(g, order->build(&b, opt, kr_input(g, "x", KR_F32, 3, KR_DIMS(S, L, D))), "y");
    kr_status st = kr_graph_plan(g);
    json_decref(j), json_decref(m);
    return st;
}

/* y of the same mixer on x. */
static kr_status run(const asked *a, const float *x, const int32_t *tie, float *y) {
    char json[60] = "{\"type\": \"causal\"}";
    kr_arena arena = {0};
    kr_params *params;
    kr_graph *g;
    if (a->draws) snprintf(json, sizeof json, "{\"type\": \"ties\", \"draws\": %d}", a->draws);
    assert_int_equal(kr_params_new(&params, KR_F32, NULL), KR_OK);
    assert_int_equal(kr_graph_new(&g, params, &(kr_graph_options){.n_threads = 1}), KR_OK);
    kr_status st = build(g, json, a, &arena);
    if (st == KR_OK) {
        assert_int_equal(kr_params_alloc(params, false), KR_OK);
        kr_params_init(params, 1);
        assert_int_equal(kr_graph_alloc(g), KR_OK);
        memcpy(kr_graph_data(g, "x"), x, N * sizeof *x);
        assert_int_equal(kr_graph_data(g, "tie.0") != NULL, a->draws > 0);
        if (a->draws) {
            assert_int_equal(kr_node_dim(kr_graph_find(g, "tie.0"), 1), (a->training ? 1 : a->draws) * L);
            memcpy(kr_graph_data(g, "tie.0"), tie, (size_t)(S * (a->training ? 1 : a->draws) * L) * sizeof *tie);
        }
        kr_graph_run(g, KR_RUN_FORWARD);
        memcpy(y, kr_graph_data(g, "y"), N * sizeof *y);
    }
    kr_graph_free(g);
    kr_params_free(params);
    kr_arena_clear(&arena);
    return st;
}

/* Numbers, and orders of the first six steps of the first row and of all seven of the second. */
static void draw(float *x, int32_t *tie) {
    kr_rng r = {3, 0, 0};
    for (int i = 0; i < N; i++) x[i] = (float)kr_rng_normal(&r);
    for (int s = 0; s < S; s++)
        for (int k = 0; k < K; k++) {
            int32_t *t = tie + (s * K + k) * L;
            for (int l = 0; l < L; l++) t[l] = l;
            for (int l = L - 2 + s; l > 0; l--) {
                int64_t j = kr_rng_below(&r, l + 1);
                int32_t swap = t[l];
                t[l] = t[j], t[j] = swap;
            }
        }
}

/* The mean of what the mixer says along each order, every answer at its step. */
static void expect(const float *x, const int32_t *tie, int draws, double *want) {
    float along[N], said[N];
    memset(want, 0, N * sizeof *want);
    for (int k = 0; k < draws; k++) {
        for (int i = 0; i < S * L; i++) memcpy(along + i * D, x + (i / L * L + tie[(i / L * draws + k) * L + i % L]) * D, D * sizeof *x);
        if (run(&(asked){0}, along, NULL, said) != KR_OK) fail_msg("%s", kr_error());
        for (int i = 0; i < N; i++) want[(i / D / L * L + tie[(i / D / L * draws + k) * L + i / D % L]) * D + i % D] += said[i] / draws;
    }
}

static void check(const asked *a, const float *x, const int32_t *tie, int draws) {
    float y[N];
    double want[N], largest = 0;
    if (run(a, x, tie, y) != KR_OK) fail_msg("%s", kr_error());
    expect(x, tie, draws, want);
    for (int i = 0; i < N; i++) largest = fmax(largest, fabs(want[i]));
    assert_true(largest > 1e-3);
    for (int i = 0; i < N; i++)
        if (!(fabs(y[i] - want[i]) <= 2e-6 * largest)) fail_msg("number %d is %g, want %g", i, y[i], want[i]);
}

static void mean_of_orders(void **state) {
    float x[N], y[N], plain[N];
    int32_t tie[S * K * L], stay[S * K * L];
    (void)state;
    draw(x, tie);
    check(&(asked){.draws = K, .edges = true}, x, tie, K);
    check(&(asked){.draws = K, .edges = true, .training = true}, x, tie, 1); /* the first lists of `tie`: one a row */
    for (int i = 0; i < S * K * L; i++) stay[i] = i % L;
    assert_int_equal(run(&(asked){0}, x, NULL, plain), KR_OK);
    assert_int_equal(run(&(asked){.draws = 1, .edges = true}, x, stay, y), KR_OK);
    assert_memory_equal(y, plain, sizeof y);
}

static void refusals_say_why(void **state) {
    float x[N], y[N];
    int32_t tie[S * K * L];
    (void)state;
    draw(x, tie);
    assert_int_equal(run(&(asked){.draws = K}, x, tie, y), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "order ties wants the nodes of a graph"));
    assert_int_equal(run(&(asked){.draws = K, .edges = true, .memory = true}, x, tie, y), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "no memory rule"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(mean_of_orders), cmocka_unit_test(refusals_say_why)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
