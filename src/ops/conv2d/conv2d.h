/* conv2d.h - the slots and options of conv2d, in the order of its signature. */
#ifndef KR_OPS_CONV2D_H
#define KR_OPS_CONV2D_H
#include "ops/op.h"

enum { CONV2D_X, CONV2D_W, CONV2D_B };
enum { CONV2D_Y };
enum { CONV2D_MAX_SIDE = 15 };
typedef struct conv2d_attr { int64_t width, stride; } conv2d_attr;

/* The pictures of a call, filled by conv2d_grid: n of H x W cells become n of oH x oW. */
typedef struct conv2d_grid { int64_t n, H, W, oH, oW, side, stride, pad; } conv2d_grid;
static inline conv2d_grid conv2d_grid_of(const kr_call *c) {
    const conv2d_attr *a = (const conv2d_attr *)c->attr;
    conv2d_grid g = {.n = KR_SIZE(c, 'S'), .W = a->width ? a->width : KR_SIZE(c, 'L'), .stride = a->stride};
    g.H = g.W ? KR_SIZE(c, 'L') / g.W : 0;
    while ((g.side + 1) * (g.side + 1) <= KR_SIZE(c, 'K')) g.side++;
    g.pad = (g.side - 1) / 2;
    g.oH = (g.H + g.stride - 1) / g.stride;
    g.oW = (g.W + g.stride - 1) / g.stride;
    return g;
}
#endif
