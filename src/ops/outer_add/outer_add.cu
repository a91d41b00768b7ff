/* outer_add.cu - outer_add on a GPU: a block for each sequence and head. */
#include "ops/outer_add/outer_add.h"

#include "ops/rows.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

static __global__ void outer_fwd(int64_t P, int64_t N, const float *h, const float *a, const float *x, const float *k, float *y) {
    int64_t i = blockIdx.x;
    for (int64_t e = threadIdx.x; e < P * N; e += THREADS) y[i * P * N + e] = h[i * P * N + e] + a[i] * x[i * P + e / N] * k[i * N + e % N];
}

static __global__ void __launch_bounds__(THREADS) outer_bwd(int64_t P, int64_t N, const float *a, const float *x, const float *k, const float *dy, float *dh,
                                                            float *da, float *dx, float *dk, bool add_h, bool add_a, bool add_x, bool add_k) {
    __shared__ float room[32];
    int64_t i = blockIdx.x;
    float all = 0;
    for (int64_t e = threadIdx.x; dh && e < P * N; e += THREADS) cu_give(dh + i * P * N + e, dy[i * P * N + e], add_h);
    for (int64_t p = threadIdx.x / 32; p < P; p += WARPS) { /* a warp for each row */
        float dot = 0;
        for (int64_t n = threadIdx.x % 32; n < N; n += 32) dot += dy[(i * P + p) * N + n] * k[i * N + n];
        dot = cu_warp_sum(dot);
        if (threadIdx.x % 32) continue;
        all += x[i * P + p] * dot;
        if (dx) cu_give(dx + i * P + p, a[i] * dot, add_x);
    }
    all = cu_block_sum(all, room);
    if (da && threadIdx.x == 0) cu_give(da + i, all, add_a);
    for (int64_t n = threadIdx.x; dk && n < N; n += THREADS) {
        float sum = 0;
        for (int64_t p = 0; p < P; p++) sum += dy[(i * P + p) * N + n] * x[i * P + p];
        cu_give(dk + i * N + n, a[i] * sum, add_k);
    }
}

static void outer_add_fwd_cuda(const kr_call *c) {
    cu_launch(outer_fwd, dim3((unsigned)(KR_SIZE(c, 'S') * KR_SIZE(c, 'H'))), THREADS, 0, c->stream, KR_SIZE(c, 'P'), KR_SIZE(c, 'N'),
              (const float *)c->in[OUTER_ADD_H].data, (const float *)c->in[OUTER_ADD_A].data, (const float *)c->in[OUTER_ADD_X].data,
              (const float *)c->in[OUTER_ADD_K].data, (float *)c->out[OUTER_ADD_Y].data);
}
static void outer_add_bwd_cuda(const kr_call *c) {
    cu_launch(outer_bwd, dim3((unsigned)(KR_SIZE(c, 'S') * KR_SIZE(c, 'H'))), THREADS, 0, c->stream, KR_SIZE(c, 'P'), KR_SIZE(c, 'N'),
              (const float *)c->in[OUTER_ADD_A].data, (const float *)c->in[OUTER_ADD_X].data, (const float *)c->in[OUTER_ADD_K].data,
              (const float *)c->dout[OUTER_ADD_Y].data, (float *)c->din[OUTER_ADD_H].data, (float *)c->din[OUTER_ADD_A].data,
              (float *)c->din[OUTER_ADD_X].data, (float *)c->din[OUTER_ADD_K].data, c->acc[OUTER_ADD_H], c->acc[OUTER_ADD_A], c->acc[OUTER_ADD_X],
              c->acc[OUTER_ADD_K]);
}

KR_CUDA_OP(outer_add, NULL, outer_add_fwd_cuda, outer_add_bwd_cuda)
