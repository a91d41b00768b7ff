/* mixer_medmamba.c - MedMamba's SS-Conv-SSM (Yue & Li 2024): half the channels through convolutions,
 * half through selective scans, then one of each in turn.
 *
 *   l, r = u
 *   l    = relu(1 x 1(relu(norm(3 x 3(relu(norm(3 x 3(norm(l)))))))))
 *   r    = SS2D(layernorm(r))
 *   out  = l_0, r_0, l_1, r_1, ...
 *
 * Its norms of the left half are over a batch there, over each channel of a picture here. */
#include "ops/ops.h"
#include "ops/unary/unary.h"
#include "parts/grid.h"
#include "parts/ss2d.h"

static kr_node *convolved(kr_build *b, kr_node *x) {
    int64_t D = kr_node_dim(x, -1);
    x = kr_groupnorm(b, x, "norm.0", 0);
    x = kr_groupnorm(b, kr_conv2d(b, x, "conv2d.0", D, 3, 1, false), "norm.1", 0);
    x = kr_conv2d(b, kr_act(b, x, KR_UNARY_RELU), "conv2d.1", D, 3, 1, false);
    x = kr_act(b, kr_groupnorm(b, x, "norm.2", 0), KR_UNARY_RELU);
    return kr_act(b, kr_linear(b, x, "conv2d.2", D, true), KR_UNARY_RELU);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    int64_t M = b->d_model, half = M / 2, n = b->L * half;
    if (!kr_grid_wanted(b, "mixer medmamba")) return NULL;
    if (M % 2) return kr_graph_fail(b->g, KR_ERR_CONFIG, "medmamba: %lld channels have no halves", (long long)M);
    kr_node *left = convolved(b, kr_columns(b->g, x, 0, half));
    kr_node *right = kr_layernorm(b, kr_columns(b->g, x, half, half), "norm", 1e-5);
    b->d_model = half;
    kr_scope_push(b->g, "ss2d");
    right = kr_ss2d_build(b, opt, right);
    kr_scope_pop(b->g);
    b->d_model = M;
    x = KR_APPLY(b->g, concat, NULL, kr_reshape(b->g, left, 3, KR_DIMS(b->S, n, 1)), kr_reshape(b->g, right, 3, KR_DIMS(b->S, n, 1)));
    return kr_reshape(b->g, x, 3, KR_DIMS(b->S, b->L, M));
}

const kr_part kr_part_mixer_medmamba = {.kind = "mixer", .name = "medmamba", .about = "half the channels convolved, half scanned, in turn (MedMamba); options of ss2d",
                                        .bytes = sizeof(kr_ss2d), .keys = kr_ss2d_keys, .own_order = true, .build = build};
