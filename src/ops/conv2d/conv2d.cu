/* conv2d.cu - conv2d on a GPU: a thread makes 8 channels of a cell.  dw and db are summed within
 * at most PARTS blocks of windows, each by one block of threads, and the blocks then in order. */
#include "ops/conv2d/conv2d.h"

#include "ops/elements.cuh"

enum { PARTS = 64 };

template <typename T> struct conv2d_fwd_work {
    const T *x;
    const float *w, *b;
    T *y;
    conv2d_grid g;
    int64_t D, K, x_pitch;
    template <bool FAST> __device__ void run(int64_t r, int64_t d, int left) const {
        int64_t j = r % g.oW, i = r / g.oW % g.oH, s = r / (g.oW * g.oH);
        float sum[8];
#pragma unroll
        for (int n = 0; n < 8; n++) sum[n] = b && n < left ? b[d + n] : 0;
        for (int64_t u = 0; u < g.side; u++) {
            int64_t h = i * g.stride + u - g.pad;
            if (h < 0 || h >= g.H) continue;
            for (int64_t v = 0; v < g.side; v++) {
                int64_t q = j * g.stride + v - g.pad;
                if (q < 0 || q >= g.W) continue;
                lanes<T, 8> a = get<8, FAST>(x + ((s * g.H + h) * g.W + q) * x_pitch + d, left);
#pragma unroll
                for (int n = 0; n < 8; n++)
                    if (n < left) sum[n] += w[(d + n) * K + u * g.side + v] * a[n];
            }
        }
        put<8, FAST>(y + r * D + d, sum, false, left);
    }
};

template <typename T> struct conv2d_dx_work {
    const T *dy;
    const float *w;
    T *dx;
    conv2d_grid g;
    int64_t D, K, dx_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t d, int left) const {
        int64_t q = r % g.W, h = r / g.W % g.H, s = r / (g.W * g.H);
        float sum[8] = {};
        for (int64_t u = 0; u < g.side; u++) {
            int64_t i = h + g.pad - u;
            if (i < 0 || i % g.stride || i / g.stride >= g.oH) continue;
            for (int64_t v = 0; v < g.side; v++) {
                int64_t j = q + g.pad - v;
                if (j < 0 || j % g.stride || j / g.stride >= g.oW) continue;
                lanes<T, 8> a = get<8, FAST>(dy + ((s * g.oH + i / g.stride) * g.oW + j / g.stride) * D + d, left);
#pragma unroll
                for (int n = 0; n < 8; n++)
                    if (n < left) sum[n] += w[(d + n) * K + u * g.side + v] * a[n];
            }
        }
        put<8, FAST>(dx + r * dx_pitch + d, sum, add, left);
    }
};

/* part[block][tap][d]; tap K is db.  32 channels by 8 rows of windows at a time. */
template <typename T>
static __global__ void __launch_bounds__(256) conv2d_dw_kernel(conv2d_grid g, int64_t D, int64_t K, const T *x, int64_t x_pitch, const T *dy, float *part) {
    __shared__ float share[8][32];
    int64_t d = blockIdx.x * (int64_t)32 + threadIdx.x, k = blockIdx.y, rows = g.n * g.oH * g.oW;
    int64_t each = (rows + gridDim.z - 1) / gridDim.z, from = blockIdx.z * each, to = from + each < rows ? from + each : rows;
    float sum = 0;
    for (int64_t r = from + threadIdx.y; d < D && r < to; r += 8) {
        int64_t j = r % g.oW, i = r / g.oW % g.oH, s = r / (g.oW * g.oH);
        int64_t h = i * g.stride + k / g.side - g.pad, q = j * g.stride + k % g.side - g.pad;
        if (k == K) sum += cu_float(dy[r * D + d]);
        else if (h >= 0 && h < g.H && q >= 0 && q < g.W) sum += cu_float(dy[r * D + d]) * cu_float(x[((s * g.H + h) * g.W + q) * x_pitch + d]);
    }
    share[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || d >= D) return;
    for (int n = 1; n < 8; n++) sum += share[n][threadIdx.x];
    part[(blockIdx.z * (K + 1) + k) * D + d] = sum;
}
static __global__ void conv2d_dw_sum_kernel(int64_t D, int64_t K, int n_parts, const float *part, float *dw, bool add_w, float *db, bool add_b) {
    int64_t e = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, k = e / D, d = e % D;
    if (k > K) return;
    float *to = k < K ? dw ? dw + d * K + k : NULL : db ? db + d : NULL, sum = 0;
    if (!to) return;
    for (int p = 0; p < n_parts; p++) sum += part[(p * (K + 1) + k) * D + d];
    cu_give(to, sum, k < K ? add_w : add_b);
}

static int parts_of(const kr_call *c) { return (int)row_blocks(KR_SIZE(c, 'S') * KR_SIZE(c, 'J'), 256, PARTS); }

static kr_status conv2d_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(parts_of(c) * (KR_SIZE(c, 'K') + 1) * KR_SIZE(c, 'D')) * sizeof(float);
    return KR_OK;
}

template <typename T> static void fwd(const kr_call *c) {
    const kr_tensor *x = &c->in[CONV2D_X], *y = &c->out[CONV2D_Y];
    int64_t D = KR_SIZE(c, 'D');
    conv2d_grid g = conv2d_grid_of(c);
    conv2d_fwd_work<T> w = {(const T *)x->data, (const float *)c->in[CONV2D_W].data, (const float *)c->in[CONV2D_B].data, (T *)y->data, g, D, KR_SIZE(c, 'K'), x->pitch};
    elements(c, g.n * g.oH * g.oW, D, D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(y, D), w);
}
template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *x = &c->in[CONV2D_X], *dx = &c->din[CONV2D_X], *dy = &c->dout[CONV2D_Y];
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    conv2d_grid g = conv2d_grid_of(c);
    float *dw = (float *)c->din[CONV2D_W].data, *db = (float *)c->din[CONV2D_B].data, *part = (float *)c->scratch;
    if (dx->data) {
        conv2d_dx_work<T> w = {(const T *)dy->data, (const float *)c->in[CONV2D_W].data, (T *)dx->data, g, D, K, dx->pitch, c->acc[CONV2D_X]};
        elements(c, g.n * g.H * g.W, D, D % 8 == 0 && elements_fast(dx, dx->pitch) && elements_fast(dy, D), w);
    }
    if (!dw && !db) return;
    dim3 grid(cu_blocks(D, 32), (unsigned)(K + 1), (unsigned)parts_of(c));
    cu_launch(conv2d_dw_kernel<T>, grid, dim3(32, 8), 0, c->stream, g, D, K, (const T *)x->data, x->pitch, (const T *)dy->data, part);
    cu_launch(conv2d_dw_sum_kernel, cu_blocks(D * (K + 1), 256), 256, 0, c->stream, D, K, parts_of(c), part, dw, c->acc[CONV2D_W], db, c->acc[CONV2D_B]);
}

static void conv2d_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void conv2d_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(conv2d, conv2d_plan_cuda, conv2d_fwd_cuda, conv2d_bwd_cuda)
