/* round8_ref.c - the definition of round8. */
#include <math.h>

#include "ops/ref.h"
#include "ops/round8/round8.h"

void REF(round8_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    real s = *(const real *)c->in[ROUND8_S].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[ROUND8_X].data + r * c->in[ROUND8_X].pitch;
        for (int64_t i = 0; i < D; i++) {
            real q = (real)nearbyint((double)(x[i] / s));
            ((real *)c->out[ROUND8_Y].data)[r * D + i] = s * (q > 127 ? 127 : q < -127 ? -127 : q);
        }
    }
}
