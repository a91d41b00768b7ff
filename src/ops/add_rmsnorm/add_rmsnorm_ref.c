/* add_rmsnorm_ref.c - the definition of add_rmsnorm. */
#include "ops/add_rmsnorm/add_rmsnorm.h"
#include "ops/ref.h"

void REF(add_rmsnorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    double eps = ((const add_rmsnorm_attr *)c->attr)->eps;
    const kr_tensor *tx = &c->in[ADD_RMSNORM_X], *tres = &c->in[ADD_RMSNORM_RES];
    const real *w = c->in[ADD_RMSNORM_W].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)tx->data + r * tx->pitch;
        const real *res = tres->data ? (const real *)tres->data + r * tres->pitch : NULL;
        real *y = (real *)c->out[ADD_RMSNORM_Y].data + r * D, *sum = c->out[ADD_RMSNORM_SUM].data, squares = 0;
        for (int64_t i = 0; i < D; i++) {
            real s = res ? x[i] + res[i] : x[i];
            if (sum) sum[r * D + i] = s;
            y[i] = s;
            squares += s * s;
        }
        real inv = 1 / sqrt(squares / D + eps);
        for (int64_t i = 0; i < D; i++) y[i] *= inv * (w ? w[i] : 1);
    }
}

/* With s the sum and g = dy w:  ds = dsum + inv g - s inv^3 mean(g s),  dx = dres = ds. */
void REF(add_rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    double eps = ((const add_rmsnorm_attr *)c->attr)->eps;
    const real *w = c->in[ADD_RMSNORM_W].data;
    const kr_tensor *tx = &c->din[ADD_RMSNORM_X], *tres = &c->din[ADD_RMSNORM_RES];
    real *dw = c->din[ADD_RMSNORM_W].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *s = (const real *)c->out[ADD_RMSNORM_SUM].data + r * D;
        const real *dy = c->dout[ADD_RMSNORM_Y].data, *dsum = c->dout[ADD_RMSNORM_SUM].data;
        real squares = 0, dot = 0;
        for (int64_t i = 0; i < D; i++) {
            squares += s[i] * s[i];
            if (dy) dot += dy[r * D + i] * (w ? w[i] : 1) * s[i];
        }
        real inv = 1 / sqrt(squares / D + eps);
        for (int64_t i = 0; i < D; i++) {
            real g = dy ? dy[r * D + i] : 0, ds = dsum ? dsum[r * D + i] : 0;
            ds += inv * g * (w ? w[i] : 1) - s[i] * inv * inv * inv * dot / D;
            if (tx->data) ((real *)tx->data)[r * tx->pitch + i] += ds;
            if (tres->data) ((real *)tres->data)[r * tres->pitch + i] += ds;
            if (dw) dw[i] += g * s[i] * inv;
        }
    }
}
