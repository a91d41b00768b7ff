/* mixer_moe.c - a mixture of experts on each step by itself: top_k of n_expert perceptrons, chosen
 * by a router, and perhaps one that all steps share (Fedus et al. 2021; DeepSeekMoE, 2024).
 *
 *   w, idx = route(u W_r)                     the top_k best, and their weights
 *   out    = sum over k of w[k] E_idx[k](u)  (+ E_shared(u))
 *
 * With d_latent the chosen experts work in a narrower stream (Nemotron 3): they read u W_in, and W_out widens what
 * they add up to.
 *
 * With `sinkhorn` experts are chosen, while training, by scores that so many of Sinkhorn's rounds made even over all steps of
 * a batch (BlackMamba); weights, and choices afterwards, are those of the scores as they are.
 *
 * No step is dropped.  In training balance times a load-balance loss is added to the loss. */
#include <math.h>

#include "ops/moe_route/moe_route.h"
#include "ops/ops.h"
#include "ops/sinkhorn/sinkhorn.h"
#include "parts/perceptron.h"

typedef struct moe {
    kr_perceptron expert; /* first: its keys are ours */
    int64_t n_expert, top_k, d_shared, d_latent, sinkhorn;
    int gate;
    bool normalise, route_bias;
    double route_scale, balance;
} moe;

#define EXPERT_INT(field, def, min, max, help) {#field, KR_KEY_INT, offsetof(moe, expert.field), def, min, max, NULL, NULL, help}
#define EXPERT_BOOL(field, def, help) {#field, KR_KEY_BOOL, offsetof(moe, expert.field), def, 0, 1, NULL, NULL, help}
static const kr_key keys[] = {
    KR_KEY_INT(moe, n_expert, 8, 1, 4096, "experts X"),
    KR_KEY_INT(moe, top_k, 2, 1, MOE_ROUTE_MOST, "experts of each step"),
    EXPERT_INT(d_ff, 0, 0, 1 << 24, "inner width of an expert; 0: 8/3 d_model if gated, else 4 d_model, rounded up"),
    EXPERT_INT(multiple_of, 128, 1, 1 << 20, "to a multiple of this"),
    KR_KEY_INT(moe, d_shared, 0, 0, 1 << 24, "inner width of an expert that all steps share; 0: none"),
    KR_KEY_INT(moe, d_latent, 0, 0, 1 << 24, "width of the stream that the chosen experts work in; 0: d_model"),
    EXPERT_BOOL(gated, true, "half of fc1 is a gate for the other half"),
    EXPERT_BOOL(gate_first, false, "the first half is the gate, not the second"),
    {"gate_scale", KR_KEY_REAL, offsetof(moe, expert.gate_scale), 1, -1e6, 1e6, NULL, NULL, "factor of the gate before f"},
    {"activation", KR_KEY_CHOICE, offsetof(moe, expert.activation), 0, 0, 0, NULL, KR_PERCEPTRON_ACTIVATIONS, "f; relu2 is the square of relu, and has no gate"},
    KR_KEY_CHOICE(moe, gate, "softmax|sigmoid", "what makes weights of the router's scores: over all experts, or one by one"),
    KR_KEY_BOOL(moe, normalise, true, "the weights of the chosen add up to route_scale"),
    KR_KEY_REAL(moe, route_scale, 1, 0, 1e6, "factor of the weights"),
    KR_KEY_BOOL(moe, route_bias, false, "a bias for each expert that steers the choice alone; training does not change it"),
    KR_KEY_INT(moe, sinkhorn, 0, 0, 10000, "training: rounds of Sinkhorn's that make the choice even over a batch, as in BlackMamba; 0: none"),
    KR_KEY_REAL(moe, balance, 0.01, 0, 1e3, "weight of the load-balance loss, which training adds for each such layer"),
    KR_KEY_END};

/* A matrix for each expert. */
static kr_node *experts(kr_build *b, const char *name, int64_t X, int64_t n_out, int64_t n_in, double shrink) {
    double r = shrink / sqrt((double)n_in);
    kr_scope_push(b->g, name);
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 3, KR_DIMS(X, n_out, n_in), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
    kr_scope_pop(b->g);
    return W;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    const moe *o = opt;
    kr_graph *g = b->g;
    int64_t X = o->n_expert, K = o->top_k, T = b->S * b->L, F = kr_perceptron_width(b, &o->expert), *pairs = (int64_t[]){T * K, 1};
    if (K > X) return kr_graph_fail(g, KR_ERR_CONFIG, "moe: top_k is %lld, but n_expert is %lld", (long long)K, (long long)X);
    kr_node *logits = kr_linear(b, u, "router", X, false), *route[KR_MAX_OUT] = {NULL};
    kr_node *bias = o->route_bias ? kr_weight(g, "router.e_score_correction_bias", KR_NO_DECAY, 1, &X, (kr_init){0}) : NULL;
    if (o->sinkhorn && bias) return kr_graph_fail(g, KR_ERR_CONFIG, "moe: sinkhorn and route_bias both steer the choice; want one of them");
    bool even = o->sinkhorn && b->training;
    sinkhorn_attr rounds = {.rounds = o->sinkhorn};
    if (even) bias = KR_APPLY(g, sinkhorn, &rounds, logits);
    moe_route_attr a = {.k = K, .gate = o->gate, .normalise = o->normalise, .bias_logits = even, .scale = o->route_scale};
    kr_node *w = kr_apply(g, &kr_op_moe_route, &a, (kr_node *const[KR_MAX_IN]){logits, bias}, route);
    if (o->balance > 0) b->balance[b->n_balance++] = (kr_balance){logits, route[MOE_ROUTE_IDX], o->balance};
    int64_t M = o->d_latent ? o->d_latent : b->d_model;
    kr_node *x = o->d_latent ? kr_linear(b, u, "latent_in", M, false) : u;
    /* each pair of a step and an expert is a row from here on */
    kr_node *h = KR_APPLY(g, expert_linear, NULL, x, experts(b, "fc1", X, o->expert.gated ? 2 * F : F, M, 1), route[MOE_ROUTE_IDX]);
    h = kr_perceptron_act(b, &o->expert, h);
    h = KR_APPLY(g, expert_linear, NULL, kr_reshape(g, h, 2, KR_DIMS(T * K, F)), experts(b, "fc2", X, M, F, 1 / sqrt((double)b->n_residual)),
                 kr_reshape(g, route[MOE_ROUTE_IDX], 2, pairs));
    kr_node *y = KR_APPLY(g, moe_combine, NULL, kr_split_last(b, h, K, M), w);
    if (o->d_latent) y = kr_linear_out(b, y, "latent_out", b->d_model, false);
    if (!o->d_shared) return y;
    kr_perceptron shared = o->expert;
    shared.d_ff = o->d_shared;
    kr_scope_push(g, "shared");
    y = kr_add(b, y, kr_perceptron_build(b, &shared, u));
    kr_scope_pop(g);
    return y;
}

const kr_part kr_part_mixer_moe = {.kind = "mixer", .name = "moe", .about = "a mixture of experts: a few of many perceptrons on each step", .bytes = sizeof(moe),
                                   .keys = keys, .causal = true, .pointwise = true, .build = build};
