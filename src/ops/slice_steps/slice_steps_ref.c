/* slice_steps_ref.c - the definition of slice_steps. */
#include "ops/ref.h"
#include "ops/slice_steps/slice_steps.h"

void REF(slice_steps_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), from = slice_steps_from(c);
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t j = 0; j < J; j++) {
            const real *x = (const real *)c->in[SLICE_STEPS_X].data + (s * L + from + j) * c->in[SLICE_STEPS_X].pitch;
            for (int64_t i = 0; i < D; i++) ((real *)c->out[SLICE_STEPS_Y].data)[(s * J + j) * D + i] = x[i];
        }
}

void REF(slice_steps_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), from = slice_steps_from(c);
    if (!c->din[SLICE_STEPS_X].data) return;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t j = 0; j < J; j++) {
            real *dx = (real *)c->din[SLICE_STEPS_X].data + (s * L + from + j) * c->din[SLICE_STEPS_X].pitch;
            for (int64_t i = 0; i < D; i++) dx[i] += ((const real *)c->dout[SLICE_STEPS_Y].data)[(s * J + j) * D + i];
        }
}
