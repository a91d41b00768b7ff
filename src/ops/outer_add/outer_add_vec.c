/* outer_add_vec.c - outer_add for CPUs: threads over sequences and heads. */
#include "ops/outer_add/outer_add.h"
#include "ops/rows.h"

void KR_VEC(outer_add_fwd)(const kr_call *c) {
    int64_t P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N'), heads = KR_SIZE(c, 'S') * KR_SIZE(c, 'H');
    const float *h = c->in[OUTER_ADD_H].data, *a = c->in[OUTER_ADD_A].data, *x = c->in[OUTER_ADD_X].data, *k = c->in[OUTER_ADD_K].data;
    float *y = c->out[OUTER_ADD_Y].data;
#pragma omp parallel for num_threads(rows_threads(c, heads * P * N)) schedule(static)
    for (int64_t i = 0; i < heads; i++)
        for (int64_t p = 0; p < P; p++) {
            float ax = a[i] * x[i * P + p];
            for (int64_t n = 0; n < N; n += KR_VL)
                v_put(y + (i * P + p) * N + n, v_get(h + (i * P + p) * N + n, N - n) + ax * v_get(k + i * N + n, N - n), N - n);
        }
}

void KR_VEC(outer_add_bwd)(const kr_call *c) {
    int64_t P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N'), heads = KR_SIZE(c, 'S') * KR_SIZE(c, 'H');
    const float *a = c->in[OUTER_ADD_A].data, *x = c->in[OUTER_ADD_X].data, *k = c->in[OUTER_ADD_K].data, *dy = c->dout[OUTER_ADD_Y].data;
    float *dh = c->din[OUTER_ADD_H].data, *da = c->din[OUTER_ADD_A].data, *dx = c->din[OUTER_ADD_X].data, *dk = c->din[OUTER_ADD_K].data;
#pragma omp parallel for num_threads(rows_threads(c, heads * P * N)) schedule(static)
    for (int64_t i = 0; i < heads; i++) {
        float all = 0;
        for (int64_t n = 0; dk && !c->acc[OUTER_ADD_K] && n < N; n++) dk[i * N + n] = 0;
        for (int64_t p = 0; p < P; p++) {
            vf sum = {0};
            float *h = dh ? dh + (i * P + p) * N : NULL, *to = dk ? dk + i * N : NULL;
            for (int64_t n = 0; n < N; n += KR_VL) {
                vf g = v_get(dy + (i * P + p) * N + n, N - n);
                if (h) v_give(h + n, g, c->acc[OUTER_ADD_H], N - n);
                if (to) v_give(to + n, a[i] * x[i * P + p] * g, true, N - n);
                sum += g * v_get(k + i * N + n, N - n);
            }
            float dot = v_sum(sum);
            if (dx) dx[i * P + p] = a[i] * dot + (c->acc[OUTER_ADD_X] ? dx[i * P + p] : 0);
            all += x[i * P + p] * dot;
        }
        if (da) da[i] = all + (c->acc[OUTER_ADD_A] ? da[i] : 0);
    }
}
