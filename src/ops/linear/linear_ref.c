/* linear_ref.c - the definition of linear. */
#include "ops/linear/linear.h"
#include "ops/ref.h"

void REF(linear_fwd)(const kr_call *c) {
    int64_t N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    const real *b = c->in[LINEAR_B].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[LINEAR_X].data + r * c->in[LINEAR_X].pitch;
        real *y = (real *)c->out[LINEAR_Y].data + r * N;
        for (int64_t n = 0; n < N; n++) {
            real sum = b ? b[n] : 0;
            for (int64_t k = 0; k < K; k++) sum += x[k] * ref_weight(&c->in[LINEAR_W], n * K + k);
            y[n] = sum;
        }
    }
}

void REF(linear_bwd)(const kr_call *c) {
    int64_t N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    real *dW = c->din[LINEAR_W].data, *db = c->din[LINEAR_B].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[LINEAR_X].data + r * c->in[LINEAR_X].pitch;
        const real *dy = (const real *)c->dout[LINEAR_Y].data + r * N;
        real *dx = c->din[LINEAR_X].data ? (real *)c->din[LINEAR_X].data + r * c->din[LINEAR_X].pitch : NULL;
        for (int64_t n = 0; n < N; n++) {
            for (int64_t k = 0; dx && k < K; k++) dx[k] += dy[n] * ref_weight(&c->in[LINEAR_W], n * K + k);
            for (int64_t k = 0; dW && k < K; k++) dW[n * K + k] += dy[n] * x[k];
            if (db) db[n] += dy[n];
        }
    }
}
