/* rmsnorm_vec.c - rmsnorm for CPUs: lanes over D, threads over rows. */
#include "ops/rmsnorm/rmsnorm.h"
#include "ops/rows.h"

void KR_VEC(rmsnorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows;
    double eps = ((const rmsnorm_attr *)c->attr)->eps;
    const float *w = c->in[RMSNORM_W].data;
#pragma omp parallel for num_threads(rows_threads(c, rows * D)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *x = row_at(&c->in[RMSNORM_X], r);
        float *y = row_of(&c->out[RMSNORM_Y], r, D);
        vf squares = {0};
        for (int64_t i = 0; i < D; i += KR_VL) {
            vf v = v_get(x + i, D - i);
            squares += v * v;
        }
        float inv = row_inverse_rms(squares, D, eps);
        for (int64_t i = 0; i < D; i += KR_VL) {
            vf v = v_get(x + i, D - i) * inv;
            v_put(y + i, w ? v * v_get(w + i, D - i) : v, D - i);
        }
    }
}

static void row_bwd(const kr_call *c, int64_t r, float *dw) {
    int64_t D = KR_SIZE(c, 'D');
    const float *w = c->in[RMSNORM_W].data, *dy = row_of(&c->dout[RMSNORM_Y], r, D), *x = row_at(&c->in[RMSNORM_X], r);
    float *dx = row_at(&c->din[RMSNORM_X], r);
    vf squares = {0}, dots = {0};
    for (int64_t i = 0; i < D; i += KR_VL) {
        vf v = v_get(x + i, D - i), g = v_get(dy + i, D - i);
        if (w) g *= v_get(w + i, D - i);
        squares += v * v;
        dots += g * v;
    }
    float inv = row_inverse_rms(squares, D, ((const rmsnorm_attr *)c->attr)->eps);
    float k = inv * inv * inv * v_sum(dots) / (float)D;
    for (int64_t i = 0; i < D; i += KR_VL) {
        vf v = v_get(x + i, D - i), g = v_get(dy + i, D - i);
        if (dw) v_give(dw + i, g * v * inv, true, D - i);
        if (w) g *= v_get(w + i, D - i);
        if (dx) v_give(dx + i, g * inv - v * k, c->acc[RMSNORM_X], D - i);
    }
}

void KR_VEC(rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    float *dw = c->din[RMSNORM_W].data, *parts = dw ? c->scratch : NULL;
    rows_each(c, parts, D, row_bwd);
    rows_reduce(c, dw, c->acc[RMSNORM_W], parts, D, D);
}
