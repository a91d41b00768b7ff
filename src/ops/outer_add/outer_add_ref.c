/* outer_add_ref.c - the definition of outer_add. */
#include "ops/outer_add/outer_add.h"
#include "ops/ref.h"

#define IN(slot) ((const real *)c->in[slot].data)
#define DIN(slot) ((real *)c->din[slot].data)

void REF(outer_add_fwd)(const kr_call *c) {
    int64_t P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    for (int64_t i = 0; i < KR_SIZE(c, 'S') * KR_SIZE(c, 'H'); i++)
        for (int64_t p = 0; p < P; p++)
            for (int64_t n = 0; n < N; n++) {
                int64_t at = (i * P + p) * N + n;
                ((real *)c->out[OUTER_ADD_Y].data)[at] = IN(OUTER_ADD_H)[at] + IN(OUTER_ADD_A)[i] * IN(OUTER_ADD_X)[i * P + p] * IN(OUTER_ADD_K)[i * N + n];
            }
}

void REF(outer_add_bwd)(const kr_call *c) {
    int64_t P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    for (int64_t i = 0; i < KR_SIZE(c, 'S') * KR_SIZE(c, 'H'); i++)
        for (int64_t p = 0; p < P; p++)
            for (int64_t n = 0; n < N; n++) {
                real dy = ((const real *)c->dout[OUTER_ADD_Y].data)[(i * P + p) * N + n], a = IN(OUTER_ADD_A)[i], x = IN(OUTER_ADD_X)[i * P + p];
                real k = IN(OUTER_ADD_K)[i * N + n];
                if (DIN(OUTER_ADD_H)) DIN(OUTER_ADD_H)[(i * P + p) * N + n] += dy;
                if (DIN(OUTER_ADD_A)) DIN(OUTER_ADD_A)[i] += dy * x * k;
                if (DIN(OUTER_ADD_X)) DIN(OUTER_ADD_X)[i * P + p] += dy * a * k;
                if (DIN(OUTER_ADD_K)) DIN(OUTER_ADD_K)[i * N + n] += dy * a * x;
            }
}
