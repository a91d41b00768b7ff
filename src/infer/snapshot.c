/* snapshot.c - immutable copies of what a sequence remembers, with owners. */
#include "infer/snapshot.h"

#include <string.h>

#include "infer/session.h"

/* --- layouts ------------------------------------------------------------------------------ */

static kr_status fill_layout(kr_layout *l, const kr_graph *g) {
    l->n = kr_graph_n_states(g);
    if (!(l->state = kr_arena_new(&l->arena, (size_t)l->n * sizeof *l->state + 1))) return KR_ERR_NOMEM;
    for (int i = 0; i < l->n; i++) {
        kr_tensor t = kr_node_tensor(kr_graph_get_state(g, i));
        kr_layout_state *s = &l->state[i];
        *s = (kr_layout_state){.name = kr_arena_strdup(&l->arena, kr_node_name(kr_graph_get_state(g, i))), .dtype = t.dtype, .n_dims = t.n_dims, .at = l->bytes};
        if (!s->name) return KR_ERR_NOMEM;
        memcpy(s->dim, t.dim, sizeof s->dim);
        s->bytes = (size_t)(kr_count(&t) / t.dim[0]) * kr_dtype_bytes(t.dtype);
        s->dim[0] = 1;
        l->bytes += s->bytes;
    }
    KR_ASSERT(l->bytes == kr_graph_row_bytes(g));
    return KR_OK;
}

kr_status kr_layout_new(kr_layout **out, const kr_graph *g, int64_t V) {
    kr_layout *l = kr_mem_new(sizeof *l);
    if (!l) return KR_ERR_NOMEM;
    l->n_owners = 1;
    l->V = V;
    kr_status st = fill_layout(l, g);
    if (st != KR_OK) kr_layout_free(l);
    else *out = l;
    return st;
}

void kr_layout_free(kr_layout *l) {
    if (!l || atomic_fetch_sub(&l->n_owners, 1) > 1) return;
    kr_arena_clear(&l->arena);
    kr_mem_free(l);
}

bool kr_layout_same(const kr_layout *a, const kr_layout *b) {
    if (a == b) return true;
    if (a->n != b->n || a->bytes != b->bytes || a->V != b->V) return false;
    for (int i = 0; i < a->n; i++) {
        const kr_layout_state *x = &a->state[i], *y = &b->state[i];
        if (strcmp(x->name, y->name) != 0 || x->dtype != y->dtype || x->n_dims != y->n_dims || memcmp(x->dim, y->dim, sizeof x->dim) != 0) return false;
    }
    return true;
}

/* --- snapshots ---------------------------------------------------------------------------- */

static size_t padded(size_t n) { return (n + 63) & ~(size_t)63; }

static size_t scores_bytes(const kr_layout *l, bool logits) { return logits ? padded((size_t)l->V * sizeof(float)) : 0; }

size_t kr_snapshot_size(const kr_layout *l, bool logits, bool memory) {
    return padded(sizeof(kr_snapshot)) + padded(l->bytes) + scores_bytes(l, logits) + (memory ? kr_sampler_memory_bytes(l->V) : 0);
}

/* One block for all of it. */
kr_status kr_snapshot_new(kr_snapshot **out, kr_layout *l, bool logits, bool memory) {
    size_t head = padded(sizeof(kr_snapshot)), scores = scores_bytes(l, logits), states = padded(l->bytes), bytes = kr_snapshot_size(l, logits, memory);
    kr_snapshot *s = kr_mem_new(bytes);
    if (!s) return KR_ERR_NOMEM;
    s->n_owners = 1;
    s->layout = l;
    s->bytes = bytes;
    s->states = (char *)s + head;
    if (logits) s->logits = (float *)((char *)s + head + states);
    if (memory) s->memory = (kr_sampler_memory *)((char *)s + head + states + scores);
    atomic_fetch_add(&l->n_owners, 1);
    *out = s;
    return KR_OK;
}

kr_snapshot *kr_snapshot_share(kr_snapshot *s) {
    atomic_fetch_add(&s->n_owners, 1);
    return s;
}

void kr_snapshot_free(kr_snapshot *s) {
    if (!s || atomic_fetch_sub(&s->n_owners, 1) > 1) return;
    kr_layout_free(s->layout);
    kr_grammar_leave(s->grammar);
    kr_grammar_free(s->grammar);
    kr_mem_free(s->stop);
    kr_mem_free(s->beyond);
    kr_mem_free(s);
}

kr_status kr_snapshot_set_stop(kr_snapshot *s, const char *stop, const char *beyond) {
    s->stop = kr_mem_strdup(stop);
    s->beyond = kr_mem_strdup(beyond);
    return s->stop && s->beyond ? KR_OK : KR_ERR_NOMEM;
}

const char *kr_snapshot_stop(const kr_snapshot *s, const char **beyond) {
    if (beyond) *beyond = s->stop ? s->beyond : NULL;
    return s->stop;
}

bool kr_snapshot_in_turn(const kr_snapshot *s) { return s->in_turn; }

int64_t kr_snapshot_n_tok(const kr_snapshot *s) { return s->n_tok; }
int64_t kr_snapshot_bytes(const kr_snapshot *s) { return (int64_t)s->bytes; }

/* --- of sessions ---------------------------------------------------------------------------- */

kr_status kr_session_snapshot(kr_snapshot **out, const kr_session *s) {
    kr_snapshot *x;
    KR_TRY(kr_draft_settle((kr_session *)s)); /* changes nothing that can be seen */
    KR_TRY(kr_snapshot_new(&x, s->layout, s->logits, true));
    kr_status st = kr_graph_get_row(s->reader.home, 0, x->states);
    if (st != KR_OK) return kr_snapshot_free(x), st;
    x->n_tok = s->n_tok;
    x->seed = s->sampler.opt.seed;
    if (s->grammar) kr_grammar_enter(x->grammar = kr_grammar_share(s->grammar));
    x->place = s->place;
    if (s->logits) memcpy(x->logits, s->logits, (size_t)s->layout->V * sizeof *s->logits);
    memcpy(x->memory, s->sampler.memory, kr_sampler_memory_bytes(s->layout->V));
    *out = x;
    return KR_OK;
}

kr_status kr_session_restore(kr_session *s, const kr_snapshot *x) {
    if (!kr_layout_same(s->layout, x->layout)) KR_FAIL(KR_ERR_ARG, "the snapshot is of another model, or its states are of another type");
    kr_draft_forget(s->draft);
    KR_TRY(kr_graph_put_row(s->reader.home, 0, x->states));
    s->n_tok = x->n_tok;
    s->logits = NULL;
    s->last = KR_END;
    if (s->grammar) s->place = x->grammar == s->grammar ? x->place : s->grammar->start;
    if (x->logits) s->logits = memcpy(s->kept_logits, x->logits, (size_t)s->layout->V * sizeof *x->logits);
    kr_sampler_forget(&s->sampler);
    if (x->memory) memcpy(s->sampler.memory, x->memory, kr_sampler_memory_bytes(s->layout->V));
    return KR_OK;
}

/* The copy goes from graph to graph, so it costs no third state. */
kr_status kr_session_fork(kr_session **out, const kr_session *s) {
    kr_session *f;
    kr_session_options o = s->opt;
    o.sampler = &s->sampler.opt;
    KR_TRY(kr_draft_settle((kr_session *)s));
    KR_TRY(kr_session_new(&f, s->reader.model, &o));
    kr_status st = kr_graph_copy_row(f->reader.home, 0, s->reader.home, 0);
    if (st != KR_OK) return kr_session_free(f), st;
    f->n_tok = s->n_tok;
    f->last = s->last;
    if (s->grammar && (st = kr_session_set_grammar(f, s->grammar)) != KR_OK) return kr_session_free(f), st;
    f->place = s->place;
    if (s->logits) f->logits = memcpy(f->kept_logits, s->logits, (size_t)s->layout->V * sizeof *s->logits);
    memcpy(f->sampler.memory, s->sampler.memory, kr_sampler_memory_bytes(s->layout->V));
    *out = f;
    return KR_OK;
}
