/* mixer_shared.c - a transformer block that several layers share (Zamba, Zamba2: Glorioso et al. 2024).
 *
 *   u   = norm([x, x_0])                      x the residual stream, x_0 the embeddings: 2 M wide
 *   a   = attention(u)                        with an adapter for each use, of low rank, on q, k, v
 *   h   = mlp(norm2(a))                       ... and on fc1
 *   out = h W                                 W is the layer's own
 *
 * What it makes is added to the input of the part behind it, before that part's norm, and not to the
 * residual stream: "shared+mixer" is x + mixer(norm(x + shared(x))).  The n-th use is of block
 * n mod n_block. */
#include <math.h>
#include <stdio.h>

#include "ops/ops.h"
#include "parts/attention.h"
#include "parts/perceptron.h"

typedef struct shared {
    kr_attention attention;
    kr_perceptron mlp;
    int64_t n_block, adapter_rank;
    bool attention_adapter;
    double norm_eps;
} shared;

#define IN_INT(field, name, def, min, max, help) {name, KR_KEY_INT, offsetof(shared, field), def, min, max, NULL, NULL, help}
#define IN_REAL(field, name, def, min, max, help) {name, KR_KEY_REAL, offsetof(shared, field), def, min, max, NULL, NULL, help}
#define IN_BOOL(field, name, def, help) {name, KR_KEY_BOOL, offsetof(shared, field), def, 0, 1, NULL, NULL, help}
static const kr_key keys[] = {
    KR_KEY_INT(shared, n_block, 1, 1, 64, "blocks, used in turn"),
    KR_KEY_INT(shared, adapter_rank, 0, 0, 1 << 20, "rank of the adapter that each use has on fc1; 0: none"),
    KR_KEY_BOOL(shared, attention_adapter, false, "... and on queries, keys and values"),
    IN_INT(attention.n_head, "n_head", 8, 1, 1 << 20, "heads H of queries"),
    IN_INT(attention.n_kv_head, "n_kv_head", 0, 0, 1 << 20, "heads G of keys and values, shared evenly; 0: n_head"),
    IN_INT(attention.head_dim, "head_dim", 0, 0, 1 << 20, "width P of a head; 0: 2 d_model / n_head"),
    IN_INT(attention.rope_dims, "rope_dims", 0, -1, 1 << 20, "numbers of a head that rotary positions turn, even; 0: none; -1: all"),
    IN_REAL(attention.rope_theta, "rope_theta", 10000, 1e-3, 1e30, "base of their wavelengths"),
    IN_REAL(attention.scale, "scale", 0, 0, 1e6, "factor of the scores; 0: (head_dim / 2)^-0.5"),
    IN_INT(attention.window, "window", 0, 0, INT32_MAX, "steps that a step sees, itself included; 0: all before it"),
    IN_INT(attention.cache_len, "cache_len", 2048, 1, INT32_MAX, "steps that decoding remembers; a step then sees no further back"),
    IN_INT(mlp.d_ff, "d_ff", 0, 0, 1 << 24, "inner width of the MLP; 0: 8/3 d_model, rounded up"),
    IN_INT(mlp.multiple_of, "multiple_of", 128, 1, 1 << 20, "to a multiple of this"),
    {"activation", KR_KEY_CHOICE, offsetof(shared, mlp.activation), 1, 0, 0, NULL, "silu|gelu|gelu_tanh|relu", "of its gate"},
    IN_BOOL(mlp.gate_first, "gate_first", true, "the first half of fc1 is the gate, not the second"),
    IN_BOOL(mlp.bias, "bias", false, "fc1 and fc2 have a bias"),
    KR_KEY_REAL(shared, norm_eps, 1e-5, 0, 1, "epsilon of its norms"),
    KR_KEY_END};

/* x times two matrices with `rank` between. */
static kr_node *low_rank(kr_build *b, kr_node *x, const char *scope, int64_t use, int64_t rank, int64_t n_out) {
    char name[48];
    snprintf(name, sizeof name, "%s.%lld", scope, (long long)use);
    kr_scope_push(b->g, name);
    x = kr_linear(b, kr_linear(b, x, "0", rank, false), "1", n_out, false);
    kr_scope_pop(b->g);
    return x;
}

/* For all three of the columns that in_proj makes. */
static kr_node *attention_adapter(kr_build *b, const shared *o, const kr_attention *a, kr_node *u, int64_t use) {
    int64_t H = a->n_head, G = a->n_kv_head ? a->n_kv_head : H;
    if (!o->attention_adapter || !o->adapter_rank) return NULL;
    kr_node *q = low_rank(b, u, "q_adapter", use, o->adapter_rank, H * a->head_dim);
    kr_node *k = low_rank(b, u, "k_adapter", use, o->adapter_rank, G * a->head_dim);
    kr_node *v = low_rank(b, u, "v_adapter", use, o->adapter_rank, G * a->head_dim);
    return KR_APPLY(b->g, concat, NULL, KR_APPLY(b->g, concat, NULL, q, k), v);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const shared *o = opt;
    kr_attention a = o->attention;
    kr_perceptron m = o->mlp;
    int64_t use = b->n_shared++, F;
    char name[48];
    a.causal = m.gated = true;
    m.gate_scale = 1;
    if (!a.head_dim) a.head_dim = 2 * b->d_model / a.n_head;
    if (a.scale == 0) a.scale = 1 / sqrt((double)a.head_dim / 2);
    F = kr_perceptron_width(b, &m);

    snprintf(name, sizeof name, "backbone.shared.%lld", (long long)(use % o->n_block));
    kr_share_begin(b->g, name);
    kr_node *u = kr_rmsnorm(b, KR_APPLY(b->g, concat, NULL, x, b->embedding), "norm", o->norm_eps);
    kr_scope_push(b->g, "attention");
    u = kr_attention_build(b, &a, u, attention_adapter(b, o, &a, u, use));
    kr_scope_pop(b->g);
    u = kr_rmsnorm(b, u, "norm2", o->norm_eps);
    kr_scope_push(b->g, "mlp");
    kr_node *h = kr_linear(b, u, "fc1", 2 * F, m.bias);
    if (o->adapter_rank) h = kr_add(b, h, low_rank(b, u, "adapter", use, o->adapter_rank, 2 * F));
    h = kr_linear(b, kr_perceptron_act(b, &m, h), "fc2", b->d_model, m.bias);
    kr_scope_pop(b->g);
    kr_share_end(b->g);
    return kr_linear_out(b, h, "linear", b->d_model, false);
}

const kr_part kr_part_mixer_shared = {.kind = "mixer", .name = "shared", .about = "a transformer block that layers share, before the mixer behind it",
                                      .bytes = sizeof(shared), .keys = keys, .causal = true, .before = true, .build = build};
