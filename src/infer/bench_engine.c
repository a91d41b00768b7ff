/* bench_engine.c - how fast the engine writes for several at once, and what a known prompt saves. */
#include <math.h>

#include "base/timing.h"
#include "infer/engine.h"
#include "krait/bench.h"
#include "model/bench_model.h"

enum { WRITTEN = 48, SHORT = 16, MOST = 64 };

typedef struct load { kr_engine *e; const kr_model *m; int32_t *tok; int64_t n; kr_logit_bias never_ends; } load;

static void draw(load *l, uint64_t seed) {
    kr_rng r = {seed, kr_rng_stream("bench"), 0};
    for (int64_t i = 0; i < l->n; i++) l->tok[i] = (int32_t)kr_rng_below(&r, l->m->config.vocab_size);
}

static kr_status submit(load *l, int64_t n_prompt, int64_t max_tok, kr_request **r) {
    kr_request_options o = {.prompt = l->tok, .n_prompt = n_prompt, .max_tok = max_tok};
    if (l->m->config.eos_token_id >= 0) o.sampler.bias = &l->never_ends, o.sampler.n_bias = 1;
    return kr_engine_submit(l->e, &o, r);
}

static kr_status finish(kr_request *r) {
    kr_event ev;
    while (kr_request_next(r, &ev, -1) && ev.finish == KR_GOES_ON) {}
    return ev.finish == KR_FINISH_LENGTH ? KR_OK : kr_fail(KR_ERR_STOPPED, "a request of the bench ended early: %s", kr_request_error(r));
}

/* From when all have their first token until the first of them is done. */
static kr_status write_together(load *l, int n, double *per_s) {
    kr_request *r[MOST] = {0};
    kr_status st = KR_OK;
    double start = 0;
    for (int i = 0; i < n && st == KR_OK; i++) st = submit(l, SHORT, WRITTEN, &r[i]);
    for (int i = 0; i < n && st == KR_OK; i++) {
        kr_event ev;
        kr_request_next(r[i], &ev, -1);
    }
    kr_engine_stats a, b;
    start = kr_now();
    kr_engine_get_stats(l->e, &a);
    for (int i = 0; i < n && st == KR_OK; i++) st = finish(r[i]);
    kr_engine_get_stats(l->e, &b);
    *per_s = (double)(b.n_written - a.n_written) / (kr_now() - start);
    for (int i = 0; i < n; i++) kr_request_free(r[i]);
    return st;
}

static kr_status first_token(load *l, int64_t n_prompt, double *seconds, int64_t *cached) {
    kr_request *r;
    kr_request_usage u;
    KR_TRY(submit(l, n_prompt, 1, &r));
    kr_status st = finish(r);
    kr_request_get_usage(r, &u);
    kr_request_free(r);
    *seconds = u.first_s;
    *cached = u.n_cached;
    return st;
}

static kr_status bench(load *l, kr_bench_engine_result *out, const kr_bench_options *o) {
    for (int run = 0; run < o->runs; run++) {
        double t;
        int64_t cached;
        draw(l, (uint64_t)run);
        KR_TRY(first_token(l, l->n, &t, &cached));
        out->cold_s = fmin(out->cold_s, t);
        KR_TRY(first_token(l, l->n, &t, &cached));
        if (cached == l->n) out->hit_s = fmin(out->hit_s, t);
        l->tok[l->n - 1] = (l->tok[l->n - 1] + 1) % (int32_t)l->m->config.vocab_size; /* all but the last token are known */
        KR_TRY(first_token(l, l->n, &t, &out->shared_cached));
        out->shared_s = fmin(out->shared_s, t);
        for (int k = 0; k < KR_BENCH_STREAMS; k++) {
            KR_TRY(write_together(l, kr_bench_streams[k], &t));
            out->tok_per_s[k] = fmax(out->tok_per_s[k], t);
        }
    }
    kr_engine_stats s;
    kr_engine_get_stats(l->e, &s);
    out->state_bytes = s.state_bytes;
    return KR_OK;
}

/* --- drafts ------------------------------------------------------------------------------------------------- */

enum { CHOICES = 16, DRAFTED = 256 };

static kr_status write_one(load *l, int text, int64_t n_draft, double *per_s, kr_engine_stats *spent) {
    kr_logit_bias only[CHOICES];
    kr_request *r;
    kr_request_usage u;
    kr_engine_stats a;
    for (int i = 0; i < CHOICES; i++) only[i] = (kr_logit_bias){1 + i, 1e4f};
    kr_request_options o = {.prompt = l->tok, .n_prompt = SHORT, .max_tok = DRAFTED, .n_draft = n_draft,
                            .sampler = {.temperature = (float)text, .seed = 1, .bias = only, .n_bias = text ? CHOICES : 1}};
    kr_engine_get_stats(l->e, &a);
    KR_TRY(kr_engine_submit(l->e, &o, &r));
    kr_status st = finish(r);
    kr_engine_get_stats(l->e, spent);
    kr_request_get_usage(r, &u); /* its own clock: who waits here may be woken when all is written */
    *per_s = fmax(*per_s, (double)(u.n_written - 1) / (u.total_s - u.first_s));
    spent->n_guessed -= a.n_guessed, spent->n_accepted -= a.n_accepted, spent->n_written -= a.n_written;
    kr_request_free(r);
    return st;
}

static kr_status bench_drafts(load *l, kr_bench_drafts_result *out, const kr_bench_options *o) {
    kr_engine_stats spent;
    draw(l, 1);
    for (int run = 0; run < o->runs; run++)
        for (int text = 0; text < 2; text++) {
            KR_TRY(write_one(l, text, -1, &out->plain_tok_per_s[text], &spent));
            KR_TRY(write_one(l, text, 0, &out->tok_per_s[text], &spent));
            out->guessed[text] = spent.n_guessed, out->accepted[text] = spent.n_accepted, out->written = spent.n_written;
        }
    return KR_OK;
}

kr_status kr_bench_drafts(kr_bench_drafts_result *out, const char *path, const char *draft, int64_t n_draft, const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_model *m, *helper = NULL;
    int32_t tok[SHORT];
    o.woven = !o.mapped; /* as krait serve has them */
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    load l = {.m = m, .n = SHORT, .tok = tok};
    *out = (kr_bench_drafts_result){0};
    kr_status st = m->config.vocab_size > CHOICES ? KR_OK : kr_fail(KR_ERR_ARG, "%s: a vocabulary of %lld is too small for this bench", path, (long long)m->config.vocab_size);
    if (st == KR_OK && draft) st = kr_bench_model_open(&helper, draft, false, &o);
    kr_engine_options eo = {.n_slots = 1, .n_threads = o.n_threads, .n_draft = n_draft, .draft = helper};
    if (st == KR_OK) st = kr_engine_new(&l.e, m, &eo);
    if (st == KR_OK) st = bench_drafts(&l, out, &o);
    kr_engine_free(l.e);
    kr_model_release(helper);
    kr_model_release(m);
    return st;
}

const int kr_bench_streams[KR_BENCH_STREAMS] = {1, 4, 8};

kr_status kr_bench_engine(kr_bench_engine_result *out, const char *path, int64_t prompt_tok, const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_model *m;
    if (prompt_tok < SHORT) KR_FAIL(KR_ERR_ARG, "the prompt has %lld tokens, want at least %d", (long long)prompt_tok, SHORT);
    o.woven = !o.mapped; /* as krait serve has them */
    KR_TRY(kr_bench_model_open(&m, path, false, &o));
    load l = {.m = m, .n = prompt_tok, .never_ends = {(int32_t)m->config.eos_token_id, -INFINITY}};
    *out = (kr_bench_engine_result){.prompt_tok = prompt_tok, .cold_s = INFINITY, .hit_s = INFINITY, .shared_s = INFINITY};
    kr_status st = (l.tok = kr_mem_array((size_t)prompt_tok, sizeof *l.tok)) ? KR_OK : KR_ERR_NOMEM;
    kr_engine_options eo = {.n_slots = 8, .n_threads = o.n_threads, .state_dtype = o.state_dtype, .cache_bytes = (int64_t)2 << 30};
    if (st == KR_OK) st = kr_engine_new(&l.e, m, &eo);
    if (st == KR_OK) st = bench(&l, out, &o);
    kr_engine_free(l.e);
    kr_mem_free(l.tok);
    kr_model_release(m);
    return st;
}
