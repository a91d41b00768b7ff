/* dropout_ref.c - the definition of dropout. */
#include "ops/dropout/dropout.h"
#include "ops/ref.h"

/* What element e of [rows, D] is multiplied by. */
static real factor(const dropout_draw *d, int64_t e) {
    uint32_t words[4];
    kr_philox(d->seed, d->stream, (uint64_t)(e / 64 * 16 + e % 16), words);
    return words[e / 16 % 4] >= d->threshold ? d->scale : 0;
}

void REF(dropout_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    dropout_draw d = dropout_draws(c);
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[DROPOUT_X].data + r * c->in[DROPOUT_X].pitch;
        for (int64_t i = 0; i < D; i++) ((real *)c->out[DROPOUT_Y].data)[r * D + i] = x[i] * factor(&d, r * D + i);
    }
}

void REF(dropout_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    dropout_draw d = dropout_draws(c);
    for (int64_t r = 0; r < c->rows && c->din[DROPOUT_X].data; r++) {
        real *dx = (real *)c->din[DROPOUT_X].data + r * c->din[DROPOUT_X].pitch;
        for (int64_t i = 0; i < D; i++) dx[i] += ((const real *)c->dout[DROPOUT_Y].data)[r * D + i] * factor(&d, r * D + i);
    }
}
