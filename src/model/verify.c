/* verify.c - a model folder against what another implementation computed from it. */
#include "krait/verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model/model.h"
#include "model/safetensors.h"

typedef struct run {
    kr_model *m;
    kr_st *want, *grads;
    void (*row)(void *user, const kr_verify_row *r);
    void *user;
    int n_failed;
} run;

static void report(run *r, const char *what, double error, double tolerance, const char *measure) {
    kr_verify_row row = {what, error, tolerance, measure, error <= tolerance}; /* NaN fails */
    r->n_failed += !row.passed;
    r->row(r->user, &row);
}

static kr_status read_ids(run *r, const char *name, int64_t *rows, int64_t *cols, int32_t **ids) {
    const kr_st_tensor *t = kr_st_find(r->want, name);
    if (!t || t->n_dims < 1 || t->n_dims > 2 || t->count < 1) KR_FAIL(KR_ERR_FORMAT, "expected.safetensors has no ids %s", name);
    *cols = t->dim[t->n_dims - 1];
    *rows = t->n_dims == 2 ? t->dim[0] : 1;
    if (!(*ids = kr_mem_array((size_t)t->count, sizeof **ids))) return KR_ERR_NOMEM;
    kr_status st = kr_st_read_part(t, 0, t->count, KR_I32, *ids);
    for (int64_t i = 0; i < t->count && st == KR_OK; i++)
        if ((*ids)[i] < 0 || (*ids)[i] >= r->m->config.vocab_size) st = kr_fail(KR_ERR_FORMAT, "expected.safetensors: %s holds the id %d, which the model has not", name, (*ids)[i]);
    if (st != KR_OK) kr_mem_free(*ids);
    return st;
}

static kr_status open_graph(run *r, kr_model_graph_options o, kr_graph **g) {
    KR_TRY(kr_model_graph(r->m, &o, g));
    kr_status st = kr_graph_alloc(*g);
    if (st != KR_OK) kr_graph_free(*g);
    return st;
}

static kr_status check_logits(run *r, int64_t S, int64_t L, const int32_t *ids) {
    kr_graph *g;
    int64_t V = r->m->config.vocab_size, n = S * L * V;
    const kr_st_tensor *t;
    KR_TRY(kr_st_want(&t, r->want, "logits", 3, KR_DIMS(S, L, V)));
    KR_TRY(open_graph(r, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L}, &g));
    memcpy(kr_graph_data(g, "ids"), ids, (size_t)(S * L) * sizeof *ids);
    kr_graph_run(g, KR_RUN_FORWARD);
    const float *got = kr_graph_data(g, "logits");
    double worst = 0;
    kr_status st = KR_OK;
    for (int64_t i = 0; i < n && st == KR_OK; i += V) {
        float want[1024];
        for (int64_t k = 0; k < V && st == KR_OK; k += 1024) {
            int64_t m = V - k < 1024 ? V - k : 1024;
            st = kr_st_read_part(t, i + k, m, KR_F32, want);
            for (int64_t j = 0; j < m && st == KR_OK; j++) {
                double e = fabs((double)got[i + k + j] - want[j]);
                worst = e <= worst ? worst : e; /* NaN goes through */
            }
        }
    }
    kr_graph_free(g);
    if (st == KR_OK) report(r, "logits", worst, 2e-4, "largest absolute");
    return st;
}

static kr_status check_gradient(run *r, const kr_param *p) {
    int64_t n = kr_param_count(p), dim[KR_MAX_DIMS] = {p->dim[0], 1, p->dim[1]};
    float *want = kr_mem_array((size_t)n, sizeof *want);
    char what[300];
    if (!want) return KR_ERR_NOMEM;
    kr_status st = kr_st_read_f32(r->grads, p->name, p->conv ? 3 : p->n_dims, p->conv ? dim : p->dim, want);
    double num = 0, den = 1e-30;
    for (int64_t i = 0; i < n && st == KR_OK; i++) {
        double d = (double)p->grad[i] - want[i];
        num += d * d;
        den += (double)want[i] * want[i];
    }
    kr_mem_free(want);
    KR_TRY(st);
    snprintf(what, sizeof what, "gradient of %s", p->name);
    report(r, what, sqrt(num / den), 1e-4, "relative RMS");
    return KR_OK;
}

/* The fixture's loss is the mean over all positions but the last of each row. */
static kr_status check_loss(run *r, int64_t S, int64_t L, const int32_t *ids) {
    kr_graph *g;
    float want;
    KR_TRY(kr_st_read_f32(r->want, "loss", 1, KR_DIMS(1), &want));
    KR_TRY(open_graph(r, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = L, .no_balance = true}, &g));
    memcpy(kr_graph_data(g, "ids"), ids, (size_t)(S * L) * sizeof *ids);
    int32_t *targets = kr_graph_data(g, "targets");
    for (int64_t i = 0; i < S * L; i++) targets[i] = i % L == L - 1 ? -1 : ids[i + 1];
    kr_params_zero_grad(r->m->params);
    kr_graph_run(g, KR_RUN_ALL);
    report(r, "loss", fabs((double)*(float *)kr_graph_data(g, "loss") - want), 2e-5, "largest absolute");
    kr_status st = kr_graph_wait(g);
    if (st == KR_OK) st = kr_params_fetch(r->m->params);
    for (const kr_param *p = r->m->params->first; p && r->grads && st == KR_OK; p = p->next) st = check_gradient(r, p);
    kr_graph_free(g);
    return st;
}

static int32_t argmax(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return (int32_t)best;
}

static kr_status check_continuation(run *r) {
    int64_t one, n_prompt, n_next, differ = 0, V = r->m->config.vocab_size;
    int32_t *prompt, *next;
    kr_graph *prefill = NULL, *step = NULL;
    KR_TRY(read_ids(r, "greedy_prompt", &one, &n_prompt, &prompt));
    kr_status st = read_ids(r, "greedy_continuation", &one, &n_next, &next);
    if (st != KR_OK) next = NULL;
    if (st == KR_OK) st = open_graph(r, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = 1, .L = n_prompt, .stateful = true}, &prefill);
    if (st == KR_OK) st = open_graph(r, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = 1, .L = 1, .stateful = true, .states_of = prefill}, &step);
    if (st == KR_OK) {
        memcpy(kr_graph_data(prefill, "ids"), prompt, (size_t)n_prompt * sizeof *prompt);
        kr_graph_run(prefill, KR_RUN_FORWARD);
        int32_t token = argmax(kr_graph_data(prefill, "logits"), V);
        for (int64_t i = 0; i < n_next; i++) {
            differ += token != next[i];
            *(int32_t *)kr_graph_data(step, "ids") = token;
            kr_graph_run(step, KR_RUN_FORWARD);
            token = argmax(kr_graph_data(step, "logits"), V);
        }
        report(r, "greedy continuation", (double)differ, 0, "tokens that differ");
    }
    kr_graph_free(step);
    kr_graph_free(prefill);
    kr_mem_free(prompt);
    kr_mem_free(next);
    return st;
}

/* What is expected of a file lies beside it. */
static kr_status folder_of(char dir[4096], const char *path) {
    const char *slash = strrchr(path, '/');
    if (kr_dir_exists(path)) return kr_path_join(dir, 4096, path, "");
    int n = slash ? (int)(slash - path) + 1 : 1;
    if (n >= 4096) KR_FAIL(KR_ERR_ARG, "the path is too long");
    snprintf(dir, 4096, "%.*s", n, slash ? path : ".");
    return KR_OK;
}

static kr_status verify(run *r, const char *model, const char *device) {
    char path[4096], dir[4096];
    int64_t S, L;
    int32_t *ids;
    KR_TRY(kr_model_load(&r->m, model, true, KR_F32, device));
    KR_TRY(folder_of(dir, model));
    KR_TRY(kr_path_join(path, sizeof path, dir, "expected.safetensors"));
    KR_TRY(kr_st_open(&r->want, path));
    KR_TRY(kr_path_join(path, sizeof path, dir, "expected_grads.safetensors"));
    if (kr_file_exists(path)) KR_TRY(kr_st_open(&r->grads, path));
    KR_TRY(read_ids(r, "input_ids", &S, &L, &ids));
    kr_status st = check_logits(r, S, L, ids);
    if (st == KR_OK) st = check_loss(r, S, L, ids);
    kr_mem_free(ids);
    return st == KR_OK ? check_continuation(r) : st;
}

kr_status kr_verify(const char *dir, const char *device, void (*row)(void *user, const kr_verify_row *r), void *user, int *n_failed) {
    run r = {.row = row, .user = user};
    kr_status st = verify(&r, dir, device);
    if (r.want) kr_st_close(r.want);
    if (r.grads) kr_st_close(r.grads);
    kr_model_release(r.m);
    *n_failed = r.n_failed;
    return st;
}
