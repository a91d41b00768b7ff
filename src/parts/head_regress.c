/* head_regress.c - numbers for a whole sequence: pool over the steps, one product. */
#include "ops/binary/binary.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "parts/strands.h"

typedef struct regress { int64_t width; int pool; bool lengths, weighted; } regress;
static const kr_key keys[] = {
    KR_KEY_INT(regress, width, 1, 1, 1 << 20, "numbers to predict for each sequence"),
    KR_KEY_CHOICE(regress, pool, "last|mean|max", "how the steps become one vector"),
    KR_KEY_BOOL(regress, lengths, false, "rows end early, and only steps before their end count; the data say it"),
    KR_KEY_BOOL(regress, weighted, false, "numbers that are not known are not learnt; the data say it"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    static const int kinds[] = {KR_POOL_LAST, KR_POOL_MEAN, KR_POOL_MAX};
    const regress *o = opt;
    kr_node *y = kr_linear(b, kr_pooled(b, kinds[o->pool], o->lengths, x), "head", o->width, true);
    kr_graph_keep(b->g, y, "prediction");
    return y;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    const regress *o = opt;
    kr_node *target = kr_input(b->g, "y", KR_F32, 2, KR_DIMS(kr_rows(b), o->width));
    kr_node *said = build(b, opt, x);
    if (o->weighted) {
        binary_attr mul = {.kind = KR_BINARY_MUL};
        kr_node *weight = kr_input(b->g, "weight", KR_F32, 2, KR_DIMS(kr_rows(b), o->width));
        said = KR_APPLY(b->g, binary, &mul, said, weight), target = KR_APPLY(b->g, binary, &mul, target, weight);
    }
    return KR_APPLY(b->g, mse, NULL, said, target);
}

const kr_part kr_part_head_regress = {.kind = "head", .name = "regress", .about = "numbers for each sequence; mean squared error",
                                      .bytes = sizeof(regress), .keys = keys, .build = build, .loss = loss};
