/* mixer_mlp.c - a layer of a perceptron on each step by itself.
 *
 *   gated   x, g = u W_1;  out = (x f(g)) W_2      SwiGLU with silu, GeGLU with gelu
 *   plain                  out = f(u W_1) W_2 */
#include "ops/glu/glu.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct mlp {
    int64_t d_ff, multiple_of;
    int activation;
    bool gated, gate_first, bias;
    double gate_scale;
} mlp;

enum { SILU, GELU, GELU_TANH, RELU, RELU2 };
static const kr_key keys[] = {
    KR_KEY_INT(mlp, d_ff, 0, 0, 1 << 24, "inner width; 0: 8/3 d_model if gated, else 4 d_model, rounded up"),
    KR_KEY_INT(mlp, multiple_of, 128, 1, 1 << 20, "to a multiple of this"),
    KR_KEY_BOOL(mlp, gated, true, "half of fc1 is a gate for the other half"),
    KR_KEY_BOOL(mlp, gate_first, false, "the first half is the gate, not the second"),
    KR_KEY_REAL(mlp, gate_scale, 1, -1e6, 1e6, "factor of the gate before f"),
    KR_KEY_CHOICE(mlp, activation, "silu|gelu|gelu_tanh|relu|relu2", "f; relu2 is the square of relu, and has no gate"),
    KR_KEY_BOOL(mlp, bias, false, "fc1 and fc2 have a bias"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    static const int unary[] = {KR_UNARY_SILU, KR_UNARY_GELU, KR_UNARY_GELU_TANH, KR_UNARY_RELU};
    static const int gate[] = {KR_GLU_SILU, KR_GLU_GELU, KR_GLU_GELU_TANH, KR_GLU_RELU, KR_GLU_RELU};
    const mlp *o = opt;
    int64_t F = o->d_ff, m = o->multiple_of;
    if (!F) F = ((o->gated ? 8 * b->d_model / 3 : 4 * b->d_model) + m - 1) / m * m;
    if (o->gated && o->activation == RELU2) return kr_graph_fail(b->g, KR_ERR_CONFIG, "mlp: relu2 has no gate; set gated to false");
    glu_attr a = {.kind = gate[o->activation]};
    kr_node *x = kr_linear(b, u, "fc1", o->gated ? 2 * F : F, o->bias);
    if (o->gated) x = KR_APPLY(b->g, glu, &a, kr_columns(b->g, x, o->gate_first ? F : 0, F),
                             kr_scale(b, kr_columns(b->g, x, o->gate_first ? 0 : F, F), o->gate_scale));
    else if (o->activation == RELU2) x = KR_APPLY(b->g, glu, &a, x, x);
    else x = kr_act(b, x, unary[o->activation]);
    return kr_linear_out(b, x, "fc2", b->d_model, o->bias);
}

const kr_part kr_part_mixer_mlp = {.kind = "mixer", .name = "mlp", .about = "a gated or plain perceptron on each step", .bytes = sizeof(mlp),
                                   .keys = keys, .causal = true, .pointwise = true, .build = build};
