/* encoder_token.c - token ids to vectors by a table. */
#include "ops/ops.h"
#include "parts/part.h"

typedef struct token { double scale; } token;
static const kr_key keys[] = {
    KR_KEY_REAL(token, scale, 1, -1e6, 1e6, "factor of the vectors"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const token *o = opt;
    (void)x;
    kr_node *ids = kr_input(b->g, "ids", KR_I32, 2, KR_DIMS(b->S, b->L));
    kr_scope_push(b->g, "embeddings");
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(b->vocab_size, b->d_model), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    kr_scope_pop(b->g);
    return kr_scale(b, KR_APPLY(b->g, embedding, NULL, ids, W), o->scale);
}

const kr_part kr_part_encoder_token = {
    .kind = "encoder", .name = "token", .about = "a vector for each token id, from a table [V, M]", .bytes = sizeof(token), .keys = keys, .causal = true, .build = build};
