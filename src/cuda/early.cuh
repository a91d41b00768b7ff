/* early.cuh - launches that start before the one before them is done.
 *
 * On a Hopper and newer a kernel launched here starts as soon as every block of the launch
 * before it has called early_next() (or ended), and may read, until early_wait(), only what
 * no launch still under way writes: weights, and states from earlier runs.  A run of launches
 * must begin with one that is not early; every block of an early one calls early_wait(). */
#ifndef KR_CUDA_EARLY_CUH
#define KR_CUDA_EARLY_CUH
#include "cuda/kernel.cuh"

static __device__ __forceinline__ void early_next(void) {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
static __device__ __forceinline__ void early_wait(void) {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

static inline bool early_possible(void) {
    static int major = 0;
    int device = 0;
    if (!major) cudaGetDevice(&device), cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major >= 9;
}

template <typename... P, typename... A>
static inline void early_launch(void (*kernel)(P...), dim3 grid, dim3 block, void *stream, A... args) {
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid, config.blockDim = block, config.stream = (cudaStream_t)stream;
    config.attrs = &early, config.numAttrs = early_possible() ? 1 : 0;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    cudaLaunchKernelEx(&config, kernel, (P)args...);
    CU_LAUNCHED();
}
#endif
