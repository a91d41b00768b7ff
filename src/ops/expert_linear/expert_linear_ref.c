/* expert_linear_ref.c - the definition of expert_linear. */
#include "ops/expert_linear/expert_linear.h"
#include "ops/ref.h"

static int64_t expert(const kr_call *c, int64_t r, int64_t k) {
    return ((const int32_t *)c->in[EXPERT_LINEAR_IDX].data + r * c->in[EXPERT_LINEAR_IDX].pitch)[k];
}

void REF(expert_linear_fwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X'), N = KR_SIZE(c, 'N'), D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t k = 0; k < K; k++) {
            const real *x = (const real *)c->in[EXPERT_LINEAR_X].data + r * c->in[EXPERT_LINEAR_X].pitch;
            real *y = (real *)c->out[EXPERT_LINEAR_Y].data + (r * K + k) * N;
            int64_t e = expert(c, r, k);
            for (int64_t n = 0; n < N; n++) {
                y[n] = 0;
                for (int64_t d = 0; d < D && e >= 0 && e < X; d++) y[n] += ref_weight(&c->in[EXPERT_LINEAR_W], (e * N + n) * D + d) * x[d];
            }
        }
}

void REF(expert_linear_bwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X'), N = KR_SIZE(c, 'N'), D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    real *dW = c->din[EXPERT_LINEAR_W].data;
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t k = 0; k < K; k++) {
            const real *x = (const real *)c->in[EXPERT_LINEAR_X].data + r * c->in[EXPERT_LINEAR_X].pitch;
            const real *dy = (const real *)c->dout[EXPERT_LINEAR_Y].data + (r * K + k) * N;
            real *dx = c->din[EXPERT_LINEAR_X].data ? (real *)c->din[EXPERT_LINEAR_X].data + r * c->din[EXPERT_LINEAR_X].pitch : NULL;
            int64_t e = expert(c, r, k);
            if (e < 0 || e >= X) continue;
            for (int64_t n = 0; n < N; n++)
                for (int64_t d = 0; d < D; d++) {
                    if (dx) dx[d] += ref_weight(&c->in[EXPERT_LINEAR_W], (e * N + n) * D + d) * dy[n];
                    if (dW) dW[(e * N + n) * D + d] += dy[n] * x[d];
                }
        }
}
