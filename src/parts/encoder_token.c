/* encoder_token.c - token ids to vectors by a table.
 *
 * With `pair` a row is two sequences side by side, which become two of the batch: the layers read both alike,
 * and neither knows of the other before the head compares them (head_match.c).
 *
 * With `complement` a row of DNA becomes two sequences, too: itself, and its reverse complement.  One model with one set of
 * parameters reads both, which is what Caduceus' pairs of channel halves come to (its RCPS), so whatever stack is between
 * encoder and head does with one strand what it does with the other (strands.h). */
#include <stdlib.h>

#include "ops/ops.h"
#include "parts/part.h"

typedef struct token { double scale; int64_t positions, pair; bool lengths; const char *complement; } token;
static const kr_key keys[] = {
    KR_KEY_REAL(token, scale, 1, -1e6, 1e6, "factor of the vectors"),
    KR_KEY_INT(token, positions, 0, 0, 1 << 24, "a learnt vector for each of so many positions, which the data give with the steps; 0: none"),
    KR_KEY_INT(token, pair, 0, 0, 1 << 24, "a row is two sequences of so many steps each, read alike and apart; the data say it; 0: one"),
    KR_KEY_TEXT(token, complement, "", "both strands of DNA are read: the id of each id's complement, with spaces between; the data say it (data.strands)"),
    KR_KEY_BOOL(token, lengths, false, "of strands: rows end early; the data say it"),
    KR_KEY_END};

/* The list of o->complement, NULL if it is not one of V ids that says back what it says. */
static kr_node *complement(kr_build *b, const token *o) {
    int64_t V = b->vocab_size, n = 0;
    int32_t *map = kr_mem_array((size_t)V, sizeof *map);
    if (!map) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    char *end;
    for (const char *p = o->complement; n <= V; p = end, n++) {
        long long id = strtoll(p, &end, 10);
        if (end == p) break;
        if (n == V || id < 0 || id >= V) n = V;
        else map[n] = (int32_t)id;
    }
    bool ok = n == V;
    for (int64_t i = 0; ok && i < V; i++) ok = map[map[i]] == i;
    kr_node *node = ok ? kr_const_i32(b->g, map, V) : NULL;
    kr_mem_free(map);
    return node ? node : kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.complement is \"%s\", want the complement of each of the %lld ids, whose complement it is in turn", o->complement, (long long)V);
}

/* ids [S, L] -> [2 S, L]: each row, and behind it its other strand. */
static kr_node *both_strands(kr_build *b, const token *o, kr_node *ids) {
    if (b->stateful || b->seq_idx || o->positions || o->pair)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.complement: two strands a row do not go step by step, nor over packed documents, nor with encoder.positions or encoder.pair");
    if (!(b->complement = complement(b, o))) return NULL;
    if (o->lengths) b->len = kr_input(b->g, "len", KR_I32, 1, KR_DIMS(b->S));
    ids = KR_APPLY(b->g, strands, NULL, ids, b->complement, b->len);
    b->S *= 2;
    return kr_reshape(b->g, ids, 2, KR_DIMS(b->S, b->L));
}

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
    if (*o->complement) ids = both_strands(b, o, ids);
    kr_scope_push(b->g, "embeddings");
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(b->vocab_size, b->d_model), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
    kr_scope_pop(b->g);
    x = kr_scale(b, KR_APPLY(b->g, embedding, NULL, ids, W), o->scale);
    return o->positions ? placed(b, o->positions, x) : x;
}

const kr_part kr_part_encoder_token = {
    .kind = "encoder", .name = "token", .about = "a vector for each token id, from a table [V, M]", .bytes = sizeof(token),
    .keys = keys, .causal = true, .build = build, .steps = steps};
