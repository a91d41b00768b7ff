/* order_bidirectional.c - the mixer sees the steps forward and, once more, reversed.
 *
 *   y = mixer(x) + reverse(mixer'(reverse(x)))
 *
 * mixer' has its own parameters (scope mixer_rev) or shares mixer's. */
#include "ops/ops.h"
#include "parts/part.h"

typedef struct bidirectional { bool share; } bidirectional;
static const kr_key keys[] = {
    KR_KEY_BOOL(bidirectional, share, false, "both directions use the same parameters"),
    KR_KEY_END};

static kr_node *reversed(kr_build *b, kr_node *x, kr_node *idx) {
    int64_t D = kr_node_dim(x, -1);
    return kr_reshape(b->g, KR_APPLY(b->g, gather, NULL, x, idx, idx), 3, KR_DIMS(b->S, b->L, D));
}

static kr_node *reverse_index(kr_build *b) {
    int32_t *idx = kr_mem_array((size_t)b->L, sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t t = 0; t < b->L; t++) idx[t] = (int32_t)(b->L - 1 - t);
    kr_node *n = kr_const_i32(b->g, idx, b->L);
    kr_mem_free(idx);
    return n;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const bidirectional *o = opt;
    if (b->stateful) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a bidirectional order sees the future, so it cannot go step by step");
    if (b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a bidirectional order does not take packed documents");
    kr_node *idx = reverse_index(b);
    kr_scope_push(b->g, "mixer");
    kr_node *forward = b->mixer->build(b, b->mixer_opt, x);
    kr_scope_pop(b->g);
    kr_scope_push(b->g, o->share ? "mixer" : "mixer_rev");
    kr_node *back = b->mixer->build(b, b->mixer_opt, reversed(b, x, idx));
    kr_scope_pop(b->g);
    return kr_add(b, forward, reversed(b, back, idx));
}

const kr_part kr_part_order_bidirectional = {.kind = "order", .name = "bidirectional", .about = "first to last, plus last to first",
                                             .bytes = sizeof(bidirectional), .keys = keys, .build = build};
