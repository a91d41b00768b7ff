/* perceptron.c - see perceptron.h. */
#include "ops/ops.h"
#include "parts/perceptron.h"

#include "ops/glu/glu.h"
#include "ops/unary/unary.h"

enum { SILU, GELU, GELU_TANH, RELU, RELU2 };

int64_t kr_perceptron_width(const kr_build *b, const kr_perceptron *o) {
    int64_t m = o->multiple_of;
    return o->d_ff ? o->d_ff : ((o->gated ? 8 * b->d_model / 3 : 4 * b->d_model) + m - 1) / m * m;
}

kr_node *kr_perceptron_act(kr_build *b, const kr_perceptron *o, kr_node *x) {
    static const int unary[] = {KR_UNARY_SILU, KR_UNARY_GELU, KR_UNARY_GELU_TANH, KR_UNARY_RELU};
    static const int gate[] = {KR_GLU_SILU, KR_GLU_GELU, KR_GLU_GELU_TANH, KR_GLU_RELU, KR_GLU_RELU};
    int64_t F = kr_node_dim(x, -1) / 2;
    glu_attr a = {.kind = gate[o->activation]};
    if (o->gated && o->activation == RELU2) return kr_graph_fail(b->g, KR_ERR_CONFIG, "mlp: relu2 has no gate; set gated to false");
    if (o->gated)
        return KR_APPLY(b->g, glu, &a, kr_columns(b->g, x, o->gate_first ? F : 0, F),
                        kr_scale(b, kr_columns(b->g, x, o->gate_first ? 0 : F, F), o->gate_scale));
    return o->activation == RELU2 ? KR_APPLY(b->g, glu, &a, x, x) : kr_act(b, x, unary[o->activation]);
}

kr_node *kr_perceptron_build(kr_build *b, const kr_perceptron *o, kr_node *u) {
    int64_t F = kr_perceptron_width(b, o);
    kr_node *x = kr_perceptron_act(b, o, kr_linear(b, u, "fc1", o->gated ? 2 * F : F, o->bias));
    return kr_linear_out(b, x, "fc2", b->d_model, o->bias);
}
