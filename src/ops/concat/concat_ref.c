/* concat_ref.c - the definition of concat. */
#include "ops/concat/concat.h"
#include "ops/ref.h"

void REF(concat_fwd)(const kr_call *c) {
    int64_t A = KR_SIZE(c, 'A'), B = KR_SIZE(c, 'B');
    for (int64_t r = 0; r < c->rows; r++) {
        const real *a = (const real *)c->in[CONCAT_A].data + r * c->in[CONCAT_A].pitch;
        const real *b = (const real *)c->in[CONCAT_B].data + r * c->in[CONCAT_B].pitch;
        real *y = (real *)c->out[CONCAT_Y].data + r * (A + B);
        for (int64_t i = 0; i < A; i++) y[i] = a[i];
        for (int64_t i = 0; i < B; i++) y[A + i] = b[i];
    }
}

void REF(concat_bwd)(const kr_call *c) {
    int64_t A = KR_SIZE(c, 'A'), B = KR_SIZE(c, 'B');
    const kr_tensor *da = &c->din[CONCAT_A], *db = &c->din[CONCAT_B];
    for (int64_t r = 0; r < c->rows; r++) {
        const real *dy = (const real *)c->dout[CONCAT_Y].data + r * (A + B);
        for (int64_t i = 0; i < A && da->data; i++) ((real *)da->data)[r * da->pitch + i] += dy[i];
        for (int64_t i = 0; i < B && db->data; i++) ((real *)db->data)[r * db->pitch + i] += dy[A + i];
    }
}
