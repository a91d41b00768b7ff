/* draft.c - guessed tokens read together; see draft.h. */
#include "infer/draft.h"

#include <string.h>

#include "infer/session.h"

enum { MOST = KR_LONGEST_RUN };
const int64_t kr_run_length[KR_N_RUNS] = {MOST, 12, 8, 6, 5, 4, 3, 2};

/* States that may have read too much, and where they were before. */
typedef struct way_back {
    kr_graph *now, *before;    /* before: a graph for its states alone */
    bool strayed;              /* now has read guesses */
    int32_t since[MOST];       /* of the text, since `before` if strayed, else not read yet */
    int64_t n_since;
} way_back;

struct kr_draft {
    kr_draft_options opt;
    kr_runs runs;
    way_back target, helper;
    const float *rows;         /* scores behind each token of the last run; NULL: none are left */
    int64_t first, n, k;       /* row of the scores before the first guess; guesses; of those, accepted */
    int32_t guess[MOST];
    kr_reader reader;          /* of the helping model */
    kr_sampler sampler;        /* draws as the session will, from the helper's scores */
    kr_draft_stats stats;
};

/* --- runs ---------------------------------------------------------------------------------------- */

kr_status kr_runs_open(kr_runs *r, kr_model *m, kr_graph *home, kr_dtype state_dtype, int n_threads) {
    for (int i = 0; i < KR_N_RUNS; i++) {
        kr_model_graph_options o = {.mode = KR_MODEL_ALL, .S = 1, .L = kr_run_length[i], .stateful = true, .n_threads = n_threads, .state_dtype = state_dtype, .states_of = home};
        KR_TRY(kr_model_graph(m, &o, &r->graph[i]));
        KR_TRY(kr_graph_alloc(r->graph[i]));
    }
    return KR_OK;
}

void kr_runs_close(kr_runs *r) {
    for (int i = 0; i < KR_N_RUNS; i++) kr_graph_free(r->graph[i]);
    *r = (kr_runs){0};
}

int kr_runs_pick(int64_t n) {
    int k = 0;
    while (k < KR_N_RUNS && kr_run_length[k] > n) k++;
    return k;
}

kr_status kr_kept_state(kr_graph **out, kr_model *m, kr_dtype state_dtype) {
    kr_model_graph_options o = {.mode = KR_MODEL_LAST, .S = 1, .L = 1, .stateful = true, .state_dtype = state_dtype, .n_threads = 1};
    KR_TRY(kr_model_graph(m, &o, out));
    return kr_graph_alloc(*out);
}

/* --- ways back -------------------------------------------------------------------------------- */

static kr_status open_way(way_back *w, kr_reader *r) {
    w->now = r->home;
    return kr_kept_state(&w->before, r->model, r->state_dtype);
}

static kr_status go_back(way_back *w) {
    if (w->strayed) KR_TRY(kr_graph_copy_row(w->now, 0, w->before, 0));
    w->strayed = false;
    return KR_OK;
}

/* Before guesses are read. */
static kr_status stray(way_back *w) {
    if (w->strayed) return kr_graph_copy_row(w->now, 0, w->before, 0);
    w->strayed = true;
    return kr_graph_copy_row(w->before, 0, w->now, 0);
}

/* Reads what is known and was not. */
static kr_status catch_up(way_back *w, kr_reader *r, const float **logits) {
    KR_TRY(go_back(w));
    for (int64_t at = 0; at < w->n_since;) {
        int64_t piece = kr_reader_piece(r, w->n_since - at);
        KR_TRY(kr_reader_read(r, w->since + at, piece, logits));
        at += piece;
    }
    w->n_since = 0;
    return KR_OK;
}

/* --- guesses ---------------------------------------------------------------------------------- */

static int32_t back(const kr_sampler_memory *m, int64_t i) { return m->recent[(m->n_read - 1 - i) % KR_DRY_RANGE]; }

int64_t kr_guess_from_text(const kr_sampler_memory *m, int64_t n_gram, int32_t *guess, int64_t most) {
    int64_t n = m->n_read < KR_DRY_RANGE ? m->n_read : KR_DRY_RANGE, best = 0, at = 0;
    for (int64_t i = 1; i < n && best < n_gram; i++) {
        int64_t k = 0;
        while (k < n_gram && i + k < n && back(m, k) == back(m, i + k)) k++;
        if (k > best && k >= 2) best = k, at = i;
    }
    if (best == 0) return 0;
    for (int64_t k = 0; k < most; k++) guess[k] = at - 1 - k >= 0 ? back(m, at - 1 - k) : guess[k - at]; /* goes round */
    return most;
}

/* The helper draws with the session's own chances, so likely the same. */
static int64_t guess_by_model(kr_draft *d, const kr_session *s, int64_t most) {
    const float *logits = NULL;
    int64_t V = s->layout->V, n = 0;
    if (catch_up(&d->helper, &d->reader, &logits) != KR_OK || !logits || stray(&d->helper) != KR_OK) return 0;
    memcpy(d->sampler.memory, s->sampler.memory, kr_sampler_memory_bytes(V));
    while (n < most) {
        int32_t t = kr_sampler_draw(&d->sampler, logits, NULL);
        if (t < 0 || t == d->sampler.eos) break;
        d->guess[n++] = t;
        if (n == most) break;
        kr_sampler_see(&d->sampler, t, true);
        if (kr_reader_read(&d->reader, &t, 1, &logits) != KR_OK) return 0;
    }
    return n;
}

/* --- a run -------------------------------------------------------------------------------------- */

static kr_status run(kr_session *s) {
    kr_draft *d = s->draft;
    way_back *w = &d->target;
    int64_t most = MOST - w->n_since < d->opt.n_draft ? MOST - w->n_since : d->opt.n_draft;
    int64_t n = w->n_since > MOST / 2 ? 0 : d->opt.model ? guess_by_model(d, s, most) : kr_guess_from_text(s->sampler.memory, d->opt.n_gram, d->guess, most);
    int k = kr_runs_pick(w->n_since + n);
    d->rows = NULL;
    if (k == KR_N_RUNS || kr_run_length[k] <= w->n_since) return catch_up(w, &s->reader, &s->logits);
    kr_graph *g = d->runs.graph[k];
    int32_t *ids = kr_graph_data(g, "ids");
    d->n = kr_run_length[k] - w->n_since;
    KR_TRY(stray(w));
    memcpy(ids, w->since, (size_t)w->n_since * sizeof *ids);
    memcpy(ids + w->n_since, d->guess, (size_t)d->n * sizeof *ids);
    kr_graph_run(g, KR_RUN_FORWARD);
    KR_TRY(kr_graph_wait(g));
    d->rows = kr_graph_data(g, "logits");
    d->first = w->n_since - 1;
    d->k = 0;
    d->stats.n_runs++;
    d->stats.n_guessed += d->n;
    s->logits = d->rows + d->first * s->layout->V;
    return KR_OK;
}

kr_status kr_draft_take(kr_session *s, int32_t tok) {
    kr_draft *d = s->draft;
    KR_TRY(kr_session_see(s, tok));
    d->target.since[d->target.n_since++] = tok;
    if (d->opt.model && d->helper.n_since < MOST) d->helper.since[d->helper.n_since++] = tok;
    if (!d->rows || d->k == d->n || d->guess[d->k] != tok) return run(s);
    d->k++;
    d->stats.n_accepted++;
    s->logits = d->rows + (d->first + d->k) * s->layout->V;
    if (d->k == d->n) { /* all of them: the states are right as they are */
        d->target.n_since = 0;
        d->target.strayed = false;
    }
    return KR_OK;
}

kr_status kr_draft_also(kr_draft *d, const int32_t *tok, int64_t n) {
    const float *logits;
    if (!d || !d->opt.model) return KR_OK;
    KR_TRY(catch_up(&d->helper, &d->reader, &logits));
    while (n > 0) {
        int64_t piece = kr_reader_piece(&d->reader, n);
        KR_TRY(kr_reader_read(&d->reader, tok, piece, &logits));
        tok += piece;
        n -= piece;
    }
    return KR_OK;
}

kr_status kr_draft_settle(kr_session *s) {
    kr_draft *d = s->draft;
    if (!d) return KR_OK;
    if (d->target.n_since) KR_TRY(catch_up(&d->target, &s->reader, &s->logits));
    d->rows = NULL;
    return KR_OK;
}

void kr_draft_forget(kr_draft *d) {
    if (!d) return;
    d->rows = NULL;
    d->target.n_since = d->helper.n_since = 0;
    d->target.strayed = d->helper.strayed = false;
    if (d->opt.model) kr_graph_reset_states(d->helper.now, NULL); /* it guesses from what comes */
}

/* --- opening --------------------------------------------------------------------------------------- */

void kr_draft_free(kr_draft *d) {
    if (!d) return;
    kr_runs_close(&d->runs);
    kr_graph_free(d->target.before);
    kr_graph_free(d->helper.before);
    kr_reader_close(&d->reader);
    kr_sampler_clear(&d->sampler);
    kr_mem_free(d);
}

static kr_status open_helper(kr_draft *d, const kr_session *s) {
    const kr_model *m = d->opt.model;
    if (m->config.vocab_size != s->layout->V)
        KR_FAIL(KR_ERR_ARG, "the draft's model has %lld tokens, the session's %lld", (long long)m->config.vocab_size, (long long)s->layout->V);
    KR_TRY(kr_reader_open(&d->reader, m, 64, s->opt.n_threads, NULL));
    KR_TRY(open_way(&d->helper, &d->reader));
    KR_TRY(kr_sampler_init(&d->sampler, s->layout->V, s->sampler.eos));
    return kr_sampler_start(&d->sampler, &s->sampler.opt);
}

static kr_status open_draft(kr_draft *d, kr_session *s) {
    if (d->opt.n_draft == 0) d->opt.n_draft = 7;
    if (d->opt.n_gram == 0) d->opt.n_gram = 4;
    if (d->opt.n_draft < 1 || d->opt.n_draft >= MOST || d->opt.n_gram < 2) KR_FAIL(KR_ERR_ARG, "n_draft is %lld, want 1 to %d; n_gram at least 2", (long long)d->opt.n_draft, MOST - 1);
    KR_TRY(open_way(&d->target, &s->reader));
    KR_TRY(kr_runs_open(&d->runs, s->reader.model, s->reader.home, s->reader.state_dtype, s->opt.n_threads));
    return d->opt.model ? open_helper(d, s) : KR_OK;
}

kr_status kr_session_set_draft(kr_session *s, const kr_draft_options *opt) {
    kr_draft *d = NULL;
    KR_TRY(kr_draft_settle(s));
    if (opt) {
        if (!(d = kr_mem_new(sizeof *d))) return KR_ERR_NOMEM;
        d->opt = *opt;
        kr_status st = open_draft(d, s);
        if (st != KR_OK) return kr_draft_free(d), st;
    }
    if (s->logits && s->logits != s->kept_logits) s->logits = memcpy(s->kept_logits, s->logits, (size_t)s->layout->V * sizeof *s->logits);
    kr_draft_free(s->draft);
    s->draft = d;
    return KR_OK;
}

kr_draft_stats kr_session_draft_stats(const kr_session *s) { return s->draft ? s->draft->stats : (kr_draft_stats){0}; }
