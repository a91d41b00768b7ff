/* binary_row_ref.c - the definition of binary_row. */
#include "ops/binary_row/binary_row.h"
#include "ops/ref.h"

void REF(binary_row_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_row_attr *)c->attr)->kind;
    const real *b = c->in[BINARY_ROW_B].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *a = (const real *)c->in[BINARY_ROW_A].data + r * c->in[BINARY_ROW_A].pitch;
        real *y = (real *)c->out[BINARY_ROW_Y].data + r * D;
        for (int64_t i = 0; i < D; i++)
            y[i] = kind == KR_BINARY_ROW_ADD ? a[i] + b[i] : kind == KR_BINARY_ROW_MUL ? a[i] * b[i] : a[i] - b[i];
    }
}

void REF(binary_row_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_row_attr *)c->attr)->kind;
    const kr_tensor *ta = &c->in[BINARY_ROW_A], *tda = &c->din[BINARY_ROW_A];
    const real *b = c->in[BINARY_ROW_B].data;
    real *db = c->din[BINARY_ROW_B].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *dy = (const real *)c->dout[BINARY_ROW_Y].data + r * D, *a = (const real *)ta->data + r * ta->pitch;
        real *da = tda->data ? (real *)tda->data + r * tda->pitch : NULL;
        for (int64_t i = 0; i < D; i++) {
            if (da) da[i] += kind == KR_BINARY_ROW_MUL ? dy[i] * b[i] : dy[i];
            if (db) db[i] += kind == KR_BINARY_ROW_MUL ? dy[i] * a[i] : kind == KR_BINARY_ROW_SUB ? -dy[i] : dy[i];
        }
    }
}
