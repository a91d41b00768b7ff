/* moe_combine.cu - moe_combine on a GPU: threads over D, a warp for each weight's gradient. */
#include "ops/moe_combine/moe_combine.h"

#include "ops/elements.cuh"

template <typename T> struct combine_work {
    const T *x;
    const float *w;
    T *y;
    int64_t K, D, x_pitch, w_pitch;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        float sum[8] = {};
        for (int64_t k = 0; k < K; k++) {
            lanes<T, 8> v = get<8, FAST>(x + r * x_pitch + k * D + i, left);
            float f = w[r * w_pitch + k];
#pragma unroll
            for (int j = 0; j < 8; j++) sum[j] += f * v[j];
        }
        put<8, FAST>(y + r * D + i, sum, false, left);
    }
};
template <typename T> struct combine_dx { /* row: a pair (r, k) */
    const T *dy;
    const float *w;
    T *dx;
    int64_t K, D, dx_pitch, w_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t pair, int64_t i, int left) const {
        int64_t r = pair / K, k = pair - r * K;
        lanes<T, 8> g = get<8, FAST>(dy + r * D + i, left);
        float to[8], f = w[r * w_pitch + k];
#pragma unroll
        for (int j = 0; j < 8; j++) to[j] = f * g[j];
        put<8, FAST>(dx + r * dx_pitch + k * D + i, to, add, left);
    }
};

template <typename T>
static __global__ void __launch_bounds__(256) combine_dw(int64_t n, int64_t K, int64_t D, const T *x, int64_t x_pitch, const T *dy, float *dw, int64_t dw_pitch, bool add) {
    int64_t pair = blockIdx.x * (int64_t)8 + threadIdx.y, r = pair / K, k = pair - r * K;
    if (pair >= n) return;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < D; i += 32) sum += cu_float(x[r * x_pitch + k * D + i]) * cu_float(dy[r * D + i]);
    sum = cu_warp_sum(sum);
    if (threadIdx.x == 0) cu_give(dw + r * dw_pitch + k, sum, add);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[MOE_COMBINE_X], *w = &c->in[MOE_COMBINE_W], *dx = &c->din[MOE_COMBINE_X], *dw = &c->din[MOE_COMBINE_W];
    const kr_tensor *y = &c->out[MOE_COMBINE_Y], *dy = &c->dout[MOE_COMBINE_Y];
    int64_t K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
    if (!back) {
        combine_work<T> a = {(const T *)x->data, (const float *)w->data, (T *)y->data, K, D, x->pitch, w->pitch};
        elements(c, c->rows, D, D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(y, D), a);
        return;
    }
    combine_dx<T> a = {(const T *)dy->data, (const float *)w->data, (T *)dx->data, K, D, dx->pitch, w->pitch, c->acc[MOE_COMBINE_X]};
    if (dx->data) elements(c, c->rows * K, D, D % 8 == 0 && elements_fast(dx, dx->pitch) && elements_fast(dy, D), a);
    if (dw->data)
        cu_launch(combine_dw<T>, cu_blocks(c->rows * K, 8), dim3(32, 8), 0, c->stream, c->rows * K, K, D, (const T *)x->data, x->pitch, (const T *)dy->data,
                  (float *)dw->data, dw->pitch, c->acc[MOE_COMBINE_W]);
}
static void moe_combine_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void moe_combine_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(moe_combine, NULL, moe_combine_fwd_cuda, moe_combine_bwd_cuda)
