/* cross_entropy.cu - the output head and its loss on a GPU.
 *
 * Logits exist a slab of tokens at a time, in the type of activations: one product writes
 * them, one kernel reads them for lse.  Backward makes them again (a product costs less than
 * keeping them), turns them in place into their gradients, and two products read those.
 *
 * The target's own logit is summed in float32 from x and W, and takes the place of the
 * rounded one in lse: where it leads, nll would else be all rounding. */
#include "ops/cross_entropy/cross_entropy.h"

#include "cuda/blas.cuh"
#include "ops/rows.cuh"

enum { SLAB_BYTES = 1 << 30, THREADS = 256, AHEAD = 4 }; /* AHEAD: loads of a thread under way at once */

/* Slabs: their rows hang on V alone. */
static int64_t logit_pitch(const kr_call *c) { return (KR_SIZE(c, 'V') + 7) / 8 * 8; }
static int64_t slab_rows(const kr_call *c) {
    int64_t n = SLAB_BYTES / (logit_pitch(c) * (int64_t)kr_dtype_bytes(c->real)) / 128 * 128;
    n = n < 128 ? 128 : n > 16384 ? 16384 : n;
    return n < c->rows ? n : c->rows;
}

/* Scratch: workspace of the products, W in the type of activations, the slab. */
typedef struct room { size_t workspace, weight, slab, total; } room;
static room room_for(const kr_call *c) {
    int64_t V = KR_SIZE(c, 'V'), K = KR_SIZE(c, 'K');
    size_t elem = kr_dtype_bytes(c->real), at = kr_blas_workspace(slab_rows(c), V, K);
    room r = {};
    r.weight = at, at += c->in[CROSS_ENTROPY_W].dtype == c->real ? 0 : ((size_t)(V * K) * elem + 255) / 256 * 256;
    r.slab = at, at += (size_t)(slab_rows(c) * logit_pitch(c)) * elem;
    r.total = at;
    return r;
}

/* Saved: lse and nll of every token, and how many are scored. */
static kr_status cross_entropy_plan_cuda(kr_call *c) {
    c->saved_bytes = (size_t)(2 * c->rows + 1) * sizeof(float);
    c->fwd_scratch = room_for(c).total + c->saved_bytes + 256;
    c->bwd_scratch = room_for(c).total;
    return KR_OK;
}

static const void *weight(const kr_call *c, const room *r) {
    const kr_tensor *W = &c->in[CROSS_ENTROPY_W];
    if (W->dtype == c->real) return W->data;
    kr_cuda_cast((char *)c->scratch + r->weight, c->real, W->data, W->dtype, KR_SIZE(c, 'V') * KR_SIZE(c, 'K'), c->stream);
    return (char *)c->scratch + r->weight;
}
static kr_blas product(const kr_call *c) {
    kr_blas g = {};
    g.type = g.c_type = c->real;
    g.workspace = kr_blas_workspace(slab_rows(c), KR_SIZE(c, 'V'), KR_SIZE(c, 'K')) ? c->scratch : NULL;
    return g;
}
/* Rows from `row` on, n of them: logits = x W^T. */
static void make_logits(const kr_call *c, const room *r, const void *W, int64_t row, int64_t n) {
    const kr_tensor *x = &c->in[CROSS_ENTROPY_X];
    kr_blas g = product(c);
    g.M = n, g.N = KR_SIZE(c, 'V'), g.K = KR_SIZE(c, 'K');
    g.A = (const char *)x->data + (size_t)(row * x->pitch) * kr_dtype_bytes(c->real), g.lda = x->pitch;
    g.B = W, g.ldb = g.K, g.b_t = true;
    g.C = (char *)c->scratch + r->slab, g.ldc = logit_pitch(c);
    kr_blas_run(&g, c->stream);
}

static __device__ __forceinline__ int64_t target_of(const int32_t *targets, int64_t pitch, int64_t r, int64_t columns) {
    int64_t t = targets[r * pitch];
    return t >= 0 && t < columns ? t : -1;
}

/* max and sum of exp(l - max), of two sets together; a max of -inf has nothing. */
static __device__ __forceinline__ void join(float &max, float &sum, float max2, float sum2) {
    float m = fmaxf(max, max2);
    sum = (max == m ? sum : sum * expf(max - m)) + (max2 == m ? sum2 : sum2 * expf(max2 - m));
    max = m;
}

/* A block a token. */
template <typename T, typename W>
static __global__ void __launch_bounds__(THREADS) lse_kernel(int64_t first, int64_t columns, int64_t K, const T *slab, int64_t pitch, const T *x,
                                                             int64_t x_pitch, const W *w, const int32_t *targets, int64_t t_pitch,
                                                             float *lses, float *nlls) {
    __shared__ float room[32], maxes[THREADS / 32], sums[THREADS / 32];
    int64_t r = first + blockIdx.x, target = target_of(targets, t_pitch, r, columns);
    const T *row = slab + blockIdx.x * pitch;
    float dot = 0, max = -INFINITY, sum = 0;
    for (int64_t k = threadIdx.x; target >= 0 && k < K; k += THREADS) dot += cu_float(x[r * x_pitch + k]) * cu_float(w[target * K + k]);
    dot = cu_block_sum(dot, room);
    for (int64_t first_col = threadIdx.x * 8; first_col < columns; first_col += THREADS * 8 * AHEAD) {
        lanes<T, 8> v[AHEAD];
        float m = max;
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int64_t i = first_col + a * THREADS * 8;
            if (i < columns) v[a] = *(const lanes<T, 8> *)(row + i);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int64_t i = first_col + a * THREADS * 8;
            if (i >= columns) break;
            float l[8];
#pragma unroll
            for (int j = 0; j < 8; j++) {
                l[j] = i + j < columns ? (i + j == target ? dot : v[a][j]) : -INFINITY;
                m = fmaxf(m, l[j]);
            }
            sum = max == m ? sum : sum * __expf(max - m);
#pragma unroll
            for (int j = 0; j < 8; j++) sum += __expf(l[j] - m);
            max = m;
        }
    }
#pragma unroll
    for (int d = 16; d; d /= 2) {
        float max2 = __shfl_xor_sync(~0u, max, d), sum2 = __shfl_xor_sync(~0u, sum, d);
        join(max, sum, max2, sum2);
    }
    if (threadIdx.x % 32 == 0) maxes[threadIdx.x / 32] = max, sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int k = 1; k < THREADS / 32; k++) join(max, sum, maxes[k], sums[k]);
    float lse = max + logf(sum);
    lses[r] = lse;
    nlls[r] = target >= 0 ? lse - dot : 0;
}

/* The mean over scored tokens, by one block; also nll and lse for whoever wants them. */
static __global__ void __launch_bounds__(1024) loss_kernel(int64_t rows, int64_t columns, const int32_t *targets, int64_t t_pitch, const float *lses,
                                                           const float *nlls, double z_loss, float *loss, float *nll, float *lse, float *scored) {
    __shared__ double room[32];
    double sum = 0, n = 0;
    for (int64_t r = threadIdx.x; r < rows; r += 1024) {
        bool mine = target_of(targets, t_pitch, r, columns) >= 0;
        if (mine) sum += nlls[r] + z_loss * lses[r] * lses[r], n += 1;
        if (nll) nll[r] = nlls[r];
        if (lse) lse[r] = lses[r];
    }
    sum = cu_block_sum(sum, room);
    n = cu_block_sum(n, room);
    if (threadIdx.x > 0) return;
    *loss = n > 0 ? (float)(sum / n) : 0;
    *scored = (float)n;
}

/* dl[v] = (dnll + dlse) softmax(l)[v] - dnll [v is the target], in place; zero in padding. */
template <typename T>
static __global__ void __launch_bounds__(THREADS) dlogits_kernel(int64_t first, int64_t columns, T *slab, int64_t pitch, const int32_t *targets,
                                                                 int64_t t_pitch, const float *lses, const float *nlls, const float *scored,
                                                                 double z_loss, const float *dloss, const float *dnlls, const float *dlses) {
    int64_t r = first + blockIdx.x, target = target_of(targets, t_pitch, r, columns);
    T *row = slab + blockIdx.x * pitch;
    float lse = lses[r], share = target >= 0 && dloss ? *dloss / *scored : 0;
    float dnll = target >= 0 ? share + (dnlls ? dnlls[r] : 0) : 0;
    float all = dnll + share * 2 * (float)z_loss * lse + (dlses ? dlses[r] : 0);
    float nll = nlls[r];
    for (int64_t first_col = threadIdx.x * 8; first_col < pitch; first_col += THREADS * 8 * AHEAD) {
        lanes<T, 8> v[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int64_t i = first_col + a * THREADS * 8;
            if (i < pitch) v[a] = *(const lanes<T, 8> *)(row + i);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int64_t i = first_col + a * THREADS * 8;
            if (i >= pitch) break;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                float p = __expf(i + j == target ? -nll : v[a][j] - lse);
                v[a].v[j] = cu_as<T>(i + j < columns ? all * p - (i + j == target ? dnll : 0) : 0);
            }
            *(lanes<T, 8> *)(row + i) = v[a];
        }
    }
}

template <typename T, typename W> static void fwd(const kr_call *c) {
    const kr_tensor *x = &c->in[CROSS_ENTROPY_X], *t = &c->in[CROSS_ENTROPY_TARGETS];
    room r = room_for(c);
    int64_t rows = c->rows, columns = cross_entropy_columns(c), step = slab_rows(c);
    float *lses = c->saved ? (float *)c->saved : (float *)((char *)c->scratch + (r.total + 255) / 256 * 256), *nlls = lses + rows;
    const void *w = rows > 0 ? weight(c, &r) : NULL;
    for (int64_t row = 0; row < rows; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        make_logits(c, &r, w, row, n);
        cu_launch(lse_kernel<T, W>, (unsigned)n, THREADS, 0, c->stream, row, columns, KR_SIZE(c, 'K'), (const T *)((char *)c->scratch + r.slab),
                  logit_pitch(c), (const T *)x->data, x->pitch, (const W *)c->in[CROSS_ENTROPY_W].data, (const int32_t *)t->data, t->pitch,
                  lses, nlls);
    }
    cu_launch(loss_kernel, 1, 1024, 0, c->stream, rows, columns, (const int32_t *)t->data, t->pitch, lses, nlls,
              ((const cross_entropy_attr *)c->attr)->z_loss, (float *)c->out[CROSS_ENTROPY_LOSS].data, (float *)c->out[CROSS_ENTROPY_NLL].data,
              (float *)c->out[CROSS_ENTROPY_LSE].data, nlls + rows);
}
static void cross_entropy_fwd_cuda(const kr_call *c) {
    bool low = c->in[CROSS_ENTROPY_W].dtype == KR_BF16;
    if (c->real == KR_BF16 && low) fwd<bf16, bf16>(c);
    else if (c->real == KR_BF16) fwd<bf16, float>(c);
    else if (low) fwd<float, bf16>(c);
    else fwd<float, float>(c);
}

/* dx = dl W and dW += dl^T x, for the rows of a slab. */
static void use_dlogits(const kr_call *c, const room *r, const void *W, int64_t row, int64_t n) {
    const kr_tensor *x = &c->in[CROSS_ENTROPY_X], *dx = &c->din[CROSS_ENTROPY_X], *dW = &c->din[CROSS_ENTROPY_W];
    int64_t V = KR_SIZE(c, 'V'), K = KR_SIZE(c, 'K');
    size_t elem = kr_dtype_bytes(c->real);
    const void *dl = (char *)c->scratch + r->slab;
    if (dx->data) {
        kr_blas g = product(c);
        g.M = n, g.N = K, g.K = V;
        g.A = dl, g.lda = logit_pitch(c), g.B = W, g.ldb = K;
        g.C = (char *)dx->data + (size_t)(row * dx->pitch) * elem, g.ldc = dx->pitch, g.add = c->acc[CROSS_ENTROPY_X];
        kr_blas_run(&g, c->stream);
    }
    if (dW->data) {
        kr_blas g = product(c);
        g.M = V, g.N = K, g.K = n, g.split_k = true;
        g.A = dl, g.lda = logit_pitch(c), g.a_t = true;
        g.B = (const char *)x->data + (size_t)(row * x->pitch) * elem, g.ldb = x->pitch;
        g.C = dW->data, g.c_type = KR_F32, g.ldc = K, g.add = row > 0 || c->acc[CROSS_ENTROPY_W];
        kr_blas_run(&g, c->stream);
    }
}

template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *t = &c->in[CROSS_ENTROPY_TARGETS], *dW = &c->din[CROSS_ENTROPY_W];
    room r = room_for(c);
    int64_t rows = c->rows, step = slab_rows(c);
    const float *lses = (const float *)c->saved, *nlls = lses + rows;
    if (rows == 0 && dW->data && !c->acc[CROSS_ENTROPY_W])
        cudaMemsetAsync(dW->data, 0, (size_t)kr_count(dW) * sizeof(float), (cudaStream_t)c->stream);
    const void *w = rows > 0 ? weight(c, &r) : NULL;
    for (int64_t row = 0; row < rows; row += step) {
        int64_t n = rows - row < step ? rows - row : step;
        make_logits(c, &r, w, row, n);
        cu_launch(dlogits_kernel<T>, (unsigned)n, THREADS, 0, c->stream, row, cross_entropy_columns(c), (T *)((char *)c->scratch + r.slab),
                  logit_pitch(c), (const int32_t *)t->data, t->pitch, lses, nlls, nlls + rows, ((const cross_entropy_attr *)c->attr)->z_loss,
                  (const float *)c->dout[CROSS_ENTROPY_LOSS].data, (const float *)c->dout[CROSS_ENTROPY_NLL].data,
                  (const float *)c->dout[CROSS_ENTROPY_LSE].data);
        use_dlogits(c, &r, w, row, n);
    }
}
static void cross_entropy_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(cross_entropy, cross_entropy_plan_cuda, cross_entropy_fwd_cuda, cross_entropy_bwd_cuda)
