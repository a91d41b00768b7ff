/* mixer_mlp.c - a layer of a perceptron on each step by itself.
 *
 *   gated   x, g = u W_1;  out = (x f(g)) W_2      SwiGLU with silu, GeGLU with gelu
 *   plain                  out = f(u W_1) W_2 */
#include "parts/perceptron.h"

static const kr_key keys[] = {
    KR_KEY_INT(kr_perceptron, d_ff, 0, 0, 1 << 24, "inner width; 0: 8/3 d_model if gated, else 4 d_model, rounded up"),
    KR_KEY_INT(kr_perceptron, multiple_of, 128, 1, 1 << 20, "to a multiple of this"),
    KR_KEY_BOOL(kr_perceptron, gated, true, "half of fc1 is a gate for the other half"),
    KR_KEY_BOOL(kr_perceptron, gate_first, false, "the first half is the gate, not the second"),
    KR_KEY_REAL(kr_perceptron, gate_scale, 1, -1e6, 1e6, "factor of the gate before f"),
    KR_KEY_CHOICE(kr_perceptron, activation, KR_PERCEPTRON_ACTIVATIONS, "f; relu2 is the square of relu, and has no gate"),
    KR_KEY_BOOL(kr_perceptron, bias, false, "fc1 and fc2 have a bias"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *u) { return kr_perceptron_build(b, opt, u); }

const kr_part kr_part_mixer_mlp = {.kind = "mixer", .name = "mlp", .about = "a gated or plain perceptron on each step", .bytes = sizeof(kr_perceptron),
                                   .keys = keys, .causal = true, .pointwise = true, .build = build};
