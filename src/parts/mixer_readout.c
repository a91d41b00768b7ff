/* mixer_readout.c - the learnt tokens that `tokens` put between the steps, and nothing else.
 *
 * As steps (a class token then is a row of one step, and any pooling head takes it), or all in
 * one vector: each through a product to width / count, side by side (Mamba-R). */
#include "ops/ops.h"
#include "parts/part.h"

typedef struct readout { bool join; } readout;
static const kr_key keys[] = {
    KR_KEY_BOOL(readout, join, false, "all tokens in one vector, each made d_model / count wide"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const readout *o = opt;
    if (!b->token) return kr_graph_fail(b->g, KR_ERR_CONFIG, "readout: there are no learnt tokens between the steps; `tokens` puts them there");
    int64_t n = kr_node_dim(b->token, 0), M = b->d_model;
    x = KR_APPLY(b->g, gather, NULL, x, b->token);
    b->token = NULL, b->L = n;
    if (!o->join) return x;
    if (M % n) return kr_graph_fail(b->g, KR_ERR_CONFIG, "readout: %lld channels do not divide among %lld tokens", (long long)M, (long long)n);
    b->L = 1;
    return kr_reshape(b->g, kr_linear(b, kr_rmsnorm(b, x, "norm", b->norm_eps), "reduce", M / n, false), 3, KR_DIMS(b->S, 1, M));
}

const kr_part kr_part_mixer_readout = {.kind = "mixer", .name = "readout", .about = "only the learnt tokens between the steps",
                                       .bytes = sizeof(readout), .keys = keys, .stream = true, .own_order = true, .build = build};
