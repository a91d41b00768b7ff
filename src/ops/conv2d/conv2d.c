/* conv2d.c - a depthwise convolution over pictures: each channel by itself.
 *
 *   y[s, i, j] = b + sum over u, v of w[u, v] x[s, i T + u - p, j T + v - p]
 *
 * with u, v in [0, side), side^2 = K, p = (side - 1) / 2 rounded down, stride T, zeros outside
 * the picture.  The L steps are rows of `width` cells; the result has ceil(rows / T) rows of
 * ceil(width / T).  (A dense one is a gather of patches and a product: parts/grid.c.) */
#include "ops/conv2d/conv2d.h"

#include "ops/rows.h"

KR_REF_DECLARE(conv2d_fwd);
KR_REF_DECLARE(conv2d_bwd);
KR_VEC_DECLARE(conv2d_fwd);
KR_VEC_DECLARE(conv2d_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(conv2d_attr, width, 0, "cells in a row of the picture; 0: all L, one row"),
    KR_ATTR_INT(conv2d_attr, stride, 1, "cells from one window to the next, both ways"),
    KR_ATTR_END,
};

static kr_status conv2d_plan(kr_call *c) {
    const conv2d_attr *a = c->attr;
    int64_t L = KR_SIZE(c, 'L'), K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
    if (a->stride < 1) KR_FAIL(KR_ERR_ARG, "conv2d: stride is %lld, want at least 1", (long long)a->stride);
    if (a->width < 0 || (a->width > 0 && L % a->width)) KR_FAIL(KR_ERR_SHAPE, "conv2d: %lld steps are no rows of %lld", (long long)L, (long long)a->width);
    conv2d_grid g = conv2d_grid_of(c);
    if (g.side * g.side != K || g.side < 1 || g.side > CONV2D_MAX_SIDE)
        KR_FAIL(KR_ERR_SHAPE, "conv2d: w has %lld taps, want the square of 1 to %d", (long long)K, CONV2D_MAX_SIDE);
    KR_SIZE(c, 'J') = g.oH * g.oW;
    c->fwd_scratch = (size_t)(K * D) * sizeof(float); /* the taps, transposed */
    c->bwd_scratch = c->fwd_scratch + rows_part_bytes(g.n * g.oH, (K + 1) * D);
    return KR_OK;
}

static double conv2d_flops(const kr_call *c) { return 2.0 * (double)(KR_SIZE(c, 'S') * KR_SIZE(c, 'J')) * (double)(KR_SIZE(c, 'D') * KR_SIZE(c, 'K')); }

const kr_op kr_op_conv2d = {
    .name = "conv2d",
    .sig = "x:SLD w:DK@f b?:D@f -> y:SJD",
    .about = "depthwise convolution over pictures of L = rows x width cells",
    .attr_bytes = sizeof(conv2d_attr),
    .attrs = attrs,
    .plan = conv2d_plan,
    .fwd = {[KR_REF] = conv2d_fwd_ref_f32, KR_VEC_IMPLS(conv2d_fwd)},
    .bwd = {[KR_REF] = conv2d_bwd_ref_f32, KR_VEC_IMPLS(conv2d_bwd)},
    .fwd_f64 = conv2d_fwd_ref_f64,
    .bwd_f64 = conv2d_bwd_ref_f64,
    .bwd_in = 1 << CONV2D_X | 1 << CONV2D_W,
    .flops = conv2d_flops,
};
