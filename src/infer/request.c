/* request.c - what the owner of a request and the engine share. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/timing.h"
#include "infer/engine.h"

void kr_shared_leave(kr_shared *s) {
    if (!s || atomic_fetch_sub(&s->n_owners, 1) > 1) return;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->news);
    kr_mem_free(s);
}

static void free_request(kr_request *r) {
    kr_stops_close(&r->stops);
    kr_snapshot_free(r->from);
    kr_snapshot_free(r->state);
    kr_grammar_free(r->opt.grammar);
    kr_str_free(&r->text);
    kr_str_free(&r->given_text);
    void *const all[] = {r->tok, r->stop_tok, r->bias, r->breaker, r->told, r->top, r->given};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kr_mem_free(all[i]);
    kr_mem_free(r);
}

static kr_status copy(void *to, const void *from, int64_t n, size_t size) {
    void *p;
    if (n < 0 || n > ((int64_t)1 << 40)) KR_FAIL(KR_ERR_ARG, "a list of %lld", (long long)n);
    if (!(p = kr_mem_array((size_t)n + 1, size))) return KR_ERR_NOMEM;
    if (n) memcpy(p, from, (size_t)n * size);
    *(void **)to = p;
    return KR_OK;
}

static kr_status fill_request(kr_request *r, const kr_request_options *o, const kr_model *m) {
    r->opt = *o;
    if (o->grammar) kr_grammar_share(o->grammar);
    if (o->grammar && o->grammar->V != m->config.vocab_size) KR_FAIL(KR_ERR_ARG, "the grammar is for another model");
    r->sampler = o->sampler;
    if (r->opt.max_tok == 0) r->opt.max_tok = 256;
    if (o->only_read && o->n_prompt == 0) KR_FAIL(KR_ERR_ARG, "there is nothing to read");
    if (r->opt.max_tok < 0) KR_FAIL(KR_ERR_ARG, "max_tok is %lld", (long long)o->max_tok);
    if (o->n_top < 0 || o->n_top > KR_MAX_TOP) KR_FAIL(KR_ERR_ARG, "n_top is %lld, want 0 to %d", (long long)o->n_top, KR_MAX_TOP);
    if (o->n_prompt < 0 || (o->n_prompt == 0 && !(o->from && o->from->logits))) KR_FAIL(KR_ERR_ARG, "the prompt has no tokens");
    if (!o->logprobs) r->opt.n_top = 0;
    KR_TRY(kr_sampler_check(&o->sampler, m->config.vocab_size));
    KR_TRY(kr_check_tokens(m, o->prompt, o->n_prompt));
    KR_TRY(kr_check_tokens(m, o->stop_tok, o->n_stop_tok));
    KR_TRY(copy(&r->tok, o->prompt, o->n_prompt, sizeof *r->tok));
    KR_TRY(copy(&r->stop_tok, o->stop_tok, o->n_stop_tok, sizeof *r->stop_tok));
    KR_TRY(copy(&r->bias, o->sampler.bias, o->sampler.n_bias, sizeof *r->bias));
    KR_TRY(copy(&r->breaker, o->sampler.dry_breaker, o->sampler.n_dry_breaker, sizeof *r->breaker));
    KR_TRY(copy(&r->given, NULL, 0, (size_t)(r->opt.n_top + 1) * sizeof *r->given));
    KR_TRY(kr_stops_open(&r->stops, o->stop, o->n_stop));
    r->sampler.bias = r->bias, r->sampler.dry_breaker = r->breaker;
    r->n_tok = r->room = o->n_prompt;
    if (o->from) r->from = kr_snapshot_share((kr_snapshot *)o->from);
    r->opt.from = NULL, r->opt.prompt = r->opt.stop_tok = NULL, r->opt.stop = NULL;
    r->at_submit = kr_now();
    return KR_OK;
}

kr_status kr_request_new(kr_request **out, const kr_request_options *o, const kr_model *m) {
    kr_request *r = kr_mem_new(sizeof *r);
    if (!r) return KR_ERR_NOMEM;
    kr_status st = fill_request(r, o, m);
    if (st != KR_OK) free_request(r);
    else *out = r;
    return st;
}

void kr_request_drop(kr_request *r) {
    if (--r->n_owners > 0) return;
    kr_shared *s = r->shared;
    free_request(r);
    atomic_fetch_sub(&s->n_owners, 1); /* never the last: the caller holds its lock */
}

void kr_request_free(kr_request *r) {
    if (!r) return;
    kr_shared *s = r->shared;
    kr_request_cancel(r);
    atomic_fetch_add(&s->n_owners, 1);
    pthread_mutex_lock(&s->lock);
    r->opt.on_event = NULL;
    kr_request_drop(r);
    pthread_mutex_unlock(&s->lock);
    kr_shared_leave(s);
}

void kr_request_cancel(kr_request *r) {
    atomic_store(&r->cancelled, true);
    pthread_mutex_lock(&r->shared->lock);
    pthread_cond_signal(&r->shared->work);
    pthread_mutex_unlock(&r->shared->lock);
}

void kr_request_interrupt(kr_request *r) {
    atomic_store(&r->interrupted, true);
    kr_request_cancel(r);
}

/* --- events ---------------------------------------------------------------------------------- */

static bool make_room(kr_request *r) {
    if (r->next_told > 64 && r->next_told > r->n_told / 2) { /* what was asked for makes room */
        int64_t left = r->n_told - r->next_told, n = r->opt.n_top;
        memmove(r->told, r->told + r->next_told, (size_t)left * sizeof *r->told);
        if (n) memmove(r->top, r->top + r->next_told * n, (size_t)(left * n) * sizeof *r->top);
        r->n_told = left;
        r->next_told = 0;
    }
    if (r->text_at > 4096 && r->text_at > r->text.n / 2) {
        memmove(r->text.text, r->text.text + r->text_at, r->text.n - r->text_at);
        kr_str_cut(&r->text, r->text.n - r->text_at);
        r->text_at = 0;
    }
    if (r->n_told < r->room_told) return true;
    int64_t room = r->room_told ? 2 * r->room_told : 64;
    void *told = kr_mem_resize(r->told, (size_t)room * sizeof *r->told);
    if (!told) return false;
    r->told = told;
    void *top = r->opt.n_top ? kr_mem_resize(r->top, (size_t)(room * r->opt.n_top) * sizeof *r->top) : NULL;
    if (r->opt.n_top && !top) return false;
    r->top = top;
    r->room_told = room;
    return true;
}

void kr_request_tell(kr_request *r, kr_told what, const char *text, const kr_logprob *top) {
    if (!make_room(r)) {
        r->lost = true;
    } else {
        kr_str_append_n(&r->text, text, (size_t)what.n_bytes);
        if (kr_str_status(&r->text) != KR_OK) r->lost = true, what.n_bytes = 0;
        if (what.n_top) memcpy(r->top + r->n_told * r->opt.n_top, top, (size_t)what.n_top * sizeof *top);
        r->told[r->n_told++] = what;
    }
    pthread_cond_broadcast(&r->shared->news);
    if (r->opt.on_event) r->opt.on_event(r->opt.user);
}

static void take(kr_request *r, kr_event *out) {
    const kr_told *t = &r->told[r->next_told];
    kr_str_cut(&r->given_text, 0);
    kr_str_append_n(&r->given_text, kr_str_text(&r->text) + r->text_at, (size_t)t->n_bytes);
    if (t->n_top) memcpy(r->given, r->top + r->next_told * r->opt.n_top, (size_t)t->n_top * sizeof *r->given);
    *out = (kr_event){.finish = t->finish, .tok = t->tok, .text = kr_str_text(&r->given_text), .n_bytes = (int64_t)r->given_text.n,
                      .logprob = t->logprob, .top = r->given, .n_top = t->n_top};
    r->text_at += (size_t)t->n_bytes;
    r->next_told++;
}

struct timespec kr_deadline(double timeout_s) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (!(timeout_s > 0)) return until;
    double whole = floor(fmin(timeout_s, 1e9)), part = timeout_s - whole;
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)(fmin(part, 0.999999999) * 1e9);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    return until;
}

bool kr_request_next(kr_request *r, kr_event *out, double timeout_s) {
    struct timespec until = kr_deadline(timeout_s);
    bool got = true;
    pthread_mutex_lock(&r->shared->lock);
    while (got && r->next_told == r->n_told && !r->ended) {
        if (timeout_s < 0) pthread_cond_wait(&r->shared->news, &r->shared->lock);
        else got = pthread_cond_timedwait(&r->shared->news, &r->shared->lock, &until) != ETIMEDOUT;
    }
    got = r->next_told < r->n_told;
    if (got) {
        take(r, out);
    } else if (r->ended && r->lost) { /* the last event was lost */
        *out = (kr_event){.finish = KR_FINISH_ERROR, .tok = -1, .text = ""};
        r->lost = false;
        got = true;
    }
    pthread_mutex_unlock(&r->shared->lock);
    return got;
}

const char *kr_request_error(const kr_request *r) { return r->error; }

void kr_request_get_usage(const kr_request *r, kr_request_usage *out) {
    double now = kr_now();
    pthread_mutex_lock(&r->shared->lock);
    double end = r->at_end > 0 ? r->at_end : now;
    *out = (kr_request_usage){.n_prompt = r->opt.n_prompt, .n_cached = r->n_cached, .n_written = r->n_written,
                              .wait_s = (r->at_start > 0 ? r->at_start : end) - r->at_submit,
                              .first_s = (r->at_first > 0 ? r->at_first : end) - r->at_submit, .total_s = end - r->at_submit};
    pthread_mutex_unlock(&r->shared->lock);
}

kr_status kr_request_state(const kr_request *r, kr_snapshot **out) {
    pthread_mutex_lock(&r->shared->lock);
    kr_snapshot *s = r->ended && r->state ? kr_snapshot_share(r->state) : NULL;
    pthread_mutex_unlock(&r->shared->lock);
    if (!s) KR_FAIL(KR_ERR_MISSING, "the request has not ended or kept no state");
    *out = s;
    return KR_OK;
}
