/* selective_scan16.cuh - what the CUDA kernels of selective_scan for bfloat16 and 16 states share:
 * 4 warps of 4 states, tiles of 16 steps. */
#ifndef KR_OPS_SELECTIVE_SCAN16_CUH
#define KR_OPS_SELECTIVE_SCAN16_CUH
#include "ops/selective_scan/selective_scan.cuh"

enum { R = 4, N16 = 16, WARPS = 4, TILE = 16, PITCH = pitch<TILE>::value, ONE = LANES * PITCH };
enum { ROW = TILE * LANES, BC_ROW = TILE * N16 };

static __device__ __forceinline__ void copy_piece(unsigned to, const char *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
static __device__ __forceinline__ void copy_8(unsigned to, const char *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

static __device__ __forceinline__ int at(const int4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

/* softplus to 9e-6, of which a bfloat16 has nothing; w = exp(-|x|). */
static __device__ __forceinline__ float softplus_5(float x, float w) {
    float q = fmaf(-0.0238691047f, w, 0.101222165f);
    q = fmaf(q, w, -0.210048586f), q = fmaf(q, w, 0.325206637f), q = fmaf(q, w, -0.499361366f);
    return fmaf(fmaf(q, w, 0.999991596f), w, fmaxf(x, 0.f));
}

/* A pair of bf16 as floats. */
static __device__ __forceinline__ float low(unsigned pair) { return __uint_as_float(pair << 16); }
static __device__ __forceinline__ float high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }
/* The 4 states of steps 2 t and 2 t + 1 of a warp, from BC. */
static __device__ __forceinline__ void two_rows(float (&v)[2][R], const bf16 *from) {
    const uint4 p = *(const uint4 *)from;
    v[0][0] = low(p.x), v[0][1] = high(p.x), v[0][2] = low(p.y), v[0][3] = high(p.y);
    v[1][0] = low(p.z), v[1][1] = high(p.z), v[1][2] = low(p.w), v[1][3] = high(p.w);
}
#endif
