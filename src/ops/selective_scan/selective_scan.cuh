/* selective_scan.cuh - what the CUDA forward and backward of selective_scan share.
 *
 * A block owns LANES channels of one group, one sequence and one segment of time: a lane is a
 * channel, a warp has R of the states, in registers, and walks through time.  So B and C are
 * broadcasts, and what must be summed over states is summed over the block's warps, in shared
 * memory.  Time goes by tiles: while one is worked on, the rows of the next are on their way
 * into shared memory.  docs/gpu-notes.md counts what bounds this. */
#ifndef KR_OPS_SELECTIVE_SCAN_CUH
#define KR_OPS_SELECTIVE_SCAN_CUH
#include "ops/scan.cuh"
#include "ops/selective_scan/selective_scan.h"

enum { MANY_BWD = 64 }; /* states, of which backward saves half as often */
enum { SCAN_MAX_SEGS = 32 };

typedef struct scan_args {
    int64_t S, L, D, G, N;
    int64_t per_group, group_tiles;  /* channels of a group, and blocks of them */
    int64_t n_segs, seg;             /* segments of time, and steps of each: whole tiles */
    slab u, dt, z, B, C, dy;
    const float *A, *skip, *bias, *h0;
    const int32_t *seq_idx;
    int64_t seq_pitch;
    const int32_t *order;            /* of each step, its row; NULL: rows are steps */
    bool softplus, wide;             /* wide: rows can be copied 16 bytes at a time */
    float *saved;                    /* [S][steps / scan_every][tile][N][LANES]: states before every so many steps */
    float *ends, *decays;            /* [S][segment][tile][N][LANES]: see join_segments */
    void *y;
    float *h1;
} scan_args;

typedef struct scan_grads {
    void *du, *ddt, *dz;
    int64_t du_pitch, ddt_pitch, dz_pitch;
    bool acc_u, acc_dt, acc_z, acc_h0;
    const float *dh1;
    float *dh0;
    float *B, *C;               /* a block's sums: [tile of the group][S L][G N] */
    float *A, *skip, *bias;     /* [S][segment][D N], [S][segment][D] */
    float *ends, *decays;       /* [S][segment][tile][N][LANES]: what a segment gives, see scan_bwd_ends */
} scan_grads;

/* The steps between saved states, which is the tile of backward. */
static inline __host__ __device__ int scan_every(int64_t N) { return N <= MANY_BWD ? 16 : 8; }

scan_args scan_args_of(const kr_call *c, int64_t n_segs);
int64_t scan_segments(int64_t blocks, int64_t L);
void selective_scan_bwd_cuda(const kr_call *c);
/* bfloat16 with 16 states, where there is a faster way; else they return false. */
bool scan_fwd_16(const scan_args &a, bool is_bf16, void *stream);
bool scan_bwd_16(const scan_args &a, const scan_grads &o, bool is_bf16, void *stream);
size_t selective_scan_bwd_bytes(const kr_call *c);

/* Bytes of shared memory that a block may ask for. */
static inline size_t shared_limit(void) {
    int device = 0, bytes = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return (size_t)bytes;
}

/* ---- numbers ---- */
static __device__ __forceinline__ float ex2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
static constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;
static constexpr float RESET = -1e30f; /* added to an exponent: what was before is forgotten */

static __device__ __forceinline__ float rcp(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
static __device__ __forceinline__ float sigmoid(float x) { return rcp(1.f + ex2(-LOG2_E * x)); }
/* max(x, 0) + log1p(e), e = exp(-|x|); log1p(e) / e is a polynomial, so that small steps keep their digits. */
static __device__ __forceinline__ float softplus(float x) {
    float e = ex2(-LOG2_E * fabsf(x)), p = 0.00512610236f;
    p = fmaf(p, e, -0.0290740654f), p = fmaf(p, e, 0.0775160864f), p = fmaf(p, e, -0.136022478f);
    p = fmaf(p, e, 0.190768808f), p = fmaf(p, e, -0.248353988f), p = fmaf(p, e, 0.333181202f);
    p = fmaf(p, e, -0.499994457f), p = fmaf(p, e, 0.99999994f);
    return fmaf(p, e, fmaxf(x, 0.f));
}

static __device__ __forceinline__ void mma(float (&d)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                           unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/* ---- where a block is ---- */
typedef struct scan_place {
    int64_t s, seg, tile, group, j; /* j: which tile of the group */
    int64_t d0, t0, t1;             /* first channel; steps [t0, t1) */
    int n;                          /* channels, at most LANES */
} scan_place;
static __device__ __forceinline__ scan_place place_of(const scan_args &a) {
    scan_place p;
    int64_t tiles = a.G * a.group_tiles, b = blockIdx.x;
    p.tile = b % tiles, b /= tiles;
    p.seg = b % a.n_segs, p.s = b / a.n_segs;
    p.group = p.tile / a.group_tiles, p.j = p.tile % a.group_tiles;
    p.d0 = p.group * a.per_group + p.j * LANES;
    int64_t left = a.per_group - p.j * LANES;
    p.n = left < LANES ? (int)left : LANES;
    p.t0 = p.seg * a.seg;
    p.t1 = p.t0 + a.seg < a.L ? p.t0 + a.seg : a.L;
    return p;
}
/* Where state 0 of this block's lane lies in an array [S][n_blocks of time][tile][N][LANES]. */
static __device__ __forceinline__ int64_t state_at(const scan_args &a, const scan_place &p, int64_t i, int64_t n) {
    return (((p.s * n + i) * a.G * a.group_tiles + p.tile) * a.N) * LANES + threadIdx.x;
}

/* ---- rows by a list: kernels with ORDER ----
 * The rows of a tile's steps lie in shared memory, in a ring of four tiles: they have come before the
 * tile's rows are fetched, and stay until its results are stored. */
enum { RING = 4 };
/* Of the tile that begins at step t; TILE divides t. */
template <int TILE> __device__ __forceinline__ int *ring_at(int *ring, int64_t t) {
    return ring + ((int)t & (RING * TILE - 1));
}
static __device__ __forceinline__ void copy_4(void *to, const void *from, bool real) {
    unsigned at = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(real ? 4 : 0) : "memory");
}
/* The rows of the steps [t, t + TILE), zeros from `end` on; a step a thread. */
template <int TILE>
__device__ __forceinline__ void copy_order(int *ring, const scan_args &a, int64_t t, int64_t end) {
    const int i = threadIdx.y * LANES + threadIdx.x;
    const bool real = t + i < end;
    if (i < TILE) copy_4(ring_at<TILE>(ring, t) + i, a.order + (real ? t + i : 0), real);
}
/* The same now, for what begins with this tile. */
template <int TILE> __device__ __forceinline__ void first_order(int *ring, const scan_args &a, const scan_place &p, int64_t t) {
    copy_order<TILE>(ring, a, t, p.t1);
    copy_wait();
    __syncthreads();
}
/* copy_rows of scan.cuh where step t of the tile is row at[t] of the sequence, whose row 0 is `row`. */
template <typename T, int TILE>
__device__ __forceinline__ void copy_rows_at(T *to, int width, const slab &x, int64_t row, const int *at, int64_t col,
                                             int rows, int n, bool wide, const copy_lane &l) {
    const T *from = (const T *)x.p + row * x.pitch + col;
    if (wide) {
        for (int t = l.row; t < TILE; t += l.rows) {
            bool real = t < rows && l.col < n;
            copy_16(to + t * width + l.col, real ? from + at[t] * x.pitch + l.col : (const T *)x.p, real);
        }
    } else {
        int tid = threadIdx.y * LANES + threadIdx.x, threads = blockDim.y * LANES;
        for (int i = tid; i < TILE * width; i += threads) {
            int t = i / width, c = i % width;
            to[i] = t < rows && c < n ? from[at[t] * x.pitch + c] : cu_as<T>(0.f);
        }
    }
}
/* Jobs of row 0 of the sequence, which copy_jobs_at puts at a step's row. */
template <int JOBS> __device__ __forceinline__ void to_first_row(copy_job (&jobs)[JOBS]) {
#pragma unroll
    for (int j = 0; j < JOBS; j++)
        if (jobs[j].to != NO_JOB && jobs[j].row != ZERO_ROW) jobs[j].from -= jobs[j].row * jobs[j].step;
}
template <int JOBS>
__device__ __forceinline__ void copy_jobs_at(const copy_job (&jobs)[JOBS], void *slot, int rows, const int *at) {
#pragma unroll
    for (int j = 0; j < JOBS; j++) {
        if (jobs[j].to == NO_JOB) continue;
        bool real = jobs[j].row < rows;
        copy_16((char *)slot + jobs[j].to, jobs[j].from + (real ? at[jobs[j].row] * jobs[j].step : 0), real);
    }
}

/* Elements of a row of B or C in shared memory.  For few states a constant, so that the inner loops
 * need no addresses. */
template <int R, int WARPS> __host__ __device__ __forceinline__ int width_of(int warps) {
    return R * WARPS == 16 ? 16 : R * warps;
}
/* n elements of T as floats. */
template <typename T> __device__ __forceinline__ void widen(float *to, const T *from, int n) {
#pragma unroll 4
    for (int i = threadIdx.y * LANES + threadIdx.x; i < n; i += blockDim.y * LANES) to[i] = cu_float(from[i]);
}

template <int R> __device__ __forceinline__ void load_states(float (&v)[R], const float *p) {
    if constexpr (R == 2) {
        float2 x = *(const float2 *)p;
        v[0] = x.x, v[1] = x.y;
    } else
#pragma unroll
    for (int r = 0; r < R; r += 4) {
        float4 x = *(const float4 *)(p + r);
        v[r] = x.x, v[r + 1] = x.y, v[r + 2] = x.z, v[r + 3] = x.w;
    }
}
/* dt after softplus of four steps of a lane; beyond `rows` nothing moves. */
static __device__ __forceinline__ void steps_of(float (&step)[4], bool use_softplus, int t, int rows) {
    if (use_softplus) {
#pragma unroll
        for (int k = 0; k < 4; k++) step[k] = softplus(step[k]);
    }
    if (t + 4 > rows) {
#pragma unroll
        for (int k = 0; k < 4; k++) step[k] = t + k < rows ? step[k] : 0.f;
    }
}
#endif
