/* linear_int8.cuh - a product whose weights are whole numbers in planes of 8 bits (cuda/blocks.cuh) and whose rows are
 * rounded to 8 bits with one scale, s.
 *
 * Tensor cores sum the products of 32 numbers as integers, exactly; times the weights' scale of these 32 they are added
 * in float32.  A warp owns every WARPS-th 32 of K for 32 columns; the warps' sums are added in order.  So a row has the
 * same bits beside any others. */
#ifndef KR_OPS_LINEAR_INT8_CUH
#define KR_OPS_LINEAR_INT8_CUH
#include "cuda/blocks.cuh"

enum { INT8_WARPS = 8, INT8_COLS = 32 };

/* x / s in -127..127: as whole numbers, or times s again. */
template <typename T> static __global__ void __launch_bounds__(256) int8_rows_kernel(const T *x, int64_t x_pitch, int64_t rows, int64_t K, const float *s, int8_t *q, T *y) {
    const int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x;
    if (i >= rows * K) return;
    const int n = (int)fminf(fmaxf(rintf(__fdiv_rn(cu_float(x[i / K * x_pitch + i % K]), *s)), -127.f), 127.f);
    if (q) q[i] = (int8_t)n;
    else y[i] = cu_as<T>((float)n * *s);
}

static __device__ __forceinline__ void int8_mma(int (&c)[4], const uint2 &top, const uint2 &low, const uint2 &b) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(top.x), "r"(low.x), "r"(top.y), "r"(low.y), "r"(b.x), "r"(b.y));
}

/* Rows [16 TILES blockIdx.x, ...) of 32 columns.  The order of K within 32 is free: a thread takes 8 numbers side by side. */
template <typename T, int TILES>
static __global__ void __launch_bounds__(32 * INT8_WARPS) int8_product_kernel(const int8_t *q, int64_t M, int64_t N, int64_t K, const cu_planes W, const float *s,
                                                                            const float *bias, T *y) {
    __shared__ float share[INT8_WARPS][16 * TILES][INT8_COLS + 1];
    enum { NONE = 0x4b400000 }; /* as a float 12582912: sums of less than 2^22 are its last digits */
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int64_t row0 = blockIdx.x * (int64_t)(16 * TILES), col0 = blockIdx.y * (int64_t)INT8_COLS;
    const int8_t *a[TILES][2], *b[4];
    float sum[TILES][4][4] = {};
#pragma unroll
    for (int i = 0; i < 2 * TILES; i++) { /* what is beyond the edge reads the last row, and is not stored */
        const int64_t r = row0 + 8 * i + g;
        a[i / 2][i % 2] = q + (r < M ? r : M - 1) * K + 8 * t;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int64_t n = col0 + 8 * j + g;
        b[j] = (const int8_t *)W.q + (n < N ? n : N - 1) * K + 8 * t;
    }
    const __half *scales = W.scale + (col0 + lane < N ? col0 + lane : N - 1) * (K / CU_BLOCK);
#pragma unroll 2
    for (int64_t k = warp; k < K / CU_BLOCK; k += INT8_WARPS) {
        uint2 top[TILES], low[TILES], w[4];
#pragma unroll
        for (int i = 0; i < TILES; i++) top[i] = *(const uint2 *)(a[i][0] + k * CU_BLOCK), low[i] = *(const uint2 *)(a[i][1] + k * CU_BLOCK);
#pragma unroll
        for (int j = 0; j < 4; j++) w[j] = *(const uint2 *)(b[j] + k * CU_BLOCK);
        const float mine = __half2float(scales[k]);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float scale[2] = {__shfl_sync(~0u, mine, 8 * j + 2 * t), __shfl_sync(~0u, mine, 8 * j + 2 * t + 1)};
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                int c[4] = {NONE, NONE, NONE, NONE};
                int8_mma(c, top[i], low[i], w[j]);
#pragma unroll
                for (int e = 0; e < 4; e++) sum[i][j][e] = fmaf(scale[e % 2], __int_as_float(c[e]) - 12582912.f, sum[i][j][e]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TILES; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) share[warp][16 * i + 8 * (e / 2) + g][8 * j + 2 * t + e % 2] = sum[i][j][e];
    __syncthreads();
    for (int e = (int)threadIdx.x; e < 16 * TILES * INT8_COLS; e += 32 * INT8_WARPS) {
        const int64_t r = row0 + e / INT8_COLS, n = col0 + e % INT8_COLS;
        float v = 0;
        if (r >= M || n >= N) continue;
#pragma unroll
        for (int k = 0; k < INT8_WARPS; k++) v += share[k][e / INT8_COLS][e % INT8_COLS];
        y[r * N + n] = cu_as<T>(fmaf(v, *s, bias ? bias[n] : 0));
    }
}
#endif
