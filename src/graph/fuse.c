/* fuse.c - decoding in few launches: runs of ops for which there is one op.
 *
 * On a GPU a step of one token is mostly the starting of kernels, so a graph over single steps
 * in bfloat16 has ops replaced.  A Mamba-2 layer becomes three for six:
 *
 *     add_rmsnorm -> linear -> conv1d ---> ssd -> gated_rmsnorm ---> linear -> add_rmsnorm ...
 *     .............. step_in ............. step_ssd ................ step_out ..............
 *
 * A norm's scale is one number a row, so it can wait: y of step_ssd and step_out goes unscaled
 * into the next product, with shares of its sum of squares (q), and the product's sums are
 * scaled.  The convolution's columns are changed in place, so who read its output reads
 * in_proj's.  step_in and step_out serve any mixer that begins or ends so; what does not
 * match (several documents, other taps, ...) stays as it is. */
#include <string.h>

#include "graph/node.h"
#include "ops/add_rmsnorm/add_rmsnorm.h"
#include "ops/conv1d/conv1d.h"
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/linear/linear.h"
#include "ops/ops.h"
#include "ops/slice_steps/slice_steps.h"
#include "ops/ssd/ssd.h"
#include "ops/step_in/step_in.h"
#include "ops/step_out/step_out.h"
#include "ops/step_ssd/step_ssd.h"
#include "ops/to_float/to_float.h"

/* Steps by index: a product and the convolution of some of its columns; ssd, its gated norm
 * and the product behind; a product and the norm behind it (-1: none that can be joined); the
 * head, from the last norm to where its scores become float32. */
typedef struct join_in { int before, product, conv; } join_in;
typedef struct join_ssd { int in, conv, ssd, gate, product; } join_ssd;
typedef struct join_out { int before, product, after; } join_out;
typedef struct join_head { int before, slice, product, to_float; } join_head;

typedef struct fusion {
    kr_graph *g;
    int *n_uses;      /* of each step's output 0, by steps */
    int *user;        /* one of them */
    bool *takes;      /* a product (or the slice before the head's) that can scale its own sums */
    kr_node **q;      /* of a step whose output 0 goes unscaled: shares of its squares */
    double *eps;      /* ... and what its norm adds */
    int64_t *groups;  /* ... of how many groups of columns */
} fusion;

static const kr_step *step_at(const fusion *f, int i) { return &f->g->steps[i]; }
static bool is(const fusion *f, int i, const kr_op *op) { return i >= 0 && step_at(f, i)->op == op; }
static int maker(const kr_node *n) { return n ? n->root->maker : -1; }
/* The only step that reads output 0 of step i, if it is `op` and reads it there, whole. */
static int only_user(const fusion *f, int i, const kr_op *op, int slot) {
    if (f->n_uses[i] != 1 || step_at(f, i)->out[0]->keep || !is(f, f->user[i], op)) return -1;
    const kr_node *x = step_at(f, f->user[i])->in[slot];
    return x && maker(x) == i && x->pitch == 0 ? f->user[i] : -1;
}

static void find_users(fusion *f) {
    for (int k = 0; k < f->g->n_steps; k++)
        for (int i = 0; i < KR_MAX_IN; i++) {
            int m = maker(step_at(f, k)->in[i]);
            if (m < 0 || step_at(f, m)->out[0] != step_at(f, k)->in[i]->root) continue;
            if (f->user[m] != k || f->n_uses[m] == 0) f->n_uses[m]++; /* views of one tensor in one step are one use */
            f->user[m] = k;
        }
}

static int64_t size(const kr_step *s, char letter) { return KR_SIZE(&s->call, letter); }
static bool keeps_state(const kr_step *s, int in, int out) {
    return s->in[in] && s->in[in]->kind == KR_NODE_STATE && s->in[in]->root == s->in[in] && s->out[out] && s->in[in]->next == s->out[out];
}

/* Do other steps than the convolution leave its columns of the product alone? */
static bool only_conv_reads(const fusion *f, const join_in *l) {
    const kr_node *x = step_at(f, l->conv)->in[CONV1D_X];
    for (int k = 0; k < f->g->n_steps; k++)
        for (int i = 0; i < KR_MAX_IN && k != l->conv; i++) {
            const kr_node *y = step_at(f, k)->in[i];
            if (!y || y->root != x->root) continue;
            if (y->pitch == 0 || (y->offset < x->offset + x->width && x->offset < y->offset + y->width)) return false;
        }
    return x->pitch != 0 && !x->root->keep;
}

/* A product whose rows are not rounded on the way. */
static bool plain_product(const fusion *f, int k) { return is(f, k, &kr_op_linear) && !step_at(f, k)->in[LINEAR_S]; }

static bool match_in(const fusion *f, int conv, join_in *l) {
    const kr_step *c = step_at(f, conv);
    *l = (join_in){.product = maker(c->in[CONV1D_X]), .conv = conv};
    if (!is(f, conv, &kr_op_conv1d) || !plain_product(f, l->product)) return false;
    const kr_step *product = step_at(f, l->product);
    l->before = maker(product->in[LINEAR_X]);
    return size(c, 'L') == 1 && size(c, 'K') == 4 && ((const conv1d_attr *)c->attr)->silu && !c->in[CONV1D_SEQ_IDX] &&
           keeps_state(c, CONV1D_X0, CONV1D_X1) && !c->out[0]->keep && product->in[LINEAR_X]->pitch == 0 && size(product, 'K') % 32 == 0 &&
           l->before >= 0 && only_conv_reads(f, l);
}

static bool match_out(const fusion *f, int product, join_out *l) {
    *l = (join_out){.product = product, .before = maker(step_at(f, product)->in[LINEAR_X])};
    if (!plain_product(f, product) || l->before < 0 || step_at(f, product)->in[LINEAR_X]->pitch || size(step_at(f, product), 'K') % 32) return false;
    l->after = only_user(f, product, &kr_op_add_rmsnorm, ADD_RMSNORM_X);
    const kr_step *after = l->after < 0 ? NULL : step_at(f, l->after);
    return after && after->in[ADD_RMSNORM_RES] && kr_node_dims(after->out[0]) == 3 && after->out[0]->dim[1] == 1;
}

/* The convolution must have been matched, and the product behind must be one that scales. */
static bool match_ssd(const fusion *f, int ssd, const join_in *in, join_ssd *l) {
    const kr_step *s = step_at(f, ssd);
    join_out out;
    *l = (join_ssd){.in = in->product, .conv = in->conv, .ssd = ssd, .gate = only_user(f, ssd, &kr_op_gated_rmsnorm, GATED_RMSNORM_X)};
    if (l->gate < 0 || (l->product = only_user(f, l->gate, &kr_op_linear, LINEAR_X)) < 0 || !match_out(f, l->product, &out)) return false;
    const kr_step *gate = step_at(f, l->gate);
    const gated_rmsnorm_attr *norm = gate->attr;
    int64_t group = gated_rmsnorm_group(&gate->call), D = size(gate, 'D');
    return !s->in[SSD_SEQ_IDX] && !s->in[SSD_DHP] && keeps_state(s, SSD_H0, SSD_H) && maker(s->in[SSD_X]) == l->conv &&
           maker(s->in[SSD_B]) == l->conv && maker(s->in[SSD_C]) == l->conv && !norm->norm_before_gate && gate->in[GATED_RMSNORM_W] &&
           group % size(s, 'P') == 0 && D % group == 0;
}

static bool match_head(const fusion *f, int product, join_head *h) {
    const kr_step *s = step_at(f, product);
    *h = (join_head){.product = product, .slice = maker(s->in[LINEAR_X]), .to_float = only_user(f, product, &kr_op_to_float, 0)};
    if (!plain_product(f, product) || !is(f, h->slice, &kr_op_slice_steps) || h->to_float < 0 || only_user(f, h->slice, &kr_op_linear, LINEAR_X) != product) return false;
    h->before = maker(step_at(f, h->slice)->in[SLICE_STEPS_X]);
    return is(f, h->before, &kr_op_add_rmsnorm) && size(step_at(f, h->slice), 'L') == 1 && size(s, 'K') % 32 == 0 &&
           only_user(f, h->before, &kr_op_slice_steps, SLICE_STEPS_X) == h->slice;
}

/* --- replacing ---------------------------------------------------------------------------- */

/* The op in the place of step `at`; its outputs that stand for others are given. */
static void put(fusion *f, int at, const kr_op *op, const void *attr, kr_node *const *in, kr_node *const *stands_for, kr_node **out) {
    kr_graph *g = f->g;
    kr_apply(g, op, attr, in, out);
    if (g->status != KR_OK) return;
    g->steps[at] = g->steps[--g->n_steps];
    for (int o = 0; o < KR_MAX_OUT; o++) {
        kr_node **made = &g->steps[at].out[o];
        if (!*made) continue;
        if (stands_for[o]) *made = stands_for[o];
        (*made)->maker = at;
    }
}
static void drop(fusion *f, int at) {
    f->g->steps[at] = (kr_step){.op = f->g->steps[at].op, .block = -1};
}

/* A slice of the convolution's output, in what takes its place. */
static kr_node *moved(fusion *f, const kr_node *x, kr_node *root, int64_t conv_at) {
    kr_node *v = kr_columns(f->g, root, conv_at + x->offset, x->pitch ? x->width : x->dim[x->n_dims - 1]);
    return kr_reshape(f->g, v, x->n_dims, x->dim);
}

static void fuse_in(fusion *f, const join_in *l) {
    const kr_step in = *step_at(f, l->product), conv = *step_at(f, l->conv);
    step_in_attr a = {.eps = f->eps[l->before], .conv_at = conv.in[CONV1D_X]->offset};
    kr_node *args[KR_MAX_IN] = {[STEP_IN_A] = in.in[LINEAR_X], [STEP_IN_Q] = f->q[l->before], [STEP_IN_W] = in.in[LINEAR_W], [STEP_IN_B] = in.in[LINEAR_B],
                                [STEP_IN_CW] = conv.in[CONV1D_W], [STEP_IN_CB] = conv.in[CONV1D_B], [STEP_IN_X0] = conv.in[CONV1D_X0]};
    put(f, l->product, &kr_op_step_in, &a, args, (kr_node *const[KR_MAX_OUT]){in.out[0], conv.out[CONV1D_X1]}, NULL);
    drop(f, l->conv);
    for (int k = 0; k < f->g->n_steps && f->g->status == KR_OK; k++) { /* who read the convolution */
        const kr_step s = *step_at(f, k);
        kr_node *now[KR_MAX_IN];
        bool any = false;
        for (int i = 0; i < KR_MAX_IN; i++) {
            bool reads = s.in[i] && s.in[i]->root == conv.out[0];
            now[i] = reads ? moved(f, s.in[i], in.out[0], a.conv_at) : s.in[i];
            any = any || reads;
        }
        if (any) put(f, k, s.op, s.attr, now, s.out, NULL);
    }
}

static void fuse_ssd(fusion *f, const join_ssd *l) {
    const kr_step ssd = *step_at(f, l->ssd), gate = *step_at(f, l->gate);
    const ssd_attr *from = ssd.attr;
    kr_node *out[KR_MAX_OUT] = {0};
    int64_t S = size(&ssd, 'S'), H = size(&ssd, 'H'), P = size(&ssd, 'P');
    step_ssd_attr a = {.dt_softplus = from->dt_softplus, .dt_min = from->dt_min, .dt_max = from->dt_max};
    kr_node *args[KR_MAX_IN] = {[STEP_SSD_X] = ssd.in[SSD_X], [STEP_SSD_B] = ssd.in[SSD_B], [STEP_SSD_C] = ssd.in[SSD_C], [STEP_SSD_DT] = ssd.in[SSD_DT],
                                [STEP_SSD_A] = ssd.in[SSD_A], [STEP_SSD_D] = ssd.in[SSD_D], [STEP_SSD_DT_BIAS] = ssd.in[SSD_DT_BIAS],
                                [STEP_SSD_H0] = ssd.in[SSD_H0], [STEP_SSD_Z] = kr_reshape(f->g, gate.in[GATED_RMSNORM_Z], 4, KR_DIMS(S, 1, H, P)),
                                [STEP_SSD_W] = kr_reshape(f->g, gate.in[GATED_RMSNORM_W], 2, KR_DIMS(H, P))};
    put(f, l->gate, &kr_op_step_ssd, &a, args, (kr_node *const[KR_MAX_OUT]){gate.out[0], ssd.out[SSD_H]}, out);
    drop(f, l->ssd);
    f->q[l->gate] = out[STEP_SSD_Q];
    f->eps[l->gate] = ((const gated_rmsnorm_attr *)gate.attr)->eps;
    f->groups[l->gate] = size(&gate, 'D') / gated_rmsnorm_group(&gate.call);
}

/* With the norm behind it, if the product behind that can scale; else before it. */
static void fuse_out(fusion *f, const join_out *l) {
    const kr_step s = *step_at(f, l->product), norm = *step_at(f, l->after);
    bool joins = f->n_uses[l->after] == 1 && f->takes[f->user[l->after]] && !norm.out[0]->keep;
    step_out_attr a = {.eps = f->eps[l->before], .groups = f->groups[l->before] ? f->groups[l->before] : 1};
    kr_node *out[KR_MAX_OUT] = {0}, *args[KR_MAX_IN] = {[STEP_OUT_A] = s.in[LINEAR_X], [STEP_OUT_Q] = f->q[l->before], [STEP_OUT_W] = s.in[LINEAR_W],
                                                        [STEP_OUT_B] = s.in[LINEAR_B]};
    if (!joins) {
        put(f, l->product, &kr_op_step_out, &a, args, (kr_node *const[KR_MAX_OUT]){[STEP_OUT_Y] = s.out[0]}, NULL);
        return;
    }
    args[STEP_OUT_RES] = norm.in[ADD_RMSNORM_RES];
    args[STEP_OUT_WEIGHT] = norm.in[ADD_RMSNORM_W];
    put(f, l->after, &kr_op_step_out, &a, args,
        (kr_node *const[KR_MAX_OUT]){[STEP_OUT_Y] = norm.out[ADD_RMSNORM_Y], [STEP_OUT_SUM] = norm.out[ADD_RMSNORM_SUM]}, out);
    drop(f, l->product);
    f->q[l->after] = out[STEP_OUT_Q1];
    f->eps[l->after] = ((const add_rmsnorm_attr *)norm.attr)->eps;
}

static void fuse_head(fusion *f, const join_head *h) {
    const kr_step s = *step_at(f, h->product), scores = *step_at(f, h->to_float), slice = *step_at(f, h->slice);
    step_out_attr a = {.eps = f->eps[h->before], .groups = 1};
    kr_node *args[KR_MAX_IN] = {[STEP_OUT_A] = slice.in[SLICE_STEPS_X], [STEP_OUT_Q] = f->q[h->before], [STEP_OUT_W] = s.in[LINEAR_W],
                                [STEP_OUT_B] = s.in[LINEAR_B]};
    put(f, h->to_float, &kr_op_step_out, &a, args, (kr_node *const[KR_MAX_OUT]){[STEP_OUT_SUM] = scores.out[0]}, NULL);
    drop(f, h->product);
    drop(f, h->slice);
}

/* All is matched before anything is replaced; then in order, so that q is there when it is read. */
static void fuse(fusion *f, join_in *in, join_ssd *ssd, join_out *out) {
    int n_in = 0, n_ssd = 0, n_out = 0;
    join_head h, head = {.to_float = -1};
    find_users(f);
    for (int k = 0; k < f->g->n_steps; k++) {
        if (is(f, k, &kr_op_conv1d) && match_in(f, k, &in[n_in])) f->takes[in[n_in++].product] = true;
        if (is(f, k, &kr_op_ssd) && n_in && match_ssd(f, k, &in[n_in - 1], &ssd[n_ssd])) n_ssd++;
        if (is(f, k, &kr_op_linear) && match_out(f, k, &out[n_out])) n_out++;
        if (is(f, k, &kr_op_linear) && match_head(f, k, &h)) f->takes[h.slice] = true, head = h;
    }
    for (int k = 0, i = 0, j = 0, o = 0; k < f->g->n_steps && f->g->status == KR_OK; k++) {
        if (i < n_in && in[i].product == k) fuse_in(f, &in[i++]);
        if (j < n_ssd && ssd[j].ssd == k) fuse_ssd(f, &ssd[j++]);
        if (o < n_out && out[o].product == k) fuse_out(f, &out[o++]);
    }
    if (head.to_float >= 0 && f->g->status == KR_OK) fuse_head(f, &head);
}

kr_status kr_graph_fuse(kr_graph *g) {
    size_t n = (size_t)g->n_steps + 1;
    if (!g->device || g->opt.training || g->opt.plain || g->real != KR_BF16) return KR_OK;
    kr_arena room = {0}; /* released at the end */
    fusion f = {.g = g};
    join_in *in = kr_arena_new(&room, n * sizeof *in);
    join_ssd *ssd = kr_arena_new(&room, n * sizeof *ssd);
    join_out *out = kr_arena_new(&room, n * sizeof *out);
    f.n_uses = kr_arena_new(&room, n * sizeof *f.n_uses);
    f.user = kr_arena_new(&room, n * sizeof *f.user);
    f.takes = kr_arena_new(&room, n * sizeof *f.takes);
    f.q = kr_arena_new(&room, n * sizeof *f.q);
    f.eps = kr_arena_new(&room, n * sizeof *f.eps);
    f.groups = kr_arena_new(&room, n * sizeof *f.groups);
    bool fine = in && ssd && out && f.n_uses && f.user && f.takes && f.q && f.eps && f.groups;
    if (fine) fuse(&f, in, ssd, out);
    kr_arena_clear(&room);
    if (!fine) return KR_ERR_NOMEM;
    if (g->status != KR_OK) KR_FAIL(g->status, "%s", g->error);
    return KR_OK;
}
