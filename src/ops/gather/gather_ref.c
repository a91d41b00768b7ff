/* gather_ref.c - the definition of gather; `back` says nothing new. */
#include "ops/gather/gather.h"
#include "ops/ref.h"

void REF(gather_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
    const int32_t *idx = c->in[GATHER_IDX].data;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t j = 0; j < J; j++) {
            const real *x = c->in[GATHER_X].data;
            real *y = (real *)c->out[GATHER_Y].data + (s * J + j) * D;
            bool there = idx[j] >= 0 && idx[j] < L;
            for (int64_t i = 0; i < D; i++) y[i] = there ? x[(s * L + idx[j]) * c->in[GATHER_X].pitch + i] : 0;
        }
}

void REF(gather_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
    const int32_t *idx = c->in[GATHER_IDX].data;
    if (!c->din[GATHER_X].data) return;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t j = 0; j < J; j++) {
            if (idx[j] < 0 || idx[j] >= L) continue;
            real *dx = (real *)c->din[GATHER_X].data + (s * L + idx[j]) * c->din[GATHER_X].pitch;
            const real *dy = (const real *)c->dout[GATHER_Y].data + (s * J + j) * D;
            for (int64_t i = 0; i < D; i++) dx[i] += dy[i];
        }
}
