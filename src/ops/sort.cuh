/* sort.cuh - positions sorted by the ids that stand there: what a gradient by id needs, to be
 * summed without atomics.
 *
 * A stable radix sort, 8 bits a pass: positions of the same id stay in order, and so does
 * every sum over them.  Ids outside [0, limit) come last, as `limit`. */
#ifndef KR_OPS_SORT_CUH
#define KR_OPS_SORT_CUH
#include "cuda/kernel.cuh"

enum { SORT_TILE = 1024, SORT_DIGITS = 256 };

typedef struct sorted_ids {
    int32_t *id, *at;     /* n sorted ids, and where each stood */
    int32_t *other_id, *other_at, *counts;
    int64_t n, n_tiles;
} sorted_ids;
static inline size_t sort_bytes(int64_t n) {
    int64_t n_tiles = (n + SORT_TILE - 1) / SORT_TILE;
    return (size_t)(4 * ((n + 63) / 64 * 64) + SORT_DIGITS * n_tiles) * sizeof(int32_t);
}

static __global__ void sort_start_kernel(int64_t n, const int32_t *ids, int64_t pitch, int32_t limit, int32_t *id, int32_t *at) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n) return;
    int32_t v = ids[i * pitch];
    id[i] = v >= 0 && v < limit ? v : limit;
    at[i] = (int32_t)i;
}

/* A block's tile: how many of each digit there are, or (PLACE) where each goes, counts being
 * then the places of its firsts. */
template <bool PLACE>
static __global__ void __launch_bounds__(SORT_TILE) sort_tile_kernel(int64_t n, int64_t n_tiles, int shift, const int32_t *id,
                                                                     const int32_t *at, int32_t *counts, int32_t *to_id, int32_t *to_at) {
    __shared__ int32_t before[SORT_TILE / 32][SORT_DIGITS]; /* of each warp and digit: first a count, then the place */
    int64_t i = blockIdx.x * (int64_t)SORT_TILE + threadIdx.x;
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    for (int d = (int)threadIdx.x; d < SORT_TILE / 32 * SORT_DIGITS; d += SORT_TILE) before[d / SORT_DIGITS][d % SORT_DIGITS] = 0;
    int32_t v = i < n ? id[i] : 0;
    int digit = i < n ? v >> shift & (SORT_DIGITS - 1) : SORT_DIGITS; /* none */
    unsigned same = __match_any_sync(~0u, digit);
    int rank = __popc(same & ((1u << lane) - 1));
    __syncthreads();
    if (digit < SORT_DIGITS && rank == 0) before[warp][digit] = __popc(same);
    __syncthreads();
    if (threadIdx.x < SORT_DIGITS) {
        int32_t *mine = counts + (int64_t)threadIdx.x * n_tiles + blockIdx.x, sum = PLACE ? *mine : 0;
        for (int w = 0; w < SORT_TILE / 32; w++) {
            int32_t c = before[w][threadIdx.x];
            before[w][threadIdx.x] = sum;
            sum += c;
        }
        if (!PLACE) *mine = sum;
    }
    __syncthreads();
    if (!PLACE || i >= n) return;
    int32_t to = before[warp][digit] + rank;
    to_id[to] = v;
    to_at[to] = at[i];
}

/* counts[k] becomes the sum of those before it; one block. */
static __global__ void __launch_bounds__(1024) sort_scan_kernel(int64_t n, int32_t *counts) {
    __shared__ int32_t sums[32];
    int32_t carry = 0;
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    for (int64_t first = 0; first < n; first += 1024) {
        int64_t i = first + threadIdx.x;
        int32_t v = i < n ? counts[i] : 0, sum = v;
        for (int d = 1; d < 32; d *= 2) {
            int32_t up = __shfl_up_sync(~0u, sum, d);
            if (lane >= d) sum += up;
        }
        if (lane == 31) sums[warp] = sum;
        __syncthreads();
        int32_t base = carry, total = carry;
        for (int w = 0; w < 32; w++) {
            if (w < warp) base += sums[w];
            total += sums[w];
        }
        if (i < n) counts[i] = base + sum - v;
        carry = total;
        __syncthreads();
    }
}

/* room: sort_bytes(n).  n and limit are below 2^31. */
static inline sorted_ids sort_ids(void *room, const int32_t *ids, int64_t pitch, int64_t n, int64_t limit, void *stream) {
    int64_t each = (n + 63) / 64 * 64;
    int32_t *p = (int32_t *)room;
    sorted_ids s = {p, p + each, p + 2 * each, p + 3 * each, p + 4 * each, n, (n + SORT_TILE - 1) / SORT_TILE};
    cu_launch(sort_start_kernel, cu_blocks(n, 256), 256, 0, stream, n, ids, pitch, (int32_t)limit, s.id, s.at);
    for (int shift = 0; shift < 32 && limit >> shift > 0; shift += 8) {
        cu_launch(sort_tile_kernel<false>, (unsigned)s.n_tiles, SORT_TILE, 0, stream, n, s.n_tiles, shift, s.id, s.at, s.counts, s.id, s.at);
        if (n > 0) cu_launch(sort_scan_kernel, 1, 1024, 0, stream, SORT_DIGITS * s.n_tiles, s.counts);
        cu_launch(sort_tile_kernel<true>, (unsigned)s.n_tiles, SORT_TILE, 0, stream, n, s.n_tiles, shift, s.id, s.at, s.counts, s.other_id,
                  s.other_at);
        int32_t *id = s.id, *at = s.at;
        s.id = s.other_id, s.at = s.other_at, s.other_id = id, s.other_at = at;
    }
    return s;
}
#endif
