/* shuffle.cu - shuffle on a GPU: a step a thread, which counts those that come before it, a tile of marks at a time. */
#include "ops/shuffle/shuffle.h"

#include "cuda/blocks.cuh"

enum { TILE = 256 };

static __global__ void __launch_bounds__(TILE) shuffle_kernel(const int32_t *key, double p, int64_t n, int32_t *order, int32_t *place) {
    __shared__ uint64_t mark[TILE];
    int64_t i = blockIdx.x * (int64_t)TILE + threadIdx.x, before = 0;
    uint64_t mine = i < n ? shuffle_mark(key, p, i) : 0;
    for (int64_t from = 0; from < n; from += TILE) {
        __syncthreads();
        mark[threadIdx.x] = from + threadIdx.x < n ? shuffle_mark(key, p, from + threadIdx.x) : UINT64_MAX;
        __syncthreads();
        for (int j = 0; j < TILE; j++) before += mark[j] < mine;
    }
    if (i >= n) return;
    if (order) order[before] = (int32_t)i;
    if (place) place[i] = (int32_t)before;
}

static kr_status shuffle_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->bwd_scratch = c->saved_bytes = 0;
    return KR_OK;
}

static void shuffle_fwd_cuda(const kr_call *c) {
    const shuffle_attr *a = (const shuffle_attr *)c->attr;
    cu_launch(shuffle_kernel, cu_blocks(a->n, TILE), TILE, 0, c->stream, (const int32_t *)c->in[SHUFFLE_KEY].data, a->p, a->n, (int32_t *)c->out[SHUFFLE_ORDER].data,
              (int32_t *)c->out[SHUFFLE_PLACE].data);
}

KR_CUDA_OP(shuffle, shuffle_plan_cuda, shuffle_fwd_cuda, NULL)
