/* add_rmsnorm_vec.c - add_rmsnorm for CPUs: lanes over D, threads over rows.
 *
 * Memory sets the pace: a row is read once, and the second pass finds it in the cache. */
#include "ops/add_rmsnorm/add_rmsnorm.h"
#include "ops/rows.h"

static void row_fwd(void *arg, int64_t r, int who) {
    const kr_call *c = arg;
    int64_t D = KR_SIZE(c, 'D');
    double eps = ((const add_rmsnorm_attr *)c->attr)->eps;
    const float *w = c->in[ADD_RMSNORM_W].data, *x = row_at(&c->in[ADD_RMSNORM_X], r), *res = row_at(&c->in[ADD_RMSNORM_RES], r);
    float *y = row_of(&c->out[ADD_RMSNORM_Y], r, D), *sum = row_of(&c->out[ADD_RMSNORM_SUM], r, D);
    (void)who;
    if (!sum) sum = y; /* nobody wants it: normalise in place */
    vf squares = {0};
    for (int64_t i = 0; i < D; i += KR_VL) {
        vf s = v_get(x + i, D - i);
        if (res) s += v_get(res + i, D - i);
        v_put(sum + i, s, D - i);
        squares += s * s;
    }
    float inv = row_inverse_rms(squares, D, eps);
    for (int64_t i = 0; i < D; i += KR_VL) {
        vf s = v_get(sum + i, D - i) * inv;
        v_put(y + i, w ? s * v_get(w + i, D - i) : s, D - i);
    }
}

void KR_VEC(add_rmsnorm_fwd)(const kr_call *c) { rows_forward(c, KR_SIZE(c, 'D'), row_fwd); }

static void row_bwd(const kr_call *c, int64_t r, float *dw) {
    int64_t D = KR_SIZE(c, 'D');
    const float *w = c->in[ADD_RMSNORM_W].data, *s = row_of(&c->out[ADD_RMSNORM_SUM], r, D);
    const float *dy = row_of(&c->dout[ADD_RMSNORM_Y], r, D), *dsum = row_of(&c->dout[ADD_RMSNORM_SUM], r, D);
    float *dx = row_at(&c->din[ADD_RMSNORM_X], r), *dres = row_at(&c->din[ADD_RMSNORM_RES], r);
    vf squares = {0}, dots = {0};
    for (int64_t i = 0; i < D && dy; i += KR_VL) {
        vf v = v_get(s + i, D - i), g = v_get(dy + i, D - i);
        if (w) g *= v_get(w + i, D - i);
        squares += v * v;
        dots += g * v;
    }
    float inv = row_inverse_rms(squares, D, ((const add_rmsnorm_attr *)c->attr)->eps);
    float k = inv * inv * inv * v_sum(dots) / (float)D;
    for (int64_t i = 0; i < D; i += KR_VL) {
        vf d = dsum ? v_get(dsum + i, D - i) : (vf){0};
        if (dy) {
            vf v = v_get(s + i, D - i), g = v_get(dy + i, D - i);
            if (dw) v_give(dw + i, g * v * inv, true, D - i);
            if (w) g *= v_get(w + i, D - i);
            d += g * inv - v * k;
        }
        if (dx) v_give(dx + i, d, c->acc[ADD_RMSNORM_X], D - i);
        if (dres) v_give(dres + i, d, c->acc[ADD_RMSNORM_RES], D - i);
    }
}

void KR_VEC(add_rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    float *dw = c->din[ADD_RMSNORM_W].data, *parts = dw ? c->scratch : NULL;
    rows_each(c, parts, D, row_bwd);
    rows_reduce(c, dw, c->acc[ADD_RMSNORM_W], parts, D, D);
}
