/* head_match.c - do two sequences belong together?  The encoder made two of each row (encoder_token.c, `pair`),
 * the layers read both alike, and here each becomes a vector a, b, which are compared:
 *
 *   logits = W silu(V [a, b, a - b, a b] + v)
 *
 * as the retrieval task of the Long Range Arena has it (Tay et al. 2021); there the two vectors are made
 * without one knowing of the other, so those of a library can be kept. */
#include <math.h>

#include "ops/binary/binary.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct match { int64_t n_classes, width; int pool; bool lengths; } match;
static const kr_key keys[] = {
    KR_KEY_INT(match, n_classes, 2, 2, 1 << 20, "what two sequences can be to each other; the data say it"),
    KR_KEY_INT(match, width, 0, 0, 1 << 20, "width of what the two are compared in; 0: d_model"),
    KR_KEY_CHOICE(match, pool, "mean|last|max|first", "how the steps of each become one vector"),
    KR_KEY_BOOL(match, lengths, false, "sequences end early, and only steps before their end count; the data say it"),
    KR_KEY_END};

static kr_node *join(kr_build *b, kr_node *x, kr_node *y) { return KR_APPLY(b->g, concat, NULL, x, y); }
static kr_node *of_two(kr_build *b, int kind, kr_node *x, kr_node *y) {
    binary_attr a = {.kind = kind};
    return KR_APPLY(b->g, binary, &a, x, y);
}

/* [batch, width]: what the two are to each other. */
static kr_node *compared(kr_build *b, const match *o, kr_node *x) {
    static const int kinds[] = {KR_POOL_MEAN, KR_POOL_LAST, KR_POOL_MAX, KR_POOL_FIRST};
    pool_attr pool = {.kind = kinds[o->pool]};
    int64_t M = b->d_model;
    if (b->S != 2 * b->batch || b->complement)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "the head \"match\" compares two sequences, and a row is one: set encoder.pair to the steps of each (data of two columns do)");
    kr_node *len = o->lengths ? kr_input(b->g, "len", KR_I32, 1, KR_DIMS(b->S)) : NULL;
    kr_node *both = kr_reshape(b->g, KR_APPLY(b->g, pool, &pool, x, len), 2, KR_DIMS(b->batch, 2 * M));
    kr_node *one = kr_columns(b->g, both, 0, M), *other = kr_columns(b->g, both, M, M);
    kr_node *seen = join(b, both, join(b, of_two(b, KR_BINARY_SUB, one, other), of_two(b, KR_BINARY_MUL, one, other)));
    return kr_act(b, kr_linear(b, seen, "head.compare", o->width ? o->width : M, true), KR_UNARY_SILU);
}

static kr_node *table(kr_build *b, const match *o) {
    int64_t D = o->width ? o->width : b->d_model;
    double r = 1 / sqrt((double)D);
    return kr_weight(b->g, "head.weight", KR_MATRIX, 2, KR_DIMS(o->n_classes, D), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const match *o = opt;
    kr_node *y = KR_APPLY(b->g, linear, NULL, compared(b, o, x), table(b, o));
    kr_graph_keep(b->g, y, "logits");
    return y;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    const match *o = opt;
    kr_node *targets = kr_input(b->g, "targets", KR_I32, 1, KR_DIMS(b->batch)), *out[KR_MAX_OUT];
    kr_node *y = kr_apply(b->g, &kr_op_cross_entropy, NULL, (kr_node *const[KR_MAX_IN]){compared(b, o, x), table(b, o), targets}, out);
    if (y) kr_graph_keep(b->g, out[CROSS_ENTROPY_NLL], "nll");
    return y;
}

const kr_part kr_part_head_match = {.kind = "head", .name = "match", .about = "what the two sequences of a row are to each other (retrieval); cross-entropy",
                                    .bytes = sizeof(match), .keys = keys, .build = build, .loss = loss};
