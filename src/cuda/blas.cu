/* blas.cu - the products of blas.cuh: by cuBLASLt, by a kernel for few rows, or by a plain one. */
#include "cuda/blas.cuh"
#include "cuda/blocks.cuh"

#include <cublasLt.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <mutex>

/* --- cuBLASLt, opened when first wanted -------------------------------------------------- */

#define LT_FUNCTIONS(X)                                                                        \
    X(cublasLtCreate) X(cublasLtMatmul) X(cublasLtMatmulAlgoGetHeuristic)                      \
    X(cublasLtMatmulDescCreate) X(cublasLtMatmulDescDestroy) X(cublasLtMatmulDescSetAttribute) \
    X(cublasLtMatrixLayoutCreate) X(cublasLtMatrixLayoutDestroy)                               \
    X(cublasLtMatmulPreferenceCreate) X(cublasLtMatmulPreferenceDestroy) X(cublasLtMatmulPreferenceSetAttribute) \
    X(cublasLtMatmulAlgoConfigGetAttribute)

/* What an algorithm hangs on; compared byte by byte, so always cleared first. */
typedef struct lt_key {
    int64_t M, N, K, lda, ldb, ldc;
    int32_t type, c_type, device;
    int32_t a_t, b_t, add, bias, split_k, workspace;
} lt_key;
typedef struct lt_entry {
    lt_key key;
    cublasLtMatmulAlgo_t algo;
    bool found;
} lt_entry;

enum { MAX_DEVICES = 64, CACHE = 1024 };
static struct {
    std::mutex lock;
    bool tried, there;
#define X(name) decltype(&name) f_##name;
    LT_FUNCTIONS(X)
#undef X
    cublasLtHandle_t handle[MAX_DEVICES];
    lt_entry cache[CACHE];
    int n_cached;
} lt;

static void *open_library(void) {
    const char *const names[] = {getenv("KRAIT_CUBLASLT"), "libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                 "/usr/local/cuda/lib64/libcublasLt.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *lib = names[i] ? dlopen(names[i], RTLD_NOW | RTLD_LOCAL) : NULL;
        if (lib) return lib;
    }
    return NULL;
}

/* The handle for this device; NULL: no cuBLASLt here. */
static cublasLtHandle_t lt_handle(int device) {
    if (!lt.tried) {
        void *lib = open_library();
        lt.tried = true, lt.there = lib != NULL;
#define X(name)                                                           \
    lt.f_##name = lib ? (decltype(&name))dlsym(lib, #name) : NULL; \
    lt.there = lt.there && lt.f_##name;
        LT_FUNCTIONS(X)
#undef X
    }
    if (!lt.there || device < 0 || device >= MAX_DEVICES) return NULL;
    if (!lt.handle[device] && lt.f_cublasLtCreate(&lt.handle[device]) != CUBLAS_STATUS_SUCCESS) lt.handle[device] = NULL;
    return lt.handle[device];
}

typedef struct lt_call {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
} lt_call;

static cudaDataType_t lt_type(kr_dtype t) { return t == KR_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

/* Row major C = A B is column major C^T = B^T A^T: the operands change places. */
static bool lt_describe(const kr_blas *g, lt_call *x) {
    cublasOperation_t first = g->b_t ? CUBLAS_OP_T : CUBLAS_OP_N, second = g->a_t ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = g->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = g->c_type == KR_F32 ? (const void *)g->bias : g->bias_room;
    memset(x, 0, sizeof *x);
    bool ok = lt.f_cublasLtMatmulDescCreate(&x->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0;
    ok = ok && lt.f_cublasLtMatmulDescSetAttribute(x->desc, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first) == 0;
    ok = ok && lt.f_cublasLtMatmulDescSetAttribute(x->desc, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second) == 0;
    ok = ok && lt.f_cublasLtMatmulDescSetAttribute(x->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue) == 0;
    if (g->bias)
        ok = ok && lt.f_cublasLtMatmulDescSetAttribute(x->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias) == 0;
    uint64_t M = (uint64_t)g->M, N = (uint64_t)g->N, K = (uint64_t)g->K;
    ok = ok && lt.f_cublasLtMatrixLayoutCreate(&x->a, lt_type(g->type), g->b_t ? K : N, g->b_t ? N : K, g->ldb) == 0;
    ok = ok && lt.f_cublasLtMatrixLayoutCreate(&x->b, lt_type(g->type), g->a_t ? M : K, g->a_t ? K : M, g->lda) == 0;
    return ok && lt.f_cublasLtMatrixLayoutCreate(&x->c, lt_type(g->c_type), N, M, g->ldc) == 0;
}
static void lt_forget(lt_call *x) {
    if (x->c) lt.f_cublasLtMatrixLayoutDestroy(x->c);
    if (x->b) lt.f_cublasLtMatrixLayoutDestroy(x->b);
    if (x->a) lt.f_cublasLtMatrixLayoutDestroy(x->a);
    if (x->desc) lt.f_cublasLtMatmulDescDestroy(x->desc);
}

enum { PROPOSALS = 8 };

/* What the library proposes, best first as it thinks.  Sums of parts of K go through the workspace,
 * in order: never in place, where they would add up as they come. */
static int lt_ask(cublasLtHandle_t handle, const kr_blas *g, const lt_call *x, cublasLtMatmulHeuristicResult_t (&results)[PROPOSALS]) {
    cublasLtMatmulPreference_t p = NULL;
    uint64_t bytes = g->workspace ? KR_BLAS_WORKSPACE : 0;
    uint32_t schemes = g->split_k ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE, align = 16;
    int n = 0;
    bool ok = lt.f_cublasLtMatmulPreferenceCreate(&p) == 0;
    ok = ok && lt.f_cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes) == 0;
    ok = ok && lt.f_cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes) == 0;
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    for (int i = 0; i < 4; i++) ok = ok && lt.f_cublasLtMatmulPreferenceSetAttribute(p, aligned[i], &align, sizeof align) == 0;
    ok = ok && lt.f_cublasLtMatmulAlgoGetHeuristic(handle, x->desc, x->a, x->b, x->c, x->c, p, PROPOSALS, results, &n) == 0;
    if (p) lt.f_cublasLtMatmulPreferenceDestroy(p);
    return ok ? n : 0;
}

static bool lt_multiply(cublasLtHandle_t handle, const kr_blas *g, const lt_call *x, const cublasLtMatmulAlgo_t *algo, void *C, void *stream) {
    const float one = 1, zero = 0, *beta = g->add ? &one : &zero;
    return lt.f_cublasLtMatmul(handle, x->desc, &one, g->B, x->a, g->A, x->b, beta, C, x->c, C, x->c, algo, g->workspace,
                               g->workspace ? KR_BLAS_WORKSPACE : 0, (cudaStream_t)stream) == 0;
}

/* The proposal whose bits count: the first that does not cut K and fills the device, or else the first. */
static int lt_model(const cublasLtMatmulHeuristicResult_t *r, int n) {
    for (int i = 0; i < n; i++) {
        uint32_t parts = 0;
        size_t bytes;
        bool known = lt.f_cublasLtMatmulAlgoConfigGetAttribute(&r[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts, &bytes) == 0;
        if (known && parts <= 1 && r[i].wavesCount > 0.9f) return i;
    }
    return 0;
}

static __global__ void lt_differ_kernel(const uint32_t *a, const uint32_t *b, size_t n, int *differ) {
    for (size_t i = blockIdx.x * (size_t)256 + threadIdx.x; i < n; i += gridDim.x * (size_t)256)
        if (a[i] != b[i]) *differ = 1;
}

/* The fastest of the proposals that give the same bits as the model, as large products are found to
 * do that cut K alike: so what a clock says can change no result.  Done when a shape is first seen, in
 * memory of its own; never while a stream is recorded. */
static int lt_fastest(cublasLtHandle_t handle, const kr_blas *g, const lt_call *x, const cublasLtMatmulHeuristicResult_t *r, int n, void *stream) {
    enum { RUNS = 4, MOST = 512 << 20 };
    const int model = lt_model(r, n);
    const size_t bytes = (size_t)g->M * (size_t)g->ldc * kr_dtype_bytes(g->c_type);
    cudaStream_t s = (cudaStream_t)stream;
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    char *room = NULL;
    if (n < 2 || 2.0 * (double)g->M * (double)g->N * (double)g->K < 4e9 || bytes > MOST) return model;
    if (cudaStreamIsCapturing(s, &capturing) != cudaSuccess || capturing != cudaStreamCaptureStatusNone) return model;
    if (cudaMalloc((void **)&room, 2 * bytes + 256) != cudaSuccess) {
        cudaGetLastError();
        return model;
    }
    void *want = room, *got = room + bytes;
    int *differ = (int *)(room + 2 * bytes), found[PROPOSALS] = {}, best = model;
    float took[PROPOSALS];
    cudaEvent_t from, to;
    cudaEventCreate(&from), cudaEventCreate(&to);
    cudaMemsetAsync(want, 0, bytes, s);
    bool fine = lt_multiply(handle, g, x, &r[model].algo, want, stream);
    for (int i = 0; i < n && fine; i++) {
        cudaMemsetAsync(got, 0, bytes, s), cudaMemsetAsync(differ, 0, sizeof *differ, s);
        if (!lt_multiply(handle, g, x, &r[i].algo, got, stream)) found[i] = 1;
        lt_differ_kernel<<<1024, 256, 0, s>>>((const uint32_t *)want, (const uint32_t *)got, bytes / 4, differ);
        if (!found[i]) cudaMemcpyAsync(&found[i], differ, sizeof *differ, cudaMemcpyDeviceToHost, s);
        cudaStreamSynchronize(s);
        took[i] = INFINITY;
    }
    for (int run = 0; run < RUNS && fine; run++)
        for (int i = 0; i < n; i++) {
            float ms = 0;
            if (found[i]) continue;
            cudaEventRecord(from, s);
            fine = fine && lt_multiply(handle, g, x, &r[i].algo, got, stream);
            cudaEventRecord(to, s);
            cudaEventSynchronize(to);
            cudaEventElapsedTime(&ms, from, to);
            if (ms < took[i]) took[i] = ms;
        }
    for (int i = 0; i < n && fine; i++)
        if (!found[i] && took[i] < took[best] * (best == model ? 0.98f : 1)) best = i;
    cudaEventDestroy(from), cudaEventDestroy(to);
    cudaStreamSynchronize(s);
    cudaFree(room);
    return best;
}

static bool lt_find(cublasLtHandle_t handle, int device, const kr_blas *g, const lt_call *x, cublasLtMatmulAlgo_t *algo, void *stream) {
    lt_key key;
    memset(&key, 0, sizeof key);
    key.M = g->M, key.N = g->N, key.K = g->K, key.lda = g->lda, key.ldb = g->ldb, key.ldc = g->ldc;
    key.type = g->type, key.c_type = g->c_type, key.device = device, key.a_t = g->a_t, key.b_t = g->b_t, key.add = g->add;
    key.bias = g->bias != NULL, key.split_k = g->split_k, key.workspace = g->workspace != NULL;
    for (int i = 0; i < lt.n_cached; i++)
        if (memcmp(&lt.cache[i].key, &key, sizeof key) == 0) {
            *algo = lt.cache[i].algo;
            return lt.cache[i].found;
        }
    cublasLtMatmulHeuristicResult_t results[PROPOSALS];
    int n = lt_ask(handle, g, x, results);
    lt_entry *e = &lt.cache[lt.n_cached < CACHE ? lt.n_cached++ : 0];
    e->key = key, e->found = n > 0;
    if (n > 0) e->algo = *algo = results[lt_fastest(handle, g, x, results, n, stream)].algo;
    return n > 0;
}

static bool lt_run(const kr_blas *g, void *stream) {
    size_t elem = kr_dtype_bytes(g->type);
    int device = 0;
    if (!cu_aligned(g->A, g->lda, elem, 16) || !cu_aligned(g->B, g->ldb, elem, 16) || !cu_aligned(g->C, g->ldc, kr_dtype_bytes(g->c_type), 16) ||
        cudaGetDevice(&device) != cudaSuccess)
        return false;
    if (g->bias && (g->c_type == KR_F32 ? (size_t)g->bias % 16 != 0 : !g->bias_room)) return false;
    std::lock_guard<std::mutex> hold(lt.lock);
    cublasLtHandle_t handle = lt_handle(device);
    lt_call x;
    cublasLtMatmulAlgo_t algo;
    if (!handle) return false;
    bool ok = lt_describe(g, &x);
    if (ok && g->bias && g->c_type != KR_F32) kr_cuda_cast(g->bias_room, g->c_type, g->bias, KR_F32, g->N, stream);
    ok = ok && lt_find(handle, device, g, &x, &algo, stream) && lt_multiply(handle, g, &x, &algo, g->C, stream);
    lt_forget(&x);
    return ok;
}

/* --- ours: any size, any alignment ------------------------------------------------------- */

enum { TILE = 64, DEPTH = 16 };

/* A tile of 64 x 64 a block, 4 x 4 a thread; K in order, so that a row's bits do not hang on
 * M.  a_m, a_k: steps of A along M and K; the same of B.  blockIdx.y: a part of K, `depth` long,
 * whose sums go to parts[part][M][N] instead of c. */
template <typename T, typename C>
static __global__ void __launch_bounds__(256) gemm_kernel(int64_t M, int64_t N, int64_t all_K, const T *A, int64_t a_m, int64_t a_k,
                                                          const T *B, int64_t b_k, int64_t b_n, C *c, int64_t ldc, const float *bias,
                                                          bool add, int64_t depth, float *parts) {
    __shared__ float a[DEPTH][TILE + 4], b[DEPTH][TILE + 4];
    int64_t from = blockIdx.y * depth, K = all_K - from < depth ? all_K - from : depth;
    A += from * a_k, B += from * b_k;
    int64_t tiles = (N + TILE - 1) / TILE, m0 = blockIdx.x / tiles * TILE, n0 = blockIdx.x % tiles * TILE;
    int tm = (int)threadIdx.x / 16 * 4, tn = (int)threadIdx.x % 16 * 4;
    float sum[4][4] = {};
    for (int64_t k0 = 0; k0 < K; k0 += DEPTH) {
        for (int e = (int)threadIdx.x; e < TILE * DEPTH; e += 256) { /* neighbours read neighbours */
            int am = a_k == 1 ? e / DEPTH : e % TILE, ak = a_k == 1 ? e % DEPTH : e / TILE;
            int bn = b_k == 1 ? e / DEPTH : e % TILE, bk = b_k == 1 ? e % DEPTH : e / TILE;
            a[ak][am] = m0 + am < M && k0 + ak < K ? cu_float(A[(m0 + am) * a_m + (k0 + ak) * a_k]) : 0;
            b[bk][bn] = n0 + bn < N && k0 + bk < K ? cu_float(B[(k0 + bk) * b_k + (n0 + bn) * b_n]) : 0;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; k++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += a[k][tm + i] * b[k][tn + j];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (m0 + tm + i >= M || n0 + tn + j >= N) continue;
            else if (parts) parts[((int64_t)blockIdx.y * M + m0 + tm + i) * N + n0 + tn + j] = sum[i][j];
            else
                cu_give(c + (m0 + tm + i) * ldc + n0 + tn + j, bias ? sum[i][j] + bias[n0 + tn + j] : sum[i][j], add);
}

template <typename C>
static __global__ void gemm_join(int n_parts, int64_t M, int64_t N, const float *parts, C *c, int64_t ldc, const float *bias, bool add) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= M * N) return;
    float sum = bias ? bias[i % N] : 0;
    for (int k = 0; k < n_parts; k++) sum += parts[k * M * N + i];
    cu_give(c + i / N * ldc + i % N, sum, add);
}

/* A long K over few tiles (the gradient of narrow weights) is cut, as far as the workspace goes. */
static int64_t parts_of_k(const kr_blas *g) {
    int64_t tiles = (int64_t)cu_blocks(g->M, TILE) * cu_blocks(g->N, TILE), room = g->workspace ? KR_BLAS_WORKSPACE / (4 * g->M * g->N) : 0;
    int64_t n = 512 / tiles < g->K / 256 ? 512 / tiles : g->K / 256;
    n = n < room ? n : room;
    return g->split_k && n > 1 ? n : 1;
}
template <typename T, typename C> static void run_ours(const kr_blas *g, void *stream) {
    int64_t n = parts_of_k(g), depth = (g->K + n - 1) / n;
    float *parts = n > 1 ? (float *)g->workspace : NULL;
    cu_launch(gemm_kernel<T, C>, dim3(cu_blocks(g->M, TILE) * cu_blocks(g->N, TILE), cu_blocks(g->K > 0 ? g->K : 1, depth > 0 ? depth : 1)), 256, 0, stream,
              g->M, g->N, g->K, (const T *)g->A, g->a_t ? 1 : g->lda, g->a_t ? g->lda : 1, (const T *)g->B, g->b_t ? 1 : g->ldb, g->b_t ? g->ldb : 1,
              (C *)g->C, g->ldc, g->bias, g->add, depth, parts);
    if (parts)
        cu_launch(gemm_join<C>, dim3(cu_blocks(g->M * g->N, 256)), 256, 0, stream, (int)cu_blocks(g->K, depth), g->M, g->N, parts, (C *)g->C, g->ldc,
                  g->bias, g->add);
}

/* --- few rows, as in decoding: as fast as B can be read ------------------------------------ */

enum { FEW = 8, FEW_WARPS = 4 };

/* A warp an output column, B stored [N, K]: 8 elements of K a thread at a time, ROWS rows of A. */
template <typename T, typename C, int ROWS>
static __global__ void __launch_bounds__(32 * FEW_WARPS) few_rows_kernel(int M, int64_t N, int64_t K, const T *A, int64_t lda, const T *B,
                                                                       int64_t ldb, C *c, int64_t ldc, const float *bias, bool add) {
    int64_t n = blockIdx.x * (int64_t)FEW_WARPS + threadIdx.x / 32;
    int lane = (int)threadIdx.x % 32;
    float sum[ROWS] = {};
    if (n >= N) return;
#pragma unroll 4
    for (int64_t k = lane * 8; k < K; k += 32 * 8) {
        float b[8], a[8];
        cu_load<8>(b, B + n * ldb + k);
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
            if (m >= M) break;
            cu_load<8>(a, A + m * lda + k);
#pragma unroll
            for (int i = 0; i < 8; i++) sum[m] += a[i] * b[i];
        }
    }
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        float v = cu_warp_sum(sum[m]);
        if (lane == 0 && m < M) cu_give(c + m * ldc + n, bias ? v + bias[n] : v, add);
    }
}
template <typename T, typename C> static void run_few(const kr_blas *g, void *stream) {
    auto *kernel = g->M == 1 ? few_rows_kernel<T, C, 1> : g->M <= 4 ? few_rows_kernel<T, C, 4> : few_rows_kernel<T, C, FEW>;
    cu_launch(kernel, cu_blocks(g->N, FEW_WARPS), 32 * FEW_WARPS, 0, stream, (int)g->M, g->N, g->K, (const T *)g->A, g->lda,
              (const T *)g->B, g->ldb, (C *)g->C, g->ldc, g->bias, g->add);
}
static bool few_rows(const kr_blas *g, void *stream) {
    size_t elem = kr_dtype_bytes(g->type);
    if (g->M > FEW || g->a_t || !g->b_t || g->K % 8 != 0 || !cu_aligned(g->A, g->lda, elem, 16) || !cu_aligned(g->B, g->ldb, elem, 16))
        return false;
    if (g->type == KR_F32) run_few<float, float>(g, stream);
    else if (g->c_type == KR_F32) run_few<bf16, float>(g, stream);
    else run_few<bf16, bf16>(g, stream);
    return true;
}

void kr_blas_run(const kr_blas *g, void *stream) {
    if (g->M == 0 || g->N == 0) return;
    if (g->K > 0 && !g->plain && (few_rows(g, stream) || lt_run(g, stream))) return;
    if (g->type == KR_F32) run_ours<float, float>(g, stream);
    else if (g->c_type == KR_F32) run_ours<bf16, float>(g, stream);
    else run_ours<bf16, bf16>(g, stream);
}

/* --- types ------------------------------------------------------------------------------- */

template <typename To, typename From> static __global__ void cast_kernel(To *to, const From *from, int64_t n) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i * 4 + 4 <= n && ((size_t)to | (size_t)from) % 16 == 0) {
        float v[4];
        cu_load<4>(v, from + i * 4);
        cu_store<4>(to + i * 4, v);
    } else {
        for (int64_t e = i * 4; e < n && e < i * 4 + 4; e++) to[e] = cu_as<To>(cu_float(from[e]));
    }
}
void kr_cuda_cast(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n, void *stream) {
    unsigned blocks = cu_blocks(n, 1024);
    if (cu_blocked(from_type)) kr_cuda_unblock(to, to_type, from, from_type, n, stream);
    else if (to_type == KR_BF16 && from_type == KR_F32) cu_launch(cast_kernel<bf16, float>, blocks, 256, 0, stream, (bf16 *)to, (const float *)from, n);
    else if (to_type == KR_F16 && from_type == KR_F32) cu_launch(cast_kernel<__half, float>, blocks, 256, 0, stream, (__half *)to, (const float *)from, n);
    else if (to_type == KR_F32 && from_type == KR_F16) cu_launch(cast_kernel<float, __half>, blocks, 256, 0, stream, (float *)to, (const __half *)from, n);
    else if (to_type == KR_F32 && from_type == KR_BF16) cu_launch(cast_kernel<float, bf16>, blocks, 256, 0, stream, (float *)to, (const bf16 *)from, n);
    else if (n > 0) cudaMemcpyAsync(to, from, (size_t)n * kr_dtype_bytes(to_type), cudaMemcpyDeviceToDevice, (cudaStream_t)stream);
}
