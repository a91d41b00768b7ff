/* memory_dense.c - DenseSSM (He et al. 2024): states of shallower layers count in deeper ones.
 *
 *   H  = h + sum over i = 1 .. depth of gate_i(u) h_i      h_i: the states of the i-th layer before this one
 *   y  = C H + D x,    gate_i(u) = W_2 silu(W_1 u) + b_2   for each channel; u is the mixer's input
 *
 * A gate is the same for all numbers of a channel's state, so C (gate_i h_i) = gate_i (C h_i): the shallower
 * layer's scan once more, read out by this layer's C.  So the states are the ones they are in that layer, exactly,
 * the recurrences stay what they were, and no state is ever written down.  Each costs one scan.  A mixer whose states
 * turn (Mamba-3) reads them itself; of several outputs each has the gate of its channel. */
#include "ops/ops.h"
#include "parts/part.h"

#include <stdio.h>

#include "ops/binary/binary.h"
#include "ops/lti_scan/lti_scan.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/ssd/ssd.h"
#include "ops/unary/unary.h"

typedef struct dense { int64_t depth, gate_rank; } dense;
static const kr_key keys[] = {
    KR_KEY_INT(dense, depth, 2, 1, 64, "shallower layers whose states count, as far as there are any"),
    KR_KEY_INT(dense, gate_rank, 0, 0, 1 << 20, "width inside a gate; 0: d_model / 8, rounded up"),
    KR_KEY_END};

static kr_node *gate(kr_build *b, const dense *o, kr_node *u, int64_t i, int64_t E) {
    int64_t R = o->gate_rank ? o->gate_rank : (b->d_model + 7) / 8;
    char name[32];
    snprintf(name, sizeof name, "dense.%lld", (long long)i);
    kr_scope_push(b->g, name);
    kr_node *r = kr_act(b, kr_linear(b, u, "0", R, false), KR_UNARY_SILU);
    r = kr_linear(b, r, "1", E, true);
    kr_scope_pop(b->g);
    return r;
}

/* C (of S4D a complex one) and what adds D x, in the op's inputs. */
typedef struct places { int C[2], D[2]; } places;
static places places_of(const kr_op *op) {
    if (op == &kr_op_ssd) return (places){{SSD_C, SSD_C}, {SSD_D, SSD_DHP}};
    if (op == &kr_op_lti_scan) return (places){{LTI_CRE, LTI_CIM}, {LTI_D, LTI_D}};
    return (places){{SCAN_C, SCAN_C}, {SCAN_D, SCAN_D}};
}

/* Can this layer's C read that layer's states?  [S, L, G, N] (of S4D [E, N]) and as many channels. */
static bool alike(const kr_scan *a, const kr_scan *s, const places *p) {
    bool same = a->op == s->op && a->read == s->read && a->ranks == s->ranks && a->E == s->E && a->path == s->path && a->residual < s->residual && kr_node_dim(a->in[0], 0) == kr_node_dim(s->in[0], 0) &&
                kr_node_dim(a->in[0], 1) == kr_node_dim(s->in[0], 1);
    for (int i = 0; i < 2 && same; i++) {
        const kr_node *x = a->in[p->C[i]], *y = s->in[p->C[i]];
        int n = x ? kr_node_dims(x) : 0;
        same = !x == !y && (!x || (kr_node_dim(x, n - 1) == kr_node_dim(y, n - 1) && kr_node_dim(x, n - 2) == kr_node_dim(y, n - 2)));
    }
    return same;
}

/* What the C of `s` reads out of the states of `a`, of a layer before it. */
static kr_node *read_by(kr_build *b, const kr_scan *a, const kr_scan *s, const places *p) {
    kr_node *in[KR_MAX_IN], *out[KR_MAX_OUT];
    if (s->read) return s->read(b, a, s);
    for (int k = 0; k < KR_MAX_IN; k++) in[k] = a->in[k];
    for (int k = 0; k < 2; k++) in[p->C[k]] = s->in[p->C[k]], in[p->D[k]] = NULL;
    return kr_reshape(b->g, kr_apply(b->g, a->op, &a->own_attr, in, out), 3, KR_DIMS(b->S, b->L, s->E));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    const dense *o = opt;
    binary_attr mul = {.kind = KR_BINARY_MUL};
    kr_scan *s = &b->scan[b->n_scan];
    const places p = places_of(s->op);
    int64_t i = 0;
    kr_node *y = s->read ? s->read(b, s, s) : kr_reshape(b->g, kr_apply(b->g, s->op, s->attr, s->in, s->out), 3, KR_DIMS(b->S, b->L, s->E));
    for (const kr_scan *a = s - 1; a >= b->scan && i < o->depth; a--) {
        if (!alike(a, s, &p)) continue;
        kr_node *r = read_by(b, a, s, &p), *open = gate(b, o, u, ++i, s->E), *all = open;
        for (int64_t k = 1; k < s->ranks; k++) all = KR_APPLY(b->g, concat, NULL, all, open);
        y = kr_add(b, y, KR_APPLY(b->g, binary, &mul, r, all));
    }
    return y;
}

const kr_part kr_part_memory_dense = {.kind = "memory", .name = "dense", .about = "DenseSSM: gated states of shallower layers are read out, too",
                                      .bytes = sizeof(dense), .keys = keys, .causal = true, .build = build};
