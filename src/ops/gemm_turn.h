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
#endif
