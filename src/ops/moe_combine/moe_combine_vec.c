/* moe_combine_vec.c - moe_combine for CPUs: lanes over D, threads over rows. */
#include "ops/moe_combine/moe_combine.h"
#include "ops/rows.h"

void KR_VEC(moe_combine_fwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
#pragma omp parallel for num_threads(rows_threads(c, c->rows * K * D)) schedule(static)
    for (int64_t r = 0; r < c->rows; r++) {
        const float *x = row_at(&c->in[MOE_COMBINE_X], r), *w = row_at(&c->in[MOE_COMBINE_W], r);
        float *y = row_of(&c->out[MOE_COMBINE_Y], r, D);
        for (int64_t i = 0; i < D; i += KR_VL) {
            vf sum = {0};
            for (int64_t k = 0; k < K; k++) sum += w[k] * v_get(x + k * D + i, D - i);
            v_put(y + i, sum, D - i);
        }
    }
}

void KR_VEC(moe_combine_bwd)(const kr_call *c) {
    enum { BLOCK = 512 }; /* of a sum in float */
    int64_t K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
#pragma omp parallel for num_threads(rows_threads(c, c->rows * K * D)) schedule(static)
    for (int64_t r = 0; r < c->rows; r++) {
        const float *x = row_at(&c->in[MOE_COMBINE_X], r), *w = row_at(&c->in[MOE_COMBINE_W], r), *dy = row_of(&c->dout[MOE_COMBINE_Y], r, D);
        float *dx = row_at(&c->din[MOE_COMBINE_X], r), *dw = row_at(&c->din[MOE_COMBINE_W], r);
        for (int64_t k = 0; k < K; k++) {
            double total = 0;
            for (int64_t i = 0; i < D && dx; i += KR_VL) v_give(dx + k * D + i, w[k] * v_get(dy + i, D - i), c->acc[MOE_COMBINE_X], D - i);
            for (int64_t b = 0; b < D && dw; b += BLOCK) {
                vf part = {0};
                for (int64_t i = b; i < D && i < b + BLOCK; i += KR_VL) part += v_get(x + k * D + i, D - i) * v_get(dy + i, D - i);
                total += (double)v_sum(part);
            }
            if (dw) dw[k] = (c->acc[MOE_COMBINE_W] ? dw[k] : 0) + (float)total;
        }
    }
}
