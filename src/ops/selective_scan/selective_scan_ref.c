/* selective_scan_ref.c - the definition of selective_scan: the recurrence, as it is written down. */
#include "ops/ref.h"
#include "ops/selective_scan/selective_scan.h"

kr_kernel REF(selective_scan_fwd_blelloch), REF(selective_scan_fwd_chunked); /* selective_scan_forms_ref.c */

#define ROW(tensor, row) ((real *)(tensor).data + (row) * (tensor).pitch)

/* Does another sequence begin at step t of sequence s?  Never at t = 0: h0 belongs to the first. */
static bool begins(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *q = &c->in[SCAN_SEQ_IDX];
    const int32_t *id = q->data;
    int64_t at = s * KR_SIZE(c, 'L') + t;
    return id && t > 0 && id[at * q->pitch] != id[(at - 1) * q->pitch];
}

/* The step size before and after softplus. */
static real delta_raw(const kr_call *c, int64_t row, int64_t d) {
    const real *bias = c->in[SCAN_DT_BIAS].data;
    return ROW(c->in[SCAN_DT], row)[d] + (bias ? bias[d] : 0);
}
static real delta(const kr_call *c, real raw) {
    return ((const selective_scan_attr *)c->attr)->dt_softplus ? ref_softplus(raw) : raw;
}

void REF(selective_scan_fwd)(const kr_call *c) {
    int64_t form = ((const selective_scan_attr *)c->attr)->form;
    if (form == SCAN_BLELLOCH) { REF(selective_scan_fwd_blelloch)(c); return; }
    if (form == SCAN_CHUNKED) { REF(selective_scan_fwd_chunked)(c); return; }
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    const real *A = c->in[SCAN_A].data, *skip = c->in[SCAN_D].data, *h0 = c->in[SCAN_H0].data;
    real *h1 = c->out[SCAN_H].data, *h = c->scratch; /* [N] */
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) {
            int64_t g = d / (D / G), at = (s * D + d) * N;
            for (int64_t n = 0; n < N; n++) h[n] = h0 ? h0[at + n] : 0;
            for (int64_t t = 0; t < L; t++) {
                int64_t row = scan_row(c, s, t);
                const real *B = ROW(c->in[SCAN_B], row) + g * N, *C = ROW(c->in[SCAN_C], row) + g * N;
                real u = ROW(c->in[SCAN_U], row)[d], dt = delta(c, delta_raw(c, row, d));
                real y = skip ? skip[d] * u : 0;
                if (begins(c, s, t)) memset(h, 0, (size_t)N * sizeof *h);
                for (int64_t n = 0; n < N; n++) {
                    h[n] = exp(dt * A[d * N + n]) * h[n] + dt * B[n] * u;
                    y += C[n] * h[n];
                }
                if (c->in[SCAN_Z].data) {
                    real z = ROW(c->in[SCAN_Z], row)[d];
                    y *= z * ref_sigmoid(z);
                }
                ROW(c->out[SCAN_Y], row)[d] = y;
            }
            for (int64_t n = 0; h1 && n < N; n++) h1[at + n] = h[n];
        }
}

/* The states after every step of one channel, hs[t + 1]; hs[0] is where it began. */
static void channel_states(const kr_call *c, int64_t s, int64_t d, real *hs) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N'), g = d / (D / G);
    const real *A = c->in[SCAN_A].data, *h0 = c->in[SCAN_H0].data;
    for (int64_t n = 0; n < N; n++) hs[n] = h0 ? h0[(s * D + d) * N + n] : 0;
    for (int64_t t = 0; t < L; t++) {
        int64_t row = scan_row(c, s, t);
        const real *B = ROW(c->in[SCAN_B], row) + g * N;
        real u = ROW(c->in[SCAN_U], row)[d], dt = delta(c, delta_raw(c, row, d));
        for (int64_t n = 0; n < N; n++) {
            real before = begins(c, s, t) ? 0 : hs[t * N + n];
            hs[(t + 1) * N + n] = exp(dt * A[d * N + n]) * before + dt * B[n] * u;
        }
    }
}

/* One channel in reverse: dh is the gradient of the state after step t. */
static void channel_bwd(const kr_call *c, int64_t s, int64_t d, const real *hs, real *dh) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N'), g = d / (D / G);
    bool softplus = ((const selective_scan_attr *)c->attr)->dt_softplus;
    const real *A = c->in[SCAN_A].data, *skip = c->in[SCAN_D].data, *dh1 = c->dout[SCAN_H].data;
    real *dA = c->din[SCAN_A].data, *dskip = c->din[SCAN_D].data, *dbias = c->din[SCAN_DT_BIAS].data;
    real *dh0 = c->din[SCAN_H0].data, sum_bias = 0, sum_skip = 0;
    for (int64_t n = 0; n < N; n++) dh[n] = dh1 ? dh1[(s * D + d) * N + n] : 0;
    for (int64_t t = L - 1; t >= 0; t--) {
        int64_t row = scan_row(c, s, t);
        const real *B = ROW(c->in[SCAN_B], row) + g * N, *C = ROW(c->in[SCAN_C], row) + g * N, *h = hs + (t + 1) * N;
        real *dB = c->din[SCAN_B].data ? ROW(c->din[SCAN_B], row) + g * N : NULL;
        real *dC = c->din[SCAN_C].data ? ROW(c->din[SCAN_C], row) + g * N : NULL;
        real u = ROW(c->in[SCAN_U], row)[d], raw = delta_raw(c, row, d), dt = delta(c, raw);
        real dy = c->dout[SCAN_Y].data ? ROW(c->dout[SCAN_Y], row)[d] : 0;
        if (c->in[SCAN_Z].data) {
            real z = ROW(c->in[SCAN_Z], row)[d], sig = ref_sigmoid(z), y = skip ? skip[d] * u : 0;
            for (int64_t n = 0; n < N; n++) y += C[n] * h[n];
            if (c->din[SCAN_Z].data) ROW(c->din[SCAN_Z], row)[d] += dy * y * sig * (1 + z * (1 - sig));
            dy *= z * sig;
        }
        real du = skip ? dy * skip[d] : 0, ddt = 0;
        for (int64_t n = 0; n < N; n++) {
            real a = exp(dt * A[d * N + n]), before = begins(c, s, t) ? 0 : hs[t * N + n];
            dh[n] += C[n] * dy;
            if (dC) dC[n] += dy * h[n];
            if (dB) dB[n] += dh[n] * dt * u;
            if (dA) dA[d * N + n] += dh[n] * dt * a * before;
            ddt += dh[n] * (A[d * N + n] * a * before + B[n] * u);
            du += dh[n] * dt * B[n];
            dh[n] = begins(c, s, t) ? 0 : dh[n] * a;
        }
        if (softplus) ddt *= ref_sigmoid(raw);
        if (c->din[SCAN_U].data) ROW(c->din[SCAN_U], row)[d] += du;
        if (c->din[SCAN_DT].data) ROW(c->din[SCAN_DT], row)[d] += ddt;
        sum_bias += ddt;
        sum_skip += dy * u;
    }
    if (dbias) dbias[d] += sum_bias;
    if (dskip) dskip[d] += sum_skip;
    for (int64_t n = 0; dh0 && n < N; n++) dh0[(s * D + d) * N + n] += dh[n];
}

void REF(selective_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    real *dh = c->scratch, *hs = dh + N; /* [N], [L + 1, N]: one channel at a time */
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) {
            channel_states(c, s, d, hs);
            channel_bwd(c, s, d, hs, dh);
        }
}
