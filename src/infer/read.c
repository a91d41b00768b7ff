/* read.c - prompts: in turns, a piece at a time, from the nearest state that is known.
 *
 * One prompt at a time lies on the desk.  After TURN pieces it goes behind all others, so that whoever comes waits for none
 * twice, and its state is parked. */
#include <string.h>

#include "base/timing.h"
#include "infer/engine.h"

enum { TURN = 4, ALONE = 8 };

static kr_graph *desk(const kr_engine *e) { return e->desk.home; }

static bool is_cached(const kr_engine *e, const kr_sequence *q) { return e->opt.cache_bytes > 0 && !q->req->opt.no_cache && !q->req->from; }

/* From the nearest state that is known. */
static void look_up(kr_engine *e, kr_sequence *q, bool again) {
    kr_request *r = q->req;
    kr_prefix_hit hit = kr_prefix_find(&e->cache, r->tok, r->n_tok, e->opt.reuse_replies, again ? r->n_cached : -1);
    kr_snapshot_free(q->parked);
    q->parked = hit.state;
    q->pos = hit.n_tok;
    q->exact = hit.whole;
    if (hit.shared > hit.n_tok) q->parting = hit.shared;
    pthread_mutex_lock(&e->shared->lock);
    e->stats.n_cached += hit.n_tok - r->n_cached;
    r->n_cached = hit.n_tok;
    pthread_mutex_unlock(&e->shared->lock);
}

kr_status kr_engine_begin(kr_engine *e, kr_sequence *q) {
    kr_request *r = q->req;
    q->pos = q->parting = 0;
    q->exact = !r->from;
    if (e->helper) kr_helper_forget(e->helper, q - e->slot);
    q->fresh = true;
    for (int64_t i = 0; i < e->opt.n_slots; i++) q->shared[i] = e->slot[i].shared[q - e->slot] = -1;
    q->closing = false;
    q->pieces = 0;
    if (r->opt.grammar) kr_grammar_enter(r->opt.grammar);
    q->place = r->opt.grammar ? r->opt.grammar->start : 0;
    q->inside = true;
    q->finish = KR_GOES_ON;
    if (r->opt.grammar && !q->allowed && !(q->allowed = kr_mem_array(((size_t)e->layout->V + 63) / 64, sizeof *q->allowed))) return KR_ERR_NOMEM;
    KR_TRY(kr_sampler_start(&q->sampler, &r->sampler));
    if (r->from && r->from->memory) {
        kr_rng mine = q->sampler.memory->rng;
        memcpy(q->sampler.memory, r->from->memory, kr_sampler_memory_bytes(e->layout->V));
        q->sampler.memory->rng = mine;
        q->sampler.memory->n_written = 0; /* min_tok counts what this request writes */
    }
    for (int64_t i = 0; i < r->n_tok; i++) kr_sampler_see(&q->sampler, r->tok[i], false);
    if (r->from) q->parked = kr_snapshot_share(r->from);
    if (is_cached(e, q)) look_up(e, q, false);
    return KR_OK;
}

/* --- turns ---------------------------------------------------------------------------------------- */

/* Counted once for two prompts, however often it is asked. */
static int64_t shared_tokens(const kr_engine *e, kr_sequence *p, kr_sequence *q) {
    int64_t *known = &q->shared[p - e->slot];
    const kr_request *a = p->req, *b = q->req;
    int64_t n = a->n_tok < b->n_tok ? a->n_tok : b->n_tok, i = 0;
    if (*known >= 0) return *known;
    while (i < n && a->tok[i] == b->tok[i]) i++;
    return *known = i;
}

/* A prompt of which more is being read for another one waits until that has come so far.  Who is
 * waited for is further or, at the same place, before: so not all can wait. */
static bool waits(kr_engine *e, int64_t i) {
    kr_sequence *q = e->reading[i];
    for (int64_t k = 0; k < e->n_reading && q->fresh && is_cached(e, q); k++) {
        kr_sequence *p = e->reading[k];
        if (k == i || !is_cached(e, p) || p->pos < q->pos || (p->pos == q->pos && k > i)) continue;
        int64_t n = shared_tokens(e, p, q);
        if (n < p->req->n_tok || n < q->req->n_tok) n -= n % e->opt.grain;
        if (n <= q->pos || p->pos >= n) continue;
        if (p->parting <= p->pos || n < p->parting) p->parting = n; /* where it leaves a checkpoint */
        q->parting = n;
        return true;
    }
    return false;
}

static kr_sequence *whose_turn(kr_engine *e) {
    int64_t i = 0;
    while (waits(e, i)) i++;
    kr_sequence *q = e->reading[i];
    if (q->fresh && q->parting > q->pos && is_cached(e, q)) look_up(e, q, true); /* it waited */
    return q;
}

/* --- the desk ------------------------------------------------------------------------------------ */

/* Its state as a snapshot of its own. */
static kr_status park(kr_engine *e, kr_sequence *q) {
    kr_snapshot *s;
    KR_TRY(kr_snapshot_new(&s, e->layout, false, false));
    kr_status st = kr_graph_get_row(desk(e), 0, s->states);
    if (st != KR_OK) return kr_snapshot_free(s), st;
    s->n_tok = q->pos;
    q->parked = s;
    return KR_OK;
}

static kr_status bring(kr_engine *e, kr_sequence *q) {
    if (e->at_desk == q) return KR_OK;
    e->at_desk = NULL;
    if (q->parked) KR_TRY(kr_graph_put_row(desk(e), 0, q->parked->states));
    else kr_graph_reset_states(desk(e), NULL);
    kr_snapshot_free(q->parked);
    q->parked = NULL;
    e->at_desk = q;
    q->pieces = 0;
    return KR_OK;
}

/* A checkpoint where the cache wants one; without memory for it there is none. */
static void keep_checkpoint(kr_engine *e, kr_sequence *q, const float *logits) {
    kr_request *r = q->req;
    bool parting = q->pos == q->parting;
    kr_snapshot *s;
    if (r->opt.no_cache || (!q->exact && !e->opt.reuse_replies) || r->from || e->opt.cache_bytes <= 0) return;
    if (q->pos % e->cache.grain != 0 && q->pos != r->n_tok) return;
    if (!kr_prefix_wants(&e->cache, r->tok, q->pos, r->n_tok, parting, kr_snapshot_size(e->layout, true, false))) return;
    if (kr_snapshot_new(&s, e->layout, true, false) != KR_OK) return;
    s->n_tok = q->pos;
    memcpy(s->logits, logits, (size_t)e->layout->V * sizeof *logits);
    if (kr_graph_get_row(desk(e), 0, s->states) != KR_OK || kr_prefix_add(&e->cache, r->tok, q->pos, r->n_tok, parting, s) != KR_OK) kr_snapshot_free(s);
}

/* --- a piece --------------------------------------------------------------------------------------- */

static void remove_reading(kr_engine *e, kr_sequence *q) {
    int64_t i = 0;
    while (e->reading[i] != q) i++;
    memmove(e->reading + i, e->reading + i + 1, (size_t)(--e->n_reading - i) * sizeof *e->reading);
    if (e->at_desk == q) e->at_desk = NULL;
}

static void go_behind(kr_engine *e, kr_sequence *q) {
    int64_t i = 0;
    while (e->reading[i] != q) i++;
    memmove(e->reading + i, e->reading + i + 1, (size_t)(e->n_reading - 1 - i) * sizeof *e->reading);
    e->reading[e->n_reading - 1] = q;
    q->pieces = 0;
}

/* The whole prompt is read: into a row, and the first token. */
static kr_status start_writing(kr_engine *e, kr_sequence *q, const float *logits, kr_snapshot *from) {
    int64_t row = e->n_writing;
    remove_reading(e, q);
    kr_ahead_start(q);
    e->writing[e->n_writing++] = q;
    if (from) KR_TRY(kr_graph_put_row(e->batch[0], row, from->states));
    else KR_TRY(kr_graph_copy_row(e->batch[0], row, desk(e), 0));
    if (q->req->opt.only_read) kr_engine_end_reading(e, q, logits);
    else kr_engine_take_tokens(e, &q, &logits, 1);
    return KR_OK;
}

/* Up to the next place for a checkpoint: every grain near the end, further away at a sixteenth of
 * the distance to it, and where another prompt parted; and no more than stall_s allows while
 * others are written or read, or ALONE times that, since somebody may come. */
static int64_t next_piece(const kr_engine *e, const kr_sequence *q) {
    int64_t left = q->req->n_tok - q->pos, grain = e->opt.grain, off = q->pos % grain, stop = e->opt.read_tok;
    bool kept = e->opt.cache_bytes > 0 && !q->req->opt.no_cache && !q->req->from;
    while (kept && stop > grain && stop > left / 16) stop /= 2;
    double allowed = (e->n_writing > 0 || e->n_reading > 1 ? 1 : ALONE) * e->opt.stall_s;
    while (stop > grain && e->piece_s * (double)stop > allowed * (double)e->piece) stop /= 2;
    if (stop < grain || off) stop = grain - off;
    if (q->parting > q->pos && q->parting < q->pos + stop) stop = q->parting - q->pos;
    return kr_reader_piece(&e->desk, left < stop ? left : stop);
}

static kr_status read_piece(kr_engine *e, kr_sequence *q) {
    kr_request *r = q->req;
    const float *logits;
    if (q->pos == r->n_tok) { /* all of it is known */
        kr_snapshot *s = q->parked;
        q->parked = NULL;
        kr_status st = start_writing(e, q, s->logits, s);
        kr_snapshot_free(s);
        return st;
    }
    if (e->at_desk && e->at_desk != q && park(e, e->at_desk) != KR_OK) q = e->at_desk, r = q->req; /* no room to park it: it goes on */
    KR_TRY(bring(e, q));
    int64_t piece = next_piece(e, q);
    KR_TRY(kr_reader_read(&e->desk, r->tok + q->pos, piece, &logits));
    e->piece = piece;
    q->pos += piece;
    q->pieces++;
    q->fresh = false;
    keep_checkpoint(e, q, logits);
    if (q->pos == r->n_tok) return start_writing(e, q, logits, NULL);
    if (q->pieces >= TURN) go_behind(e, q);
    return KR_OK;
}

/* While others are being written: as many pieces as fit into stall_s, at least one. */
kr_status kr_engine_read(kr_engine *e) {
    double start = kr_now(), now = start, t;
    bool writing = e->n_writing > 0;
    do {
        kr_sequence *q = whose_turn(e);
        t = now;
        KR_TRY(read_piece(e, q));
        now = kr_now();
        e->piece_s = now - t;
    } while (e->n_reading > 0 && writing && now - start + e->piece_s <= e->opt.stall_s);
    pthread_mutex_lock(&e->shared->lock);
    e->stats.read_s += now - start;
    pthread_mutex_unlock(&e->shared->lock);
    return KR_OK;
}
