/* check_match.c - two sequences compared (encoder.pair, head "match", data of two columns).
 *
 *   towers     each half of a row becomes what it would alone, whatever the other is
 *   formula    logits by plain loops from the two vectors
 *   gradient   against central differences; the same bits by any number of threads
 *   data       a table of two columns, and JSON lines: a row's halves are the file's, in its order
 *   learns     trained, scored, asked about new files
 *   refusals   what cannot be, in words */
#include "data_case.h"
#include "gradient_case.h"

#define MODEL "{'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'vocab_size': 9, 'norm_eps': 1e-3, 'mixer': {'type': 'mamba1', 'dt_min': 0.1, 'dt_max': 1, 'd_state': 3}, "
static const char two[] = MODEL "'encoder': {'pair': 7}, 'head': {'type': 'match', 'n_classes': 3, 'width': 5, 'lengths': true}}";
static const char alone[] = MODEL "'head': {'type': 'class', 'lengths': true}}";
enum { S = 3, L = 7, M = 8, WIDTH = 5, CLASSES = 3 };

static void fill_two(kr_graph *g, uint64_t seed) {
    kr_rng r = {seed, 3, 0};
    int32_t *ids = kr_graph_data(g, "ids"), *len = kr_graph_data(g, "len"), *targets = kr_graph_data(g, "targets");
    for (int i = 0; i < S * 2 * L; i++) ids[i] = (int32_t)kr_rng_below(&r, 9);
    for (int i = 0; i < 2 * S && len; i++) len[i] = (int32_t)(1 + kr_rng_below(&r, L));
    for (int i = 0; i < S && targets; i++) targets[i] = i % CLASSES;
}

static const float *weights(const kr_model *m, const char *name) {
    const kr_param *p = kr_params_find(m->params, name);
    if (!p) fail_msg("there is no %s", name);
    return p->data;
}

/* The steps of sequence k alone, by a model of one sequence with the same parameters. */
static void towers(void **state) {
    (void)state;
    kr_model *m = model_of(two, 4), *a = model_of(alone, 4);
    for (kr_param *p = a->params->first; p; p = p->next)
        if (strncmp(p->name, "backbone.", 9) == 0) memcpy(p->data, weights(m, p->name), (size_t)kr_param_count(p) * sizeof(float));
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = S, .L = 2 * L});
    kr_graph *h = graph_of(a, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = 1, .L = L});
    fill_two(g, 1);
    kr_graph_run(g, KR_RUN_FORWARD);
    for (int k = 0; k < 2 * S; k++) {
        memcpy(kr_graph_data(h, "ids"), (int32_t *)kr_graph_data(g, "ids") + k * L, L * sizeof(int32_t));
        kr_graph_run(h, KR_RUN_FORWARD);
        assert_memory_equal(kr_graph_data(h, "hidden"), (float *)kr_graph_data(g, "hidden") + k * L * M, L * M * sizeof(float));
    }
    kr_graph_free(g), kr_graph_free(h);
    kr_model_release(m), kr_model_release(a);
}

static void pooled(const float *x, int64_t n, double *to) {
    for (int c = 0; c < M; c++) to[c] = 0;
    for (int64_t l = 0; l < n; l++)
        for (int c = 0; c < M; c++) to[c] += (double)x[l * M + c] / (double)n;
}

static void formula(void **state) {
    (void)state;
    kr_model *m = model_of(two, 6);
    kr_graph *hidden = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = S, .L = 2 * L});
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = 2 * L});
    const float *V = weights(m, "head.compare.weight"), *v = weights(m, "head.compare.bias"), *W = weights(m, "head.weight");
    fill_two(g, 2), memcpy(kr_graph_data(hidden, "ids"), kr_graph_data(g, "ids"), S * 2 * L * sizeof(int32_t));
    const int32_t *len = kr_graph_data(g, "len");
    kr_graph_run(hidden, KR_RUN_FORWARD), kr_graph_run(g, KR_RUN_FORWARD);
    const float *x = kr_graph_data(hidden, "hidden"), *y = kr_graph_data(g, "logits");
    for (int s = 0; s < S; s++) {
        double a[M], b[M], f[4 * M], u[WIDTH];
        pooled(x + 2 * s * L * M, len[2 * s], a), pooled(x + (2 * s + 1) * L * M, len[2 * s + 1], b);
        for (int c = 0; c < M; c++) f[c] = a[c], f[M + c] = b[c], f[2 * M + c] = a[c] - b[c], f[3 * M + c] = a[c] * b[c];
        for (int k = 0; k < WIDTH; k++) {
            u[k] = v[k];
            for (int c = 0; c < 4 * M; c++) u[k] += V[k * 4 * M + c] * f[c];
            u[k] /= 1 + exp(-u[k]);
        }
        for (int c = 0; c < CLASSES; c++) {
            double want = 0;
            for (int k = 0; k < WIDTH; k++) want += W[c * WIDTH + k] * u[k];
            if (fabs(y[s * CLASSES + c] - want) > 1e-5) fail_msg("row %d, class %d: %g, want %g", s, c, (double)y[s * CLASSES + c], want);
        }
    }
    kr_graph_free(g), kr_graph_free(hidden);
    kr_model_release(m);
}

static void gradient(void **state) {
    (void)state;
    kr_model *m = model_of(two, 5);
    check_training("match", m, S, 2 * L, fill_two);
    kr_model_release(m);
}

/* --- data --------------------------------------------------------------------------------------- */

/* Pieces rich in a or in b; of one kind (same), or of two. */
static void write_pairs(void) {
    kr_str t = {0}, j = {0};
    kr_rng r = {9, 9, 0};
    kr_str_append(&t, "left\tright\tkind\n");
    for (int i = 0; i < 160; i++) {
        char part[2][16] = {"", ""};
        int kind = (int)kr_rng_below(&r, 2), same = i % 2;
        for (int p = 0; p < 2; p++)
            for (int k = 0; k < 8 + i % 5; k++) part[p][k] = ((kind ^ (p && !same)) ? "aaabc" : "bbbac")[kr_rng_below(&r, 5)];
        kr_str_appendf(&t, "%s\t%s\t%s\n", part[0], part[1], same ? "same" : "other");
        kr_str_appendf(&j, "{\"right\": \"%s\", \"left\": \"%s\", \"kind\": \"%s\"}\n", part[1], part[0], same ? "same" : "other");
    }
    write_bytes("pairs.tsv", t.text, t.n), write_bytes("pairs.jsonl", j.text, j.n);
    kr_str_free(&t), kr_str_free(&j);
}

/* Both files give the same rows: each sequence from the start of its half, and how long it is. */
static void rows(void **state) {
    static const char *const files[] = {"pairs.tsv", "pairs.jsonl"};
    enum { N = 4, HALF = 12, FIRST = 3 }; /* ids of bytes: FIRST + byte - 1 */
    int32_t ids[2][N * 2 * HALF], targets[2][N], len[2][2 * N];
    (void)state;
    write_pairs();
    for (int f = 0; f < 2; f++) {
        kr_source *s;
        json_t *data = json_pack("{s:s, s:s, s:s, s:[s, s], s:s, s:i}", "kind", "sequence", "alphabet", "bytes", "paths", files[f], "sequence", "left", "right", "label", "kind", "eval_fraction", 0);
        if (kr_source_open(&s, &(kr_source_options){.data = data, .S = N, .seed = 1}) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(kr_source_get_info(s)->L, 2 * HALF);
        kr_batch b = {.S = N, .L = 2 * HALF, .ids = ids[f], .targets = targets[f], .len = len[f]};
        assert_int_equal(kr_source_batch(s, KR_SPLIT_TRAIN, 0, &b), KR_OK);
        char name[100];
        assert_true(kr_source_name(s, KR_SPLIT_TRAIN, 0, 0, name, sizeof name) && strncmp(name, files[f], strlen(files[f])) == 0);
        kr_source_close(s);
        json_decref(data);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_equal(targets[0], targets[1], sizeof targets[0]);
    assert_memory_equal(len[0], len[1], sizeof len[0]);
    void *text;
    size_t n;
    assert_int_equal(kr_file_read(&text, &n, "pairs.tsv"), KR_OK);
    for (int i = 0; i < N; i++) { /* a line of the file, whole */
        char line[64] = "\n", *to = line + 1;
        for (int p = 0; p < 2; p++) {
            const int32_t *id = ids[0] + (2 * i + p) * HALF;
            for (int k = 0; k < HALF; k++) {
                assert_true((id[k] == 0) == (k >= len[0][2 * i + p]));
                if (id[k]) *to++ = (char)(id[k] - FIRST + 1);
            }
            *to++ = '\t';
        }
        snprintf(to, 8, "%s\n", targets[0][i] ? "same" : "other"); /* classes by name */
        if (!strstr(text, line)) fail_msg("row %d is no line: %s", i, line);
    }
    kr_mem_free(text);
}

static kr_status count_right(void *user, const kr_answer *a) {
    int *n = user;
    assert_int_equal(a->kind, KR_ANSWER_CLASS);
    assert_int_equal(a->n, 2);
    n[1] += strcmp(a->label[a->best], n[0]++ % 2 ? "same" : "other") == 0;
    return KR_OK;
}

#define PAIRS "'data': {'kind': 'sequence', 'alphabet': 'bytes', 'paths': 'pairs.tsv', 'sequence': ['left', 'right'], 'label': 'kind', 'eval_fraction': 0.2}"
#define SMALL "'d_model': 16, 'n_layer': 1, 'mixer': {'type': 'mamba1', 'd_state': 4}"
static void learns(void **state) {
    (void)state;
    kr_model *m;
    kr_eval_source_result r;
    const char *files[] = {"pairs.jsonl"};
    int n[2] = {0};
    write_pairs();
    train("{'model': {" SMALL "}, " PAIRS ", 'train': {'out': 'm', 'overwrite': true, 'batch_size': 32, 'steps': 150, 'lr': 0.01, 'warmup_steps': 5, 'eval_every': 0, 'eval_batches': 100, 'log_every': 1000}}");
    if (last_metric < 0.8) fail_msg("%g of the held-out pairs are right", last_metric);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_right, n) != KR_OK) fail_msg("%s", kr_error()); /* another format */
    assert_true(n[0] == 160 && n[1] >= 130);
    const char *data = "{\"data\": {\"kind\": \"sequence\", \"alphabet\": \"bytes\", \"paths\": \"pairs.tsv\", \"sequence\": [\"left\", \"right\"], \"label\": \"kind\", \"eval_fraction\": 0.2}}";
    if (kr_eval_source(m, data, 0, false, &r) != KR_OK) fail_msg("%s", kr_error());
    assert_true(r.n_rows == 32 && fabs(r.metric - last_metric) < 1e-9);
    kr_model_free(m);
}

static void refusals(void **state) {
    (void)state;
    write_pairs();
    write_bytes("hole.tsv", "left\tright\tkind\nab\t\tsame\nab\tab\tother\n", 37);
    refuse("{'model': {" SMALL ", 'encoder': {'pair': 9}}, " PAIRS "}", "encoder.pair is 9, so a row has 18 steps, but there are 24");
    refuse("{'model': {" SMALL ", 'head': {'type': 'class'}}, " PAIRS "}", "choose the head that fits them");
    refuse("{'model': {" SMALL ", 'head': {'type': 'match'}}, 'data': {'kind': 'sequence', 'alphabet': 'bytes', 'paths': 'pairs.tsv', 'sequence': 'left', 'label': 'kind'}}",
           "the head \"match\" compares two sequences, and a row is one");
    refuse("{'data': {'kind': 'sequence', 'paths': 'pairs.tsv', 'sequence': ['left', 'right', 'kind']}}", "names 3 columns, want one, or two for pairs");
    refuse("{'data': {'kind': 'sequence', 'paths': 'pairs.tsv', 'sequence': ['left', 'right'], 'task': 'masked'}}", "such pairs have one class each");
    refuse("{'data': {'kind': 'sequence', 'paths': 'pairs.tsv', 'sequence': ['left', 'middle'], 'label': 'kind'}}", "there is no column \"middle\" (data.sequence); there are left, right, kind");
    refuse("{'data': {'kind': 'sequence', 'paths': 'hole.tsv', 'sequence': ['left', 'right'], 'label': 'kind'}}", "line 2: an empty sequence");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(towers), cmocka_unit_test(formula), cmocka_unit_test(gradient),
                                       cmocka_unit_test(rows),   cmocka_unit_test(learns),  cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
