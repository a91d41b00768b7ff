/* ahead.c - the tokens of a step of the engine: those that are known, and guesses behind them.
 *
 * Sequences have rows of the graph as they need them: one as a rule, with guesses more.  Their rows run as
 * waves (graph/waves.c), so each has the bits of a step by itself, and what is written does not
 * depend on what is guessed, nor on what others guess.  Behind the last known token the state is kept; where
 * a guess was wrong it is put back, and the tokens that were right are read again with the next step.
 *
 * On a device a step is one recorded launch of many kernels, and the pieces of waves would be as many launches each. There
 * a sequence guesses while no other is written: what is known and the guesses behind it are one run of several
 * tokens, as a session's (draft.c), and a wrong guess puts the state back to where the run began.
 *
 * Guesses cost rows, so a sequence has as many as paid of late: all right, twice as many; none right,
 * half; at last none for 8, 16, ... 64 tokens. */
#include <string.h>

#include "infer/engine.h"

enum { N_GRAM = 4, FIRST_REACH = 2, FIRST_REST = 8, LAST_REST = 64 };

void kr_ahead_start(kr_sequence *q) { q->ahead = (kr_ahead){.reach = FIRST_REACH}; }

static int least(int a, int64_t b) { return a < b ? a : b < 0 ? 0 : (int)b; }

/* How many guesses a sequence wants. */
static int wanted(const kr_engine *e, const kr_sequence *q) {
    const kr_request *r = q->req;
    if (e->opt.n_draft == 0 || r->opt.n_draft < 0 || q->closing || q->ahead.rest > 0) return 0;
    int n = least(q->ahead.reach, r->opt.n_draft > 0 && r->opt.n_draft < e->opt.n_draft ? r->opt.n_draft : e->opt.n_draft);
    n = least(n, KR_AHEAD - q->ahead.n_since);
    return least(n, r->opt.max_tok - (r->n_tok - r->opt.n_prompt) - 1); /* none behind the last token there may be */
}

/* By the helping model, if there is one and it has read so far; else from the text itself. */
static int guess_for(kr_engine *e, kr_sequence *q, int n) {
    int got = e->helper ? kr_helper_guess(e->helper, q - e->slot, q->req->tok, q->req->n_tok, &q->sampler, q->ahead.guess, n) : 0;
    return got > 0 ? got : (int)kr_guess_from_text(q->sampler.memory, N_GRAM, q->ahead.guess, n);
}

/* All rows of this step.  Who joins brings one more, and next time those that were right are read again, so
 * free slots keep a row free. */
static int64_t guess(kr_engine *e) {
    int64_t known = 0, total, most = e->most_rows - (e->opt.n_slots - e->n_writing);
    for (int64_t i = 0; i < e->n_writing; i++) known += e->writing[i]->ahead.n_since;
    total = known;
    for (int64_t i = 0; i < e->n_writing; i++) {
        kr_sequence *q = e->writing[i];
        int n = least(wanted(e, q), (most - known) / e->n_writing);
        if (n > 0) q->ahead.n_guess = guess_for(e, q, n);
        total += q->ahead.n_guess;
    }
    return total;
}

/* The narrowest graph of so many rows. */
static int graph_for(const kr_engine *e, int64_t rows) {
    int k = -1;
    for (int i = 0; i < e->n_batches + e->n_wide; i++)
        if (e->rows[i] >= rows && (k < 0 || e->rows[i] < e->rows[k])) k = i;
    KR_ASSERT(k >= 0);
    return k;
}

/* The t-th token of every sequence that has one, those side by side in one piece. */
static void lay_out(kr_engine *e, int32_t *ids, kr_waves *w) {
    kr_wave *wave = e->wave;
    int64_t at = 0;
    bool more = true;
    *w = (kr_waves){.wave = wave, .keep = e->keep};
    for (int t = 0; more; t++) {
        more = false;
        for (int64_t i = 0, last = -2; i < e->n_writing; i++) {
            kr_sequence *q = e->writing[i];
            kr_ahead *a = &q->ahead;
            if (t >= a->n_since + a->n_guess) continue;
            if (last != i - 1) wave[w->n++] = (kr_wave){i, at, 0};
            wave[w->n - 1].n++;
            if (t == a->n_since - 1 && a->n_guess > 0)
                e->keep[w->n_keep++] = (kr_wave_keep){w->n - 1, i, e->kept + (size_t)(q - e->slot) * e->layout->bytes};
            ids[at] = t < a->n_since ? a->since[t] : a->guess[t - a->n_since];
            a->at[t] = (int)at++;
            last = i;
            more = true;
        }
    }
}

/* --- on a device ------------------------------------------------------------------------------------ */

static kr_status read_at_once(kr_graph *g, const int32_t *tok, int64_t n, const int32_t *more, int64_t n_more) {
    int32_t *ids = kr_graph_data(g, "ids");
    memcpy(ids, tok, (size_t)n * sizeof *ids);
    if (n_more > 0) memcpy(ids + n, more, (size_t)n_more * sizeof *ids);
    kr_graph_run(g, KR_RUN_FORWARD);
    return kr_graph_wait(g);
}

/* Row 0 has read all of its text but the last token. */
static kr_status read_known(kr_engine *e, kr_ahead *a) {
    if (a->strayed) KR_TRY(kr_graph_copy_row(e->batch[0], 0, e->before, 0));
    a->strayed = false;
    for (int n; (n = a->n_since - 1) > 0;) {
        int k = kr_runs_pick(n), piece = k < KR_N_RUNS ? (int)kr_run_length[k] : 1;
        KR_TRY(read_at_once(k < KR_N_RUNS ? e->runs.graph[k] : e->batch[e->n_batches - 1], a->since, piece, NULL, 0));
        a->n_since -= piece;
        memmove(a->since, a->since + piece, (size_t)a->n_since * sizeof *a->since);
    }
    return KR_OK;
}

/* A run of known tokens and guesses; *ran false: there are none, and every row has one token to read. */
static kr_status run_alone(kr_engine *e, bool *ran, const float **logits) {
    kr_sequence *q = e->writing[0];
    kr_ahead *a = &q->ahead;
    int n = e->n_writing == 1 && a->n_since <= KR_AHEAD / 2 ? wanted(e, q) : 0;
    if (n > 0) n = guess_for(e, q, n);
    int k = kr_runs_pick(a->n_since + n);
    *ran = n > 0 && k < KR_N_RUNS && kr_run_length[k] > a->n_since;
    if (!*ran) return read_known(e, a);
    a->n_guess = (int)kr_run_length[k] - a->n_since;
    KR_TRY(a->strayed ? kr_graph_copy_row(e->batch[0], 0, e->before, 0) : kr_graph_copy_row(e->before, 0, e->batch[0], 0));
    a->strayed = true;
    KR_TRY(read_at_once(e->runs.graph[k], a->since, a->n_since, a->guess, a->n_guess));
    *logits = kr_graph_data(e->runs.graph[k], "logits");
    for (int t = 0; t < a->n_since + a->n_guess; t++) a->at[t] = t;
    a->first = a->n_since - 1;
    return KR_OK;
}

/* --- a step --------------------------------------------------------------------------------------------- */

kr_status kr_ahead_run(kr_engine *e, const float **logits) {
    int64_t n = e->n_writing, total = n;
    kr_waves w;
    for (int64_t i = 0; i < n; i++) e->writing[i]->ahead.n_right = e->writing[i]->ahead.n_guess = 0;
    if (e->before) {
        bool ran;
        KR_TRY(run_alone(e, &ran, logits));
        if (ran) return KR_OK;
    } else {
        total = guess(e);
    }
    for (int64_t i = 0; i < n; i++) {
        kr_sequence *q = e->writing[i];
        if (q->ahead.strayed) KR_TRY(kr_graph_put_row(e->batch[0], i, e->kept + (size_t)(q - e->slot) * e->layout->bytes));
    }
    int k = graph_for(e, total);
    kr_graph *g = e->batch[k];
    int32_t *ids = kr_graph_data(g, "ids");
    memset(ids, 0, (size_t)e->rows[k] * sizeof *ids);
    lay_out(e, ids, &w);
    if (total == n) kr_graph_run(g, KR_RUN_FORWARD);
    else kr_graph_run_waves(g, &w);
    KR_TRY(kr_graph_wait(g));
    *logits = kr_graph_data(g, "logits");
    for (int64_t i = 0; i < n; i++) {
        kr_ahead *a = &e->writing[i]->ahead;
        a->first = a->n_since - 1;
        a->n_since = 0;
        a->strayed = a->n_guess > 0;
    }
    return KR_OK;
}

void kr_ahead_take(kr_sequence *q, int32_t tok) {
    kr_ahead *a = &q->ahead;
    a->since[a->n_since++] = tok;
    if (a->rest > 0 && --a->rest == 0) a->reach = 1;
    a->hit = a->n_right < a->n_guess && a->guess[a->n_right] == tok;
    a->n_right += a->hit;
    if (!a->hit || a->n_right < a->n_guess) return;
    a->n_since = 0; /* all of them: the state is right as it is */
    a->strayed = false;
}

bool kr_ahead_goes_on(const kr_sequence *q) {
    const kr_ahead *a = &q->ahead;
    if (!q->req || !a->hit) return false;
    return a->n_since == 0 || (!q->closing && !atomic_load(&q->req->cancelled));
}

bool kr_ahead_settle(kr_engine *e, kr_sequence *q, int64_t row) {
    kr_ahead *a = &q->ahead;
    if (a->n_since > 0) return false;
    if (a->strayed && kr_graph_put_row(e->batch[0], row, e->kept + (size_t)(q - e->slot) * e->layout->bytes) != KR_OK) return false;
    a->strayed = false;
    return true;
}

void kr_ahead_learn(kr_sequence *q) {
    kr_ahead *a = &q->ahead;
    if (a->n_guess == 0) return;
    if (a->n_right == a->n_guess) a->reach = 2 * a->n_guess > a->reach ? least(2 * a->n_guess, KR_AHEAD) : a->reach;
    else if (a->n_right > 0) a->reach = a->n_right;
    else a->reach /= 2;
    if (a->n_right > 0) a->rests = 0;
    if (a->reach == 0) a->rest = a->rests = a->rests ? least(LAST_REST, 2 * a->rests) : FIRST_REST;
}
