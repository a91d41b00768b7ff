/* layernorm_vec.c - layernorm for CPUs: lanes over D, threads over rows. */
#include "ops/layernorm/layernorm.h"
#include "ops/rows.h"

/* Two passes: squares of what is left after the mean, so a large mean costs no digits. */
static void moments(const kr_call *c, const float *x, float *mean, float *inv) {
    int64_t D = KR_SIZE(c, 'D');
    vf sum = {0}, squares = {0};
    for (int64_t i = 0; i < D; i += KR_VL) sum += v_get(x + i, D - i);
    *mean = v_sum(sum) / (float)D;
    for (int64_t i = 0; i < D; i += KR_VL) {
        vf v = v_keep(v_get(x + i, D - i) - *mean, D - i);
        squares += v * v;
    }
    *inv = row_inverse_rms(squares, D, ((const layernorm_attr *)c->attr)->eps);
}

void KR_VEC(layernorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows;
    const float *w = c->in[LAYERNORM_W].data, *b = c->in[LAYERNORM_B].data;
#pragma omp parallel for num_threads(rows_threads(c, rows * D)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *x = row_at(&c->in[LAYERNORM_X], r);
        float *y = row_of(&c->out[LAYERNORM_Y], r, D), mean, inv;
        moments(c, x, &mean, &inv);
        for (int64_t i = 0; i < D; i += KR_VL) {
            vf v = (v_get(x + i, D - i) - mean) * inv;
            if (w) v *= v_get(w + i, D - i);
            if (b) v += v_get(b + i, D - i);
            v_put(y + i, v, D - i);
        }
    }
}

static void row_bwd(const kr_call *c, int64_t r, float *part) { /* [dw, db][D] */
    int64_t D = KR_SIZE(c, 'D');
    float *dw = c->din[LAYERNORM_W].data ? part : NULL, *db = c->din[LAYERNORM_B].data ? part + D : NULL;
    const float *w = c->in[LAYERNORM_W].data, *x = row_at(&c->in[LAYERNORM_X], r);
    const float *dy = row_of(&c->dout[LAYERNORM_Y], r, D);
    float *dx = row_at(&c->din[LAYERNORM_X], r), mean, inv;
    moments(c, x, &mean, &inv);
    vf g_sum = {0}, gn_sum = {0};
    for (int64_t i = 0; i < D; i += KR_VL) { /* past the end dy is 0, and so are both sums */
        vf n = (v_get(x + i, D - i) - mean) * inv, g = v_get(dy + i, D - i);
        if (dw) v_give(dw + i, g * n, true, D - i);
        if (db) v_give(db + i, g, true, D - i);
        if (w) g *= v_get(w + i, D - i);
        g_sum += g;
        gn_sum += g * n;
    }
    float g_mean = v_sum(g_sum) / (float)D, gn_mean = v_sum(gn_sum) / (float)D;
    for (int64_t i = 0; i < D && dx; i += KR_VL) {
        vf n = (v_get(x + i, D - i) - mean) * inv, g = v_get(dy + i, D - i);
        if (w) g *= v_get(w + i, D - i);
        v_give(dx + i, (g - g_mean - n * gn_mean) * inv, c->acc[LAYERNORM_X], D - i);
    }
}

void KR_VEC(layernorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    float *dw = c->din[LAYERNORM_W].data, *db = c->din[LAYERNORM_B].data;
    rows_each(c, dw || db ? c->scratch : NULL, 2 * D, row_bwd);
    rows_reduce(c, dw, c->acc[LAYERNORM_W], c->scratch, 2 * D, D);
    rows_reduce(c, db, c->acc[LAYERNORM_B], (float *)c->scratch + D, 2 * D, D);
}
