/* bench_infer.c - how fast a session reads a prompt and continues it. */
#include "infer/session.h"
#include "model/bench_model.h"

enum { DECODED = 64 }; /* tokens in one timed run */

typedef struct reader {
    kr_session *s;
    int32_t *tok;
    int64_t n;
} reader;

static void prefill(void *arg) {
    reader *r = arg;
    kr_session_feed(r->s, r->tok, r->n);
}

static void decode(void *arg) {
    reader *r = arg;
    for (int i = 0; i < DECODED; i++) {
        int32_t t = kr_session_sample(r->s);
        if (t < 0) t = 0; /* the end of the text is none for the clock */
        kr_session_feed(r->s, &t, 1);
    }
}

static int profile(reader *r, kr_graph *g, void (*work)(void *arg), int runs, kr_bench_part *part) {
    if (!g) return 0;
    kr_graph_set_profile(g, true);
    work(r);
    int n = kr_bench_profile(g, runs, part, KR_BENCH_PARTS);
    kr_graph_set_profile(g, false);
    return n;
}

static kr_status bench(reader *r, const kr_model *m, const kr_bench_options *o, kr_bench_infer_result *out) {
    kr_session_options so = {.n_threads = o->n_threads, .state_dtype = o->state_dtype};
    KR_TRY(kr_session_new(&r->s, m, &so));
    if (!(r->tok = kr_mem_array((size_t)r->n, sizeof *r->tok))) return KR_ERR_NOMEM;
    kr_rng rng = {1, kr_rng_stream("bench"), 0};
    for (int64_t i = 0; i < r->n; i++) r->tok[i] = (int32_t)kr_rng_below(&rng, m->config.vocab_size);
    out->state_bytes = kr_session_state_bytes(r->s);
    out->prefill = kr_time_work(prefill, r, o);
    out->decode = kr_time_work(decode, r, o);
    out->decode.best_s /= DECODED, out->decode.median_s /= DECODED;
    const kr_reader *graphs = &r->s->reader;
    int64_t longest = graphs->length[0];
    out->n_prefill = profile(r, graphs->graph[0], prefill, r->n / longest > 0 ? (int)(r->n / longest) : 1,
                             out->prefill_part);
    out->n_decode = profile(r, graphs->graph[graphs->n - 1], decode, DECODED, out->decode_part);
    return KR_OK;
}

kr_status kr_bench_infer(kr_bench_infer_result *out, const char *path, int64_t prompt_tok,
                         const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_model *m;
    reader r = {.n = prompt_tok};
    if (prompt_tok < 1) KR_FAIL(KR_ERR_ARG, "the prompt has %lld tokens, want at least one", (long long)prompt_tok);
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    *out = (kr_bench_infer_result){.prompt_tok = prompt_tok, .n_params = m->params->n_elements};
    kr_status st = bench(&r, m, &o, out);
    kr_session_free(r.s);
    kr_mem_free(r.tok);
    kr_model_release(m);
    return st;
}

static void step(void *arg) {
    kr_graph *g = arg;
    kr_graph_run(g, KR_RUN_FORWARD);
    kr_graph_wait(g);
}

kr_status kr_bench_decode(kr_bench_decode_result *out, const char *path, int64_t S, const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_model *m;
    kr_graph *g = NULL;
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    kr_model_graph_options go = {.mode = KR_MODEL_LAST, .S = S, .L = 1, .stateful = true, .n_threads = o.n_threads};
    kr_status st = kr_state_dtype(&go.state_dtype, o.state_dtype, m);
    if (st == KR_OK) st = m->config.causal ? kr_model_graph(m, &go, &g) : kr_fail(KR_ERR_ARG, "%s: the model does not go step by step", path);
    if (st == KR_OK) st = kr_graph_alloc(g);
    if (st == KR_OK) {
        kr_bench_fill_inputs(g, m->config.vocab_size);
        out->step = kr_time_work(step, g, &o);
        kr_graph_set_profile(g, true);
        for (int i = 0; i < DECODED; i++) step(g);
        out->n_parts = kr_bench_profile(g, DECODED, out->part, KR_BENCH_PARTS);
        st = kr_graph_wait(g);
    }
    kr_graph_free(g);
    kr_model_release(m);
    return st;
}
