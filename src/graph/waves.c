/* waves.c - rows that follow each other: several tokens of a sequence in one run of single steps.
 *
 * A graph over S rows of one step each does not care whether two rows are of one sequence, but
 * for what reads and makes a state.  These steps lie in short segments (one op of a scan, the few of an
 * attention), and only they are run piece by piece, the rows of a piece at once: first the first
 * token of every sequence, then the second of those that have one ... .  Every row so has the bits
 * of a step by itself, and all products are done once for all rows. */
#include <string.h>

#include "graph/node.h"

static const kr_node *place_of(const kr_node *n) { return n->root->alias ? n->root->alias : n->root; }

/* --- plan -------------------------------------------------------------------------------------- */

static bool reads_rows(const kr_step *s) {
    for (int i = 0; i < KR_MAX_IN; i++)
        if (s->in[i] && s->in[i]->root->by_rows) return true;
    return false;
}

/* What has a row for each sequence: ids or vectors of steps, states, and what is made of them. */
static void find_rows(kr_graph *g) {
    for (kr_node *n = g->nodes; n; n = n->all_next)
        if (n->root == n) n->by_rows = n->kind == KR_NODE_STATE || (n->kind == KR_NODE_INPUT && n->n_dims >= 2);
    for (int k = 0; k < g->n_steps; k++) {
        kr_step *s = &g->steps[k];
        for (int o = 0; o < KR_MAX_OUT && reads_rows(s); o++)
            if (s->out[o]) s->out[o]->root->by_rows = true;
    }
}

/* From the first reader of a state to the last, or to where its next value is made. */
static void find_segment(kr_graph *g, kr_node *state) {
    int first = -1, last = state->next->root->maker;
    for (int k = 0; k < g->n_steps; k++)
        for (int i = 0; i < KR_MAX_IN && !g->steps[k].dead; i++) {
            if (!g->steps[k].in[i] || place_of(g->steps[k].in[i]) != state) continue;
            if (first < 0) first = k;
            if (k > last) last = k;
        }
    if (first < 0) first = last;
    for (int k = first; k <= last; k++) /* those that overlap become one */
        if (g->segment[k] > last + 1) last = g->segment[k] - 1;
    while (first > 0 && g->segment[first - 1] > first) first--;
    for (int k = first; k <= last; k++) g->segment[k] = last + 1;
}

static int segment_of(const kr_graph *g, const kr_node *state) {
    for (int k = 0; k < g->n_steps; k++)
        for (int i = 0; i < KR_MAX_IN && g->segment[k]; i++)
            if (g->steps[k].in[i] && place_of(g->steps[k].in[i]) == state) return g->segment[k];
    return g->segment[state->next->root->maker];
}

/* n sequences in a call of S. */
static kr_status resize(const kr_step *s, kr_call *c, int64_t n, int64_t S) {
    for (int i = 0; i < KR_MAX_IN; i++) {
        if (!s->in[i] || !s->in[i]->root->by_rows) continue;
        c->in[i].dim[0] = s->in[i]->dim[0] / S * n;
        c->in[i].pitch = s->in[i]->pitch;
    }
    return kr_op_bind(s->op, c);
}

static kr_status check_segment(kr_graph *g, int k, int64_t S) {
    const kr_step *s = &g->steps[k];
    for (int i = 0; i < KR_MAX_IN + KR_MAX_OUT; i++) {
        const kr_node *n = i < KR_MAX_IN ? s->in[i] : s->out[i - KR_MAX_IN];
        if (n && n->root->by_rows && n->dim[0] % S != 0) KR_FAIL(KR_ERR_ARG, "the op %s does not keep sequences apart, so they cannot follow each other", s->op->name);
    }
    return KR_OK;
}

/* A piece may have any number of rows, and some ops then want more scratch. */
static kr_status plan_step(kr_graph *g, int k, int64_t S) {
    kr_step *s = &g->steps[k];
    KR_TRY(check_segment(g, k, S));
    if (!(g->piece[k] = kr_arena_new(&g->arena, 2 * sizeof *g->piece[k]))) return KR_ERR_NOMEM;
    for (int64_t n = 1; n < S && reads_rows(s); n++) {
        kr_call c = s->call;
        KR_TRY(resize(s, &c, n, S));
        if (c.fwd_scratch > s->call.fwd_scratch) s->call.fwd_scratch = c.fwd_scratch;
    }
    return KR_OK;
}

/* What one piece reads, the next one reads again. */
static void keep_alive(kr_graph *g, int first, int end) {
    for (kr_node *x = g->nodes; x; x = x->all_next) {
        if (!kr_node_in_block(x) || x->last < first || x->first >= end) continue;
        if (x->first > first) x->first = first;
        if (x->last < end - 1) x->last = end - 1;
    }
}

kr_status kr_waves_plan(kr_graph *g) {
    const kr_node *any = kr_graph_get_state(g, 0);
    size_t n = (size_t)g->n_steps + 1, at = 0;
    if (!g->opt.waves) return KR_OK;
    if (g->device || g->opt.training || !any) KR_FAIL(KR_ERR_ARG, "rows that follow each other want states, on a CPU");
    g->segment = kr_arena_new(&g->arena, n * sizeof *g->segment);
    g->piece = kr_arena_new(&g->arena, n * sizeof *g->piece);
    if (!g->segment || !g->piece) return KR_ERR_NOMEM;
    find_rows(g);
    for (kr_node *x = g->nodes; x; x = x->all_next)
        if (x->kind == KR_NODE_STATE && x->root == x && x->next) find_segment(g, x);
    for (int k = 0; k < g->n_steps; k++) {
        if (g->segment[k] <= k || g->steps[k].dead) continue;
        KR_TRY(plan_step(g, k, any->dim[0]));
        if (k == 0 || g->segment[k - 1] != g->segment[k]) keep_alive(g, k, g->segment[k]);
    }
    for (kr_node *x = g->nodes; x; x = x->all_next) {
        if (x->kind != KR_NODE_STATE || x->root != x) continue;
        x->row_at = at;
        at += kr_state_row_bytes(x);
        if (x->next) x->segment = segment_of(g, x);
    }
    return KR_OK;
}

/* --- a run ---------------------------------------------------------------------------------------- */

/* The piece's rows of a tensor that begins with rows; `each` elements of one. */
static void move_to(kr_tensor *t, const kr_node *n, const kr_wave *w, int64_t S, int n_row_axes) {
    int64_t row = place_of(n)->kind == KR_NODE_STATE ? w->row : w->at, each = n->dim[0] / S;
    for (int a = 1; a < (n_row_axes > 0 ? n_row_axes : n->n_dims); a++) each *= n->dim[a];
    if (n_row_axes > 0) each *= t->pitch;
    t->data = (char *)t->data + row * each * (int64_t)kr_dtype_bytes(t->dtype);
}

/* The step's call with n sequences instead of all; for one, and for another number, it is there from last time. */
static kr_call *call_for(kr_graph *g, int k, int64_t n, int64_t S) {
    kr_piece_call *p = &g->piece[k][n > 1];
    if (p->n == n) return &p->call;
    p->call = g->steps[k].call;
    kr_status st = resize(&g->steps[k], &p->call, n, S);
    KR_ASSERT(st == KR_OK); /* the plan did the same */
    p->n = n;
    return &p->call;
}

static void run_piece(kr_graph *g, int k, const kr_wave *w, int64_t S) {
    const kr_step *s = &g->steps[k];
    kr_sig_term t = {0};
    int n[2] = {0, 0};
    kr_call *c = call_for(g, k, w->n, S);
    for (const char *sig = s->op->sig; kr_sig_next(&sig, &t);) {
        int i = n[t.output]++;
        const kr_node *x = t.output ? s->out[i] : s->in[i];
        kr_tensor *to = t.output ? &c->out[i] : &c->in[i];
        to->data = t.output ? s->call.out[i].data : s->call.in[i].data;
        if (x && to->data && x->root->by_rows) move_to(to, x, w, S, t.n_row_axes < 0 ? c->n_star : t.n_row_axes);
    }
    kr_op_forward(s->op, c, g->opt.impl);
}

/* Next values into the states they belong to, and what is to be kept of them. */
static void end_piece(kr_graph *g, int segment, const kr_waves *all, int p) {
    const kr_wave *w = &all->wave[p];
    for (kr_node *x = g->nodes; x; x = x->all_next) {
        if (x->kind != KR_NODE_STATE || x->root != x || !x->next || x->segment != segment) continue;
        size_t bytes = kr_state_row_bytes(x);
        char *rows = x->data;
        if (x->next->alias != x) memcpy(rows + (size_t)w->row * bytes, (char *)x->next->data + (size_t)w->at * bytes, (size_t)w->n * bytes);
        for (int i = 0; i < all->n_keep; i++)
            if (all->keep[i].after == p) memcpy((char *)all->keep[i].to + x->row_at, rows + (size_t)all->keep[i].row * bytes, bytes);
    }
}

int kr_waves_run(kr_graph *g, int first) {
    const kr_waves *w = g->waves;
    int64_t S = kr_graph_get_state(g, 0)->dim[0];
    int end = g->segment[first];
    for (int p = 0; p < w->n; p++) {
        for (int k = first; k < end; k++) {
            const kr_step *s = &g->steps[k];
            if (s->dead) continue;
            if (reads_rows(s)) run_piece(g, k, &w->wave[p], S);
            else if (p == 0 && !(g->ran && s->once)) kr_op_forward(s->op, &s->call, g->opt.impl);
        }
        end_piece(g, end, w, p);
    }
    return end;
}

void kr_graph_run_waves(kr_graph *g, const kr_waves *w) {
    KR_ASSERT(g->segment);
    g->waves = w;
    kr_graph_run(g, KR_RUN_FORWARD);
    g->waves = NULL;
}
