/* linear.cu - linear on a GPU: three products by cuda/blas.cuh, and a sum over rows for db. */
#include "ops/linear/linear.h"

#include "cuda/blas.cuh"
#include "ops/rows.cuh"

enum { DB_BLOCKS = 64 }; /* shares of the rows in db, at most */

/* Scratch: the products' workspace, a bias and W in the type of activations, shares of db. */
typedef struct room { size_t workspace, bias, weight, shares, total; } room;
static room room_for(const kr_call *c, bool back) {
    int64_t M = c->rows, N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    size_t elem = kr_dtype_bytes(c->real), at = kr_blas_workspace(M, N, K);
    room r = {};
    bool cast_w = c->in[LINEAR_W].dtype != c->real;
    r.bias = at, at += ((size_t)N * elem + 255) / 256 * 256;
    r.weight = at, at += cast_w ? ((size_t)(N * K) * elem + 255) / 256 * 256 : 0;
    r.shares = at, at += back ? (size_t)(DB_BLOCKS * N) * sizeof(float) : 0;
    r.total = at;
    return r;
}
static kr_status linear_plan_cuda(kr_call *c) {
    c->saved_bytes = 0;
    c->fwd_scratch = room_for(c, false).total;
    c->bwd_scratch = room_for(c, true).total;
    return KR_OK;
}

/* W in the type of activations. */
static const void *weight(const kr_call *c, const room *r) {
    const kr_tensor *W = &c->in[LINEAR_W];
    if (W->dtype == c->real) return W->data;
    kr_cuda_cast((char *)c->scratch + r->weight, c->real, W->data, W->dtype, KR_SIZE(c, 'N') * KR_SIZE(c, 'K'), c->stream);
    return (char *)c->scratch + r->weight;
}

static kr_blas product(const kr_call *c) {
    kr_blas g = {};
    g.type = g.c_type = c->real;
    g.workspace = kr_blas_workspace(c->rows, KR_SIZE(c, 'N'), KR_SIZE(c, 'K')) ? c->scratch : NULL;
    return g;
}

static void linear_fwd_cuda(const kr_call *c) {
    const kr_tensor *x = &c->in[LINEAR_X];
    room r = room_for(c, false);
    kr_blas g = product(c);
    g.M = c->rows, g.N = KR_SIZE(c, 'N'), g.K = KR_SIZE(c, 'K');
    g.A = x->data, g.lda = x->pitch;
    g.B = weight(c, &r), g.ldb = g.K, g.b_t = true;
    g.C = c->out[LINEAR_Y].data, g.ldc = g.N;
    g.bias = (const float *)c->in[LINEAR_B].data, g.bias_room = (char *)c->scratch + r.bias;
    kr_blas_run(&g, c->stream);
}

/* part[block][n]: columns of dy summed over every gridDim.y-th group of 8 rows. */
template <typename T, bool FAST>
static __global__ void __launch_bounds__(256) db_kernel(int64_t rows, int64_t N, const T *dy, float *part) {
    __shared__ float share[8][32][4];
    int64_t col = (blockIdx.x * (int64_t)32 + threadIdx.x) * 4;
    int left = N - col > 4 ? 4 : (int)(N - col);
    float sum[4] = {};
    for (int64_t r = blockIdx.y * 8 + threadIdx.y; r < rows; r += gridDim.y * 8) {
        lanes<T, 4> v = get<4, FAST>(dy + r * N + col, left);
#pragma unroll
        for (int i = 0; i < 4; i++) sum[i] += v[i];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) share[threadIdx.y][threadIdx.x][i] = sum[i];
    __syncthreads();
    int t = (int)(threadIdx.y * 32 + threadIdx.x);
    if (t >= 128 || blockIdx.x * (int64_t)128 + t >= N) return;
    float v = 0;
    for (int n = 0; n < 8; n++) v += share[n][t / 4][t % 4];
    part[blockIdx.y * N + blockIdx.x * (int64_t)128 + t] = v;
}
template <typename T> static void run_db(const kr_call *c, float *part) {
    int64_t N = KR_SIZE(c, 'N'), blocks = row_blocks(c->rows, 64, DB_BLOCKS);
    const T *dy = (const T *)c->dout[LINEAR_Y].data;
    dim3 grid(cu_blocks(N, 128), (unsigned)blocks), block(32, 8);
    bool fast = N % 4 == 0 && rows_aligned(dy, N, sizeof(T), 4);
    cu_launch(fast ? db_kernel<T, true> : db_kernel<T, false>, grid, block, 0, c->stream, c->rows, N, dy, part);
    sum_parts(c, (float *)c->din[LINEAR_B].data, c->acc[LINEAR_B], part, blocks, N, N);
}

static void linear_bwd_cuda(const kr_call *c) {
    const kr_tensor *x = &c->in[LINEAR_X], *dx = &c->din[LINEAR_X], *dW = &c->din[LINEAR_W];
    int64_t M = c->rows, N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    room r = room_for(c, true);
    kr_blas g = product(c);
    if (dx->data) {
        g.M = M, g.N = K, g.K = N;
        g.A = c->dout[LINEAR_Y].data, g.lda = N;
        g.B = weight(c, &r), g.ldb = K;
        g.C = dx->data, g.ldc = dx->pitch, g.add = c->acc[LINEAR_X];
        kr_blas_run(&g, c->stream);
    }
    if (dW->data) {
        g = product(c);
        g.M = N, g.N = K, g.K = M, g.split_k = true;
        g.A = c->dout[LINEAR_Y].data, g.lda = N, g.a_t = true;
        g.B = x->data, g.ldb = x->pitch;
        g.C = dW->data, g.c_type = KR_F32, g.ldc = K, g.add = c->acc[LINEAR_W];
        kr_blas_run(&g, c->stream);
    }
    if (!c->din[LINEAR_B].data) return;
    float *part = (float *)((char *)c->scratch + r.shares);
    if (c->real == KR_BF16) run_db<bf16>(c, part);
    else run_db<float>(c, part);
}

KR_CUDA_OP(linear, linear_plan_cuda, linear_fwd_cuda, linear_bwd_cuda)
