/* run.c - running a planned graph, its states, its profile. */
#include <math.h>
#include <string.h>

#include "base/timing.h"
#include "graph/node.h"
#include "ops/linear/linear.h"
#include "ops/ops.h"

static size_t bytes_of(const kr_node *n) {
    kr_tensor t = kr_node_shape(n);
    return kr_dtype_row_bytes(n->dtype, kr_count(&t));
}

/* --- memory, here or there ------------------------------------------------------- */

static void put_zeros(kr_graph *g, void *to, size_t bytes) {
    if (g->device) kr_cuda()->fill(g->device, to, 0, bytes);
    else memset(to, 0, bytes);
}
static void put_copy(kr_graph *g, void *to, const void *from, size_t bytes) {
    if (g->device) kr_cuda()->copy(g->device, to, from, bytes);
    else memcpy(to, from, bytes);
}
/* On a device it waits before the inputs, and is copied in a run. */
static void put_loss_scale(kr_graph *g) {
    if (g->device) put_copy(g, g->loss_grad->data, g->fixed, sizeof(float));
    else *(float *)g->loss_grad->data = g->loss_scale;
}

/* --- a run ------------------------------------------------------------------------- */

static double now(kr_graph *g) {
    if (g->device) kr_cuda()->sync(g->device);
    return kr_now();
}

static void run_step(kr_graph *g, int k) {
    kr_step *s = &g->steps[k];
    if (k == g->n_forward && g->loss_grad) put_loss_scale(g);
    if (s->dead) return;
    double t0 = g->profiling ? now(g) : 0;
    for (int i = 0; i < KR_MAX_IN && s->zero[i]; i++) put_zeros(g, s->zero[i]->data, bytes_of(s->zero[i]));
    if (s->backward) kr_op_backward(s->op, &s->call, g->opt.impl);
    else kr_op_forward(s->op, &s->call, g->opt.impl);
    if (g->profiling) {
        g->profile[k].seconds += now(g) - t0;
        g->profile[k].calls++;
    }
}

static void run_steps(kr_graph *g, kr_run what) {
    int end = what == KR_RUN_ALL ? g->n_steps : g->n_forward;
    for (int k = 0; k < end; k++) {
        if (g->waves && g->segment[k]) k = kr_waves_run(g, k) - 1;
        else if (!(g->ran && g->steps[k].once)) run_step(g, k);
    }
    g->ran = true;
    if (g->waves) return;
    for (kr_node *n = g->nodes; n; n = n->all_next) /* last: backward still reads the old state */
        if (n->kind == KR_NODE_STATE && n->root == n && n->next && n->next->alias != n) put_copy(g, n->data, n->next->data, bytes_of(n));
}

void kr_graph_run(kr_graph *g, kr_run what) {
    if (g->on) kr_on_device_run(g, what, run_steps);
    else run_steps(g, what);
}

void kr_graph_rest(kr_graph *g) {
    if (g->on) return;
    kr_mem_leave(g->block_data);
    g->ran = false; /* what was computed once is computed once more */
}

static bool all_finite(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* The closest parameter at or before step k: it says where in the model that is. */
static const char *last_param(const kr_graph *g, int k) {
    for (; k >= 0; k--)
        for (int i = 0; i < KR_MAX_IN; i++)
            if (g->steps[k].in[i] && g->steps[k].in[i]->param) return g->steps[k].in[i]->param->name;
    return "none";
}

static kr_status look(kr_graph *g, const void *data, kr_dtype dtype, int64_t n, bool *finite) {
    if (g->device) return kr_on_device_finite(g, data, dtype, n, finite);
    *finite = dtype != KR_F32 || all_finite(data, n);
    return KR_OK;
}

kr_status kr_graph_find_bad(kr_graph *g) {
    bool fine;
    for (kr_param *p = g->params->first; p; p = p->next) {
        KR_TRY(look(g, kr_params_place(g->params, p->data), p->dtype, kr_param_count(p), &fine));
        if (!fine) KR_FAIL(KR_ERR_NUMERIC, "the parameter %s", p->name);
    }
    for (int k = 0; k < g->n_forward; k++) {
        const kr_step *s = &g->steps[k];
        run_step(g, k);
        for (int o = 0; o < KR_MAX_OUT && !s->dead; o++) {
            const kr_tensor *y = &s->call.out[o];
            if (!s->out[o] || !y->data) continue;
            KR_TRY(look(g, y->data, y->dtype, kr_count(y), &fine));
            if (!fine) KR_FAIL(KR_ERR_NUMERIC, "output %d of the op %s after the parameter %s", o, s->op->name, last_param(g, k));
        }
    }
    for (kr_param *p = g->params->first; p; p = p->next) {
        if (!p->grad) continue;
        KR_TRY(look(g, kr_params_place(g->params, p->grad), KR_F32, kr_param_count(p), &fine));
        if (!fine) KR_FAIL(KR_ERR_NUMERIC, "the gradient of %s", p->name);
    }
    return KR_OK;
}

kr_node *kr_graph_find(const kr_graph *g, const char *name) {
    for (kr_node *n = g->nodes; n; n = n->all_next)
        if (n->name && strcmp(n->name, name) == 0) return n;
    return NULL;
}

kr_tensor kr_node_tensor(const kr_node *n) {
    kr_tensor t = kr_node_shape(n);
    const kr_node *r = n->root->alias ? n->root->alias : n->root;
    const char *data = r->host ? r->host : r->data;
    t.data = data ? (char *)data + kr_dtype_row_bytes(n->dtype, n->offset) : NULL;
    return t;
}

void *kr_graph_data(const kr_graph *g, const char *name) {
    kr_node *n = kr_graph_find(g, name);
    if (n) kr_graph_wait(g);
    if (n) kr_on_device_fetch(g, n->root);
    return n ? kr_node_tensor(n).data : NULL;
}

int kr_graph_n_states(const kr_graph *g) {
    int n = 0;
    for (kr_node *x = g->nodes; x; x = x->all_next) n += x->kind == KR_NODE_STATE && x->root == x;
    return n;
}

kr_node *kr_graph_get_state(const kr_graph *g, int i) {
    for (kr_node *x = g->nodes; x; x = x->all_next)
        if (x->kind == KR_NODE_STATE && x->root == x && i-- == 0) return x;
    return NULL;
}

void kr_graph_reset_states(kr_graph *g, const bool *which) {
    for (kr_node *n = g->nodes; n; n = n->all_next) {
        if (n->kind != KR_NODE_STATE || n->root != n) continue;
        size_t one = bytes_of(n) / (size_t)n->dim[0];
        if (!which && !n->start) {
            put_zeros(g, n->data, bytes_of(n));
            continue;
        }
        for (int64_t s = 0; s < n->dim[0]; s++) {
            char *to = (char *)n->data + (size_t)s * one;
            if (which && !which[s]) continue;
            if (n->start) put_copy(g, to, kr_params_place(g->params, n->start->param->data), one);
            else put_zeros(g, to, one);
        }
    }
}

void kr_graph_set_profile(kr_graph *g, bool on) {
    g->profiling = on;
    memset(g->profile, 0, (size_t)g->n_steps * sizeof *g->profile);
}

int kr_graph_get_profile(const kr_graph *g, kr_profile_row *rows, int cap) {
    int n = 0;
    for (int k = 0; k < g->n_steps; k++) {
        const kr_step *s = &g->steps[k];
        int i = 0;
        if (s->dead) continue;
        while (i < n && (strcmp(rows[i].op, s->op->name) != 0 || rows[i].backward != s->backward)) i++;
        if (i == n) {
            if (n == cap) continue;
            rows[n++] = (kr_profile_row){.op = s->op->name, .backward = s->backward};
        }
        rows[i].seconds += g->profile[k].seconds;
        rows[i].calls += g->profile[k].calls;
        int passes = !s->backward ? 1 : s->op == &kr_op_linear ? (s->din[LINEAR_X] != NULL) + (s->din[LINEAR_W] != NULL) : 2;
        if (s->op->flops) rows[i].flops += s->op->flops(&s->call) * (double)g->profile[k].calls * passes;
    }
    return n;
}
