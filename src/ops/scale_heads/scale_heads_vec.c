/* scale_heads_vec.c - scale_heads for CPUs: threads over steps. */
#include "ops/rows.h"
#include "ops/scale_heads/scale_heads.h"

void KR_VEC(scale_heads_fwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
#pragma omp parallel for num_threads(rows_threads(c, rows * H * P)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *x = row_at(&c->in[SCALE_HEADS_X], r), *w = row_at(&c->in[SCALE_HEADS_W], r);
        float *y = row_of(&c->out[SCALE_HEADS_Y], r, H * P);
        for (int64_t h = 0; h < H; h++, x += P, y += P)
            for (int64_t i = 0; i < P; i += KR_VL) v_put(y + i, w[h] * v_get(x + i, P - i), P - i);
    }
}

void KR_VEC(scale_heads_bwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
#pragma omp parallel for num_threads(rows_threads(c, rows * H * P)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *x = row_at(&c->in[SCALE_HEADS_X], r), *w = row_at(&c->in[SCALE_HEADS_W], r), *dy = row_of(&c->dout[SCALE_HEADS_Y], r, H * P);
        float *dx = row_at(&c->din[SCALE_HEADS_X], r), *dw = row_at(&c->din[SCALE_HEADS_W], r);
        for (int64_t h = 0; h < H; h++) {
            vf sum = {0};
            for (int64_t i = 0; i < P; i += KR_VL) {
                vf g = v_get(dy + h * P + i, P - i);
                if (dx) v_give(dx + h * P + i, w[h] * g, c->acc[SCALE_HEADS_X], P - i);
                sum += g * v_get(x + h * P + i, P - i);
            }
            if (dw) dw[h] = v_sum(sum) + (c->acc[SCALE_HEADS_W] ? dw[h] : 0);
        }
    }
}
