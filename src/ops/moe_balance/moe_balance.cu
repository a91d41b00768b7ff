/* moe_balance.cu - moe_balance on a GPU: shares of a fixed number of blocks of rows, added in order. */
#include "ops/moe_balance/moe_balance.h"

#include "ops/rows.cuh"

enum { WARPS = 8, SHARES = 64 };

/* Log of the denominator of each row's softmax; a warp a row. */
template <typename T> static __global__ void __launch_bounds__(32 * WARPS) lse_kernel(int64_t rows, int64_t X, const T *l, int64_t pitch, float *lse) {
    int64_t r = blockIdx.x * (int64_t)WARPS + threadIdx.y;
    if (r >= rows) return;
    float m = -INFINITY, s = 0;
    for (int64_t x = threadIdx.x; x < X; x += 32) m = fmaxf(m, cu_float(l[r * pitch + x]));
    m = cu_warp_max(m);
    for (int64_t x = threadIdx.x; x < X; x += 32) s += expf(cu_float(l[r * pitch + x]) - m);
    s = cu_warp_sum(s);
    if (threadIdx.x == 0) lse[r] = m + logf(s);
}

/* Block (column of 32 experts, share of rows): n[share][x] choices, P[share][x] sums of probabilities. */
template <typename T>
static __global__ void __launch_bounds__(32 * WARPS) shares_kernel(int64_t rows, int64_t X, int64_t K, const T *l, int64_t pitch, const float *lse,
                                                                   const int32_t *idx, int64_t idx_pitch, float *n, float *P) {
    __shared__ float sums[2][WARPS][32];
    int64_t x = blockIdx.x * (int64_t)32 + threadIdx.x;
    float count = 0, sum = 0;
    for (int64_t r = blockIdx.y * WARPS + threadIdx.y; r < rows; r += SHARES * WARPS) {
        for (int64_t k = 0; k < K; k++) count += idx[r * idx_pitch + k] == x;
        if (P && x < X) sum += expf(cu_float(l[r * pitch + x]) - lse[r]);
    }
    sums[0][threadIdx.y][threadIdx.x] = count, sums[1][threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || x >= X) return;
    for (int w = 1; w < WARPS; w++) count += sums[0][w][threadIdx.x], sum += sums[1][w][threadIdx.x];
    n[blockIdx.y * X + x] = count;
    if (P) P[blockIdx.y * X + x] = sum;
}

static __global__ void __launch_bounds__(256) loss_kernel(int64_t rows, int64_t X, const float *n, const float *P, double weight, const float *base, float *loss) {
    __shared__ double room[32];
    double sum = 0;
    for (int64_t x = threadIdx.x; x < X; x += 256) {
        double count = 0, p = 0;
        for (int b = 0; b < SHARES; b++) count += (double)n[b * X + x], p += (double)P[b * X + x];
        sum += count / (double)rows * (p / (double)rows);
    }
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) *loss = (float)((base ? (double)*base : 0) + weight * (double)X * sum);
}

/* All shares into the first. */
static __global__ void total_kernel(int64_t X, float *n) {
    int64_t x = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    float sum = 0;
    if (x >= X) return;
    for (int b = 0; b < SHARES; b++) sum += n[b * X + x];
    n[x] = sum;
}

template <typename T>
static __global__ void __launch_bounds__(32 * WARPS) back_kernel(int64_t rows, int64_t X, const T *l, int64_t pitch, const float *lse, const float *n,
                                                                 const float *dloss, double factor, T *dl, int64_t dl_pitch, bool add) {
    int64_t r = blockIdx.x * (int64_t)WARPS + threadIdx.y;
    if (r >= rows) return;
    float mean = 0, k = (float)(factor * (double)*dloss);
    for (int64_t x = threadIdx.x; x < X; x += 32) mean += n[x] * expf(cu_float(l[r * pitch + x]) - lse[r]);
    mean = cu_warp_sum(mean);
    for (int64_t x = threadIdx.x; x < X; x += 32) cu_give(dl + r * dl_pitch + x, k * expf(cu_float(l[r * pitch + x]) - lse[r]) * (n[x] - mean), add);
}

static __global__ void base_kernel(const float *dloss, float *dbase, bool add) { *dbase = add ? *dbase + *dloss : *dloss; }

static kr_status moe_balance_plan_cuda(kr_call *c) {
    c->fwd_scratch = (size_t)(c->rows + 2 * SHARES * KR_SIZE(c, 'X')) * sizeof(float);
    c->bwd_scratch = (size_t)(c->rows + SHARES * KR_SIZE(c, 'X')) * sizeof(float);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *l = &c->in[MOE_BALANCE_LOGITS], *idx = &c->in[MOE_BALANCE_IDX], *dl = &c->din[MOE_BALANCE_LOGITS];
    int64_t X = KR_SIZE(c, 'X'), K = KR_SIZE(c, 'K'), rows = c->rows;
    double weight = ((const moe_balance_attr *)c->attr)->weight;
    float *lse = (float *)c->scratch, *n = lse + rows, *P = back ? NULL : n + SHARES * X, *dbase = (float *)c->din[MOE_BALANCE_BASE].data;
    const float *dloss = (const float *)c->dout[MOE_BALANCE_LOSS].data;
    dim3 block(32, WARPS), grid(cu_blocks(X, 32), SHARES);
    if (back && dbase) cu_launch(base_kernel, 1, 1, 0, c->stream, dloss, dbase, c->acc[MOE_BALANCE_BASE]);
    if (back && !dl->data) return;
    cu_launch(lse_kernel<T>, cu_blocks(rows, WARPS), block, 0, c->stream, rows, X, (const T *)l->data, l->pitch, lse);
    cu_launch(shares_kernel<T>, grid, block, 0, c->stream, rows, X, K, (const T *)l->data, l->pitch, (const float *)lse, (const int32_t *)idx->data,
              idx->pitch, n, P);
    if (!back) {
        cu_launch(loss_kernel, 1, 256, 0, c->stream, rows, X, (const float *)n, (const float *)P, weight, (const float *)c->in[MOE_BALANCE_BASE].data,
                  (float *)c->out[MOE_BALANCE_LOSS].data);
        return;
    }
    cu_launch(total_kernel, cu_blocks(X, 256), 256, 0, c->stream, X, n);
    cu_launch(back_kernel<T>, cu_blocks(rows, WARPS), block, 0, c->stream, rows, X, (const T *)l->data, l->pitch, (const float *)lse, (const float *)n,
              dloss, weight * (double)X / (double)rows / (double)rows, (T *)dl->data, dl->pitch, c->acc[MOE_BALANCE_LOGITS]);
}
static void moe_balance_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void moe_balance_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(moe_balance, moe_balance_plan_cuda, moe_balance_fwd_cuda, moe_balance_bwd_cuda)
