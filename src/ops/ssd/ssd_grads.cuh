/* ssd_grads.cuh - backward of ssd on Hopper, once the state before every chunk and the
 * gradient of the state after it are there (ssd_walk.cuh).
 *
 * A block takes one chunk of 64 steps and walks over the heads of a group, so that the
 * gradients of B and C stay in registers and need no sums between blocks.  With j <= i
 * steps of the chunk, h the state before it, g the gradient of the state after it, and
 * decay(j..i) from the chunk's table:
 *
 *     W[j,i]   = x_j . dy_i                       P[j,i] = B_j . C_i     (once)
 *     du_j     = sum_i P decay(j..i) dy_i + decay(j..end) g B_j          dx = dt du + D dy
 *     dP[j,i] += W decay(j..i) dt_j                                      summed over heads
 *     dC_i    += decay(start..i) h' dy_i,   in the end + dP' B
 *     dB_j    += decay(j..end) dt_j g' x_j, in the end + dP C
 *
 * The gradient of log decay t is all that crosses from step t-1 to t: pairs j < t <= i
 * within the chunk, from h to i >= t, from j < t to g, and from h to g.  The last three are
 * sums of what they are, never differences; the first is a sum of differences that cancel
 * exactly, being made of the same numbers.
 *
 * Warpgroup 0 does W, P and dx, warpgroup 1 dB and dC; of the third, a warp adds up the
 * decays, two make h . g and one brings the data. */
#ifndef KR_OPS_SSD_GRADS_CUH
#define KR_OPS_SSD_GRADS_CUH
#include "ops/ssd/ssd_walk.cuh"

struct ssd_grads_maps { CUtensorMap x, dy, B, C, dx; };
/* The state before every chunk and the gradient of that after it, as ssd_walk and ssd_walk_back keep them. */
struct ssd_kept { const bf16 *h, *g; };

/* Where gradients go; NULL: unwanted. */
struct ssd_grads_out {
    bf16 *dx, *dB, *dC, *ddt;
    int64_t dx_pitch, dB_pitch, dC_pitch, ddt_pitch;
    bool add_dx, add_dB, add_dC, add_ddt, by_copy; /* by_copy: dx through the copy engine */
    float *sums;       /* [3, S * n_chunks, H]: of A, dt_bias, D */
    float *parts;      /* [2, n_splits, S, L, G, N]: of B and C, where heads are split over blocks; else NULL */
    int n_splits;
};

/* What the warpgroups tell the ninth warp of a head. */
struct ssd_crossing {
    float pairs_in[4][SSD_Q];   /* a warp's share of sum over j < t of W decay dt P, at i = t */
    float pairs_out[SSD_Q];     /* sum over i > t of the same, at j = t */
    float from_h[SSD_Q], to_g[SSD_Q], du_x[SSD_Q], dy_x[SSD_Q];
    float h_g[2];               /* a warp's share of h . g */
};

template <int NT> struct ssd_grads_smem {
    static constexpr int tile = SSD_Q * 128, state = NT / 4 * tile;
    static constexpr int x = 0, dy = tile, h = 2 * tile, g = h + state, table = g + state;
    static constexpr int stage = (table + (int)sizeof(ssd_chunk) + 1023) / 1024 * 1024, stages = 3;
    static constexpr int B = stages * stage, C = B + state, dx = C + state, crossing = dx + tile;
    static constexpr int barriers = crossing + 2 * (int)sizeof(ssd_crossing), bytes = barriers + (2 * stages + 7) * 8;
};

/* Two neighbours of row r, columns 8 nt + 2 (lane % 4), of a tile. */
__device__ inline uint32_t tile_pair(const unsigned char *tile, int row, int nt, int lane) {
    return *(const uint32_t *)(tile + swizzled(0, row, nt) + (lane & 3) * 4);
}
__device__ inline float quad_sum(float v) {
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}

/* W of a head, begun before it is its turn. */
template <int NT> __device__ inline void grads_begin(float (&w)[32], const unsigned char *stage) {
    using W = ssd_grads_smem<NT>;
    const uint32_t at = smem_at(stage);
    wgmma_pin(w);
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_tile<false, false>(w, tile_rows(at + W::x + ks * 32), tile_rows(at + W::dy + ks * 32), ks > 0);
    wgmma_commit();
}

/* Warpgroup 0, one head.  Enters with W done; `next` begins that of the next head, which is
 * done on return; `place_free` waits until dx may be written. */
template <int NT, typename NEXT, typename FREE>
__device__ inline void grads_inner(float (&dP)[32], const float (&P)[32], float (&w)[32], const unsigned char *stage, uint32_t B,
                                   unsigned char *stage_dx, const ssd_chunk *T, ssd_crossing *X, float D, int warp, int lane, NEXT next,
                                   FREE place_free) {
    using W = ssd_grads_smem<NT>;
    const int c = 2 * (lane & 3), row[2] = {16 * warp + (lane >> 2), 16 * warp + (lane >> 2) + 8};
    const uint32_t at = smem_at(stage);
    float u[32];
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < NT; ks++) {
        const uint32_t on = ks / 4 * W::tile + ks % 4 * 32;
        wgmma_tile<false, false>(u, tile_rows(B + on), tile_rows(at + W::g + on), ks > 0);
    }
    wgmma_commit();

    /* the whole square, though only i >= j counts: without branches latencies hide.  The
     * diagonal is in both sums of pairs, and so in neither. */
    uint32_t m[4][4];
    float out[2] = {0, 0}, in[16];
    const float dt[2] = {T->dt[row[0]], T->dt[row[1]]}, mine[2] = {T->cum[row[0]], T->cum[row[1]]};
#pragma unroll
    for (int nt = 0; nt < 8; nt++) {
        const int col = nt * 8 + c;
        const float2 cum = *(const float2 *)(T->cum + col);
        in[2 * nt] = in[2 * nt + 1] = 0;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float pd[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int e = 4 * nt + 2 * r + i, over = col + i - row[r];
                const float d = over >= 0 ? pow2((i ? cum.y : cum.x) - mine[r]) : 0, pair = w[e] * d * P[e];
                pd[i] = P[e] * d * dt[r];
                if (nt % 2 == r && over == 0) { /* nowhere else is the diagonal */
                    X->dy_x[row[r]] = w[e];
                    pd[i] += D;
                }
                dP[e] += w[e] * d * dt[r];
                out[r] += pair;
                in[2 * nt + i] += pair * dt[r];
            }
            m[nt / 2][nt % 2 * 2 + r] = pack(pd[0], pd[1]);
        }
    }
    next();
    wgmma_wait<1>();
    wgmma_pin(u);
    float to_g[2] = {0, 0};
    const float end[2] = {T->to_end[row[0]], T->to_end[row[1]]}, into[2] = {T->into[row[0]], T->into[row[1]]};
#pragma unroll
    for (int nt = 0; nt < 8; nt++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const uint32_t x = tile_pair(stage + W::x, row[r], nt, lane);
            to_g[r] += u[4 * nt + 2 * r] * low(x) + u[4 * nt + 2 * r + 1] * high(x);
            u[4 * nt + 2 * r] *= into[r], u[4 * nt + 2 * r + 1] *= into[r];
        }
    wgmma_pin(u);
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_pin(m[ks]);
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(u, m[ks], tile_cols(at + W::dy + ks * 2048, W::tile), 1);
    wgmma_commit();
    /* sums of 16 columns over 8 lanes: each exchange halves the columns a lane goes on with */
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const bool high_half = lane & 16;
        const float give = high_half ? in[k] : in[k + 8], keep = high_half ? in[k + 8] : in[k];
        in[k] = keep + __shfl_xor_sync(~0u, give, 16);
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const bool high_half = lane & 8;
        const float give = high_half ? in[k] : in[k + 4], keep = high_half ? in[k + 4] : in[k];
        in[k] = keep + __shfl_xor_sync(~0u, give, 8);
    }
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const bool high_half = lane & 4;
        const float give = high_half ? in[k] : in[k + 2], keep = high_half ? in[k + 2] : in[k];
        in[k] = keep + __shfl_xor_sync(~0u, give, 4);
    }
    *(float2 *)(X->pairs_in[warp] + ((lane >> 4 & 1) * 4 + (lane >> 3 & 1) * 2 + (lane >> 2 & 1)) * 8 + c) = make_float2(in[0], in[1]);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        out[r] = quad_sum(out[r]), to_g[r] = quad_sum(to_g[r]);
        if ((lane & 3) == 0) {
            X->pairs_out[row[r]] = out[r] * dt[r], X->to_g[row[r]] = to_g[r] * into[r];
            X->du_x[row[r]] = out[r] + to_g[r] * end[r]; /* x times du, each in the products it is made of */
        }
    }
    place_free();
    wgmma_wait<0>();
    wgmma_pin(u);
    wgmma_pin(w);
    walk_rows<4>(smem_at(stage_dx), u, warp, lane);
}

/* [rows, n] of tiles to rows `pitch` apart, 16 bytes at a time where they fit. */
__device__ inline void grads_rows(const unsigned char *tiles, bf16 *to, int64_t pitch, int rows, int n, bool add, int thread) {
    const bool wide = !add && ((uintptr_t)to | (uintptr_t)(pitch * 2)) % 16 == 0;
    for (int i = thread; i < rows * (n / 8); i += 128) {
        const int r = i / (n / 8), u = i % (n / 8);
        const uint4 v = *(const uint4 *)(tiles + u / 8 * (SSD_Q * 128) + swizzled(0, r, u % 8));
        bf16 *at = to + r * pitch + u * 8;
        if (wide) *(uint4 *)at = v;
        const uint32_t pair[4] = {v.x, v.y, v.z, v.w};
        for (int e = 0; e < 4 && !wide; e++) cu_give(at + 2 * e, low(pair[e]), add), cu_give(at + 2 * e + 1, high(pair[e]), add);
    }
}

/* Warpgroup 1, one head. */
template <int NT>
__device__ inline void grads_outer(float (&dB)[8 * NT], float (&dC)[8 * NT], const unsigned char *stage, const unsigned char *C, const ssd_chunk *T,
                                   ssd_crossing *X, int warp, int lane) {
    using W = ssd_grads_smem<NT>;
    const int row = 16 * warp + (lane >> 2);
    const uint32_t at = smem_at(stage);
    uint32_t x[4][4];
    const float in[2] = {T->from_start[row], T->from_start[row + 8]};
    const float end0 = T->into[row], end1 = T->into[row + 8];
    const int from = 16 * warp + (lane & 7) + (lane >> 3 & 1) * 8;
    float from_h[2] = {0, 0}, t[32];
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_tile<false, true>(t, tile_rows(at + W::dy + ks * 32), tile_cols(at + W::h + ks * 2048, W::tile), ks > 0);
    wgmma_commit();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) {
        load_x4(x[ks], swizzled(at + W::x, from, 2 * ks + (lane >> 4)));
#pragma unroll
        for (int i = 0; i < 4; i++) x[ks][i] = pack(low(x[ks][i]) * (i & 1 ? end1 : end0), high(x[ks][i]) * (i & 1 ? end1 : end0));
        wgmma_pin(x[ks]);
    }
    wgmma_pin(dB);
    wgmma_begin();
#pragma unroll
    for (int ks = 0; ks < 4; ks++) wgmma_regs<true>(dB, x[ks], tile_cols(at + W::g + ks * 2048, W::tile), 1);
    wgmma_commit();
    auto take = [&](int half) { /* t is columns 64 half.. of this head's part of dC */
#pragma unroll
        for (int nt = 0; nt < 8; nt++) {
            const uint32_t c0 = tile_pair(C + half * W::tile, row, nt, lane), c1 = tile_pair(C + half * W::tile, row + 8, nt, lane);
            from_h[0] += t[4 * nt] * low(c0) + t[4 * nt + 1] * high(c0);
            from_h[1] += t[4 * nt + 2] * low(c1) + t[4 * nt + 3] * high(c1);
#pragma unroll
            for (int i = 0; i < 4; i++) dC[half * 32 + 4 * nt + i] += in[i >> 1] * t[4 * nt + i];
        }
    };
    wgmma_wait<1>();
    wgmma_pin(t);
    take(0);
    if (NT == 8) {
        wgmma_pin(t);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < 4; ks++)
            wgmma_tile<false, true>(t, tile_rows(at + W::dy + ks * 32), tile_cols(at + W::h + W::tile + ks * 2048, W::tile), ks > 0);
        wgmma_commit();
    }
    wgmma_wait<0>();
    wgmma_pin(dB);
    if (NT == 8) {
        wgmma_pin(t);
        take(1);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        from_h[r] = quad_sum(from_h[r]) * in[r];
        if ((lane & 3) == 0) X->from_h[row + 8 * r] = from_h[r];
    }
}

/* A warp's share, of two, of h . g. */
template <int NT> __device__ inline float grads_through(const unsigned char *stage, int share, int lane) {
    using W = ssd_grads_smem<NT>;
    const uint4 *h = (const uint4 *)(stage + W::h), *g = (const uint4 *)(stage + W::g);
    float sum[2] = {0, 0};
#pragma unroll 2
    for (int i = share * 32 + lane; i < W::state / 16; i += 64) {
        const uint4 p = h[i], q = g[i];
        sum[0] += low(p.x) * low(q.x) + high(p.x) * high(q.x) + low(p.y) * low(q.y) + high(p.y) * high(q.y);
        sum[1] += low(p.z) * low(q.z) + high(p.z) * high(q.z) + low(p.w) * low(q.w) + high(p.w) * high(q.w);
    }
    return cu_warp_sum(sum[0] + sum[1]);
}

/* Gradients of dt and of what makes it, from what crosses each step. */
struct ssd_scalars { float ddt[2], dA, dD; };

__device__ inline void grads_decays(ssd_scalars *v, const ssd_crossing *X, const ssd_chunk *T, float A, int lane) {
    float later[2], earlier[2], da[2];
    for (int i = 0; i < 2; i++) {
        const int t = 2 * lane + i;
        later[i] = X->pairs_in[0][t] + X->pairs_in[1][t] + X->pairs_in[2][t] + X->pairs_in[3][t] - X->pairs_out[t] + X->from_h[t];
        earlier[i] = X->to_g[t];
    }
    /* da_t = sum of `later` over s >= t + sum of `earlier` over s < t + what goes through the whole chunk */
    float sum = later[0] + later[1];
    for (int d = 1; d < 32; d *= 2) {
        const float other = __shfl_down_sync(~0u, sum, d);
        if (lane + d < 32) sum += other;
    }
    const float after = __shfl_down_sync(~0u, sum, 1);
    da[0] = sum, da[1] = later[1] + (lane < 31 ? after : 0);
    running_sum(earlier, lane);
    const float before = __shfl_up_sync(~0u, earlier[1], 1), through = T->decay * (X->h_g[0] + X->h_g[1]);
    da[0] += (lane > 0 ? before : 0) + through;
    da[1] += earlier[0] + through;
    float dA = 0, dD = 0;
    for (int i = 0; i < 2; i++) {
        const int t = 2 * lane + i;
        v->ddt[i] += A * da[i] + X->du_x[t];
        dA += T->dt[t] * da[i];
        dD += X->dy_x[t];
    }
    v->dA += cu_warp_sum(dA);
    v->dD += cu_warp_sum(dD);
}

template <int NT> __global__ void __launch_bounds__(384, 1)
ssd_grads(const ssd_args a, const __grid_constant__ ssd_grads_maps maps, const ssd_chunk *chunks, const ssd_kept kept, const ssd_grads_out o) {
#ifdef KR_HOPPER
    using W = ssd_grads_smem<NT>;
    extern __shared__ __align__(1024) unsigned char smem[];
    uint64_t *full = (uint64_t *)(smem + W::barriers), *empty = full + W::stages, *told = empty + W::stages, *heard = told + 2, *once = heard + 2, *dx_there = once + 1,
             *dx_taken = dx_there + 1;
    ssd_crossing *crossing = (ssd_crossing *)(smem + W::crossing);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, wg = threadIdx.x >> 7;
    const int n_chunks = (int)((a.L + SSD_Q - 1) / SSD_Q), parts = a.P / 64;
    int i = blockIdx.x;
    const int split = i % o.n_splits;
    i /= o.n_splits;
    const int g = i % a.G, chunk = i / a.G % n_chunks, s = i / a.G / n_chunks, t0 = chunk * SSD_Q;
    const int per = (a.R + o.n_splits - 1) / o.n_splits, first = split * per, heads = a.R - first < per ? a.R - first : per;
    const int n = heads > 0 ? heads * parts : 0;
    const int rows = a.L - t0 < SSD_Q ? (int)(a.L - t0) : SSD_Q;
    if (threadIdx.x == 0) {
        for (int j = 0; j < W::stages; j++) barrier_init(full + j, 1), barrier_init(empty + j, 8 + 3);
        for (int j = 0; j < 2; j++) barrier_init(told + j, 8 + 2), barrier_init(heard + j, 1);
        barrier_init(once, 1), barrier_init(dx_there, 4), barrier_init(dx_taken, 1);
        barrier_init_done();
        store_fence();
    }
    __syncthreads();
    launch_next();
    launched_wait();
    const uint32_t base = smem_at(smem);

    const int64_t row0 = (int64_t)s * n_chunks + chunk;
    if (wg == 2 && warp == 3) { /* brings the data */
        registers_give<72>();
        if (lane == 0) {
            barrier_expect(once, 2 * W::state);
            box_load_5d(smem + W::B, &maps.B, 0, t0, 0, g, s, once);
            box_load_5d(smem + W::C, &maps.C, 0, t0, 0, g, s, once);
            for (int j = 0; j < n + W::stages; j++) {
                const int stage = j % W::stages, head = g * a.R + first + j / parts, p0 = j % parts * 64, done = j - W::stages;
                if (done >= 0 && o.by_copy) {
                    barrier_wait(dx_there, done & 1);
                    box_store(smem + W::dx, &maps.dx, 0, t0, (g * a.R + first) * parts + done, s);
                    store_read<0>();
                    barrier_arrive(dx_taken);
                }
                if (j >= n) continue;
                unsigned char *at = smem + stage * W::stage;
                uint64_t *there = full + stage;
                if (done >= 0) barrier_wait(empty + stage, (done / W::stages) & 1);
                barrier_expect(there, 2 * W::tile + 2 * W::state + sizeof(ssd_chunk));
                bytes_load(at + W::table, chunks + row0 * a.H + head, sizeof(ssd_chunk), there);
                box_load(at + W::x, &maps.x, 0, t0, head * parts + p0 / 64, s, there);
                box_load(at + W::dy, &maps.dy, 0, t0, head * parts + p0 / 64, s, there);
                const int64_t state = ((row0 * a.H + head) * parts + p0 / 64) * (W::state / 2);
                bytes_load(at + W::g, kept.g + state, W::state, there);
                bytes_load(at + W::h, kept.h + state, W::state, there);
            }
            store_done();
        }
    } else if (wg == 2 && warp > 0) { /* make h . g */
        registers_give<72>();
        for (int j = 0; j < n; j++) {
            const int stage = j % W::stages;
            barrier_wait(full + stage, j / W::stages & 1);
            if (j >= 2) barrier_wait(heard + j % 2, (j / 2 - 1) & 1);
            const float sum = grads_through<NT>(smem + stage * W::stage, warp - 1, lane);
            if (lane == 0) crossing[j % 2].h_g[warp - 1] = sum, barrier_arrive(told + j % 2), barrier_arrive(empty + stage);
            __syncwarp();
        }
    } else if (wg == 2) { /* adds up the decays */
        registers_give<72>();
        ssd_scalars v = {};
        for (int j = 0; j < n; j++) {
            const int head = g * a.R + first + j / parts;
            const ssd_chunk *T = (const ssd_chunk *)(smem + j % W::stages * W::stage + W::table);
            float raw[2] = {0, 0};
            for (int e = 0; e < 2; e++)
                if (2 * lane + e < rows)
                    raw[e] = __bfloat162float(a.dt[((int64_t)s * a.L + t0 + 2 * lane + e) * a.dt_pitch + head]) + (a.dt_bias ? a.dt_bias[head] : 0);
            if (j % parts == 0) v = {};
            barrier_wait(told + j % 2, j / 2 & 1);
            grads_decays(&v, crossing + j % 2, T, a.A[head], lane);
            __syncwarp();
            if (lane == 0) barrier_arrive(heard + j % 2), barrier_arrive(empty + j % W::stages);
            if ((j + 1) % parts) continue;
            float bias = 0;
            for (int e = 0; e < 2; e++) {
                if (2 * lane + e >= rows) continue;
                const float dt = a.softplus ? cu_softplus(raw[e]) : raw[e];
                const float d = dt >= a.dt_min && dt <= a.dt_max ? v.ddt[e] * (a.softplus ? cu_sigmoid(raw[e]) : 1) : 0;
                if (o.ddt) cu_give(o.ddt + ((int64_t)s * a.L + t0 + 2 * lane + e) * o.ddt_pitch + head, d, o.add_ddt);
                bias += d;
            }
            bias = cu_warp_sum(bias);
            const int64_t n_rows = (int64_t)a.S * n_chunks;
            if (lane == 0) {
                float *sum = o.sums + row0 * a.H + head;
                sum[0] = v.dA, sum[n_rows * a.H] = bias, sum[2 * n_rows * a.H] = v.dD;
            }
        }
    } else if (wg == 0) {
        registers_take<216>();
        barrier_wait(once, 0);
        float P[32], dP[32];
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < NT; ks++) {
            const uint32_t on = ks / 4 * W::tile + ks % 4 * 32;
            wgmma_tile<false, false>(P, tile_rows(base + W::B + on), tile_rows(base + W::C + on), ks > 0);
        }
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(P);
#pragma unroll
        for (int e = 0; e < 32; e++) dP[e] = 0;
        float w[32];
        barrier_wait(full, 0);
        grads_begin<NT>(w, smem);
        wgmma_wait<0>();
        wgmma_pin(w);
        for (int j = 0; j < n; j++) {
            const int stage = j % W::stages, after = (j + 1) % W::stages, head = g * a.R + first + j / parts, p0 = j % parts * 64;
            if (j >= 2) barrier_wait(heard + j % 2, (j / 2 - 1) & 1);
            grads_inner<NT>(dP, P, w, smem + stage * W::stage, base + W::B, smem + W::dx, (const ssd_chunk *)(smem + stage * W::stage + W::table),
                            crossing + j % 2, a.D ? a.D[head] : 0, warp, lane, [&] {
                if (j + 1 < n) barrier_wait(full + after, (j + 1) / W::stages & 1);
                grads_begin<NT>(w, smem + (j + 1 < n ? after : stage) * W::stage); /* the last is for nothing */
            }, [&] {
                if (o.by_copy && j > 0) barrier_wait(dx_taken, (j - 1) & 1);
                else if (!o.by_copy) meet(1, 128);
            });
            if (o.by_copy) store_fence();
            __syncwarp();
            if (lane == 0) {
                if (o.by_copy) barrier_arrive(dx_there);
                barrier_arrive(told + j % 2);
                barrier_arrive(empty + stage);
            }
            if (!o.by_copy) {
                meet(1, 128);
                if (o.dx) grads_rows(smem + W::dx, o.dx + ((int64_t)s * a.L + t0) * o.dx_pitch + head * a.P + p0, o.dx_pitch, rows, 64, o.add_dx, threadIdx.x);
            }
        }
        if (o.by_copy) barrier_wait(dx_taken, (n - 1) & 1); /* dx's place is where dP goes */
        else meet(1, 128);
        walk_rows<4>(base + W::dx, dP, warp, lane);
        store_fence();
        meet(3, 256);
    } else {
        registers_take<216>();
        barrier_wait(once, 0);
        float dB[8 * NT], dC[8 * NT];
#pragma unroll
        for (int e = 0; e < 8 * NT; e++) dB[e] = dC[e] = 0;
        for (int j = 0; j < n; j++) {
            const int stage = j % W::stages;
            barrier_wait(full + stage, j / W::stages & 1);
            if (j >= 2) barrier_wait(heard + j % 2, (j / 2 - 1) & 1);
            grads_outer<NT>(dB, dC, smem + stage * W::stage, smem + W::C, (const ssd_chunk *)(smem + stage * W::stage + W::table),
                            crossing + j % 2, warp, lane);
            __syncwarp();
            if (lane == 0) barrier_arrive(told + j % 2), barrier_arrive(empty + stage);
        }
        meet(3, 256);
        wgmma_pin(dB);
        wgmma_pin(dC);
        wgmma_begin();
#pragma unroll
        for (int ks = 0; ks < 4; ks++) {
            wgmma_tile<true, true>(dC, tile_cols(base + W::dx + ks * 2048, W::tile), tile_cols(base + W::B + ks * 2048, W::tile), 1);
            wgmma_tile<false, true>(dB, tile_rows(base + W::dx + ks * 32), tile_cols(base + W::C + ks * 2048, W::tile), 1);
        }
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(dB);
        wgmma_pin(dC);
        if (o.parts) {
            const int64_t size = (int64_t)a.S * a.L * a.G * a.N;
#pragma unroll
            for (int e = 0; e < 8 * NT; e++) {
                const int r = 16 * warp + (lane >> 2) + (e >> 1 & 1) * 8, c = (e >> 2) * 8 + 2 * (lane & 3) + (e & 1);
                if (r >= rows || c >= a.N) continue;
                float *part = o.parts + split * size + (((int64_t)s * a.L + t0 + r) * a.G + g) * a.N + c;
                part[0] = dB[e], part[o.n_splits * size] = dC[e];
            }
        } else { /* B and C are done with */
            const int64_t row = (int64_t)s * a.L + t0, col = (int64_t)g * a.N;
            meet(2, 128);
            walk_rows<NT>(base + W::B, dB, warp, lane);
            walk_rows<NT>(base + W::C, dC, warp, lane);
            meet(2, 128);
            if (o.dB) grads_rows(smem + W::B, o.dB + row * o.dB_pitch + col, o.dB_pitch, rows, a.N, o.add_dB, threadIdx.x - 128);
            if (o.dC) grads_rows(smem + W::C, o.dC + row * o.dC_pitch + col, o.dC_pitch, rows, a.N, o.add_dC, threadIdx.x - 128);
        }
    }
#endif
}

/* Sums over the splits, in order. */
static __global__ void ssd_sum_parts(bf16 *to, int64_t pitch, const float *parts, int n, int64_t rows, int64_t width, bool add) {
    launch_next();
    launched_wait();
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * width) return;
    float v = 0;
    for (int k = 0; k < n; k++) v += parts[k * rows * width + i];
    cu_give(to + i / width * pitch + i % width, v, add);
}

/* dA, ddt_bias, dD: a block a head and kind, over all rows of partial sums. */
static __global__ void ssd_sum_heads(float *dA, float *dbias, float *dD, const float *sums, int64_t rows, int H, unsigned add) {
    launch_next();
    launched_wait();
    __shared__ float room[32];
    const int h = blockIdx.x, kind = blockIdx.y;
    float *to = kind == 0 ? dA : kind == 1 ? dbias : dD, v = 0;
    if (!to) return;
    for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) v += sums[(kind * rows + r) * H + h];
    v = cu_block_sum(v, room);
    if (threadIdx.x == 0) cu_give(to + h, v, add >> kind & 1);
}
#endif
