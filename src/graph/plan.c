/* plan.c - who needs what memory when.
 *
 *     fixed    inputs, constants, states: live from run to run
 *     block    activations, gradients, saved values, scratch: one block; two of them share
 *              bytes when no step needs both
 *
 * Parameters and their gradients lie in kr_params.  Nothing is allocated before
 * kr_graph_alloc, and nothing after it. */
#include <string.h>

#include "graph/node.h"

/* A multiple of what the widest vectors of a device want. */
static size_t padded(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

size_t kr_node_bytes(const kr_node *n) {
    kr_tensor t = kr_node_shape(n);
    return padded(kr_dtype_row_bytes(n->dtype, kr_count(&t)));
}

bool kr_node_in_block(const kr_node *n) {
    return n->root == n && !n->alias && n->first >= 0 && !n->param &&
           (n->kind == KR_NODE_ACT || n->kind == KR_NODE_GRAD || n->kind == KR_NODE_SAVED || n->kind == KR_NODE_SCRATCH);
}
static bool in_fixed(const kr_node *n) {
    return n->root == n && (n->kind == KR_NODE_INPUT || n->kind == KR_NODE_CONST || n->kind == KR_NODE_STATE);
}

static void use(kr_node *n, int step) {
    if (!n) return;
    n = n->root;
    n->n_uses++;
    if (n->first < 0 || step < n->first) n->first = step;
    if (step > n->last) n->last = step;
}

static bool wanted(const kr_node *n) { return n && (n->n_uses > 0 || n->keep); }

/* Steps nobody waits for are dropped: from the last to the first, so that what only they
 * read is dropped too. */
static void find_uses(kr_graph *g) {
    for (kr_node *n = g->nodes; n; n = n->all_next)
        if (n->kind == KR_NODE_STATE && n->next) use(n->next, g->n_steps);
    if (g->loss_grad) use(g->loss_grad, g->n_forward);
    for (int k = g->n_steps - 1; k >= 0; k--) {
        kr_step *s = &g->steps[k];
        bool live = s->backward || (s->saved && s->saved->n_uses > 0);
        for (int o = 0; o < KR_MAX_OUT; o++) live = live || wanted(s->out[o]);
        if ((s->dead = !live)) continue;
        use(s->saved, k);
        for (int i = 0; i < KR_MAX_IN; i++) {
            if (!s->backward || s->op->bwd_in >> i & 1) use(s->in[i], k);
            if (s->backward) use(s->din[i], k);
        }
        for (int o = 0; o < KR_MAX_OUT; o++) {
            if (s->backward) {
                if ((s->op->bwd_out | (s->call.again ? s->op->bwd_again : 0)) >> o & 1) use(s->out[o], k);
                use(s->dout[o], k);
            } else if (s->out[o] && (o == 0 || wanted(s->out[o]))) {
                use(s->out[o], k);
            }
        }
    }
    for (kr_node *n = g->nodes; n; n = n->all_next)
        if (n->root->keep && n->root->first >= 0) n->root->last = g->n_steps;
}

/* The same value as theirs, which was found before this one? */
static bool same_value(const kr_node *n, const kr_node *theirs) {
    if (!n || !theirs) return n == theirs;
    const kr_node *root = theirs->root->alias ? theirs->root->alias : theirs->root;
    return (n->param ? n->param == theirs->param : n->root->alias == root) && n->offset == theirs->offset && n->pitch == theirs->pitch;
}

static bool same_step(const kr_step *s, const kr_step *theirs) {
    bool same = s->op == theirs->op && (s->op->attr_bytes == 0 || memcmp(s->attr, theirs->attr, s->op->attr_bytes) == 0);
    for (int i = 0; i < KR_MAX_IN; i++) same = same && same_value(s->in[i], theirs->in[i]);
    for (int o = 0; o < KR_MAX_OUT; o++) {
        const kr_node *y = s->out[o], *z = theirs->out[o];
        same = same && !y == !z && (!y || (y->n_dims == z->n_dims && memcmp(y->dim, z->dim, (size_t)y->n_dims * sizeof *y->dim) == 0 && z->first >= 0));
    }
    return same;
}

/* Steps over parameters alone, whose results then live from run to run: in the graph whose states are used, if it has
 * the same ones.  They are computed again here, to the same bits. */
static void find_frozen(kr_graph *g) {
    const kr_graph *of = g->device ? NULL : g->states_of;
    int at = 0;
    for (int k = 0; k < g->n_steps && g->opt.frozen && !g->opt.training; k++) {
        kr_step *s = &g->steps[k];
        if (!s->out[0] || !s->out[0]->from_params) continue;
        s->once = true;
        for (int o = 0; o < KR_MAX_OUT; o++)
            if (s->out[o] && s->out[o]->first >= 0) s->out[o]->first = 0, s->out[o]->last = g->n_steps;
        while (of && at < of->n_steps && !of->steps[at].once) at++;
        if (!of || at == of->n_steps) continue;
        const kr_step *theirs = &of->steps[at++];
        bool same = !s->dead && !theirs->dead && same_step(s, theirs);
        for (int o = 0; o < KR_MAX_OUT && same; o++)
            if (s->out[o]) s->out[o]->alias = theirs->out[o]->alias ? theirs->out[o]->alias : theirs->out[o];
    }
}

/* A state whose only reader is the step that makes its next value is updated in place. */
static void find_aliases(kr_graph *g) {
    for (int k = 0; k < g->n_steps && !g->opt.training; k++) {
        kr_step *s = &g->steps[k];
        for (int p = 0; p < 2 && s->op->state[p].in; p++) {
            kr_node *in = s->in[s->op->state[p].in - 1], *out = s->out[s->op->state[p].out - 1];
            bool ours = in && out && in->kind == KR_NODE_STATE && in->root->next == out && in->root->n_uses == 1;
            if (ours && s->op->may_alias >> (s->op->state[p].out - 1) & 1) out->alias = in->root;
        }
    }
}

/* What a step needs for itself lives while it runs. */
static kr_status add_scratch(kr_graph *g) {
    for (int k = 0; k < g->n_steps; k++) {
        kr_step *s = &g->steps[k];
        size_t need = s->backward ? s->call.bwd_scratch : s->call.fwd_scratch;
        if (s->dead || need == 0) continue;
        if (!(s->scratch = kr_node_new(g, KR_NODE_SCRATCH, NULL, KR_F32, 1, KR_DIMS((int64_t)(need + 3) / 4)))) return g->status;
        s->scratch->first = s->scratch->last = k;
        if (need > g->memory.scratch) g->memory.scratch = need;
    }
    return KR_OK;
}

/* Largest first, each at the lowest place where nothing that lives at the same time lies. */
static kr_status place(kr_graph *g) {
    int n = 0;
    for (kr_node *x = g->nodes; x; x = x->all_next) n += kr_node_in_block(x);
    if (n == 0) return KR_OK;
    kr_node **all = kr_mem_array((size_t)n, 2 * sizeof *all), **by_place = all + n;
    if (!all) return KR_ERR_NOMEM;
    n = 0;
    for (kr_node *x = g->nodes; x; x = x->all_next) {
        if (!kr_node_in_block(x)) continue;
        x->bytes = kr_node_bytes(x);
        int i = n++;
        for (; i > 0 && all[i - 1]->bytes < x->bytes; i--) all[i] = all[i - 1];
        all[i] = x;
    }
    size_t end = 0;
    for (int i = 0; i < n; i++) {
        kr_node *x = all[i];
        size_t at = 0;
        for (int j = 0; j < i; j++) { /* by_place is sorted by address */
            const kr_node *y = by_place[j];
            if (y->last < x->first || x->last < y->first || y->at + y->bytes <= at) continue;
            if (y->at >= at + x->bytes) break;
            at = y->at + y->bytes;
        }
        x->at = at;
        if (at + x->bytes > end) end = at + x->bytes;
        int j = i;
        for (; j > 0 && by_place[j - 1]->at > at; j--) by_place[j] = by_place[j - 1];
        by_place[j] = x;
    }
    kr_mem_free(all);
    g->memory.block = end;
    return KR_OK;
}

static void measure(kr_graph *g) {
    kr_graph_memory *m = &g->memory;
    for (kr_node *n = g->nodes; n; n = n->all_next) {
        if (kr_node_in_block(n) && n->kind != KR_NODE_SCRATCH)
            *(n->kind == KR_NODE_ACT ? &m->activations : n->kind == KR_NODE_GRAD ? &m->gradients : &m->saved) += n->bytes;
        if (in_fixed(n)) *(n->kind == KR_NODE_STATE ? &m->state : &m->inputs) += kr_node_bytes(n);
    }
}

kr_status kr_graph_plan(kr_graph *g) {
    if (g->status != KR_OK) KR_FAIL(g->status, "%s", g->error);
    KR_ASSERT(!g->planned);
    g->planned = true;
    if (!g->loss_grad) KR_TRY(kr_graph_fuse(g));
    if (!g->loss_grad) g->n_forward = g->n_steps;
    find_uses(g);
    find_frozen(g);
    find_aliases(g);
    KR_TRY(kr_waves_plan(g));
    KR_TRY(add_scratch(g));
    KR_TRY(place(g));
    measure(g);
    return kr_steps_trim(g);
}

kr_graph_memory kr_graph_get_memory(const kr_graph *g) { return g->memory; }

/* --- alloc: from places to pointers --------------------------------------------- */

void kr_graph_share_states(kr_graph *g, kr_graph *with) { g->states_of = with; }

static void *data_of(const kr_node *n) {
    if (!n) return NULL;
    const kr_node *r = n->root->alias ? n->root->alias : n->root;
    return r->data ? (char *)r->data + kr_dtype_row_bytes(n->dtype, n->offset) : NULL;
}

static void point_step(kr_graph *g, kr_step *s) {
    kr_call *c = &s->call;
    for (int i = 0; i < KR_MAX_IN; i++) {
        c->in[i].data = data_of(s->in[i]);
        if (!s->din[i]) continue;
        c->din[i] = c->in[i];
        c->din[i].dtype = s->din[i]->dtype;
        c->din[i].data = data_of(s->din[i]);
        c->acc[i] = s->acc[i];
    }
    for (int o = 0; o < KR_MAX_OUT; o++) {
        if (!s->out[o]) continue;
        c->out[o].data = data_of(s->out[o]);
        c->dout[o] = c->out[o];
        c->dout[o].data = data_of(s->dout[o]);
    }
    c->saved = data_of(s->saved);
    c->scratch = data_of(s->scratch);
    c->stream = g->device ? kr_cuda()->stream(g->device) : NULL;
}

/* Inputs and constants first, states behind them. */
static void place_fixed(kr_graph *g) {
    size_t at = g->on ? KR_SCALE_BYTES : 0;
    int n_states = 0;
    for (int states = 0; states < 2; states++)
        for (kr_node *n = g->nodes; n; n = n->all_next) {
            if (!in_fixed(n) || (n->kind == KR_NODE_STATE) != states) continue;
            if (g->states_of && states) {
                const kr_node *theirs = kr_graph_get_state(g->states_of, n_states++);
                KR_ASSERT(theirs && (theirs->dim[0] >= n->dim[0] || g->opt.waves) && kr_state_row_bytes(theirs) == kr_state_row_bytes(n));
                n->data = theirs->data;
                n->host = theirs->host;
                continue;
            }
            kr_tensor t = kr_node_shape(n);
            n->data = g->fixed + at;
            n->host = g->on ? g->on->mirror + at : NULL;
            if (n->init) memcpy(n->host ? n->host : n->data, n->init, (size_t)kr_count(&t) * kr_dtype_bytes(n->dtype));
            at += kr_node_bytes(n);
        }
}

static kr_status take_memory(kr_graph *g) {
    g->fixed_bytes = g->memory.inputs + (g->states_of ? 0 : g->memory.state);
    if (g->device) return kr_on_device_alloc(g);
    g->fixed = kr_mem_new(g->fixed_bytes + 64);
    g->block_data = g->fixed ? kr_mem_new(g->memory.block + 64) : NULL;
    return g->block_data ? KR_OK : KR_ERR_NOMEM;
}

kr_status kr_graph_alloc(kr_graph *g) {
    KR_ASSERT(g->planned && !g->fixed);
    if (!(g->profile = kr_mem_array((size_t)g->n_steps + 1, sizeof *g->profile))) return KR_ERR_NOMEM;
    KR_TRY(take_memory(g));
    place_fixed(g);
    for (kr_node *n = g->nodes; n; n = n->all_next) {
        if (kr_node_in_block(n)) n->data = g->block_data + n->at;
        else if (n->param && n->root == n)
            n->data = kr_params_place(g->params, n->kind == KR_NODE_GRAD ? (void *)n->param->grad : n->param->data);
    }
    for (int k = 0; k < g->n_steps; k++) point_step(g, &g->steps[k]);
    if (!g->states_of) kr_graph_reset_states(g, NULL);
    return KR_OK;
}
