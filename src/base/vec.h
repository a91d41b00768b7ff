/* vec.h - one float vector type for every CPU.
 *
 * A *_vec.c file is compiled once per instruction set; KR_ISA names it (baseline, avx2,
 * avx512, neon) and KR_VL is the number of float lanes.  The compiler's own vector type
 * does + - * / < and broadcast, so this header holds only what it cannot do.
 *
 * vi is the integer vector of the same width; a comparison gives a vi of 0 / -1 lanes. */
#ifndef KR_BASE_VEC_H
#define KR_BASE_VEC_H
#include <stdint.h>
#include <string.h>

#define KR_JOIN2_(a, b) a##_##b
#define KR_JOIN_(a, b) KR_JOIN2_(a, b)
#define KR_VEC(name) KR_JOIN_(name, KR_ISA) /* ssd_fwd -> ssd_fwd_avx2 */

typedef float vf __attribute__((vector_size(KR_VL * sizeof(float))));
typedef int32_t vi __attribute__((vector_size(KR_VL * sizeof(int32_t))));

static inline vf v_load(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
static inline void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
static inline vf v_set(float x) { return x - (vf){0}; } /* x - 0 is x, and no instruction; 0 + x is neither */
/* The first n < KR_VL lanes; the others are zero and stay untouched in memory. */
static inline vf v_load_n(const float *p, int64_t n) {
    vf v = {0};
    for (int i = 0; i < KR_VL; i++)
        if (i < n) v[i] = p[i];
    return v;
}
static inline void v_store_n(float *p, vf v, int64_t n) {
    for (int i = 0; i < KR_VL; i++)
        if (i < n) p[i] = v[i];
}
static inline float v_sum(vf v) { /* pairwise, the same order on every machine of one width */
    float s[KR_VL];
    memcpy(s, &v, sizeof s);
    for (int w = KR_VL / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
}
static inline vf v_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
static inline vf v_max(vf a, vf b) { return v_select(a > b, a, b); }
static inline vf v_min(vf a, vf b) { return v_select(a < b, a, b); }

/* exp to 1.2 ulp (tested): 2^n * p(r), r = x - n ln 2.  0 below -87.33, inf above 88.73, NaN stays. */
static inline vf v_exp(vf x) {
    vf c = v_select(x < -88.f, v_set(-88.f), x);
    c = v_select(c > 89.f, v_set(89.f), c);
    vf n = (c * 1.44269504088896341f + 12582912.f) - 12582912.f; /* round to nearest */
    vf r = c - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf p = v_set(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.f;
    /* scale in two steps, so that n = 128 does not overflow the exponent field */
    vi k = __builtin_convertvector(n, vi);
    vi half = k >> 1;
    vf lo = (vf)((half + 127) << 23), hi = (vf)((k - half + 127) << 23);
    vf y = p * lo * hi;
    return v_select(x < -87.336544f, (vf){0}, y);
}
/* log for x > 0 (not for subnormals): exponent plus atanh series on [sqrt(1/2), sqrt 2). */
static inline vf v_log(vf x) {
    vi bits = (vi)x;
    vi e = ((bits - 0x3f3504f3) >> 23);
    vf m = (vf)(bits - (e << 23));
    vf k = __builtin_convertvector(e, vf);
    vf f = (m - 1.f) / (m + 1.f), s = f * f;
    vf p = v_set(0.24279078841f) * s + 0.28498786688f;
    p = p * s + 0.39999999999f - 0.f;
    p = p * s + 0.66666666667f;
    vf t = f * s * p + 2.f * f;
    return k * 0.693359375f + (t + k * -2.12194440e-4f);
}
static inline vf v_sigmoid(vf x) { return 1.f / (1.f + v_exp(-x)); }
static inline vf v_silu(vf x) { return x / (1.f + v_exp(-x)); }
/* log1p(exp x), and x itself above 20, as the field defines it. */
static inline vf v_softplus(vf x) {
    vf e = v_exp(v_min(x, v_set(20.f)));
    vf u = 1.f + e, d = u - 1.f;
    /* log1p(e) = log(u) * e / (u - 1) repairs the rounding of 1 + e; e itself when u == 1 */
    vf l = v_select(d == 0.f, e, v_log(u) * (e / v_select(d == 0.f, v_set(1.f), d)));
    return v_select(x > 20.f, x, l);
}
static inline vf v_tanh(vf x) {
    vf e = v_exp(-2.f * v_select(x < 0.f, -x, x)), t = (1.f - e) / (1.f + e), a = x * x;
    vf small = x * (1.f + a * (-0.333333333f + a * (0.133333333f + a * -0.053968254f)));
    return v_select(a < 0.01f, small, v_select(x < 0.f, -t, t));
}
#endif
