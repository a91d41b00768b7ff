/* cross_entropy.cu - the output head and its loss on a GPU.
 *
 * Logits exist a slab of tokens at a time, in float32: rounded to bfloat16, a logit of 100 is
 * off by up to a quarter, and its probability by as much.  One product writes them; a kernel,
 * a block a token at a time, finds lse and turns the row in place into gradients; two products
 * read those.
 *
 * The gradient of the loss is known in forward but for a factor.  So in training all this is
 * forward's work, logits are made once, and backward scales what forward saved: by 1 / tokens,
 * too, so that the -1 of a target is not rounded.  Where nll or lse have gradients of their own,
 * backward makes the logits again, and bfloat16 gradients of them in two parts. */
#include "ops/cross_entropy/cross_entropy.h"

#include "cuda/blas.cuh"
#include "ops/rows.cuh"

enum {
    SLAB_BYTES = 820 << 20,                    /* 4224 tokens of 50288: whole waves of tiles for products of width 768 and 1024 */
    THREADS = 1024, STRIDE = THREADS * 4,      /* of the rows' kernel; a chunk of columns */
    TURNS = 4                                  /* parts of a row that are waited for one by one */
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
    int64_t first, rows, columns, pitch, t_pitch; /* rows from `first` on lie in the slab */
    int kept;                                  /* chunks of a row that shared memory has room for */
    float *slab;
    const int32_t *targets;
    float *lse, *nll;
    const float *scored, *dloss, *dnll, *dlse; /* gradients NULL: zero */
    float z_loss;
    bool find_lse, unit, grads;                /* unit: dloss is the number of scored tokens */
    bool split;                                /* gradients in two parts, the second a pitch behind the first */
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

/* Chunks [from, to) of a row on their way to shared memory, where a thread reads only what it fetched itself. */
static __device__ __forceinline__ void fetch_chunks(lanes<float, 4> *kept, const row_args &a, int64_t row, int from, int to) {
    const float *at = a.slab + row * a.pitch + threadIdx.x * 4;
    for (int k = from; k < to && row < a.rows; k++)
        if (k * STRIDE + (int)threadIdx.x * 4 < (int)a.pitch) fetch<4>(kept + k * THREADS + threadIdx.x, at + k * STRIDE);
    fetch_commit();
}

/* max and sum go over the columns of a chunk, too; those from `end` on do not count. */
static __device__ __forceinline__ void add_chunk(const lanes<float, 4> &l, int first, int end, float &max, float &sum) {
    float m = -INFINITY;
    const bool whole = first + 4 <= end;
#pragma unroll
    for (int j = 0; j < 4; j++) m = fmaxf(m, whole || first + j < end ? l.v[j] : -INFINITY);
    if (m > max) sum *= exp2_of((max - m) * LOG2_E), max = m;
#pragma unroll
    for (int j = 0; j < 4; j++) sum += whole || first + j < end ? exp2_of((l.v[j] - max) * LOG2_E) : 0;
}

/* Over the block: all threads get max and sum. */
static __device__ __forceinline__ void join_block(float &max, float &sum, float *maxes, float *sums) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    join_warp(max, sum);
    if (lane == 0) maxes[warp] = max, sums[warp] = sum;
    __syncthreads();
    max = maxes[lane], sum = sums[lane];
    join_warp(max, sum);
}
static_assert(THREADS == 32 * 32, "a warp holds what the warps found");

/* Four gradients from column i on, zero in padding; `split`: and what is lost by rounding them. */
template <typename T>
static __device__ __forceinline__ void give_grads(T *to, int64_t pitch, int i, const float (&d)[4], bool split) {
    lanes<T, 4> hi, lo;
#pragma unroll
    for (int j = 0; j < 4; j++) hi.v[j] = cu_as<T>(d[j]), lo.v[j] = cu_as<T>(d[j] - cu_float(hi.v[j]));
    *(lanes<T, 4> *)(to + i) = hi;
    if (split) *(lanes<T, 4> *)(to + pitch + i) = lo;
}

/* A block walks rows.  A row lies in shared memory (what has room there) from its first pass to
 * its second: maximum and sum of exponentials, then  all softmax(l) - dnll [target]  over the logits.
 * What the second has used makes way for the next row.  A T may be smaller than a float: what
 * lies where a chunk is written has been read by all. */
template <typename T> static __global__ void __launch_bounds__(THREADS, 1) row_kernel(const row_args a) {
    extern __shared__ __align__(16) lanes<float, 4> kept[];
    __shared__ float maxes[2][32], sums[2][32], targets_own[2];
    const int columns = (int)a.columns, pitch = (int)a.pitch, chunks = (pitch + STRIDE - 1) / STRIDE, mine = (int)threadIdx.x * 4;
    const int n_kept = chunks < a.kept ? chunks : a.kept, each = (n_kept + TURNS - 1) / TURNS;
    for (int turn = 0; turn < TURNS; turn++) fetch_chunks(kept, a, blockIdx.x, turn * each, min(n_kept, (turn + 1) * each));
    for (int64_t row = blockIdx.x, n = 0; row < a.rows; row += gridDim.x, n ^= 1) {
        const int64_t r = a.first + row, target = target_of(a.targets, a.t_pitch, r, a.columns);
        const bool owner = target >= 0 && (int)(target / 4) % THREADS == (int)threadIdx.x;
        float *logits = a.slab + row * a.pitch, max = -INFINITY, sum = 0, lse, nll, log2_sum = 0;
        T *grads = (T *)logits;
        if (a.find_lse) {
#pragma unroll
            for (int turn = 0; turn < TURNS; turn++) {
                turn == 0 ? fetch_wait<3>() : turn == 1 ? fetch_wait<2>() : turn == 2 ? fetch_wait<1>() : fetch_wait<0>();
#pragma unroll 4
                for (int k = turn * each; k < min(n_kept, (turn + 1) * each); k++)
                    if (k * STRIDE + mine < columns) add_chunk(kept[k * THREADS + threadIdx.x], k * STRIDE + mine, columns, max, sum);
            }
#pragma unroll 4
            for (int k = n_kept; k < chunks; k++)
                add_chunk(get<4, true>(logits + k * STRIDE + mine, pitch - k * STRIDE - mine), k * STRIDE + mine, columns, max, sum);
            if (owner) targets_own[n] = target < (int64_t)n_kept * STRIDE ? ((const float *)kept)[target] : logits[target];
            join_block(max, sum, maxes[n], sums[n]);
            const float log_sum = logf(sum), own = targets_own[n];
            lse = max + log_sum, log2_sum = log2f(sum);
            nll = target >= 0 ? max - own + log_sum : 0; /* where the target leads, no digits are lost */
            if (threadIdx.x == 0) a.lse[r] = lse, a.nll[r] = nll;
        } else {
            fetch_wait<0>();
            lse = max = a.lse[r], nll = a.nll[r];
            __syncthreads();
        }
        const float share = target >= 0 ? a.unit ? 1 : (a.dloss ? *a.dloss : 0) / *a.scored : 0;
        const float dnll = target >= 0 ? share + (a.dnll ? a.dnll[r] : 0) : 0;
        const float all = dnll + share * 2 * a.z_loss * lse + (a.dlse ? a.dlse[r] : 0);
        for (int turn = 0; turn <= TURNS; turn++) { /* the last one: what is not kept */
            const int from = turn < TURNS ? turn * each : n_kept, to = turn < TURNS ? min(n_kept, (turn + 1) * each) : chunks;
#pragma unroll 4
            for (int k = from; k < to && a.grads; k++) {
                const int i = k * STRIDE + mine;
                lanes<float, 4> l = get<4, true>(logits + i, turn < TURNS ? 0 : pitch - i);
                if (turn == TURNS && sizeof(T) < sizeof(float)) __syncthreads();
                if (i >= pitch) continue;
                if (turn < TURNS) l = kept[k * THREADS + threadIdx.x];
                float d[4];
#pragma unroll
                for (int j = 0; j < 4; j++) d[j] = all * exp2_of(fmaf(l.v[j] - max, LOG2_E, -log2_sum));
                if (i + 4 > columns)
                    for (int j = 0; j < 4; j++) d[j] = i + j < columns ? d[j] : 0;
                if (owner && target / STRIDE == k)
                    for (int j = 0; j < 4; j++) d[j] = i + j == target ? all * expf(-nll) - dnll : d[j];
                give_grads(grads, a.pitch, i, d, a.split);
            }
            if (turn < TURNS) fetch_chunks(kept, a, row + gridDim.x, from, to);
        }
    }
    fetch_wait<0>();
}

/* Multiprocessors, and how many chunks of a row they have room for. */
typedef struct row_device { int processors, kept; } row_device;
static row_device row_device_now(void) {
    int device = 0, bytes = 0;
    row_device d = {};
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&d.processors, cudaDevAttrMultiProcessorCount, device);
    cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    d.kept = (bytes - 1024) / (STRIDE * (int)sizeof(float));
    return d;
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
static void use_dlogits(const kr_call *c, const char *dl, const void *W, int64_t row, int64_t n, const grads *to) {
    int64_t V = KR_SIZE(c, 'V'), K = KR_SIZE(c, 'K'), pitch = logit_pitch(c) * (int64_t)(sizeof(float) / kr_dtype_bytes(c->real));
    if (to->dx) {
        kr_blas g = product(c);
        g.M = n, g.N = K, g.K = V;
        g.A = dl, g.lda = pitch, g.B = W, g.ldb = K;
        g.C = (char *)to->dx + (size_t)(row * to->dx_pitch) * kr_dtype_bytes(to->dx_type), g.c_type = to->dx_type;
        g.ldc = to->dx_pitch, g.add = to->add_dx;
        kr_blas_run(&g, c->stream);
    }
    if (to->dw) {
        kr_blas g = product(c);
        g.M = V, g.N = K, g.K = n, g.split_k = true;
        g.A = dl, g.lda = pitch, g.a_t = true;
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
    const row_device d = row_device_now();
    const int64_t chunks = (a.pitch + STRIDE - 1) / STRIDE;
    const size_t shared = chunks <= d.kept ? (size_t)a.pitch * sizeof(float) : (size_t)d.kept * STRIDE * sizeof(float);
    a.kept = d.kept, a.split = !a.unit && sizeof(T) < sizeof(float) && chunks <= d.kept;
    for (int64_t row = 0, step = slab_rows(c); row < c->rows; row += step) {
        int64_t n = c->rows - row < step ? c->rows - row : step;
        make_logits(c, &r, W, row, n);
        a.first = row, a.rows = n;
        cu_launch(row_kernel<T>, (unsigned)(n < d.processors ? n : d.processors), THREADS, shared, c->stream, a);
        if (to) use_dlogits(c, (const char *)a.slab, W, row, n, to);
        if (to && a.split) {
            grads more = *to;
            more.add_dx = more.add_dw = true;
            use_dlogits(c, (const char *)((const T *)a.slab + a.pitch), W, row, n, &more);
        }
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

/* to = or += factor / tokens from; factor NULL: zero. */
template <typename T, bool FAST>
static __global__ void __launch_bounds__(256) scale_kernel(T *to, int64_t pitch, const float *from, int64_t rows, int64_t width,
                                                           const float *factor, const float *tokens, bool add) {
    int64_t per_row = (width + 3) / 4, n = rows * per_row, step = (int64_t)gridDim.x * 256;
    float f = factor && *tokens > 0 ? *factor / *tokens : 0;
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
              (const float *)c->dout[CROSS_ENTROPY_LOSS].data, kept_at(c, c->saved).scored, add);
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

KR_CUDA_OP(cross_entropy, cross_entropy_plan_cuda, cross_entropy_fwd_cuda, cross_entropy_bwd_cuda, true)
