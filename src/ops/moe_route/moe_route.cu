/* moe_route.cu - moe_route on a GPU: a warp for each row. */
#include "ops/moe_route/moe_route.h"

#include "ops/rows.cuh"

enum { WARPS = 8 };

template <typename T> struct route_work {
    const T *logits;
    const float *bias;
    float *w;
    int32_t *idx;
    int64_t rows, X, pitch;
    int K, gate;
    bool normalise, bias_logits;
    float scale;
    __device__ float logit(int64_t r, int64_t x) const { return cu_float(logits[r * pitch + x]); }
    /* the row's largest logit, and the sum of exp(l - most); the same in every lane */
    __device__ void softmax(int64_t r, float *most, float *sum) const {
        float m = -INFINITY, s = 0;
        for (int64_t x = threadIdx.x; x < X; x += 32) m = fmaxf(m, logit(r, x));
        m = cu_warp_max(m);
        for (int64_t x = threadIdx.x; x < X; x += 32) s += expf(logit(r, x) - m);
        *most = m, *sum = cu_warp_sum(s);
    }
    __device__ float p(float l, float most, float sum) const { return gate == MOE_SIGMOID ? cu_sigmoid(l) : expf(l - most) / sum; }
};

template <typename T> static __global__ void __launch_bounds__(32 * WARPS) route_kernel(route_work<T> a) {
    __shared__ int chosen[WARPS][MOE_ROUTE_MOST];
    int64_t r = blockIdx.x * (int64_t)WARPS + threadIdx.y;
    if (r >= a.rows) return;
    int *idx = chosen[threadIdx.y];
    float most, sum, total = MOE_ROUTE_LEAST;
    a.softmax(r, &most, &sum);
    for (int k = 0; k < a.K; k++) {
        float best = 0;
        int64_t at = INT64_MAX; /* the first of equals; none yet */
        for (int64_t x = threadIdx.x; x < a.X; x += 32) {
            float score = a.logit(r, x);
            bool taken = false;
            for (int j = 0; j < k; j++) taken |= idx[j] == x;
            if (a.bias) score = (a.bias_logits ? score : a.p(score, most, sum)) + a.bias[x];
            if (!taken && (at == INT64_MAX || score > best)) best = score, at = x;
        }
#pragma unroll
        for (int d = 16; d > 0; d /= 2) {
            float score = __shfl_xor_sync(~0u, best, d);
            int64_t x = __shfl_xor_sync(~0u, at, d);
            if (x != INT64_MAX && (at == INT64_MAX || score > best || (!(best > score) && x < at))) best = score, at = x;
        }
        __syncwarp(); /* before: reads of idx may be made early, whole words at once */
        if (threadIdx.x == 0) idx[k] = (int)at;
        __syncwarp();
        total += a.p(a.logit(r, at), most, sum);
    }
    for (int k = (int)threadIdx.x; k < a.K; k += 32) {
        float p = a.p(a.logit(r, idx[k]), most, sum);
        a.w[r * a.K + k] = a.scale * (a.normalise ? p / total : p);
        if (a.idx) a.idx[r * a.K + k] = idx[k];
    }
}

template <typename T>
static __global__ void __launch_bounds__(32 * WARPS) route_back_kernel(route_work<T> a, const float *dw, T *dl, int64_t dl_pitch, bool add) {
    int64_t r = blockIdx.x * (int64_t)WARPS + threadIdx.y;
    if (r >= a.rows) return;
    const int32_t *idx = a.idx + r * a.K;
    float most, sum, total = MOE_ROUTE_LEAST, mean = 0, share = 0;
    a.softmax(r, &most, &sum);
    for (int k = 0; k < a.K; k++) total += a.p(a.logit(r, idx[k]), most, sum);
    for (int k = 0; k < a.K; k++) mean += dw ? dw[r * a.K + k] * a.p(a.logit(r, idx[k]), most, sum) / total : 0;
    for (int k = 0; k < a.K && dw && !a.normalise; k++) share += a.scale * dw[r * a.K + k] * a.p(a.logit(r, idx[k]), most, sum);
    for (int64_t x = threadIdx.x; x < a.X; x += 32) {
        float p = a.p(a.logit(r, x), most, sum), g = 0;
        for (int k = 0; k < a.K && dw; k++)
            if (idx[k] == x) g = a.scale * (a.normalise ? (dw[r * a.K + k] - mean) / total : dw[r * a.K + k]);
        cu_give(dl + r * dl_pitch + x, a.gate == MOE_SIGMOID ? g * p * (1 - p) : p * (g - share), add);
    }
}

template <typename T> static void run(const kr_call *c, bool back) {
    const moe_route_attr *o = (const moe_route_attr *)c->attr;
    const kr_tensor *l = &c->in[MOE_ROUTE_LOGITS], *dl = &c->din[MOE_ROUTE_LOGITS];
    route_work<T> a = {(const T *)l->data, (const float *)c->in[MOE_ROUTE_BIAS].data, (float *)c->out[MOE_ROUTE_W].data,
                       (int32_t *)c->out[MOE_ROUTE_IDX].data, c->rows, KR_SIZE(c, 'X'), l->pitch, (int)o->k, (int)o->gate, o->normalise != 0,
                       o->bias_logits != 0, (float)o->scale};
    dim3 block(32, WARPS);
    unsigned grid = cu_blocks(c->rows, WARPS);
    if (!back) cu_launch(route_kernel<T>, grid, block, 0, c->stream, a);
    else if (dl->data)
        cu_launch(route_back_kernel<T>, grid, block, 0, c->stream, a, (const float *)c->dout[MOE_ROUTE_W].data, (T *)dl->data, dl->pitch,
                  c->acc[MOE_ROUTE_LOGITS]);
}
static void moe_route_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void moe_route_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(moe_route, NULL, moe_route_fwd_cuda, moe_route_bwd_cuda)
