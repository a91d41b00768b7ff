/* expert_linear.cu - expert_linear on a GPU: pairs (row, k) sorted by expert, then one kernel for
 * the products of all experts.
 *
 * How many rows an expert has is known to the device alone, so the grid is for the worst case
 * (every expert's last tile nearly empty) and a list made before says whose rows a tile has;
 * blocks without a tile end at once.
 *
 * bfloat16 whose rows can be read 16 bytes at a time: a block makes 128 x 128 numbers on tensor
 * cores (wmma), tiles of 32 in the summed axis coming by cp.async as they lie in memory while
 * those before are worked on.  All else: 64 x 64 numbers, tiles through registers.
 * dx of a row is summed over its K experts by a second kernel, so nothing is added atomically. */
#include "ops/expert_linear/expert_linear.h"

#include <mma.h>

#include <type_traits>

#include "ops/elements.cuh"
#include "ops/sort.cuh"

enum { TILE = 64, STEP = 32, THREADS = 128, PAD = 8 };

typedef struct tiles { int32_t *begin, *expert, *from; } tiles; /* where experts' pairs begin; of each tile: whose, from which pair */
static int64_t most_tiles(const kr_call *c) { return (c->rows * KR_SIZE(c, 'K') + TILE - 1) / TILE + KR_SIZE(c, 'X'); }
static size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }
static size_t list_bytes(const kr_call *c) { return round_up((size_t)(KR_SIZE(c, 'X') + 2 + 2 * most_tiles(c)) * sizeof(int32_t)); }

static size_t flat_bytes(const kr_call *c) { return round_up((size_t)(c->rows * KR_SIZE(c, 'K')) * sizeof(int32_t)); }

/* One block: experts by binary search in the sorted list, tiles by a walk over experts. */
static __global__ void __launch_bounds__(256) tiles_kernel(int64_t n, int64_t X, int64_t most, int rows, const int32_t *id, tiles t) {
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
        for (int32_t from = t.begin[e]; from < t.begin[e + 1]; from += rows) t.expert[at] = (int32_t)e, t.from[at] = from, at++;
    for (; at < most; at++) t.expert[at] = -1;
}

/* The experts of all pairs side by side. */
static __global__ void flat_kernel(int64_t n, int64_t K, const int32_t *idx, int64_t pitch, int32_t *to) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) to[i] = idx[i / K * pitch + i % K];
}

typedef struct shared_tiles { sorted_ids sorted; tiles t; const int32_t *idx; } shared_tiles;
static shared_tiles make_tiles(const kr_call *c, int rows) {
    const kr_tensor *idx = &c->in[EXPERT_LINEAR_IDX];
    int64_t K = KR_SIZE(c, 'K'), n = c->rows * K, X = KR_SIZE(c, 'X'), most = most_tiles(c);
    int32_t *list = (int32_t *)c->scratch, *flat = (int32_t *)((char *)c->scratch + list_bytes(c));
    cu_launch(flat_kernel, cu_blocks(n, 256), 256, 0, c->stream, n, K, (const int32_t *)idx->data, idx->pitch, flat);
    shared_tiles s = {sort_ids((char *)flat + flat_bytes(c), flat, 1, n, X, c->stream), {list, list + X + 2, list + X + 2 + most}, flat};
    cu_launch(tiles_kernel, 1, 256, 0, c->stream, n, X, most, rows, (const int32_t *)s.sorted.id, s.t);
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
 * memory after them.  SUMMED: the summed axis lies along memory (x, W in forward), so threads
 * run over it; else the other axis does. */
template <bool SUMMED> struct place {
    static __device__ int k(int i) { return SUMMED ? threadIdx.x % STEP : (i * THREADS + threadIdx.x) / TILE; }
    static __device__ int other(int i) { return SUMMED ? (i * THREADS + threadIdx.x) / STEP : threadIdx.x % TILE; }
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

/* Rows of a tile of pairs: forward (BACK false) y = W x, or dx = W' dy. */
template <typename T, typename TW, bool BACK> static __global__ void __launch_bounds__(THREADS) rows_kernel(grouped<T> g) {
    __shared__ __align__(128) room<T> s;
    __shared__ int32_t pairs[TILE];
    int64_t e = g.t.expert[blockIdx.x], col0 = blockIdx.y * (int64_t)TILE, inner = BACK ? g.N : g.D, width = BACK ? g.D : g.N;
    if (e < 0) return;
    int from = g.t.from[blockIdx.x], m = g.t.begin[e + 1] - from;
    if (threadIdx.x < TILE) pairs[threadIdx.x] = (int)threadIdx.x < m ? g.at[from + threadIdx.x] : -1;
    __syncthreads();
    const TW *W = (const TW *)g.W + e * g.N * g.D;
    using pa = place<true>;  /* rows of x or dy */
    using pb = place<!BACK>;   /* W [n][d]: summed over d forward, over n for dx */
    T ra[EACH], rb[EACH];
    sums<T> sum;
    sum.clear();
    auto fetch = [&](int64_t k0) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int64_t k = k0 + pa::k(i);
            int pair = pairs[pa::other(i)];
            const T *row = BACK ? g.dy + (int64_t)pair * g.N : g.x + pair / g.K * g.x_pitch;
            ra[i] = pair >= 0 && k < inner ? row[k] : cu_as<T>(0);
            int64_t kb = k0 + pb::k(i), c = col0 + pb::other(i);
            rb[i] = kb < inner && c < width ? cu_as<T>(cu_float(BACK ? W[kb * g.D + c] : W[c * g.D + kb])) : cu_as<T>(0);
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
    T *to = BACK ? g.part : g.y;
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

/* --- the same for bfloat16 whose rows are whole vectors ---------------------------------- */

enum { FORWARD, DX, DW }; /* what is made */
enum { BIG = 128, BIG_THREADS = 256, ALONG = STEP + 8, ACROSS = BIG + 8, VECTORS = BIG * STEP / 8 / BIG_THREADS };

static __device__ __forceinline__ void fetch16(bf16 *to, const bf16 *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(there ? 16 : 0) : "memory");
}

/* Tiles lie as in memory: rows with the summed axis along them (ALONG apart), or one row for each
 * of its steps (ACROSS apart). */
template <int WHAT> static __global__ void __launch_bounds__(BIG_THREADS) big_kernel(grouped<bf16> g) {
    using namespace nvcuda::wmma;
    __shared__ __align__(128) bf16 sa[2][BIG * ALONG], sb[2][BIG * ALONG];
    __shared__ int32_t pairs[BIG];
    int64_t e = WHAT == DW ? (int64_t)blockIdx.z : g.t.expert[blockIdx.x];
    if (e < 0) return;
    int begin = g.t.begin[e], end = g.t.begin[e + 1], from = WHAT == DW ? begin : g.t.from[blockIdx.x], warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int64_t inner = WHAT == FORWARD ? g.D : WHAT == DX ? g.N : end - begin, width = WHAT == FORWARD ? g.N : g.D;
    int64_t col0 = (WHAT == DW ? blockIdx.x : blockIdx.y) * (int64_t)BIG, row0 = WHAT == DW ? blockIdx.y * (int64_t)BIG : 0;
    const bf16 *W = (const bf16 *)g.W + e * g.N * g.D;
    if (WHAT != DW && threadIdx.x < BIG) pairs[threadIdx.x] = from + (int)threadIdx.x < end ? g.at[from + threadIdx.x] : -1;
    __syncthreads();

    auto fetch = [&](int64_t k0, int stage) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            int v = i * BIG_THREADS + (int)threadIdx.x, r = v / (STEP / 8), k = v % (STEP / 8) * 8, step = v / (BIG / 8), c = v % (BIG / 8) * 8;
            bool ka = k0 + k < inner, ks = k0 + step < inner, in_width = col0 + c < width;
            if (WHAT == DW) {
                int64_t pair = ks ? g.at[begin + k0 + step] : 0;
                bool a = ks && row0 + c < g.N, b = ks && in_width;
                fetch16(&sa[stage][step * ACROSS + c], a ? g.dy + pair * g.N + row0 + c : g.dy, a);
                fetch16(&sb[stage][step * ACROSS + c], b ? g.x + pair / g.K * g.x_pitch + col0 + c : g.x, b);
                continue;
            }
            int64_t pair = pairs[r];
            bool a = pair >= 0 && ka;
            const bf16 *rows = WHAT == FORWARD ? g.x : g.dy;
            fetch16(&sa[stage][r * ALONG + k], a ? rows + (WHAT == FORWARD ? pair / g.K * g.x_pitch : pair * g.N) + k0 + k : rows, a);
            bool b = WHAT == FORWARD ? ka && col0 + r < width : ks && in_width;
            if (WHAT == FORWARD) fetch16(&sb[stage][r * ALONG + k], b ? W + (col0 + r) * g.D + k0 + k : W, b);
            else fetch16(&sb[stage][step * ACROSS + c], b ? W + (k0 + step) * g.D + col0 + c : W, b);
        }
        fetch_commit();
    };
    fragment<accumulator, 16, 16, 16, float> sum[4][2]; /* a warp makes 64 x 32 */
#pragma unroll
    for (int i = 0; i < 8; i++) fill_fragment(sum[i / 2][i % 2], 0.0f);
    int m0 = warp / 4 * 64, n0 = warp % 4 * 32;
    if (inner > 0) fetch(0, 0);
    for (int64_t k0 = 0, stage = 0; k0 < inner; k0 += STEP, stage ^= 1) {
        if (k0 + STEP < inner) fetch(k0 + STEP, (int)stage ^ 1);
        else fetch_commit(); /* an empty group, so that waiting for all but one is right */
        fetch_wait<1>();
        __syncthreads();
#pragma unroll
        for (int k = 0; k < STEP; k += 16) {
            if constexpr (WHAT == DW) {
                fragment<matrix_a, 16, 16, 16, bf16, col_major> a[4];
                fragment<matrix_b, 16, 16, 16, bf16, row_major> b[2];
#pragma unroll
                for (int i = 0; i < 4; i++) load_matrix_sync(a[i], &sa[stage][k * ACROSS + m0 + 16 * i], ACROSS);
#pragma unroll
                for (int j = 0; j < 2; j++) load_matrix_sync(b[j], &sb[stage][k * ACROSS + n0 + 16 * j], ACROSS);
#pragma unroll
                for (int i = 0; i < 8; i++) mma_sync(sum[i / 2][i % 2], a[i / 2], b[i % 2], sum[i / 2][i % 2]);
            } else {
                fragment<matrix_a, 16, 16, 16, bf16, row_major> a[4];
                using layout = typename std::conditional<WHAT == FORWARD, col_major, row_major>::type;
                fragment<matrix_b, 16, 16, 16, bf16, layout> b[2];
#pragma unroll
                for (int i = 0; i < 4; i++) load_matrix_sync(a[i], &sa[stage][(m0 + 16 * i) * ALONG + k], ALONG);
#pragma unroll
                for (int j = 0; j < 2; j++)
                    load_matrix_sync(b[j], WHAT == FORWARD ? &sb[stage][(n0 + 16 * j) * ALONG + k] : &sb[stage][k * ACROSS + n0 + 16 * j],
                                     WHAT == FORWARD ? ALONG : ACROSS);
#pragma unroll
                for (int i = 0; i < 8; i++) mma_sync(sum[i / 2][i % 2], a[i / 2], b[i % 2], sum[i / 2][i % 2]);
            }
        }
        __syncthreads();
    }
    /* through shared memory, 16 x 16 at a time: a thread writes 8 numbers of a row */
    enum { WIDE = 20 };
    float *mine = (float *)&sa[0][0] + warp * 16 * WIDE;
    int r = lane / 2, c8 = lane % 2 * 8;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        store_matrix_sync(mine, sum[i / 2][i % 2], WIDE, mem_row_major);
        __syncwarp();
        int row = m0 + i / 2 * 16 + r;
        int64_t col = col0 + n0 + i % 2 * 16 + c8;
        float out[8];
#pragma unroll
        for (int j = 0; j < 8; j++) out[j] = mine[r * WIDE + c8 + j];
        if (WHAT == DW && row0 + row < g.N && col < width) put<8, true>(g.dW + (e * g.N + row0 + row) * g.D + col, out, g.add, 8);
        if (WHAT != DW && col < width && pairs[row] >= 0) put<8, true>((WHAT == DX ? g.part : g.y) + pairs[row] * width + col, out, false, 8);
        __syncwarp();
    }
}

/* Whether all that the products read and write are whole vectors. */
static bool goes_big(const kr_call *c) {
    const kr_tensor *x = &c->in[EXPERT_LINEAR_X], *W = &c->in[EXPERT_LINEAR_W], *y = &c->out[EXPERT_LINEAR_Y], *dy = &c->dout[EXPERT_LINEAR_Y];
    int64_t D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    return c->real == KR_BF16 && W->dtype == KR_BF16 && D % 8 == 0 && N % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(W, D) && elements_fast(y, N) &&
           elements_fast(dy, N) && cu_aligned(c->din[EXPERT_LINEAR_W].data, D, sizeof(float), 16);
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

template <typename T, bool BACK> static void launch_rows(const kr_call *c, const grouped<T> &g) {
    if constexpr (sizeof(T) == 2)
        if (goes_big(c)) {
            dim3 big((unsigned)most_tiles(c), cu_blocks(BACK ? g.D : g.N, BIG));
            cu_launch(big_kernel<BACK ? DX : FORWARD>, big, BIG_THREADS, 0, c->stream, g);
            return;
        }
    dim3 grid((unsigned)most_tiles(c), cu_blocks(BACK ? g.D : g.N, TILE));
    if (c->in[EXPERT_LINEAR_W].dtype == KR_BF16) cu_launch(rows_kernel<T, bf16, BACK>, grid, THREADS, 0, c->stream, g);
    else cu_launch(rows_kernel<T, float, BACK>, grid, THREADS, 0, c->stream, g);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[EXPERT_LINEAR_X], *dx = &c->din[EXPERT_LINEAR_X];
    int64_t X = KR_SIZE(c, 'X'), N = KR_SIZE(c, 'N'), D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K'), n = c->rows * K;
    shared_tiles s = make_tiles(c, goes_big(c) ? (int)BIG : (int)TILE);
    grouped<T> g = {c->in[EXPERT_LINEAR_W].data, (const T *)x->data, (const T *)c->dout[EXPERT_LINEAR_Y].data, s.sorted.at, s.t,
                    (T *)c->out[EXPERT_LINEAR_Y].data, (T *)((char *)c->scratch + part_at(c)), (float *)c->din[EXPERT_LINEAR_W].data, X, N, D, K,
                    x->pitch, n, c->acc[EXPERT_LINEAR_W]};
    if (!back) {
        launch_rows<T, false>(c, g);
        elements(c, n, N, N % 8 == 0 && elements_fast(&c->out[EXPERT_LINEAR_Y], N), no_expert<T>{g.y, s.idx, X, N});
        return;
    }
    if constexpr (sizeof(T) == 2)
        if (g.dW && goes_big(c))
            cu_launch(big_kernel<DW>, dim3(cu_blocks(D, BIG), cu_blocks(N, BIG), (unsigned)X), BIG_THREADS, 0, c->stream, g);
    if (g.dW && !goes_big(c)) cu_launch(weight_kernel<T>, dim3(cu_blocks(D, TILE), cu_blocks(N, TILE), (unsigned)X), THREADS, 0, c->stream, g);
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
