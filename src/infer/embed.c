/* embed.c - texts as vectors: hidden states, pooled.
 *
 * A text is read in pieces of 256 steps, and of half as many each for what is left, so the memory does not grow with it. */
#include <math.h>
#include <string.h>

#include "infer/reader.h"
#include "krait/infer.h"

enum { LONGEST = 256, N_GRAPHS = 9 };
struct kr_embedder {
    const kr_model *model;
    kr_graph *graph[N_GRAPHS]; /* of 256, 128, ... 1 steps; the first owns the states */
    double *sum;               /* [M] */
    bool (*stop)(void *user);
    void *user;
};

static kr_status open_embedder(kr_embedder *e, int n_threads) {
    const kr_config *c = &e->model->config;
    if (!c->causal || strcmp(c->encoder->name, "token") != 0)
        KR_FAIL(KR_ERR_ARG, "this model (encoder %s, order %s) does not go from token to token", c->encoder->name, c->order->name);
    if (e->model->params->device) KR_FAIL(KR_ERR_MISSING, "embeddings are made on a CPU only");
    for (int i = 0; i < N_GRAPHS; i++) {
        kr_model_graph_options o = {.mode = KR_MODEL_HIDDEN, .S = 1, .L = LONGEST >> i, .stateful = true, .n_threads = n_threads, .states_of = i ? e->graph[0] : NULL};
        KR_TRY(kr_model_graph((kr_model *)(uintptr_t)e->model, &o, &e->graph[i])); /* graphs look parameters up, and change none */
        KR_TRY(kr_graph_alloc(e->graph[i]));
    }
    return (e->sum = kr_mem_array((size_t)c->d_model, sizeof *e->sum)) ? KR_OK : KR_ERR_NOMEM;
}

kr_status kr_embedder_new(kr_embedder **out, const kr_model *m, int n_threads) {
    kr_embedder *e = kr_mem_new(sizeof *e);
    if (!e) return KR_ERR_NOMEM;
    e->model = m;
    kr_status st = open_embedder(e, n_threads);
    if (st != KR_OK) kr_embedder_free(e);
    else *out = e;
    return st;
}

void kr_embedder_free(kr_embedder *e) {
    if (!e) return;
    for (int i = N_GRAPHS - 1; i >= 0; i--) kr_graph_free(e->graph[i]);
    kr_mem_free(e->sum);
    kr_mem_free(e);
}

int64_t kr_embedder_width(const kr_embedder *e) { return e->model->config.d_model; }

void kr_embedder_set_stop(kr_embedder *e, bool (*stop)(void *user), void *user) { e->stop = stop, e->user = user; }

kr_status kr_embed(kr_embedder *e, const int32_t *tok, int64_t n, kr_pooling pooling, bool unit, float *out) {
    int64_t M = kr_embedder_width(e);
    double square = 0;
    if (n < 1) KR_FAIL(KR_ERR_ARG, "the text has no tokens");
    if (pooling != KR_POOLING_MEAN && pooling != KR_POOLING_LAST) KR_FAIL(KR_ERR_ARG, "there is no pooling %d", (int)pooling);
    KR_TRY(kr_check_tokens(e->model, tok, n));
    memset(e->sum, 0, (size_t)M * sizeof *e->sum);
    kr_graph_reset_states(e->graph[0], NULL);
    for (int64_t at = 0, piece; at < n; at += piece) {
        int i = 0;
        if (e->stop && e->stop(e->user)) KR_FAIL(KR_ERR_STOPPED, "the embedding was stopped after %lld of %lld tokens", (long long)at, (long long)n);
        while (LONGEST >> i > n - at) i++;
        piece = LONGEST >> i;
        memcpy(kr_graph_data(e->graph[i], "ids"), tok + at, (size_t)piece * sizeof *tok);
        kr_graph_run(e->graph[i], KR_RUN_FORWARD);
        KR_TRY(kr_graph_wait(e->graph[i]));
        const float *hidden = kr_graph_data(e->graph[i], "hidden");
        for (int64_t l = pooling == KR_POOLING_LAST ? piece - 1 : 0; l < piece; l++)
            for (int64_t k = 0; k < M; k++) e->sum[k] = (pooling == KR_POOLING_LAST ? 0 : e->sum[k]) + hidden[l * M + k];
    }
    for (int64_t k = 0; k < M; k++) square += e->sum[k] * e->sum[k];
    double scale = unit ? (square > 0 ? 1 / sqrt(square) : 0) : pooling == KR_POOLING_MEAN ? 1.0 / (double)n : 1;
    for (int64_t k = 0; k < M; k++) out[k] = (float)(e->sum[k] * scale);
    return KR_OK;
}
