/* check_strands.c - a model that reads both strands of DNA (encoder.complement: Caduceus).
 *
 *   either       what is said of a sequence and of its reverse complement is the same, to the bit: classes, numbers, and
 *                of each letter the scores of the complement's complement
 *   plain        a class' scores are the mean of what the same model says of each strand alone
 *   training     gradients against differences; the same bits with several threads
 *   refusals     what cannot be, in words */
#include "gradient_case.h"

enum { S = 3, L = 9, V = 7 };
static const int32_t complement[V] = {0, 1, 2, 6, 5, 4, 3};
#define BOTH "'encoder': {'type': 'token', 'complement': '0 1 2 6 5 4 3', 'lengths': true}"
#define MODEL(encoder, rest) "{'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'vocab_size': 7, 'norm_eps': 1e-3, " encoder ", " rest "}"
#define MAMBA "'mixer': {'type': 'mamba1', 'dt_min': 0.1, 'dt_max': 1, 'd_state': 3}"
#define CLASS(pool) "'head': {'type': 'class', 'n_classes': 3, 'lengths': true, 'pool': '" pool "'}"
#define REGRESS "'head': {'type': 'regress', 'width': 2, 'lengths': true}"

static const struct { const char *name, *rest; } stacks[] = {
    {"letters, to and fro", MAMBA ", 'order': {'type': 'bidirectional', 'share': true}"},
    {"letters, causal, a table of the head's own", "'mixer': {'type': 'mamba2', 'headdim': 4, 'd_state': 5}, 'tie_embeddings': false"},
    {"a class, BiMamba with shared products", "'mixer': {'type': 'ss2d', 'path': 'bidirectional', 'conv': 'path', 'd_conv': 4, 'norm': 'none', 'dt_min': 0.1, 'dt_max': 1, 'd_state': 3}, " CLASS("mean")},
    {"a class, the last step", MAMBA ", " CLASS("last")},
    {"answers", MAMBA ", 'head': {'type': 'class', 'answers': 2, 'n_classes': 2, 'width': 4, 'lengths': true}"},
    {"numbers, attention", "'mixer': {'type': 'attention', 'n_head': 2}, 'layers': ['mixer+mlp'], 'mixers': {'mlp': {'d_ff': 5}}, " REGRESS},
};
enum { N_STACKS = sizeof stacks / sizeof *stacks };

/* Rows of letters, or their other strands; the second ends early. */
static void fill(kr_graph *g, uint64_t seed, bool other) {
    kr_rng r = {seed, 5, 0};
    int32_t *ids = kr_graph_data(g, "ids"), *len = kr_graph_data(g, "len"), *targets = kr_graph_data(g, "targets");
    float *y = kr_graph_data(g, "y");
    for (int s = 0; s < S; s++) {
        int32_t row[L], n = s == 1 ? 4 : L;
        for (int l = 0; l < L; l++) row[l] = l < n ? (int32_t)kr_rng_below(&r, V) : 0;
        if (len) len[s] = n;
        for (int l = 0; l < L; l++) ids[s * L + l] = other && l < n ? complement[row[n - 1 - l]] : row[l];
    }
    const kr_node *t = kr_graph_find(g, "targets");
    for (int i = 0; targets && i < kr_node_dim(t, 0) * (kr_node_dims(t) > 1 ? kr_node_dim(t, 1) : 1); i++) targets[i] = (int32_t)kr_rng_below(&r, 2);
    for (int i = 0; y && i < 2 * S; i++) y[i] = (float)kr_rng_normal(&r);
}
static void fill_one(kr_graph *g, uint64_t seed) { fill(g, seed, false); }

static void config_of(int i, char *to, size_t size) {
    snprintf(to, size, MODEL(BOTH, "%s"), stacks[i].rest);
}

static void test_either(void **state) {
    (void)state;
    for (int i = 0; i < N_STACKS; i++) {
        char config[800];
        config_of(i, config, sizeof config);
        kr_model *m = model_of(config, 3);
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L});
        const char *said = strstr(config, "regress") ? "prediction" : "logits";
        const kr_node *node = kr_graph_find(g, said);
        kr_tensor t = kr_node_tensor(node);
        int64_t n = kr_count(&t);
        float *first = kr_mem_array((size_t)n, sizeof *first);
        fill(g, 4, false);
        kr_graph_run(g, KR_RUN_FORWARD);
        memcpy(first, kr_graph_data(g, said), (size_t)n * sizeof *first);
        fill(g, 4, true);
        kr_graph_run(g, KR_RUN_FORWARD);
        const float *second = kr_graph_data(g, said);
        assert_int_equal(kr_node_dim(node, 0), S);
        if (!strstr(config, "'head'")) {
            for (int64_t s = 0; s < S; s++)
                for (int64_t l = 0, len = s == 1 ? 4 : L; l < len; l++)
                    for (int64_t v = 0; v < V; v++)
                        if (first[(s * L + l) * V + v] != second[(s * L + len - 1 - l) * V + complement[v]]) fail_msg("%s: letter %d of step %d", stacks[i].name, (int)v, (int)l);
        } else if (memcmp(first, second, (size_t)n * sizeof *first) != 0) fail_msg("%s: the two strands are told different things", stacks[i].name);
        bool any = false;
        for (int64_t k = 1; k < n; k++) any = any || first[k] != first[0];
        assert_true(any);
        kr_mem_free(first);
        kr_graph_free(g);
        kr_model_release(m);
    }
}

/* The parameters are those of a model of one strand. */
static void test_plain(void **state) {
    (void)state;
    kr_model *both = model_of(MODEL(BOTH, MAMBA ", " CLASS("mean")), 3), *one = model_of(MODEL("'encoder': {'type': 'token'}", MAMBA ", " CLASS("mean")), 3);
    kr_graph *g = graph_of(both, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L}), *h = graph_of(one, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L});
    float mean[S * 3] = {0};
    assert_int_equal(both->params->n_elements, one->params->n_elements);
    for (int other = 0; other < 2; other++) {
        fill(h, 4, other);
        kr_graph_run(h, KR_RUN_FORWARD);
        for (int i = 0; i < S * 3; i++) mean[i] += 0.5f * ((float *)kr_graph_data(h, "logits"))[i];
    }
    fill(g, 4, false);
    kr_graph_run(g, KR_RUN_FORWARD);
    assert_true(difference(kr_graph_data(g, "logits"), mean, S * 3) < 1e-5);
    kr_graph_free(g), kr_graph_free(h);
    kr_model_release(both), kr_model_release(one);
}

static void test_training(void **state) {
    (void)state;
    for (int i = 0; i < N_STACKS; i++) {
        char config[800];
        config_of(i, config, sizeof config);
        kr_model *m = model_of(config, 3);
        check_training(stacks[i].name, m, S, L, fill_one);
        kr_model_release(m);
    }
}

static void refuse(const char *config, const char *says) {
    json_t *j = json_of(config);
    kr_model *m;
    assert_int_equal(kr_model_describe(&m, j, "test", KR_F32, NULL), KR_ERR_CONFIG);
    if (!strstr(kr_error(), says)) fail_msg("said: %s", kr_error());
    json_decref(j);
}
static void test_refusals(void **state) {
    (void)state;
    refuse(MODEL("'encoder': {'complement': '0 1 2'}", MAMBA), "want the complement of each of the 7 ids");
    refuse(MODEL("'encoder': {'complement': '0 1 2 6 5 4 3 7'}", MAMBA), "want the complement of each of the 7 ids");
    refuse(MODEL("'encoder': {'complement': '0 1 2 6 5 4 4'}", MAMBA), "whose complement it is in turn");
    refuse(MODEL("'encoder': {'complement': '0 1 2 6 5 4 -3'}", MAMBA), "want the complement");
    refuse(MODEL("'encoder': {'complement': '0 1 2 6 5 4 3', 'positions': 4}", MAMBA), "do not go step by step");
    refuse(MODEL("'encoder': {'complement': '0 1 2 6 5 4 3'}", MAMBA ", 'head': {'type': 'match'}"), "compares two sequences");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_either), cmocka_unit_test(test_plain), cmocka_unit_test(test_training), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
