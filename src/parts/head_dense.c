/* head_dense.c - a class for every cell that came in: each step gives a vector for each cell of
 * its patch, and one table scores them.
 *
 * The patches must cover the cells once, so that every cell has one answer. */
#include <math.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/ops.h"
#include "parts/grid.h"

typedef struct dense { int64_t n_classes, width; } dense;
static const kr_key keys[] = {
    KR_KEY_INT(dense, n_classes, 2, 2, 1 << 20, "classes; the data say it"),
    KR_KEY_INT(dense, width, 16, 1, 1 << 20, "with patches: width of a cell's own vector, which the classes' table scores"),
    KR_KEY_END};

/* [S, cells, width of a cell's vector] */
static kr_node *of_cells(kr_build *b, const dense *o, kr_node *x) {
    int64_t each = kr_patch_cells(b, "dense");
    if (each < 2) return each ? x : NULL;
    return kr_uncut(b, kr_linear(b, x, "head.cells", each * o->width, true), o->width);
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
