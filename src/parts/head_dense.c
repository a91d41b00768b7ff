/* head_dense.c - a class for every cell that came in: each step gives a vector for each cell of
 * its patch, and one table scores them.
 *
 * The patches must cover the cells once, so that every cell has one answer. */
#include <math.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/ops.h"
#include "parts/part.h"

typedef struct dense { int64_t n_classes, width; } dense;
static const kr_key keys[] = {
    KR_KEY_INT(dense, n_classes, 2, 2, 1 << 20, "classes; the data say it"),
    KR_KEY_INT(dense, width, 16, 1, 1 << 20, "with patches: width of a cell's own vector, which the classes' table scores"),
    KR_KEY_END};

/* Where each cell's vector lies behind the product: its patch, and its place there. */
static int64_t list_cells(const kr_cut *c, int32_t *idx) {
    int64_t size[3] = {1, 1, 1}, side[3] = {1, 1, 1}, n[3] = {1, 1, 1}, k = 0;
    for (int i = 0; i < c->n_axes; i++) {
        int to = 3 - c->n_axes + i;
        size[to] = c->size[i], side[to] = c->patch[i], n[to] = c->n[i];
    }
    for (int64_t t = 0; t < size[0]; t++)
        for (int64_t h = 0; h < size[1]; h++)
            for (int64_t w = 0; w < size[2]; w++) {
                int64_t step = (t / side[0] * n[1] + h / side[1]) * n[2] + w / side[2];
                int64_t in = (t % side[0] * side[1] + h % side[1]) * side[2] + w % side[2];
                idx[k++] = (int32_t)(step * side[0] * side[1] * side[2] + in);
            }
    return k;
}

/* [S, cells, width of a cell's vector] */
static kr_node *of_cells(kr_build *b, const dense *o, kr_node *x) {
    const kr_cut *c = &b->cut;
    int64_t each = 1, n = 1, steps = 1;
    bool covered = true;
    for (int i = 0; i < c->n_axes; i++) {
        each *= c->patch[i], n *= c->size[i], steps *= c->n[i];
        covered = covered && c->stride[i] == c->patch[i] && c->n[i] * c->patch[i] == c->size[i];
    }
    if (!covered) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a dense head wants patches that cover the input once");
    if (each == 1) return x;
    if (steps != b->L) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a dense head wants a step for each of the %lld patches, and there are %lld steps", (long long)steps, (long long)b->L);
    int32_t *idx = kr_mem_array((size_t)n, sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    list_cells(c, idx);
    x = kr_reshape(b->g, kr_linear(b, x, "head.cells", each * o->width, true), 3, KR_DIMS(b->S, n, o->width));
    x = KR_APPLY(b->g, gather, NULL, x, kr_const_i32(b->g, idx, n));
    kr_mem_free(idx);
    return x;
}

static kr_node *table(kr_build *b, const dense *o, kr_node *x) {
    int64_t D = kr_node_dim(x, -1);
    double r = D > 0 ? 1 / sqrt((double)D) : 0;
    return kr_weight(b->g, "head.weight", KR_MATRIX, 2, KR_DIMS(o->n_classes, D), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const dense *o = opt;
    x = of_cells(b, o, x);
    kr_node *y = KR_APPLY(b->g, linear, NULL, x, table(b, o, x));
    kr_graph_keep(b->g, y, "logits");
    return y;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    const dense *o = opt;
    kr_node *out[KR_MAX_OUT];
    x = of_cells(b, o, x);
    kr_node *targets = kr_input(b->g, "targets", KR_I32, 2, KR_DIMS(b->S, kr_node_dim(x, 1)));
    kr_node *y = kr_apply(b->g, &kr_op_cross_entropy, NULL, (kr_node *const[KR_MAX_IN]){x, table(b, o, x), targets}, out);
    if (y) kr_graph_keep(b->g, out[CROSS_ENTROPY_NLL], "nll");
    return y;
}

const kr_part kr_part_head_dense = {.kind = "head", .name = "dense", .about = "a class for each cell of the input; cross-entropy", .bytes = sizeof(dense),
                                    .keys = keys, .build = build, .loss = loss};
