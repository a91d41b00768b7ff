/* state.c - a snapshot as a file: safetensors with the states by name, always as float32. */
#include <stdio.h>
#include <string.h>

#include "infer/session.h"
#include "model/safetensors.h"

enum { N_RECENT = KR_DRY_RANGE };

static kr_status add_states(const kr_snapshot *s, kr_st_writer *w) {
    const kr_layout *l = s->layout;
    const kr_sampler_memory *m = s->memory;
    char text[128];
    for (int i = 0; i < l->n; i++) {
        const kr_layout_state *x = &l->state[i];
        kr_tensor t = {.data = (char *)s->states + x->at, .dtype = x->dtype, .n_dims = x->n_dims};
        memcpy(t.dim, x->dim, sizeof t.dim);
        KR_TRY(kr_st_writer_add(w, x->name, &t, x->dtype == KR_I32 ? KR_I32 : KR_F32));
    }
    KR_TRY(kr_st_writer_add(w, "logits", &(kr_tensor){.data = s->logits, .dtype = KR_F32, .n_dims = 1, .dim = {l->V}}, KR_F32));
    KR_TRY(kr_st_writer_add(w, "sampler.count", &(kr_tensor){.data = (void *)m->count, .dtype = KR_I32, .n_dims = 1, .dim = {l->V}}, KR_I32));
    KR_TRY(kr_st_writer_add(w, "sampler.recent", &(kr_tensor){.data = (void *)m->recent, .dtype = KR_I32, .n_dims = 1, .dim = {N_RECENT}}, KR_I32));
    snprintf(text, sizeof text, "%llu %llu %lld %lld %lld %.9g", (unsigned long long)m->rng.seed, (unsigned long long)m->rng.index, (long long)s->n_tok,
             (long long)m->n_read, (long long)m->n_written, (double)m->mu);
    KR_TRY(kr_st_writer_metadata(w, "format", "krait-session"));
    if (s->in_turn) KR_TRY(kr_st_writer_metadata(w, "turn", "open"));
    if (s->stop) KR_TRY(kr_st_writer_metadata(w, "stop", s->stop));
    if (s->stop && *s->beyond) KR_TRY(kr_st_writer_metadata(w, "beyond_stop", s->beyond));
    return kr_st_writer_metadata(w, "position", text);
}

kr_status kr_snapshot_save(const kr_snapshot *s, const char *path) {
    kr_st_writer *w;
    if (!s->logits || !s->memory) KR_FAIL(KR_ERR_ARG, "%s: nothing was read yet, so there is no state to save", path);
    KR_TRY(kr_st_writer_new(&w));
    kr_status st = add_states(s, w);
    if (st == KR_OK) st = kr_st_writer_save(w, path);
    kr_st_writer_free(w);
    return st;
}

/* Hostile: a count that is none would be read by the sampler, or grow beyond its type. */
static kr_status check_memory(const kr_sampler_memory *m, int64_t n_tok, int64_t V, const char *path) {
    const int64_t most = (int64_t)1 << 60;
    bool good = m->n_read >= 0 && m->n_read <= most && m->n_written >= 0 && m->n_written <= m->n_read && n_tok >= 0 && n_tok <= most && m->mu >= -1e6f && m->mu <= 1e6f;
    for (int64_t i = 0; i < V; i++) good = good && m->count[i] >= 0 && (m->count[i] & ~KR_SEEN) <= KR_SEEN / 2;
    for (int64_t i = 0; i < N_RECENT; i++) good = good && m->recent[i] >= 0 && m->recent[i] < V;
    if (!good) KR_FAIL(KR_ERR_FORMAT, "%s: what the sampler remembers is impossible", path);
    return KR_OK;
}

static kr_status read_memory(kr_snapshot *x, const kr_st *st, const char *path) {
    kr_sampler_memory *m = x->memory;
    const kr_layout *l = x->layout;
    unsigned long long seed, index;
    long long n_tok, n_read, n_written;
    const char *format = kr_st_metadata(st, "format"), *position = kr_st_metadata(st, "position");
    if (!format || strcmp(format, "krait-session") != 0 || !position ||
        sscanf(position, "%llu %llu %lld %lld %lld %g", &seed, &index, &n_tok, &n_read, &n_written, &m->mu) != 6)
        KR_FAIL(KR_ERR_FORMAT, "%s is not a saved session", path);
    KR_TRY(kr_st_read(st, "sampler.count", 1, &l->V, KR_I32, m->count));
    KR_TRY(kr_st_read(st, "sampler.recent", 1, &(int64_t){N_RECENT}, KR_I32, m->recent));
    m->rng = (kr_rng){seed, kr_rng_stream("sample"), index};
    m->n_read = n_read, m->n_written = n_written, x->n_tok = n_tok;
    return check_memory(m, n_tok, l->V, path);
}

/* Hostile: whole numbers in a state are counts of steps, which kernels take for places in memory. */
kr_status kr_snapshot_check(const kr_snapshot *x) {
    const kr_layout *l = x->layout;
    for (int i = 0; i < l->n; i++) {
        const int32_t *n = (const void *)((const char *)x->states + l->state[i].at);
        for (size_t k = 0; l->state[i].dtype == KR_I32 && k < l->state[i].bytes / sizeof *n; k++)
            if (n[k] < 0 || n[k] > 1 << 30) KR_FAIL(KR_ERR_FORMAT, "%s is %d, which is no count of steps", l->state[i].name, (int)n[k]);
    }
    return KR_OK;
}

/* How the writing ended, and where in a conversation: older files say neither. */
static kr_status read_end(kr_snapshot *x, const kr_st *st, const char *path) {
    const char *turn = kr_st_metadata(st, "turn"), *stop = kr_st_metadata(st, "stop"), *beyond = kr_st_metadata(st, "beyond_stop");
    x->in_turn = turn && strcmp(turn, "open") == 0;
    if (!beyond) beyond = "";
    if (stop && (strlen(stop) > 4096 || strlen(beyond) > 65536)) KR_FAIL(KR_ERR_FORMAT, "%s: its stop string is too long", path);
    return stop && *stop ? kr_snapshot_set_stop(x, stop, beyond) : KR_OK;
}

static kr_status read_all(kr_snapshot *x, const kr_st *st, const char *path) {
    const kr_layout *l = x->layout;
    KR_TRY(read_memory(x, st, path));
    KR_TRY(read_end(x, st, path));
    KR_TRY(kr_st_read_f32(st, "logits", 1, &l->V, x->logits));
    for (int i = 0; i < l->n; i++) {
        const kr_layout_state *s = &l->state[i];
        KR_TRY(kr_st_read(st, s->name, s->n_dims, s->dim, s->dtype, (char *)x->states + s->at));
    }
    return kr_snapshot_check(x);
}

kr_status kr_snapshot_read(kr_snapshot **out, kr_layout *l, const char *path) {
    kr_snapshot *x;
    kr_st *st;
    KR_TRY(kr_st_open(&st, path));
    kr_status status = kr_snapshot_new(&x, l, true, true);
    if (status == KR_OK) {
        status = read_all(x, st, path);
        if (status == KR_OK) *out = x;
        else kr_snapshot_free(x);
    }
    kr_st_close(st);
    bool other = status == KR_ERR_MISSING || status == KR_ERR_SHAPE || status == KR_ERR_DTYPE;
    return other ? kr_fail(KR_ERR_FORMAT, "%s is the session of another model: %s", path, kr_error()) : status;
}

kr_status kr_snapshot_load(kr_snapshot **out, const kr_session *like, const char *path) { return kr_snapshot_read(out, like->layout, path); }

kr_status kr_session_save(const kr_session *s, const char *path) {
    kr_snapshot *x;
    if (!s->logits) KR_FAIL(KR_ERR_ARG, "%s: nothing was read yet, so there is no state to save", path);
    KR_TRY(kr_session_snapshot(&x, s));
    kr_status st = kr_snapshot_save(x, path);
    kr_snapshot_free(x);
    return st;
}

kr_status kr_session_load(kr_session *s, const char *path) {
    kr_snapshot *x;
    KR_TRY(kr_snapshot_read(&x, s->layout, path));
    kr_status st = kr_session_restore(s, x);
    kr_snapshot_free(x);
    return st;
}
