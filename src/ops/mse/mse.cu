/* mse.cu - mse on a GPU: shares of a fixed number of blocks, then one block for their sum. */
#include "ops/mse/mse.h"

#include "ops/elements.cuh"

enum { BLOCKS = 256 };

template <typename T>
static __global__ void __launch_bounds__(256) mse_kernel(int64_t n, int64_t D, const T *x, int64_t x_pitch, const float *t, int64_t t_pitch,
                                                         double *part) {
    __shared__ double room[32];
    double sum = 0;
    for (int64_t e = blockIdx.x * (int64_t)256 + threadIdx.x; e < n; e += BLOCKS * 256) {
        int64_t r = e / D, i = e - r * D;
        double d = (double)cu_float(x[r * x_pitch + i]) - (double)t[r * t_pitch + i];
        sum += d * d;
    }
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}
static __global__ void __launch_bounds__(BLOCKS) mse_sum_kernel(int64_t n, const double *part, float *loss) {
    __shared__ double room[32];
    double sum = cu_block_sum(part[threadIdx.x], room);
    if (threadIdx.x == 0) *loss = n ? (float)(sum / (double)n) : 0;
}

/* to = or += sign 2 dloss / n (x - t) */
template <typename T, typename To> struct mse_back {
    const T *x;
    const float *t, *dloss;
    To *to;
    int64_t x_pitch, t_pitch, to_pitch;
    float factor;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> u = get<8, FAST>(x + r * x_pitch + i, left);
        lanes<float, 8> v = get<8, FAST>(t + r * t_pitch + i, left);
        float g[8], k = factor * *dloss;
#pragma unroll
        for (int j = 0; j < 8; j++) g[j] = k * (u[j] - v.v[j]);
        put<8, FAST>(to + r * to_pitch + i, g, add, left);
    }
};

static kr_status mse_plan_cuda(kr_call *c) {
    c->bwd_scratch = c->saved_bytes = 0;
    c->fwd_scratch = BLOCKS * sizeof(double);
    return KR_OK;
}

template <typename T> static void fwd(const kr_call *c) {
    const kr_tensor *x = &c->in[MSE_X], *t = &c->in[MSE_TARGET];
    int64_t D = KR_SIZE(c, 'D'), n = c->rows * D;
    cu_launch(mse_kernel<T>, BLOCKS, 256, 0, c->stream, n, D, (const T *)x->data, x->pitch, (const float *)t->data, t->pitch, (double *)c->scratch);
    cu_launch(mse_sum_kernel, 1, BLOCKS, 0, c->stream, n, (const double *)c->scratch, (float *)c->out[MSE_LOSS].data);
}
template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *x = &c->in[MSE_X], *t = &c->in[MSE_TARGET], *dx = &c->din[MSE_X], *dt = &c->din[MSE_TARGET];
    const float *dloss = (const float *)c->dout[MSE_LOSS].data;
    int64_t D = KR_SIZE(c, 'D');
    float factor = 2.0f / (float)(c->rows * D);
    mse_back<T, T> to_x = {(const T *)x->data, (const float *)t->data, dloss, (T *)dx->data, x->pitch, t->pitch, dx->pitch, factor, c->acc[MSE_X]};
    mse_back<T, float> to_t = {(const T *)x->data, (const float *)t->data, dloss, (float *)dt->data, x->pitch, t->pitch, dt->pitch, -factor,
                               c->acc[MSE_TARGET]};
    bool fast = D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(t, t->pitch);
    if (dx->data) elements(c, c->rows, D, fast && elements_fast(dx, dx->pitch), to_x);
    if (dt->data) elements(c, c->rows, D, fast && elements_fast(dt, dt->pitch), to_t);
}

static void mse_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void mse_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(mse, mse_plan_cuda, mse_fwd_cuda, mse_bwd_cuda)
