/* reader.c - reading in pieces, in memory that does not grow. */
#include "infer/reader.h"

#include <string.h>

static int64_t next_length(int64_t now) {
    int64_t n = 1;
    if (now > 256) return 256;
    while (2 * n < now) n *= 2;
    return n;
}

static kr_status open_graph(kr_reader *r, int k) {
    kr_model_graph_options o = {.mode = KR_MODEL_LAST, .S = 1, .L = r->length[k], .stateful = true, .n_threads = r->n_threads,
                                .state_dtype = r->state_dtype, .states_of = r->home};
    kr_status st = kr_model_graph(r->model, &o, &r->graph[k]);
    if (st == KR_OK) st = kr_graph_alloc(r->graph[k]);
    kr_mem_trim(); /* what building a graph took and gave back is as much as the graph */
    if (st == KR_OK) return KR_OK;
    kr_graph_free(r->graph[k]);
    r->graph[k] = NULL;
    return st;
}

static kr_status open_home(kr_reader *r, int64_t longest) {
    for (int64_t L = longest;; L = next_length(L)) {
        KR_ASSERT(r->n < KR_N_LENGTHS);
        r->length[r->n++] = L;
        if (L == 1) break;
    }
    KR_TRY(open_graph(r, r->n - 1));
    r->home = r->graph[r->n - 1];
    return KR_OK;
}

kr_status kr_reader_open(kr_reader *r, const kr_model *m, int64_t longest, int n_threads, const char *state_dtype) {
    const kr_config *c = &m->config;
    *r = (kr_reader){.model = (kr_model *)m, .n_threads = n_threads}; /* graphs look parameters up, and change none */
    if (!c->causal || !c->head->causal || strcmp(c->encoder->name, "token") != 0)
        KR_FAIL(KR_ERR_ARG, "this model (encoder %s, order %s, head %s) does not go from token to token", c->encoder->name, c->order->name, c->head->name);
    kr_status st = kr_state_dtype(&r->state_dtype, state_dtype, m);
    if (st == KR_OK) st = open_home(r, longest);
    if (st != KR_OK) kr_reader_close(r);
    return st;
}

void kr_reader_close(kr_reader *r) {
    for (int i = 0; i < r->n; i++) kr_graph_free(r->graph[i]); /* home last */
    *r = (kr_reader){0};
}

static int graph_for(const kr_reader *r, int64_t n) {
    int k = 0;
    while (r->length[k] > n) k++;
    return k;
}

int64_t kr_reader_piece(const kr_reader *r, int64_t n) { return r->length[graph_for(r, n)]; }

/* One of them runs at a time, so only one needs memory. */
static void leave_others(kr_reader *r, int k) {
    for (int i = 0; i < r->n - 1 && k != r->last; i++)
        if (i != k && r->graph[i]) kr_graph_rest(r->graph[i]);
    r->last = k;
}

kr_status kr_reader_read(kr_reader *r, const int32_t *tok, int64_t piece, const float **logits) {
    int k = graph_for(r, piece);
    if (!r->graph[k]) KR_TRY(open_graph(r, k));
    leave_others(r, k);
    kr_graph *g = r->graph[k];
    memcpy(kr_graph_data(g, "ids"), tok, (size_t)piece * sizeof *tok);
    kr_graph_run(g, KR_RUN_FORWARD);
    KR_TRY(kr_graph_wait(g));
    *logits = kr_graph_data(g, "logits");
    return KR_OK;
}

/* The scans of Mamba-1 and S4D and a conv1d go step by step or in short blocks that 64 is a multiple of;
 * ssd in chunks, of 64 unless told otherwise.  tests/check_engine.c holds this against reading. */
static bool scan_cuts(const kr_residual *r, int64_t grain) {
    int64_t chunk = 64;
    if (r->part->pointwise) return true;
    if (strcmp(r->part->name, "mamba1") == 0 || strcmp(r->part->name, "s4d") == 0) return grain % 64 == 0;
    if (strcmp(r->part->name, "mamba2") != 0) return false;
    json_t *j = json_object();
    if (j && kr_keys_write(r->part->keys, r->opt, j, true) == KR_OK && json_integer_value(json_object_get(j, "chunk_size")) > 0)
        chunk = json_integer_value(json_object_get(j, "chunk_size"));
    json_decref(j);
    return grain % 64 == 0 && grain % chunk == 0;
}

bool kr_cuts_anywhere(const kr_model *m, int64_t grain) {
    const kr_config *c = &m->config;
    if (m->params->device) return false;
    for (int64_t i = 0; i < c->n_pattern; i++)
        for (int k = 0; k < c->pattern[i].n; k++)
            if (!scan_cuts(&c->pattern[i].part[k], grain)) return false;
    return true;
}

kr_status kr_check_tokens(const kr_model *m, const int32_t *tok, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (tok[i] < 0 || tok[i] >= m->config.vocab_size)
            KR_FAIL(KR_ERR_ARG, "token %lld of the text is %d, want 0 to %lld", (long long)i, tok[i], (long long)m->config.vocab_size - 1);
    return KR_OK;
}
