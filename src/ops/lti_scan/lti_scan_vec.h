/* lti_scan_vec.h - what the fast forward and backward of lti_scan share.
 *
 * A tile is LTI_LANES channels; everything per mode lies as [N][lane].  Modes are kept as
 * a - 1, for 1 - a is what a slow mode forgets in a step: in a float, a = 0.9999 has lost three
 * of its digits, and with it the memory's length. */
#ifndef KR_OPS_LTI_SCAN_VEC_H
#define KR_OPS_LTI_SCAN_VEC_H
#include <omp.h>

#include "base/vec.h"
#include "ops/lti_scan/lti_scan.h"

enum { SCAN_MODES = 4, BACK_MODES = 2 }; /* taken through time at once */

static inline vf load_lanes(const float *p, int64_t i, int64_t n) {
    return i + KR_VL <= n ? v_load(p + i) : i < n ? v_load_n(p + i, n - i) : v_set(0);
}
static inline void store_lanes(float *p, int64_t i, int64_t n, vf v) {
    if (i + KR_VL <= n) v_store(p + i, v);
    else if (i < n) v_store_n(p + i, v, n - i);
}

/* sin and cos to 1e-7, for |x| up to some thousands. */
static inline void sin_cos(vf x, vf *sin_x, vf *cos_x) {
    vf shifted = x * 0.636619772f + 12582912.f, k = shifted - 12582912.f; /* quarter turns, in the low bits */
    vf r = x - k * 1.5703125f;
    r = r - k * 4.837512969970703e-4f;
    r = r - k * 7.549789948768648e-8f;
    vf q = r * r;
    vf s = r + r * q * (-1.6666654611e-1f + q * (8.3321608736e-3f + q * -1.9515295891e-4f));
    vf c = 1.f - .5f * q + q * q * (4.166664568e-2f + q * (-1.388731625e-3f + q * 2.443315712e-5f));
    vi turns = (vi)shifted, odd = -(turns & 1);
    *sin_x = (vf)((vi)v_select(odd, c, s) ^ (turns << 30 & (vi)v_set(-0.f)));
    *cos_x = (vf)((vi)v_select(odd, s, c) ^ ((turns + 1) << 30 & (vi)v_set(-0.f)));
}

/* One vector of modes: a - 1, and gain B. */
typedef struct modes { vf are, aim, bre, bim; } modes;
static inline modes discretise(int64_t disc, bool complex, vf dt, vf Are, vf Aim, vf Bre, vf Bim) {
    vf wre = dt * Are, wim = dt * Aim, gre = dt, gim = v_set(0);
    modes m = {wre, wim, Bre, Bim};
    if (disc == LTI_BILINEAR) { /* q = 1 / (1 - w/2); a - 1 = w q */
        vf x = 1.f - .5f * wre, y = .5f * wim, s = 1.f / (x * x + y * y), qre = x * s, qim = y * s;
        m.are = wre * qre - wim * qim, m.aim = wre * qim + wim * qre;
        gre = dt * qre, gim = dt * qim;
    } else if (disc != LTI_EULER) { /* exp(w) - 1, by the half angle so that nothing cancels */
        m.are = v_expm1(wre);
        if (complex) {
            vf s, c;
            sin_cos(.5f * wim, &s, &c);
            m.aim = (m.are + 1.f) * (2.f * s * c);
            m.are = m.are * (1.f - 2.f * s * s) - 2.f * s * s;
        }
        if (disc == LTI_ZOH) {
            vf square = Are * Are + Aim * Aim;
            vi zero = square < 1e-30f;
            vf s = 1.f / v_select(zero, v_set(1), square);
            gre = v_select(zero, dt, (m.are * Are + m.aim * Aim) * s);
            gim = v_select(zero, v_set(0), (m.aim * Are - m.are * Aim) * s);
        }
    }
    m.bre = gre * Bre - gim * Bim, m.bim = gre * Bim + gim * Bre;
    return m;
}

/* The modes of one tile, all [N][lane]; c is C times k. */
typedef struct mode_lanes { float *are, *aim, *bre, *bim, *cre, *cim; } mode_lanes;
enum { MODE_ARRAYS = 6 };
static inline mode_lanes mode_lanes_at(float *p, int64_t N) {
    int64_t n = N * LTI_LANES;
    return (mode_lanes){p, p + n, p + 2 * n, p + 3 * n, p + 4 * n, p + 5 * n};
}

/* [n channels][N] <-> [N][lane] */
static inline void to_lanes(float *to, const float *from, int64_t n, int64_t N, float absent) {
    for (int64_t i = 0; i < LTI_LANES; i++)
        for (int64_t j = 0; j < N; j++) to[j * LTI_LANES + i] = i < n ? (from ? from[i * N + j] : absent) : 0;
}
static inline void from_lanes(float *to, const float *from, int64_t n, int64_t N, bool acc) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < N; j++) to[i * N + j] = from[j * LTI_LANES + i] + (acc ? to[i * N + j] : 0);
}
static inline const float *in_at(const kr_call *c, int slot, int64_t i) {
    return c->in[slot].data ? (const float *)c->in[slot].data + i : NULL;
}

static inline void load_modes(const kr_call *c, int64_t first, int64_t n, const mode_lanes *m) {
    int64_t N = KR_SIZE(c, 'N'), disc = ((const lti_scan_attr *)c->attr)->disc;
    bool complex = c->in[LTI_AIM].data;
    float dt[LTI_LANES];
    for (int64_t i = 0; i < LTI_LANES; i += KR_VL)
        v_store(dt + i, v_exp(load_lanes(in_at(c, LTI_LOG_DT, first), i, n)));
    to_lanes(m->are, in_at(c, LTI_ARE, first * N), n, N, 0);
    to_lanes(m->aim, in_at(c, LTI_AIM, first * N), n, N, 0);
    to_lanes(m->bre, in_at(c, LTI_BRE, first * N), n, N, 1);
    to_lanes(m->bim, in_at(c, LTI_BIM, first * N), n, N, 0);
    to_lanes(m->cre, in_at(c, LTI_CRE, first * N), n, N, 0);
    to_lanes(m->cim, in_at(c, LTI_CIM, first * N), n, N, 0);
    for (int64_t i = 0; i < N * LTI_LANES; i += KR_VL) {
        modes v = discretise(disc, complex, v_load(dt + i % LTI_LANES), v_load(m->are + i), v_load(m->aim + i),
                             v_load(m->bre + i), v_load(m->bim + i));
        v_store(m->are + i, v.are), v_store(m->aim + i, v.aim), v_store(m->bre + i, v.bre), v_store(m->bim + i, v.bim);
        if (complex) v_store(m->cre + i, 2.f * v_load(m->cre + i)), v_store(m->cim + i, 2.f * v_load(m->cim + i));
    }
}

/* The states a tile begins with: h[2][N][lane], the second half imaginary. */
static inline void load_h0(const kr_call *c, int64_t s, int64_t first, int64_t n, float *h) {
    int64_t N = KR_SIZE(c, 'N'), at = (s * KR_SIZE(c, 'D') + first) * N;
    to_lanes(h, in_at(c, LTI_H0RE, at), n, N, 0);
    if (c->in[LTI_AIM].data) to_lanes(h + N * LTI_LANES, in_at(c, LTI_H0IM, at), n, N, 0);
}

/* begins[t] for the steps [t0, t0 + n) of sequence s. */
static inline void find_begins(const kr_call *c, int64_t s, int64_t t0, int64_t n, unsigned char *begins) {
    const kr_tensor *q = &c->in[LTI_SEQ_IDX];
    const int32_t *id = q->data;
    for (int64_t t = 0; t < n; t++) {
        int64_t row = s * KR_SIZE(c, 'L') + t0 + t;
        begins[t] = id && t0 + t > 0 && id[row * q->pitch] != id[(row - 1) * q->pitch];
    }
}

/* `few` modes from j on, one vector of lanes: their states stay in registers over all n steps of
 * u[n][lane], and few of them at a time hide each other's latency.  y [n][lane]; the first modes set it. */
static inline __attribute__((always_inline)) void scan_modes(const mode_lanes *m, int64_t N, const bool complex,
                                                             const int few, int64_t j, int64_t lane, int64_t n,
                                                             const float *u, const unsigned char *begins, float *h,
                                                             float *y) {
    int64_t W = LTI_LANES, half = N * W, i = j * W + lane;
    vf re[SCAN_MODES], im[SCAN_MODES];
#pragma GCC unroll 4
    for (int q = 0; q < few; q++) {
        re[q] = v_load(h + i + q * W);
        im[q] = complex ? v_load(h + half + i + q * W) : v_set(0);
    }
    for (int64_t t = 0; t < n; t++) {
        vf x = v_load(u + t * W + lane), sum = j ? v_load(y + t * W + lane) : v_set(0);
        if (begins[t])
#pragma GCC unroll 4
            for (int q = 0; q < few; q++) re[q] = im[q] = v_set(0);
#pragma GCC unroll 4
        for (int q = 0; q < few; q++) {
            int64_t at = i + q * W;
            vf add = v_load(m->bre + at) * x + v_load(m->are + at) * re[q];
            if (complex) {
                vf add_im = v_load(m->bim + at) * x + v_load(m->are + at) * im[q];
                add -= v_load(m->aim + at) * im[q];
                im[q] += add_im + v_load(m->aim + at) * re[q];
                sum -= v_load(m->cim + at) * im[q];
            }
            re[q] += add;
            sum += v_load(m->cre + at) * re[q];
        }
        v_store(y + t * W + lane, sum);
    }
#pragma GCC unroll 4
    for (int q = 0; q < few; q++) {
        v_store(h + i + q * W, re[q]);
        if (complex) v_store(h + half + i + q * W, im[q]);
    }
}
#endif
