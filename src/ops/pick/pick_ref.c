/* pick_ref.c - the definition of pick. */
#include "ops/pick/pick.h"
#include "ops/ref.h"

/* The step idx[s, j], or -1 if it is none of `limit`. */
static int64_t at(const kr_call *c, int64_t s, int64_t j, int64_t limit) {
    const kr_tensor *t = &c->in[PICK_IDX];
    int32_t i = ((const int32_t *)t->data)[s * KR_SIZE(c, 'J') + j];
    return i >= 0 && i < limit ? i : -1;
}

void REF(pick_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
    bool adds = ((const pick_attr *)c->attr)->into > 0;
    const kr_tensor *x = &c->in[PICK_X];
    real *y = c->out[PICK_Y].data;
    memset(y, 0, (size_t)(S * K * D) * sizeof *y);
    for (int64_t s = 0; s < S; s++)
        for (int64_t j = 0; j < J; j++) {
            int64_t i = at(c, s, j, adds ? K : L), from = adds ? j : i, to = adds ? i : j;
            for (int64_t d = 0; i >= 0 && d < D; d++) y[(s * K + to) * D + d] += ((const real *)x->data)[(s * L + from) * x->pitch + d];
        }
}

void REF(pick_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
    bool adds = ((const pick_attr *)c->attr)->into > 0;
    const real *dy = c->dout[PICK_Y].data;
    const kr_tensor *dx = &c->din[PICK_X];
    for (int64_t s = 0; dx->data && dy && s < S; s++)
        for (int64_t j = 0; j < J; j++) {
            int64_t i = at(c, s, j, adds ? K : L), from = adds ? j : i, to = adds ? i : j;
            for (int64_t d = 0; i >= 0 && d < D; d++) ((real *)dx->data)[(s * L + from) * dx->pitch + d] += dy[(s * K + to) * D + d];
        }
}
