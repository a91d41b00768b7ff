/* head_class.c - one class for a whole sequence: pool over the steps, scores, cross-entropy.
 *
 * With several answers each has a vector of its own, and one table scores them all; targets of -1
 * are not known, and not learnt. */
#include <math.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "parts/strands.h"

typedef struct class { int64_t n_classes, answers, width; int pool; bool lengths; } class;
static const kr_key keys[] = {
    KR_KEY_INT(class, n_classes, 2, 2, 1 << 20, "classes; the data say it"),
    KR_KEY_INT(class, answers, 1, 1, 1 << 20, "classes to tell of a sequence; the data say it"),
    KR_KEY_INT(class, width, 16, 1, 1 << 20, "with several answers: width of the vector of each"),
    KR_KEY_CHOICE(class, pool, "mean|last|max|first", "how the steps become one vector"),
    KR_KEY_BOOL(class, lengths, false, "rows end early, and only steps before their end count; the data say it"),
    KR_KEY_END};

static kr_node *pooled(kr_build *b, const class *o, kr_node *x) {
    static const int kinds[] = {KR_POOL_MEAN, KR_POOL_LAST, KR_POOL_MAX, KR_POOL_FIRST};
    x = kr_pooled(b, kinds[o->pool], o->lengths, x);
    if (o->answers == 1) return x;
    return kr_reshape(b->g, kr_linear(b, x, "head.answers", o->answers * o->width, true), 3, KR_DIMS(kr_rows(b), o->answers, o->width));
}

static kr_node *table(kr_build *b, const class *o) {
    int64_t D = o->answers == 1 ? b->d_model : o->width;
    double r = 1 / sqrt((double)D);
    return kr_weight(b->g, "head.weight", KR_MATRIX, 2, KR_DIMS(o->n_classes, D), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const class *o = opt;
    kr_node *y = KR_APPLY(b->g, linear, NULL, pooled(b, o, x), table(b, o));
    kr_graph_keep(b->g, y, "logits");
    return y;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    const class *o = opt;
    kr_node *targets = kr_input(b->g, "targets", KR_I32, o->answers == 1 ? 1 : 2, KR_DIMS(kr_rows(b), o->answers)), *out[KR_MAX_OUT];
    kr_node *y = kr_apply(b->g, &kr_op_cross_entropy, NULL, (kr_node *const[KR_MAX_IN]){pooled(b, o, x), table(b, o), targets}, out);
    if (y) kr_graph_keep(b->g, out[CROSS_ENTROPY_NLL], "nll");
    return y;
}

const kr_part kr_part_head_class = {.kind = "head", .name = "class", .about = "a class for each sequence; cross-entropy", .bytes = sizeof(class),
                                    .keys = keys, .build = build, .loss = loss};
