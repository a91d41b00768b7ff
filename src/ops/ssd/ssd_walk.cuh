/* ssd_walk.cuh - walking segments of a sequence on Hopper: forward's launches, and the
 * states that backward needs.
 *
 *   ssd_decays                     decays and their like, and C B' of every chunk, once for all
 *   ssd_adds<.., false>            the state each segment adds, from zero
 *   ssd_pass                       the state each segment starts from      (ssd_fwd.cuh)
 *   ssd_walk<.., false, KEEP>      y; KEEP: also the state before every chunk, for backward
 *   ssd_adds<.., true>, ssd_walk<.., true, true>   the same of the states' gradients, time reversed
 *
 * A warpgroup owns 64 channels of a head and their state, S' [64, N] in float32, in
 * registers.  Three of them share a block's B, C and C B', which the copy engine brings chunk
 * by chunk at the orders of a warp of its own.  In a chunk of 64 steps, with the running
 * decays of ssd_chunk:
 *
 *     M = P decays dt, lower         P = C B'; D on the diagonal; rounded to bf16, in registers
 *     Y = out (C S') + M X           S rounded, through shared memory
 *     S = decay S + (in X)' B        X' from registers, scaled on the way */
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

/* --- what is made once ---------------------------------------------------------------------- */

/* A row's 8 states from k on; zeros past the sequence and past N.  No branch, so that many
 * such loads are under way at once. */
__device__ inline uint4 product_row(const bf16 *rows, int64_t pitch, int64_t row, int64_t L, int k, int N) {
    const bool there = row < L && k < N;
    const uint4 v = *(const uint4 *)(rows + (there ? row : 0) * pitch + (there ? k : 0));
    return make_uint4(there ? v.x : 0, there ? v.y : 0, there ? v.z : 0, there ? v.w : 0);
}
/* 16 rows of C B' by a warp.  Which states an instruction takes together is free, so a lane
 * reads 8 neighbours and uses them in two. */
__device__ inline void product_rows(const ssd_args &a, ssd_product *out, int64_t i, int lane) {
    const int64_t n_chunks = (a.L + SSD_Q - 1) / SSD_Q;
    const int warp = (int)(i % 4), g = (int)(i / 4 % a.G), s = (int)(i / 4 / a.G / n_chunks);
    const int64_t t = i / 4 / a.G % n_chunks * SSD_Q;
    const bf16 *C = a.C + s * a.L * a.C_pitch + (int64_t)g * a.N, *B = a.B + s * a.L * a.B_pitch + (int64_t)g * a.N;
    float d[8][4] = {};
#pragma unroll 2
    for (int k = 8 * (lane & 3); k < (a.N + 31) / 32 * 32; k += 32) {
        const int64_t row = t + 16 * warp + (lane >> 2);
        const uint4 c0 = product_row(C, a.C_pitch, row, a.L, k, a.N), c1 = product_row(C, a.C_pitch, row + 8, a.L, k, a.N);
        const uint32_t first[4] = {c0.x, c1.x, c0.y, c1.y}, second[4] = {c0.z, c1.z, c0.w, c1.w};
        uint4 b[8];
#pragma unroll
        for (int nt = 0; nt < 8; nt++) b[nt] = product_row(B, a.B_pitch, t + 8 * nt + (lane >> 2), a.L, k, a.N);
#pragma unroll
        for (int nt = 0; nt < 8; nt++) {
            mma(d[nt], first, b[nt].x, b[nt].y);
            mma(d[nt], second, b[nt].z, b[nt].w);
        }
    }
#pragma unroll
    for (int nt = 0; nt < 8; nt++) out[i / 4].at[warp][nt][lane] = make_float4(d[nt][0], d[nt][1], d[nt][2], d[nt][3]);
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

/* A warp each: chunks of heads, after quarters of products. */
static __global__ void ssd_decays(ssd_args a, ssd_chunk *chunks, ssd_product *products) {
    launch_next();
    const int64_t n_chunks = a.S * ((a.L + SSD_Q - 1) / SSD_Q), n = n_chunks * a.G * 4;
    const int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    if (i < n) product_rows(a, products, i, threadIdx.x % 32);
    else if (i - n < n_chunks * a.H) decays_of(a, chunks + (i - n), i - n, threadIdx.x % 32);
}

/* --- walking -------------------------------------------------------------------------------- */

/* Of a stage: x, B, C, C B', decays; beside the stages y and the state, a warpgroup each. */
template <int NT, bool OUT, bool STATE> struct ssd_walk_smem {
    static constexpr int tile = SSD_Q * 128, V = SSD_GROUPS * tile, K = NT / 4 * tile, Q = V + K;
    static constexpr int product = Q + (OUT ? K : 0), tables = product + (OUT ? (int)sizeof(ssd_product) : 0);
    static constexpr int stage = (tables + SSD_GROUPS * (int)sizeof(ssd_chunk) + 1023) / 1024 * 1024;
    static constexpr int stages = OUT ? 2 : STATE ? 3 : 4, y = stages * stage, state = y + (OUT ? SSD_GROUPS * tile : 0);
    static constexpr int barriers = state + (STATE ? SSD_GROUPS * K : 0), bytes = barriers + 2 * stages * 8;
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
    p.n_wg = (blockDim.x >> 7) - 1, p.parts = a.P / 64, p.own0 = b * p.n_wg;
    p.n_here = a.R * p.parts - p.own0 < p.n_wg ? a.R * p.parts - p.own0 : p.n_wg;
    p.head0 = p.g * a.R + p.own0 / p.parts;
    const int64_t t0 = (int64_t)p.k * a.seg, t1 = t0 + a.seg < a.L ? t0 + a.seg : a.L;
    p.n = (int)((t1 - t0 + SSD_Q - 1) / SSD_Q), p.c0 = (int)(t0 / SSD_Q), p.n_chunks = (int)((a.L + SSD_Q - 1) / SSD_Q);
    return p;
}

template <typename W> __device__ inline void walk_begin(unsigned char *smem, int n_here) {
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    if (threadIdx.x == 0) {
        for (int j = 0; j < W::stages; j++) barrier_init(full + j, 1), barrier_init(empty + j, 4 * n_here);
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
    using W = ssd_walk_smem<NT, false, false>;
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

/* KEEP: the state before every chunk goes to maps.keep.  REVERSE: back to front, and only
 * that. */
template <int NT, bool REVERSE, bool KEEP>
__global__ void __launch_bounds__(SSD_GROUPS * 128 + 128, 1)
ssd_walk(const ssd_args a, const __grid_constant__ ssd_walk_maps maps, const ssd_chunk *chunks, const ssd_product *products) {
#ifdef KR_HOPPER
    constexpr bool OUT = !REVERSE;
    using W = ssd_walk_smem<NT, OUT, true>;
    extern __shared__ __align__(1024) unsigned char smem[];
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, wg = threadIdx.x >> 7;
    const ssd_walk_place p = walk_where(a);
    walk_begin<W>(smem, p.n_here);
    if (wg == p.n_wg) {
        registers_give<32>();
        if (warp == 0 && lane == 0) walk_bring<W, OUT>(a, maps, p, smem, chunks, products, REVERSE);
        return;
    }
    if (wg >= p.n_here) return;
    registers_take<160>();
    const int head = p.g * a.R + (p.own0 + wg) / p.parts, p0 = (p.own0 + wg) % p.parts * 64;
    /* an order to the copy engine takes some 200 clocks, so each warp gives one kind */
    const bool stores_y = OUT && warp == 1 && lane == 0, stores_state = KEEP && warp == 2 && lane == 0;

    float S[8 * NT];
#pragma unroll
    for (int j = 0; j < 8 * NT; j++) S[j] = 0;
    const float *first = REVERSE ? a.dh : a.h0, D = OUT && a.D ? a.D[head] : 0;
    const int64_t channel = (int64_t)head * a.P + p0 + 16 * warp;
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

    unsigned char *const y_at = smem + W::y + wg * W::tile, *const state_at = smem + W::state + wg * W::K;
    const uint32_t state = smem_at(state_at);
    const int row = 16 * warp + (lane >> 2);
    for (int c = 0; c < p.n; c++) {
        const int stage = c % W::stages, chunk = p.c0 + (REVERSE ? p.n - 1 - c : c);
        const uint32_t at = smem_at(smem) + stage * W::stage, V = at + wg * W::tile, K = at + W::V, Q = at + W::Q;
        const ssd_chunk *T = (const ssd_chunk *)(smem + stage * W::stage + W::tables) + (head - p.head0);
        barrier_wait(full + stage, c / W::stages & 1);
        uint32_t v[4][4];
        if (!OUT) { /* the place of the state may be written again */
            walk_scaled(v, V, T->from_start, 1, warp, lane);
            if (stores_state) box_store_read();
            meet(1 + wg, 128);
        }
        walk_rows<NT>(state, S, warp, lane);
        if (OUT) {
            if (stores_y) box_store_read(); /* the place of y may be written again */
            store_fence();
            meet(1 + wg, 128); /* the state is there */
        }
        auto store_state = [&] {
            for (int j = 0; j < NT / 4 && stores_state; j++)
                box_store(state_at + j * W::tile, &maps.keep, 0, p0, j, (p.s * p.n_chunks + chunk) * a.H + head);
        };
        float y[32];
        uint32_t m[4][4];
        if (OUT) {
            wgmma_begin();
#pragma unroll
            for (int ks = 0; ks < NT; ks++) {
                const uint32_t on = ks / 4 * W::tile + ks % 4 * 32;
                wgmma_tile<false, false>(y, tile_rows(Q + on), tile_rows(state + on), ks > 0);
            }
            wgmma_commit();
            store_state();
            walk_weights(m, (const ssd_product *)(smem + stage * W::stage + W::product), T, D, warp, lane);
            const float out[2] = {T->from_start[row], T->from_start[row + 8]};
            wgmma_wait<0>();
            wgmma_pin(y);
#pragma unroll
            for (int e = 0; e < 32; e++) y[e] *= out[e >> 1 & 1];
#pragma unroll
            for (int ks = 0; ks < 4; ks++) wgmma_pin(m[ks]);
            wgmma_pin(y);
            wgmma_begin();
#pragma unroll
            for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(y, m[ks], tile_cols(V + ks * 2048, W::tile), 1);
            wgmma_commit();
            walk_scaled(v, V, T->into, 1, warp, lane);
        }
        const float decay = T->decay;
#pragma unroll
        for (int j = 0; j < 8 * NT; j++) S[j] *= decay;
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_pin(v[ks]);
        wgmma_pin(S);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(S, v[ks], tile_cols(K + ks * 2048, W::tile), 1);
        wgmma_commit();
        if (OUT) {
            wgmma_wait<1>();
            wgmma_pin(y);
            walk_rows<4>(smem_at(y_at), y, warp, lane);
            if (stores_state) box_store_read(); /* the place of the state may be written again */
        }
        store_fence();
        meet(1 + wg, 128); /* y, or the state, is there */
        if (stores_y) box_store(y_at, &maps.y, 0, chunk * SSD_Q, head * p.parts + p0 / 64, p.s);
        if (!OUT) store_state();
        wgmma_wait<0>();
        wgmma_pin(S);
        __syncwarp();
        if (lane == 0) barrier_arrive(empty + stage);
    }
    if (stores_y || stores_state) box_store_done();
    float *last = REVERSE ? a.dh0 : a.h;
    if (last && p.k == (REVERSE ? 0 : a.n_seg - 1)) {
#pragma unroll
        for (int j = 0; j < 8 * NT; j++) {
            const int r = (lane >> 2) + (j >> 1 & 1) * 8, col = (j >> 2) * 8 + 2 * (lane & 3) + (j & 1);
            float *e = last + ((int64_t)p.s * a.H * a.P + channel + r) * a.N + col;
            if (col < a.N) *e = S[j] + (REVERSE && a.add_dh0 ? *e : 0);
        }
    }
#endif
}
#endif
