/* linear.cu - linear on a GPU: three products by cuda/blas.cuh, and a sum over rows for db; a weight in
 * blocks meets a few rows as in a decoding step, and more of them as numbers; where rows have a scale for
 * eight bits, both sides meet as whole numbers. */
#include "ops/linear/linear.h"

#include "cuda/blas.cuh"
#include "ops/linear/linear_int8.cuh"
#include "ops/rows.cuh"
#include "ops/step.cuh"

/* Are rows rounded to eight bits with one scale? */
static bool has_scale(const kr_call *c) { return c->in[LINEAR_S].n_dims && cu_blocked(c->in[LINEAR_W].dtype); }

/* Scratch: the products' workspace, a bias and W in the type of activations, shares of db, rounded rows. */
typedef struct room { size_t workspace, bias, weight, shares, rows, total; } room;
static room room_for(const kr_call *c, bool back) {
    int64_t M = c->rows, N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    size_t elem = kr_dtype_bytes(c->real), at = kr_blas_workspace(M, N, K);
    room r = {};
    bool cast_w = c->in[LINEAR_W].dtype != c->real;
    r.bias = at, at += ((size_t)N * elem + 255) / 256 * 256;
    r.weight = at, at += cast_w ? ((size_t)(N * K) * elem + 255) / 256 * 256 : 0;
    r.shares = at, at += back ? column_sum_bytes(N) : 0;
    r.rows = at, at += !back && has_scale(c) ? (size_t)(M * K) * elem : 0;
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
    g.plain = KR_SIZE(c, 'K') * (int64_t)kr_dtype_bytes(c->real) % 16 != 0;
    g.workspace = kr_blas_workspace(c->rows, KR_SIZE(c, 'N'), KR_SIZE(c, 'K')) ? c->scratch : NULL;
    return g;
}

/* Rows that are read beside a weight in blocks as it lies. */
static bool in_blocks(const kr_call *c) {
    return c->real == KR_BF16 && cu_blocked(c->in[LINEAR_W].dtype) && step_warps(KR_SIZE(c, 'N'), KR_SIZE(c, 'K')) && !step_by_blas(c->rows, KR_SIZE(c, 'N')) &&
           cu_aligned(&c->in[LINEAR_X], 16);
}
static void few_rows(const kr_call *c) {
    const kr_tensor *x = &c->in[LINEAR_X];
    step_args a = {};
    a.a = (const bf16 *)x->data, a.a_pitch = x->pitch;
    a.W = c->in[LINEAR_W].data, a.w_type = c->in[LINEAR_W].dtype, a.bias = (const float *)c->in[LINEAR_B].data;
    a.M = (int)c->rows, a.N = KR_SIZE(c, 'N'), a.K = KR_SIZE(c, 'K'), a.groups = 1;
    a.y = (bf16 *)c->out[LINEAR_Y].data;
    step_run<false>(a, c->scratch, c->stream);
}

/* Rows in eight bits with their scale; with weights of as many bits the product, too.  Weights of four bits meet the
 * rounded rows as numbers: then false. */
template <typename T> static bool scaled_rows(const kr_call *c, void *rounded) {
    const kr_tensor *x = &c->in[LINEAR_X], *W = &c->in[LINEAR_W];
    const int64_t M = c->rows, N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    const float *s = (const float *)c->in[LINEAR_S].data, *bias = (const float *)c->in[LINEAR_B].data;
    const bool whole = !cu_four_bits(W->dtype);
    cu_launch(int8_rows_kernel<T>, cu_blocks(M * K, 256), 256, 0, c->stream, (const T *)x->data, x->pitch, M, K, s, whole ? (int8_t *)rounded : NULL, (T *)rounded);
    if (!whole) return false;
    const int rows = M > 16 ? 32 : 16;
    cu_launch(M > 16 ? int8_product_kernel<T, 2> : int8_product_kernel<T, 1>, dim3(cu_blocks(M, rows), cu_blocks(N, INT8_COLS)), 32 * INT8_WARPS, 0, c->stream,
              (const int8_t *)rounded, M, N, K, cu_planes_of(W->data, W->dtype, N * K), s, bias, (T *)c->out[LINEAR_Y].data);
    return true;
}

static void linear_fwd_cuda(const kr_call *c) {
    const kr_tensor *x = &c->in[LINEAR_X];
    room r = room_for(c, false);
    void *rounded = has_scale(c) ? (char *)c->scratch + r.rows : NULL;
    if (rounded && (c->real == KR_BF16 ? scaled_rows<bf16>(c, rounded) : scaled_rows<float>(c, rounded))) return;
    if (!rounded && in_blocks(c)) return few_rows(c);
    kr_blas g = product(c);
    g.M = c->rows, g.N = KR_SIZE(c, 'N'), g.K = KR_SIZE(c, 'K');
    g.A = rounded ? rounded : x->data, g.lda = rounded ? g.K : x->pitch;
    g.B = weight(c, &r), g.ldb = g.K, g.b_t = true;
    g.C = c->out[LINEAR_Y].data, g.ldc = g.N;
    g.bias = (const float *)c->in[LINEAR_B].data, g.bias_room = (char *)c->scratch + r.bias;
    kr_blas_run(&g, c->stream);
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
    float *db = (float *)c->din[LINEAR_B].data;
    const void *dy = c->dout[LINEAR_Y].data;
    if (c->real == KR_BF16) column_sum<bf16>(c, db, c->acc[LINEAR_B], (const bf16 *)dy, NULL, 0, 1, N, part);
    else column_sum<float>(c, db, c->acc[LINEAR_B], (const float *)dy, NULL, 0, 1, N, part);
}

KR_CUDA_OP(linear, linear_plan_cuda, linear_fwd_cuda, linear_bwd_cuda, true)
