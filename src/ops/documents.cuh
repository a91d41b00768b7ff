/* documents.cuh - where the document of each step starts and ends, for ops that take seq_idx. */
#ifndef KR_OPS_DOCUMENTS_CUH
#define KR_OPS_DOCUMENTS_CUH
#include "cuda/kernel.cuh"

enum { DOCUMENTS_THREADS = 256 };

/* first[s, t] and last[s, t] (unless NULL), one block a sequence: each thread looks through a
 * run of steps, then learns what its neighbours end or begin with. */
static __global__ void __launch_bounds__(DOCUMENTS_THREADS) documents_kernel(const int32_t *ids, int64_t pitch, int64_t L, int32_t *first,
                                                                             int32_t *last) {
    __shared__ int32_t starts[DOCUMENTS_THREADS], ends[DOCUMENTS_THREADS];
    int n = (int)((L + DOCUMENTS_THREADS - 1) / DOCUMENTS_THREADS), from = (int)threadIdx.x * n, to = from + n < L ? from + n : (int)L;
    const int32_t *id = ids + blockIdx.x * L * pitch;
    first += blockIdx.x * L;
    if (last) last += blockIdx.x * L;
    int start = -1, end = (int)L; /* the last change in the run, and the first */
    for (int t = from; t < to; t++)
        if (t == 0 || id[t * pitch] != id[(t - 1) * pitch]) {
            start = t;
            if (end == L) end = t;
        }
    starts[threadIdx.x] = start, ends[threadIdx.x] = end;
    __syncthreads();
    start = 0, end = (int)L;
    for (int i = 0; i < (int)threadIdx.x; i++) start = starts[i] > start ? starts[i] : start;
    for (int i = (int)threadIdx.x + 1; i < DOCUMENTS_THREADS; i++) end = ends[i] < end ? ends[i] : end;
    for (int t = from; t < to; t++) {
        if (t == 0 || id[t * pitch] != id[(t - 1) * pitch]) start = t;
        first[t] = start;
    }
    for (int t = to - 1; last && t >= from; t--) {
        last[t] = end - 1;
        if (t == 0 || id[t * pitch] != id[(t - 1) * pitch]) end = t;
    }
}
#endif
