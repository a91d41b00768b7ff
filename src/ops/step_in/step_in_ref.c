/* step_in_ref.c - the definition of step_in. */
#include "ops/ref.h"
#include "ops/step_in/step_in.h"

/* The end of column n of sequence s, convolved if it is one of those. */
static real ended(const kr_call *c, int64_t s, int64_t n, real t) {
    int64_t D = KR_SIZE(c, 'D'), U = KR_SIZE(c, 'U'), d = n - ((const step_in_attr *)c->attr)->conv_at;
    const real *w = (const real *)c->in[STEP_IN_CW].data + d * (U + 1), *cb = c->in[STEP_IN_CB].data;
    const real *x0 = (const real *)c->in[STEP_IN_X0].data + s * U * D + d;
    real *x1 = c->out[STEP_IN_X1].data;
    if (d < 0 || d >= D) return t;
    real sum = (cb ? cb[d] : 0) + w[U] * t;
    for (int64_t j = 0; j < U; j++) sum += w[j] * x0[j * D];
    for (int64_t j = 0; x1 && j < U; j++) x1[s * U * D + j * D + d] = j + 1 < U ? x0[(j + 1) * D] : t; /* oldest first: x1 may be x0 */
    return sum * ref_sigmoid(sum);
}

void REF(step_in_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), K = KR_SIZE(c, 'K'), N = KR_SIZE(c, 'N'), J = KR_SIZE(c, 'J');
    double eps = ((const step_in_attr *)c->attr)->eps;
    const real *b = c->in[STEP_IN_B].data;
    for (int64_t s = 0; s < S; s++) {
        const real *a = (const real *)c->in[STEP_IN_A].data + s * c->in[STEP_IN_A].pitch, *q = c->in[STEP_IN_Q].data;
        real *y = (real *)c->out[STEP_IN_Y].data + s * N, scale = 1, squares = 0;
        if (q) {
            for (int64_t j = 0; j < J; j++) squares += q[s * c->in[STEP_IN_Q].pitch + j];
            scale = 1 / sqrt(squares / K + eps);
        }
        for (int64_t n = 0; n < N; n++) {
            real t = 0;
            for (int64_t k = 0; k < K; k++) t += a[k] * ref_weight(&c->in[STEP_IN_W], n * K + k);
            y[n] = ended(c, s, n, scale * t + (b ? b[n] : 0));
        }
    }
}
