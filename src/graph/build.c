/* build.c - making nodes: leaves, ops, views, scopes, blocks. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "graph/node.h"
#include "ops/ops.h"
#include "ops/to_float/to_float.h"
#include "ops/to_real/to_real.h"

kr_status kr_graph_new(kr_graph **out, kr_params *params, const kr_graph_options *opt) {
    kr_graph *g = kr_mem_new(sizeof *g);
    if (!g) return KR_ERR_NOMEM;
    g->params = params;
    g->opt = *opt;
    if (g->opt.n_threads < 1) g->opt.n_threads = 1;
    g->device = params->device;
    g->real = g->device && params->matrix_dtype == KR_BF16 ? KR_BF16 : KR_F32;
    if (g->device) g->opt.impl = KR_CUDA;
    g->nodes_end = &g->nodes;
    g->block = -1;
    g->loss_scale = 1;
    *out = g;
    return KR_OK;
}

void kr_graph_free(kr_graph *g) {
    if (!g) return;
    kr_mem_free(g->steps);
    if (g->device) {
        kr_on_device_free(g);
    } else {
        kr_mem_free(g->block_data);
        kr_mem_free(g->fixed);
    }
    kr_mem_free(g->profile);
    kr_arena_clear(&g->arena);
    kr_mem_free(g);
}

const kr_graph_options *kr_graph_get_options(const kr_graph *g) { return &g->opt; }

kr_node *kr_graph_fail(kr_graph *g, kr_status st, const char *fmt, ...) {
    if (g->status != KR_OK) return NULL;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->error, sizeof g->error, fmt, ap);
    va_end(ap);
    g->status = st;
    return NULL;
}

/* Passes on what a callee left in kr_error(). */
static kr_node *failed(kr_graph *g, kr_status st) {
    return kr_graph_fail(g, st, "%s%s%s", g->scope, *g->scope ? ": " : "", kr_error());
}

kr_node *kr_node_new(kr_graph *g, kr_node_kind kind, const char *name, kr_dtype dtype, int n_dims, const int64_t *dim) {
    if (g->status != KR_OK) return NULL;
    kr_node *n = kr_arena_new(&g->arena, sizeof *n);
    if (!n) return failed(g, KR_ERR_NOMEM);
    n->kind = kind;
    n->dtype = dtype;
    n->n_dims = n_dims;
    memcpy(n->dim, dim, (size_t)n_dims * sizeof *dim);
    n->root = n;
    n->first = n->last = n->maker = -1;
    if (name && !(n->name = kr_arena_strdup(&g->arena, name))) return failed(g, KR_ERR_NOMEM);
    *g->nodes_end = n;
    g->nodes_end = &n->all_next;
    return n;
}

/* --- leaves ------------------------------------------------------------------ */

kr_node *kr_input(kr_graph *g, const char *name, kr_dtype dtype, int n_dims, const int64_t *dim) {
    return kr_node_new(g, KR_NODE_INPUT, name, dtype, n_dims, dim);
}

void *kr_graph_room(kr_graph *g, size_t bytes) {
    void *p = kr_arena_new(&g->arena, bytes);
    if (!p) failed(g, KR_ERR_NOMEM);
    return p;
}

kr_node *kr_const_i32(kr_graph *g, const int32_t *x, int64_t n) {
    kr_node *c = kr_node_new(g, KR_NODE_CONST, NULL, KR_I32, 1, &n);
    void *copy = c ? kr_arena_new(&g->arena, (size_t)n * sizeof *x) : NULL;
    if (!copy) return failed(g, KR_ERR_NOMEM);
    c->init = memcpy(copy, x, (size_t)n * sizeof *x);
    return c;
}

kr_node *kr_const_pieces(kr_graph *g, const kr_piece *piece, int n) {
    int64_t width = 0, at = 0;
    for (int i = 0; i < n; i++) width += piece[i].width;
    kr_node *c = kr_node_new(g, KR_NODE_CONST, NULL, KR_F32, 1, &width);
    float *x = c ? kr_arena_new(&g->arena, (size_t)width * sizeof *x) : NULL;
    if (!x) return failed(g, KR_ERR_NOMEM);
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < piece[i].width; k++) x[at++] = piece[i].value;
    c->init = x;
    return c;
}

static const char *scoped(kr_graph *g, const char *name, char *to, size_t size) {
    snprintf(to, size, "%s%s%s", g->scope, *g->scope ? "." : "", name);
    return to;
}

kr_node *kr_weight(kr_graph *g, const char *name, int flags, int n_dims, const int64_t *dim, kr_init init) {
    char full[400];
    if (g->status != KR_OK) return NULL;
    kr_param *p;
    if (g->shared) snprintf(full, sizeof full, "%s%s.%s", g->shared, g->scope + g->shared_at, name);
    else scoped(g, name, full, sizeof full);
    kr_status st = kr_params_get(&p, g->params, full, n_dims, dim, init);
    if (st != KR_OK) return kr_graph_fail(g, st, "%s", kr_error());
    if (!p->data) {
        if ((flags & KR_MATRIX) && !p->matrix) p->dtype = g->params->matrix_dtype; /* a reader may then choose another */
        p->matrix = (flags & KR_MATRIX) != 0;
        p->no_decay = (flags & KR_NO_DECAY) != 0;
        p->conv = (flags & KR_CONV) != 0;
    }
    for (kr_node *n = g->nodes; n; n = n->all_next) /* one node a parameter, however often it is used */
        if (n->param == p && n->root == n) return n;
    kr_node *n = kr_node_new(g, KR_NODE_PARAM, full, p->dtype, n_dims, dim);
    if (!n) return NULL;
    n->param = p;
    n->from_params = true;
    n->needs_grad = g->opt.training;
    return n;
}

kr_node *kr_state(kr_graph *g, const char *name, int n_dims, const int64_t *dim) {
    char full[400];
    return kr_node_new(g, KR_NODE_STATE, scoped(g, name, full, sizeof full), KR_F32, n_dims, dim);
}

kr_node *kr_state_i32(kr_graph *g, const char *name, int n_dims, const int64_t *dim) {
    char full[400];
    return kr_node_new(g, KR_NODE_STATE, scoped(g, name, full, sizeof full), KR_I32, n_dims, dim);
}

static kr_node *cast(kr_graph *g, const kr_op *op, kr_node *x) { return kr_apply(g, op, NULL, (kr_node *const[KR_MAX_IN]){x}, NULL); }

kr_node *kr_state_low(kr_graph *g, const char *name, int n_dims, const int64_t *dim) {
    kr_node *n = kr_state(g, name, n_dims, dim);
    if (n && g->device && !g->opt.training) n->dtype = g->opt.state_dtype;
    return n;
}

void kr_state_set_next(kr_graph *g, kr_node *state, kr_node *next) {
    if (g->status != KR_OK) return;
    KR_ASSERT(state && next && state->kind == KR_NODE_STATE && next->root == next);
    if (next->dtype == KR_BF16 && state->dtype == KR_F32 && !(next = cast(g, &kr_op_to_float, next))) return;
    state->next = next;
}

void kr_state_set_start(kr_graph *g, kr_node *state, kr_node *param) {
    if (g->status == KR_OK) state->start = param;
}

void kr_scope_push(kr_graph *g, const char *name) {
    size_t n = strlen(g->scope);
    if (g->status != KR_OK) return;
    if (n + strlen(name) + 2 > sizeof g->scope || g->n_scopes == KR_MAX_SCOPES) {
        kr_graph_fail(g, KR_ERR_CONFIG, "parts are nested too deep at %s", g->scope);
        return;
    }
    g->scope_len[g->n_scopes++] = n;
    snprintf(g->scope + n, sizeof g->scope - n, "%s%s", n ? "." : "", name);
}

/* A name may itself hold dots ("layers.0"), so the lengths are kept. */
void kr_scope_pop(kr_graph *g) {
    if (g->status == KR_OK) g->scope[g->scope_len[--g->n_scopes]] = 0;
}

void kr_share_begin(kr_graph *g, const char *name) {
    if (g->status != KR_OK) return;
    KR_ASSERT(!g->shared);
    if (!(g->shared = kr_arena_strdup(&g->arena, name))) failed(g, KR_ERR_NOMEM);
    g->shared_at = strlen(g->scope);
}
void kr_share_end(kr_graph *g) { g->shared = NULL; }

/* --- ops and views -------------------------------------------------------------- */

kr_tensor kr_node_shape(const kr_node *n) {
    kr_tensor t = {.dtype = n->dtype, .n_dims = n->n_dims, .pitch = n->pitch};
    memcpy(t.dim, n->dim, sizeof t.dim);
    return t;
}

kr_step *kr_step_new(kr_graph *g) {
    if (g->status != KR_OK) return NULL;
    if (g->n_steps == g->cap_steps) {
        int cap = g->cap_steps ? 2 * g->cap_steps : g->states_of ? g->states_of->n_steps + 1 : 64; /* those of one model are alike */
        void *p = kr_mem_resize(g->steps, (size_t)cap * sizeof *g->steps);
        if (!p) {
            failed(g, KR_ERR_NOMEM);
            return NULL;
        }
        g->steps = p;
        g->cap_steps = cap;
    }
    kr_step *s = &g->steps[g->n_steps++];
    *s = (kr_step){.block = g->block};
    return s;
}

kr_status kr_steps_trim(kr_graph *g) {
    if (g->cap_steps <= g->n_steps + 1) return KR_OK;
    kr_step *exact = g->n_steps ? kr_mem_array((size_t)g->n_steps, sizeof *exact) : NULL;
    if (!exact) return g->n_steps ? KR_ERR_NOMEM : KR_OK;
    memcpy(exact, g->steps, (size_t)g->n_steps * sizeof *exact);
    kr_mem_free(g->steps);
    g->steps = exact;
    g->cap_steps = g->n_steps;
    return KR_OK;
}

/* A column slice fits a slot only if the slot's rows are the slice's rows. */
static bool rows_fit(const kr_op *op, const kr_call *c, kr_node *const *in, const char **which) {
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        if (!in[i] || in[i]->pitch == 0) continue;
        int64_t width = 1;
        for (int a = t.n_row_axes < 0 ? c->n_star : t.n_row_axes; a < in[i]->n_dims; a++) width *= in[i]->dim[a];
        if (width != in[i]->width) return *which = op->name, false;
    }
    return true;
}

/* --- two precisions (on a device) ------------------------------------------------ */

/* The precision an op computes in: that of the graph, or float32 if all it reads comes from
 * parameters (a decay rate loses too much in bfloat16). */
static kr_dtype real_of(const kr_graph *g, const kr_op *op, kr_node *const *in) {
    kr_sig_term t = {0};
    bool any = false, activation = false;
    int i = 0;
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        if (!in[i] || t.kind != KR_SLOT_REAL) continue;
        any = true;
        activation = activation || !in[i]->from_params;
    }
    return any && !activation && op != &kr_op_to_real ? KR_F32 : g->real;
}

/* Puts a cast before every slot that wants another precision. */
static void fit_inputs(kr_graph *g, const kr_op *op, kr_dtype real, kr_node *const *in, kr_node **to) {
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        to[i] = in[i];
        if (!in[i] || g->real == KR_F32) continue;
        if (t.kind == KR_SLOT_F32 && !t.low && in[i]->dtype == KR_BF16) to[i] = cast(g, &kr_op_to_float, in[i]);
        if (t.kind == KR_SLOT_REAL && in[i]->dtype == KR_F32 && real == KR_BF16) to[i] = cast(g, &kr_op_to_real, in[i]);
        if (t.kind == KR_SLOT_REAL && in[i]->dtype == KR_BF16 && real == KR_F32) to[i] = cast(g, &kr_op_to_float, in[i]);
    }
}

kr_node *kr_apply(kr_graph *g, const kr_op *op, const void *attr, kr_node *const *given, kr_node **out) {
    if (g->status != KR_OK) return NULL;
    kr_node *in[KR_MAX_IN] = {0};
    kr_dtype real = real_of(g, op, given);
    fit_inputs(g, op, real, given, in);
    kr_step *s = kr_step_new(g);
    if (!s) return NULL;
    if (op->attr_bytes) {
        void *copy = kr_arena_new(&g->arena, op->attr_bytes);
        if (!copy) return failed(g, KR_ERR_NOMEM);
        if (attr) memcpy(copy, attr, op->attr_bytes);
        else kr_attr_defaults(op, copy);
        s->attr = copy;
    }
    s->op = op;
    s->call.attr = s->attr;
    s->call.n_threads = g->opt.n_threads;
    s->call.training = g->opt.training;
    s->call.real = real;
    s->call.impl = g->opt.impl;
    kr_sig_term t = {0};
    bool any_grad = false, from_params = true;
    int n_in = 0, n_out = 0;
    for (const char *p = op->sig; kr_sig_next(&p, &t);) {
        if (t.output) {
            n_out++;
            continue;
        }
        int i = n_in++;
        if (!(s->in[i] = in[i])) continue;
        s->call.in[i] = kr_node_shape(in[i]);
        from_params = from_params && in[i]->from_params;
        any_grad = any_grad || (in[i]->needs_grad && !(op->no_grad >> i & 1));
    }
    const char *which;
    kr_status st = kr_op_bind(op, &s->call);
    if (st != KR_OK) return failed(g, st);
    if (!rows_fit(op, &s->call, s->in, &which))
        return kr_graph_fail(g, KR_ERR_SHAPE, "%s: %s: a slice of columns has other rows than the op", g->scope, which);
    for (int o = 0; o < n_out; o++) {
        const kr_tensor *y = &s->call.out[o];
        kr_node *n = kr_node_new(g, KR_NODE_ACT, NULL, y->dtype, y->n_dims, y->dim);
        if (!n) return NULL;
        n->needs_grad = any_grad && y->dtype != KR_I32;
        n->width = y->pitch;
        n->from_params = from_params;
        n->maker = g->n_steps - 1;
        g->steps[g->n_steps - 1].out[o] = n;
        if (out) out[o] = n;
    }
    return g->steps[g->n_steps - 1].out[0];
}

static kr_node *view(kr_graph *g, kr_node *x, int n_dims, const int64_t *dim) {
    kr_node *v = kr_node_new(g, x->kind, NULL, x->dtype, n_dims, dim);
    if (!v) return NULL;
    v->root = x->root;
    v->offset = x->offset;
    v->width = x->width;
    v->pitch = x->pitch;
    v->needs_grad = x->needs_grad;
    v->param = x->param;
    v->from_params = x->from_params;
    return v;
}

kr_node *kr_columns(kr_graph *g, kr_node *x, int64_t start, int64_t width) {
    if (g->status != KR_OK || !x) return NULL;
    int64_t last = x->dim[x->n_dims - 1], dim[KR_MAX_DIMS];
    if (start < 0 || width < 1 || start > last - width || (x->pitch && x->width != last))
        return kr_graph_fail(g, KR_ERR_SHAPE, "%s: columns %lld..%lld are not in a width of %lld", g->scope, (long long)start,
                             (long long)(start + width), (long long)last);
    memcpy(dim, x->dim, sizeof dim);
    dim[x->n_dims - 1] = width;
    kr_node *v = view(g, x, x->n_dims, dim);
    if (!v) return NULL;
    v->offset += start;
    v->pitch = x->pitch ? x->pitch : last;
    v->width = width;
    return v;
}

kr_node *kr_reshape(kr_graph *g, kr_node *x, int n_dims, const int64_t *dim) {
    if (g->status != KR_OK || !x) return NULL;
    int64_t n = 1, m = 1, rows = 1;
    for (int i = 0; i < x->n_dims; i++) n *= x->dim[i];
    for (int i = 0; i < n_dims; i++) m *= dim[i];
    bool fits = n == m;
    if (fits && x->pitch) { /* the row boundary has to fall between two of the new axes */
        int i = 0;
        while (i < n_dims && rows * x->width < n) rows *= dim[i++];
        fits = rows * x->width == n;
    }
    if (!fits) return kr_graph_fail(g, KR_ERR_SHAPE, "%s: %lld elements do not reshape to %lld", g->scope, (long long)n, (long long)m);
    return view(g, x, n_dims, dim);
}

kr_node *kr_node_view_as(kr_graph *g, kr_node *root, const kr_node *like) {
    if (like->root == like) return root;
    kr_node *v = kr_node_new(g, root->kind, NULL, root->dtype, like->n_dims, like->dim);
    if (!v) return NULL;
    v->root = root;
    v->offset = like->offset;
    v->width = like->width;
    v->pitch = like->pitch;
    return v;
}

int kr_node_dims(const kr_node *n) { return n ? n->n_dims : 0; }
int64_t kr_node_dim(const kr_node *n, int i) { return n ? n->dim[i < 0 ? n->n_dims + i : i] : 0; }
const char *kr_node_name(const kr_node *n) { return n->name; }

void kr_block_begin(kr_graph *g) { g->block = g->n_blocks++; }
void kr_block_end(kr_graph *g) { g->block = -1; }

void kr_graph_keep(kr_graph *g, kr_node *n, const char *name) {
    if (g->status != KR_OK || !n) return;
    if (n->dtype == KR_BF16 && !(n = cast(g, &kr_op_to_float, n))) return; /* who reads it knows floats */
    n->root->keep = true;
    n->keep = true;
    if (!(n->name = kr_arena_strdup(&g->arena, name))) failed(g, KR_ERR_NOMEM);
}
