/* ssd_walk.cuh - walking segments of a sequence on Hopper: forward's launches, and the
 * states that backward needs.
 *
 *   ssd_decays           decays and their like, and C B' of every chunk  (ssd_decays.cuh)
 *   ssd_adds<.., false>  the state each segment adds, from zero
 *   ssd_pass             the state each segment starts from              (ssd_fwd.cuh)
 *   ssd_walk<.., KEEP>   y; KEEP: also the state before every chunk, for backward
 *   ssd_adds<.., true>, ssd_walk_back    the states' gradients, time reversed
 *
 * Sequences of one segment want neither adds nor pass, and most are: a chunk takes so little
 * time that walking 64 of them costs less than reading x twice.
 *
 * A warpgroup owns 64 channels of a head and their state, S' [64, N] in float32, in
 * registers.  Two of them share a block's B, C and C B', which the copy engine brings chunk
 * by chunk at the orders of a warp of its own.  In a chunk of 64 steps, with the running
 * decays of ssd_chunk:
 *
 *     M = P decays dt, lower         P = C B'; D on the diagonal; rounded to bf16, in registers
 *     Y = out (C S') + M X           S rounded, through shared memory
 *     S = decay S + (in X)' B        X' from registers, scaled on the way
 *
 * Forward, a second warpgroup for each makes Y from the S that the first leaves, so that S
 * goes on meanwhile. */
#ifndef KR_OPS_SSD_WALK_CUH
#define KR_OPS_SSD_WALK_CUH
#include "ops/ssd/ssd_decays.cuh"

enum { SSD_GROUPS = 2 }; /* times 64 channels of a block, at most */

/* A stage of shared memory: x (or dy), B (or C), and forward C, C B'; decays. */
template <int NT, bool OUT> struct ssd_walk_stage {
    static constexpr int tile = SSD_Q * 128, V = SSD_GROUPS * tile, K = NT / 4 * tile, Q = V + K;
    static constexpr int product = Q + (OUT ? K : 0), tables = product + (OUT ? (int)sizeof(ssd_product) : 0);
    static constexpr int stage = (tables + SSD_GROUPS * (int)sizeof(ssd_chunk) + 1023) / 1024 * 1024;
};
template <int NT> struct ssd_adds_smem : ssd_walk_stage<NT, false> {
    using W = ssd_walk_stage<NT, false>;
    static constexpr int stages = 5, barriers = stages * W::stage, bytes = barriers + 2 * stages * 8;
};
/* Two places for a warpgroup's state, by turns. */
template <int NT> struct ssd_back_smem : ssd_walk_stage<NT, false> {
    using W = ssd_walk_stage<NT, false>;
    static constexpr int stages = 4, state = stages * W::stage, barriers = state + 2 * SSD_GROUPS * W::K, bytes = barriers + 2 * stages * 8;
};
template <int NT> struct ssd_walk_smem : ssd_walk_stage<NT, true> {
    using W = ssd_walk_stage<NT, true>;
    static constexpr int stages = 2, y = stages * W::stage, state = y + SSD_GROUPS * W::tile;
    static constexpr int barriers = state + 2 * SSD_GROUPS * W::K, bytes = barriers + (2 * stages + 6 * SSD_GROUPS) * 8;
};

/* Where a block stands: segment k of sequence s, n chunks from c0 on; n_here times 64
 * channels, from part own0 of group g on. */
struct ssd_walk_place { int s, k, g, n_wg, n_here, parts, own0, head0, c0, n, n_chunks; };

__device__ inline ssd_walk_place walk_where(const ssd_args &a) {
    ssd_walk_place p;
    int i = blockIdx.x;
    const int b = i % a.n_blocks;
    i /= a.n_blocks;
    p.g = i % a.G, p.k = i / a.G % a.n_seg, p.s = i / a.G / a.n_seg;
    p.n_wg = a.n_cols / 64, p.parts = a.P / 64, p.own0 = b * p.n_wg;
    p.n_here = a.R * p.parts - p.own0 < p.n_wg ? a.R * p.parts - p.own0 : p.n_wg;
    p.head0 = p.g * a.R + p.own0 / p.parts;
    const int64_t t0 = (int64_t)p.k * a.seg, t1 = t0 + a.seg < a.L ? t0 + a.seg : a.L;
    p.n = (int)((t1 - t0 + SSD_Q - 1) / SSD_Q), p.c0 = (int)(t0 / SSD_Q), p.n_chunks = (int)((a.L + SSD_Q - 1) / SSD_Q);
    return p;
}

/* `readers`: warpgroups that empty a stage. */
template <typename W> __device__ inline void walk_begin(unsigned char *smem, int readers) {
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    if (threadIdx.x == 0) {
        for (int j = 0; j < W::stages; j++) barrier_init(full + j, 1), barrier_init(empty + j, 4 * readers);
        barrier_init_done();
        store_fence();
    }
    __syncthreads();
    launch_next();
    launched_wait();
}

/* The warp that orders copies: chunk after chunk, back to front if `down`. */
template <typename W, bool OUT>
__device__ inline void walk_bring(const ssd_args &a, const ssd_walk_maps &maps, const ssd_walk_place &p, unsigned char *smem, const ssd_chunk *chunks,
                                  const ssd_product *products, bool down) {
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    const uint32_t n_tables = (p.own0 + p.n_here - 1) / p.parts - p.own0 / p.parts + 1, table_bytes = n_tables * (uint32_t)sizeof(ssd_chunk);
    for (int c = 0; c < p.n; c++) {
        const int stage = c % W::stages, chunk = p.c0 + (down ? p.n - 1 - c : c), t = chunk * SSD_Q;
        const int64_t row = (int64_t)p.s * p.n_chunks + chunk;
        unsigned char *at = smem + stage * W::stage;
        uint64_t *there = full + stage;
        if (c >= W::stages) barrier_wait(empty + stage, (c / W::stages - 1) & 1);
        barrier_expect(there, W::V + table_bytes + (OUT ? 2 * W::K + (uint32_t)sizeof(ssd_product) : W::K));
        box_load(at, &maps.v, 0, t, p.g * a.R * p.parts + p.own0, p.s, there);
        bytes_load(at + W::tables, chunks + row * a.H + p.head0, table_bytes, there);
        box_load_5d(at + W::V, &maps.k, 0, t, 0, p.g, p.s, there);
        if (OUT) bytes_load(at + W::product, products + row * a.G + p.g, sizeof(ssd_product), there);
        if (OUT) box_load_5d(at + W::Q, &maps.q, 0, t, 0, p.g, p.s, there);
    }
}

/* M, this warp's 16 rows, as left operands.  All of it, though half is zero: code without
 * branches hides its latencies, and the warp with most rows would set the pace anyway. */
__device__ inline void walk_weights(uint32_t (&m)[4][4], const ssd_product *P, const ssd_chunk *T, float D, int warp, int lane) {
    const int row = 16 * warp + (lane >> 2), c = 2 * (lane & 3);
    const float mine[2] = {T->cum[row], T->cum[row + 8]};
#pragma unroll
    for (int nt = 0; nt < 8; nt++) {
        const float4 p4 = P->at[warp][nt][lane];
        const float p[4] = {p4.x, p4.y, p4.z, p4.w};
        const float2 back = *(const float2 *)(T->back + nt * 8 + c);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int over = nt * 8 + c - row - 8 * r;
            float x = over <= 0 ? p[2 * r] * pow2(mine[r] - back.x) : 0, y = over <= -1 ? p[2 * r + 1] * pow2(mine[r] - back.y) : 0;
            if (nt % 2 == r) { /* nowhere else is the diagonal */
                if (over == 0) x += D;
                if (over == -1) y += D;
            }
            m[nt / 2][nt % 2 * 2 + r] = pack(x, y);
        }
    }
}

/* [64, 16 n] of accumulators, rounded, as such rows in shared memory. */
template <int n> __device__ inline void walk_rows(uint32_t at, const float (&d)[8 * n], int warp, int lane) {
    const int row = 16 * warp + (lane & 7) + (lane >> 3 & 1) * 8;
#pragma unroll
    for (int ks = 0; ks < n; ks++)
        store_x4(swizzled(at + ks / 4 * (SSD_Q * 128), row, ks % 4 * 2 + (lane >> 4)), pack(d[8 * ks], d[8 * ks + 1]), pack(d[8 * ks + 2], d[8 * ks + 3]),
                 pack(d[8 * ks + 4], d[8 * ks + 5]), pack(d[8 * ks + 6], d[8 * ks + 7]));
}

/* X' as left operand, its steps times weight[step] `more`. */
__device__ inline void walk_scaled(uint32_t (&v)[4][4], uint32_t V, const float *weight, float more, int warp, int lane) {
#pragma unroll
    for (int ks = 0; ks < 4; ks++) {
        const float2 w0 = *(const float2 *)(weight + ks * 16 + 2 * (lane & 3)), w1 = *(const float2 *)(weight + ks * 16 + 2 * (lane & 3) + 8);
        const float w[4] = {w0.x * more, w0.y * more, w1.x * more, w1.y * more};
        load_x4_trans(v[ks], swizzled(V, ks * 16 + (lane >> 4) * 8 + (lane & 7), 2 * warp + (lane >> 3 & 1)));
#pragma unroll
        for (int i = 0; i < 4; i++) v[ks][i] = pack(low(v[ks][i]) * w[i & 2], high(v[ks][i]) * w[(i & 2) + 1]);
    }
}

/* What a segment adds to the state, or, REVERSE, to its gradient: one long product, walked
 * from the end that is not damped, so that S never has to be scaled. */
template <int NT, bool REVERSE>
__global__ void __launch_bounds__(SSD_GROUPS * 128 + 128, 1)
ssd_adds(const ssd_args a, const __grid_constant__ ssd_walk_maps maps, const ssd_chunk *chunks) {
#ifdef KR_HOPPER
    using W = ssd_adds_smem<NT>;
    extern __shared__ __align__(1024) unsigned char smem[];
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, wg = threadIdx.x >> 7;
    const ssd_walk_place p = walk_where(a);
    walk_begin<W>(smem, p.n_here);
    if (p.k == (REVERSE ? 0 : a.n_seg - 1)) return; /* nobody goes on from there */
    if (wg == p.n_wg) {
        if (warp == 0 && lane == 0) walk_bring<W, false>(a, maps, p, smem, chunks, NULL, !REVERSE);
        return;
    }
    if (wg >= p.n_here) return;
    const int head = p.g * a.R + (p.own0 + wg) / p.parts, p0 = (p.own0 + wg) % p.parts * 64;
    float S[8 * NT], total = 1;
    uint32_t v[4][4], next[4][4];
#pragma unroll
    for (int j = 0; j < 8 * NT; j++) S[j] = 0;
    auto take = [&](int c, uint32_t (&to)[4][4]) {
        const unsigned char *stage = smem + c % W::stages * W::stage;
        const ssd_chunk *T = (const ssd_chunk *)(stage + W::tables) + (head - p.head0);
        barrier_wait(full + c % W::stages, c / W::stages & 1);
        walk_scaled(to, smem_at(stage) + wg * W::tile, REVERSE ? T->from_start : T->into, total, warp, lane);
        total *= T->decay;
    };
    take(0, v);
    for (int c = 0; c < p.n; c++) {
        const uint32_t K = smem_at(smem) + c % W::stages * W::stage + W::V;
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_pin(v[ks]);
        wgmma_pin(S);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(S, v[ks], tile_cols(K + ks * 2048, W::tile), 1);
        wgmma_commit();
        if (c + 1 < p.n) take(c + 1, next);
        wgmma_wait<0>();
        wgmma_pin(S);
        __syncwarp();
        if (lane == 0) barrier_arrive(empty + c % W::stages);
#pragma unroll
        for (int i = 0; i < 16; i++) v[i / 4][i % 4] = next[i / 4][i % 4];
    }
    uint2 *slot = (uint2 *)(a.states + (((int64_t)p.s * a.n_seg + p.k) * a.H * a.P + (int64_t)head * a.P + p0 + 16 * warp) * (16 * NT));
#pragma unroll
    for (int j = 0; j < 2 * NT; j++) slot[j * 32 + lane] = make_uint2(pack(S[4 * j], S[4 * j + 1]), pack(S[4 * j + 2], S[4 * j + 3]));
    if (warp == 0 && lane == 0 && p0 == 0) a.decay[((int64_t)p.s * a.n_seg + p.k) * a.H + head] = total;
#endif
}

/* --- the state of a warpgroup's channels ---------------------------------------------------- */

/* What a segment starts from; REVERSE: what is given to its last state. */
template <int NT, bool REVERSE>
__device__ inline void state_enter(float (&S)[8 * NT], const ssd_args &a, const ssd_walk_place &p, int64_t channel, int lane) {
    const float *first = REVERSE ? a.dh : a.h0;
#pragma unroll
    for (int j = 0; j < 8 * NT; j++) S[j] = 0;
    if (REVERSE ? p.k < a.n_seg - 1 : p.k > 0) {
        const uint2 *slot = (const uint2 *)(a.states + (((int64_t)p.s * a.n_seg + p.k) * a.H * a.P + channel) * (16 * NT));
#pragma unroll
        for (int j = 0; j < 2 * NT; j++) {
            const uint2 v = slot[j * 32 + lane];
            S[4 * j] = low(v.x), S[4 * j + 1] = high(v.x), S[4 * j + 2] = low(v.y), S[4 * j + 3] = high(v.y);
        }
    } else if (first) {
#pragma unroll
        for (int j = 0; j < 8 * NT; j++) {
            const int r = (lane >> 2) + (j >> 1 & 1) * 8, c = (j >> 2) * 8 + 2 * (lane & 3) + (j & 1);
            if (c < a.N) S[j] = first[((int64_t)p.s * a.H * a.P + channel + r) * a.N + c];
        }
    }
}
/* The last segment's end; REVERSE: the first one's start. */
template <int NT, bool REVERSE>
__device__ inline void state_leave(const float (&S)[8 * NT], const ssd_args &a, const ssd_walk_place &p, int64_t channel, int lane) {
    float *last = REVERSE ? a.dh0 : a.h;
    if (!last || p.k != (REVERSE ? 0 : a.n_seg - 1)) return;
#pragma unroll
    for (int j = 0; j < 8 * NT; j++) {
        const int r = (lane >> 2) + (j >> 1 & 1) * 8, c = (j >> 2) * 8 + 2 * (lane & 3) + (j & 1);
        float *e = last + ((int64_t)p.s * a.H * a.P + channel + r) * a.N + c;
        if (c < a.N) *e = S[j] + (REVERSE && a.add_dh0 ? *e : 0);
    }
}
/* S = decay S + v K, begun. */
template <int NT> __device__ inline void state_move(float (&S)[8 * NT], uint32_t (&v)[4][4], uint32_t K, float decay) {
#pragma unroll
    for (int j = 0; j < 8 * NT; j++) S[j] *= decay;
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_pin(v[ks]);
    wgmma_pin(S);
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(S, v[ks], tile_cols(K + ks * 2048, SSD_Q * 128), 1);
    wgmma_commit();
}

/* States around every chunk are kept as they lie in shared memory: 64 channels of a head in
 * one piece.  Where that of chunk c and of part i of a block's channels is: */
template <int NT> __device__ inline unsigned char *kept_at(bf16 *kept, const ssd_args &a, const ssd_walk_place &p, int chunk, int i) {
    const int64_t row = (int64_t)p.s * p.n_chunks + chunk;
    return (unsigned char *)kept + ((row * a.G + p.g) * a.R * p.parts + p.own0 + i) * (NT / 4 * SSD_Q * 128);
}

/* A quarter of a state; one order for all of it holds up the loads behind it. */
template <int NT> __device__ inline void kept_store(unsigned char *to, const unsigned char *from, int quarter) {
    constexpr int bytes = NT * SSD_Q * 8;
    bytes_store(to + quarter * bytes, from + quarter * bytes, bytes);
}

/* --- forward ------------------------------------------------------------------------------------ */

/* Carries a state through the chunks and leaves it before each in one of two places. */
template <int NT>
__device__ inline void walk_state(const ssd_args &a, const ssd_walk_place &p, unsigned char *smem, int wg, int warp, int lane) {
    using W = ssd_walk_smem<NT>;
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages, *made = empty + W::stages + 2 * wg, *used = made + 2 * SSD_GROUPS;
    const int own = p.own0 + wg, head = p.g * a.R + own / p.parts;
    const int64_t channel = (int64_t)head * a.P + own % p.parts * 64 + 16 * warp;
    const uint32_t base = smem_at(smem), state = base + W::state + 2 * wg * W::K;
    float S[8 * NT];
    uint32_t v[4][4];
    state_enter<NT, false>(S, a, p, channel, lane);
    for (int c = 0; c < p.n; c++) {
        const int stage = c % W::stages, place = c & 1;
        const uint32_t at = base + stage * W::stage;
        const ssd_chunk *T = (const ssd_chunk *)(smem + stage * W::stage + W::tables) + (head - p.head0);
        if (c >= 2) barrier_wait(used + place, (c / 2 - 1) & 1);
        walk_rows<NT>(state + place * W::K, S, warp, lane);
        store_fence();
        __syncwarp();
        if (lane == 0) barrier_arrive(made + place);
        barrier_wait(full + stage, c / W::stages & 1);
        walk_scaled(v, at + wg * W::tile, T->into, 1, warp, lane);
        state_move<NT>(S, v, at + W::V, T->decay);
        wgmma_wait<0>();
        wgmma_pin(S);
        __syncwarp();
        if (lane == 0) barrier_arrive(empty + stage);
    }
    state_leave<NT, false>(S, a, p, channel, lane);
}

/* Y of every chunk. */
template <int NT>
__device__ inline void walk_outputs(const ssd_args &a, const ssd_walk_place &p, unsigned char *smem, int wg, int warp, int lane) {
    using W = ssd_walk_smem<NT>;
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages, *made = empty + W::stages + 2 * wg, *used = made + 2 * SSD_GROUPS;
    uint64_t *y_made = empty + W::stages + 4 * SSD_GROUPS + wg, *y_taken = y_made + SSD_GROUPS;
    const int head = p.g * a.R + (p.own0 + wg) / p.parts, row = 16 * warp + (lane >> 2);
    const float D = a.D ? a.D[head] : 0;
    const uint32_t base = smem_at(smem);
    for (int c = 0; c < p.n; c++) {
        const int stage = c % W::stages, place = c & 1;
        const uint32_t at = base + stage * W::stage, V = at + wg * W::tile, Q = at + W::Q, state = base + W::state + (2 * wg + place) * W::K;
        const ssd_chunk *T = (const ssd_chunk *)(smem + stage * W::stage + W::tables) + (head - p.head0);
        float y[32];
        uint32_t m[4][4];
        barrier_wait(full + stage, c / W::stages & 1);
        barrier_wait(made + place, c / 2 & 1);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < NT; ks++) {
            const uint32_t on = ks / 4 * W::tile + ks % 4 * 32;
            wgmma_tile<false, false>(y, tile_rows(Q + on), tile_rows(state + on), ks > 0);
        }
        wgmma_commit();
        walk_weights(m, (const ssd_product *)(smem + stage * W::stage + W::product), T, D, warp, lane);
        const float out[2] = {T->from_start[row], T->from_start[row + 8]};
        wgmma_wait<0>();
        wgmma_pin(y);
        __syncwarp();
        if (lane == 0) barrier_arrive(used + place);
#pragma unroll
        for (int e = 0; e < 32; e++) y[e] *= out[e >> 1 & 1];
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_pin(m[ks]);
        wgmma_pin(y);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(y, m[ks], tile_cols(V + ks * 2048, W::tile), 1);
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(y);
        __syncwarp();
        if (lane == 0) barrier_arrive(empty + stage);
        if (c > 0) barrier_wait(y_taken, (c - 1) & 1);
        walk_rows<4>(base + W::y + wg * W::tile, y, warp, lane);
        store_fence();
        __syncwarp();
        if (lane == 0) barrier_arrive(y_made);
    }
}

/* The threads that order stores, which takes too long for those that compute: of states, */
template <int NT> __device__ inline void walk_keep(const ssd_args &a, const ssd_walk_place &p, unsigned char *smem, bf16 *kept) {
    using W = ssd_walk_smem<NT>;
    uint64_t *made = (uint64_t *)(smem + W::barriers) + 2 * W::stages, *used = made + 2 * SSD_GROUPS;
    for (int c = 0; c < p.n; c++) {
        for (int i = 0; i < p.n_here; i++) {
            barrier_wait(made + 2 * i + (c & 1), c / 2 & 1);
            for (int q = 0; q < 4; q++) kept_store<NT>(kept_at<NT>(kept, a, p, p.c0 + c, i), smem + W::state + (2 * i + (c & 1)) * W::K, q);
        }
        store_read<0>();
        for (int i = 0; i < p.n_here; i++) barrier_arrive(used + 2 * i + (c & 1));
    }
    store_done();
}
/* and of y, for part i. */
template <int NT>
__device__ inline void walk_store(const ssd_args &a, const ssd_walk_maps &maps, const ssd_walk_place &p, unsigned char *smem, int i) {
    using W = ssd_walk_smem<NT>;
    uint64_t *y_made = (uint64_t *)(smem + W::barriers) + 2 * W::stages + 4 * SSD_GROUPS + i, *y_taken = y_made + SSD_GROUPS;
    for (int c = 0; c < p.n; c++) {
        barrier_wait(y_made, c & 1);
        box_store(smem + W::y + i * W::tile, &maps.y, 0, (p.c0 + c) * SSD_Q, p.g * a.R * p.parts + p.own0 + i, p.s);
        store_read<0>();
        barrier_arrive(y_taken);
    }
    store_done();
}

/* KEEP: the state before every chunk goes to `kept`. */
template <int NT, bool KEEP>
__global__ void __launch_bounds__(SSD_GROUPS * 256 + 128, 1)
ssd_walk(const ssd_args a, const __grid_constant__ ssd_walk_maps maps, const ssd_chunk *chunks, const ssd_product *products, bf16 *kept) {
#ifdef KR_HOPPER
    using W = ssd_walk_smem<NT>;
    extern __shared__ __align__(1024) unsigned char smem[];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, wg = threadIdx.x >> 7;
    const ssd_walk_place p = walk_where(a);
    if (threadIdx.x == 0) {
        uint64_t *made = (uint64_t *)(smem + W::barriers) + 2 * W::stages, *used = made + 2 * SSD_GROUPS, *y_made = used + 2 * SSD_GROUPS;
        for (int j = 0; j < 2 * SSD_GROUPS; j++) barrier_init(made + j, 4), barrier_init(used + j, KEEP ? 5 : 4);
        for (int j = 0; j < SSD_GROUPS; j++) barrier_init(y_made + j, 4), barrier_init(y_made + SSD_GROUPS + j, 1);
    }
    walk_begin<W>(smem, 2 * p.n_here);
    if (wg == 2 * p.n_wg) {
        registers_give<32>();
        if (lane) return;
        if (warp == 0) walk_bring<W, true>(a, maps, p, smem, chunks, products, false);
        if (warp == 1 && KEEP) walk_keep<NT>(a, p, smem, kept);
        if (warp >= 2 && warp - 2 < p.n_here) walk_store<NT>(a, maps, p, smem, warp - 2);
    } else if (wg < p.n_wg) {
        registers_take<120>();
        if (wg < p.n_here) walk_state<NT>(a, p, smem, wg, warp, lane);
    } else {
        registers_take<104>();
        if (wg - p.n_wg < p.n_here) walk_outputs<NT>(a, p, smem, wg - p.n_wg, warp, lane);
    }
#endif
}

/* --- backward ------------------------------------------------------------------------------------- */

/* The gradient of the state after every chunk, to `kept`, back to front. */
template <int NT>
__global__ void __launch_bounds__(SSD_GROUPS * 128 + 128, 1)
ssd_walk_back(const ssd_args a, const __grid_constant__ ssd_walk_maps maps, const ssd_chunk *chunks, bf16 *kept) {
#ifdef KR_HOPPER
    using W = ssd_back_smem<NT>;
    extern __shared__ __align__(1024) unsigned char smem[];
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, wg = threadIdx.x >> 7;
    const ssd_walk_place p = walk_where(a);
    walk_begin<W>(smem, p.n_here);
    if (wg == p.n_wg) {
        if (warp == 0 && lane == 0) walk_bring<W, false>(a, maps, p, smem, chunks, NULL, true);
        return;
    }
    if (wg >= p.n_here) return;
    const int own = p.own0 + wg, head = p.g * a.R + own / p.parts;
    const int64_t channel = (int64_t)head * a.P + own % p.parts * 64 + 16 * warp;
    const bool stores = lane == 0;
    float S[8 * NT];
    uint32_t v[4][4];
    state_enter<NT, true>(S, a, p, channel, lane);
    for (int c = 0; c < p.n; c++) {
        const int stage = c % W::stages;
        unsigned char *const at = smem + stage * W::stage, *const state = smem + W::state + (2 * wg + (c & 1)) * W::K;
        const ssd_chunk *T = (const ssd_chunk *)(at + W::tables) + (head - p.head0);
        barrier_wait(full + stage, c / W::stages & 1);
        walk_scaled(v, smem_at(at) + wg * W::tile, T->from_start, 1, warp, lane);
        if (stores) store_read<1>(); /* this place may be written again */
        meet(1 + wg, 128);
        walk_rows<NT>(smem_at(state), S, warp, lane);
        state_move<NT>(S, v, smem_at(at) + W::V, T->decay);
        store_fence();
        meet(1 + wg, 128); /* the state is there */
        if (stores) kept_store<NT>(kept_at<NT>(kept, a, p, p.c0 + p.n - 1 - c, wg), state, warp);
        wgmma_wait<0>();
        wgmma_pin(S);
        __syncwarp();
        if (lane == 0) barrier_arrive(empty + stage);
    }
    if (stores) store_done();
    state_leave<NT, true>(S, a, p, channel, lane);
#endif
}
#endif
