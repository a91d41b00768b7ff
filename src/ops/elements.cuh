/* elements.cuh - element-wise work on rows: a functor is called for every 8 columns of every
 * row, and loads and stores by get and put of rows.cuh.
 *
 *     struct twice { const T *x; T *y; ...
 *         template <bool FAST> __device__ void run(int64_t row, int64_t col, int left) const; } */
#ifndef KR_OPS_ELEMENTS_CUH
#define KR_OPS_ELEMENTS_CUH
#include "ops/rows.cuh"

template <bool FAST, typename F> static __global__ void __launch_bounds__(256) elements_kernel(int64_t n, int64_t per_row, int64_t width, F f) {
    int64_t e = blockIdx.x * (int64_t)256 + threadIdx.x;
    if (e >= n) return;
    int64_t row = n == per_row ? 0 : e / per_row, col = (e - row * per_row) * 8;
    f.template run<FAST>(row, col, width - col < 8 ? (int)(width - col) : 8);
}
/* fast: every row of every tensor may be loaded in vectors of 8, and width is a multiple of 8. */
template <typename F> static void elements(const kr_call *c, int64_t rows, int64_t width, bool fast, const F &f) {
    int64_t per_row = (width + 7) / 8, n = rows * per_row;
    cu_launch(fast ? elements_kernel<true, F> : elements_kernel<false, F>, cu_blocks(n, 256), 256, 0, c->stream, n, per_row, width, f);
}
/* Whether rows of t in steps of its pitch take vectors of 8; absent counts as yes. */
static inline bool elements_fast(const kr_tensor *t, int64_t pitch) { return rows_aligned(t->data, pitch, kr_dtype_bytes(t->dtype), 8); }

/* gelu, its tanh form, and their slopes */
static __device__ __forceinline__ float gelu(float x) { return x * (1 + erff(x * 0.70710678f)) / 2; }
static __device__ __forceinline__ float gelu_slope(float x) {
    return (1 + erff(x * 0.70710678f)) / 2 + x * 0.39894228f * expf(-x * x / 2);
}
static __device__ __forceinline__ float gelu_tanh(float x) { return x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x))) / 2; }
static __device__ __forceinline__ float gelu_tanh_slope(float x) {
    float t = tanhf(0.79788456f * (x + 0.044715f * x * x * x));
    return (1 + t) / 2 + x * (1 - t * t) / 2 * 0.79788456f * (1 + 3 * 0.044715f * x * x);
}
#endif
