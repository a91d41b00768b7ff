/* pool.cu - pool on a GPU: a block has 32 channels of a sequence, and 32 threads share the
 * steps of each. */
#include "ops/pool/pool.h"

#include "ops/rows.cuh"

enum { SHARES = 32 };

typedef struct best { float x; int64_t at; } best; /* the first of the largest; at < 0: none */
static __device__ __forceinline__ best better(best a, best b) {
    return b.at >= 0 && (a.at < 0 || b.x > a.x || (b.x == a.x && b.at < a.at)) ? b : a;
}

static __device__ __forceinline__ int64_t steps_of(const int32_t *len, int64_t s, int64_t L) {
    int64_t n = len ? len[s] : L;
    return n < 0 ? 0 : n < L ? n : L;
}

/* The step of the largest of a channel's n values; all threads of the channel get it. */
template <typename T> static __device__ best largest(const T *x, int64_t pitch, int64_t n, bool there) {
    __shared__ best shares[SHARES][33];
    best b = {0, -1};
    for (int64_t l = threadIdx.y; there && l < n; l += SHARES) {
        best c = {cu_float(x[l * pitch]), l};
        b = better(b, c);
    }
    shares[threadIdx.y][threadIdx.x] = b;
    __syncthreads();
    for (int k = 0; k < SHARES; k++) b = better(b, shares[k][threadIdx.x]);
    return b;
}

template <typename T>
static __global__ void __launch_bounds__(1024) pool_fwd_kernel(int64_t L, int64_t D, int kind, const T *x, int64_t pitch, const int32_t *len, T *y) {
    __shared__ float shares[SHARES][33];
    int64_t s = blockIdx.x, d = blockIdx.y * (int64_t)32 + threadIdx.x, n = steps_of(len, s, L);
    bool there = d < D;
    const T *from = x + s * L * pitch + d;
    float sum = 0;
    if (kind == KR_POOL_MAX) sum = largest(from, pitch, n, there).x;
    else if (kind == KR_POOL_LAST || kind == KR_POOL_FIRST) sum = there && n > 0 ? cu_float(from[(kind == KR_POOL_LAST ? n - 1 : 0) * pitch]) : 0;
    else {
#pragma unroll 4
        for (int64_t l = threadIdx.y; l < n; l += SHARES) sum += there ? cu_float(from[l * pitch]) : 0;
        shares[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        sum = 0;
        for (int k = 0; k < SHARES; k++) sum += shares[k][threadIdx.x];
        if (kind == KR_POOL_MEAN && n > 0) sum /= (float)n;
    }
    if (there && threadIdx.y == 0) y[s * D + d] = cu_as<T>(sum);
}

template <typename T>
static __global__ void __launch_bounds__(1024) pool_bwd_kernel(int64_t L, int64_t D, int kind, const T *x, int64_t pitch, const int32_t *len,
                                                               const T *dy, T *dx, int64_t dx_pitch, bool add) {
    int64_t s = blockIdx.x, d = blockIdx.y * (int64_t)32 + threadIdx.x, n = steps_of(len, s, L), from = 0, to = n;
    bool there = d < D;
    if (kind == KR_POOL_MAX) from = largest(x + s * L * pitch + d, pitch, n, there).at, to = from + 1;
    if (kind == KR_POOL_LAST) from = n - 1;
    if (kind == KR_POOL_FIRST) to = n < 1 ? n : 1;
    if (!there) return;
    float g = cu_float(dy[s * D + d]);
    if (kind == KR_POOL_MEAN && n > 0) g /= (float)n;
    for (int64_t l = threadIdx.y; l < L; l += SHARES) {
        bool mine = n > 0 && l >= from && l < to;
        if (mine || !add) cu_give(dx + (s * L + l) * dx_pitch + d, mine ? g : 0.0f, add);
    }
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[POOL_X], *dx = &c->din[POOL_X];
    const int32_t *len = (const int32_t *)c->in[POOL_LEN].data;
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    int kind = (int)((const pool_attr *)c->attr)->kind;
    dim3 grid((unsigned)KR_SIZE(c, 'S'), cu_blocks(D, 32)), block(32, SHARES);
    if (!back)
        cu_launch(pool_fwd_kernel<T>, grid, block, 0, c->stream, L, D, kind, (const T *)x->data, x->pitch, len, (T *)c->out[POOL_Y].data);
    else if (dx->data)
        cu_launch(pool_bwd_kernel<T>, grid, block, 0, c->stream, L, D, kind, (const T *)x->data, x->pitch, len,
                  (const T *)c->dout[POOL_Y].data, (T *)dx->data, dx->pitch, c->acc[POOL_X]);
}

static void pool_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void pool_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(pool, NULL, pool_fwd_cuda, pool_bwd_cuda)
