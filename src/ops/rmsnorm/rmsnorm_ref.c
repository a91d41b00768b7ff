/* rmsnorm_ref.c - the definition of rmsnorm. */
#include "ops/ref.h"
#include "ops/rmsnorm/rmsnorm.h"

void REF(rmsnorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    double eps = ((const rmsnorm_attr *)c->attr)->eps;
    const real *w = c->in[RMSNORM_W].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[RMSNORM_X].data + r * c->in[RMSNORM_X].pitch;
        real *y = (real *)c->out[RMSNORM_Y].data + r * D, sum = 0;
        for (int64_t i = 0; i < D; i++) sum += x[i] * x[i];
        real inv = 1 / sqrt(sum / D + eps);
        for (int64_t i = 0; i < D; i++) y[i] = x[i] * inv * (w ? w[i] : 1);
    }
}

/* With g = dy w:  dx = inv g - x inv^3 mean(g x). */
void REF(rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    double eps = ((const rmsnorm_attr *)c->attr)->eps;
    const real *w = c->in[RMSNORM_W].data;
    real *dw = c->din[RMSNORM_W].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[RMSNORM_X].data + r * c->in[RMSNORM_X].pitch;
        const real *dy = (const real *)c->dout[RMSNORM_Y].data + r * D;
        real sum = 0, dot = 0;
        for (int64_t i = 0; i < D; i++) sum += x[i] * x[i], dot += dy[i] * (w ? w[i] : 1) * x[i];
        real inv = 1 / sqrt(sum / D + eps);
        if (c->din[RMSNORM_X].data) {
            real *dx = (real *)c->din[RMSNORM_X].data + r * c->din[RMSNORM_X].pitch;
            for (int64_t i = 0; i < D; i++) dx[i] += inv * dy[i] * (w ? w[i] : 1) - x[i] * inv * inv * inv * dot / D;
        }
        if (dw)
            for (int64_t i = 0; i < D; i++) dw[i] += dy[i] * x[i] * inv;
    }
}
