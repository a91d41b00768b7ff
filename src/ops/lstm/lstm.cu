/* lstm.cu - lstm on a GPU: a kernel for each step, since a step needs all of h before it.
 *
 * A block takes UNITS numbers of h of ROWS sequences: forward their four gates' products with h[t-1],
 * backward the product of step t+1's gate gradients with W, then what happens to each number by
 * itself.  h, c, the gates and their gradients are float32 whatever activations are; dW is one
 * product over all steps at the end.  Steps are short, so most of the time is the launches'. */
#include "ops/lstm/lstm.h"

#include "cuda/blas.cuh"
#include "ops/elements.cuh"

enum { ROWS = 32, UNITS = 4, THREADS = 256, DEEP = 64 };

/* What both directions know.  States: [S][H]; saved as lstm.h says. */
typedef struct sizes {
    int64_t S, L, H;
    const int32_t *id;
    int64_t id_pitch;
    __device__ __forceinline__ bool begins(int64_t s, int64_t t) const {
        return id && t > 0 && t < L && id[(s * L + t) * id_pitch] != id[(s * L + t - 1) * id_pitch];
    }
} sizes;

typedef struct room {
    float a[ROWS][DEEP + 1];          /* of h, or of the gates' gradients */
    float w[4 * UNITS][DEEP + 1];
    float sum[4 * UNITS][ROWS + 1];
} room;

/* h_in: before step t, h_out: behind it (two buffers in turn); c is changed in place. */
template <typename T, typename W>
static __global__ void __launch_bounds__(THREADS) step_kernel(sizes v, int64_t t, const T *x, int64_t x_pitch, const W *w, const float *h_in, float *h_out,
                                                              float *cell, T *y, float *saved) {
    __shared__ room r;
    int64_t unit0 = blockIdx.x * (int64_t)UNITS, row0 = blockIdx.y * (int64_t)ROWS, H = v.H;
    int row = threadIdx.x % ROWS, pair = threadIdx.x / ROWS * 2; /* this thread's gates: pair, pair + 1 */
    float sum[2] = {};
    for (int64_t k0 = 0; k0 < H; k0 += DEEP) {
        for (int e = threadIdx.x; e < ROWS * DEEP; e += THREADS) {
            int64_t s = row0 + e / DEEP, k = k0 + e % DEEP;
            r.a[e / DEEP][e % DEEP] = s < v.S && k < H && !v.begins(s, t) ? h_in[s * H + k] : 0;
        }
        for (int e = threadIdx.x; e < 4 * UNITS * DEEP; e += THREADS) { /* row: gate, then unit */
            int64_t j = unit0 + e / DEEP % UNITS, k = k0 + e % DEEP;
            r.w[e / DEEP][e % DEEP] = j < H && k < H ? cu_float(w[(e / DEEP / UNITS * H + j) * H + k]) : 0;
        }
        __syncthreads();
#pragma unroll 16
        for (int k = 0; k < DEEP; k++) {
            sum[0] += r.a[row][k] * r.w[pair][k];
            sum[1] += r.a[row][k] * r.w[pair + 1][k];
        }
        __syncthreads();
    }
    r.sum[pair][row] = sum[0], r.sum[pair + 1][row] = sum[1];
    __syncthreads();
    int unit = threadIdx.x / ROWS;
    int64_t s = row0 + row, j = unit0 + unit;
    if (unit >= UNITS || s >= v.S || j >= H) return;
    const T *in = x + (s * v.L + t) * x_pitch + j;
    float i = cu_sigmoid(cu_float(in[LSTM_I * H]) + r.sum[LSTM_I * UNITS + unit][row]), f = cu_sigmoid(cu_float(in[LSTM_F * H]) + r.sum[LSTM_F * UNITS + unit][row]);
    float g = tanhf(cu_float(in[LSTM_G * H]) + r.sum[LSTM_G * UNITS + unit][row]), o = cu_sigmoid(cu_float(in[LSTM_O * H]) + r.sum[LSTM_O * UNITS + unit][row]);
    bool begins = v.begins(s, t);
    float before = begins ? 0 : cell[s * H + j], after = f * before + i * g, h = o * tanhf(after);
    cell[s * H + j] = after;
    h_out[s * H + j] = h;
    y[(s * v.L + t) * H + j] = cu_as<T>(h);
    if (!saved) return;
    float *keep = saved + (t * v.S + s) * LSTM_SAVED * H + j;
    keep[LSTM_I * H] = i, keep[LSTM_F * H] = f, keep[LSTM_G * H] = g, keep[LSTM_O * H] = o;
    keep[4 * H] = before, keep[5 * H] = begins ? 0 : h_in[s * H + j];
}

/* Step t, backward: dh = dy + (the gates' gradients of step t + 1) W, or what was given behind the last
 * step; then those of step t.  t = -1 only gives dh0 and dc0. */
template <typename T, typename W>
static __global__ void __launch_bounds__(THREADS) back_kernel(sizes v, int64_t t, const W *w, const T *dy, const float *dh_last, float *dc, const float *saved,
                                                              float *dgates, float *hs, float *dh0, bool add_h, float *dc0, bool add_c) {
    __shared__ room r;
    int64_t unit0 = blockIdx.x * (int64_t)UNITS, row0 = blockIdx.y * (int64_t)ROWS, H = v.H, D = 4 * H;
    int row = threadIdx.x % ROWS, unit = threadIdx.x / ROWS % UNITS, half = threadIdx.x / ROWS / UNITS;
    const float *next = dgates + (t + 1) * v.S * D;
    float sum = 0;
    for (int64_t k0 = 0; t + 1 < v.L && k0 < D; k0 += DEEP) {
        for (int e = threadIdx.x; e < ROWS * DEEP; e += THREADS) {
            int64_t s = row0 + e / DEEP, k = k0 + e % DEEP;
            r.a[e / DEEP][e % DEEP] = s < v.S && k < D && !v.begins(s, t + 1) ? next[s * D + k] : 0;
        }
        for (int e = threadIdx.x; e < UNITS * DEEP; e += THREADS) {
            int64_t j = unit0 + e % UNITS, k = k0 + e / UNITS;
            r.w[e % UNITS][e / UNITS] = j < H && k < D ? cu_float(w[k * H + j]) : 0;
        }
        __syncthreads();
#pragma unroll 16
        for (int k = half * (DEEP / 2); k < (half + 1) * (DEEP / 2); k++) sum += r.a[row][k] * r.w[unit][k];
        __syncthreads();
    }
    r.sum[half * UNITS + unit][row] = sum;
    __syncthreads();
    int64_t s = row0 + row, j = unit0 + unit;
    if (half || s >= v.S || j >= H) return;
    float dh = r.sum[unit][row] + r.sum[UNITS + unit][row], dcell = v.begins(s, t + 1) ? 0 : dc[s * H + j];
    if (t + 1 == v.L && dh_last) dh = dh_last[s * H + j];
    if (t < 0) {
        if (dh0) cu_give(dh0 + s * H + j, dh, add_h);
        if (dc0) cu_give(dc0 + s * H + j, dcell, add_c);
        return;
    }
    if (dy) dh += cu_float(dy[(s * v.L + t) * H + j]);
    const float *keep = saved + (t * v.S + s) * LSTM_SAVED * H + j;
    float i = keep[LSTM_I * H], f = keep[LSTM_F * H], g = keep[LSTM_G * H], o = keep[LSTM_O * H], before = keep[4 * H];
    float squashed = tanhf(f * before + i * g), *d = dgates + (t * v.S + s) * D + j;
    dcell += dh * o * (1 - squashed * squashed);
    d[LSTM_I * H] = dcell * g * i * (1 - i);
    d[LSTM_F * H] = dcell * before * f * (1 - f);
    d[LSTM_G * H] = dcell * i * (1 - g * g);
    d[LSTM_O * H] = dh * squashed * o * (1 - o);
    dc[s * H + j] = dcell * f;
    if (hs) hs[(t * v.S + s) * H + j] = keep[5 * H];
}

/* dx from the gates' gradients, which lie step by step. */
template <typename T> static __global__ void give_kernel(int64_t n, int64_t S, int64_t L, int64_t D, const float *dgates, T *dx, int64_t pitch, bool add) {
    int64_t e = blockIdx.x * (int64_t)THREADS + threadIdx.x, r = e / D, s = r / L, t = r % L;
    if (e < n) cu_give(dx + r * pitch + e % D, dgates[(t * S + s) * D + e % D], add);
}

/* Scratch: forward two h and c; backward the gates' gradients, h of each step, dc, the product's room. */
static int64_t states(const kr_call *c) { return (KR_SIZE(c, 'S') * KR_SIZE(c, 'H') + 63) / 64 * 64; }
static kr_status lstm_plan_cuda(kr_call *c) {
    int64_t rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    c->fwd_scratch = (size_t)(3 * states(c)) * sizeof(float);
    c->bwd_scratch = KR_BLAS_WORKSPACE + (size_t)(rows * 5 * H + states(c)) * sizeof(float);
    c->saved_bytes = c->training ? (size_t)(rows * LSTM_SAVED * H) * sizeof(float) : 0;
    return KR_OK;
}

static sizes sizes_of(const kr_call *c) {
    const kr_tensor *id = &c->in[LSTM_SEQ_IDX];
    return {KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), KR_SIZE(c, 'H'), (const int32_t *)id->data, id->pitch};
}
static dim3 grid_of(const sizes &v) { return dim3(cu_blocks(v.H, UNITS), cu_blocks(v.S, ROWS)); }

static void put_state(const kr_call *c, void *to, const void *from) {
    size_t bytes = (size_t)(KR_SIZE(c, 'S') * KR_SIZE(c, 'H')) * sizeof(float);
    if (from) cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, (cudaStream_t)c->stream);
    else cudaMemsetAsync(to, 0, bytes, (cudaStream_t)c->stream);
}

template <typename T, typename W> static void forward(const kr_call *c) {
    sizes v = sizes_of(c);
    float *h[2] = {(float *)c->scratch, (float *)c->scratch + states(c)}, *cell = h[1] + states(c);
    put_state(c, h[0], c->in[LSTM_H0].data);
    put_state(c, cell, c->in[LSTM_C0].data);
    for (int64_t t = 0; t < v.L; t++)
        cu_launch(step_kernel<T, W>, grid_of(v), THREADS, 0, c->stream, v, t, (const T *)c->in[LSTM_X].data, c->in[LSTM_X].pitch, (const W *)c->in[LSTM_W].data,
                  (const float *)h[t % 2], h[(t + 1) % 2], cell, (T *)c->out[LSTM_Y].data, (float *)c->saved);
    if (c->out[LSTM_H].data) put_state(c, c->out[LSTM_H].data, h[v.L % 2]);
    if (c->out[LSTM_C].data) put_state(c, c->out[LSTM_C].data, cell);
}

template <typename T, typename W> static void backward(const kr_call *c) {
    sizes v = sizes_of(c);
    int64_t rows = v.S * v.L, D = 4 * v.H;
    float *dgates = (float *)((char *)c->scratch + KR_BLAS_WORKSPACE), *hs = dgates + rows * D, *dc = hs + rows * v.H;
    const kr_tensor *dx = &c->din[LSTM_X], *dW = &c->din[LSTM_W];
    float *dh0 = (float *)c->din[LSTM_H0].data, *dc0 = (float *)c->din[LSTM_C0].data;
    put_state(c, dc, c->dout[LSTM_C].data);
    for (int64_t t = v.L - 1; t >= (dh0 || dc0 ? -1 : 0); t--)
        cu_launch(back_kernel<T, W>, grid_of(v), THREADS, 0, c->stream, v, t, (const W *)c->in[LSTM_W].data, (const T *)c->dout[LSTM_Y].data,
                  (const float *)c->dout[LSTM_H].data, dc, (const float *)c->saved, dgates, dW->data ? hs : (float *)NULL, dh0, c->acc[LSTM_H0], dc0, c->acc[LSTM_C0]);
    if (dx->data)
        cu_launch(give_kernel<T>, cu_blocks(rows * D, THREADS), THREADS, 0, c->stream, rows * D, v.S, v.L, D, (const float *)dgates, (T *)dx->data, dx->pitch,
                  c->acc[LSTM_X]);
    if (!dW->data) return;
    kr_blas g = {};
    g.type = g.c_type = KR_F32;
    g.M = D, g.N = v.H, g.K = rows, g.split_k = true;
    g.plain = v.H % 4 != 0;
    g.A = dgates, g.lda = D, g.a_t = true;
    g.B = hs, g.ldb = v.H;
    g.C = dW->data, g.ldc = v.H, g.add = c->acc[LSTM_W];
    g.workspace = kr_blas_workspace(g.M, g.N, g.K) ? c->scratch : NULL;
    kr_blas_run(&g, c->stream);
}

static void lstm_fwd_cuda(const kr_call *c) {
    bool low = c->in[LSTM_W].dtype == KR_BF16;
    if (c->real == KR_BF16) low ? forward<bf16, bf16>(c) : forward<bf16, float>(c);
    else low ? forward<float, bf16>(c) : forward<float, float>(c);
}
static void lstm_bwd_cuda(const kr_call *c) {
    bool low = c->in[LSTM_W].dtype == KR_BF16;
    if (c->real == KR_BF16) low ? backward<bf16, bf16>(c) : backward<bf16, float>(c);
    else low ? backward<float, bf16>(c) : backward<float, float>(c);
}

KR_CUDA_OP(lstm, lstm_plan_cuda, lstm_fwd_cuda, lstm_bwd_cuda)
