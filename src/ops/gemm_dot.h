/* gemm_dot.h - dot products of bytes: four of each lane, added to its int32.
 *
 * x86 multiplies bytes without a sign by bytes with one: dot_low takes weights of 0..127, on a
 * CPU with VNNI of 0..255; dot_signed, for CPUs without, weights of -127..127 (and x, too).
 * VNNI is asked for at run time, so its instructions are spelled out; `vnni` is a constant.
 * Where DOT_PAIRS, sums of two products fit 16 bits, and dot_add16 adds up to eight of them if weights are below 16. */
#ifndef KR_OPS_GEMM_DOT_H
#define KR_OPS_GEMM_DOT_H
#include <stdbool.h>

#include "base/vec.h"
#include "base/vnni.h"
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef int16_t v16 __attribute__((vector_size(KR_VL * sizeof(int32_t))));
#define DOT_INLINE static inline __attribute__((always_inline))

static bool dot_has_vnni(void) {
#if defined(KR_V512_)
    return kr_cpu_allows_vnni() && __builtin_cpu_supports("avx512vnni");
#elif defined(KR_V256_) && !defined(__clang__) /* clang 14 does not know the name */
    return kr_cpu_allows_vnni() && __builtin_cpu_supports("avxvnni");
#else
    return false;
#endif
}

/* Pairs of 16 bits: a0 b0 + a1 b1. */
DOT_INLINE vi dot_pairs(v16 a, v16 b) {
#if defined(KR_V512_)
    return (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(KR_V256_)
    return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && KR_VL == 4
    return (vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    vi low = ((vi)a << 16 >> 16) * ((vi)b << 16 >> 16);
    return low + ((vi)a >> 16) * ((vi)b >> 16);
#endif
}
/* Even and odd bytes as 16 bits each. */
DOT_INLINE vi dot_wide(vi s, vi w, vi x) {
    return s + (dot_pairs((v16)w << 8 >> 8, (v16)x << 8 >> 8) + dot_pairs((v16)w >> 8, (v16)x >> 8));
}

DOT_INLINE vi dot_low(vi s, vi w, vi x, const bool vnni) {
#if defined(KR_V512_)
    if (vnni) {
        __asm__("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(w), "v"(x));
        return s;
    }
    return s + dot_pairs((v16)_mm512_maddubs_epi16((__m512i)w, (__m512i)x), (v16)_mm512_set1_epi16(1));
#elif defined(KR_V256_)
    if (vnni) {
        __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s) : "x"(w), "x"(x));
        return s;
    }
    return s + dot_pairs((v16)_mm256_maddubs_epi16((__m256i)w, (__m256i)x), (v16)_mm256_set1_epi16(1));
#elif defined(__ARM_FEATURE_DOTPROD)
    (void)vnni;
    return (vi)vdotq_s32((int32x4_t)s, (int8x16_t)w, (int8x16_t)x);
#elif defined(__aarch64__)
    (void)vnni;
    int8x16_t a = (int8x16_t)w, b = (int8x16_t)x;
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b))), high = vpaddlq_s16(vmull_high_s8(a, b));
    return s + (vi)vpaddq_s32(low, high);
#else
    (void)vnni;
    return dot_wide(s, w, x);
#endif
}

#if defined(KR_V512_) || defined(KR_V256_)
#define DOT_PAIRS 1
#if defined(KR_V512_)
DOT_INLINE v16 dot_add16(v16 s, vi w, vi x) { return s + (v16)_mm512_maddubs_epi16((__m512i)w, (__m512i)x); }
#else
DOT_INLINE v16 dot_add16(v16 s, vi w, vi x) { return s + (v16)_mm256_maddubs_epi16((__m256i)w, (__m256i)x); }
#endif
#else
#define DOT_PAIRS 0
DOT_INLINE v16 dot_add16(v16 s, vi w, vi x) { (void)w, (void)x; return s; }
#endif
DOT_INLINE vi dot_sum16(vi s, v16 pairs) { return s + dot_pairs(pairs, 1 - (v16){0}); }

DOT_INLINE vi dot_signed(vi s, vi w, vi x) {
#if defined(KR_V512_)
    return dot_wide(s, w, x);
#elif defined(KR_V256_)
    return dot_low(s, (vi)_mm256_abs_epi8((__m256i)w), (vi)_mm256_sign_epi8((__m256i)x, (__m256i)w), false);
#else
    return dot_low(s, w, x, false);
#endif
}

#endif
