/* mixer_tokens.c - learnt tokens between the steps: a class token, registers.
 *
 * In the middle (Vim's class token), spread evenly (Mamba-R's registers), in front or behind.
 * From here on the steps are a line; `readout` takes the tokens out again. */
#include "ops/ops.h"
#include "parts/part.h"

typedef struct tokens { int64_t count; int at; } tokens;
static const kr_key keys[] = {
    KR_KEY_INT(tokens, count, 1, 1, 4096, "how many"),
    KR_KEY_CHOICE(tokens, at, "middle|even|front|back", "where they stand"),
    KR_KEY_END};

/* How many steps come before the i-th token. */
static int64_t before(const tokens *o, int64_t L, int64_t i) {
    return o->at == 0 ? L / 2 : o->at == 1 ? (2 * i + 1) * L / (2 * o->count) : o->at == 2 ? 0 : L;
}

/* [S, n, M]: the same tokens for each sequence. */
static kr_node *table(kr_build *b, int64_t n) {
    int32_t *ids = kr_mem_array((size_t)(b->S * n), sizeof *ids);
    if (!ids) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t i = 0; i < b->S * n; i++) ids[i] = (int32_t)(i % n);
    kr_node *id = kr_reshape(b->g, kr_const_i32(b->g, ids, b->S * n), 2, KR_DIMS(b->S, n));
    kr_mem_free(ids);
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(n, b->d_model), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    return KR_APPLY(b->g, embedding, NULL, id, W);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const tokens *o = opt;
    int64_t L = b->L, n = o->count, M = b->d_model;
    if (b->stateful || b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "learnt tokens between the steps need whole rows");
    if (b->token) return kr_graph_fail(b->g, KR_ERR_CONFIG, "there are learnt tokens between the steps already");
    int32_t *idx = kr_mem_array((size_t)(L + 2 * n), sizeof *idx), *place = idx + L + n;
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t l = 0, i = 0, to = 0; to < L + n; to++) {
        if (i < n && before(o, L, i) <= l) place[i] = (int32_t)to, idx[to] = (int32_t)(L + i++);
        else idx[to] = (int32_t)l++;
    }
    kr_node *flat = kr_reshape(b->g, x, 2, KR_DIMS(b->S, L * M)), *new = kr_reshape(b->g, table(b, n), 2, KR_DIMS(b->S, n * M));
    x = kr_reshape(b->g, KR_APPLY(b->g, concat, NULL, flat, new), 3, KR_DIMS(b->S, L + n, M));
    x = kr_steps_at(b, x, idx, L + n);
    b->token = kr_const_i32(b->g, place, n);
    b->L = L + n, b->H = b->W = 0;
    kr_mem_free(idx);
    return x;
}

const kr_part kr_part_mixer_tokens = {.kind = "mixer", .name = "tokens", .about = "learnt tokens between the steps: a class token, registers",
                                      .bytes = sizeof(tokens), .keys = keys, .stream = true, .own_order = true, .build = build};
