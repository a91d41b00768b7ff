/* gemm_turn.h - squares of KR_VL vectors turned around in registers; for the gemm*_vec.c. */
#ifndef KR_OPS_GEMM_TURN_H
#define KR_OPS_GEMM_TURN_H
#include <stdbool.h>

#include "base/vec.h"

/* One permutation, the same in every 128-bit lane; a number from KR_VL up is of the second vector. */
#if KR_VL == 16
#define IN_LANES(w, x, y, z) \
    w, x, y, z, w + 4, x + 4, y + 4, z + 4, w + 8, x + 8, y + 8, z + 8, w + 12, x + 12, y + 12, z + 12
#define LANES(w, x, y, z) /* whole lanes: w, x of a, then y, z of b */                                     \
    4 * w, 4 * w + 1, 4 * w + 2, 4 * w + 3, 4 * x, 4 * x + 1, 4 * x + 2, 4 * x + 3,                        \
    16 + 4 * y, 17 + 4 * y, 18 + 4 * y, 19 + 4 * y, 16 + 4 * z, 17 + 4 * z, 18 + 4 * z, 19 + 4 * z
#elif KR_VL == 8
#define IN_LANES(w, x, y, z) w, x, y, z, w + 4, x + 4, y + 4, z + 4
#else
#define IN_LANES(w, x, y, z) w, x, y, z
#endif
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* Squares of 4 x 4 within lanes of 128 bits. */
static inline __attribute__((always_inline)) void turn_lanes(const vf *r, vf *u) {
    vf a = SHUFFLE(r[0], r[1], IN_LANES(0, KR_VL, 1, KR_VL + 1));
    vf b = SHUFFLE(r[0], r[1], IN_LANES(2, KR_VL + 2, 3, KR_VL + 3));
    vf c = SHUFFLE(r[2], r[3], IN_LANES(0, KR_VL, 1, KR_VL + 1));
    vf d = SHUFFLE(r[2], r[3], IN_LANES(2, KR_VL + 2, 3, KR_VL + 3));
    u[0] = SHUFFLE(a, c, IN_LANES(0, 1, KR_VL, KR_VL + 1));
    u[1] = SHUFFLE(a, c, IN_LANES(2, 3, KR_VL + 2, KR_VL + 3));
    u[2] = SHUFFLE(b, d, IN_LANES(0, 1, KR_VL, KR_VL + 1));
    u[3] = SHUFFLE(b, d, IN_LANES(2, 3, KR_VL + 2, KR_VL + 3));
}

/* Numbers of 16 bits that stand in the upper halves of lanes, above zeros: float16 or bfloat16. */
static inline __attribute__((always_inline)) vf from_upper(vi h, const bool bf16) {
    if (bf16) return (vf)h;
    vi size = h & 0x7fff0000, special = (size >= 0x7c000000) & 0x7f800000;
    vf f = (vf)(size >> 3) * 0x1p112f; /* as kr_from_f16 */
    return (vf)((vi)f | special | (h & INT32_MIN));
}

/* r[i][j] <-> r[j][i] */
static inline __attribute__((always_inline)) void transpose(vf *r) {
    vf u[KR_VL];
#pragma GCC unroll 4
    for (int g = 0; g < KR_VL; g += 4) turn_lanes(r + g, u + g);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) { /* then the lanes among each other */
#if KR_VL == 16
        vf a = SHUFFLE(u[j], u[4 + j], LANES(0, 2, 0, 2)), b = SHUFFLE(u[j], u[4 + j], LANES(1, 3, 1, 3));
        vf c = SHUFFLE(u[8 + j], u[12 + j], LANES(0, 2, 0, 2)), d = SHUFFLE(u[8 + j], u[12 + j], LANES(1, 3, 1, 3));
        r[j] = SHUFFLE(a, c, LANES(0, 2, 0, 2)), r[8 + j] = SHUFFLE(a, c, LANES(1, 3, 1, 3));
        r[4 + j] = SHUFFLE(b, d, LANES(0, 2, 0, 2)), r[12 + j] = SHUFFLE(b, d, LANES(1, 3, 1, 3));
#elif KR_VL == 8
        r[j] = SHUFFLE(u[j], u[4 + j], 0, 1, 2, 3, 8, 9, 10, 11);
        r[4 + j] = SHUFFLE(u[j], u[4 + j], 4, 5, 6, 7, 12, 13, 14, 15);
#else
        r[j] = u[j];
#endif
    }
}
/* 16 bytes of each of KR_VL columns: t[i] has the i-th four of all. */
static inline __attribute__((always_inline)) void turn_four(const uint8_t *const *row, int64_t at, vi *t) {
    vf v[4], u[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
#define LANE(i) ((const float *)(const void *)(row[r + 4 * (i)] + at))
#if defined(KR_V512_)
        __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(LANE(0)));
        x = _mm512_insertf32x4(x, _mm_loadu_ps(LANE(1)), 1);
        x = _mm512_insertf32x4(x, _mm_loadu_ps(LANE(2)), 2);
        v[r] = (vf)_mm512_insertf32x4(x, _mm_loadu_ps(LANE(3)), 3);
#elif defined(KR_V256_)
        v[r] = (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(LANE(0))), _mm_loadu_ps(LANE(1)), 1);
#else
        v[r] = v_load(LANE(0));
#endif
#undef LANE
    }
    turn_lanes(v, u);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) t[i] = (vi)u[i];
}

/* 32 bytes of each. */
static inline __attribute__((always_inline)) void turn_eight(const uint8_t *const *row, int64_t at, vi *t) {
#if defined(KR_V512_)
    vf v[8], u[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) { /* two columns share a vector from the start */
        int r = i < 4 ? i : i + 4;
        v[i] = (vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps((const float *)(const void *)(row[r] + at))),
                                      _mm256_loadu_ps((const float *)(const void *)(row[r + 4] + at)), 1);
    }
    turn_lanes(v, u), turn_lanes(v + 4, u + 4);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        t[c] = (vi)_mm512_shuffle_f32x4((__m512)u[c], (__m512)u[4 + c], 0x88);
        t[4 + c] = (vi)_mm512_shuffle_f32x4((__m512)u[c], (__m512)u[4 + c], 0xdd);
    }
#elif defined(KR_V256_)
    vf v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) v[i] = v_load((const float *)(const void *)(row[i] + at));
    transpose(v);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) t[i] = (vi)v[i];
#else
    turn_four(row, at, t), turn_four(row, at + 16, t + 4);
#endif
}
#endif
