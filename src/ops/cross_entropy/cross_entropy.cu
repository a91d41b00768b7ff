/* cross_entropy.cu - the output head and its loss on a GPU.
 *
 * Logits exist a slab of tokens at a time, in float32: rounded to bfloat16, a logit of 100 is
 * off by up to a quarter, and its probability by as much.  One product writes them; a kernel,
 * a block a token, finds lse and turns the row in place into gradients; two products read those.
 *
 * The gradient of the loss is known in forward but for a factor.  So in training all this is
 * forward's work, logits are made once, and backward scales what forward saved.  Where nll or
 * lse have gradients of their own, backward makes the logits again. */
#include "ops/cross_entropy/cross_entropy.h"

#include <limits.h>

#include "cuda/blas.cuh"
#include "ops/rows.cuh"

enum {
    SLAB_BYTES = 820 << 20,                    /* 4224 tokens of 50288: whole waves of tiles for products of width 768 and 1024 */
    THREADS = 1024, BLOCKS = 1, AHEAD = 4,     /* BLOCKS at once, so that their rows stay in the cache; AHEAD: loads under way */
    STRIDE = THREADS * 4
};

/* Slabs: their rows hang on V alone. */
static int64_t logit_pitch(const kr_call *c) { return (KR_SIZE(c, 'V') + 7) / 8 * 8; }
static int64_t slab_rows(const kr_call *c) {
    int64_t n = SLAB_BYTES / (logit_pitch(c) * (int64_t)sizeof(float)) / 128 * 128;
    n = n < 128 ? 128 : n > 16384 ? 16384 : n;
    return n < c->rows ? n : c->rows;
}

static size_t padded(size_t bytes) { return (bytes + 255) / 256 * 256; }

/* Scratch: workspace of the products, W in the type of activations, the slab. */
typedef struct room { size_t workspace, weight, slab, total; } room;
static room room_for(const kr_call *c) {
    int64_t V = KR_SIZE(c, 'V'), K = KR_SIZE(c, 'K');
    size_t at = kr_blas_workspace(slab_rows(c), V, K);
    room r = {};
    r.weight = at, at += c->in[CROSS_ENTROPY_W].dtype == c->real ? 0 : padded((size_t)(V * K) * kr_dtype_bytes(c->real));
    r.slab = at, at += padded((size_t)(slab_rows(c) * logit_pitch(c)) * sizeof(float));
    r.total = at;
    return r;
}

/* Saved: lse and nll of every token, how many are scored; dx and dW of a loss whose gradient is 1. */
typedef struct kept { float *lse, *nll, *scored, *dx, *dw; } kept;
static size_t lse_bytes(const kr_call *c) { return padded((size_t)(2 * c->rows + 1) * sizeof(float)); }
static size_t dx_bytes(const kr_call *c) { return padded((size_t)(c->rows * KR_SIZE(c, 'K')) * sizeof(float)); }
static size_t dw_bytes(const kr_call *c) { return padded((size_t)(KR_SIZE(c, 'V') * KR_SIZE(c, 'K')) * sizeof(float)); }
static kept kept_at(const kr_call *c, void *at) {
    float *lse = (float *)at;
    char *dx = (char *)at + lse_bytes(c);
    return {lse, lse + c->rows, lse + 2 * c->rows, (float *)dx, (float *)(dx + dx_bytes(c))};
}

static kr_status cross_entropy_plan_cuda(kr_call *c) {
    c->saved_bytes = lse_bytes(c) + dx_bytes(c) + dw_bytes(c);
    c->fwd_scratch = room_for(c).total + lse_bytes(c);
    c->bwd_scratch = room_for(c).total;
    return KR_OK;
}

/* --- one row of logits ------------------------------------------------------------------------ */

static __device__ __forceinline__ int64_t target_of(const int32_t *targets, int64_t pitch, int64_t r, int64_t columns) {
    int64_t t = targets[r * pitch];
    return t >= 0 && t < columns ? t : -1;
}

typedef struct row_args {
    int64_t first, columns, pitch, t_pitch; /* rows from `first` on lie in the slab */
    float *slab;
    const int32_t *targets;
    float *lse, *nll;
    const float *scored, *dloss, *dnll, *dlse; /* gradients NULL: zero */
    float z_loss;
    bool find_lse, unit, grads;                /* unit: dloss is 1 */
} row_args;

/* max and sum of exp(l - max), of two sets together; a max of -inf has nothing. */
static __device__ __forceinline__ void join(float &max, float &sum, float max2, float sum2) {
    float m = fmaxf(max, max2);
    sum = (max == m ? sum : sum * expf(max - m)) + (max2 == m ? sum2 : sum2 * expf(max2 - m));
    max = m;
}
static __device__ __forceinline__ void join_warp(float &max, float &sum) {
#pragma unroll
    for (int d = 16; d; d /= 2) {
        float max2 = __shfl_xor_sync(~0u, max, d), sum2 = __shfl_xor_sync(~0u, sum, d);
        join(max, sum, max2, sum2);
    }
}

/* 2^x, to two units in the last place; nothing below 2^-126. */
static __device__ __forceinline__ float exp2_of(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
static constexpr float LOG2_E = 1.44269504f;

/* What a thread has of a chunk: AHEAD times 4 columns from `first` on, STRIDE apart. */
typedef struct part { lanes<float, 4> v[AHEAD]; } part;
static __device__ __forceinline__ part load_part(const float *row, int first, int end) {
    part p;
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
        if (first + a * STRIDE < end) p.v[a] = *(const lanes<float, 4> *)(row + first + a * STRIDE);
    return p;
}

/* max and sum go over a part, too; columns from `end` on do not count. */
template <bool WHOLE> static __device__ __forceinline__ void add_part(part p, int first, int end, float &max, float &sum) {
    float m = max;
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (!WHOLE) p.v[a].v[j] = first + a * STRIDE + j < end ? p.v[a].v[j] : -INFINITY;
            m = fmaxf(m, p.v[a].v[j]);
        }
    sum *= exp2_of((max - m) * LOG2_E);
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum += exp2_of((p.v[a].v[j] - m) * LOG2_E);
    max = m;
}

/* All threads get max and sum of exp(l - max). */
static __device__ __forceinline__ void row_sums(const float *row, int columns, float &max, float &sum) {
    __shared__ float maxes[THREADS / 32], sums[THREADS / 32];
    int first = (int)threadIdx.x * 4;
    max = -INFINITY, sum = 0;
    for (; first + (AHEAD - 1) * STRIDE + 4 <= columns; first += AHEAD * STRIDE) add_part<true>(load_part(row, first, INT_MAX), first, 0, max, sum);
    if (first < columns) add_part<false>(load_part(row, first, columns), first, columns, max, sum);
    join_warp(max, sum);
    if (threadIdx.x % 32 == 0) maxes[threadIdx.x / 32] = max, sums[threadIdx.x / 32] = sum;
    __syncthreads();
    bool mine = threadIdx.x % 32 < THREADS / 32;
    max = mine ? maxes[threadIdx.x % 32] : -INFINITY, sum = mine ? sums[threadIdx.x % 32] : 0;
    join_warp(max, sum);
}

/* dl[v] = all softmax(l)[v], in place, where softmax is exp(l - max) / 2^log2_sum; zero in
 * padding.  A T may be smaller than a float: what lies where a chunk is written must have
 * been read by all. */
template <typename T>
static __device__ __forceinline__ void row_grads(float *row, int columns, int pitch, float max, float log2_sum, float all) {
    for (int chunk = 0; chunk < pitch; chunk += AHEAD * STRIDE) {
        int first = chunk + (int)threadIdx.x * 4;
        part p = load_part(row, first, pitch);
        if (sizeof(T) < sizeof(float)) __syncthreads();
        bool whole = chunk + AHEAD * STRIDE <= columns;
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int i = first + a * STRIDE;
            lanes<T, 4> dl;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float d = all * exp2_of(fmaf(p.v[a].v[j] - max, LOG2_E, -log2_sum));
                dl.v[j] = cu_as<T>(whole || i + j < columns ? d : 0);
            }
            if (whole || i < pitch) *(lanes<T, 4> *)((T *)row + i) = dl;
        }
    }
}

template <typename T> static __global__ void __launch_bounds__(THREADS, BLOCKS) row_kernel(row_args a) {
    int64_t r = a.first + blockIdx.x, target = target_of(a.targets, a.t_pitch, r, a.columns);
    float *row = a.slab + blockIdx.x * a.pitch, lse, nll, max, log2_sum = 0;
    if (a.find_lse) {
        float own = target >= 0 ? row[target] : 0, sum;
        row_sums(row, (int)a.columns, max, sum);
        lse = max + logf(sum);
        nll = target >= 0 ? max - own + logf(sum) : 0; /* where the target leads, no digits are lost */
        log2_sum = log2f(sum);
        if (threadIdx.x == 0) a.lse[r] = lse, a.nll[r] = nll;
    } else {
        lse = max = a.lse[r], nll = a.nll[r];
    }
    if (!a.grads) return;
    float share = target >= 0 ? (a.unit ? 1 : a.dloss ? *a.dloss : 0) / *a.scored : 0;
    float dnll = target >= 0 ? share + (a.dnll ? a.dnll[r] : 0) : 0;
    float all = dnll + share * 2 * a.z_loss * lse + (a.dlse ? a.dlse[r] : 0);
    row_grads<T>(row, (int)a.columns, (int)a.pitch, max, log2_sum, all);
    __syncthreads();
    if (threadIdx.x == 0 && target >= 0) ((T *)row)[target] = cu_as<T>(all * expf(-nll) - dnll);
}

/* --- the loss ---------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(1024) count_kernel(int64_t rows, int64_t columns, const int32_t *targets, int64_t t_pitch, float *scored) {
    __shared__ double room[32];
    double n = 0;
    for (int64_t r = threadIdx.x; r < rows; r += 1024) n += target_of(targets, t_pitch, r, columns) >= 0;
    n = cu_block_sum(n, room);
    if (threadIdx.x == 0) *scored = (float)n;
}

/* The mean over scored tokens, by one block; also nll and lse for whoever wants them. */
static __global__ void __launch_bounds__(1024) loss_kernel(int64_t rows, int64_t columns, const int32_t *targets, int64_t t_pitch, kept k,
                                                           double z_loss, float *loss, float *nll, float *lse) {
    __shared__ double room[32];
    double sum = 0;
    for (int64_t r = threadIdx.x; r < rows; r += 1024) {
        bool mine = target_of(targets, t_pitch, r, columns) >= 0;
        if (mine) sum += k.nll[r] + z_loss * k.lse[r] * k.lse[r];
        if (nll) nll[r] = k.nll[r];
        if (lse) lse[r] = k.lse[r];
    }
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) *loss = *k.scored > 0 ? (float)(sum / *k.scored) : 0;
}

/* --- products ------------------------------------------------------------------------------------ */

static const void *weight(const kr_call *c, const room *r) {
    const kr_tensor *W = &c->in[CROSS_ENTROPY_W];
    if (W->dtype == c->real || c->rows == 0) return W->data;
    kr_cuda_cast((char *)c->scratch + r->weight, c->real, W->data, W->dtype, KR_SIZE(c, 'V') * KR_SIZE(c, 'K'), c->stream);
    return (char *)c->scratch + r->weight;
}
static float *slab(const kr_call *c, const room *r) { return (float *)((char *)c->scratch + r->slab); }
static const void *x_row(const kr_call *c, int64_t row) {
    const kr_tensor *x = &c->in[CROSS_ENTROPY_X];
    return (const char *)x->data + (size_t)(row * x->pitch) * kr_dtype_bytes(c->real);
}
static kr_blas product(const kr_call *c) {
    kr_blas g = {};
    g.type = c->real, g.c_type = KR_F32;
    g.plain = KR_SIZE(c, 'K') * (int64_t)kr_dtype_bytes(c->real) % 16 != 0;
    g.workspace = kr_blas_workspace(slab_rows(c), KR_SIZE(c, 'V'), KR_SIZE(c, 'K')) ? c->scratch : NULL;
    return g;
}

/* Rows from `row` on, n of them: logits = x W^T. */
static void make_logits(const kr_call *c, const room *r, const void *W, int64_t row, int64_t n) {
    kr_blas g = product(c);
    g.M = n, g.N = KR_SIZE(c, 'V'), g.K = KR_SIZE(c, 'K');
    g.A = x_row(c, row), g.lda = c->in[CROSS_ENTROPY_X].pitch;
    g.B = W, g.ldb = g.K, g.b_t = true;
    g.C = slab(c, r), g.ldc = logit_pitch(c);
    kr_blas_run(&g, c->stream);
}

/* dx = dl W and dW += dl^T x, for the rows of a slab.  dl lies at the start of each float row. */
typedef struct grads { void *dx; kr_dtype dx_type; int64_t dx_pitch; float *dw; bool add_dx, add_dw; } grads;
static void use_dlogits(const kr_call *c, const room *r, const void *W, int64_t row, int64_t n, const grads *to) {
    int64_t V = KR_SIZE(c, 'V'), K = KR_SIZE(c, 'K'), pitch = logit_pitch(c) * (int64_t)(sizeof(float) / kr_dtype_bytes(c->real));
    if (to->dx) {
        kr_blas g = product(c);
        g.M = n, g.N = K, g.K = V;
        g.A = slab(c, r), g.lda = pitch, g.B = W, g.ldb = K;
        g.C = (char *)to->dx + (size_t)(row * to->dx_pitch) * kr_dtype_bytes(to->dx_type), g.c_type = to->dx_type;
        g.ldc = to->dx_pitch, g.add = to->add_dx;
        kr_blas_run(&g, c->stream);
    }
    if (to->dw) {
        kr_blas g = product(c);
        g.M = V, g.N = K, g.K = n, g.split_k = true;
        g.A = slab(c, r), g.lda = pitch, g.a_t = true;
        g.B = x_row(c, row), g.ldb = c->in[CROSS_ENTROPY_X].pitch;
        g.C = to->dw, g.ldc = K, g.add = row > 0 || to->add_dw;
        kr_blas_run(&g, c->stream);
    }
}

/* Slab by slab: logits, what `a` wants of them, products into `to` (NULL: none). */
template <typename T> static void run(const kr_call *c, row_args a, const grads *to) {
    room r = room_for(c);
    const kr_tensor *t = &c->in[CROSS_ENTROPY_TARGETS];
    const void *W = weight(c, &r);
    a.columns = cross_entropy_columns(c), a.pitch = logit_pitch(c), a.slab = slab(c, &r), a.grads = to != NULL;
    a.targets = (const int32_t *)t->data, a.t_pitch = t->pitch;
    a.z_loss = (float)((const cross_entropy_attr *)c->attr)->z_loss;
    for (int64_t row = 0, step = slab_rows(c); row < c->rows; row += step) {
        int64_t n = c->rows - row < step ? c->rows - row : step;
        make_logits(c, &r, W, row, n);
        a.first = row;
        cu_launch(row_kernel<T>, (unsigned)n, THREADS, 0, c->stream, a);
        if (to) use_dlogits(c, &r, W, row, n, to);
    }
    if (to && to->dw && c->rows == 0 && !to->add_dw) cudaMemsetAsync(to->dw, 0, dw_bytes(c), (cudaStream_t)c->stream);
}

static void cross_entropy_fwd_cuda(const kr_call *c) {
    const kr_tensor *t = &c->in[CROSS_ENTROPY_TARGETS];
    kept k = kept_at(c, c->saved ? c->saved : (char *)c->scratch + room_for(c).total);
    grads to = {k.dx, KR_F32, KR_SIZE(c, 'K'), k.dw, false, false};
    row_args a = {};
    a.lse = k.lse, a.nll = k.nll, a.scored = k.scored, a.find_lse = a.unit = true;
    int64_t columns = cross_entropy_columns(c);
    cu_launch(count_kernel, 1, 1024, 0, c->stream, c->rows, columns, (const int32_t *)t->data, t->pitch, k.scored);
    if (c->real == KR_BF16) run<bf16>(c, a, c->saved ? &to : NULL);
    else run<float>(c, a, c->saved ? &to : NULL);
    cu_launch(loss_kernel, 1, 1024, 0, c->stream, c->rows, columns, (const int32_t *)t->data, t->pitch, k,
              ((const cross_entropy_attr *)c->attr)->z_loss, (float *)c->out[CROSS_ENTROPY_LOSS].data, (float *)c->out[CROSS_ENTROPY_NLL].data,
              (float *)c->out[CROSS_ENTROPY_LSE].data);
}

/* to = or += factor from; factor NULL: zero. */
template <typename T, bool FAST>
static __global__ void __launch_bounds__(256) scale_kernel(T *to, int64_t pitch, const float *from, int64_t rows, int64_t width,
                                                           const float *factor, bool add) {
    int64_t per_row = (width + 3) / 4, n = rows * per_row, step = (int64_t)gridDim.x * 256;
    float f = factor ? *factor : 0;
    for (int64_t k = blockIdx.x * (int64_t)256 + threadIdx.x; k < n; k += step) {
        int64_t r = k / per_row, i = k % per_row * 4;
        int left = width - i < 4 ? (int)(width - i) : 4;
        lanes<float, 4> v = get<4, FAST>(from + r * width + i, left);
        float y[4];
#pragma unroll
        for (int j = 0; j < 4; j++) y[j] = f * v[j];
        put<4, FAST>(to + r * pitch + i, y, add, left);
    }
}
template <typename T> static void scaled(const kr_call *c, const kr_tensor *to, const float *from, int64_t rows, int64_t width, bool add) {
    if (!to->data) return;
    bool fast = width % 4 == 0 && rows_aligned(to->data, to->pitch, sizeof(T), 4);
    unsigned blocks = cu_blocks(rows * ((width + 3) / 4), 256 * 4);
    cu_launch(fast ? scale_kernel<T, true> : scale_kernel<T, false>, blocks, 256, 0, c->stream, (T *)to->data, to->pitch, from, rows, width,
              (const float *)c->dout[CROSS_ENTROPY_LOSS].data, add);
}

static void cross_entropy_bwd_cuda(const kr_call *c) {
    const kr_tensor *dx = &c->din[CROSS_ENTROPY_X], *dW = &c->din[CROSS_ENTROPY_W];
    kept k = kept_at(c, c->saved);
    row_args a = {};
    a.lse = k.lse, a.nll = k.nll, a.scored = k.scored;
    a.dloss = (const float *)c->dout[CROSS_ENTROPY_LOSS].data;
    a.dnll = (const float *)c->dout[CROSS_ENTROPY_NLL].data, a.dlse = (const float *)c->dout[CROSS_ENTROPY_LSE].data;
    if (a.dnll || a.dlse) {
        grads to = {dx->data, c->real, dx->pitch, (float *)dW->data, c->acc[CROSS_ENTROPY_X], c->acc[CROSS_ENTROPY_W]};
        if (c->real == KR_BF16) run<bf16>(c, a, &to);
        else run<float>(c, a, &to);
        return;
    }
    if (c->real == KR_BF16) scaled<bf16>(c, dx, k.dx, c->rows, KR_SIZE(c, 'K'), c->acc[CROSS_ENTROPY_X]);
    else scaled<float>(c, dx, k.dx, c->rows, KR_SIZE(c, 'K'), c->acc[CROSS_ENTROPY_X]);
    kr_tensor dw = *dW;
    dw.pitch = KR_SIZE(c, 'K');
    scaled<float>(c, &dw, k.dw, KR_SIZE(c, 'V'), dw.pitch, c->acc[CROSS_ENTROPY_W]);
}

KR_CUDA_OP(cross_entropy, cross_entropy_plan_cuda, cross_entropy_fwd_cuda, cross_entropy_bwd_cuda)
