/* scale_heads_ref.c - the definition of scale_heads. */
#include "ops/ref.h"
#include "ops/scale_heads/scale_heads.h"

#define ROW(t, r) ((real *)(t)->data + (r) * (t)->pitch)

void REF(scale_heads_fwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P');
    for (int64_t r = 0; r < KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); r++)
        for (int64_t i = 0; i < H * P; i++)
            ((real *)c->out[SCALE_HEADS_Y].data)[r * H * P + i] = ROW(&c->in[SCALE_HEADS_X], r)[i] * ROW(&c->in[SCALE_HEADS_W], r)[i / P];
}

void REF(scale_heads_bwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P');
    const kr_tensor *dx = &c->din[SCALE_HEADS_X], *dw = &c->din[SCALE_HEADS_W];
    for (int64_t r = 0; r < KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); r++)
        for (int64_t i = 0; i < H * P; i++) {
            real dy = ((const real *)c->dout[SCALE_HEADS_Y].data)[r * H * P + i];
            if (dx->data) ROW(dx, r)[i] += dy * ROW(&c->in[SCALE_HEADS_W], r)[i / P];
            if (dw->data) ROW(dw, r)[i / P] += dy * ROW(&c->in[SCALE_HEADS_X], r)[i];
        }
}
