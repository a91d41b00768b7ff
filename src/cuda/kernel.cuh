/* kernel.cuh - what every kernel needs: launching, numbers as float, sums in a fixed order.
 *
 * Arithmetic is float32; `float` and `__nv_bfloat16` are ways of storing.  Every sum here has
 * an order that depends on the shape of the launch alone, so results are the same bits each
 * time. */
#ifndef KR_CUDA_KERNEL_CUH
#define KR_CUDA_KERNEL_CUH
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/backend.h"
#include "tensor/tensor.h"

typedef __nv_bfloat16 bf16;

/* Ends a .cu file of an op: its record, found by name from ops.def; then bwd, and `blocks` if so. */
#define KR_CUDA_OP(name, plan, fwd, ...)              \
    extern "C" {                                      \
    extern const kr_cuda_op kr_cuda_op_##name;        \
    const kr_cuda_op kr_cuda_op_##name = {#name, plan, fwd, __VA_ARGS__}; \
    }

/* --- launching ---------------------------------------------------------------------- */

/* A launch that cannot start is a broken promise of ours: the sizes were ours to choose. */
#define CU_LAUNCHED()                                                               \
    do {                                                                            \
        cudaError_t cu_err_ = cudaGetLastError();                                   \
        if (cu_err_ != cudaSuccess) kr_panic(__FILE__, __LINE__, cudaGetErrorString(cu_err_)); \
    } while (0)

/* kernel<<<grid, block, shared, stream>>>(args...); nothing for an empty grid.  Shared memory
 * that passes 48 KB, with what the kernel declares itself, is asked for. */
template <typename... P, typename... A>
static inline void cu_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, void *stream, A... args) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (shared > 32 * 1024) cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    kernel<<<grid, block, shared, (cudaStream_t)stream>>>((P)args...);
    CU_LAUNCHED();
}

static inline int cu_multiprocessors(void) {
    static int n = 0;
    int device = 0;
    if (!n) cudaGetDevice(&device), cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device);
    return n ? n : 132;
}

/* Blocks of `each` for n; a grid's x goes to 2^31 - 1. */
static inline unsigned cu_blocks(int64_t n, int64_t each) { return (unsigned)((n + each - 1) / each); }

/* Can rows at p, `pitch` elements apart, be read in vectors of `bytes`? */
static inline bool cu_aligned(const void *p, int64_t pitch, size_t elem, size_t bytes) {
    return ((uintptr_t)p | (size_t)pitch * elem) % bytes == 0;
}
static inline bool cu_aligned(const kr_tensor *t, size_t bytes) {
    return !t->data || cu_aligned(t->data, t->pitch, kr_dtype_bytes(t->dtype), bytes);
}

/* --- numbers ------------------------------------------------------------------------ */

static __device__ __forceinline__ float cu_float(float x) { return x; }
static __device__ __forceinline__ float cu_float(bf16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ float cu_float(__half x) { return __half2float(x); }
template <typename T> __device__ __forceinline__ T cu_as(float x);
template <> __device__ __forceinline__ float cu_as<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 cu_as<bf16>(float x) { return __float2bfloat16_rn(x); }
/* What is too large for it becomes its largest number. */
template <> __device__ __forceinline__ __half cu_as<__half>(float x) { return __float2half_rn(x > 65504.f ? 65504.f : x < -65504.f ? -65504.f : x); }

/* *p = v or *p += v */
template <typename T> static __device__ __forceinline__ void cu_give(T *p, float v, bool add) {
    *p = cu_as<T>(add ? cu_float(*p) + v : v);
}

/* V elements at once, 16 bytes at most in an access; p must be aligned to V elements. */
template <typename T, int V> struct __align__(sizeof(T) * V <= 16 ? sizeof(T) * V : 16) cu_pack { T x[V]; };
template <int V, typename T> static __device__ __forceinline__ void cu_load(float (&to)[V], const T *p) {
    const cu_pack<T, V> v = *(const cu_pack<T, V> *)p;
#pragma unroll
    for (int i = 0; i < V; i++) to[i] = cu_float(v.x[i]);
}
template <int V, typename T> static __device__ __forceinline__ void cu_store(T *p, const float (&from)[V]) {
    cu_pack<T, V> v;
#pragma unroll
    for (int i = 0; i < V; i++) v.x[i] = cu_as<T>(from[i]);
    *(cu_pack<T, V> *)p = v;
}
template <int V, typename T> static __device__ __forceinline__ void cu_give(T *p, const float (&from)[V], bool add) {
    float v[V];
    if (add) cu_load<V>(v, p);
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = add ? v[i] + from[i] : from[i];
    cu_store<V>(p, v);
}

static __device__ __forceinline__ float cu_sigmoid(float x) { return 1 / (1 + expf(-x)); }
static __device__ __forceinline__ float cu_softplus(float x) { return x > 20 ? x : log1pf(expf(x)); }

/* --- sums --------------------------------------------------------------------------- */

/* Over the 32 threads of a warp, all of which get it. */
template <typename T> static __device__ __forceinline__ T cu_warp_sum(T v) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}
static __device__ __forceinline__ float cu_warp_max(float v) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}

/* Over a block of whole warps (blockDim.y = blockDim.z = 1); all threads get it.  `room` is
 * shared memory for 32 values, free again when the call returns. */
template <typename T> static __device__ __forceinline__ T cu_block_sum(T v, T *room) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, n = (blockDim.x + 31) >> 5;
    v = cu_warp_sum(v);
    if (lane == 0) room[warp] = v;
    __syncthreads();
    v = cu_warp_sum(lane < n ? room[lane] : T(0));
    __syncthreads();
    return v;
}
static __device__ __forceinline__ float cu_block_max(float v, float *room) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, n = (blockDim.x + 31) >> 5;
    v = cu_warp_max(v);
    if (lane == 0) room[warp] = v;
    __syncthreads();
    v = cu_warp_max(lane < n ? room[lane] : -INFINITY);
    __syncthreads();
    return v;
}
#endif
