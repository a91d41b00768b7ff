/* scan.cuh - what the CUDA kernels of the scans share: lanes are channels, time goes by tiles.
 *
 * Rows [steps][channels] of the next tile are copied to shared memory while a tile is worked on;
 * what is summed over a block's warps lies in shared memory as [lane][step]. */
#ifndef KR_OPS_SCAN_CUH
#define KR_OPS_SCAN_CUH
#include "cuda/kernel.cuh"

enum { LANES = 32 };

typedef struct slab { const void *p; int64_t pitch; } slab; /* rows of activations; p NULL: absent */
static inline slab slab_of(const kr_tensor *t) { return slab{t->data, t->pitch}; }
/* Can 16 bytes be copied at a time?  (Nothing there needs no copy.) */
static inline bool is_wide(const slab &x, int64_t bytes) { return cu_aligned(x.p, x.pitch, (size_t)bytes, 16); }

/* A lane's row of TILE floats in shared memory: 16-byte accesses without conflicts. */
template <int TILE> struct pitch { enum { value = TILE + 4 }; };

static __device__ __forceinline__ float4 &four(float *p) { return *(float4 *)p; }
static __device__ __forceinline__ const float4 &four(const float *p) { return *(const float4 *)p; }
static __device__ __forceinline__ float at(const float4 &v, int i) {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/* ---- rows to shared memory ---- */
static __device__ __forceinline__ void copy_16(void *to, const void *from, bool real) {
    unsigned at = (unsigned)__cvta_generic_to_shared(to);
    int bytes = real ? 16 : 0; /* the rest becomes zeros */
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
}
static __device__ __forceinline__ void copy_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
static __device__ __forceinline__ void copy_wait(void) { asm volatile("cp.async.wait_all;" ::: "memory"); }

/* Which 16 bytes of a tile [TILE][width] a thread begins with, and how many rows on it goes. */
typedef struct copy_lane { int row, col, rows; } copy_lane;
template <typename T> __device__ __forceinline__ copy_lane copy_lane_of(int width) {
    constexpr int PER = 16 / (int)sizeof(T);
    int tid = threadIdx.y * LANES + threadIdx.x, chunks = width / PER;
    if (chunks == 0) return copy_lane{0, 0, 1}; /* not copied that way */
    return copy_lane{tid / chunks, tid % chunks * PER, (int)blockDim.y * LANES / chunks};
}
/* to[TILE][width] from n columns of `rows` rows, zeros beyond. */
template <typename T, int TILE>
__device__ __forceinline__ void copy_rows(T *to, int width, const slab &x, int64_t row, int64_t col, int rows, int n,
                                          bool wide, const copy_lane &l) {
    const T *from = (const T *)x.p + row * x.pitch + col;
    if (wide) {
        for (int t = l.row; t < TILE; t += l.rows) {
            bool real = t < rows && l.col < n;
            copy_16(to + t * width + l.col, real ? from + t * x.pitch + l.col : (const T *)x.p, real);
        }
    } else {
        int tid = threadIdx.y * LANES + threadIdx.x, threads = blockDim.y * LANES;
        for (int i = tid; i < TILE * width; i += threads) {
            int t = i / width, c = i % width;
            to[i] = t < rows && c < n ? from[t * x.pitch + c] : cu_as<T>(0.f);
        }
    }
}

/* What one thread copies of every tile: 16 bytes at `from`, of row `row`, to byte `to` of the slot. */
typedef struct copy_job { const char *from; int64_t step; int to, row; } copy_job;
enum { NO_JOB = -1, ZERO_ROW = 1 << 20 };

/* Deals the 16-byte pieces of a tile [TILE][width] of n columns out to the block's threads, of which
 * `dealt` pieces of other tensors are dealt already.  `step`: rows from one tile to the next. */
template <typename T, int TILE, int JOBS>
__device__ __forceinline__ void deal(copy_job (&jobs)[JOBS], int &dealt, const slab &x, int64_t row, int64_t col,
                                     int width, int n, int64_t step, int to) {
    constexpr int PER = 16 / (int)sizeof(T);
    int chunks = width / PER, threads = blockDim.y * LANES;
    if (!x.p) return;
#pragma unroll
    for (int j = 0; j < JOBS; j++) {
        int i = threadIdx.y * LANES + threadIdx.x + j * threads - dealt, t = i / chunks, c = i % chunks * PER;
        if (i < 0 || t >= TILE) continue;
        jobs[j].from = (const char *)((const T *)x.p + (row + t) * x.pitch + (c < n ? col + c : 0));
        jobs[j].step = step * x.pitch * (int64_t)sizeof(T);
        jobs[j].to = (to + t * width + c) * (int)sizeof(T), jobs[j].row = c < n ? t : (int)ZERO_ROW;
    }
    dealt += TILE * chunks;
}
/* Copies this thread's share of the tile the jobs are at, of which `rows` rows exist, and goes on. */
template <int JOBS> __device__ __forceinline__ void copy_jobs(copy_job (&jobs)[JOBS], void *slot, int rows) {
#pragma unroll
    for (int j = 0; j < JOBS; j++) {
        if (jobs[j].to == NO_JOB) continue;
        bool real = jobs[j].row < rows;
        copy_16((char *)slot + jobs[j].to, jobs[j].from, real);
        jobs[j].from += jobs[j].step;
    }
}

/* Which of the steps t0, t0 + 1, ... of sequence s begin another sequence, as `yes` or 0. */
template <int TILE>
__device__ __forceinline__ void find_resets(float *reset, const int32_t *seq_idx, int64_t pitch, int64_t s, int64_t L,
                                            int64_t t0, int rows, float yes) {
    int t = threadIdx.y * LANES + threadIdx.x;
    if (t >= TILE) return;
    int64_t row = s * L + t0 + t;
    bool begins = seq_idx && t < rows && t0 + t > 0 && seq_idx[row * pitch] != seq_idx[(row - 1) * pitch];
    reset[t] = begins ? yes : 0.f;
}
#endif
