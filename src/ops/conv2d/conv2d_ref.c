/* conv2d_ref.c - the definition of conv2d. */
#include "ops/conv2d/conv2d.h"
#include "ops/ref.h"

/* The step of picture s under tap (u, v) of window (i, j); -1 outside. */
static int64_t under(const conv2d_grid *g, int64_t s, int64_t i, int64_t j, int64_t u, int64_t v) {
    int64_t h = i * g->stride + u - g->pad, w = j * g->stride + v - g->pad;
    return h < 0 || h >= g->H || w < 0 || w >= g->W ? -1 : (s * g->H + h) * g->W + w;
}

void REF(conv2d_fwd)(const kr_call *c) {
    conv2d_grid g = conv2d_grid_of(c);
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    const kr_tensor *x = &c->in[CONV2D_X];
    const real *w = c->in[CONV2D_W].data, *b = c->in[CONV2D_B].data;
    real *y = c->out[CONV2D_Y].data;
    for (int64_t s = 0; s < g.n; s++)
        for (int64_t i = 0; i < g.oH; i++)
            for (int64_t j = 0; j < g.oW; j++)
                for (int64_t d = 0; d < D; d++) {
                    real sum = b ? b[d] : 0;
                    for (int64_t k = 0; k < K; k++) {
                        int64_t at = under(&g, s, i, j, k / g.side, k % g.side);
                        if (at >= 0) sum += w[d * K + k] * ((const real *)x->data)[at * x->pitch + d];
                    }
                    *y++ = sum;
                }
}

void REF(conv2d_bwd)(const kr_call *c) {
    conv2d_grid g = conv2d_grid_of(c);
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    const kr_tensor *x = &c->in[CONV2D_X], *tdx = &c->din[CONV2D_X];
    const real *w = c->in[CONV2D_W].data, *dy = c->dout[CONV2D_Y].data;
    real *dx = tdx->data, *dw = c->din[CONV2D_W].data, *db = c->din[CONV2D_B].data;
    for (int64_t s = 0; dy && s < g.n; s++)
        for (int64_t i = 0; i < g.oH; i++)
            for (int64_t j = 0; j < g.oW; j++)
                for (int64_t d = 0; d < D; d++) {
                    real v = *dy++;
                    if (db) db[d] += v;
                    for (int64_t k = 0; k < K; k++) {
                        int64_t at = under(&g, s, i, j, k / g.side, k % g.side);
                        if (at < 0) continue;
                        if (dw) dw[d * K + k] += v * ((const real *)x->data)[at * x->pitch + d];
                        if (dx) dx[at * tdx->pitch + d] += v * w[d * K + k];
                    }
                }
}
