/* ssd_decays.cuh - what all other launches of ssd on Hopper want of a chunk, made once: for
 * each head its running decays and their like, for each group C B'. */
#ifndef KR_OPS_SSD_DECAYS_CUH
#define KR_OPS_SSD_DECAYS_CUH
#include "cuda/wgmma.cuh"
#include "ops/ssd/ssd_tile.cuh"

enum {
    SSD_DECAY_WARPS = 16, /* of a block of ssd_decays */
    SSD_APART = 200 /* between sequences packed in a chunk: 2 to that power is no float, so decays across are 0 */
};

/* Views of the tensors for the copy engine, whose last axis here is its first.  v: 64
 * channels, steps, parts of 64 channels; in boxes of 64 steps by two parts.  k, q: 64
 * states, steps, parts of 64 states; 64 steps by all parts.  y: a part's 64 steps. */
struct ssd_walk_maps { CUtensorMap v, k, q, y; };

/* What the decays of a head come to in a chunk. */
struct alignas(16) ssd_chunk {
    float cum[SSD_Q];        /* log2 of the decay from the chunk's start through step t, less SSD_APART a sequence begun */
    float back[SSD_Q];       /* cum - log2 dt: 2^(cum[i] - back[j]) is decay(j..i) dt_j */
    float dt[SSD_Q];
    float from_start[SSD_Q]; /* decay of the state the chunk starts with, in step t: 0 once a sequence has begun */
    float to_end[SSD_Q];     /* decay from step t to the chunk's end: 0 if a sequence begins between */
    float into[SSD_Q];       /* dt to_end */
    float decay;             /* of the whole chunk */
};
/* C B' of a chunk, as accumulators of 4 warps lie: [warp, n-tile, lane]; above the diagonal, anything. */
struct ssd_product { float4 at[4][8][32]; };

/* C B' of chunk i by the first warpgroup of a block, through the copy engine. */
template <int NT> __device__ inline void product_of(const ssd_args &a, const ssd_walk_maps &maps, ssd_product *out, int i) {
#ifdef KR_HOPPER
    extern __shared__ __align__(1024) unsigned char smem[];
    constexpr int K = NT / 4 * SSD_Q * 128;
    uint64_t *there = (uint64_t *)(smem + 2 * K);
    const int n_chunks = (int)((a.L + SSD_Q - 1) / SSD_Q), g = i % a.G, t = i / a.G % n_chunks * SSD_Q, s = i / a.G / n_chunks;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    if (threadIdx.x == 0) {
        barrier_init(there, 1);
        barrier_init_done();
        store_fence();
        barrier_expect(there, 2 * K);
        box_load_5d(smem, &maps.q, 0, t, 0, g, s, there);
        box_load_5d(smem + K, &maps.k, 0, t, 0, g, s, there);
    }
    __syncthreads();
    if (warp >= 4) return;
    barrier_wait(there, 0);
    float d[32];
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < NT; ks++) {
        const uint32_t at = smem_at(smem) + ks / 4 * (SSD_Q * 128) + ks % 4 * 32;
        wgmma_tile<false, false>(d, tile_rows(at), tile_rows(at + K), ks > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(d);
#pragma unroll
    for (int nt = 0; nt < 8; nt++) out[i].at[warp][nt][lane] = make_float4(d[4 * nt], d[4 * nt + 1], d[4 * nt + 2], d[4 * nt + 3]);
#endif
}

/* A chunk of a head by a warp. */
__device__ inline void decays_of(const ssd_args &a, ssd_chunk *T, int64_t i, int lane) {
    const int64_t n_chunks = (a.L + SSD_Q - 1) / SSD_Q, t = i / a.H % n_chunks * SSD_Q;
    const int head = (int)(i % a.H), s = (int)(i / a.H / n_chunks), at = 2 * lane;
    float dt[2] = {0, 0}, cum[2], rate = a.A[head] * 1.44269504f;
    int run[2] = {0, 0};
    for (int e = 0; e < 2; e++) {
        const int64_t row = s * a.L + t + at + e;
        if (t + at + e < a.L) {
            dt[e] = step_size(a, __bfloat162float(a.dt[row * a.dt_pitch + head]), head);
            if (a.seq && t + at + e > 0) run[e] = a.seq[row * a.seq_pitch] != a.seq[(row - 1) * a.seq_pitch];
        }
        cum[e] = dt[e] * rate;
    }
    running_sum(cum, lane);
    if (a.seq) running_sum(run, lane);
    const float end = __shfl_sync(~0u, cum[1], 31);
    const int last = __shfl_sync(~0u, run[1], 31);
    float apart[2], to_end[2];
    for (int e = 0; e < 2; e++) apart[e] = cum[e] - SSD_APART * (float)run[e], to_end[e] = run[e] == last ? pow2(end - cum[e]) : 0;
    *(float2 *)(T->cum + at) = make_float2(apart[0], apart[1]);
    *(float2 *)(T->back + at) = make_float2(apart[0] - __log2f(dt[0]), apart[1] - __log2f(dt[1]));
    *(float2 *)(T->dt + at) = make_float2(dt[0], dt[1]);
    *(float2 *)(T->from_start + at) = make_float2(run[0] == 0 ? pow2(cum[0]) : 0, run[1] == 0 ? pow2(cum[1]) : 0);
    *(float2 *)(T->to_end + at) = make_float2(to_end[0], to_end[1]);
    *(float2 *)(T->into + at) = make_float2(dt[0] * to_end[0], dt[1] * to_end[1]);
    if (lane == 0) *(float4 *)&T->decay = make_float4(last == 0 ? pow2(end) : 0, 0, 0, 0);
}

/* Blocks for products, then a warp each for chunks of heads. */
template <int NT> __global__ void __launch_bounds__(32 * SSD_DECAY_WARPS)
ssd_decays(const ssd_args a, const __grid_constant__ ssd_walk_maps maps, ssd_chunk *chunks, ssd_product *products) {
    launch_next();
    const int64_t n_chunks = a.S * ((a.L + SSD_Q - 1) / SSD_Q), n = n_chunks * a.G;
    if (blockIdx.x < n) {
        product_of<NT>(a, maps, products, blockIdx.x);
    } else {
        const int64_t i = (blockIdx.x - n) * SSD_DECAY_WARPS + threadIdx.x / 32;
        if (i < n_chunks * a.H) decays_of(a, chunks + i, i, threadIdx.x % 32);
    }
}
#endif
