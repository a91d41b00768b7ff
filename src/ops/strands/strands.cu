/* strands.cu - strands on a GPU: a number a thread. */
#include "ops/strands/strands.h"

#include "cuda/blocks.cuh"

static __global__ void strands_kernel(const int32_t *ids, int64_t pitch, const int32_t *map, const int32_t *len, int64_t L, int64_t V, int64_t n, int32_t *y) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) y[i] = strands_at(ids, pitch, map, len, L, V, i / (2 * L), i % (2 * L));
}

static void strands_fwd_cuda(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), n = 2 * L * KR_SIZE(c, 'S');
    cu_launch(strands_kernel, cu_blocks(n, 256), 256, 0, c->stream, (const int32_t *)c->in[STRANDS_IDS].data, c->in[STRANDS_IDS].pitch, (const int32_t *)c->in[STRANDS_MAP].data,
              (const int32_t *)c->in[STRANDS_LEN].data, L, KR_SIZE(c, 'V'), n, (int32_t *)c->out[STRANDS_Y].data);
}

KR_CUDA_OP(strands, NULL, strands_fwd_cuda, NULL)
