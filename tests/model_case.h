/* model_case.h - small models for the checks: a config in one line, weights, inputs. */
#ifndef TESTS_MODEL_CASE_H
#define TESTS_MODEL_CASE_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "model/model.h"

/* JSON with ' for ", so that it can be read in C. */
static json_t *json_of(const char *text) {
    char *t = kr_mem_strdup(text);
    json_t *j = NULL;
    assert_non_null(t);
    for (char *p = t; *p; p++)
        if (*p == '\'') *p = '"';
    if (kr_json_parse(&j, t, strlen(t), "test") != KR_OK) fail_msg("%s: %s", text, kr_error());
    kr_mem_free(t);
    return j;
}

/* A file of one folder into another. */
static inline void copy_file(const char *from, const char *to, const char *name) {
    char path[2048];
    void *data;
    size_t n;
    snprintf(path, sizeof path, "%s/%s", from, name);
    if (kr_file_read(&data, &n, path) != KR_OK) fail_msg("%s", kr_error());
    snprintf(path, sizeof path, "%s/%s", to, name);
    if (kr_file_write(path, data, n) != KR_OK) fail_msg("%s", kr_error());
    kr_mem_free(data);
}

/* A model with drawn weights; what starts as a constant gets noise, so that nothing hides. */
static kr_model *model_of(const char *config, uint64_t seed) {
    json_t *j = json_of(config);
    kr_model *m;
    if (kr_model_describe(&m, j, "test", KR_F32, NULL) != KR_OK) fail_msg("%s: %s", config, kr_error());
    json_decref(j);
    assert_int_equal(kr_params_alloc(m->params, true), KR_OK);
    kr_params_init(m->params, seed);
    for (kr_param *p = m->params->first; p; p = p->next) {
        kr_rng r = {seed + 1, kr_rng_stream(p->name), 0};
        float *x = p->data;
        for (int64_t i = 0; i < kr_param_count(p); i++) x[i] += (float)(0.2 * kr_rng_normal(&r));
    }
    return m;
}

static kr_graph *graph_of(kr_model *m, kr_model_graph_options o) {
    kr_graph *g;
    if (!o.n_threads) o.n_threads = 1;
    if (kr_model_graph(m, &o, &g) != KR_OK || kr_graph_alloc(g) != KR_OK) fail_msg("%s", kr_error());
    return g;
}

/* Inputs that depend on nothing but the seed.  One target in eight is not scored. */
static void fill_inputs(const kr_model *m, kr_graph *g, int64_t S, int64_t L, uint64_t seed) {
    static const char *const real[] = {"x", "y", "time"};
    kr_rng r = {seed, 77, 0};
    int32_t *ids = kr_graph_data(g, "ids"), *targets = kr_graph_data(g, "targets");
    for (int64_t i = 0; i < S * L; i++) {
        int32_t a = (int32_t)kr_rng_below(&r, m->config.vocab_size), b = (int32_t)kr_rng_below(&r, m->config.vocab_size);
        if (ids) ids[i] = a;
        if (targets) targets[i] = kr_rng_below(&r, 8) ? b : -1;
    }
    for (int k = 0; k < 3; k++) {
        kr_node *n = kr_graph_find(g, real[k]);
        if (!n) continue;
        kr_tensor t = kr_node_tensor(n);
        for (int64_t i = 0; i < kr_count(&t); i++) ((float *)t.data)[i] = (float)kr_rng_normal(&r);
    }
    for (int k = 0; k < 2; k++) { /* some edges are none */
        kr_node *n = kr_graph_find(g, k ? "edge_to" : "edge_from");
        kr_tensor t = n ? kr_node_tensor(n) : (kr_tensor){0};
        for (int64_t i = 0; n && i < kr_count(&t); i++) ((int32_t *)t.data)[i] = (int32_t)kr_rng_below(&r, L + 1) - 1;
    }
    for (int64_t i = 0; i < m->config.n_residual; i++) { /* orders of nodes: all steps from one of them on, and round */
        char name[40];
        snprintf(name, sizeof name, "tie.%lld", (long long)i);
        kr_node *n = kr_graph_find(g, name);
        kr_tensor t = n ? kr_node_tensor(n) : (kr_tensor){0};
        for (int64_t k = 0; n && k < kr_count(&t); k += L)
            for (int64_t l = 0, from = kr_rng_below(&r, L); l < L; l++) ((int32_t *)t.data)[k + l] = (int32_t)((from + l) % L);
    }
    int32_t *class = kr_graph_data(g, "class"); /* of at least two, and none now and then */
    for (int64_t s = 0; class && s < S; s++) class[s] = (int32_t)((s + (int64_t)seed) % 3) - 1;
    for (int64_t n = 0; n < 2 * m->config.n_residual; n++) {
        char name[40];
        int64_t i = n / 2;
        snprintf(name, sizeof name, n % 2 ? "shuffle_key.%lld" : "dropout_key.%lld", (long long)i);
        int32_t *key = kr_graph_data(g, name);
        for (int k = 0; key && k < 4; k++) key[k] = (int32_t)(seed * 4 + (uint64_t)k + 31 * (uint64_t)i);
    }
}

/* All gradients one after another; kr_mem_free them. */
static float *copy_gradients(const kr_params *p) {
    float *all = kr_mem_array((size_t)p->n_elements, sizeof *all), *to = all;
    assert_non_null(all);
    for (const kr_param *q = p->first; q; to += kr_param_count(q), q = q->next) memcpy(to, q->grad, (size_t)kr_param_count(q) * sizeof *to);
    return all;
}

/* The largest difference over the largest value. */
static double difference(const float *a, const float *b, int64_t n) {
    double d = 0, scale = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double e = fabs((double)a[i] - b[i]);
        d = e <= d ? d : e; /* NaN goes through */
        scale = fmax(scale, fabs((double)b[i]));
    }
    return d / scale;
}

/* A new empty folder; its path is valid until the next call but three. */
static const char *new_folder(void) {
    static char path[4][64];
    static int n;
    char *p = path[n++ % 4];
    snprintf(p, 64, "%s/krait-check-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* where a sync costs nothing */
    if (!mkdtemp(p)) fail_msg("mkdtemp failed");
    return p;
}

static char whole_norm[64]; /* hf_folder's */
static void remove_whole_norm(void) { kr_dir_remove(whole_norm); }

/* A model of KRAIT_SHARED/fixtures/hf.  mamba2_groups was computed by transformers 5.17, which normalised all groups
 * together; 5.23 takes them one by one and so do we (tests/data/mamba2_groups), so a copy says how it was meant. */
static inline const char *hf_folder(const char *name) {
    static const char *const files[] = {"model.safetensors", "expected.safetensors", "expected_grads.safetensors", "config.json"};
    static char path[1024];
    const char *shared = getenv("KRAIT_SHARED");
    if (strcmp(name, "mamba2_groups") == 0 && *whole_norm) return whole_norm;
    snprintf(path, sizeof path, "%s/fixtures/hf/%s", shared ? shared : KRAIT_SOURCE_DIR "/../shared", name);
    if (strcmp(name, "mamba2_groups") != 0 || !kr_dir_exists(path)) return path;
    strcpy(whole_norm, new_folder());
    atexit(remove_whole_norm);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) copy_file(path, whole_norm, files[i]);
    snprintf(path, sizeof path, "%s/config.json", whole_norm);
    json_t *j;
    if (kr_json_load(&j, path) != KR_OK) fail_msg("%s", kr_error());
    json_object_set_new(j, "group_norm", json_false());
    if (json_dump_file(j, path, 0)) fail_msg("cannot write %s", path);
    json_decref(j);
    return whole_norm;
}

static bool same_file(const char *a, const char *b) {
    void *x, *y = NULL;
    size_t n, m = 0;
    if (kr_file_read(&x, &n, a) != KR_OK || kr_file_read(&y, &m, b) != KR_OK) fail_msg("%s", kr_error());
    bool same = n == m && memcmp(x, y, n) == 0;
    kr_mem_free(x);
    kr_mem_free(y);
    return same;
}
#endif
