/* attention.h - the slots and options of attention, and which step sees which. */
#ifndef KR_OPS_ATTENTION_H
#define KR_OPS_ATTENTION_H
#include <math.h>

#include "ops/op.h"

enum { ATTENTION_Q, ATTENTION_K, ATTENTION_V, ATTENTION_CACHE0, ATTENTION_N0, ATTENTION_SEQ_IDX };
enum { ATTENTION_Y, ATTENTION_CACHE, ATTENTION_N };
typedef struct attention_attr { int64_t causal, window, cache_len; double scale; } attention_attr;

/* Sizes, and R, the heads that share a key; reach: how many steps a step sees, itself included. */
typedef struct attention_dims {
    int64_t S, L, H, G, R, P, C, reach;
    bool causal, cached;
    double scale;
} attention_dims;

static inline attention_dims attention_dims_of(const kr_call *c) {
    const attention_attr *a = (const attention_attr *)c->attr;
    attention_dims d = {KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), KR_SIZE(c, 'H'), KR_SIZE(c, 'G'), 1, KR_SIZE(c, 'P'), KR_SIZE(c, 'C'),
                        INT64_MAX / 4, a->causal != 0, c->in[ATTENTION_CACHE0].n_dims > 0, a->scale};
    if (d.G > 0) d.R = d.H / d.G;
    if (a->window > 0) d.reach = a->window;
    if ((d.cached || a->cache_len > 0) && d.C < d.reach) d.reach = d.C;
    if (!(d.scale != 0)) d.scale = 1 / sqrt((double)(d.P > 0 ? d.P : 1));
    return d;
}

/* Steps are counted from the first of this call; those before it, in the cache, are negative.
 * Steps read before: n0, of which the last C are there. */
static inline int64_t attention_before(const kr_call *c, const attention_dims *d, int64_t s) {
    const int32_t *n0 = (const int32_t *)c->in[ATTENTION_N0].data;
    return d->cached && n0 ? n0[s] : 0;
}

typedef struct attention_span { int64_t first, last; } attention_span;
/* The document that step t lies in; one that starts at 0 goes on with what the cache holds. */
static inline attention_span attention_document(const kr_call *c, int64_t s, int64_t t, bool want_last) {
    const kr_tensor *ids = &c->in[ATTENTION_SEQ_IDX];
    int64_t L = KR_SIZE(c, 'L');
    attention_span a = {0, L - 1};
    if (!ids->data) return a;
    const int32_t *id = (const int32_t *)ids->data + s * L * ids->pitch;
    for (a.first = t; a.first > 0 && id[(a.first - 1) * ids->pitch] == id[t * ids->pitch];) a.first--;
    for (a.last = t; want_last && a.last + 1 < L && id[(a.last + 1) * ids->pitch] == id[t * ids->pitch];) a.last++;
    return a;
}

/* What step t of a document sees. */
static inline attention_span attention_sees(const attention_dims *d, attention_span doc, int64_t t, int64_t n0) {
    attention_span a = {doc.first, d->causal ? t : doc.last};
    if (doc.first == 0) a.first = n0 < d->C ? -n0 : -d->C;
    if (a.first < t - d->reach + 1) a.first = t - d->reach + 1;
    if (a.last > t + d->reach - 1) a.last = t + d->reach - 1;
    return a;
}

/* What stays for the next call: steps [from, L), step j in slot (start + j) % C; then n.  A
 * start below 0 says that a later document began: what the cache held is forgotten. */
typedef struct attention_rest { int64_t from, start, n; } attention_rest;
static inline attention_rest attention_remains(const kr_call *c, const attention_dims *d, int64_t s, int64_t n0) {
    int64_t first = attention_document(c, s, d->L - 1, false).first;
    attention_rest r = {first, first > 0 ? -first : n0, 0};
    r.n = r.start + d->L;
    if (r.from < d->L - d->C) r.from = d->L - d->C;
    return r;
}
#endif
