/* head_lm.c - scores of the next token; the loss never makes a [tokens, V] tensor.
 *
 * Where the encoder reads both strands (strands.h) a letter's score is what its own strand says of it and what the other says
 * of its complement: logits[v] = W[v] x + W[c(v)] x', with x' of the same letter (Caduceus). */
#include <math.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/slice_steps/slice_steps.h"
#include "parts/strands.h"

typedef struct lm { double z_loss, scale; bool lengths; } lm;
static const kr_key keys[] = {
    KR_KEY_REAL(lm, z_loss, 0, 0, 1, "weight of the squared log of the softmax's denominator in the loss"),
    KR_KEY_REAL(lm, scale, 1, -1e6, 1e6, "factor of the scores"),
    KR_KEY_BOOL(lm, lengths, false, "rows end early, and held-out ones are answered once, behind their end; the data say it"),
    KR_KEY_END};

/* The token table under its full name if tied, else a matrix of the head's own. */
static kr_node *table(kr_build *b) {
    double r = 1 / sqrt((double)b->d_model);
    return kr_weight(b->g, b->tied ? "backbone.embeddings.weight" : "lm_head.weight", KR_MATRIX, 2, KR_DIMS(b->vocab_size, b->d_model),
                     b->tied ? (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL} : (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
}

/* [rows, L, V] of both strands. */
static kr_node *of_strands(kr_build *b, kr_node *x) {
    int64_t S = kr_rows(b), L = b->L, V = b->vocab_size, M = b->d_model;
    kr_node *both = kr_beside(b, x), *W = table(b);
    kr_node *one = KR_APPLY(b->g, linear, NULL, kr_columns(b->g, both, 0, M), W), *other = KR_APPLY(b->g, linear, NULL, kr_columns(b->g, both, M, M), W);
    other = KR_APPLY(b->g, gather, NULL, kr_reshape(b->g, other, 3, KR_DIMS(S * L, V, 1)), b->complement);
    return kr_add(b, one, kr_reshape(b->g, other, 3, KR_DIMS(S, L, V)));
}
/* A table that gives scores as they are. */
static kr_node *as_they_are(kr_build *b) {
    int64_t V = b->vocab_size;
    kr_piece *diagonal = kr_mem_array((size_t)(2 * V), sizeof *diagonal);
    if (!diagonal || V > 1024) return kr_mem_free(diagonal), kr_graph_fail(b->g, KR_ERR_CONFIG, "two strands of %lld letters; want at most 1024", (long long)V);
    for (int64_t i = 0; i < V; i++) diagonal[2 * i] = (kr_piece){1, 1}, diagonal[2 * i + 1] = (kr_piece){i + 1 < V ? V : 0, 0};
    kr_node *c = kr_reshape(b->g, kr_const_pieces(b->g, diagonal, (int)(2 * V)), 2, KR_DIMS(V, V));
    kr_mem_free(diagonal);
    return c;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const lm *o = opt;
    if (b->complement) {
        x = of_strands(b, kr_scale(b, x, o->scale));
        kr_graph_keep(b->g, x, "logits");
        return x;
    }
    pool_attr end = {.kind = KR_POOL_LAST};
    slice_steps_attr last = {.start = -1, .count = 1};
    if (b->all_logits && o->lengths) x = KR_APPLY(b->g, pool, &end, x, kr_input(b->g, "len", KR_I32, 1, KR_DIMS(b->S)));
    else if (!b->all_logits) x = KR_APPLY(b->g, slice_steps, &last, x);
    kr_node *y = KR_APPLY(b->g, linear, NULL, kr_scale(b, x, o->scale), table(b));
    kr_graph_keep(b->g, y, "logits");
    return y;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    const lm *o = opt;
    cross_entropy_attr a;
    kr_attr_defaults(&kr_op_cross_entropy, &a);
    a.z_loss = o->z_loss;
    kr_node *targets = kr_input(b->g, "targets", KR_I32, 2, KR_DIMS(kr_rows(b), b->L)), *out[KR_MAX_OUT];
    x = kr_scale(b, x, o->scale);
    kr_node *y = kr_apply(b->g, &kr_op_cross_entropy, &a,
                          (kr_node *const[KR_MAX_IN]){b->complement ? of_strands(b, x) : x, b->complement ? as_they_are(b) : table(b), targets}, out);
    if (y) kr_graph_keep(b->g, out[CROSS_ENTROPY_NLL], "nll");
    return y;
}

const kr_part kr_part_head_lm = {.kind = "head", .name = "lm", .about = "scores of the next token; cross-entropy", .bytes = sizeof(lm),
                                 .keys = keys, .causal = true, .build = build, .loss = loss};
