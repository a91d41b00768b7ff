/* session.c - one sequence being read and continued.
 *
 * A prompt is read in pieces by graphs of falling length that share one set of states, so
 * memory is bounded for any prompt, and from then on each token costs the same. */
#include "infer/session.h"

#include <stdio.h>
#include <string.h>

static kr_status open_graphs(kr_session *s) {
    int64_t longest = s->opt.prefill_tok > 0 ? s->opt.prefill_tok : 256;
    s->length[0] = longest, s->length[1] = 16, s->length[2] = 1;
    for (int i = 0; i < KR_N_LENGTHS; i++) {
        if (i > 0 && s->length[i] >= s->length[i - 1]) continue; /* a short prefill needs fewer graphs */
        kr_model_graph_options o = {.mode = KR_MODEL_LAST, .S = 1, .L = s->length[i], .stateful = true, .n_threads = s->opt.n_threads, .state_dtype = s->state_dtype,
                                    .states_of = i ? s->graph[0] : NULL};
        KR_TRY(kr_model_graph(s->model, &o, &s->graph[i]));
        KR_TRY(kr_graph_alloc(s->graph[i]));
    }
    return KR_OK;
}

static kr_status open_session(kr_session *s) {
    const kr_config *c = &s->model->config;
    size_t V = (size_t)c->vocab_size;
    if (!c->causal || !c->head->causal || strcmp(c->encoder->name, "token") != 0)
        KR_FAIL(KR_ERR_ARG, "this model (encoder %s, order %s, head %s) does not go from token to token", c->encoder->name, c->order->name, c->head->name);
    KR_TRY(kr_state_dtype(&s->state_dtype, s->opt.state_dtype, s->model));
    KR_TRY(open_graphs(s));
    if (!(s->seen = kr_mem_new(V)) || !(s->choice = kr_mem_array(V, sizeof *s->choice))) return KR_ERR_NOMEM;
    kr_session_reset(s);
    return KR_OK;
}

kr_status kr_session_new(kr_session **out, const kr_model *m, const kr_session_options *opt) {
    kr_session *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    s->model = (kr_model *)m; /* graphs look parameters up, and change none */
    if (opt) s->opt = *opt;
    kr_status st = open_session(s);
    if (st != KR_OK) kr_session_free(s);
    else *out = s;
    return st;
}

void kr_session_free(kr_session *s) {
    if (!s) return;
    for (int i = KR_N_LENGTHS - 1; i >= 0; i--) kr_graph_free(s->graph[i]);
    kr_mem_free(s->seen);
    kr_mem_free(s->choice);
    kr_mem_free(s);
}

void kr_session_reset(kr_session *s) {
    kr_graph_reset_states(s->graph[0], NULL);
    memset(s->seen, 0, (size_t)s->model->config.vocab_size);
    s->rng = (kr_rng){s->opt.seed, kr_rng_stream("sample"), 0};
    s->logits = NULL;
    s->n_tok = 0;
}

kr_status kr_session_feed(kr_session *s, const int32_t *tok, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (tok[i] < 0 || tok[i] >= s->model->config.vocab_size)
            KR_FAIL(KR_ERR_ARG, "token %lld of the text is %d, want 0 to %lld", (long long)i, tok[i], (long long)s->model->config.vocab_size - 1);
    while (n > 0) {
        int k = 0;
        while (!s->graph[k] || s->length[k] > n) k++;
        memcpy(kr_graph_data(s->graph[k], "ids"), tok, (size_t)s->length[k] * sizeof *tok);
        kr_graph_run(s->graph[k], KR_RUN_FORWARD);
        KR_TRY(kr_graph_wait(s->graph[k]));
        s->logits = kr_graph_data(s->graph[k], "logits");
        for (int64_t i = 0; i < s->length[k]; i++) s->seen[tok[i]] = 1;
        s->n_tok += s->length[k];
        tok += s->length[k];
        n -= s->length[k];
    }
    return KR_OK;
}

int32_t kr_session_sample(kr_session *s) {
    if (!s->logits) return KR_END;
    int32_t t = kr_sample(s, s->logits, s->model->config.vocab_size);
    return t == s->model->config.eos_token_id ? KR_END : t;
}

const float *kr_session_logits(const kr_session *s) { return s->logits; }
int64_t kr_session_n_tok(const kr_session *s) { return s->n_tok; }

int64_t kr_session_state_bytes(const kr_session *s) { return (int64_t)kr_graph_get_memory(s->graph[0]).state; }
