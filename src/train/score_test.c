/* score_test.c - metrics of few answers, worked out by hand, and what NaN does to them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ops.h"
#include "train/score.h"

/* Scores n answers of V logits. */
static void score(kr_score *s, const kr_source_info *info, const float *logits, int32_t *targets, int64_t n, int64_t V) {
    kr_graph *g;
    kr_params *params;
    assert_int_equal(kr_params_new(&params, KR_F32, NULL), KR_OK);
    assert_int_equal(kr_graph_new(&g, params, &(kr_graph_options){.n_threads = 1}), KR_OK);
    kr_input(g, "logits", KR_F32, 2, KR_DIMS(n, V));
    if (kr_graph_plan(g) != KR_OK || kr_graph_alloc(g) != KR_OK) fail_msg("%s", kr_error());
    memcpy(kr_graph_data(g, "logits"), logits, (size_t)(n * V) * sizeof *logits);
    assert_int_equal(kr_score_open(s, info), KR_OK);
    kr_score_add(s, g, &(kr_batch){.S = n, .L = 1, .targets = targets, .n_rows = n}, n);
    kr_graph_free(g);
    kr_params_free(params);
}

static void near(double x, double want) {
    if (!(fabs(x - want) < 1e-9)) fail_msg("%g, want %g", x, want);
}

static void auroc(void **state) {
    const kr_source_info info = {.n_classes = 2, .metric = "accuracy", .more_metrics = "f1 auroc"};
    float logits[] = {0, .4f, 0, .1f, 0, .8f, 0, .4f}; /* margins .4 .1 .8 .4, one tie of both classes */
    int32_t targets[] = {0, 0, 1, 1};
    kr_score s;
    (void)state;
    score(&s, &info, logits, targets, 4, 2);
    near(kr_score_metric(&s, "auroc"), 3.5 / 4);
    kr_score_close(&s);
    logits[3] = NAN;
    score(&s, &info, logits, targets, 4, 2);
    assert_true(isnan(kr_score_metric(&s, "auroc")));
    assert_true(isnan(kr_score_loss(&s)));
    kr_score_close(&s);
}

/* Scores that are no numbers are no hit, whatever was right. */
static void accuracy_of_nothing(void **state) {
    const kr_source_info info = {.n_classes = 3, .metric = "accuracy", .more_metrics = "f1"};
    float logits[] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, 2, 1, 1, 1, 1};
    int32_t targets[] = {0, 2, 1, 0};
    kr_score s;
    (void)state;
    score(&s, &info, logits, targets, 2, 3);
    near(kr_score_metric(&s, "accuracy"), 0);
    near(kr_score_metric(&s, "f1"), 0);
    kr_score_close(&s);
    score(&s, &info, logits, targets, 4, 3); /* of some that are, the largest; of equals the first */
    near(kr_score_metric(&s, "accuracy"), .5);
    kr_score_close(&s);
}

static void ranks(void **state) {
    enum { V = 12 };
    const kr_source_info info = {.metric = "hr@10"}, more = {.metric = "accuracy", .more_metrics = "mrr ndcg@10"}, deep = {.metric = "hr@3", .more_metrics = "ndcg@20 mrr"};
    int32_t targets[] = {0, 2, 11}; /* ranks 1, 3, 12 */
    float logits[3 * V];
    kr_score s;
    (void)state;
    for (int i = 0; i < 3 * V; i++) logits[i] = (float)-(i % V);
    score(&s, &info, logits, targets, 3, V);
    near(kr_score_metric(&s, "hr@10"), 2. / 3);
    near(kr_score_metric(&s, "hr@1"), 1. / 3);
    assert_true(isnan(kr_score_metric(&s, "hr@11"))); /* deeper than was asked */
    kr_score_close(&s);
    score(&s, &deep, logits, targets, 3, V);
    near(kr_score_metric(&s, "hr@3"), 2. / 3);
    near(kr_score_metric(&s, "hr@2"), 1. / 3);
    near(kr_score_metric(&s, "hr@20"), 1);
    near(kr_score_metric(&s, "ndcg@20"), (1 + 1 / log2(4) + 1 / log2(13)) / 3);
    kr_score_close(&s);
    score(&s, &more, logits, targets, 3, V);
    near(kr_score_metric(&s, "ndcg@10"), (1 + 1 / log2(4)) / 3);
    near(kr_score_metric(&s, "mrr"), (1 + 1. / 3 + 1. / 12) / 3);
    kr_score_close(&s);
    for (int i = 0; i < V; i++) logits[i] = NAN; /* the worst rank, not the best */
    score(&s, &info, logits, targets, 1, V);
    near(kr_score_metric(&s, "hr@10"), 0);
    kr_score_close(&s);
}

static void not_a_number(void **state) {
    kr_score s = {.n = 2, .square = NAN};
    (void)state;
    assert_true(isnan(kr_score_loss(&s)));
    assert_true(kr_metric_is_better("accuracy", .1, NAN) && kr_metric_is_better("mse", .1, NAN));
    assert_false(kr_metric_is_better("accuracy", NAN, .1) || kr_metric_is_better("mse", NAN, .1) || kr_metric_is_better("mse", NAN, NAN));
    assert_true(kr_metric_is_better("accuracy", .2, .1) && kr_metric_is_better("mse", .1, .2));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(auroc), cmocka_unit_test(accuracy_of_nothing), cmocka_unit_test(ranks), cmocka_unit_test(not_a_number)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
