/* blocks.cuh - weights in blocks (tensor/quant.h) as a GPU holds them.
 *
 * Blocks of 34 or 144 bytes fit no vector load.  So what libkrait uploads is dealt into two
 * planes, whole numbers first, then what they are multiplied with, a scale for 32 of them:
 *
 *     Q8_0, Q6_K   8 bits     value = scale q            scale: half         34 bytes for 32 numbers
 *     Q4_0, Q4_K   4 bits     value = scale q - min      both: half          20 bytes
 *
 * A word of 8 numbers of 4 bits has numbers 2 j and 2 j + 1 in bits 4 j and 16 + 4 j, so a mask
 * and a shift give a pair as two halves of a register.  Q8_0 and Q4_0 stay what they were; of Q4_K
 * scales are rounded to half; Q6_K, whose scales are for 16 numbers, is rounded again, by at most an
 * eighth of its own step. */
#ifndef KR_CUDA_BLOCKS_CUH
#define KR_CUDA_BLOCKS_CUH
#include "cuda/kernel.cuh"

enum { CU_BLOCK = 32 }; /* numbers of one scale */

static inline bool cu_blocked(kr_dtype t) { return kr_dtype_block(t) > 1; }
static inline bool cu_four_bits(kr_dtype t) { return t == KR_Q4_0 || t == KR_Q4_K; }

/* The two planes of n numbers. */
struct cu_planes { const unsigned char *q; const __half *scale; };
static inline cu_planes cu_planes_of(const void *data, kr_dtype t, int64_t n) {
    const unsigned char *q = (const unsigned char *)data;
    return {q, (const __half *)(q + (cu_four_bits(t) ? n / 2 : n))};
}

/* Eight numbers of 8 or 4 bits as pairs of bfloat16, exactly. */
static __device__ __forceinline__ void cu_eight(unsigned (&to)[4], uint2 q) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const unsigned u = (i ? q.y : q.x) ^ 0x80808080u; /* q + 128; below, the float 2^23 + u */
        float v[4];
        v[0] = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7440)), v[1] = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7441));
        v[2] = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7442)), v[3] = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7443));
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const __nv_bfloat162 p = __floats2bfloat162_rn(v[2 * j] - 8388736.f, v[2 * j + 1] - 8388736.f);
            to[2 * i + j] = *(const unsigned *)&p;
        }
    }
}
static __device__ __forceinline__ void cu_eight(unsigned (&to)[4], unsigned q) {
    const __nv_bfloat162 from = __floats2bfloat162_rn(128.f, 128.f);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const unsigned u = (q >> 4 * j & 0x000f000fu) | 0x43004300u; /* 128 + q */
        const __nv_bfloat162 p = __hsub2(*(const __nv_bfloat162 *)&u, from);
        to[j] = *(const unsigned *)&p;
    }
}

/* Numbers [i, i + 8) of planes as floats; i is a multiple of 8. */
static __device__ __forceinline__ void cu_unblock(float (&to)[8], const cu_planes &p, bool four, int64_t i) {
    unsigned pair[4];
    float scale, min = 0;
    if (four) {
        const float2 s = __half22float2(((const __half2 *)p.scale)[i / CU_BLOCK]);
        cu_eight(pair, *(const unsigned *)(p.q + i / 2));
        scale = s.x, min = s.y;
    } else {
        cu_eight(pair, *(const uint2 *)(p.q + i));
        scale = __half2float(p.scale[i / CU_BLOCK]);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        to[2 * j] = fmaf(scale, __uint_as_float(pair[j] << 16), -min);
        to[2 * j + 1] = fmaf(scale, __uint_as_float(pair[j] & 0xffff0000u), -min);
    }
}

static __device__ __forceinline__ float cu_unblock_at(const cu_planes &p, bool four, int64_t i) {
    if (!four) return __half2float(p.scale[i / CU_BLOCK]) * (float)(int8_t)p.q[i];
    const float2 s = __half22float2(((const __half2 *)p.scale)[i / CU_BLOCK]);
    return fmaf(s.x, (float)(((const unsigned *)p.q)[i / 8] >> (i % 8 / 2 * 4 + i % 2 * 16) & 15), -s.y);
}

/* Planes of `from_type` as float32 or bfloat16. */
void kr_cuda_unblock(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n, void *stream);
#endif
