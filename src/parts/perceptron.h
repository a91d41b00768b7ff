/* perceptron.h - the two layers of a perceptron, gated or plain: of an MLP, of an expert. */
#ifndef KR_PARTS_PERCEPTRON_H
#define KR_PARTS_PERCEPTRON_H
#include "parts/part.h"

typedef struct kr_perceptron {
    int64_t d_ff, multiple_of;
    int activation;      /* by KR_PERCEPTRON_ACTIVATIONS */
    bool gated, gate_first, bias;
    double gate_scale;
} kr_perceptron;

#define KR_PERCEPTRON_ACTIVATIONS "silu|gelu|gelu_tanh|relu|relu2"

/* The inner width. */
int64_t kr_perceptron_width(const kr_build *b, const kr_perceptron *o);
/* What stands between the layers: x [..., width, or twice that if gated] -> [..., width]. */
kr_node *kr_perceptron_act(kr_build *b, const kr_perceptron *o, kr_node *x);
/* fc1, that, fc2. */
kr_node *kr_perceptron_build(kr_build *b, const kr_perceptron *o, kr_node *u);
#endif
