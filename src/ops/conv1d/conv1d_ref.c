/* conv1d_ref.c - the definition of conv1d. */
#include "ops/conv1d/conv1d.h"
#include "ops/ref.h"

/* Whether the input j steps before t counts at t. */
static bool counts(const kr_call *c, int64_t s, int64_t t, int64_t j) {
    const kr_tensor *seq_idx = &c->in[CONV1D_SEQ_IDX];
    if (!seq_idx->data) return true;
    const int32_t *id = (const int32_t *)seq_idx->data + s * KR_SIZE(c, 'L') * seq_idx->pitch;
    for (int64_t i = t; i > 0 && i > t - j; i--)
        if (id[i * seq_idx->pitch] != id[(i - 1) * seq_idx->pitch]) return false;
    return true;
}

/* Step i of sequence s, or its gradient: from x, or from x0 when i < 0; NULL if absent. */
static real *step(const kr_call *c, const kr_tensor *slot, int64_t s, int64_t i) {
    int64_t D = KR_SIZE(c, 'D'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J');
    const kr_tensor *x = &slot[CONV1D_X], *x0 = &slot[CONV1D_X0];
    if (i >= 0) return x->data ? (real *)x->data + (s * L + i) * x->pitch : NULL;
    return x0->data ? (real *)x0->data + (s * J + J + i) * D : NULL;
}

static real before_silu(const kr_call *c, int64_t s, int64_t t, int64_t d) {
    int64_t K = KR_SIZE(c, 'K');
    const real *w = (const real *)c->in[CONV1D_W].data + d * K, *b = c->in[CONV1D_B].data;
    real sum = b ? b[d] : 0;
    for (int64_t j = 0; j < K; j++) {
        const real *x = step(c, c->in, s, t - j);
        if (x && counts(c, s, t, j)) sum += w[K - 1 - j] * x[d];
    }
    return sum;
}

void REF(conv1d_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J');
    bool silu = ((const conv1d_attr *)c->attr)->silu;
    real *y = c->out[CONV1D_Y].data, *x1 = c->out[CONV1D_X1].data;
    for (int64_t s = 0; s < S; s++)
        for (int64_t t = 0; t < L; t++)
            for (int64_t d = 0; d < D; d++) {
                real v = before_silu(c, s, t, d);
                y[(s * L + t) * D + d] = silu ? v * ref_sigmoid(v) : v;
            }
    for (int64_t s = 0; x1 && s < S; s++)
        for (int64_t j = J - 1; j >= 0; j--) { /* oldest first: x1 may lie where x0 does */
            const real *x = counts(c, s, L - 1, j) ? step(c, c->in, s, L - 1 - j) : NULL;
            for (int64_t d = 0; d < D; d++) x1[(s * J + J - 1 - j) * D + d] = x ? x[d] : 0;
        }
}

static void step_bwd(const kr_call *c, int64_t s, int64_t t, int64_t d) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    const real *w = c->in[CONV1D_W].data;
    real *dw = c->din[CONV1D_W].data, *db = c->din[CONV1D_B].data;
    real g = ((const real *)c->dout[CONV1D_Y].data)[(s * L + t) * D + d];
    if (((const conv1d_attr *)c->attr)->silu) {
        real v = before_silu(c, s, t, d), p = ref_sigmoid(v);
        g *= p * (1 + v * (1 - p));
    }
    if (db) db[d] += g;
    for (int64_t j = 0; j < K; j++) {
        if (!counts(c, s, t, j)) continue;
        const real *x = step(c, c->in, s, t - j);
        real *dx = step(c, c->din, s, t - j);
        if (dw && x) dw[d * K + K - 1 - j] += g * x[d];
        if (dx) dx[d] += g * w[d * K + K - 1 - j];
    }
}

void REF(conv1d_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J');
    const real *dx1 = c->dout[CONV1D_X1].data;
    for (int64_t s = 0; c->dout[CONV1D_Y].data && s < S; s++)
        for (int64_t t = 0; t < L; t++)
            for (int64_t d = 0; d < D; d++) step_bwd(c, s, t, d);
    for (int64_t s = 0; dx1 && s < S; s++)
        for (int64_t j = 0; j < J; j++) {
            real *dx = counts(c, s, L - 1, j) ? step(c, c->din, s, L - 1 - j) : NULL;
            for (int64_t d = 0; dx && d < D; d++) dx[d] += dx1[(s * J + J - 1 - j) * D + d];
        }
}
