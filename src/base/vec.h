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
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#if defined(__AVX512F__) && KR_VL == 16
#define KR_V512_ /* the intrinsics below are for what the vector type says badly */
#elif defined(__AVX2__) && KR_VL == 8
#define KR_V256_
#elif defined(__SSE2__) && KR_VL == 4
#define KR_V128_
#endif

#define KR_JOIN2_(a, b) a##_##b
#define KR_JOIN_(a, b) KR_JOIN2_(a, b)
#define KR_VEC(name) KR_JOIN_(name, KR_ISA) /* ssd_fwd -> ssd_fwd_avx2 */

typedef float vf __attribute__((vector_size(KR_VL * sizeof(float))));
typedef int32_t vi __attribute__((vector_size(KR_VL * sizeof(int32_t))));

static inline vf v_load(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
static inline void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
/* Past the caches: for aligned whole lines of what is large and will not be read soon.  A thread calls
 * v_stream_done before others may read them. */
static inline void v_stream(float *p, vf v) {
#if defined(KR_V512_)
    _mm512_stream_ps(p, (__m512)v);
#elif defined(KR_V256_)
    _mm256_stream_ps(p, (__m256)v);
#elif defined(KR_V128_)
    _mm_stream_ps(p, (__m128)v);
#else
    v_store(p, v);
#endif
}
static inline void v_stream_done(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
/* a b + c, rounded once where the CPU can.  For sums that several kernels must round alike: what a compiler makes of
 * a * b + c depends on how hard it tries. */
static inline vf v_fma(vf a, vf b, vf c) {
#if defined(KR_V512_)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(KR_V256_) && defined(__FMA__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__) && KR_VL == 4
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}
/* v, in a register from here on: else a compiler that runs short of them may load it anew wherever it is used. */
static inline vf v_held(vf v) {
#if defined(__SSE2__)
    __asm__("" : "+x"(v));
#endif
    return v;
}
static inline vf v_set(float x) { return x - (vf){0}; } /* x - 0 is x, and no instruction; 0 + x is neither */

/* mask ? yes : no, for masks of 0 and -1. */
static inline vf v_select(vi mask, vf yes, vf no) {
#if defined(KR_V512_)
    return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)no, (__m512)yes);
#elif defined(KR_V256_)
    return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
#endif
}
/* a > b ? a : b and a < b ? a : b, so b when either is NaN. */
static inline vf v_max(vf a, vf b) {
#if defined(KR_V512_)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(KR_V256_)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(KR_V128_)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return v_select(a > b, a, b);
#endif
}
static inline vf v_min(vf a, vf b) {
#if defined(KR_V512_)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(KR_V256_)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(KR_V128_)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return v_select(a < b, a, b);
#endif
}
static inline vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }

/* The first n lanes, 0 <= n <= KR_VL; the others load as zero and stay untouched in memory. */
static inline vf v_load_n(const float *p, int64_t n) {
#if defined(KR_V512_)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(KR_V256_)
    vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return (vf)_mm256_maskload_ps(p, (__m256i)(lane < (int32_t)n));
#else
    vf v = {0};
    for (int i = 0; i < KR_VL; i++)
        if (i < n) v[i] = p[i];
    return v;
#endif
}
static inline void v_store_n(float *p, vf v, int64_t n) {
#if defined(KR_V512_)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(KR_V256_)
    vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
    _mm256_maskstore_ps(p, (__m256i)(lane < (int32_t)n), (__m256)v);
#else
    for (int i = 0; i < KR_VL; i++)
        if (i < n) p[i] = v[i];
#endif
}
/* Upper half onto lower half until one is left: the same order on every machine of one width. */
static inline float v_sum(vf v) {
#if defined(KR_V512_)
    return _mm512_reduce_add_ps((__m512)v);
#elif defined(KR_V256_)
    __m128 s = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
#elif KR_VL == 4
    return (v[0] + v[2]) + (v[1] + v[3]);
#else
    float s[KR_VL];
    memcpy(s, &v, sizeof s);
    for (int w = KR_VL / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
#endif
}

/* --- elementary functions; src/base/vec_test.c holds each to the error stated here ----- */

/* x = n ln 2 + r with |r| <= ln 2 / 2.  Gives r, exp(r) - 1 - r, and 2^(n - 1). */
typedef struct v_exp_parts { vf r, tail, half; } v_exp_parts;
static inline v_exp_parts v_exp_split_(vf x) {
    vf t = x * 1.44269504088896341f + 12582912.f; /* 1.5 * 2^23: the low bits are now n, rounded to nearest */
    vf n = t - 12582912.f, r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf p = v_set(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (v_exp_parts){r, p * (r * r), (vf)(((vi)t << 23) + (126 << 23))};
}
/* exp to 1.1 ulp.  0 below -86.99 (1.7e-38, so that no result is subnormal), NaN stays. */
static inline vf v_exp(vf x) {
    v_exp_parts e = v_exp_split_(v_min(v_set(89.f), v_max(v_set(-86.99f), x)));
    vf y = (e.tail + e.r) + 1.f;
    return v_select(x < -86.99f, (vf){0}, (y + y) * e.half);
}
/* exp(x) - 1 to 1.5 ulp, without the cancellation near 0. */
static inline vf v_expm1(vf x) {
    v_exp_parts e = v_exp_split_(v_min(v_set(89.f), v_max(v_set(-18.f), x)));
    vf y = e.half * (e.tail + e.r) + (e.half - 0.5f);
    return y + y;
}

/* log(2^k (1 + f)) for 1 + f in [sqrt(1/2), sqrt 2]: the series of fdlibm. */
static inline vf v_log_series_(vf k, vf f) {
    vf s = f / (2.f + f), z = s * s, half = 0.5f * f * f;
    vf p = v_set(0.24279078841f) * z + 0.28498786688f;
    p = p * z + 0.40000972152f;
    p = p * z + 0.66666662693f;
    return k * 0.693359375f - ((half - (s * (half + p * z) + k * -2.12194440e-4f)) - f);
}
/* log to 1.1 ulp; -inf at 0, NaN below.  Subnormals count as 0. */
static inline vf v_log(vf x) {
    vi bits = (vi)v_abs(x), d = bits - 0x3f3504f3; /* from the bits of sqrt(1/2): its upper part is k */
    vf y = v_log_series_(__builtin_convertvector(d >> 23, vf), (vf)(bits - (d & ~0x7fffff)) - 1.f);
    y = v_select(x < 1.17549435e-38f, v_select(x < 0.f, v_set(__builtin_nanf("")), v_set(-__builtin_inff())), y);
    return v_select(x < __builtin_inff(), y, x); /* inf and NaN stay */
}
/* log(1 + x) for x in [0, 2e38], to 1.5 ulp: what 1 + x rounds off is given back to f. */
static inline vf v_log1p(vf x) {
    vf u = 1.f + x, lost = x - (u - 1.f);
    vi d = (vi)u - 0x3f3504f3, e = d >> 23;
    vf f = ((vf)((vi)u - (d & ~0x7fffff)) - 1.f) + lost * (vf)((127 - e) << 23);
    return v_log_series_(__builtin_convertvector(e, vf), f);
}
static inline vf v_sigmoid(vf x) { return 1.f / (1.f + v_exp(-x)); }
static inline vf v_silu(vf x) { return x / (1.f + v_exp(-x)); }
/* log(1 + exp x), and x itself above 20, as the field defines it. */
static inline vf v_softplus(vf x) { return v_select(x > 20.f, x, v_log1p(v_exp(v_min(v_set(20.f), x)))); }
static inline vf v_tanh(vf x) {
    vf e = v_expm1(-2.f * v_abs(x)); /* in [-1, 0] */
    return (vf)((vi)v_abs(e / (e + 2.f)) | ((vi)x & INT32_MIN));
}
/* erf to 4e-7 absolute: x P(x^2) / Q(x^2) on [-4, 4], where it is 1 to the last bit of a float. */
static inline vf v_erf(vf x) {
    x = v_min(v_max(x, v_set(-4)), v_set(4));
    vf s = x * x;
    vf p = s * -2.72614225801306e-10f + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    vf q = s * -1.45660718464996e-05f + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return x * p / q;
}
/* What gelu multiplies x by, of the tanh form and of its own; the first is
 * sigmoid(2u), as (1 + tanh u) / 2 = sigmoid(2u). */
static inline vf v_gelu_tanh_gate(vf x) { return v_sigmoid(x * (1.59576912160573f + 0.0713548162726009f * (x * x))); }
static inline vf v_gelu_gate(vf x) { return 0.5f + 0.5f * v_erf(x * 0.707106781186547524f); }

/* sin and cos to 2e-7 (absolute) for |x| <= 8192: x = k pi / 2 + r, pi / 2 in three parts. */
static inline void v_sincos(vf x, vf *sine, vf *cosine) {
    vf t = x * 0.636619772f + 12582912.f; /* 1.5 * 2^23: the low bits are now k */
    vf k = t - 12582912.f, r = x - k * 1.5703125f;
    vi q = (vi)t;
    r = r - k * 4.837512969970703125e-4f;
    r = r - k * 7.54978995489188216e-8f;
    vf z = r * r, s = v_set(-1.9515295891e-4f), c = v_set(2.443315711809948e-5f);
    s = s * z + 8.3321608736e-3f;
    s = s * z - 1.6666654611e-1f;
    s = s * z * r + r;
    c = c * z - 1.388731625493765e-3f;
    c = c * z + 4.166664568298827e-2f;
    c = c * z * z - 0.5f * z + 1.f;
    vi odd = -(q & 1);
    *sine = (vf)((vi)v_select(odd, c, s) ^ (q & 2) << 30);
    *cosine = (vf)((vi)v_select(odd, s, c) ^ ((q + 1) & 2) << 30);
}
#endif
