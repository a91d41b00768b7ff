/* sinkhorn.cu - sinkhorn on a GPU: shares of a fixed number of blocks of rows, added in order; three launches a round. */
#include "ops/sinkhorn/sinkhorn.h"

#include "ops/rows.cuh"

enum { WARPS = 8, SHARES = 64 };

/* Log of the denominator of each row's softmax of logits + bias; a warp a row. */
template <typename T>
static __global__ void __launch_bounds__(32 * WARPS) lse_kernel(int64_t rows, int64_t X, const T *l, int64_t pitch, const float *bias, float *lse) {
    int64_t r = blockIdx.x * (int64_t)WARPS + threadIdx.y;
    if (r >= rows) return;
    float m = -INFINITY, s = 0;
    for (int64_t x = threadIdx.x; x < X; x += 32) m = fmaxf(m, cu_float(l[r * pitch + x]) + bias[x]);
    m = cu_warp_max(m);
    for (int64_t x = threadIdx.x; x < X; x += 32) s += expf(cu_float(l[r * pitch + x]) + bias[x] - m);
    s = cu_warp_sum(s);
    if (threadIdx.x == 0) lse[r] = m + logf(s);
}

/* Block (column of 32 experts, share of rows): P[share][x], sums of probabilities. */
template <typename T>
static __global__ void __launch_bounds__(32 * WARPS) shares_kernel(int64_t rows, int64_t X, const T *l, int64_t pitch, const float *bias, const float *lse, float *P) {
    __shared__ float sums[WARPS][32];
    int64_t x = blockIdx.x * (int64_t)32 + threadIdx.x;
    float sum = 0;
    for (int64_t r = blockIdx.y * WARPS + threadIdx.y; r < rows && x < X; r += SHARES * WARPS) sum += expf(cu_float(l[r * pitch + x]) + bias[x] - lse[r]);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || x >= X) return;
    for (int w = 1; w < WARPS; w++) sum += sums[w][threadIdx.x];
    P[blockIdx.y * X + x] = sum;
}

static __global__ void bias_kernel(int64_t rows, int64_t X, const float *P, float *bias) {
    int64_t x = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    double share = 0;
    if (x >= X) return;
    for (int b = 0; b < SHARES; b++) share += (double)P[b * X + x];
    bias[x] = (float)((double)bias[x] - log((share / (double)rows + (double)SINKHORN_LEAST) * (double)X));
}

static kr_status sinkhorn_plan_cuda(kr_call *c) {
    c->fwd_scratch = (size_t)(c->rows + SHARES * KR_SIZE(c, 'X')) * sizeof(float);
    c->bwd_scratch = c->saved_bytes = 0;
    return KR_OK;
}

static __global__ void zero_kernel(int64_t X, float *bias) {
    int64_t x = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (x < X) bias[x] = 0;
}

template <typename T> static void run(const kr_call *c) {
    const kr_tensor *l = &c->in[SINKHORN_LOGITS];
    int64_t X = KR_SIZE(c, 'X'), rows = c->rows;
    float *bias = (float *)c->out[SINKHORN_BIAS].data, *lse = (float *)c->scratch, *P = lse + rows;
    dim3 block(32, WARPS), grid(cu_blocks(X, 32), SHARES);
    cu_launch(zero_kernel, cu_blocks(X, 256), 256, 0, c->stream, X, bias);
    for (int64_t round = 0; round < ((const sinkhorn_attr *)c->attr)->rounds; round++) {
        cu_launch(lse_kernel<T>, cu_blocks(rows, WARPS), block, 0, c->stream, rows, X, (const T *)l->data, l->pitch, (const float *)bias, lse);
        cu_launch(shares_kernel<T>, grid, block, 0, c->stream, rows, X, (const T *)l->data, l->pitch, (const float *)bias, (const float *)lse, P);
        cu_launch(bias_kernel, cu_blocks(X, 256), 256, 0, c->stream, rows, X, (const float *)P, bias);
    }
}
static void sinkhorn_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c);
    else run<float>(c);
}

KR_CUDA_OP(sinkhorn, sinkhorn_plan_cuda, sinkhorn_fwd_cuda, NULL)
