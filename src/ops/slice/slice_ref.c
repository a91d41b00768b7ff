/* slice_ref.c - the definition of slice. */
#include "ops/ref.h"
#include "ops/slice/slice.h"

void REF(slice_fwd)(const kr_call *c) {
    int64_t B = KR_SIZE(c, 'B'), from = slice_from(c);
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[SLICE_X].data + r * c->in[SLICE_X].pitch;
        for (int64_t i = 0; i < B; i++) ((real *)c->out[SLICE_Y].data)[r * B + i] = x[from + i];
    }
}

void REF(slice_bwd)(const kr_call *c) {
    int64_t B = KR_SIZE(c, 'B'), from = slice_from(c);
    for (int64_t r = 0; r < c->rows && c->din[SLICE_X].data; r++) {
        real *dx = (real *)c->din[SLICE_X].data + r * c->din[SLICE_X].pitch;
        for (int64_t i = 0; i < B; i++) dx[from + i] += ((const real *)c->dout[SLICE_Y].data)[r * B + i];
    }
}
