/* to_float_ref.c - the definition of to_float. */
#include "ops/to_float/to_float.h"
#include "ops/ref.h"

void REF(to_float_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    for (int64_t r = 0; r < c->rows; r++)
        memcpy((real *)c->out[TO_FLOAT_Y].data + r * D, (const real *)c->in[TO_FLOAT_X].data + r * c->in[TO_FLOAT_X].pitch, (size_t)D * sizeof(real));
}

void REF(to_float_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    for (int64_t r = 0; r < c->rows && c->din[TO_FLOAT_X].data && c->dout[TO_FLOAT_Y].data; r++)
        for (int64_t i = 0; i < D; i++)
            ((real *)c->din[TO_FLOAT_X].data)[r * c->din[TO_FLOAT_X].pitch + i] += ((const real *)c->dout[TO_FLOAT_Y].data)[r * D + i];
}
