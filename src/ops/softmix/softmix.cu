/* softmix.cu - softmix on a GPU: threads over E for what is as long as x, a block for each
 * candidate's score. */
#include "ops/softmix/softmix.h"

#include "ops/rows.cuh"

enum { THREADS = 256, MOST = 64 };

/* p = softmax of a row of scores, in shared memory; every thread calls it. */
template <typename T> static __device__ void softmax(const T *a, int K, float *p) {
    if (threadIdx.x < 32) {
        float most = -INFINITY, sum = 0;
        for (int k = 0; k < K; k++) most = fmaxf(most, cu_float(a[k]));
        for (int k = 0; k < K; k++) sum += expf(cu_float(a[k]) - most);
        for (int k = threadIdx.x; k < K; k += 32) p[k] = expf(cu_float(a[k]) - most) / sum;
    }
    __syncthreads();
}

template <typename T>
static __global__ void mix(int K, int64_t E, const T *x, int64_t x_pitch, const T *a, int64_t a_pitch, T *y) {
    __shared__ float p[MOST];
    int64_t tiles = (E + THREADS - 1) / THREADS, s = blockIdx.x / tiles, e = blockIdx.x % tiles * THREADS + threadIdx.x;
    softmax(a + s * a_pitch, K, p);
    if (e >= E) return;
    float sum = 0;
    for (int k = 0; k < K; k++) sum += p[k] * cu_float(x[s * x_pitch + k * E + e]);
    y[s * E + e] = cu_as<T>(sum);
}

template <typename T>
static __global__ void mix_dx(int K, int64_t E, const T *a, int64_t a_pitch, const T *dy, T *dx, int64_t dx_pitch, bool add) {
    __shared__ float p[MOST];
    int64_t tiles = (E + THREADS - 1) / THREADS, s = blockIdx.x / tiles, e = blockIdx.x % tiles * THREADS + threadIdx.x;
    softmax(a + s * a_pitch, K, p);
    if (e >= E) return;
    float g = cu_float(dy[s * E + e]);
    for (int k = 0; k < K; k++) cu_give(dx + s * dx_pitch + k * E + e, p[k] * g, add);
}

/* g[s, k] = dy[s] . x[s, k] */
template <typename T> static __global__ void __launch_bounds__(THREADS) mix_dot(int K, int64_t E, const T *x, int64_t x_pitch, const T *dy, float *g) {
    __shared__ float room[32];
    int64_t s = blockIdx.x / K, k = blockIdx.x % K;
    float sum = 0;
    for (int64_t e = threadIdx.x; e < E; e += THREADS) sum += cu_float(x[s * x_pitch + k * E + e]) * cu_float(dy[s * E + e]);
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) g[s * K + k] = sum;
}

template <typename T> static __global__ void mix_da(int K, const T *a, int64_t a_pitch, const float *g, T *da, int64_t da_pitch, bool add) {
    __shared__ float p[MOST];
    int64_t s = blockIdx.x;
    softmax(a + s * a_pitch, K, p);
    float mean = 0;
    for (int k = 0; k < K; k++) mean += p[k] * g[s * K + k];
    for (int k = threadIdx.x; k < K; k += 32) cu_give(da + s * da_pitch + k, p[k] * (g[s * K + k] - mean), add);
}

static kr_status softmix_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(c->rows * KR_SIZE(c, 'K')) * sizeof(float);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[SOFTMIX_X], *a = &c->in[SOFTMIX_A], *dx = &c->din[SOFTMIX_X], *da = &c->din[SOFTMIX_A];
    int64_t E = KR_SIZE(c, 'E');
    unsigned S = (unsigned)c->rows;
    int K = (int)KR_SIZE(c, 'K');
    dim3 grid(S * cu_blocks(E, THREADS));
    const T *dy = (const T *)c->dout[SOFTMIX_Y].data;
    if (!back) {
        cu_launch(mix<T>, grid, THREADS, 0, c->stream, K, E, (const T *)x->data, x->pitch, (const T *)a->data, a->pitch, (T *)c->out[SOFTMIX_Y].data);
        return;
    }
    if (dx->data) cu_launch(mix_dx<T>, grid, THREADS, 0, c->stream, K, E, (const T *)a->data, a->pitch, dy, (T *)dx->data, dx->pitch, c->acc[SOFTMIX_X]);
    if (!da->data) return;
    cu_launch(mix_dot<T>, dim3(S * (unsigned)K), THREADS, 0, c->stream, K, E, (const T *)x->data, x->pitch, dy, (float *)c->scratch);
    cu_launch(mix_da<T>, dim3(S), 32, 0, c->stream, K, (const T *)a->data, a->pitch, (const float *)c->scratch, (T *)da->data, da->pitch,
              c->acc[SOFTMIX_A]);
}

static void softmix_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void softmix_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(softmix, softmix_plan_cuda, softmix_fwd_cuda, softmix_bwd_cuda)
