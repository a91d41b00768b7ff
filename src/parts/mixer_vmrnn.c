/* mixer_vmrnn.c - VMRNN's cell (Tang et al. 2024): a recurrence from frame to frame of a clip, whose
 * function of frame and state is a VSS block.
 *
 *   v_t = x_t + SS2D([layernorm(x_t), layernorm(h_{t-1})] W)
 *   f   = sigmoid(v_t),   c_t = f (c_{t-1} + tanh v_t),   h_t = f tanh(c_t)      c_0 = h_0 = 0
 *
 * out_t = h_t.  The frames are unrolled; all share the cell's parameters. */
#include "ops/binary/binary.h"
#include "ops/ops.h"
#include "ops/slice_steps/slice_steps.h"
#include "ops/unary/unary.h"
#include "parts/grid.h"
#include "parts/ss2d.h"

static kr_node *times(kr_build *b, kr_node *x, kr_node *y) {
    binary_attr a = {.kind = KR_BINARY_MUL};
    return KR_APPLY(b->g, binary, &a, x, y);
}

static kr_node *frame(kr_build *b, const kr_ss2d *o, kr_node *x, kr_node **h, kr_node **c) {
    kr_node *both = KR_APPLY(b->g, concat, NULL, kr_layernorm(b, x, "norm", 1e-5), kr_layernorm(b, *h, "norm", 1e-5));
    kr_node *v = kr_linear(b, both, "join", b->d_model, true);
    kr_scope_push(b->g, "ss2d");
    v = kr_add(b, x, kr_ss2d_build(b, o, v));
    kr_scope_pop(b->g);
    kr_node *f = kr_act(b, v, KR_UNARY_SIGMOID), *t = kr_act(b, v, KR_UNARY_TANH);
    *c = times(b, f, *c ? kr_add(b, *c, t) : t);
    return *h = times(b, f, kr_act(b, *c, KR_UNARY_TANH));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    if (!kr_grid_wanted(b, "mixer vmrnn")) return NULL;
    int64_t L = b->L, n = b->H * b->W, M = b->d_model;
    kr_piece zeros = {b->S * n * M, 0};
    kr_node *h = kr_reshape(b->g, kr_const_pieces(b->g, &zeros, 1), 3, KR_DIMS(b->S, n, M)), *c = NULL, *all = NULL;
    b->L = n;
    for (int64_t t = 0; t < L / n; t++) {
        slice_steps_attr of = {.start = t * n, .count = n};
        kr_node *y = frame(b, opt, L == n ? x : KR_APPLY(b->g, slice_steps, &of, x), &h, &c);
        y = kr_reshape(b->g, y, 2, KR_DIMS(b->S, n * M));
        all = t ? KR_APPLY(b->g, concat, NULL, all, y) : y;
    }
    b->L = L;
    return kr_reshape(b->g, all, 3, KR_DIMS(b->S, L, M));
}

const kr_part kr_part_mixer_vmrnn = {.kind = "mixer", .name = "vmrnn", .about = "a recurrence over the frames of a clip around a VSS block (VMRNN); options of ss2d",
                                     .bytes = sizeof(kr_ss2d), .keys = kr_ss2d_keys, .own_order = true, .build = build};
