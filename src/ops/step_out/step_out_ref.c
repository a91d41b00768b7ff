/* step_out_ref.c - the definition of step_out. */
#include "ops/ref.h"
#include "ops/step_out/step_out.h"

/* One column of row r, without bias and residual. */
static real product(const kr_call *c, int64_t r, int64_t n) {
    const step_out_attr *attr = c->attr;
    int64_t K = KR_SIZE(c, 'K'), Kg = K / attr->groups, Jg = KR_SIZE(c, 'J') / attr->groups;
    const real *a = (const real *)c->in[STEP_OUT_A].data + r * c->in[STEP_OUT_A].pitch, *q = c->in[STEP_OUT_Q].data;
    real sum = 0;
    for (int64_t g = 0; g < attr->groups; g++) {
        real t = 0, squares = 0;
        for (int64_t k = g * Kg; k < (g + 1) * Kg; k++) t += a[k] * ref_weight(&c->in[STEP_OUT_W], n * K + k);
        for (int64_t j = g * Jg; q && j < (g + 1) * Jg; j++) squares += q[r * c->in[STEP_OUT_Q].pitch + j];
        sum += q ? t / sqrt(squares / Kg + attr->eps) : t;
    }
    return sum;
}

void REF(step_out_fwd)(const kr_call *c) {
    int64_t rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), N = KR_SIZE(c, 'N'), I = KR_SIZE(c, 'I');
    const real *b = c->in[STEP_OUT_B].data, *res = c->in[STEP_OUT_RES].data, *w = c->in[STEP_OUT_WEIGHT].data;
    real *sum = c->out[STEP_OUT_SUM].data, *y = c->out[STEP_OUT_Y].data, *q1 = c->out[STEP_OUT_Q1].data;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t n = 0; n < N; n++) {
            real v = product(c, r, n) + (b ? b[n] : 0) + (res ? res[r * c->in[STEP_OUT_RES].pitch + n] : 0);
            sum[r * N + n] = v;
            if (y) y[r * N + n] = v * (w ? w[n] : 1);
            if (q1) q1[r * I + n / STEP_OUT_PART] = v * v + (n % STEP_OUT_PART ? q1[r * I + n / STEP_OUT_PART] : 0);
        }
}
