/* ssd_walk.cuh - walking segments of a sequence on Hopper: forward's launches, and the
 * states that backward needs.
 *
 *   ssd_walk<.., false, false, false>  the state each segment adds, from zero
 *   ssd_pass                           the state each segment starts from      (ssd_fwd.cuh)
 *   ssd_walk<.., false, true, KEEP>    y; KEEP: also the state before every chunk, for backward
 *   ssd_walk<.., true, false, ..>      the same two of the states' gradients, time reversed
 *
 * A warpgroup owns 64 channels of a head and their state, S' [64, N] in float32, in
 * registers.  Three of them share a block's B and C, which the copy engine brings chunk by
 * chunk.  In a chunk of 64 steps, with the running decays of ssd_tile.cuh:
 *
 *     P  = C B'
 *     M  = P decays dt, lower       D on the diagonal; rounded to bf16, to shared memory as S is
 *     Y' = (S C') out + X' M'       both operands in shared memory, as they lie
 *     S  = decay S + (in X)' B      X' from registers, scaled on the way */
#ifndef KR_OPS_SSD_WALK_CUH
#define KR_OPS_SSD_WALK_CUH
#include "ops/ssd/ssd_tile.cuh"
#include "ops/ssd/wgmma.cuh"

enum {
    SSD_GROUPS = 3, /* warpgroups of a block, at most */
    SSD_APART = 200 /* between sequences packed in a chunk: 2 to that power is no float, so decays across are 0 */
};

/* Views of the tensors for the copy engine, whose last axis here is its first.  v: 64
 * channels, steps, parts of 64 channels; in boxes of 64 steps by three parts.  k, q: 64
 * states, steps, parts of 64 states; 64 steps by all parts.  y: a part's 64 steps.  keep:
 * states [S * n_chunks * H, P, N] in boxes of 64 channels by 64. */
struct ssd_walk_maps { CUtensorMap v, k, q, y, keep; };

/* What the decays of a head come to in a chunk; made once for all kernels by ssd_decays. */
struct alignas(16) ssd_chunk {
    float cum[SSD_Q];        /* log2 of the decay from the chunk's start through step t, less SSD_APART a sequence begun */
    float dt[SSD_Q];
    float from_start[SSD_Q]; /* decay of the state the chunk starts with, in step t: 0 once a sequence has begun */
    float to_end[SSD_Q];     /* decay from step t to the chunk's end: 0 if a sequence begins between */
    float decay;             /* of the whole chunk */
};

/* A warp a chunk of a head. */
static __global__ void ssd_decays(ssd_args a, ssd_chunk *out) {
    const int64_t n_chunks = (a.L + SSD_Q - 1) / SSD_Q, i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    if (i >= a.S * n_chunks * a.H) return;
    const int lane = threadIdx.x % 32, head = (int)(i % a.H);
    const int64_t t = i / a.H % n_chunks * SSD_Q;
    const int s = (int)(i / a.H / n_chunks);
    ssd_chunk *T = out + i;
    float dt[2] = {0, 0}, cum[2], rate = a.A[head] * 1.44269504f;
    int run[2] = {0, 0};
    for (int e = 0; e < 2; e++) {
        const int64_t at = t + 2 * lane + e, row = s * a.L + at;
        if (at < a.L) {
            dt[e] = step_size(a, __bfloat162float(a.dt[row * a.dt_pitch + head]), head);
            if (a.seq && at > 0) run[e] = a.seq[row * a.seq_pitch] != a.seq[(row - 1) * a.seq_pitch];
        }
        cum[e] = dt[e] * rate;
    }
    running_sum(cum, lane);
    if (a.seq) running_sum(run, lane);
    const float end = __shfl_sync(~0u, cum[1], 31);
    const int last = __shfl_sync(~0u, run[1], 31), at = 2 * lane;
    *(float2 *)(T->cum + at) = make_float2(cum[0] - SSD_APART * (float)run[0], cum[1] - SSD_APART * (float)run[1]);
    *(float2 *)(T->dt + at) = make_float2(dt[0], dt[1]);
    *(float2 *)(T->from_start + at) = make_float2(run[0] == 0 ? pow2(cum[0]) : 0, run[1] == 0 ? pow2(cum[1]) : 0);
    *(float2 *)(T->to_end + at) = make_float2(run[0] == last ? pow2(end - cum[0]) : 0,
                                              run[1] == last ? pow2(end - cum[1]) : 0);
    if (lane == 0) *(float4 *)&T->decay = make_float4(last == 0 ? pow2(end) : 0, 0, 0, 0);
}

template <int NT, bool OUT, bool KEEP> struct ssd_walk_smem {
    static constexpr int tile = SSD_Q * 128, V = SSD_GROUPS * tile, K = NT / 4 * tile, tables = V + K + (OUT ? K : 0);
    static constexpr int stage = (tables + SSD_GROUPS * (int)sizeof(ssd_chunk) + 1023) / 1024 * 1024;
    static constexpr int stages = OUT || KEEP ? 2 : 3, M = stages * stage, y = M + (OUT ? SSD_GROUPS * tile : 0);
    static constexpr int state = y + (OUT ? SSD_GROUPS * tile : 0);
    static constexpr int barriers = state + (OUT || KEEP ? SSD_GROUPS * K : 0), bytes = barriers + 2 * stages * 8;
};

/* M, this warp's 16 rows, from P.  All of it, though half is zero: code without branches
 * hides its latencies, and the warp with most rows would set the pace anyway. */
__device__ inline void walk_weights(unsigned char *M, const float (&P)[32], const ssd_chunk *T, float D, int warp, int lane) {
    const int row = 16 * warp + (lane >> 2), c = 2 * (lane & 3), to = 16 * warp + (lane & 7) + (lane >> 3 & 1) * 8;
    const float mine[2] = {T->cum[row], T->cum[row + 8]};
#pragma unroll
    for (int n0 = 0; n0 < 8; n0 += 2) {
        uint32_t m[4];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const int col = (n0 + k) * 8 + c;
            const float2 cum = *(const float2 *)(T->cum + col), dt = *(const float2 *)(T->dt + col);
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const int e = 4 * (n0 + k) + 2 * r, over = col - row - 8 * r;
                const float x = P[e] * pow2(mine[r] - cum.x) * dt.x + (over == 0 ? D : 0);
                const float y = P[e + 1] * pow2(mine[r] - cum.y) * dt.y + (over == -1 ? D : 0);
                m[2 * k + r] = pack(over <= 0 ? x : 0, over <= -1 ? y : 0);
            }
        }
        store_x4(swizzled(smem_at(M), to, n0 + (lane >> 4)), m[0], m[1], m[2], m[3]);
    }
}

/* The state, rounded, as [64, N] in shared memory. */
template <int NT> __device__ inline void walk_state(uint32_t at, const float (&S)[8 * NT], int warp, int lane) {
    const int row = 16 * warp + (lane & 7) + (lane >> 3 & 1) * 8;
#pragma unroll
    for (int ks = 0; ks < NT; ks++)
        store_x4(swizzled(at + ks / 4 * (SSD_Q * 128), row, ks % 4 * 2 + (lane >> 4)), pack(S[8 * ks], S[8 * ks + 1]), pack(S[8 * ks + 2], S[8 * ks + 3]),
                 pack(S[8 * ks + 4], S[8 * ks + 5]), pack(S[8 * ks + 6], S[8 * ks + 7]));
}

/* Y'[64 channels, 64 steps] to [step, channel] in shared memory. */
__device__ inline void walk_transpose(uint32_t at, const float (&y)[32], int warp, int lane) {
    const int row = (lane & 7) + (lane >> 4) * 8, unit = 2 * warp + (lane >> 3 & 1);
#pragma unroll
    for (int nt = 0; nt < 8; nt += 2)
        store_x4_trans(swizzled(at, nt * 8 + row, unit), pack(y[4 * nt], y[4 * nt + 1]), pack(y[4 * nt + 2], y[4 * nt + 3]),
                       pack(y[4 * nt + 4], y[4 * nt + 5]), pack(y[4 * nt + 6], y[4 * nt + 7]));
}

template <int NT, bool REVERSE, bool OUT, bool KEEP>
__global__ void __launch_bounds__(SSD_GROUPS * 128, 1)
ssd_walk(const ssd_args a, const __grid_constant__ ssd_walk_maps maps, const ssd_chunk *chunks) {
#ifdef KR_HOPPER
    using W = ssd_walk_smem<NT, OUT, KEEP>;
    extern __shared__ __align__(1024) unsigned char smem[];
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, wg = threadIdx.x >> 7, n_wg = blockDim.x >> 7;

    /* where: segment k of sequence s, 64 channels from p0 of a head of group g */
    int i = blockIdx.x;
    const int b = i % a.n_blocks;
    i /= a.n_blocks;
    const int g = i % a.G, k = i / a.G % a.n_seg, s = i / a.G / a.n_seg;
    const int parts = a.P / 64, own0 = b * n_wg, n_here = a.R * parts - own0 < n_wg ? a.R * parts - own0 : n_wg;
    const int head = g * a.R + (own0 + wg) / parts, p0 = (own0 + wg) % parts * 64;
    const int64_t t0 = (int64_t)k * a.seg, t1 = t0 + a.seg < a.L ? t0 + a.seg : a.L;
    const int n = (int)((t1 - t0 + SSD_Q - 1) / SSD_Q), c0 = (int)(t0 / SSD_Q), n_chunks = (int)((a.L + SSD_Q - 1) / SSD_Q);
    if (!OUT && !KEEP && k == (REVERSE ? 0 : a.n_seg - 1)) return; /* nobody goes on from there */

    const int head0 = g * a.R + own0 / parts, n_tables = (own0 + n_here - 1) / parts - own0 / parts + 1;
    auto load = [&](int c) { /* the c-th chunk to walk; by one thread, in as few orders as can be */
        const int stage = c % W::stages, chunk = c0 + (REVERSE ? n - 1 - c : c), t = chunk * SSD_Q;
        unsigned char *at = smem + stage * W::stage;
        uint64_t *there = full + stage;
        const uint32_t table_bytes = n_tables * (uint32_t)sizeof(ssd_chunk);
        barrier_expect(there, SSD_GROUPS * W::tile + table_bytes + (OUT ? 2 : 1) * W::K);
        box_load_5d(at + W::V, &maps.k, 0, t, 0, g, s, there);
        if (OUT) box_load_5d(at + W::V + W::K, &maps.q, 0, t, 0, g, s, there);
        bytes_load(at + W::tables, chunks + ((int64_t)s * n_chunks + chunk) * a.H + head0, table_bytes, there);
        box_load(at, &maps.v, 0, t, g * a.R * parts + own0, s, there);
    };
    if (threadIdx.x == 0) {
        for (int j = 0; j < W::stages; j++) barrier_init(full + j, 1), barrier_init(empty + j, 128 * n_here);
        barrier_init_done();
        store_fence();
    }
    __syncthreads();
    if (wg >= n_here) return;
    /* an order to the copy engine takes some 200 clocks, so each warp gives one kind */
    const bool stores_y = OUT && warp == 1 && lane == 0, stores_state = KEEP && warp == 2 && lane == 0, loads = threadIdx.x == 96;
    if (loads)
        for (int j = 0; j < W::stages && j < n; j++) load(j);

    float S[8 * NT], total = 1;
#pragma unroll
    for (int j = 0; j < 8 * NT; j++) S[j] = 0;
    const float *first = REVERSE ? a.dh : a.h0, D = OUT && a.D ? a.D[head] : 0;
    const bool outer = OUT || KEEP, from_slot = outer && (REVERSE ? k < a.n_seg - 1 : k > 0), from_first = outer && !from_slot && first;
    const int64_t channel = (int64_t)head * a.P + p0 + 16 * warp;
    bf16 *slot = a.states + (((int64_t)s * a.n_seg + k) * a.H * a.P + channel) * (16 * NT);
    if (from_slot) {
#pragma unroll
        for (int j = 0; j < 2 * NT; j++) {
            uint2 v = ((const uint2 *)slot)[j * 32 + lane];
            S[4 * j] = low(v.x), S[4 * j + 1] = high(v.x), S[4 * j + 2] = low(v.y), S[4 * j + 3] = high(v.y);
        }
    } else if (from_first) {
#pragma unroll
        for (int j = 0; j < 8 * NT; j++) {
            int p = (lane >> 2) + (j >> 1 & 1) * 8, c = (j >> 2) * 8 + 2 * (lane & 3) + (j & 1);
            if (c < a.N) S[j] = first[((int64_t)s * a.H * a.P + channel + p) * a.N + c];
        }
    }

    const uint32_t M = smem_at(smem) + W::M + wg * W::tile, out = smem_at(smem) + W::y + wg * W::tile, state = smem_at(smem) + W::state + wg * W::K;
    for (int c = 0; c < n; c++) {
        const int stage = c % W::stages, chunk = c0 + (REVERSE ? n - 1 - c : c);
        const uint32_t at = smem_at(smem) + stage * W::stage, V = at + wg * W::tile, K = at + W::V, Q = K + W::K;
        const ssd_chunk *T = (const ssd_chunk *)(smem + stage * W::stage + W::tables) + (head - head0);
        float y[32], z[32];
        barrier_wait(full + stage, c / W::stages & 1);
        if (OUT) {
            wgmma_begin();
#pragma unroll
            for (int ks = 0; ks < NT; ks++) {
                const uint32_t on = ks / 4 * W::tile + ks % 4 * 32;
                wgmma_tile<false, false>(y, tile_rows(Q + on), tile_rows(K + on), ks > 0);
            }
            wgmma_commit();
        }
        if (OUT || KEEP) walk_state<NT>(state, S, warp, lane);
        uint32_t v[4][4];
#pragma unroll
        for (int ks = 0; ks < 4; ks++) { /* forward dt decay(t..end), REVERSE decay(start..t) */
            const int e = ks * 16 + 2 * (lane & 3);
            const float *in = REVERSE ? T->from_start : T->to_end;
            float2 w0 = *(const float2 *)(in + e), w1 = *(const float2 *)(in + e + 8);
            if (!REVERSE) {
                const float2 d0 = *(const float2 *)(T->dt + e), d1 = *(const float2 *)(T->dt + e + 8);
                w0.x *= d0.x, w0.y *= d0.y, w1.x *= d1.x, w1.y *= d1.y;
            }
            load_x4_trans(v[ks], swizzled(V, ks * 16 + (lane >> 4) * 8 + (lane & 7), 2 * warp + (lane >> 3 & 1)));
            v[ks][0] = pack(low(v[ks][0]) * w0.x, high(v[ks][0]) * w0.y);
            v[ks][1] = pack(low(v[ks][1]) * w0.x, high(v[ks][1]) * w0.y);
            v[ks][2] = pack(low(v[ks][2]) * w1.x, high(v[ks][2]) * w1.y);
            v[ks][3] = pack(low(v[ks][3]) * w1.x, high(v[ks][3]) * w1.y);
            wgmma_pin(v[ks]);
        }
        const float decay = T->decay;
        total *= decay;
#pragma unroll
        for (int j = 0; j < 8 * NT; j++) S[j] *= decay;
        wgmma_pin(S);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(S, v[ks], tile_cols(K + ks * 2048, W::tile), 1);
        wgmma_commit();
        if (OUT) {
            wgmma_wait<1>();
            wgmma_pin(y);
            walk_weights(smem + W::M + wg * W::tile, y, T, D, warp, lane);
            if (stores_y) box_store_read(); /* the place of y may be written again */
        }
        if (OUT || KEEP) {
            store_fence();
            meet(1 + wg, 128); /* M and the state are there */
        }
        if (stores_state)
            for (int j = 0; j < NT / 4; j++)
                box_store(smem + W::state + wg * W::K + j * W::tile, &maps.keep, 0, p0, j, (s * n_chunks + chunk) * a.H + head);
        wgmma_wait<0>();
        wgmma_pin(S);
        if (OUT) {
            wgmma_begin();
#pragma unroll
            for (int ks = 0; ks < NT; ks++) {
                const uint32_t on = ks / 4 * W::tile + ks % 4 * 32;
                wgmma_tile<false, false>(z, tile_rows(state + on), tile_rows(Q + on), ks > 0);
            }
#pragma unroll
            for (int ks = 0; ks < 4; ks++) wgmma_tile<true, false>(y, tile_cols(V + ks * 2048, W::tile), tile_rows(M + ks * 32), ks > 0);
            wgmma_commit();
        }
        if (OUT) {
            wgmma_wait<0>();
            wgmma_pin(y);
            wgmma_pin(z);
#pragma unroll
            for (int nt = 0; nt < 8; nt++) {
                const float2 w = *(const float2 *)(T->from_start + nt * 8 + 2 * (lane & 3));
                y[4 * nt] += w.x * z[4 * nt], y[4 * nt + 1] += w.y * z[4 * nt + 1];
                y[4 * nt + 2] += w.x * z[4 * nt + 2], y[4 * nt + 3] += w.y * z[4 * nt + 3];
            }
            walk_transpose(out, y, warp, lane);
            store_fence();
        }
        if (OUT || KEEP) {
            if (stores_state) box_store_read(); /* the place of the state may be written again */
            meet(1 + wg, 128);                  /* y is there, and everyone has read M and the state */
            if (stores_y) box_store(smem + W::y + wg * W::tile, &maps.y, 0, chunk * SSD_Q, head * parts + p0 / 64, s);
        }
        barrier_arrive(empty + stage);
        if (loads && c + W::stages < n) {
            barrier_wait(empty + stage, c / W::stages & 1);
            load(c + W::stages);
        }
    }
    if (stores_y || stores_state) box_store_done();
    if (!outer) {
#pragma unroll
        for (int j = 0; j < 2 * NT; j++)
            ((uint2 *)slot)[j * 32 + lane] = make_uint2(pack(S[4 * j], S[4 * j + 1]), pack(S[4 * j + 2], S[4 * j + 3]));
        if (warp == 0 && lane == 0 && p0 == 0) a.decay[((int64_t)s * a.n_seg + k) * a.H + head] = total;
    }
    float *last = REVERSE ? a.dh0 : a.h;
    if (outer && last && k == (REVERSE ? 0 : a.n_seg - 1)) {
#pragma unroll
        for (int j = 0; j < 8 * NT; j++) {
            int p = (lane >> 2) + (j >> 1 & 1) * 8, col = (j >> 2) * 8 + 2 * (lane & 3) + (j & 1);
            float *e = last + ((int64_t)s * a.H * a.P + channel + p) * a.N + col;
            if (col < a.N) *e = S[j] + (REVERSE && a.add_dh0 ? *e : 0);
        }
    }
#endif
}
#endif
