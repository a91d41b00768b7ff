/* lti_scan_ref.c - the definition of lti_scan: the recurrence, as it is written down. */
#include "ops/lti_scan/lti_scan.h"
#include "ops/ref.h"

typedef struct pair { real re, im; } pair; /* a complex number; real ones keep im at 0 */

static real or_else(const kr_call *c, int slot, int64_t i, real absent) {
    return c->in[slot].data ? ((const real *)c->in[slot].data)[i] : absent;
}
static pair get(const kr_call *c, int re, int im, int64_t i, real absent) {
    return (pair){or_else(c, re, i, absent), or_else(c, im, i, 0)};
}
/* What the states begin with; a real scan has no imaginary part to begin with. */
static pair begin(const kr_call *c, int64_t at) {
    return (pair){or_else(c, LTI_H0RE, at, 0), c->in[LTI_AIM].data ? or_else(c, LTI_H0IM, at, 0) : 0};
}
static lti_complex wide(pair p) { return (lti_complex){p.re, p.im}; }
static lti_mode mode_of(const kr_call *c, int64_t d, int64_t i) {
    return lti_discretise(((const lti_scan_attr *)c->attr)->disc, ((const real *)c->in[LTI_LOG_DT].data)[d],
                          wide(get(c, LTI_ARE, LTI_AIM, i, 0)));
}
static real input(const kr_call *c, int64_t row, int64_t d) {
    return ((const real *)c->in[LTI_U].data)[row * c->in[LTI_U].pitch + d];
}
static bool begins(const kr_call *c, int64_t t, int64_t row) {
    const kr_tensor *q = &c->in[LTI_SEQ_IDX];
    const int32_t *id = q->data;
    return id && t > 0 && id[row * q->pitch] != id[(row - 1) * q->pitch];
}
/* One step of mode i of channel d. */
static pair step(lti_mode m, pair B, pair h, real u) {
    real bre = m.gain.re * B.re - m.gain.im * B.im, bim = m.gain.re * B.im + m.gain.im * B.re;
    real are = m.a.re, aim = m.a.im;
    return (pair){are * h.re - aim * h.im + bre * u, are * h.im + aim * h.re + bim * u};
}

void REF(lti_scan_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    real *y = c->out[LTI_Y].data, *hre = c->out[LTI_HRE].data, *him = c->out[LTI_HIM].data;
    real twice = c->in[LTI_AIM].data ? 2 : 1; /* a conjugate pair */
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) {
            for (int64_t row = s * L; row < (s + 1) * L; row++)
                y[row * D + d] = or_else(c, LTI_D, d, 0) * input(c, row, d);
            for (int64_t n = 0; n < N; n++) {
                int64_t i = d * N + n, at = (s * D + d) * N + n;
                lti_mode m = mode_of(c, d, i);
                pair B = get(c, LTI_BRE, LTI_BIM, i, 1), C = get(c, LTI_CRE, LTI_CIM, i, 0);
                pair h = begin(c, at);
                for (int64_t t = 0; t < L; t++) {
                    int64_t row = s * L + t;
                    if (begins(c, t, row)) h = (pair){0, 0};
                    h = step(m, B, h, input(c, row, d));
                    y[row * D + d] += twice * (C.re * h.re - C.im * h.im);
                }
                if (hre) hre[at] = h.re;
                if (him) him[at] = h.im;
            }
        }
}

static void add_to(const kr_call *c, int slot, int64_t i, double v) {
    real *p = c->din[slot].data;
    if (p) p[i] += v;
}

/* One mode of one channel; hs: [L + 1] states.  A gradient is d/d re + i d/d im, so that the
 * gradient of x in x y is that of the product times conj(y). */
static void mode_bwd(const kr_call *c, int64_t s, int64_t d, int64_t n, pair *hs) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), i = d * N + n, at = (s * D + d) * N + n;
    const real *dy = c->dout[LTI_Y].data, *dhre = c->dout[LTI_HRE].data, *dhim = c->dout[LTI_HIM].data;
    real twice = c->in[LTI_AIM].data ? 2 : 1;
    lti_mode m = mode_of(c, d, i);
    pair A = get(c, LTI_ARE, LTI_AIM, i, 0), B = get(c, LTI_BRE, LTI_BIM, i, 1), C = get(c, LTI_CRE, LTI_CIM, i, 0);
    lti_complex b = lti_mul(m.gain, wide(B)), da = {0, 0}, db = {0, 0}, dC = {0, 0}, dA;
    hs[0] = begin(c, at);
    for (int64_t t = 0; t < L; t++) {
        if (begins(c, t, s * L + t)) hs[t] = (pair){0, 0}; /* nothing else reads it */
        hs[t + 1] = step(m, B, hs[t], input(c, s * L + t, d));
    }
    pair g = {dhre ? dhre[at] : 0, dhim && c->in[LTI_AIM].data ? dhim[at] : 0}; /* the gradient of hs[t + 1] */
    for (int64_t t = L - 1; t >= 0; t--) {
        int64_t row = s * L + t;
        real e = dy ? twice * dy[row * D + d] : 0, u = input(c, row, d);
        /* hs[t + 1] was cleared if a sequence begins at t + 1; what step t left is asked for here */
        pair h = step(m, B, hs[t], u);
        dC.re += e * h.re, dC.im -= e * h.im;
        g.re += e * C.re, g.im -= e * C.im;
        da.re += g.re * hs[t].re + g.im * hs[t].im, da.im += g.im * hs[t].re - g.re * hs[t].im;
        db.re += g.re * u, db.im += g.im * u;
        add_to(c, LTI_U, row * c->din[LTI_U].pitch + d, g.re * b.re + g.im * b.im);
        g = (pair){g.re * m.a.re + g.im * m.a.im, g.im * m.a.re - g.re * m.a.im};
        if (begins(c, t, row)) g = (pair){0, 0};
    }
    lti_complex dgain = lti_mul(db, (lti_complex){B.re, -B.im}), dB = lti_mul(db, (lti_complex){m.gain.re, -m.gain.im});
    double dlog_dt;
    lti_discretise_bwd(((const lti_scan_attr *)c->attr)->disc, ((const real *)c->in[LTI_LOG_DT].data)[d], wide(A), da,
                       dgain, &dlog_dt, &dA);
    add_to(c, LTI_LOG_DT, d, dlog_dt);
    add_to(c, LTI_ARE, i, dA.re), add_to(c, LTI_AIM, i, dA.im);
    add_to(c, LTI_BRE, i, dB.re), add_to(c, LTI_BIM, i, dB.im);
    add_to(c, LTI_CRE, i, dC.re), add_to(c, LTI_CIM, i, dC.im);
    add_to(c, LTI_H0RE, at, g.re), add_to(c, LTI_H0IM, at, g.im);
}

void REF(lti_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    const real *dy = c->dout[LTI_Y].data;
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) {
            real sum = 0;
            for (int64_t row = s * L; dy && row < (s + 1) * L; row++) {
                sum += dy[row * D + d] * input(c, row, d);
                add_to(c, LTI_U, row * c->din[LTI_U].pitch + d, dy[row * D + d] * or_else(c, LTI_D, d, 0));
            }
            add_to(c, LTI_D, d, sum);
            for (int64_t n = 0; n < N; n++) mode_bwd(c, s, d, n, c->scratch);
        }
}
