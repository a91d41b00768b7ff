/* write.c - one step for all sequences that are being written, and how they end.
 *
 * They lie in the first rows, one behind the other, and the narrowest graph that holds them
 * runs; whoever ends leaves its row to the last. */
#include <stdio.h>
#include <string.h>

#include "base/timing.h"
#include "infer/engine.h"

static bool is_stop_token(const kr_request *r, int32_t tok) {
    for (int64_t i = 0; i < r->opt.n_stop_tok; i++)
        if (r->stop_tok[i] == tok) return true;
    return false;
}

static bool add_token(kr_request *r, int32_t tok) {
    if (r->n_tok == r->room) {
        int64_t room = r->room + (r->room < 256 ? 256 : r->room / 2);
        int32_t *more = kr_mem_resize(r->tok, (size_t)room * sizeof *more);
        if (!more) return false;
        r->tok = more;
        r->room = room;
    }
    r->tok[r->n_tok++] = tok;
    return true;
}

static void tell(kr_engine *e, kr_sequence *q, int32_t tok, const float *logits) {
    kr_request *r = q->req;
    kr_told t = {.tok = tok, .n_bytes = (int64_t)q->shown.n};
    if (r->opt.logprobs) {
        t.logprob = kr_logprob_of(logits, e->layout->V, tok);
        t.n_top = kr_logprobs_top(logits, e->layout->V, e->top, r->opt.n_top);
    }
    pthread_mutex_lock(&e->shared->lock);
    if (r->n_written++ == 0) r->at_first = kr_now();
    e->stats.n_written++;
    kr_request_tell(r, t, kr_str_text(&q->shown), e->top);
    pthread_mutex_unlock(&e->shared->lock);
}

static void fail_one(kr_engine *e, kr_sequence *q) {
    snprintf(q->req->error, sizeof q->req->error, "%s", kr_error());
    kr_engine_end(e, q, KR_FINISH_ERROR);
}

static void take_token(kr_engine *e, kr_sequence *q, int32_t tok, const float *logits) {
    kr_request *r = q->req;
    int64_t n = 0;
    const char *text = kr_token_text(e->model, tok, &n);
    kr_str_cut(&q->shown, 0);
    bool stop = kr_stops_put(&r->stops, text ? text : "", (size_t)n, &q->shown);
    if (!add_token(r, tok) || kr_str_status(&q->shown) != KR_OK || (r->opt.grammar && kr_grammar_take(r->opt.grammar, &q->place, e->model, tok) != KR_OK))
        return fail_one(e, q);
    kr_sampler_see(&q->sampler, tok, true);
    kr_ahead_take(q, tok);
    tell(e, q, tok, logits);
    if (stop) kr_engine_finish(e, q, KR_FINISH_STOP);
    else if (r->n_tok - r->opt.n_prompt >= r->opt.max_tok) kr_engine_finish(e, q, KR_FINISH_LENGTH);
}

/* --- ends ------------------------------------------------------------------------------------------- */

static int64_t row_of(const kr_engine *e, const kr_sequence *q) {
    for (int64_t i = 0; i < e->n_writing; i++)
        if (e->writing[i] == q) return i;
    return -1;
}

/* By its owner, or by the cache. */
static bool is_wanted(kr_request *r) { return r->opt.keep_state || atomic_load(&r->interrupted); }
static bool is_cached(const kr_engine *e, const kr_request *r) { return e->opt.reuse_replies && !r->opt.no_cache && !r->from && e->opt.cache_bytes > 0; }
static bool wants_state(const kr_engine *e, kr_request *r) { return is_wanted(r) || is_cached(e, r); }

/* A snapshot of the row, for the owner, the cache, or both. */
static void keep_state(kr_engine *e, kr_sequence *q, int64_t row, const float *logits) {
    kr_request *r = q->req;
    bool cached = is_cached(e, r), wanted = is_wanted(r);
    kr_snapshot *s;
    if (!wanted && !cached) return;
    if (kr_snapshot_new(&s, e->layout, true, wanted) != KR_OK) return;
    if (kr_graph_get_row(e->batch[0], row, s->states) != KR_OK) return kr_snapshot_free(s);
    s->n_tok = r->n_tok + (r->from ? r->from->n_tok : 0);
    s->seed = q->sampler.opt.seed;
    s->in_turn = r->opt.in_turn;
    if (r->stops.found && kr_snapshot_set_stop(s, r->stops.found, kr_str_text(&r->stops.beyond)) != KR_OK) return kr_snapshot_free(s);
    memcpy(s->logits, logits, (size_t)e->layout->V * sizeof *logits);
    if (s->memory) memcpy(s->memory, q->sampler.memory, kr_sampler_memory_bytes(e->layout->V));
    if (cached && kr_prefix_wants(&e->cache, r->tok, r->n_tok, r->n_tok, true, s->bytes)) {
        kr_snapshot *one = kr_snapshot_share(s);
        if (kr_prefix_add(&e->cache, r->tok, r->n_tok, r->n_tok, true, one) != KR_OK) kr_snapshot_free(one);
    }
    if (!wanted) return kr_snapshot_free(s);
    pthread_mutex_lock(&e->shared->lock);
    r->state = s;
    pthread_mutex_unlock(&e->shared->lock);
}

void kr_engine_end_reading(kr_engine *e, kr_sequence *q, const float *logits) {
    keep_state(e, q, row_of(e, q), logits);
    kr_engine_end(e, q, KR_FINISH_LENGTH);
}

/* The last token is read first where the state is to be kept. */
void kr_engine_finish(kr_engine *e, kr_sequence *q, kr_finish how) {
    q->finish = how;
    if (!q->closing && row_of(e, q) >= 0 && wants_state(e, q->req)) q->closing = true;
    else if (!q->closing) kr_engine_end(e, q, how);
}

/* Backwards, so that a row that is left is filled by one that is done.  Drawing is most of the
 * work and touches nothing that is shared, so it is done by all threads. */
void kr_engine_take_tokens(kr_engine *e, kr_sequence *const *all, const float *const *logits, int64_t n) {
    for (int64_t i = n - 1; i >= 0; i--) {
        kr_sequence *q = all[i];
        if (q->closing || !q->req->opt.grammar || kr_grammar_choices(q->req->opt.grammar, q->place, q->sampler.eos, q->allowed) == KR_OK) continue;
        fail_one(e, q); /* leaves q->req NULL */
    }
#pragma omp parallel for num_threads(e->threads) schedule(dynamic) if (n > 1)
    for (int64_t i = 0; i < n; i++) {
        kr_sequence *q = all[i];
        if (q->req && !q->closing) q->drawn = kr_sampler_draw(&q->sampler, logits[i], q->req->opt.grammar ? q->allowed : NULL);
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        kr_sequence *q = all[i];
        const float *mine = logits[i];
        if (!q->req) continue;
        q->ahead.hit = false;
        bool ends = !q->closing && (q->drawn < 0 || q->drawn == q->sampler.eos || is_stop_token(q->req, q->drawn));
        if (!ends && !q->closing) {
            take_token(e, q, q->drawn, mine);
            continue;
        }
        if (ends && wants_state(e, q->req) && !kr_ahead_settle(e, q, row_of(e, q))) { /* guesses were right, and are to be read again */
            q->finish = KR_FINISH_END;
            q->closing = true;
            continue;
        }
        keep_state(e, q, row_of(e, q), mine);
        kr_engine_end(e, q, ends ? KR_FINISH_END : q->finish);
    }
}

/* Out of its row, which the last one takes. */
static void leave_row(kr_engine *e, int64_t row) {
    int64_t last = --e->n_writing;
    if (row != last) {
        kr_status st = kr_graph_copy_row(e->batch[0], row, e->batch[0], last);
        if (st != KR_OK && e->broken == KR_OK) { /* run fails the rest */
            e->broken = st;
            snprintf(e->error, sizeof e->error, "%s", kr_error());
        }
        e->writing[row] = e->writing[last];
    }
}

void kr_engine_end(kr_engine *e, kr_sequence *q, kr_finish how) {
    int64_t row = row_of(e, q);
    if (row >= 0) leave_row(e, row);
    for (int64_t i = 0; i < e->n_reading; i++) {
        if (e->reading[i] != q) continue;
        memmove(e->reading + i, e->reading + i + 1, (size_t)(--e->n_reading - i) * sizeof *e->reading);
        break;
    }
    if (e->at_desk == q) e->at_desk = NULL;
    kr_str_cut(&q->shown, 0);
    if (how != KR_FINISH_STOP) kr_stops_flush(&q->req->stops, &q->shown);
    q->finish = how;
    kr_engine_release(e, q);
}

/* --- a step ------------------------------------------------------------------------------------------- */

/* First of the scores behind what is known; whose guess was right has more of them. */
kr_status kr_engine_write(kr_engine *e) {
    double start = kr_now();
    int64_t n = e->n_writing, guessed = 0, accepted = 0, V = e->layout->V;
    kr_sequence *all[KR_MAX_SLOTS], *left[KR_MAX_SLOTS];
    const float *logits, *scores[KR_MAX_SLOTS];
    KR_TRY(kr_ahead_run(e, &logits));
    memcpy(all, e->writing, (size_t)n * sizeof *all);
    memcpy(left, all, (size_t)n * sizeof *all);
    for (int64_t some = n, k; some > 0; some = k) {
        for (int64_t i = 0; i < some; i++) scores[i] = logits + left[i]->ahead.at[left[i]->ahead.first + left[i]->ahead.n_right] * V;
        kr_engine_take_tokens(e, left, scores, some);
        k = 0;
        for (int64_t i = 0; i < some; i++)
            if (kr_ahead_goes_on(left[i])) left[k++] = left[i];
    }
    for (int64_t i = 0; i < n; i++) {
        guessed += all[i]->ahead.n_guess, accepted += all[i]->ahead.n_right;
        kr_ahead_learn(all[i]);
    }
    pthread_mutex_lock(&e->shared->lock);
    double now = kr_now();
    e->stats.n_steps++;
    e->stats.n_guessed += guessed, e->stats.n_accepted += accepted;
    e->stats.write_s += now - start;
    if (e->last_step > 0 && now - e->last_step > e->stats.longest_stall_s) e->stats.longest_stall_s = now - e->last_step;
    e->last_step = e->n_writing ? now : 0;
    pthread_mutex_unlock(&e->shared->lock);
    return KR_OK;
}
