/* rmsnorm_vec.c - rmsnorm for CPUs: lanes over D, threads over rows. */
#include <math.h>

#include "base/vec.h"
#include "ops/rmsnorm/rmsnorm.h"

/* 1 / sqrt(mean(x^2) + eps) */
static float inverse_rms(const float *x, int64_t D, double eps) {
    vf acc = {0};
    int64_t i = 0;
    for (; i + KR_VL <= D; i += KR_VL) acc += v_load(x + i) * v_load(x + i);
    vf last = v_load_n(x + i, D - i);
    return (float)(1 / sqrt(v_sum(acc + last * last) / (double)D + eps));
}

void KR_VEC(rmsnorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows;
    double eps = ((const rmsnorm_attr *)c->attr)->eps;
    const float *w = c->in[RMSNORM_W].data;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *x = (const float *)c->in[RMSNORM_X].data + r * c->in[RMSNORM_X].pitch;
        float *y = (float *)c->out[RMSNORM_Y].data + r * D, inv = inverse_rms(x, D, eps);
        int64_t i = 0;
        for (; i + KR_VL <= D; i += KR_VL) v_store(y + i, v_load(x + i) * inv * (w ? v_load(w + i) : v_set(1)));
        for (; i < D; i++) y[i] = x[i] * inv * (w ? w[i] : 1);
    }
}

static void row_bwd(const kr_call *c, int64_t r, float *dw) {
    int64_t D = KR_SIZE(c, 'D'), i = 0;
    const float *w = c->in[RMSNORM_W].data, *dy = (const float *)c->dout[RMSNORM_Y].data + r * D;
    const float *x = (const float *)c->in[RMSNORM_X].data + r * c->in[RMSNORM_X].pitch;
    float *dx = c->din[RMSNORM_X].data ? (float *)c->din[RMSNORM_X].data + r * c->din[RMSNORM_X].pitch : NULL;
    float inv = inverse_rms(x, D, ((const rmsnorm_attr *)c->attr)->eps);
    if (dx) {
        vf acc = {0};
        for (; i < D; i += KR_VL) {
            int64_t n = D - i < KR_VL ? D - i : KR_VL;
            vf g = v_load_n(dy + i, n);
            if (w) g *= v_load_n(w + i, n);
            acc += g * v_load_n(x + i, n);
        }
        float k = inv * inv * inv * v_sum(acc) / (float)D;
        for (i = 0; i < D; i += KR_VL) {
            int64_t n = D - i < KR_VL ? D - i : KR_VL;
            vf g = v_load_n(dy + i, n);
            if (w) g *= v_load_n(w + i, n);
            g = g * inv - v_load_n(x + i, n) * k;
            if (c->acc[RMSNORM_X]) g += v_load_n(dx + i, n);
            v_store_n(dx + i, g, n);
        }
    }
    if (dw)
        for (i = 0; i < D; i++) dw[i] += dy[i] * x[i] * inv;
}

void KR_VEC(rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows, step = RMSNORM_ROWS(rows), n_blocks = RMSNORM_BLOCKS(rows);
    float *dw = c->din[RMSNORM_W].data, *part = c->scratch;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *mine = dw ? part + b * D : NULL;
        if (mine) memset(mine, 0, (size_t)D * sizeof *mine);
        for (int64_t r = b * step; r < rows && r < (b + 1) * step; r++) row_bwd(c, r, mine);
    }
    for (int64_t i = 0; dw && i < D; i++) {
        float sum = c->acc[RMSNORM_W] ? dw[i] : 0;
        for (int64_t b = 0; b < n_blocks; b++) sum += part[b * D + i];
        dw[i] = sum;
    }
}
