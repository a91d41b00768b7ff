/* rows.cuh - what the row-wise CUDA kernels share: loads and stores of a few elements at a
 * time, sums over the threads of a row, and sums over rows that always run in one order.
 *
 * A thread always owns the same elements of a row, whether it may load them as vectors
 * (FAST: rows aligned and whole) or one by one: both give the same bits. */
#ifndef KR_OPS_ROWS_CUH
#define KR_OPS_ROWS_CUH
#include "cuda/early.cuh"
#include "ops/op.h"

/* N elements as they lie in memory, loaded by as few instructions as can be. */
template <typename T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) lanes {
    T v[N];
    __device__ __forceinline__ float operator[](int i) const { return cu_float(v[i]); }
};

/* All of them as floats, and back: two of bfloat16 in an instruction each way. */
template <int N> static __device__ __forceinline__ void open(float (&to)[N], const lanes<float, N> &from) {
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = from.v[i];
}
template <int N> static __device__ __forceinline__ void open(float (&to)[N], const lanes<bf16, N> &from) {
    const unsigned *pair = (const unsigned *)&from;
#pragma unroll
    for (int i = 0; i < N / 2; i++) to[2 * i] = __uint_as_float(pair[i] << 16), to[2 * i + 1] = __uint_as_float(pair[i] & 0xffff0000u);
    if (N % 2) to[N - 1] = from[N - 1];
}
template <typename T, int N> static __device__ __forceinline__ lanes<T, N> closed(const float (&from)[N]) {
    lanes<T, N> to;
#pragma unroll
    for (int i = 0; i < N; i++) to.v[i] = cu_as<T>(from[i]);
    if constexpr (sizeof(T) == 2 && N % 2 == 0) {
        __nv_bfloat162 *pair = (__nv_bfloat162 *)&to;
#pragma unroll
        for (int i = 0; i < N / 2; i++) pair[i] = __floats2bfloat162_rn(from[2 * i], from[2 * i + 1]);
    }
    return to;
}

/* N elements at p, of which `left` exist (any number <= 0: none); zeros for the others. */
template <int N, bool FAST, typename T> static __device__ __forceinline__ lanes<T, N> get(const T *p, int left) {
    lanes<T, N> x;
    if (FAST) {
        if (left > 0) return *(const lanes<T, N> *)p;
#pragma unroll
        for (int i = 0; i < N; i++) x.v[i] = cu_as<T>(0);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) x.v[i] = i < left ? p[i] : cu_as<T>(0);
    }
    return x;
}

/* The same of a weight that may be absent: ones.  No branch, so that loads stay together. */
template <int N, bool FAST> static __device__ __forceinline__ lanes<float, N> get_weight(const float *w, int i, int left) {
    lanes<float, N> x = get<N, FAST>(w + i, w ? left : 0);
    float one = w ? 0.0f : 1.0f;
#pragma unroll
    for (int j = 0; j < N; j++) x.v[j] += one;
    return x;
}

/* p = v, or p += v; of N elements the `left` that exist. */
template <int N, bool FAST, typename T>
static __device__ __forceinline__ void put(T *p, const float (&v)[N], bool add, int left) {
    lanes<T, N> y;
    if (left <= 0) return;
    if (add) {
        lanes<T, N> old = get<N, FAST>(p, left);
        float sum[N];
#pragma unroll
        for (int i = 0; i < N; i++) sum[i] = old[i] + v[i];
        y = closed<T>(sum);
    } else y = closed<T>(v);
    if (FAST) *(lanes<T, N> *)p = y;
    else {
#pragma unroll
        for (int i = 0; i < N; i++)
            if (i < left) p[i] = y.v[i];
    }
}

/* --- loads ahead: into shared memory, where a thread reads only what it loaded itself -------- */

/* N elements at p, on their way to `to`. */
template <int N, typename T> static __device__ __forceinline__ void fetch(lanes<T, N> *to, const T *p) {
    constexpr int bytes = sizeof(lanes<T, N>) < 16 ? (int)sizeof(lanes<T, N>) : 16;
#pragma unroll
    for (int b = 0; b < (int)sizeof(lanes<T, N>); b += bytes)
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"((unsigned)__cvta_generic_to_shared((char *)to + b)),
                     "l"((const char *)p + b), "n"(bytes)
                     : "memory");
}
static __device__ __forceinline__ void fetch_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* Until all but the last N groups have come. */
template <int N> static __device__ __forceinline__ void fetch_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

/* Whether vectors of n elements may be loaded from every row; absent counts as yes. */
static inline bool rows_aligned(const void *data, int64_t pitch, size_t elem, int n) {
    return !data || cu_aligned(data, pitch, elem, elem * (size_t)n < 16 ? elem * (size_t)n : 16);
}
/* 1 / (1 + exp(-x)) in four instructions, good to float's accuracy near 1e-6. */
static __device__ __forceinline__ float fast_sigmoid(float x) {
    float e, s;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(x * -1.44269504f));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(1.0f + e));
    return s;
}

/* --- sums over the threads of a row ---------------------------------------------------- */

enum { ROW_THREADS = 512, ROW_WARPS = ROW_THREADS / 32 }; /* at most in a block */

/* How a block works on rows: `threads` (whole warps) each, `at_once` rows. */
typedef struct row_split { int threads, at_once; } row_split;
static inline row_split row_split_for(int64_t chunks, int per_thread) {
    int threads = (int)((chunks + per_thread * 32 - 1) / (per_thread * 32)) * 32;
    row_split s = {threads < 32 ? 32 : threads, threads <= 128 ? 256 / (threads < 32 ? 32 : threads) : 1};
    return s;
}
static inline unsigned row_block(row_split s) { return (unsigned)(s.threads * s.at_once); }

/* v summed over the threads of this thread's row, the same bits in each of them.  All
 * threads of the block call it together.  `turn` counts the calls: buffers alternate, so
 * that one barrier is enough. */
template <int N>
static __device__ __forceinline__ void row_sum(float (&v)[N], int threads, float (&buffer)[2][ROW_WARPS][N], int turn) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int d = 16; d; d /= 2) v[n] += __shfl_xor_sync(~0u, v[n], d);
    if (threads == 32) return;
    int warp = (int)threadIdx.x / 32, first = (int)threadIdx.x / threads * (threads / 32);
    if (threadIdx.x % 32 == 0)
#pragma unroll
        for (int n = 0; n < N; n++) buffer[turn & 1][warp][n] = v[n];
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++) {
        v[n] = 0;
        for (int w = 0; w < threads / 32; w++) v[n] += buffer[turn & 1][first + w][n];
    }
}

/* The same in blocks of [rows][threads], where only the warps of a row wait for each other; of two numbers it takes hardly
 * more shuffles than of one.  `buffer` is free again once the threads of the row have met twice more. */
template <int N> static __device__ __forceinline__ void slot_sum(float (&v)[N], float (&buffer)[ROW_WARPS][N]) {
    static_assert(N == 1 || N == 2, "one or two");
    const int warps = (int)blockDim.x / 32, lane = (int)threadIdx.x % 32;
    const bool high = N == 2 && lane & 16;
    float(*share)[N] = buffer + threadIdx.y * warps;
    float mine = high ? v[N - 1] : v[0];
    mine += __shfl_xor_sync(~0u, high ? v[0] : v[N - 1], 16);
#pragma unroll
    for (int d = 8; d; d /= 2) mine += __shfl_xor_sync(~0u, mine, d);
    if (lane % (32 / N) == 0) share[threadIdx.x / 32][high] = mine;
    if (warps > 1) asm volatile("bar.sync %0, %1;" ::"r"(threadIdx.y + 1), "r"(blockDim.x) : "memory");
    else __syncwarp();
#pragma unroll
    for (int i = 0; i < N; i++) v[i] = share[0][i];
#pragma unroll 1
    for (int n = 1; n < warps; n++)
#pragma unroll
        for (int i = 0; i < N; i++) v[i] += share[n][i];
}

/* --- sums over rows ------------------------------------------------------------------------ */

/* Blocks that share the rows of a backward, at most `most`: a constant, never the number of
 * multiprocessors, so that a sum has the same bits wherever it runs. */
static inline int64_t row_blocks(int64_t rows, int at_once, int64_t most) {
    int64_t n = (rows + at_once - 1) / at_once;
    return n < 1 ? 1 : n < most ? n : most;
}

/* Sum over b of part[b * stride + i] for the PART_COLUMNS columns i from blockIdx.x * PART_COLUMNS on: each of as many warps
 * gets a column.  Its first thread has the sum, and true.  Early: it waits for the launch that makes the parts. */
enum { PART_COLUMNS = 16, PART_AHEAD = 16 };
static __device__ __forceinline__ bool part_sum(const float *part, int64_t n_parts, int64_t stride, int64_t width, int64_t *column,
                                                float *sum) {
    __shared__ float shares[32][PART_COLUMNS + 1];
    const int x = (int)threadIdx.x % PART_COLUMNS, y = (int)threadIdx.x / PART_COLUMNS;
    const int64_t i = blockIdx.x * (int64_t)PART_COLUMNS + x;
    float v = 0;
    early_wait();
    const float *from = part + y * stride + (i < width ? i : 0);
    for (int64_t b = y; b < n_parts; b += 32 * PART_AHEAD, from += 32 * PART_AHEAD * stride) {
        float some[PART_AHEAD];
        const int left = n_parts - b < 32 * PART_AHEAD ? (int)(n_parts - b) : 32 * PART_AHEAD;
#pragma unroll
        for (int k = 0; k < PART_AHEAD; k++) some[k] = from[(32 * k < left ? k : 0) * 32 * stride]; /* always a load: where one may be left out, each waits for the one before */
#pragma unroll
        for (int k = 0; k < PART_AHEAD; k++) v += 32 * k < left ? some[k] : 0;
    }
    shares[y][x] = v;
    __syncthreads();
    *sum = cu_warp_sum(shares[threadIdx.x % 32][threadIdx.x / 32]);
    *column = blockIdx.x * (int64_t)PART_COLUMNS + threadIdx.x / 32;
    return threadIdx.x % 32 == 0 && *column < width;
}

/* d = or += the sum over n_parts rows of part. */
static __global__ void __launch_bounds__(32 * PART_COLUMNS) sum_parts_kernel(float *d, bool add, const float *part, int64_t n_parts,
                                                                             int64_t stride, int64_t width) {
    int64_t i;
    float sum;
    if (part_sum(part, n_parts, stride, width, &i, &sum)) d[i] = add ? d[i] + sum : sum;
}
/* After the launch that makes the parts, at once. */
static inline void sum_parts(const kr_call *c, float *d, bool add, const float *part, int64_t n_parts, int64_t stride,
                             int64_t width) {
    if (d) early_launch(sum_parts_kernel, cu_blocks(width, PART_COLUMNS), 32 * PART_COLUMNS, c->stream, d, add, part, n_parts, stride, width);
}

/* part[block][n] = the share of this block of rows in  sum over rows of dy, or of dy times a. */
template <typename T, bool FAST>
static __global__ void __launch_bounds__(256) column_parts_kernel(int64_t rows, int64_t N, const T *dy, const T *a, int64_t a_pitch,
                                                                  float sign, float *part) {
    __shared__ float share[8][32][4];
    int64_t col = (blockIdx.x * (int64_t)32 + threadIdx.x) * 4;
    int left = N - col > 4 ? 4 : (int)(N - col);
    float sum[4] = {};
#pragma unroll 4
    for (int64_t r = blockIdx.y * 8 + threadIdx.y; r < rows; r += gridDim.y * 8) {
        lanes<T, 4> v = get<4, FAST>(dy + r * N + col, left), f = get<4, FAST>(a + r * a_pitch + col, a ? left : 0);
#pragma unroll
        for (int i = 0; i < 4; i++) sum[i] += a ? v[i] * f[i] : v[i];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) share[threadIdx.y][threadIdx.x][i] = sign * sum[i];
    __syncthreads();
    int t = (int)(threadIdx.y * 32 + threadIdx.x);
    if (t >= 128 || blockIdx.x * (int64_t)128 + t >= N) return;
    float v = 0;
    for (int n = 0; n < 8; n++) v += share[n][t / 4][t % 4];
    part[blockIdx.y * N + blockIdx.x * (int64_t)128 + t] = v;
}
enum { COLUMN_BLOCKS = 64 }; /* shares of the rows, at most */
static inline size_t column_sum_bytes(int64_t N) { return (size_t)(COLUMN_BLOCKS * N) * sizeof(float); }
/* d = or += the sum over rows of sign dy (times a, unless that is NULL). */
template <typename T>
static void column_sum(const kr_call *c, float *d, bool add, const T *dy, const T *a, int64_t a_pitch, float sign, int64_t N, float *part) {
    int64_t blocks = row_blocks(c->rows, 64, COLUMN_BLOCKS);
    dim3 grid(cu_blocks(N, 128), (unsigned)blocks), block(32, 8);
    bool fast = N % 4 == 0 && rows_aligned(dy, N, sizeof(T), 4) && rows_aligned(a, a_pitch, sizeof(T), 4);
    cu_launch(fast ? column_parts_kernel<T, true> : column_parts_kernel<T, false>, grid, block, 0, c->stream, c->rows, N, dy, a, a_pitch,
              sign, part);
    sum_parts(c, d, add, part, blocks, N, N);
}
#endif
