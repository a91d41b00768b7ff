/* encoder_token.c - token ids to vectors by a table.
 *
 * With `pair` a row is two sequences side by side, which become two of the batch: the layers read both alike,
 * and neither knows of the other before the head compares them (head_match.c). */
#include "ops/ops.h"
#include "parts/part.h"

typedef struct token { double scale; int64_t positions, pair; } token;
static const kr_key keys[] = {
    KR_KEY_REAL(token, scale, 1, -1e6, 1e6, "factor of the vectors"),
    KR_KEY_INT(token, positions, 0, 0, 1 << 24, "a learnt vector for each of so many positions, which the data give with the steps; 0: none"),
    KR_KEY_INT(token, pair, 0, 0, 1 << 24, "a row is two sequences of so many steps each, read alike and apart; the data say it; 0: one"),
    KR_KEY_END};

/* x plus the vectors of the steps' positions. */
static kr_node *placed(kr_build *b, int64_t n, kr_node *x) {
    if (b->stateful) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.positions: they come with the data, so the model cannot go step by step");
    kr_node *at = kr_input(b->g, "positions", KR_I32, 2, KR_DIMS(b->S, b->L));
    kr_scope_push(b->g, "positions");
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(n, b->d_model), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    kr_scope_pop(b->g);
    return kr_add(b, x, KR_APPLY(b->g, embedding, NULL, at, W));
}

static int64_t steps(const void *opt) { return 2 * ((const token *)opt)->pair; }

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const token *o = opt;
    kr_node *ids = kr_input(b->g, "ids", KR_I32, 2, KR_DIMS(b->S, b->L));
    if (o->pair) {
        if (steps(opt) != b->L) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.pair is %lld, so a row has %lld steps, but there are %lld", (long long)o->pair, (long long)steps(opt), (long long)b->L);
        if (b->stateful || b->seq_idx || o->positions) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.pair: two sequences a row do not go step by step, nor over packed documents, nor with encoder.positions");
        b->S *= 2, b->L = o->pair;
        ids = kr_reshape(b->g, ids, 2, KR_DIMS(b->S, b->L));
    }
    kr_scope_push(b->g, "embeddings");
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(b->vocab_size, b->d_model), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    kr_scope_pop(b->g);
    x = kr_scale(b, KR_APPLY(b->g, embedding, NULL, ids, W), o->scale);
    return o->positions ? placed(b, o->positions, x) : x;
}

const kr_part kr_part_encoder_token = {
    .kind = "encoder", .name = "token", .about = "a vector for each token id, from a table [V, M]", .bytes = sizeof(token),
    .keys = keys, .causal = true, .build = build, .steps = steps};
