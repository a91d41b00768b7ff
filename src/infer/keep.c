/* keep.c - the prefix cache outlives the engine: when to write it, and by whom.
 *
 * Writing takes a disk's time, so a thread of its own does it; the cache is the engine's thread's, which draws a picture
 * of it between two steps: tokens are copied, states are shared.  It is written when nothing has run for
 * keep_s, or at last after BUSY_S of work without a pause, since each prompt leaves many megabytes of
 * checkpoints most of which are gone soon; and at the end. */
#include <stdio.h>
#include <string.h>

#include "base/sum.h"
#include "base/timing.h"
#include "infer/engine.h"

enum { BUSY_S = 300 };

/* All that decides whether a checkpoint means the same here. */
static kr_status sign_of(const kr_engine *e, char to[KR_PREFIX_SIGN + 1]) {
    char model[KR_MODEL_SIGN + 1];
    kr_str s = {0};
    const kr_layout *l = e->layout;
    kr_model_sign(model, e->model);
    kr_str_appendf(&s, "%s %lld %d %d", model, (long long)e->opt.grain, e->opt.reuse_replies, KR_PREFIX_VERSION);
    for (int i = 0; i < l->n; i++) {
        kr_str_appendf(&s, "\n%s %d", l->state[i].name, (int)l->state[i].dtype);
        for (int k = 0; k < l->state[i].n_dims; k++) kr_str_appendf(&s, " %lld", (long long)l->state[i].dim[k]);
    }
    snprintf(to, KR_PREFIX_SIGN + 1, "%016llx%016llx", (unsigned long long)kr_sum(model, KR_MODEL_SIGN), (unsigned long long)kr_sum(kr_str_text(&s), s.n));
    kr_status st = kr_str_status(&s);
    kr_str_free(&s);
    return st;
}

kr_status kr_keeper_open(kr_engine *e) {
    char sign[KR_PREFIX_SIGN + 1];
    kr_keeper *k = &e->keeper;
    pthread_condattr_t a;
    KR_TRY(sign_of(e, sign));
    kr_prefix_file_options o = {.dir = e->opt.cache_dir, .sign = sign, .layout = e->layout, .budget = e->opt.cache_bytes, .note = e->opt.note, .user = e->opt.user};
    KR_TRY(kr_prefix_file_open(&k->file, &o));
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&k->wake, &a);
    pthread_condattr_destroy(&a);
    kr_status st = kr_prefix_file_load(k->file, &e->cache);
    k->saved = k->changes = e->cache.n_changes;
    return st;
}

void kr_keeper_tell(kr_engine *e, bool idle) {
    kr_keeper *k = &e->keeper;
    if (!idle) k->calm_since = 0;
    else if (k->calm_since == 0) k->calm_since = kr_now();
    if (k->changes == e->cache.n_changes) return;
    k->changes = e->cache.n_changes;
    pthread_cond_signal(&k->wake);
}

void kr_keeper_draw(kr_engine *e) {
    kr_keeper *k = &e->keeper;
    kr_tree x = {0};
    kr_status st = kr_prefix_picture(&e->cache, &x);
    pthread_mutex_lock(&e->shared->lock);
    k->wanted = false;
    k->drawn = true;
    k->picture = x; /* without memory for it there is none, until the next time */
    if (st != KR_OK) k->picture.n_changes = -1;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&e->shared->lock);
}

static void wait_for(kr_engine *e, double seconds) {
    struct timespec until = kr_deadline(seconds);
    pthread_cond_timedwait(&e->keeper.wake, &e->shared->lock, &until);
}

/* Is it time to write?  The lock is held. */
static bool is_due(const kr_engine *e, double last) {
    const kr_keeper *k = &e->keeper;
    double now = kr_now();
    return k->changes != k->saved && ((k->calm_since > 0 && now - k->calm_since >= e->opt.keep_s) || now - last >= BUSY_S);
}

static void *keep(void *arg) {
    kr_engine *e = arg;
    kr_keeper *k = &e->keeper;
    double last = kr_now();
    pthread_mutex_lock(&e->shared->lock);
    while (!k->ending) {
        if (k->changes == k->saved) {
            pthread_cond_wait(&k->wake, &e->shared->lock);
            continue;
        }
        if (!is_due(e, last)) {
            wait_for(e, e->opt.keep_s);
            continue;
        }
        k->wanted = true;
        pthread_cond_signal(&e->shared->work);
        while (!k->drawn && !k->ending) pthread_cond_wait(&k->wake, &e->shared->lock);
        k->wanted = false;
        if (!k->drawn) break;
        kr_tree x = k->picture;
        k->picture = (kr_tree){0};
        k->drawn = false;
        pthread_mutex_unlock(&e->shared->lock);
        kr_status st = x.n_changes >= 0 ? kr_prefix_file_save(k->file, &x, e->opt.grain) : KR_ERR_NOMEM;
        int64_t saved = x.n_changes;
        kr_tree_free(&x);
        last = kr_now();
        pthread_mutex_lock(&e->shared->lock);
        if (st == KR_OK) k->saved = saved;
        else if (!k->ending) wait_for(e, 60); /* a full disk stays full for a while */
    }
    pthread_mutex_unlock(&e->shared->lock);
    return NULL;
}

kr_status kr_keeper_start(kr_engine *e) {
    kr_keeper *k = &e->keeper;
    int why = pthread_create(&k->thread, NULL, keep, e);
    if (why) KR_FAIL(KR_ERR_NOMEM, "no thread to keep the cache: %s", strerror(why));
    k->running = true;
    return KR_OK;
}

/* The engine's thread is gone. */
void kr_keeper_close(kr_engine *e) {
    kr_keeper *k = &e->keeper;
    kr_tree x = {0};
    if (!k->file) return;
    if (k->running) {
        pthread_mutex_lock(&e->shared->lock);
        k->ending = true;
        pthread_cond_signal(&k->wake);
        pthread_mutex_unlock(&e->shared->lock);
        pthread_join(k->thread, NULL);
        kr_tree_free(&k->picture);
        if (e->cache.n_changes != k->saved && kr_prefix_picture(&e->cache, &x) == KR_OK) (void)kr_prefix_file_save(k->file, &x, e->opt.grain);
        kr_tree_free(&x);
    }
    pthread_cond_destroy(&k->wake);
    kr_prefix_file_close(k->file);
    k->file = NULL;
}
