/* pool_ref.c - the definition of pool. */
#include "ops/pool/pool.h"
#include "ops/ref.h"

/* The step of the largest of n values, `pitch` apart; the first of equals. */
static int64_t largest(const real *x, int64_t n, int64_t pitch) {
    int64_t at = 0;
    for (int64_t l = 1; l < n; l++)
        if (x[l * pitch] > x[at * pitch]) at = l;
    return at;
}

void REF(pool_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), kind = ((const pool_attr *)c->attr)->kind, pitch = c->in[POOL_X].pitch;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t i = 0; i < D; i++) {
            const real *x = (const real *)c->in[POOL_X].data + s * L * pitch + i;
            int64_t n = pool_steps(c, s);
            real y = 0;
            if (n == 0) y = 0;
            else if (kind == KR_POOL_MAX) y = x[largest(x, n, pitch) * pitch];
            else if (kind == KR_POOL_LAST) y = x[(n - 1) * pitch];
            else if (kind == KR_POOL_FIRST) y = x[0];
            else {
                for (int64_t l = 0; l < n; l++) y += x[l * pitch];
                if (kind == KR_POOL_MEAN) y /= n;
            }
            ((real *)c->out[POOL_Y].data)[s * D + i] = y;
        }
}

void REF(pool_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), kind = ((const pool_attr *)c->attr)->kind;
    int64_t pitch = c->in[POOL_X].pitch, dpitch = c->din[POOL_X].pitch;
    for (int64_t s = 0; s < KR_SIZE(c, 'S') && c->din[POOL_X].data; s++)
        for (int64_t i = 0; i < D; i++) {
            const real *x = (const real *)c->in[POOL_X].data + s * L * pitch + i;
            real *dx = (real *)c->din[POOL_X].data + s * L * dpitch + i, dy = ((const real *)c->dout[POOL_Y].data)[s * D + i];
            int64_t n = pool_steps(c, s);
            if (n == 0) continue;
            if (kind == KR_POOL_MAX) dx[largest(x, n, pitch) * dpitch] += dy;
            else if (kind == KR_POOL_LAST) dx[(n - 1) * dpitch] += dy;
            else if (kind == KR_POOL_FIRST) dx[0] += dy;
            else
                for (int64_t l = 0; l < n; l++) dx[l * dpitch] += kind == KR_POOL_MEAN ? dy / n : dy;
        }
}
