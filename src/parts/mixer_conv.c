/* mixer_conv.c - convolutions over pictures, as a residual branch.
 *
 *   dense       depth times: a side x side convolution, a norm, f (not behind the last convolution)
 *   depthwise   a side x side convolution of each channel by itself, a norm, and a perceptron
 *               (ConvNeXt: Liu et al. 2022)
 *
 * Two dense ones with a norm over each channel of a picture (groups 0) are U-Mamba's residual
 * block and, but for the norm, U-Net's. */
#include <stdio.h>

#include "ops/unary/unary.h"
#include "parts/grid.h"

typedef struct conv { int64_t side, depth, width, groups; int kind, norm, activation; } conv;
static const kr_key keys[] = {
    KR_KEY_CHOICE(conv, kind, "dense|depthwise", "what the convolution mixes: all channels, or none"),
    KR_KEY_INT(conv, side, 3, 1, 15, "taps each way"),
    KR_KEY_INT(conv, depth, 2, 1, 8, "convolutions, one behind the other; of a depthwise one there is one"),
    KR_KEY_INT(conv, width, 0, 0, 1 << 24, "channels between them; 0: d_model, behind a depthwise one 4 d_model"),
    KR_KEY_CHOICE(conv, norm, "group|layer|none", "over groups of channels of a picture, or over a cell's channels"),
    KR_KEY_INT(conv, groups, 0, 0, 1 << 24, "of channels; 0: each channel is one"),
    KR_KEY_CHOICE(conv, activation, "relu|silu|gelu", "f"),
    KR_KEY_END};

static kr_node *activated(kr_build *b, const conv *o, kr_node *x) {
    static const int kinds[] = {KR_UNARY_RELU, KR_UNARY_SILU, KR_UNARY_GELU};
    return kr_act(b, x, kinds[o->activation]);
}
static kr_node *normed(kr_build *b, const conv *o, kr_node *x, const char *name) {
    return o->norm == 0 ? kr_groupnorm(b, x, name, o->groups) : o->norm == 1 ? kr_layernorm(b, x, name, 1e-5) : x;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const conv *o = opt;
    int64_t M = kr_node_dim(x, -1), width = o->width ? o->width : o->kind ? 4 * M : M;
    char name[40];
    if (!kr_grid_wanted(b, "mixer conv")) return NULL;
    if (o->kind) {
        x = normed(b, o, kr_conv2d_depthwise(b, x, "conv2d", o->side, true), "norm");
        return kr_linear_out(b, activated(b, o, kr_linear(b, x, "fc1", width, true)), "fc2", M, true);
    }
    for (int64_t i = 0; i < o->depth; i++) {
        snprintf(name, sizeof name, "conv2d.%lld", (long long)i);
        x = kr_conv2d(b, x, name, i + 1 < o->depth ? width : M, o->side, 1, o->norm == 2); /* a norm takes a bias away */
        snprintf(name, sizeof name, "norm.%lld", (long long)i);
        x = normed(b, o, x, name);
        if (i + 1 < o->depth) x = activated(b, o, x);
    }
    return x;
}

const kr_part kr_part_mixer_conv = {.kind = "mixer", .name = "conv", .about = "convolutions over pictures: U-Net's, ConvNeXt's",
                                    .bytes = sizeof(conv), .keys = keys, .own_order = true, .build = build};
