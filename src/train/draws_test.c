/* draws_test.c - the mean over draws of a batch, each answer where the first draw has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ops.h"
#include "train/draws.h"

enum { S = 2, T = 3, V = 2 };

static kr_graph *graph(kr_params **params, const char *name) {
    kr_graph *g;
    assert_int_equal(kr_params_new(params, KR_F32, NULL), KR_OK);
    assert_int_equal(kr_graph_new(&g, *params, &(kr_graph_options){.n_threads = 1}), KR_OK);
    kr_input(g, name, KR_F32, 3, KR_DIMS(S, T, V));
    if (kr_graph_plan(g) != KR_OK || kr_graph_alloc(g) != KR_OK) fail_msg("%s", kr_error());
    return g;
}

/* Thing c of row s has the scores 10 s + c and its double, times one more than the draw. */
static void means(void **state) {
    static const int32_t place[3][S][T] = {{{0, 1, 2}, {0, 1, 2}}, {{2, 1, 0}, {1, 2, 0}}, {{1, 0, 2}, {2, 1, 0}}};
    kr_params *params;
    kr_graph *g = graph(&params, "logits");
    kr_draws d;
    (void)state;
    assert_int_equal(kr_draws_open(&d, &(kr_source_info){.S = S, .n_targets = T, .n_draws = 3}, g), KR_OK);
    assert_int_equal(d.n, 3);
    float *logits = kr_graph_data(g, "logits");
    for (int batch = 0; batch < 2; batch++) { /* the second knows nothing of the first */
        for (int64_t draw = d.n; draw-- > 0;) {
            memcpy(d.place, place[draw], sizeof place[draw]);
            for (int i = 0; i < S * T; i++)
                for (int v = 0; v < V; v++) logits[i * V + v] = (float)((10 * (i / T) + place[draw][i / T][i % T]) * (v + 1) * (int)(draw + 1) * (batch + 1));
            kr_draws_add(&d, g, &(kr_batch){.S = S, .draw = draw});
        }
        for (int i = 0; i < S * T; i++)
            for (int v = 0; v < V; v++) assert_true(logits[i * V + v] == (float)((10 * (i / T) + i % T) * (v + 1) * 2 * (batch + 1)));
    }
    kr_draws_close(&d);
    kr_graph_free(g);
    kr_params_free(params);
}

static void one_draw(void **state) {
    kr_params *params;
    kr_graph *g = graph(&params, "prediction");
    kr_draws d;
    (void)state;
    assert_int_equal(kr_draws_open(&d, &(kr_source_info){.S = S, .n_targets = T}, g), KR_OK);
    assert_true(d.n == 1 && !d.sum && !d.place);
    kr_draws_add(&d, g, &(kr_batch){.S = S});
    kr_draws_close(&d);
    assert_int_equal(kr_draws_open(&d, &(kr_source_info){.S = S, .n_targets = T, .n_draws = 2}, g), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "data.draws is 2"));
    kr_draws_close(&d);
    kr_graph_free(g);
    kr_params_free(params);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(means), cmocka_unit_test(one_draw)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
