/* ssd_fwd.cuh - forward of ssd on any tensor cores (of compute capability 8.0 on), in three
 * launches:
 *
 *   ssd_ends     the state each segment adds, from zero          reads x, B
 *   ssd_pass     the state each segment starts from              reads and writes states
 *   ssd_outputs  y, walking each segment from its start          reads x, B, C, writes y
 *
 * One segment a sequence needs only the last.  Hopper has faster ones (ssd_walk.cuh), which
 * share ssd_pass. */
#ifndef KR_OPS_SSD_FWD_CUH
#define KR_OPS_SSD_FWD_CUH
#include "ops/ssd/ssd_tile.cuh"

/* Shared memory of ssd_ends, in bytes from its start. */
template <int NT, int MT> struct ssd_ends_smem {
    static constexpr int UV = SSD_WARPS * MT * 2, V = SSD_Q * UV * 16, K = SSD_Q * NT * 2 * 16, stage = V + K;
    static constexpr int stages = 3, bytes = stages * stage + (int)sizeof(ssd_tables);
};

template <int NT, int MT> __global__ void __launch_bounds__(SSD_WARPS * 32, 1) ssd_ends(ssd_args a) {
    using M = ssd_ends_smem<NT, MT>;
    extern __shared__ __align__(1024) unsigned char smem[];
    ssd_tables *T = (ssd_tables *)(smem + M::stages * M::stage);
    const ssd_place p = ssd_where(a);
    if (p.k == a.n_seg - 1) return; /* nobody goes on from there */
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, col = warp * 16 * MT, head = col / a.P;
    const bool active = col < p.cols;
    const bf16 *V = a.x + (int64_t)p.h0 * a.P, *K = a.B + (int64_t)p.g * a.N;
    const int n = (int)((p.t1 - p.t0 + SSD_Q - 1) / SSD_Q);
    auto start = [&](int c) { return p.t0 + (int64_t)c * SSD_Q; };
    auto load = [&](int c) {
        if (c < n) {
            int64_t t = start(c);
            unsigned char *at = smem + (c % M::stages) * M::stage;
            int rows = p.t1 - t < SSD_Q ? (int)(p.t1 - t) : SSD_Q;
            tile_load<M::UV>(at, V, (int64_t)p.s * a.L + t, a.x_pitch, rows, p.cols / 8, a.wide_x);
            tile_load<2 * NT>(at + M::V, K, (int64_t)p.s * a.L + t, a.B_pitch, rows, a.N / 8, a.wide_B);
        }
        copy_commit();
    };
    float S[MT][2 * NT][4], total = 1;
    state_clear<NT, MT>(S);
    ssd_raw raw;
    if (warp < p.n_heads) raw = raw_load(a, p, start(0), p.h0 + warp, lane);
    load(0);
    load(1);
    for (int c = 0; c < n; c++) {
        if (warp < p.n_heads) {
            chunk_tables(T, a, p, start(c), warp, raw, lane);
            if (c + 1 < n) raw = raw_load(a, p, start(c + 1), p.h0 + warp, lane);
        }
        copy_wait<1>();
        __syncthreads();
        load(c + 2);
        uint32_t at = smem_at(smem) + (c % M::stages) * M::stage;
        if (active) {
            state_step<NT, MT, M::UV>(S, at, warp * 2 * MT, at + M::V, T->in[head], T->decay[head], lane);
            total *= T->decay[head];
        }
        __syncthreads();
    }
    if (!active) return;
    slot_store<NT, MT>(a.states + slot_at<NT, MT>(a, p, p.k, col), S, lane);
    if (lane == 0 && col % a.P == 0) a.decay[((int64_t)p.s * a.n_seg + p.k) * a.H + p.h0 + head] = total;
}

/* From what each segment adds to the state each starts from, 8 elements a thread, in
 * float32.  REVERSE: from what each adds to the gradient at its start to the whole gradient
 * at its end. */
template <int NT, int MT, bool REVERSE> __global__ void ssd_pass(ssd_args a) {
    launch_next();
    launched_wait();
    const int64_t per_head = (int64_t)a.P * 16 * NT, n = (int64_t)a.H * per_head;
    const int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (i >= (int64_t)a.S * n) return;
    const int s = (int)(i / n), h = (int)(i % n / per_head);
    bf16 *slots = a.states + (int64_t)s * a.n_seg * n + i % n;
    const float *decay = a.decay + (int64_t)s * a.n_seg * a.H + h, *first = REVERSE ? a.dh : a.h0;
    float v[8];
    for (int e = 0; e < 8; e++) {
        int64_t q = i % per_head + e; /* the accumulators' order: [warp, m, n-tile, lane, 4] */
        int m = (int)(q / (2 * NT * 128)), nt = (int)(q / 128) % (2 * NT), lane = (int)(q / 4) % 32, j = (int)(q % 4);
        int row = m * 16 + (lane >> 2) + (j >> 1) * 8, c = nt * 8 + 2 * (lane & 3) + (j & 1);
        v[e] = first && c < a.N ? first[(((int64_t)s * a.H + h) * a.P + row) * a.N + c] : 0;
    }
    auto at = [&](int step) { return REVERSE ? a.n_seg - 1 - step : step; };
    uint4 next = *(const uint4 *)(slots + at(0) * n); /* read ahead: the chain is only through v */
    for (int step = 0; step < a.n_seg; step++) {
        const uint4 add = next;
        const float d = decay[(int64_t)at(step) * a.H];
        if (step + 2 < a.n_seg) next = *(const uint4 *)(slots + at(step + 1) * n); /* nobody goes on from the last */
        *(uint4 *)(slots + at(step) * n) = make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
        if (step == a.n_seg - 1) break;
        const uint32_t w[4] = {add.x, add.y, add.z, add.w};
        for (int e = 0; e < 4; e++) {
            v[2 * e] = v[2 * e] * d + low(w[e]);
            v[2 * e + 1] = v[2 * e + 1] * d + high(w[e]);
        }
    }
}

/* --- outputs ----------------------------------------------------------------------------- */

enum { SSD_OUT_PITCH = 80 }; /* bytes of a staged row of 32 channels: 5 units, so rows spread over the banks */

template <int NT, int MT> struct ssd_outputs_smem {
    static constexpr int UV = SSD_WARPS * MT * 2, V = SSD_Q * UV * 16, K = SSD_Q * NT * 2 * 16, stage = V + 2 * K;
    static constexpr int stages = 2, slots = stages * stage, out = slots + SSD_SLOTS * 256;
    static constexpr int tables = out + SSD_WARPS * 32 * SSD_OUT_PITCH, bytes = tables + (int)sizeof(ssd_tables);
};

/* Y'[16 MT, steps o0..o0+31] += S Q': the state each step sees, behind its decay. */
template <int NT, int MT>
__device__ inline void outputs_state(float y[MT][4][4], const float S[MT][2 * NT][4], uint32_t Q, int o0, const float *out, int lane) {
#pragma unroll
    for (int ks = 0; ks < NT; ks++) {
        uint32_t s[MT][4], q[2][4];
#pragma unroll
        for (int m = 0; m < MT; m++) {
            s[m][0] = pack(S[m][2 * ks][0], S[m][2 * ks][1]);
            s[m][1] = pack(S[m][2 * ks][2], S[m][2 * ks][3]);
            s[m][2] = pack(S[m][2 * ks + 1][0], S[m][2 * ks + 1][1]);
            s[m][3] = pack(S[m][2 * ks + 1][2], S[m][2 * ks + 1][3]);
        }
        load_x4(q[0], frag_rows<2 * NT>(Q, o0, 2 * ks, lane));
        load_x4(q[1], frag_rows<2 * NT>(Q, o0 + 16, 2 * ks, lane));
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int o = 0; o < 4; o++) mma(y[m][o], s[m], q[o >> 1][2 * (o & 1)], q[o >> 1][2 * (o & 1) + 1]);
    }
#pragma unroll
    for (int o = 0; o < 4; o++) {
        float2 w = *(const float2 *)(out + o0 + o * 8 + 2 * (lane & 3));
#pragma unroll
        for (int m = 0; m < MT; m++) {
            y[m][o][0] *= w.x, y[m][o][1] *= w.y;
            y[m][o][2] *= w.x, y[m][o][3] *= w.y;
        }
    }
}

/* What one head multiplies a product by; read once a chunk. */
struct ssd_head { const float *cum, *dt; const int *run; float D; };

/* M[o, s] = (Q_o . K_s) decay(s..o) dt_s for steps s = col, col + 1 and o = row, as a pair
 * of a B operand; D stands on the diagonal. */
__device__ inline uint32_t weights(float2 qk, const ssd_head &h, int row, int col, bool diagonal) {
    float2 c = *(const float2 *)(h.cum + col), dt = *(const float2 *)(h.dt + col);
    float mine = h.cum[row], x = qk.x * pow2(mine - c.x) * dt.x, y = qk.y * pow2(mine - c.y) * dt.y;
    if (h.run) {
        x = h.run[row] == h.run[col] ? x : 0;
        y = h.run[row] == h.run[col + 1] ? y : 0;
    }
    if (diagonal) {
        x = col < row ? x : col == row ? x + h.D : 0;
        y = col + 1 < row ? y : col + 1 == row ? y + h.D : 0;
    }
    return pack(x, y);
}

/* Y'[16 MT, steps o0..o0+31] += V' M', of the steps up to each. */
template <int MT, int UV>
__device__ inline void outputs_chunk(float y[MT][4][4], uint32_t V, int unit, const float2 *slots, int o0, const ssd_head &h, int lane) {
    for (int ks = 0; ks < o0 / 16 + 2; ks++) {
        uint32_t v[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++) load_x4_trans(v[m], frag_a_trans<UV>(V, ks * 16, unit + 2 * m, lane));
#pragma unroll
        for (int o = 0; o < 4; o++) {
            const int tile = o0 / 8 + o, row = tile * 8 + (lane >> 2), col = ks * 16 + 2 * (lane & 3);
            if (ks > tile / 2) continue;
            const float2 *slot = slots + (tile * 8 + 2 * ks) * 32 + lane;
            uint32_t b0 = weights(slot[0], h, row, col, ks == tile / 2);
            uint32_t b1 = ks == tile / 2 && tile % 2 == 0 ? 0 : weights(slot[32], h, row, col + 8, ks == tile / 2);
#pragma unroll
            for (int m = 0; m < MT; m++) mma(y[m][o], v[m], b0, b1);
        }
    }
}

/* 32 steps of this warp's channels to memory, through its own staging rows. */
template <int MT>
__device__ inline void outputs_store(const float y[MT][4][4], unsigned char *stage, bf16 *to, int64_t pitch, int rows, int lane) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int o = 0; o < 4; o++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                uint32_t t = transpose_8x8(pack(y[m][o][2 * half], y[m][o][2 * half + 1])); /* to [step, channel] */
                *(uint32_t *)(stage + (o * 8 + (lane >> 2)) * SSD_OUT_PITCH + (m * 16 + half * 8 + 2 * (lane & 3)) * 2) = t;
            }
    __syncwarp();
    constexpr int units = 2 * MT, rows_at_once = 32 / units;
#pragma unroll
    for (int r0 = 0; r0 < 32; r0 += rows_at_once) {
        int r = r0 + lane / units, u = lane % units;
        if (r < rows) *(uint4 *)(to + r * pitch + u * 8) = *(const uint4 *)(stage + r * SSD_OUT_PITCH + u * 16);
    }
    __syncwarp();
}

/* y += Dhp x where every channel has its own D. */
template <int MT, int UV>
__device__ inline void outputs_skip(float y[MT][4][4], const unsigned char *V, int unit, int o0, const float *Dhp, int lane) {
    for (int m = 0; m < MT; m++)
        for (int o = 0; o < 4; o++)
            for (int i = 0; i < 4; i++) {
                int p = m * 16 + (lane >> 2) + (i >> 1) * 8, t = o0 + o * 8 + 2 * (lane & 3) + (i & 1);
                const bf16 *x = (const bf16 *)(V + (tile_at<UV>(0, t, unit + p / 8))) + p % 8;
                y[m][o][i] += Dhp[p] * __bfloat162float(*x);
            }
}

template <int NT, int MT> __global__ void __launch_bounds__(SSD_WARPS * 32, 1) ssd_outputs(ssd_args a) {
    using M = ssd_outputs_smem<NT, MT>;
    extern __shared__ __align__(1024) unsigned char smem[];
    ssd_tables *T = (ssd_tables *)(smem + M::tables);
    float2 *slots = (float2 *)(smem + M::slots);
    const ssd_place p = ssd_where(a);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_warps = blockDim.x >> 5, col = warp * 16 * MT, head = col / a.P;
    const bool active = col < p.cols;
    const int64_t channel = (int64_t)p.h0 * a.P, row0 = (int64_t)p.s * a.L;
    const bf16 *V = a.x + channel, *K = a.B + (int64_t)p.g * a.N, *Q = a.C + (int64_t)p.g * a.N;
    const int n = (int)((p.t1 - p.t0 + SSD_Q - 1) / SSD_Q);
    auto load = [&](int c) {
        if (c < n) {
            int64_t t = p.t0 + (int64_t)c * SSD_Q;
            unsigned char *at = smem + (c % M::stages) * M::stage;
            int rows = p.t1 - t < SSD_Q ? (int)(p.t1 - t) : SSD_Q;
            tile_load<2 * NT>(at + M::V, K, row0 + t, a.B_pitch, rows, a.N / 8, a.wide_B);
            tile_load<2 * NT>(at + M::V + M::K, Q, row0 + t, a.C_pitch, rows, a.N / 8, a.wide_C);
            tile_load<M::UV>(at, V, row0 + t, a.x_pitch, rows, p.cols / 8, a.wide_x);
        }
        copy_commit();
    };
    ssd_raw raw;
    if (warp < p.n_heads) raw = raw_load(a, p, p.t0, p.h0 + warp, lane);
    load(0);
    float S[MT][2 * NT][4];
    bool some = p.k > 0 || a.h0;
    state_clear<NT, MT>(S);
    if (active && p.k > 0) slot_load<NT, MT>(S, a.states + slot_at<NT, MT>(a, p, p.k, col), lane);
    else if (active && a.h0) state_io<NT, MT, true>(S, (float *)a.h0, a, p.s, channel + col, lane, false);
    for (int c = 0; c < n; c++) {
        const int64_t t = p.t0 + (int64_t)c * SSD_Q;
        load(c + 1);
        if (warp < p.n_heads) {
            chunk_tables(T, a, p, t, warp, raw, lane);
            if (c + 1 < n) raw = raw_load(a, p, t + SSD_Q, p.h0 + warp, lane);
        }
        copy_wait<1>();
        __syncthreads();
        const uint32_t at = smem_at(smem) + (c % M::stages) * M::stage;
        products<NT, false>(slots, at + M::V + M::K, at + M::V, warp, n_warps, lane);
        __syncthreads();
        if (active) {
            const ssd_head h = {T->cum[head], T->dt[head], a.seq ? T->run : NULL, a.D ? a.D[p.h0 + head] : 0};
            const int unit = warp * 2 * MT;
#pragma unroll 1
            for (int o0 = 0; o0 < SSD_Q && t + o0 < p.t1; o0 += 32) {
                float y[MT][4][4];
#pragma unroll
                for (int i = 0; i < MT * 16; i++) y[i / 16][i / 4 % 4][i % 4] = 0;
                if (some) outputs_state<NT, MT>(y, S, at + M::V + M::K, o0, T->out[head], lane);
                outputs_chunk<MT, M::UV>(y, at, unit, slots, o0, h, lane);
                if (a.Dhp) outputs_skip<MT, M::UV>(y, smem + (c % M::stages) * M::stage, unit, o0, a.Dhp + channel + col, lane);
                outputs_store<MT>(y, smem + M::out + warp * 32 * SSD_OUT_PITCH, a.y + (row0 + t + o0) * a.H * a.P + channel + col,
                                  (int64_t)a.H * a.P, (int)(p.t1 - t - o0), lane);
            }
            state_step<NT, MT, M::UV>(S, at, unit, at + M::V, T->in[head], T->decay[head], lane);
            some = true;
        }
        __syncthreads();
    }
    if (active && a.h && p.k == a.n_seg - 1) state_io<NT, MT, false>(S, a.h, a, p.s, channel + col, lane, false);
}
#endif
