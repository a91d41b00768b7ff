/* grad.c - the reverse graph.
 *
 * Forward steps are walked from the last to the first; each whose outputs have a gradient
 * gets a backward step.  A value's gradient has the layout of the value, so the gradient
 * of a view is the same view on the gradient of its root.
 *
 * Who writes first sets, who comes later adds.  Column slices of one root may be written
 * by different steps, so this is decided per interval of columns; where slices overlap
 * only in part, or leave a gap, the root's gradient is cleared first and all add.
 *
 * Remaking: the output of a cheap step is not kept for backward, but made again before the
 * first backward that reads it, by a repetition of the step.  Where only a product's dW reads
 * it, and the backward of the step that made it can write it as it goes (bwd_again), dW waits
 * for that instead.
 *
 * Checkpointing: the steps of a block are repeated before the block's backward, from the
 * inputs of the block; backward then reads the copies, and the originals die early. */
#include <string.h>

#include "graph/node.h"
#include "ops/conv1d/conv1d.h"
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/glu/glu.h"
#include "ops/linear/linear.h"
#include "ops/lti_scan/lti_scan.h"
#include "ops/ops.h"
#include "ops/rope/rope.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/ssd/ssd.h"

/* The gradient of a node's root, made at its first use.  Parameters have their own. */
static kr_node *grad_root(kr_graph *g, kr_node *x) {
    kr_node *r = x->root;
    if (!r->grad) {
        r->grad = kr_node_new(g, KR_NODE_GRAD, NULL, r->param ? KR_F32 : r->dtype, r->n_dims, r->dim);
        if (r->grad) r->grad->param = r->param;
    }
    return r->grad;
}

static kr_node *grad_of(kr_graph *g, kr_node *x) {
    kr_node *r = grad_root(g, x);
    return r ? kr_node_view_as(g, r, x) : NULL;
}

static bool has_grad(const kr_step *s) {
    for (int o = 0; o < KR_MAX_OUT; o++)
        if (s->out[o] && s->out[o]->grad) return true;
    return false;
}

/* --- cheap values, made again ------------------------------------------------------- */

static bool is_scan(const kr_op *op) { return op == &kr_op_ssd || op == &kr_op_selective_scan || op == &kr_op_lti_scan; }

/* Steps that read and write memory once; what they leave is a third of what a layer of Mamba-2
 * keeps, and more than a quarter of a transformer's.  And the last scans, if so wished: with the
 * states it saves for backward a scan leaves half of such a layer. */
static bool is_cheap(const kr_graph *g, int k) {
    const kr_op *op = g->steps[k].op;
    int64_t later = 0;
    if (!is_scan(op)) return op == &kr_op_conv1d || op == &kr_op_gated_rmsnorm || op == &kr_op_glu || op == &kr_op_rope;
    for (int i = k + 1; i < g->n_forward; i++) later += is_scan(g->steps[i].op);
    return later < g->opt.remake_scans;
}

static kr_node *made_again(kr_graph *g, kr_node *x) { return x && x->root->again ? kr_node_view_as(g, x->root->again, x) : x; }

/* Repeats step f; what its outputs save for backward comes from the repetition. */
static void repeat_step(kr_graph *g, int f) {
    kr_step *s = kr_step_new(g), *from = &g->steps[f];
    if (!s) return;
    s->op = from->op, s->attr = from->attr, s->call = from->call, s->saved = from->saved;
    s->block = -1;
    if (from->saved) from->saved = NULL, from->call.training = false;
    from->again = g->n_steps - 1;
    for (int k = 0; k < KR_MAX_IN; k++) s->in[k] = made_again(g, from->in[k]);
    for (int o = 0; o < KR_MAX_OUT; o++) {
        kr_node *y = from->out[o];
        if (!y || !(y->again = kr_node_new(g, KR_NODE_ACT, NULL, y->dtype, y->n_dims, y->dim))) continue;
        y->again->width = y->width;
        s->out[o] = y->again;
    }
}

/* x, if a cheap step made it, and before that what that step reads. */
static void remake(kr_graph *g, const kr_node *x) {
    int p = x->root->maker;
    if (x->root->again || p < 0 || x->root->keep || !is_cheap(g, p)) return;
    for (int k = 0; k < KR_MAX_IN; k++)
        if (g->steps[p].in[k]) remake(g, g->steps[p].in[k]);
    repeat_step(g, p);
}

/* What backward of step f reads and a cheap step made. */
static void remake_inputs(kr_graph *g, int f) {
    for (int k = 0; k < KR_MAX_IN && has_grad(&g->steps[f]); k++)
        if (g->steps[f].in[k] && g->steps[f].op->bwd_in >> k & 1) remake(g, g->steps[f].in[k]);
}

/* Backward of forward step f, reading the values of step r (f itself, or its repetition). */
static void add_backward(kr_graph *g, int f, int r) {
    const kr_op *op = g->steps[f].op;
    if (!has_grad(&g->steps[f])) return;
    if (!op->bwd[KR_REF] || (g->device && !kr_op_cuda(op)->bwd)) {
        kr_graph_fail(g, KR_ERR_CONFIG, "%s has no gradient", op->name);
        return;
    }
    kr_step *s = kr_step_new(g);
    if (!s) return;
    const kr_step *fs = &g->steps[f], *rs = &g->steps[r];
    s->op = op;
    s->attr = fs->attr;
    s->call = fs->call;
    s->backward = true;
    s->block = -1;
    memcpy(s->in, rs->in, sizeof s->in);
    memcpy(s->out, rs->out, sizeof s->out);
    s->saved = rs->saved;
    int at = g->n_steps - 1;
    for (int k = 0; k < KR_MAX_IN; k++) g->steps[at].in[k] = made_again(g, g->steps[at].in[k]);
    for (int o = 0; o < KR_MAX_OUT; o++) g->steps[at].out[o] = made_again(g, g->steps[at].out[o]);
    for (int o = 0; o < KR_MAX_OUT; o++) g->steps[at].dout[o] = fs->out[o] ? fs->out[o]->grad : NULL;
    for (int i = 0; i < KR_MAX_IN; i++) {
        kr_node *x = g->steps[f].in[i];
        if (!x || !x->needs_grad || op->no_grad >> i & 1) continue;
        g->steps[at].din[i] = grad_of(g, x);
    }
}

/* The input of product f that its dW can wait for; NULL: none. */
static kr_node *worth_waiting(kr_graph *g, int f) {
    const kr_step *s = &g->steps[f];
    kr_node *x = s->in[LINEAR_X] ? s->in[LINEAR_X]->root : NULL;
    if (!g->device || !g->opt.remake || g->opt.checkpoint || s->op != &kr_op_linear || !x || x->maker < 0) return NULL;
    if (x->keep || x->again || !x->needs_grad || !s->in[LINEAR_W]->needs_grad || !has_grad(s)) return NULL;
    const kr_step *maker = &g->steps[x->maker];
    int readers = 0;
    for (int k = 0; k < g->n_forward; k++)
        for (int i = 0; i < KR_MAX_IN; i++) readers += g->steps[k].in[i] && g->steps[k].in[i]->root == x;
    for (int o = 0; o < KR_MAX_OUT; o++)
        if (maker->out[o] == x && maker->op->bwd_again >> o & 1 && readers == 1) return x;
    return NULL;
}

/* Backward of product f but for dW, which its maker's backward will wake. */
static void postpone_dw(kr_graph *g, int f, kr_node *x) {
    add_backward(g, f, f);
    if (g->status != KR_OK || !(x->again = kr_node_new(g, KR_NODE_ACT, NULL, x->dtype, x->n_dims, x->dim))) return;
    kr_step *s = &g->steps[g->n_steps - 1];
    x->again->width = x->width;
    s->in[LINEAR_X] = s->din[LINEAR_W] = NULL;
    g->steps[x->maker].waiting = f;
}
static void wake_dw(kr_graph *g, int p) {
    g->steps[g->n_steps - 1].call.again = true;
    add_backward(g, g->steps[p].waiting, g->steps[p].waiting);
    if (g->status != KR_OK) return;
    kr_step *s = &g->steps[g->n_steps - 1];
    s->din[LINEAR_X] = s->din[LINEAR_B] = NULL;
}

static kr_node *mapped(kr_node *const *from, kr_node *const *to, int n, kr_graph *g, kr_node *x) {
    for (int i = 0; x && i < n; i++)
        if (from[i] == x->root) return kr_node_view_as(g, to[i], x);
    return x;
}

/* Repeats forward steps [a, b); the copy of step a + i is step n_steps_before + i. */
static void repeat_block(kr_graph *g, int a, int b) {
    int n = 0, cap = (b - a) * KR_MAX_OUT;
    kr_node **from = kr_arena_new(&g->arena, 2 * (size_t)cap * sizeof *from), **to = from + cap;
    if (!from) {
        kr_graph_fail(g, KR_ERR_NOMEM, "%s", kr_error());
        return;
    }
    for (int i = a; i < b; i++) {
        kr_step *s = kr_step_new(g);
        if (!s) return;
        const kr_step *f = &g->steps[i];
        s->op = f->op;
        s->attr = f->attr;
        s->call = f->call;
        s->block = -1;
        s->saved = g->steps[i].saved;
        g->steps[i].saved = NULL; /* only the repetition saves */
        g->steps[i].call.training = false;
        for (int k = 0; k < KR_MAX_IN; k++) s->in[k] = mapped(from, to, n, g, f->in[k]);
        for (int o = 0; o < KR_MAX_OUT; o++) {
            if (!f->out[o]) continue;
            kr_node *y = f->out[o], *copy = kr_node_new(g, KR_NODE_ACT, NULL, y->dtype, y->n_dims, y->dim);
            if (!copy) return;
            copy->width = y->width;
            s->out[o] = copy;
            from[n] = y;
            to[n++] = copy;
        }
    }
}

typedef struct interval { int64_t from, to; } interval;

/* Sets acc and zero of every write into one root; see the top of the file. */
static void settle_writes(kr_graph *g, kr_node *root) {
    enum { MAX = 32 };
    interval seen[MAX];
    int n = 0, first = -1;
    int64_t width = 0, covered = 0;
    bool clear = false;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = g->n_forward; k < g->n_steps; k++)
            for (int i = 0; i < KR_MAX_IN; i++) {
                kr_step *s = &g->steps[k];
                if (!s->backward || !s->din[i] || s->din[i]->root != root) continue;
                const kr_node *d = s->din[i];
                if (pass == 1) {
                    s->acc[i] = true;
                    continue;
                }
                if (first < 0) first = k;
                int64_t pitch = d->pitch ? d->pitch : 1;
                interval w = d->pitch ? (interval){d->offset % pitch, d->offset % pitch + d->width} : (interval){0, INT64_MAX};
                if (d->pitch) width = d->pitch;
                bool exact = false, partial = false;
                for (int j = 0; j < n; j++) {
                    if (seen[j].from <= w.from && w.to <= seen[j].to) exact = true;
                    else if (seen[j].from < w.to && w.from < seen[j].to) partial = true;
                }
                s->acc[i] = exact;
                clear = clear || partial || n == MAX;
                if (exact || clear) continue;
                seen[n++] = w;
                covered = w.to == INT64_MAX ? w.to : covered == INT64_MAX ? covered : covered + w.to - w.from;
            }
        if (first < 0 || (!clear && (covered == INT64_MAX || covered == width))) return;
    }
    kr_step *s = &g->steps[first];
    for (int i = 0; i < KR_MAX_IN; i++)
        if (!s->zero[i]) {
            s->zero[i] = root;
            return;
        }
}

void kr_graph_grad(kr_graph *g, kr_node *loss) {
    if (g->status != KR_OK || !loss) return;
    KR_ASSERT(g->opt.training && loss->root == loss && loss->kind == KR_NODE_ACT && !g->loss_grad);
    g->n_forward = g->n_steps;
    for (int i = 0; i < g->n_forward; i++) {
        int64_t bytes = (int64_t)g->steps[i].call.saved_bytes;
        if (bytes && !(g->steps[i].saved = kr_node_new(g, KR_NODE_SAVED, NULL, KR_F32, 1, KR_DIMS((bytes + 3) / 4)))) return;
    }
    if (!(g->loss_grad = grad_root(g, loss))) return;
    for (int i = g->n_forward - 1; i >= 0 && g->status == KR_OK; i--) {
        int block = g->opt.checkpoint ? g->steps[i].block : -1, a = i, base = i;
        if (block >= 0) {
            while (a > 0 && g->steps[a - 1].block == block) a--;
            base = g->n_steps + (i - a);
            repeat_block(g, a, i + 1);
        }
        kr_node *x = worth_waiting(g, i);
        if (x) {
            postpone_dw(g, i, x);
            continue;
        }
        if (g->opt.remake && !g->opt.checkpoint) remake_inputs(g, i);
        if (g->steps[i].again) base = g->steps[i].again;
        for (int k = i; k >= a && g->status == KR_OK; k--) add_backward(g, k, base - (i - k));
        if (g->status == KR_OK && g->steps[i].waiting) wake_dw(g, i);
        i = a;
    }
    for (kr_node *n = g->nodes; n && g->status == KR_OK; n = n->all_next) {
        if (n->kind != KR_NODE_GRAD || n->root != n) continue;
        if (!n->param) {
            settle_writes(g, n);
            continue;
        }
        for (int k = g->n_forward; k < g->n_steps; k++) /* parameters add up over batches */
            for (int i = 0; i < KR_MAX_IN; i++)
                if (g->steps[k].din[i] && g->steps[k].din[i]->root == n) g->steps[k].acc[i] = true;
    }
}

void kr_graph_set_loss_scale(kr_graph *g, float scale) { g->loss_scale = scale; }
