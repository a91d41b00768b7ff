/* binary_ref.c - the definition of binary. */
#include "ops/binary/binary.h"
#include "ops/ref.h"

void REF(binary_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_attr *)c->attr)->kind;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *a = (const real *)c->in[BINARY_A].data + r * c->in[BINARY_A].pitch;
        const real *b = (const real *)c->in[BINARY_B].data + r * c->in[BINARY_B].pitch;
        real *y = (real *)c->out[BINARY_Y].data + r * D;
        for (int64_t i = 0; i < D; i++)
            y[i] = kind == KR_BINARY_ADD ? a[i] + b[i] : kind == KR_BINARY_MUL ? a[i] * b[i] : a[i] - b[i];
    }
}

void REF(binary_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_attr *)c->attr)->kind;
    const kr_tensor *ta = &c->in[BINARY_A], *tb = &c->in[BINARY_B], *tda = &c->din[BINARY_A], *tdb = &c->din[BINARY_B];
    for (int64_t r = 0; r < c->rows; r++) {
        const real *dy = (const real *)c->dout[BINARY_Y].data + r * D;
        const real *a = (const real *)ta->data + r * ta->pitch, *b = (const real *)tb->data + r * tb->pitch;
        real *da = tda->data ? (real *)tda->data + r * tda->pitch : NULL;
        real *db = tdb->data ? (real *)tdb->data + r * tdb->pitch : NULL;
        for (int64_t i = 0; i < D; i++) {
            if (da) da[i] += kind == KR_BINARY_MUL ? dy[i] * b[i] : dy[i];
            if (db) db[i] += kind == KR_BINARY_MUL ? dy[i] * a[i] : kind == KR_BINARY_SUB ? -dy[i] : dy[i];
        }
    }
}
