/* device.cuh - the inside of libkrait_cuda, for its files of this folder. */
#ifndef KR_CUDA_DEVICE_CUH
#define KR_CUDA_DEVICE_CUH
#include <cuda_runtime.h>

#include "cuda/backend.h"

struct kr_device {
    int index;
    cudaStream_t stream;
    cudaError_t error; /* the first since the last sync */
};

/* Keeps the first failure of queued work for kr_device's next sync. */
static inline void device_note(kr_device *d, cudaError_t e) {
    if (e != cudaSuccess && d->error == cudaSuccess) d->error = e;
}
#define CU_TRY(call, what)                                                                                    \
    do {                                                                                                      \
        cudaError_t cu_err_ = (call);                                                                         \
        if (cu_err_ != cudaSuccess) {                                                                         \
            (void)cudaGetLastError();                                                                         \
            bool cu_full_ = cu_err_ == cudaErrorMemoryAllocation;                                             \
            return kr_fail(cu_full_ ? KR_ERR_NOMEM : KR_ERR_DEVICE, "%s: %s", what, cudaGetErrorString(cu_err_)); \
        }                                                                                                     \
    } while (0)

/* ops.cu */
extern const kr_cuda_op *const kr_cuda_ops[];
extern const int kr_cuda_n_ops;

/* blocks.cu */
size_t device_block_bytes(kr_dtype type, int64_t n);
kr_status device_put_blocks(kr_device *d, void *to, const void *from, kr_dtype type, int64_t n);

/* adamw.cu */
kr_status device_adamw_new(kr_device *d, kr_adamw_plan **out, const kr_adamw_item *item, int64_t n);
void device_adamw_run(kr_device *d, kr_adamw_plan *p, const kr_adamw_rates *r, double *host_norm);
void device_adamw_free(kr_device *d, kr_adamw_plan *p);
#endif
