/* order_ties.c - nodes of a graph along orders that are drawn where they may be (Graph-Mamba: Wang et al. 2024).
 *
 *   training   y = untie(mixer(tie(x)))                   each layer has an order of its own for every row
 *   else       y = the mean of that over `draws` orders
 *
 * Nodes of one degree change places (data.order), nothing else: what is not the mixer, a convolution over edges say, sees them as
 * they come.  The parameters are those of order causal.
 *
 * Inputs: tie.0, tie.1, ... int32 [S, draws L], one for each mixer so ordered: which step is walked when. */
#include <stdio.h>

#include "ops/ops.h"
#include "ops/pick/pick.h"
#include "parts/route.h"

typedef struct ties { int64_t draws; } ties;
static const kr_key keys[] = {
    KR_KEY_INT(ties, draws, 5, 1, 1000, "scoring and predicting: orders that a layer's answer is the mean of"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const ties *o = opt;
    char name[40];
    int64_t K = b->training ? 1 : o->draws, S = b->S, L = b->L, M = kr_node_dim(x, -1);
    if (!b->edge_from) return kr_graph_fail(b->g, KR_ERR_CONFIG, "order ties wants the nodes of a graph: encoder \"graph\"");
    if (b->token) return kr_graph_fail(b->g, KR_ERR_CONFIG, "order ties: learnt tokens between the nodes (tokens) have no degree, so no place in it");
    if (kr_has_memory(b)) return kr_graph_fail(b->g, KR_ERR_CONFIG, "order ties: each layer has an order of its own, so no memory rule can join their states");
    snprintf(name, sizeof name, "tie.%lld", (long long)b->n_ties++);
    kr_node *tie = kr_input(b->g, name, KR_I32, 2, KR_DIMS(S, K * L));
    pick_attr back = {.into = L};
    x = kr_reshape(b->g, KR_APPLY(b->g, pick, NULL, x, tie), 3, KR_DIMS(S * K, L, M));
    x = kr_mix(b, "mixer", x);
    x = kr_reshape(b->g, x, 3, KR_DIMS(S, K * L, M));
    return kr_scale(b, KR_APPLY(b->g, pick, &back, x, tie), 1. / (double)K);
}

const kr_part kr_part_order_ties = {.kind = "order", .name = "ties", .about = "a graph's nodes, those of one degree in drawn orders (Graph-Mamba)",
                                    .bytes = sizeof(ties), .keys = keys, .build = build};
