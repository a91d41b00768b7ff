/* eval.c - how well a model predicts a text: windows with carried state. */
#include <math.h>
#include <string.h>

#include "base/timing.h"
#include "infer/session.h"

/* Window i predicts tok[i L + 1 ... ]; past the end nothing is scored. */
static kr_status run_window(kr_graph *g, const int32_t *tok, int64_t n, int64_t at, int64_t L, double *nll) {
    int32_t *ids = kr_graph_data(g, "ids"), *targets = kr_graph_data(g, "targets");
    for (int64_t i = 0; i < L; i++) {
        ids[i] = at + i < n ? tok[at + i] : 0;
        targets[i] = at + i + 1 < n ? tok[at + i + 1] : -1;
    }
    kr_graph_run(g, KR_RUN_FORWARD);
    KR_TRY(kr_graph_wait(g));
    const float *each = kr_graph_data(g, "nll");
    for (int64_t i = 0; i < L && at + i + 1 < n; i++) *nll += each[i];
    return KR_OK;
}

kr_status kr_eval_text(const kr_model *m, const char *text, int64_t n_bytes, int64_t L, kr_eval_result *out) {
    int64_t n = kr_encode(m, text, n_bytes, NULL, 0);
    kr_graph *g;
    if (n < 0) return (kr_status)n;
    if (n < 2) KR_FAIL(KR_ERR_ARG, "the text has %lld tokens, want at least 2 to score one", (long long)n);
    int32_t *tok = kr_mem_array((size_t)n, sizeof *tok);
    if (!tok) return KR_ERR_NOMEM;
    kr_encode(m, text, n_bytes, tok, n);
    kr_model_graph_options o = {.mode = KR_MODEL_LOSS, .S = 1, .L = L < n ? L : n, .stateful = m->config.causal};
    kr_status st = kr_check_tokens(m, tok, n); /* one that the model has not would count as foreseen */
    if (st == KR_OK) st = kr_model_graph((kr_model *)m, &o, &g);
    if (st == KR_OK && (st = kr_graph_alloc(g)) != KR_OK) kr_graph_free(g);
    if (st == KR_OK) {
        double nll = 0, t0 = kr_now();
        int64_t first = 1; /* bytes of the token that nothing predicts */
        kr_token_text(m, tok[0], &first);
        for (int64_t at = 0; at + 1 < n && st == KR_OK; at += o.L) st = run_window(g, tok, n, at, o.L, &nll);
        double loss = nll / (double)(n - 1);
        *out = (kr_eval_result){.n_tok = n - 1, .n_bytes = (n_bytes < 0 ? (int64_t)strlen(text) : n_bytes) - first, .loss = loss, .perplexity = exp(loss), .seconds = kr_now() - t0};
        out->bits_per_byte = nll / log(2) / (double)out->n_bytes;
        kr_graph_free(g);
    }
    kr_mem_free(tok);
    return st;
}
