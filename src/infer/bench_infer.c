/* bench_infer.c - how fast a session reads a prompt and continues it. */
#include <string.h>

#include "infer/session.h"
#include "model/bench_call.h"
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

static kr_status draw_prompt(reader *r, const kr_model *m) {
    if (!(r->tok = kr_mem_array((size_t)r->n, sizeof *r->tok))) return KR_ERR_NOMEM;
    kr_rng rng = {1, kr_rng_stream("bench"), 0};
    for (int64_t i = 0; i < r->n; i++) r->tok[i] = (int32_t)kr_rng_below(&rng, m->config.vocab_size);
    return KR_OK;
}

static kr_status bench(reader *r, const kr_model *m, const kr_bench_options *o, kr_bench_infer_result *out) {
    kr_session_options so = {.n_threads = o->n_threads, .state_dtype = o->state_dtype};
    KR_TRY(kr_session_new(&r->s, m, &so));
    KR_TRY(draw_prompt(r, m));
    out->state_bytes = kr_session_state_bytes(r->s);
    out->prefill = kr_time_work(prefill, r, o);
    out->decode = kr_time_work(decode, r, o);
    out->decode.best_s /= DECODED, out->decode.median_s /= DECODED;
    const kr_reader *graphs = &r->s->reader;
    int longest = 0;
    while (!graphs->graph[longest]) longest++; /* of those that were needed */
    int64_t times = r->n / graphs->length[longest];
    out->n_prefill = profile(r, graphs->graph[longest], prefill, times > 0 ? (int)times : 1, out->prefill_part);
    out->n_decode = profile(r, graphs->home, decode, DECODED, out->decode_part);
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

/* All weights but a table of tokens that is not the head: of that a step reads a row. */
static int64_t read_each_step(const kr_model *m) {
    int64_t sum = 0;
    for (const kr_param *p = m->params->first; p; p = p->next)
        if (m->config.tie_embeddings || !strstr(p->name, "embeddings"))
            sum += (int64_t)kr_dtype_row_bytes(p->dtype, kr_param_count(p));
    return sum;
}

/* Flops of the products in one run of the graph. */
static double product_flops(kr_graph *g) {
    kr_profile_row rows[KR_BENCH_PARTS];
    double sum = 0;
    kr_graph_set_profile(g, true);
    kr_graph_run(g, KR_RUN_FORWARD);
    int n = kr_graph_get_profile(g, rows, KR_BENCH_PARTS);
    kr_graph_set_profile(g, false);
    for (int i = 0; i < n; i++)
        if (strcmp(rows[i].op, "linear") == 0) sum += rows[i].flops;
    return sum;
}

static kr_status bench_prefill(reader *r, const kr_model *m, const kr_bench_options *o, kr_bench_prefill_result *out) {
    kr_session_options so = {.n_threads = o->n_threads};
    double after;
    KR_TRY(kr_session_new(&r->s, m, &so));
    KR_TRY(draw_prompt(r, m));
    out->weight_bytes = (int64_t)kr_params_bytes(m->params);
    KR_TRY(kr_bench_gemm_roof(o, &out->gemm_flops));
    out->prefill = kr_time_work(prefill, r, o);
    KR_TRY(kr_bench_gemm_roof(o, &after));
    if (after > out->gemm_flops) out->gemm_flops = after;
    const kr_reader *graphs = &r->s->reader;
    for (int64_t left = r->n, i = 0; i < graphs->n; left %= graphs->length[i], i++)
        if (left >= graphs->length[i]) out->flops += (double)(left / graphs->length[i]) * product_flops(graphs->graph[i]);
    return KR_OK;
}

kr_status kr_bench_prefill(kr_bench_prefill_result *out, const char *path, int64_t prompt_tok,
                           const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_model *m;
    reader r = {.n = prompt_tok};
    if (prompt_tok < 1) KR_FAIL(KR_ERR_ARG, "the prompt has %lld tokens, want at least one", (long long)prompt_tok);
    if (o.device && strcmp(o.device, "cpu") != 0) KR_FAIL(KR_ERR_ARG, "the bench of prompts is for a CPU, not for %s", o.device);
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    *out = (kr_bench_prefill_result){0};
    kr_status st = bench_prefill(&r, m, &o, out);
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
    o.woven |= S > 1 && !o.mapped;
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    kr_model_graph_options go = {.mode = KR_MODEL_LAST, .S = S, .L = 1, .stateful = true, .n_threads = o.n_threads};
    kr_status st = kr_state_dtype(&go.state_dtype, o.state_dtype, m);
    if (st == KR_OK) st = m->config.causal ? kr_model_graph(m, &go, &g) : kr_fail(KR_ERR_ARG, "%s: the model does not go step by step", path);
    if (st == KR_OK) st = kr_graph_alloc(g);
    if (st == KR_OK) {
        kr_bench_fill_inputs(g, m->config.vocab_size);
        double after = 0;
        out->state_bytes = (int64_t)kr_graph_get_memory(g).state;
        out->weight_bytes = read_each_step(m);
        if (!m->params->device) st = kr_bench_read_roof((size_t)out->weight_bytes, &o, &out->read_bytes);
        out->step = kr_time_work(step, g, &o);
        if (!m->params->device && st == KR_OK) st = kr_bench_read_roof((size_t)out->weight_bytes, &o, &after);
        if (after > out->read_bytes) out->read_bytes = after;
        kr_graph_set_profile(g, true);
        for (int i = 0; i < DECODED; i++) step(g);
        out->n_parts = kr_bench_profile(g, DECODED, out->part, KR_BENCH_PARTS);
        if (st == KR_OK) st = kr_graph_wait(g);
    }
    kr_graph_free(g);
    kr_model_release(m);
    return st;
}
