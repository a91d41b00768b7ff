/* engine.c - the one thread that runs the model, and the doors to it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/timing.h"
#include "infer/engine.h"

/* --- the thread --------------------------------------------------------------------------------- */

/* The last eight count for most of it; the lock is held. */
static void tell_slot_time(kr_engine *e, double seconds) {
    e->stats.slot_s += (seconds - e->stats.slot_s) / (e->stats.slot_s > 0 ? 8 : 1);
}

void kr_engine_release(kr_engine *e, kr_sequence *q) {
    kr_request *r = q->req;
    kr_snapshot_free(q->parked);
    q->parked = NULL;
    if (q->inside) kr_grammar_leave(r->opt.grammar);
    q->inside = false;
    q->req = NULL;
    pthread_mutex_lock(&e->shared->lock);
    r->ended = true;
    r->at_end = kr_now();
    tell_slot_time(e, r->at_end - r->at_start);
    e->stats.n_cancelled += q->finish == KR_FINISH_CANCEL;
    e->stats.n_failed += q->finish == KR_FINISH_ERROR;
    kr_request_tell(r, (kr_told){.tok = -1, .finish = q->finish, .n_bytes = (int64_t)q->shown.n}, kr_str_text(&q->shown), NULL);
    kr_request_drop(r);
    pthread_mutex_unlock(&e->shared->lock);
}

static void end_with_error(kr_engine *e, kr_sequence *q) {
    snprintf(q->req->error, sizeof q->req->error, "%s", e->broken != KR_OK ? e->error : kr_error());
    kr_engine_end(e, q, KR_FINISH_ERROR);
}

static kr_sequence *free_slot(const kr_engine *e) {
    for (int64_t i = 0; i < e->opt.n_slots; i++)
        if (!e->slot[i].req) return &e->slot[i];
    return NULL;
}

static int64_t n_running(const kr_engine *e, int64_t client) {
    int64_t n = 0;
    for (int64_t i = 0; i < e->opt.n_slots; i++) n += e->slot[i].req && e->slot[i].req->opt.client == client;
    return n;
}

/* Out of the queue; the lock is held, as by the next two. */
static kr_request *take_out(kr_engine *e, kr_request **at) {
    kr_request *r = *at;
    if (!(*at = r->next)) e->queue_end = at;
    e->n_waiting--;
    return r;
}

/* The end of a request that never began. */
static void turn_away(kr_request *r) {
    r->ended = true;
    r->at_end = kr_now();
    kr_request_tell(r, (kr_told){.tok = -1, .finish = KR_FINISH_CANCEL}, "", NULL);
    kr_request_drop(r);
}

/* The longest waiting of the client who has least running. */
static kr_request *next_waiting(kr_engine *e) {
    kr_request **best = NULL;
    int64_t least = 0;
    for (kr_request **at = &e->queue; *at; at = &(*at)->next) {
        int64_t n = n_running(e, (*at)->opt.client);
        if (!best || n < least) best = at, least = n;
        if (n == 0) break;
    }
    return best ? take_out(e, best) : NULL;
}

static void admit(kr_engine *e) {
    for (kr_sequence *q; (q = free_slot(e));) {
        pthread_mutex_lock(&e->shared->lock);
        kr_request *r = next_waiting(e);
        if (r) {
            r->at_start = kr_now();
            e->stats.n_requests++;
            e->stats.n_prompt += r->opt.n_prompt;
            e->stats.n_reading++; /* at once, as it waits no more: drain looks at both */
        }
        pthread_mutex_unlock(&e->shared->lock);
        if (!r) return;
        q->req = r;
        kr_status st = e->broken != KR_OK ? e->broken : atomic_load(&r->cancelled) ? KR_ERR_STOPPED : kr_engine_begin(e, q);
        if (st == KR_OK) e->reading[e->n_reading++] = q;
        else if (atomic_load(&r->cancelled)) kr_engine_end(e, q, KR_FINISH_CANCEL);
        else end_with_error(e, q);
    }
}

static void drop_cancelled(kr_engine *e, bool all) {
    for (int64_t i = 0; i < e->opt.n_slots; i++) {
        kr_sequence *q = &e->slot[i];
        if (!q->req) continue;
        if (all) kr_engine_end(e, q, KR_FINISH_CANCEL);
        else if (atomic_load(&q->req->cancelled)) kr_engine_finish(e, q, KR_FINISH_CANCEL);
    }
    pthread_mutex_lock(&e->shared->lock); /* who waits need not wait for a slot to be told */
    for (kr_request **at = &e->queue; !all && *at;) {
        if (!atomic_load(&(*at)->cancelled)) {
            at = &(*at)->next;
            continue;
        }
        e->stats.n_requests++, e->stats.n_cancelled++;
        turn_away(take_out(e, at));
    }
    pthread_mutex_unlock(&e->shared->lock);
}

/* Waits for work, or for a picture of the cache to be wanted; false: it is time to end. */
static bool wait_for_work(kr_engine *e, bool *wanted) {
    pthread_mutex_lock(&e->shared->lock);
    e->stats.cache_bytes = e->cache.bytes, e->stats.cache_entries = e->cache.n_entries;
    e->stats.cache_hits = e->cache.n_hits, e->stats.cache_misses = e->cache.n_misses, e->stats.cache_evicted = e->cache.n_evicted;
    e->stats.n_reading = e->n_reading, e->stats.n_writing = e->n_writing;
    bool idle = e->n_reading + e->n_writing == 0;
    if (idle && !e->queue) pthread_cond_broadcast(&e->shared->news); /* for drain */
    if (e->keeper.file) kr_keeper_tell(e, idle && !e->queue);
    while (idle && !e->queue && !e->closing && !e->keeper.wanted) pthread_cond_wait(&e->shared->work, &e->shared->lock);
    *wanted = e->keeper.wanted;
    bool on = !e->closing;
    pthread_mutex_unlock(&e->shared->lock);
    return on;
}

static void fail_all(kr_engine *e, kr_status st) {
    if (e->broken == KR_OK) snprintf(e->error, sizeof e->error, "%s", kr_error());
    e->broken = st;
    for (int64_t i = 0; i < e->opt.n_slots; i++)
        if (e->slot[i].req) end_with_error(e, &e->slot[i]);
}

static void *run(void *arg) {
    kr_engine *e = arg;
    bool wanted;
    while (wait_for_work(e, &wanted)) {
        kr_status st = KR_OK;
        if (wanted) kr_keeper_draw(e);
        drop_cancelled(e, false);
        admit(e);
        if (e->n_writing) st = kr_engine_write(e);
        if (st == KR_OK && e->n_reading) st = kr_engine_read(e);
        if (st == KR_OK) st = e->broken;
        if (st != KR_OK) fail_all(e, st);
    }
    drop_cancelled(e, true);
    for (;;) { /* what still waits */
        pthread_mutex_lock(&e->shared->lock);
        kr_request *r = next_waiting(e);
        if (r) turn_away(r);
        pthread_mutex_unlock(&e->shared->lock);
        if (!r) return NULL;
    }
}

/* --- opening and closing ------------------------------------------------------------------------------ */

/* On a device one sequence alone has drafts: there many launches of single steps take longer than they save. */
static bool drafts_by_waves(const kr_engine *e) { return e->opt.n_draft > 0 && !e->model->params->device; }

static kr_status open_batch(kr_engine *e, int64_t S, int *n) {
    int k = e->n_batches + e->n_wide;
    kr_model_graph_options o = {.mode = KR_MODEL_LAST, .S = S, .L = 1, .stateful = true, .n_threads = e->opt.n_threads, .state_dtype = e->desk.state_dtype,
                                .waves = drafts_by_waves(e), .states_of = k ? e->batch[0] : NULL};
    KR_ASSERT(k < KR_N_BATCHES);
    e->rows[k] = S;
    KR_TRY(kr_model_graph((kr_model *)e->model, &o, &e->batch[k]));
    ++*n;
    return kr_graph_alloc(e->batch[k]);
}

/* A row for each slot, then less; with drafts of few slots also more. */
static kr_status open_batches(kr_engine *e) {
    static const int64_t widths[] = {48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 0};
    int64_t slots = e->opt.n_slots;
    for (int64_t S = slots, half; S >= 1; S = half) {
        KR_TRY(open_batch(e, S, &e->n_batches));
        for (half = 1; 2 * half < S; half *= 2) {}
        if (S == 1) break;
    }
    e->most_rows = slots;
    for (int i = 0; widths[i] && drafts_by_waves(e); i++) {
        bool wide = widths[i] > slots && widths[i + 1] < slots + KR_AHEAD - 1, between = widths[i] < slots && widths[i] % 3 == 0;
        if (wide || between) KR_TRY(open_batch(e, widths[i], &e->n_wide));
        if (wide && widths[i] > e->most_rows) e->most_rows = widths[i];
    }
    e->wave = kr_mem_array((size_t)e->most_rows, sizeof *e->wave);
    e->keep = kr_mem_array((size_t)slots, sizeof *e->keep);
    if (drafts_by_waves(e)) e->kept = kr_mem_array((size_t)slots, e->layout->bytes);
    if (!e->wave || !e->keep || (drafts_by_waves(e) && !e->kept)) return KR_ERR_NOMEM;
    if (e->opt.n_draft == 0 || drafts_by_waves(e)) return KR_OK;
    KR_TRY(kr_kept_state(&e->before, (kr_model *)e->model, e->desk.state_dtype));
    return kr_runs_open(&e->runs, (kr_model *)e->model, e->batch[0], e->desk.state_dtype, e->opt.n_threads);
}

static kr_status open_shared(kr_shared **out) {
    pthread_condattr_t a;
    kr_shared *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, &a);
    pthread_cond_init(&s->news, &a);
    pthread_condattr_destroy(&a);
    s->n_owners = 1;
    *out = s;
    return KR_OK;
}

static kr_status open_engine(kr_engine *e, const kr_model *m) {
    kr_engine_options *o = &e->opt;
    int64_t V = m->config.vocab_size;
    if (o->n_slots == 0) o->n_slots = 8;
    if (o->max_waiting == 0) o->max_waiting = 1024;
    if (o->grain == 0) o->grain = 64;
    if (o->read_tok == 0) o->read_tok = 512;
    if (o->stall_s == 0) o->stall_s = 0.1;
    if (o->cache_bytes == 0) o->cache_bytes = (int64_t)512 << 20;
    if (!(o->keep_s > 0)) o->keep_s = 2;
    if (o->n_slots < 1 || o->n_slots > KR_MAX_SLOTS) KR_FAIL(KR_ERR_ARG, "n_slots is %lld, want 1 to %d", (long long)o->n_slots, KR_MAX_SLOTS);
    if (o->grain < 1 || o->grain > 4096 || (o->grain & (o->grain - 1))) KR_FAIL(KR_ERR_ARG, "the grain is %lld, want a power of two up to 4096", (long long)o->grain);
    if (o->read_tok < 1 || o->max_waiting < 0 || !(o->stall_s > 0)) KR_FAIL(KR_ERR_ARG, "read_tok, max_waiting or stall_s of the engine is negative");
    if (o->n_draft < 0 || o->n_draft >= KR_AHEAD) KR_FAIL(KR_ERR_ARG, "n_draft is %lld, want 0 to %d", (long long)o->n_draft, KR_AHEAD - 1);
    if (o->draft && o->n_draft == 0) o->n_draft = 7;
    int64_t most = kr_cuts_anywhere(m, o->grain) ? o->read_tok : o->grain;
    for (o->read_tok = o->grain; 2 * o->read_tok <= most; o->read_tok *= 2) {}
    KR_TRY(open_shared(&e->shared));
    KR_TRY(kr_reader_open(&e->desk, m, o->read_tok, o->n_threads, o->state_dtype));
    KR_TRY(kr_layout_new(&e->layout, e->desk.home, V));
    KR_TRY(open_batches(e));
    if (o->draft) KR_TRY(kr_helper_open(&e->helper, o->draft, V, o->n_slots, o->n_threads));
    KR_TRY(kr_prefix_open(&e->cache, o->grain, o->cache_bytes));
    if (o->cache_dir && o->cache_bytes > 0) KR_TRY(kr_keeper_open(e));
    e->slot = kr_mem_array((size_t)o->n_slots, sizeof *e->slot);
    e->reading = kr_mem_array((size_t)o->n_slots, sizeof *e->reading);
    e->writing = kr_mem_array((size_t)o->n_slots, sizeof *e->writing);
    e->top = kr_mem_array(KR_MAX_TOP, sizeof *e->top);
    if (!e->slot || !e->reading || !e->writing || !e->top) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < o->n_slots; i++)
        if (!(e->slot[i].shared = kr_mem_array((size_t)o->n_slots, sizeof(int64_t)))) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < o->n_slots; i++) KR_TRY(kr_sampler_init(&e->slot[i].sampler, V, (int32_t)m->config.eos_token_id));
    e->threads = o->n_threads > 0 ? o->n_threads : kr_cpu_threads();
    e->stats.n_slots = o->n_slots;
    e->stats.state_bytes = (int64_t)e->layout->bytes;
    int why = pthread_create(&e->thread, NULL, run, e);
    if (why) KR_FAIL(KR_ERR_NOMEM, "no thread for the engine: %s", strerror(why));
    e->running = true;
    return e->keeper.file ? kr_keeper_start(e) : KR_OK;
}

kr_status kr_engine_new(kr_engine **out, const kr_model *m, const kr_engine_options *opt) {
    kr_engine *e = kr_mem_new(sizeof *e);
    if (!e) return KR_ERR_NOMEM;
    if (opt) e->opt = *opt;
    e->model = m;
    e->queue_end = &e->queue;
    kr_status st = open_engine(e, m);
    if (st != KR_OK) kr_engine_free(e);
    else *out = e;
    return st;
}

void kr_engine_free(kr_engine *e) {
    if (!e) return;
    if (e->running) {
        pthread_mutex_lock(&e->shared->lock);
        e->closing = true;
        pthread_cond_signal(&e->shared->work);
        pthread_mutex_unlock(&e->shared->lock);
        pthread_join(e->thread, NULL);
    }
    kr_keeper_close(e);
    for (int64_t i = 0; e->slot && i < e->opt.n_slots; i++) {
        kr_sampler_clear(&e->slot[i].sampler);
        kr_str_free(&e->slot[i].shown);
        kr_mem_free(e->slot[i].allowed);
        kr_mem_free(e->slot[i].shared);
    }
    kr_prefix_close(&e->cache);
    kr_runs_close(&e->runs);
    kr_graph_free(e->before);
    for (int i = e->n_batches + e->n_wide; i >= 0; i--) kr_graph_free(i < KR_N_BATCHES ? e->batch[i] : NULL); /* the last may have failed to start */
    kr_helper_close(e->helper);
    kr_reader_close(&e->desk);
    kr_layout_free(e->layout);
    kr_mem_free(e->kept);
    kr_mem_free(e->wave);
    kr_mem_free(e->keep);
    kr_mem_free(e->slot);
    kr_mem_free(e->reading);
    kr_mem_free(e->writing);
    kr_mem_free(e->top);
    kr_shared_leave(e->shared);
    kr_mem_free(e);
}

/* --- doors ------------------------------------------------------------------------------------------- */

kr_status kr_engine_submit(kr_engine *e, const kr_request_options *opt, kr_request **out) {
    kr_request *r;
    if (opt->from && !kr_layout_same(e->layout, opt->from->layout)) KR_FAIL(KR_ERR_ARG, "the snapshot is of another model, or its states are of another type");
    KR_TRY(kr_request_new(&r, opt, e->model));
    r->shared = e->shared;
    r->n_owners = 2;
    atomic_fetch_add(&e->shared->n_owners, 1);
    pthread_mutex_lock(&e->shared->lock);
    kr_status st = e->closing || e->draining ? kr_fail(KR_ERR_STOPPED, "the engine is ending")
                   : e->n_waiting >= e->opt.max_waiting ? kr_fail(KR_ERR_BUSY, "%lld requests wait already", (long long)e->n_waiting) : KR_OK;
    if (st == KR_OK) {
        *e->queue_end = r;
        e->queue_end = &r->next;
        e->n_waiting++;
        *out = r;
        pthread_cond_signal(&e->shared->work);
    } else {
        r->n_owners = 1;
        kr_request_drop(r);
    }
    pthread_mutex_unlock(&e->shared->lock);
    return st;
}

bool kr_engine_drain(kr_engine *e, double timeout_s) {
    struct timespec until = kr_deadline(timeout_s);
    int late = 0;
    pthread_mutex_lock(&e->shared->lock);
    e->draining = true;
    while (!late && (e->n_waiting || e->stats.n_reading || e->stats.n_writing)) late = pthread_cond_timedwait(&e->shared->news, &e->shared->lock, &until);
    bool done = !e->n_waiting && !e->stats.n_reading && !e->stats.n_writing;
    pthread_mutex_unlock(&e->shared->lock);
    return done;
}

kr_status kr_engine_load_state(const kr_engine *e, kr_snapshot **out, const char *path) { return kr_snapshot_read(out, e->layout, path); }

void kr_engine_get_stats(const kr_engine *e, kr_engine_stats *out) {
    pthread_mutex_lock(&e->shared->lock);
    *out = e->stats;
    out->n_waiting = e->n_waiting;
    pthread_mutex_unlock(&e->shared->lock);
    if (!e->keeper.file) return;
    kr_prefix_file_stats kept = kr_prefix_file_get_stats(e->keeper.file);
    out->kept_entries = kept.n, out->kept_bytes = kept.bytes, out->kept_refused = kept.n_refused;
}
