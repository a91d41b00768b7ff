/* eval_source_test.c - reading a row in windows gives what reading it at once gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data/source.h"
#include "krait/train.h"
#include "model/model.h"
#include "train/score.h"

static kr_model *new_model(const char *config) {
    json_t *j;
    kr_model *m;
    assert_int_equal(kr_json_parse(&j, config, strlen(config), "config"), KR_OK);
    assert_int_equal(kr_model_describe(&m, j, "config", KR_F32, NULL), KR_OK);
    json_decref(j);
    assert_int_equal(kr_params_alloc(m->params, false), KR_OK);
    kr_params_init(m->params, 3);
    return m;
}

static const char small[] = "{\"model_type\": \"krait\", \"d_model\": 8, \"n_layer\": 2, \"vocab_size\": 16,"
                            " \"mixer\": {\"type\": \"mamba2\", \"headdim\": 4, \"d_state\": 8}}";

/* The same rows through one graph as long as the row. */
static double loss_at_once(kr_model *m, const char *data, int64_t S, int64_t L) {
    json_t *j;
    kr_source *source;
    kr_graph *g;
    kr_score s = {.n_questions = 1};
    int32_t *targets = kr_mem_array((size_t)(S * L), sizeof *targets);
    assert_non_null(targets);
    assert_int_equal(kr_json_parse(&j, data, strlen(data), "data"), KR_OK);
    assert_int_equal(kr_source_open(&source, &(kr_source_options){.data = j, .S = S}), KR_OK);
    json_decref(j);
    assert_int_equal(kr_model_graph(m, &(kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L}, &g), KR_OK);
    assert_int_equal(kr_graph_alloc(g), KR_OK);
    kr_batch b = {.S = S, .L = L, .ids = kr_graph_data(g, "ids"), .targets = targets};
    assert_int_equal(kr_source_batch(source, KR_SPLIT_EVAL, 0, &b), KR_OK);
    kr_graph_run(g, KR_RUN_FORWARD);
    kr_score_add(&s, g, &b, S * L);
    kr_graph_free(g);
    kr_source_close(source);
    kr_mem_free(targets);
    return kr_score_loss(&s);
}

static void windows_carry_state(void **state) {
    static const int64_t lengths[] = {40, 2048, 2049, 6000};
    kr_model *m = new_model(small);
    (void)state;
    for (int i = 0; i < 4; i++) {
        kr_eval_source_result r;
        char recipe[200], data[100];
        snprintf(data, sizeof data, "{\"kind\": \"selective_copying\", \"length\": %d}", (int)lengths[i]);
        snprintf(recipe, sizeof recipe, "{\"data\": %s}", data);
        assert_int_equal(kr_eval_source(m, recipe, 3, false, &r), KR_OK);
        assert_int_equal(r.L, lengths[i]);
        assert_int_equal(r.n_rows, 3);
        assert_int_equal(r.n_scored, 3 * 16);
        assert_string_equal(r.metric_name, "accuracy");
        assert_true(fabs(r.loss - loss_at_once(m, data, 3, lengths[i])) < 1e-5);
    }
    kr_model_free(m);
}

static void rows_do_not_depend_on_batches(void **state) {
    kr_model *m = new_model(small);
    kr_eval_source_result r;
    const char *recipe = "{\"data\": {\"kind\": \"induction_heads\", \"length\": 700, \"eval_batches\": 1}}";
    (void)state;
    assert_int_equal(kr_eval_source(m, recipe, 9, false, &r), KR_OK); /* two at a time */
    assert_int_equal(r.n_rows, 10);
    assert_true(fabs(r.loss - loss_at_once(m, "{\"kind\": \"induction_heads\", \"length\": 700}", 10, 700)) < 1e-5);
    kr_model_free(m);
}

static void numbers(void **state) {
    kr_model *m = new_model("{\"model_type\": \"krait\", \"d_model\": 8, \"n_layer\": 1, \"mixer\": {\"type\": \"mamba2\", \"headdim\": 4, \"d_state\": 8},"
                            " \"encoder\": {\"type\": \"linear\", \"width\": 2}, \"head\": {\"type\": \"regress\"}}");
    kr_eval_source_result r;
    (void)state;
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"adding\", \"length\": 50}}", 64, false, &r), KR_OK);
    assert_string_equal(r.metric_name, "mse");
    assert_true(r.metric > 0 && r.metric < 10 && r.metric == r.loss);
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"parity\"}}", 4, false, &r), KR_ERR_CONFIG);
    kr_model_free(m);
}

static void refuses(void **state) {
    kr_model *m = new_model(small);
    kr_eval_source_result r;
    (void)state;
    assert_int_equal(kr_eval_source(m, "{}", 4, false, &r), KR_ERR_CONFIG);
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"parity\"}}", -1, false, &r), KR_ERR_ARG);
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"nothing\"}}", 4, false, &r), KR_ERR_CONFIG);
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"mqar\"}}", 4, false, &r), KR_ERR_CONFIG); /* 8192 ids */
    assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"adding\"}}", 4, false, &r), KR_ERR_CONFIG);
    kr_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(windows_carry_state), cmocka_unit_test(rows_do_not_depend_on_batches),
                                       cmocka_unit_test(numbers), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
