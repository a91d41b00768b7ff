/* mixer_gatedgcn.c - a gated graph convolution over a graph's edges (Bresson & Laurent 2017), the local
 * half of Graph-Mamba's layer (Wang et al. 2024).
 *
 *   g_ij  = A h_i + B h_j + C e_ij                             for each edge from j to i
 *   out_i = relu(norm(U h_i + sum_j s(g_ij) V h_j / (sum_j s(g_ij) + 1e-6)))        s the sigmoid
 *   e_ij <- e_ij + relu(norm(g_ij))
 *
 * The published norms are over a batch; here over a node's or an edge's channels. */
#include "ops/binary/binary.h"
#include "ops/glu/glu.h"
#include "ops/ops.h"
#include "ops/pick/pick.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

static kr_node *at_edges(kr_build *b, kr_node *x, const char *name, kr_node *which) {
    return KR_APPLY(b->g, pick, NULL, kr_linear(b, x, name, b->d_model, true), which);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    (void)opt;
    kr_graph *g = b->g;
    if (!b->edge) return kr_graph_fail(g, KR_ERR_CONFIG, "gatedgcn wants the edges of a graph: encoder \"graph\"");
    kr_node *gate = kr_add(b, at_edges(b, x, "A", b->edge_to), at_edges(b, x, "B", b->edge_from));
    gate = kr_add(b, gate, kr_linear(b, b->edge, "C", b->d_model, true));
    pick_attr into = {.into = b->L};
    glu_attr sigmoid = {.kind = KR_GLU_SIGMOID};
    binary_attr times = {.kind = KR_BINARY_MUL};
    unary_attr over = {.kind = KR_UNARY_RECIP, .alpha = 1e-6};
    kr_node *sum = KR_APPLY(g, pick, &into, KR_APPLY(g, glu, &sigmoid, at_edges(b, x, "V", b->edge_from), gate), b->edge_to);
    kr_node *weight = KR_APPLY(g, pick, &into, kr_act(b, gate, KR_UNARY_SIGMOID), b->edge_to);
    sum = KR_APPLY(g, binary, &times, sum, KR_APPLY(g, unary, &over, weight));
    b->edge = kr_add(b, b->edge, kr_act(b, kr_layernorm(b, gate, "edge_norm", 1e-5), KR_UNARY_RELU));
    x = kr_add(b, kr_linear(b, x, "U", b->d_model, true), sum);
    return kr_act(b, kr_layernorm(b, x, "norm", 1e-5), KR_UNARY_RELU);
}

const kr_part kr_part_mixer_gatedgcn = {.kind = "mixer", .name = "gatedgcn", .about = "a gated graph convolution over a graph's edges (Graph-Mamba's local half)",
                                        .own_order = true, .build = build};
