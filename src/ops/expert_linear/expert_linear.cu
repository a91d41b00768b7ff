/* expert_linear.cu - expert_linear on a GPU: pairs (row, k) sorted by expert, then one kernel for
 * the products of all experts.
 *
 * How many rows an expert has is known to the device alone, so the grid is for the worst case
 * (every expert's last tile nearly empty) and a list made before says whose rows a tile has;
 * blocks without a tile end at once.  A block makes 64 x 64 numbers, from tiles of 32 in the
 * summed axis that come through registers: bfloat16 on tensor cores (wmma), float32 by fmaf.
 * dx of a row is summed over its K experts by a second kernel, so nothing is added atomically. */
#include "ops/expert_linear/expert_linear.h"

#include <mma.h>

#include "ops/elements.cuh"
#include "ops/sort.cuh"

enum { TILE = 64, STEP = 32, THREADS = 128, PAD = 8 };

typedef struct tiles { int32_t *begin, *expert, *from; } tiles; /* where experts' pairs begin; of each tile: whose, from which pair */
static int64_t most_tiles(const kr_call *c) { return (c->rows * KR_SIZE(c, 'K') + TILE - 1) / TILE + KR_SIZE(c, 'X'); }
static size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }
static size_t list_bytes(const kr_call *c) { return round_up((size_t)(KR_SIZE(c, 'X') + 2 + 2 * most_tiles(c)) * sizeof(int32_t)); }

static size_t flat_bytes(const kr_call *c) { return round_up((size_t)(c->rows * KR_SIZE(c, 'K')) * sizeof(int32_t)); }

/* One block: experts by binary search in the sorted list, tiles by a walk over experts. */
static __global__ void __launch_bounds__(256) tiles_kernel(int64_t n, int64_t X, int64_t most, const int32_t *id, tiles t) {
    for (int64_t e = threadIdx.x; e <= X; e += 256) {
        int64_t lo = 0, hi = n;
        while (lo < hi) {
            int64_t mid = (lo + hi) / 2;
            if (id[mid] < e) lo = mid + 1;
            else hi = mid;
        }
        t.begin[e] = (int32_t)lo;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    int64_t at = 0;
    for (int64_t e = 0; e < X; e++)
        for (int32_t from = t.begin[e]; from < t.begin[e + 1]; from += TILE) t.expert[at] = (int32_t)e, t.from[at] = from, at++;
    for (; at < most; at++) t.expert[at] = -1;
}

/* The experts of all pairs side by side. */
static __global__ void flat_kernel(int64_t n, int64_t K, const int32_t *idx, int64_t pitch, int32_t *to) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) to[i] = idx[i / K * pitch + i % K];
}

typedef struct shared_tiles { sorted_ids sorted; tiles t; const int32_t *idx; } shared_tiles;
static shared_tiles make_tiles(const kr_call *c) {
    const kr_tensor *idx = &c->in[EXPERT_LINEAR_IDX];
    int64_t K = KR_SIZE(c, 'K'), n = c->rows * K, X = KR_SIZE(c, 'X'), most = most_tiles(c);
    int32_t *list = (int32_t *)c->scratch, *flat = (int32_t *)((char *)c->scratch + list_bytes(c));
    cu_launch(flat_kernel, cu_blocks(n, 256), 256, 0, c->stream, n, K, (const int32_t *)idx->data, idx->pitch, flat);
    shared_tiles s = {sort_ids((char *)flat + flat_bytes(c), flat, 1, n, X, c->stream), {list, list + X + 2, list + X + 2 + most}, flat};
    cu_launch(tiles_kernel, 1, 256, 0, c->stream, n, X, most, (const int32_t *)s.sorted.id, s.t);
    return s;
}

/* --- products of tiles ------------------------------------------------------------------- */

/* 64 x 64 sums of a[k][m] b[k][n] over the STEP rows of two tiles.  The tiles in shared memory:
 * element (k, i) at k * (TILE + PAD) + i. */
template <typename T> struct sums;
template <> struct sums<float> {
    float v[8][4]; /* thread (ty, tx): rows ty * 8 .., columns tx * 4 .. */
    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) v[i][j] = 0;
    }
    __device__ void add(const float *a, const float *b) {
        int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll 4
        for (int k = 0; k < STEP; k++) {
            float x[8], y[4];
#pragma unroll
            for (int i = 0; i < 8; i++) x[i] = a[k * (TILE + PAD) + ty * 8 + i];
#pragma unroll
            for (int j = 0; j < 4; j++) y[j] = b[k * (TILE + PAD) + tx * 4 + j];
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) v[i][j] = fmaf(x[i], y[j], v[i][j]);
        }
    }
    /* into room, [TILE][TILE + PAD] */
    __device__ void give(float *room) const {
        int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) room[(ty * 8 + i) * (TILE + PAD) + tx * 4 + j] = v[i][j];
    }
};
template <> struct sums<bf16> {
    using acc = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;
    acc v[2][2]; /* a warp has 32 x 32 */
    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < 4; i++) nvcuda::wmma::fill_fragment(v[i / 2][i % 2], 0.0f);
    }
    __device__ void add(const bf16 *a, const bf16 *b) {
        using namespace nvcuda::wmma;
        int warp = threadIdx.x / 32, m = warp / 2 * 32, n = warp % 2 * 32;
#pragma unroll
        for (int k = 0; k < STEP; k += 16) {
            fragment<matrix_a, 16, 16, 16, bf16, col_major> x[2];
            fragment<matrix_b, 16, 16, 16, bf16, row_major> y[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                load_matrix_sync(x[i], a + k * (TILE + PAD) + m + 16 * i, TILE + PAD);
                load_matrix_sync(y[i], b + k * (TILE + PAD) + n + 16 * i, TILE + PAD);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) mma_sync(v[i / 2][i % 2], x[i / 2], y[i % 2], v[i / 2][i % 2]);
        }
    }
    __device__ void give(float *room) const {
        int warp = threadIdx.x / 32, m = warp / 2 * 32, n = warp % 2 * 32;
#pragma unroll
        for (int i = 0; i < 4; i++)
            nvcuda::wmma::store_matrix_sync(room + (m + i / 2 * 16) * (TILE + PAD) + n + i % 2 * 16, v[i / 2][i % 2], TILE + PAD, nvcuda::wmma::mem_row_major);
    }
};

/* What a thread brings of a tile: 16 numbers, from memory while the products run, to shared
 * memory after them.  ACROSS: the summed axis lies along memory (x, W in forward), so threads
 * run over it; else the other axis does. */
template <bool ACROSS> struct place {
    static __device__ int k(int i) { return ACROSS ? threadIdx.x % STEP : (i * THREADS + threadIdx.x) / TILE; }
    static __device__ int other(int i) { return ACROSS ? (i * THREADS + threadIdx.x) / STEP : threadIdx.x % TILE; }
};
enum { EACH = TILE * STEP / THREADS };

template <typename T> struct grouped {
    const void *W;
    const T *x, *dy;
    const int32_t *at;       /* of sorted pairs */
    tiles t;
    T *y, *part;             /* part: dx of each pair */
    float *dW;
    int64_t X, N, D, K, x_pitch, n;
    bool add;
};

template <typename T> union room {
    struct { T a[STEP * (TILE + PAD)], b[STEP * (TILE + PAD)]; } in;
    float out[TILE * (TILE + PAD)];
};

/* Rows of a tile of pairs: forward (DX false) y = W x, or dx = W' dy. */
template <typename T, typename TW, bool DX> static __global__ void __launch_bounds__(THREADS) rows_kernel(grouped<T> g) {
    __shared__ __align__(128) room<T> s;
    __shared__ int32_t pairs[TILE];
    int64_t e = g.t.expert[blockIdx.x], col0 = blockIdx.y * (int64_t)TILE, inner = DX ? g.N : g.D, width = DX ? g.D : g.N;
    if (e < 0) return;
    int from = g.t.from[blockIdx.x], m = g.t.begin[e + 1] - from;
    if (threadIdx.x < TILE) pairs[threadIdx.x] = (int)threadIdx.x < m ? g.at[from + threadIdx.x] : -1;
    __syncthreads();
    const TW *W = (const TW *)g.W + e * g.N * g.D;
    using pa = place<true>;  /* rows of x or dy */
    using pb = place<!DX>;   /* W [n][d]: summed over d forward, over n for dx */
    T ra[EACH], rb[EACH];
    sums<T> sum;
    sum.clear();
    auto fetch = [&](int64_t k0) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int64_t k = k0 + pa::k(i);
            int pair = pairs[pa::other(i)];
            const T *row = DX ? g.dy + (int64_t)pair * g.N : g.x + pair / g.K * g.x_pitch;
            ra[i] = pair >= 0 && k < inner ? row[k] : cu_as<T>(0);
            int64_t kb = k0 + pb::k(i), c = col0 + pb::other(i);
            rb[i] = kb < inner && c < width ? cu_as<T>(cu_float(DX ? W[kb * g.D + c] : W[c * g.D + kb])) : cu_as<T>(0);
        }
    };
    fetch(0);
    for (int64_t k0 = 0; k0 < inner; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            s.in.a[pa::k(i) * (TILE + PAD) + pa::other(i)] = ra[i];
            s.in.b[pb::k(i) * (TILE + PAD) + pb::other(i)] = rb[i];
        }
        __syncthreads();
        if (k0 + STEP < inner) fetch(k0 + STEP);
        sum.add(s.in.a, s.in.b);
        __syncthreads();
    }
    sum.give(s.out);
    __syncthreads();
    T *to = DX ? g.part : g.y;
    for (int i = threadIdx.x; i < TILE * TILE; i += THREADS) {
        int r = i / TILE;
        int64_t c = col0 + i % TILE;
        if (pairs[r] >= 0 && c < width) to[pairs[r] * width + c] = cu_as<T>(s.out[r * (TILE + PAD) + i % TILE]);
    }
}

/* dW of expert blockIdx.z: sum over its pairs of dy x'. */
template <typename T> static __global__ void __launch_bounds__(THREADS) weight_kernel(grouped<T> g) {
    __shared__ __align__(128) room<T> s;
    int64_t e = blockIdx.z, n0 = blockIdx.y * (int64_t)TILE, d0 = blockIdx.x * (int64_t)TILE;
    int begin = g.t.begin[e], end = g.t.begin[e + 1];
    using p = place<false>;
    T ra[EACH], rb[EACH];
    sums<T> sum;
    sum.clear();
    auto fetch = [&](int k0) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int k = k0 + p::k(i);
            int64_t pair = k < end ? g.at[k] : 0, n = n0 + p::other(i), d = d0 + p::other(i);
            ra[i] = k < end && n < g.N ? g.dy[pair * g.N + n] : cu_as<T>(0);
            rb[i] = k < end && d < g.D ? g.x[pair / g.K * g.x_pitch + d] : cu_as<T>(0);
        }
    };
    fetch(begin);
    for (int k0 = begin; k0 < end; k0 += STEP) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            s.in.a[p::k(i) * (TILE + PAD) + p::other(i)] = ra[i];
            s.in.b[p::k(i) * (TILE + PAD) + p::other(i)] = rb[i];
        }
        __syncthreads();
        if (k0 + STEP < end) fetch(k0 + STEP);
        sum.add(s.in.a, s.in.b);
        __syncthreads();
    }
    sum.give(s.out);
    __syncthreads();
    for (int i = threadIdx.x; i < TILE * TILE; i += THREADS) {
        int64_t n = n0 + i / TILE, d = d0 + i % TILE;
        if (n < g.N && d < g.D) cu_give(g.dW + (e * g.N + n) * g.D + d, s.out[i / TILE * (TILE + PAD) + i % TILE], g.add);
    }
}

/* Pairs without an expert: zeros. */
template <typename T> struct no_expert {
    T *y;
    const int32_t *idx;
    int64_t X, N;
    template <bool FAST> __device__ void run(int64_t pair, int64_t i, int left) const {
        float zero[8] = {};
        if (idx[pair] < 0 || idx[pair] >= X) put<8, FAST>(y + pair * N + i, zero, false, left);
    }
};
/* dx of a row: the sum of those of its pairs, in the order of k. */
template <typename T> struct sum_pairs {
    const T *part;
    const int32_t *idx;
    T *dx;
    int64_t X, K, D, dx_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        float sum[8] = {};
        for (int64_t k = 0; k < K; k++) {
            int32_t e = idx[r * K + k];
            lanes<T, 8> v = get<8, FAST>(part + (r * K + k) * D + i, e >= 0 && e < X ? left : 0);
#pragma unroll
            for (int j = 0; j < 8; j++) sum[j] += v[j];
        }
        put<8, FAST>(dx + r * dx_pitch + i, sum, add, left);
    }
};

/* Scratch: tiles, the experts, the sort's, and backward a dx for each pair. */
static size_t part_at(const kr_call *c) { return list_bytes(c) + flat_bytes(c) + round_up(sort_bytes(c->rows * KR_SIZE(c, 'K'))); }
static kr_status expert_linear_plan_cuda(kr_call *c) {
    int64_t n = c->rows * KR_SIZE(c, 'K');
    if (n > INT32_MAX - 1 || KR_SIZE(c, 'X') > 65535) KR_FAIL(KR_ERR_SHAPE, "expert_linear: more than 2^31 pairs or 65535 experts");
    c->fwd_scratch = part_at(c);
    c->bwd_scratch = part_at(c) + (size_t)(n * KR_SIZE(c, 'D')) * kr_dtype_bytes(c->real);
    return KR_OK;
}

template <typename T, bool DX> static void launch_rows(const kr_call *c, const grouped<T> &g) {
    dim3 grid((unsigned)most_tiles(c), cu_blocks(DX ? g.D : g.N, TILE));
    if (c->in[EXPERT_LINEAR_W].dtype == KR_BF16) cu_launch(rows_kernel<T, bf16, DX>, grid, THREADS, 0, c->stream, g);
    else cu_launch(rows_kernel<T, float, DX>, grid, THREADS, 0, c->stream, g);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[EXPERT_LINEAR_X], *dx = &c->din[EXPERT_LINEAR_X];
    int64_t X = KR_SIZE(c, 'X'), N = KR_SIZE(c, 'N'), D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K'), n = c->rows * K;
    shared_tiles s = make_tiles(c);
    grouped<T> g = {c->in[EXPERT_LINEAR_W].data, (const T *)x->data, (const T *)c->dout[EXPERT_LINEAR_Y].data, s.sorted.at, s.t,
                    (T *)c->out[EXPERT_LINEAR_Y].data, (T *)((char *)c->scratch + part_at(c)), (float *)c->din[EXPERT_LINEAR_W].data, X, N, D, K,
                    x->pitch, n, c->acc[EXPERT_LINEAR_W]};
    if (!back) {
        launch_rows<T, false>(c, g);
        elements(c, n, N, N % 8 == 0 && elements_fast(&c->out[EXPERT_LINEAR_Y], N), no_expert<T>{g.y, s.idx, X, N});
        return;
    }
    if (g.dW) cu_launch(weight_kernel<T>, dim3(cu_blocks(D, TILE), cu_blocks(N, TILE), (unsigned)X), THREADS, 0, c->stream, g);
    if (!dx->data) return;
    launch_rows<T, true>(c, g);
    sum_pairs<T> add = {g.part, s.idx, (T *)dx->data, X, K, D, dx->pitch, c->acc[EXPERT_LINEAR_X]};
    elements(c, c->rows, D, D % 8 == 0 && elements_fast(dx, dx->pitch), add);
}
static void expert_linear_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void expert_linear_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(expert_linear, expert_linear_plan_cuda, expert_linear_fwd_cuda, expert_linear_bwd_cuda)
