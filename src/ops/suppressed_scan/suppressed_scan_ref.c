/* suppressed_scan_ref.c - the definition of suppressed_scan: the recurrence, and what is read of it. */
#include "ops/ref.h"
#include "ops/suppressed_scan/suppressed_scan.h"

#define ROW(tensor, row) ((real *)(tensor).data + (row) * (tensor).pitch)

/* Does another sequence begin at row s L + t?  Never at t = 0: h0 belongs to the first. */
static bool begins(const kr_call *c, int64_t t, int64_t row) {
    const kr_tensor *q = &c->in[SUPPRESSED_SEQ_IDX];
    const int32_t *id = q->data;
    return id && t > 0 && id[row * q->pitch] != id[(row - 1) * q->pitch];
}
static real delta_raw(const kr_call *c, int64_t row, int64_t d) {
    const real *bias = c->in[SUPPRESSED_DT_BIAS].data;
    return ROW(c->in[SUPPRESSED_DT], row)[d] + (bias ? bias[d] : 0);
}
static bool forgets(const kr_call *c, real a) { return a < (real)((const suppressed_scan_attr *)c->attr)->alpha; }

void REF(suppressed_scan_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    const real *A = c->in[SUPPRESSED_A].data, *skip = c->in[SUPPRESSED_D].data, *h0 = c->in[SUPPRESSED_H0].data;
    real *h1 = c->out[SUPPRESSED_H].data, *h = c->scratch;
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) {
            int64_t g = d / (D / G), at = (s * D + d) * N;
            for (int64_t n = 0; n < N; n++) h[n] = h0 ? h0[at + n] : 0;
            for (int64_t t = 0; t < L; t++) {
                int64_t row = s * L + t;
                const real *B = ROW(c->in[SUPPRESSED_B], row) + g * N, *C = ROW(c->in[SUPPRESSED_C], row) + g * N;
                real u = ROW(c->in[SUPPRESSED_U], row)[d], dt = ref_softplus(delta_raw(c, row, d)), y = skip ? skip[d] * u : 0;
                for (int64_t n = 0; n < N; n++) {
                    real a = exp(dt * A[d * N + n]), w = forgets(c, a) ? a : 1;
                    h[n] = a * (begins(c, t, row) ? 0 : h[n]) + dt * B[n] * u;
                    y += C[n] * w * h[n];
                }
                ROW(c->out[SUPPRESSED_Y], row)[d] = y;
            }
            for (int64_t n = 0; h1 && n < N; n++) h1[at + n] = h[n];
        }
}

/* One channel: hs[t + 1] is the state after step t, dh the gradient of it. */
static void channel_bwd(const kr_call *c, int64_t s, int64_t d, real *hs, real *dh) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N'), g = d / (D / G), at = (s * D + d) * N;
    const real *A = c->in[SUPPRESSED_A].data, *skip = c->in[SUPPRESSED_D].data, *h0 = c->in[SUPPRESSED_H0].data, *dh1 = c->dout[SUPPRESSED_H].data;
    real *dA = c->din[SUPPRESSED_A].data, *dskip = c->din[SUPPRESSED_D].data, *dbias = c->din[SUPPRESSED_DT_BIAS].data, *dh0 = c->din[SUPPRESSED_H0].data;
    for (int64_t n = 0; n < N; n++) hs[n] = h0 ? h0[at + n] : 0, dh[n] = dh1 ? dh1[at + n] : 0;
    for (int64_t t = 0; t < L; t++) {
        int64_t row = s * L + t;
        real u = ROW(c->in[SUPPRESSED_U], row)[d], dt = ref_softplus(delta_raw(c, row, d));
        for (int64_t n = 0; n < N; n++)
            hs[(t + 1) * N + n] = exp(dt * A[d * N + n]) * (begins(c, t, row) ? 0 : hs[t * N + n]) + dt * (ROW(c->in[SUPPRESSED_B], row) + g * N)[n] * u;
    }
    for (int64_t t = L - 1; t >= 0; t--) {
        int64_t row = s * L + t;
        const real *B = ROW(c->in[SUPPRESSED_B], row) + g * N, *C = ROW(c->in[SUPPRESSED_C], row) + g * N, *h = hs + (t + 1) * N;
        real u = ROW(c->in[SUPPRESSED_U], row)[d], raw = delta_raw(c, row, d), dt = ref_softplus(raw);
        real dy = c->dout[SUPPRESSED_Y].data ? ROW(c->dout[SUPPRESSED_Y], row)[d] : 0, du = skip ? dy * skip[d] : 0, ddt = 0;
        for (int64_t n = 0; n < N; n++) {
            real a = exp(dt * A[d * N + n]), before = begins(c, t, row) ? 0 : hs[t * N + n], w = forgets(c, a) ? a : 1;
            dh[n] += C[n] * w * dy;
            real da = dh[n] * before + (forgets(c, a) ? dy * C[n] * h[n] : 0);
            if (c->din[SUPPRESSED_C].data) (ROW(c->din[SUPPRESSED_C], row) + g * N)[n] += dy * w * h[n];
            if (c->din[SUPPRESSED_B].data) (ROW(c->din[SUPPRESSED_B], row) + g * N)[n] += dh[n] * dt * u;
            if (dA) dA[d * N + n] += da * a * dt;
            ddt += da * a * A[d * N + n] + dh[n] * B[n] * u;
            du += dh[n] * dt * B[n];
            dh[n] = begins(c, t, row) ? 0 : dh[n] * a;
        }
        ddt *= ref_sigmoid(raw);
        if (c->din[SUPPRESSED_U].data) ROW(c->din[SUPPRESSED_U], row)[d] += du;
        if (c->din[SUPPRESSED_DT].data) ROW(c->din[SUPPRESSED_DT], row)[d] += ddt;
        if (dbias) dbias[d] += ddt;
        if (dskip) dskip[d] += dy * u;
    }
    for (int64_t n = 0; dh0 && n < N; n++) dh0[at + n] += dh[n];
}

void REF(suppressed_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    real *dh = c->scratch, *hs = dh + N;
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) channel_bwd(c, s, d, hs, dh);
}
