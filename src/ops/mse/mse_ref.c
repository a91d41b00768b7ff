/* mse_ref.c - the definition of mse. */
#include "ops/mse/mse.h"
#include "ops/ref.h"

void REF(mse_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), n = c->rows * D;
    double sum = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[MSE_X].data + r * c->in[MSE_X].pitch;
        const real *t = (const real *)c->in[MSE_TARGET].data + r * c->in[MSE_TARGET].pitch;
        for (int64_t i = 0; i < D; i++) sum += (double)(x[i] - t[i]) * (double)(x[i] - t[i]);
    }
    *(real *)c->out[MSE_LOSS].data = n ? (real)(sum / (double)n) : 0;
}

void REF(mse_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    real k = 2 * *(const real *)c->dout[MSE_LOSS].data / (c->rows * D);
    const kr_tensor *tx = &c->in[MSE_X], *tt = &c->in[MSE_TARGET], *dx = &c->din[MSE_X], *dt = &c->din[MSE_TARGET];
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < D; i++) {
            real g = k * (((const real *)tx->data)[r * tx->pitch + i] - ((const real *)tt->data)[r * tt->pitch + i]);
            if (dx->data) ((real *)dx->data)[r * dx->pitch + i] += g;
            if (dt->data) ((real *)dt->data)[r * dt->pitch + i] -= g;
        }
}
