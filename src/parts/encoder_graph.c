/* encoder_graph.c - nodes of a graph as steps, in whatever order they come (by degree: kr_order_degree).
 *
 * Inputs: x [S, L, width] the nodes, edge_from and edge_to int32 [S, edges] the steps that an edge goes
 * from and to, -1 where there is none (an edge both ways stands twice), and with edge_width
 * e [S, edges, edge_width] what is known of each; without, all edges begin alike. */
#include <string.h>

#include "ops/ops.h"
#include "parts/part.h"

typedef struct graph_opt { int64_t width, edges, edge_width; } graph_opt;
static const kr_key keys[] = {
    KR_KEY_INT(graph_opt, width, 1, 1, 1 << 20, "numbers of each node"),
    KR_KEY_INT(graph_opt, edges, 1, 1, INT32_MAX, "edges of a graph, at most"),
    KR_KEY_INT(graph_opt, edge_width, 0, 0, 1 << 20, "numbers of each edge"),
    KR_KEY_END};

/* The same learnt vector for all. */
static kr_node *alike(kr_build *b, int64_t n) {
    int32_t *zeros = kr_mem_array((size_t)(b->S * n), sizeof *zeros);
    if (!zeros) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    memset(zeros, 0, (size_t)(b->S * n) * sizeof *zeros);
    kr_node *ids = kr_reshape(b->g, kr_const_i32(b->g, zeros, b->S * n), 2, KR_DIMS(b->S, n));
    kr_mem_free(zeros);
    return KR_APPLY(b->g, embedding, NULL, ids, kr_weight(b->g, "edge", KR_MATRIX, 2, KR_DIMS(1, b->d_model), (kr_init){KR_INIT_NORMAL, 1, 0, 0, NULL}));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const graph_opt *o = opt;
    x = kr_input(b->g, "x", KR_F32, 3, KR_DIMS(b->S, b->L, o->width));
    b->edge_from = kr_input(b->g, "edge_from", KR_I32, 2, KR_DIMS(b->S, o->edges));
    b->edge_to = kr_input(b->g, "edge_to", KR_I32, 2, KR_DIMS(b->S, o->edges));
    b->edge = o->edge_width ? kr_linear(b, kr_input(b->g, "e", KR_F32, 3, KR_DIMS(b->S, o->edges, o->edge_width)), "edge_encoder", b->d_model, true) : alike(b, o->edges);
    return kr_linear(b, x, "encoder", b->d_model, true);
}

const kr_part kr_part_encoder_graph = {.kind = "encoder", .name = "graph", .about = "nodes of a graph as steps, with its edges",
                                       .bytes = sizeof(graph_opt), .keys = keys, .build = build};
