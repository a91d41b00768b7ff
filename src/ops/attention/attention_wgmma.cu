/* attention_wgmma.cu - attention on Hopper, heads of 64 or 128: wgmma, and tiles by the copy engine.
 *
 * The sums are those of attention_tensor.cu: forward and dq own queries and go through keys, dk and
 * dv own keys and go through queries, so nothing is added atomically.  A warpgroup owns 64 rows
 * and all their sums, in registers; two or three of them share the tiles that a warp of its own
 * orders into a ring.  dk and dv take scores transposed, [keys, queries]: so in all three
 * kernels what is made of scores lies in registers as the left operand of the next product.
 *
 * While a warpgroup makes exponents of one tile, its products with the one before still run: the
 * next scores are ordered first, and those products after them. */
#include "cuda/wgmma.cuh"
#include "ops/attention/attention.cuh"

namespace on_hopper { /* no nameless one: for other cards half of this is not used */

/* Of `groups` warpgroups that multiply and one that brings tiles: threads, and the registers of each of its own. */
constexpr int threads_of(int groups) { return 128 * (groups + 1); }
constexpr int narrow_of(int groups, int wide) { return (groups == 3 ? 512 : 504) - groups * wide; }

/* Views of [S, L, heads P] in boxes of some steps of one head, 64 columns in a piece; y is what forward writes, of dy in backward. */
struct attention_maps { CUtensorMap q, k, v, y; };

constexpr int row_bytes(int P) { return 2 * P; }

/* scores[64, N] = a b': 64 and N rows of P numbers, in pieces of 64 columns. */
template <int P, int N> __device__ __forceinline__ void product_rows(float (&d)[N / 2], uint32_t a, uint32_t b) {
#pragma unroll
    for (int k = 0; k < P / 16; k++)
        wgmma_tile<false, false>(d, tile_rows(a + k / 4 * 8192 + k % 4 * 32), tile_rows(b + k / 4 * (N * 128) + k % 4 * 32), k > 0);
}
/* d[64, P] += left[64, N] rows[N, P] */
template <int P, int N> __device__ __forceinline__ void product_sum(float (&d)[P / 2], const uint32_t (&left)[N / 16][4], uint32_t rows) {
#pragma unroll
    for (int k = 0; k < N / 16; k++) wgmma_regs<true>(d, left[k], tile_cols(rows + k * 2048, N * 128), 1);
}
/* Accumulators as left operands. */
template <int N> __device__ __forceinline__ void as_left(uint32_t (&left)[N / 16][4], const float (&x)[N / 2]) {
#pragma unroll
    for (int k = 0; k < N / 16; k++)
#pragma unroll
        for (int i = 0; i < 4; i++) left[k][i] = pack(x[8 * k + 2 * i], x[8 * k + 2 * i + 1]);
}

/* A ring of stages that a warp fills and warpgroups empty. */
template <int STAGES> struct ring {
    uint64_t *full, *empty;
    __device__ __forceinline__ ring(uint64_t *at) : full(at), empty(at + STAGES) {}
    __device__ __forceinline__ void begin(int readers) const {
        for (int i = 0; i < STAGES; i++) barrier_init(full + i, 1), barrier_init(empty + i, 4 * readers);
    }
    __device__ __forceinline__ int claim(int i, uint32_t bytes) const { /* by one thread: waits until fill i, from 0 on, may begin */
        if (i >= STAGES) barrier_wait(empty + i % STAGES, (i / STAGES - 1) & 1);
        barrier_expect(full + i % STAGES, bytes);
        return i % STAGES;
    }
    __device__ __forceinline__ int get(int i) const {
        barrier_wait(full + i % STAGES, i / STAGES & 1);
        return i % STAGES;
    }
    __device__ __forceinline__ void release(int i) const { /* by each warp */
        if ((threadIdx.x & 31) == 0) barrier_arrive(empty + i % STAGES);
    }
};

/* A block's jobs, longest first: to and fro, so that all blocks get as much. */
__device__ __forceinline__ int job_of(int turn) { return turn * (int)gridDim.x + (turn & 1 ? (int)gridDim.x - 1 - (int)blockIdx.x : (int)blockIdx.x); }

/* Job: a tile of queries of one head, from the last, which sees most. */
template <int ROWS, int N> struct query_place {
    int h, g, n_tiles; /* n_tiles: of N keys, from key `from` on, that any of them sees */
    int64_t s, t0, from;
    __device__ __forceinline__ query_place(const attention_work<bf16> &w, int job) {
        const int heads = w.S * w.H, sh = job % heads, tiles = (int)((w.L + ROWS - 1) / ROWS);
        h = sh % w.H, g = h / w.R, s = sh / w.H, t0 = (int64_t)(tiles - 1 - job / heads) * ROWS;
        const attention_range r = attention_range_of(w, s, t0, w.L - t0 < ROWS ? w.L - t0 : ROWS);
        from = r.from, n_tiles = (int)((r.to - r.from) / N) + 1;
    }
};
/* What a thread's two rows of queries see, and which tiles of N keys its warpgroup wants; keys count from `from`. */
template <int N> struct query_rows {
    int lo[2], hi[2], all_lo, all_hi, first, last;
    __device__ __forceinline__ query_rows(const attention_work<bf16> &w, int64_t s, int64_t t0, int64_t from) : first(0), last(-1) {
        const int64_t n = w.L - t0 < 64 ? w.L - t0 : 64;
        const int row = (threadIdx.x >> 5 & 3) * 16 + (threadIdx.x & 31) / 4;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int64_t t = t0 + row + 8 * i;
            const attention_span a = w.sees(s, t < w.L ? t : w.L - 1);
            lo[i] = (int)(a.first - from), hi[i] = (int)(a.last - from);
        }
        if (n <= 0) return;
        const attention_range r = attention_range_of(w, s, t0, n);
        all_lo = (int)(r.all_from - from), all_hi = (int)(r.all_to - from);
        first = (int)(r.from - from) / N, last = (int)(r.to - from) / N;
    }
    __device__ __forceinline__ bool edge(int i) const { return i * N < all_lo || i * N + N - 1 > all_hi; }
    /* Of accumulator e (0..N/2) of tile i. */
    __device__ __forceinline__ bool hidden(int i, int e) const {
        const int key = i * N + e / 4 * 8 + (threadIdx.x & 3) * 2 + (e & 1), r = e >> 1 & 1;
        return key < lo[r] || key > hi[r];
    }
};

/* What kernels that own queries share: rings for what a job owns, for keys and for values, at M::barriers. */
template <typename M> struct key_rings {
    ring<1> own;
    ring<M::stages> ks, vs;
    __device__ __forceinline__ key_rings(uint64_t *at) : own(at), ks(at + 2), vs(at + 2 + 2 * M::stages) {
        if (threadIdx.x == 0) {
            own.begin(M::groups), ks.begin(M::groups), vs.begin(M::groups);
            barrier_init_done();
        }
        __syncthreads();
    }
    __device__ __forceinline__ void pass(int i) const { ks.get(i), ks.release(i), vs.get(i), vs.release(i); } /* a tile that no row of the warpgroup sees */
};

/* All keys and values that a block's jobs want, into their rings; own(job, turn) brings what a job owns. */
template <int P, typename M, typename OWN>
__device__ __forceinline__ void bring_keys(const attention_work<bf16> &w, const attention_maps &maps, int jobs, unsigned char *smem, const key_rings<M> &rings, const OWN &own) {
    for (int turn = 0, n = 0, job; (job = job_of(turn)) < jobs; turn++) {
        const query_place<64 * M::groups, M::keys> p(w, job);
        for (int i = 0; i < p.n_tiles; i++, n++) {
            const int at = (int)p.from + i * M::keys, stage = rings.ks.claim(n, M::tile);
            box_load(smem + M::k + stage * M::tile, &maps.k, 0, at, p.g * (P / 64), (int)p.s, rings.ks.full + stage);
            if (i == 0) own(p, turn);
            rings.vs.claim(n, M::tile);
            box_load(smem + M::v + stage * M::tile, &maps.v, 0, at, p.g * (P / 64), (int)p.s, rings.vs.full + stage);
        }
    }
}

/* --- forward ------------------------------------------------------------------------------- */

template <int P> struct fwd_room {
    static constexpr int groups = P == 64 ? 3 : 2, wide = P == 64 ? 160 : 240, keys = 128, stages = P == 64 ? 3 : 2;
    static constexpr bool turns = P == 64; /* warpgroups order products one after another, and make exponents meanwhile */
    static constexpr int own = 64 * row_bytes(P), tile = keys * row_bytes(P); /* of q and of y; of k and v */
    static constexpr int y = groups * own, k = y + groups * own, v = k + stages * tile, barriers = v + stages * tile, bytes = barriers + (2 + 4 * stages) * 8;
};

template <int P> __global__ void __launch_bounds__(threads_of(fwd_room<P>::groups), 1)
fwd_kernel(const attention_work<bf16> w, const __grid_constant__ attention_maps maps, int jobs) {
#ifdef KR_HOPPER
    using M = fwd_room<P>;
    constexpr int N = M::keys;
    extern __shared__ __align__(1024) unsigned char smem[];
    const key_rings<M> rings((uint64_t *)(smem + M::barriers));
    const auto &own = rings.own;
    const auto &ks = rings.ks, &vs = rings.vs;
    const int wg = threadIdx.x >> 7, warp = threadIdx.x >> 5 & 3, lane = threadIdx.x & 31;
    if (wg == M::groups) {
        registers_give<narrow_of(M::groups, M::wide)>();
        if (threadIdx.x % 128) return;
        bring_keys<P, M>(w, maps, jobs, smem, rings, [&](const auto &p, int turn) {
            own.claim(turn, M::groups * M::own);
            for (int i = 0; i < M::groups; i++) box_load(smem + i * M::own, &maps.q, 0, (int)p.t0 + 64 * i, p.h * (P / 64), (int)p.s, own.full);
        });
        return;
    }
    registers_take<M::wide>();
    const uint32_t base = smem_at(smem), q = base + wg * M::own, y = base + M::y + wg * M::own;
    const float scale = w.scale * LOG2_E;
    float o[P / 2], x[N / 2], top[2], sum[2], shrink[2];
    uint32_t left[N / 16][4];
    if (M::turns && wg == M::groups - 1) meet_later(8, 256); /* the first goes first */

    for (int turn = 0, n = 0, job; (job = job_of(turn)) < jobs; turn++) {
        const query_place<64 * M::groups, N> p(w, job);
        const int64_t t0 = p.t0 + 64 * wg;
        const query_rows<N> rows(w, p.s, t0, p.from);
#pragma unroll
        for (int i = 0; i < P / 2; i++) o[i] = 0;
        top[0] = top[1] = -INFINITY, sum[0] = sum[1] = 0;

        auto my_turn = [&]() { if (M::turns) meet(8 + wg, 256); };
        auto next_turn = [&]() { if (M::turns) meet_later(8 + (wg + 1) % M::groups, 256); };
        auto pass = [&](int i) { my_turn(), next_turn(), rings.pass(n + i); };
        auto scores = [&](int i) {
            const int stage = ks.get(n + i);
            my_turn();
            wgmma_begin();
            product_rows<P, N>(x, q, base + M::k + stage * M::tile);
            wgmma_commit();
        };
        auto values = [&](int i) {
            const int stage = vs.get(n + i);
            wgmma_begin();
            product_sum<P, N>(o, left, base + M::v + stage * M::tile);
            wgmma_commit();
        };
        auto soften = [&](int i) {
            ks.release(n + i);
            if (i == rows.last) own.release(turn);
            if (rows.edge(i))
#pragma unroll
                for (int e = 0; e < N / 2; e++)
                    if (rows.hidden(i, e)) x[e] = -INFINITY;
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float most = top[r];
#pragma unroll
                for (int e = 0; e < N / 8; e++) most = fmaxf(most, fmaxf(x[4 * e + 2 * r], x[4 * e + 2 * r + 1]));
                most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
                most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
                const float base = most == -INFINITY ? 0 : most * scale;
                shrink[r] = pow2(top[r] * scale - base), top[r] = most, sum[r] *= shrink[r];
#pragma unroll
                for (int e = 0; e < N / 8; e++)
#pragma unroll
                    for (int u = 4 * e + 2 * r; u < 4 * e + 2 * r + 2; u++) x[u] = pow2(x[u] * scale - base), sum[r] += x[u];
            }
        };
        own.get(turn);
        for (int i = 0; i < rows.first; i++) pass(i);
        if (rows.first <= rows.last) {
            scores(rows.first);
            next_turn();
            wgmma_wait<0>();
            wgmma_pin(x);
            soften(rows.first);
            as_left<N>(left, x);
            for (int i = rows.first; i < rows.last; i++) {
                scores(i + 1);
                values(i);
                next_turn();
                wgmma_wait<1>();
                wgmma_pin(x);
                soften(i + 1);
                wgmma_wait<0>();
                wgmma_pin(o);
                vs.release(n + i);
#pragma unroll
                for (int e = 0; e < P / 2; e++) o[e] *= shrink[e >> 1 & 1];
                as_left<N>(left, x);
            }
            values(rows.last);
            wgmma_wait<0>();
            wgmma_pin(o);
            vs.release(n + rows.last);
        } else {
            own.release(turn);
        }
        for (int i = rows.last + 1; i < p.n_tiles; i++) pass(i);
        n += p.n_tiles;
        if (t0 >= w.L) continue;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            sum[r] += __shfl_xor_sync(~0u, sum[r], 1);
            sum[r] += __shfl_xor_sync(~0u, sum[r], 2);
            const int64_t t = t0 + warp * 16 + lane / 4 + 8 * r;
            if (w.lse && lane % 4 == 0 && t < w.L) w.lse[(p.s * w.H + p.h) * w.L + t] = top[r] * w.scale + logf(sum[r]);
            sum[r] = 1 / sum[r];
        }
        if (threadIdx.x % 128 == 0) store_read<0>(); /* of the job before */
        meet(1 + wg, 128);
        const int row = 16 * warp + (lane & 15);
#pragma unroll
        for (int k = 0; k < P / 16; k++)
            store_x4(swizzled(y + k / 4 * 8192, row, k % 4 * 2 + (lane >> 4)), pack(o[8 * k] * sum[0], o[8 * k + 1] * sum[0]),
                     pack(o[8 * k + 2] * sum[1], o[8 * k + 3] * sum[1]), pack(o[8 * k + 4] * sum[0], o[8 * k + 5] * sum[0]),
                     pack(o[8 * k + 6] * sum[1], o[8 * k + 7] * sum[1]));
        store_fence();
        meet(1 + wg, 128);
        if (threadIdx.x % 128 == 0) box_store(smem + M::y + wg * M::own, &maps.y, 0, (int)t0, p.h * (P / 64), (int)p.s);
    }
    if (threadIdx.x % 128 == 0) store_read<0>();
#endif
}

/* --- backward: queries ---------------------------------------------------------------------- */

template <int P> struct dq_room {
    static constexpr int groups = 2, wide = 232, keys = P == 64 ? 128 : 64, stages = 3;
    static constexpr int own = 64 * row_bytes(P), tile = keys * row_bytes(P); /* of q and dy; of k and v */
    static constexpr int k = groups * 2 * own, v = k + stages * tile, barriers = v + stages * tile, bytes = barriers + (2 + 4 * stages) * 8;
};

template <int P> __global__ void __launch_bounds__(threads_of(dq_room<P>::groups), 1)
dq_kernel(const attention_work<bf16> w, const __grid_constant__ attention_maps maps, int jobs) {
#ifdef KR_HOPPER
    using M = dq_room<P>;
    constexpr int N = M::keys;
    extern __shared__ __align__(1024) unsigned char smem[];
    const key_rings<M> rings((uint64_t *)(smem + M::barriers));
    const auto &own = rings.own;
    const auto &ks = rings.ks, &vs = rings.vs;
    const int wg = threadIdx.x >> 7, warp = threadIdx.x >> 5 & 3, lane = threadIdx.x & 31;
    if (wg == M::groups) {
        registers_give<narrow_of(M::groups, M::wide)>();
        if (threadIdx.x % 128) return;
        bring_keys<P, M>(w, maps, jobs, smem, rings, [&](const auto &p, int turn) {
            own.claim(turn, 2 * M::groups * M::own);
            for (int i = 0; i < M::groups; i++) {
                box_load(smem + i * 2 * M::own, &maps.q, 0, (int)p.t0 + 64 * i, p.h * (P / 64), (int)p.s, own.full);
                box_load(smem + (i * 2 + 1) * M::own, &maps.y, 0, (int)p.t0 + 64 * i, p.h * (P / 64), (int)p.s, own.full);
            }
        });
        return;
    }
    registers_take<M::wide>();
    const uint32_t base = smem_at(smem), q = base + wg * 2 * M::own, dy = q + M::own;
    const float scale = w.scale * LOG2_E;
    float dq[P / 2], x[N / 2], dp[N / 2], lse[2], dot[2];
    uint32_t left[N / 16][4];

    for (int turn = 0, n = 0, job; (job = job_of(turn)) < jobs; turn++) {
        const query_place<64 * M::groups, N> p(w, job);
        const int64_t t0 = p.t0 + 64 * wg;
        const query_rows<N> rows(w, p.s, t0, p.from);
#pragma unroll
        for (int i = 0; i < P / 2; i++) dq[i] = 0;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int64_t t = t0 + warp * 16 + lane / 4 + 8 * r;
            const float2 row = w.table[(p.s * w.H + p.h) * attention_padded(w.L) + (t < w.L ? t : 0)];
            lse[r] = row.x, dot[r] = row.y;
        }
        auto pass = [&](int i) { rings.pass(n + i); };
        auto scores = [&](int i) {
            const int stage = ks.get(n + i);
            vs.get(n + i);
            wgmma_begin();
            product_rows<P, N>(x, q, base + M::k + stage * M::tile);
            product_rows<P, N>(dp, dy, base + M::v + stage * M::tile);
            wgmma_commit();
        };
        auto sums = [&](int i) {
            wgmma_begin();
            product_sum<P, N>(dq, left, base + M::k + (n + i) % M::stages * M::tile);
            wgmma_commit();
        };
        auto grads = [&](int i) {
            vs.release(n + i);
            if (i == rows.last) own.release(turn);
            if (rows.edge(i))
#pragma unroll
                for (int e = 0; e < N / 2; e++)
                    if (rows.hidden(i, e)) x[e] = -INFINITY;
#pragma unroll
            for (int e = 0; e < N / 2; e++) x[e] = pow2(x[e] * scale - lse[e >> 1 & 1]) * (dp[e] - dot[e >> 1 & 1]);
        };
        own.get(turn);
        for (int i = 0; i < rows.first; i++) pass(i);
        if (rows.first <= rows.last) {
            scores(rows.first);
            wgmma_wait<0>();
            wgmma_pin(x), wgmma_pin(dp);
            grads(rows.first);
            as_left<N>(left, x);
            for (int i = rows.first; i < rows.last; i++) {
                scores(i + 1);
                sums(i);
                wgmma_wait<1>();
                wgmma_pin(x), wgmma_pin(dp);
                grads(i + 1);
                wgmma_wait<0>();
                wgmma_pin(dq);
                ks.release(n + i);
                as_left<N>(left, x);
            }
            sums(rows.last);
            wgmma_wait<0>();
            wgmma_pin(dq);
            ks.release(n + rows.last);
        } else {
            own.release(turn);
        }
        for (int i = rows.last + 1; i < p.n_tiles; i++) pass(i);
        n += p.n_tiles;
        attention_give_query<P>(w, p.s, p.h, t0 + warp * 16 + lane / 4, lane % 4 * 2, dq);
    }
#endif
}

/* --- backward: keys and values ------------------------------------------------------------------ */

template <int P> struct dkv_room {
    static constexpr int groups = 2, wide = P == 64 ? 224 : 240, stages = P == 64 ? 4 : 3;
    static constexpr bool light = P == 64; /* registers do for keys and values, and for the next tile's scores beside what this one's products still read */
    static constexpr int tile = 64 * row_bytes(P), table = 64 * (int)sizeof(float2); /* of anything; of lse and dot */
    static constexpr int ring_at = groups * 2 * tile, stage = (2 * tile + table + 1023) / 1024 * 1024;
    static constexpr int barriers = ring_at + stages * stage, bytes = barriers + (2 + 2 * stages) * 8;
};

/* Job: a tile of keys of one group, from the first, which most queries see; `steps` tiles of N queries, of all heads. */
template <int ROWS, int N> struct key_place {
    int g, per_head, steps;
    int64_t s, j0, from;
    __device__ __forceinline__ key_place(const attention_work<bf16> &w, int job) {
        const int groups = w.S * w.G, sg = job % groups;
        g = sg % w.G, s = sg / w.G, j0 = (int64_t)(job / groups) * ROWS;
        const attention_span seen = attention_seen_by(w, s, j0, (j0 + ROWS < w.L ? j0 + ROWS : w.L) - 1);
        from = seen.first / N * N, per_head = (int)((seen.last - from) / N) + 1, steps = per_head * w.R;
    }
};

template <int P> __global__ void __launch_bounds__(threads_of(dkv_room<P>::groups), 1)
dkv_kernel(const attention_work<bf16> w, const __grid_constant__ attention_maps maps, int jobs) {
#ifdef KR_HOPPER
    using M = dkv_room<P>;
    constexpr int N = 64, ROWS = 64 * M::groups;
    extern __shared__ __align__(1024) unsigned char smem[];
    uint64_t *barriers = (uint64_t *)(smem + M::barriers);
    const ring<1> own(barriers);
    const ring<M::stages> qs(barriers + 2);
    const int wg = threadIdx.x >> 7, warp = threadIdx.x >> 5 & 3, lane = threadIdx.x & 31;
    if (threadIdx.x == 0) {
        own.begin(M::groups), qs.begin(M::groups);
        barrier_init_done();
    }
    __syncthreads();
    if (wg == M::groups) {
        registers_give<narrow_of(M::groups, M::wide)>();
        if (threadIdx.x % 128) return;
        const int64_t padded = attention_padded(w.L);
        for (int turn = 0, n = 0, job; (job = job_of(turn)) < jobs; turn++) {
            const key_place<ROWS, N> p(w, job);
            for (int step = 0; step < p.steps; step++, n++) {
                const int h = p.g * w.R + step / p.per_head, t0 = (int)p.from + step % p.per_head * N, stage = qs.claim(n, 2 * M::tile + M::table);
                unsigned char *to = smem + M::ring_at + stage * M::stage;
                box_load(to, &maps.q, 0, t0, h * (P / 64), (int)p.s, qs.full + stage);
                box_load(to + M::tile, &maps.y, 0, t0, h * (P / 64), (int)p.s, qs.full + stage);
                bytes_load(to + 2 * M::tile, w.table + (p.s * w.H + h) * padded + t0, M::table, qs.full + stage);
                if (step) continue;
                own.claim(turn, 2 * M::groups * M::tile);
                for (int i = 0; i < M::groups; i++) {
                    box_load(smem + i * 2 * M::tile, &maps.k, 0, (int)p.j0 + 64 * i, p.g * (P / 64), (int)p.s, own.full);
                    box_load(smem + (i * 2 + 1) * M::tile, &maps.v, 0, (int)p.j0 + 64 * i, p.g * (P / 64), (int)p.s, own.full);
                }
            }
        }
        return;
    }
    registers_take<M::wide>();
    const uint32_t base = smem_at(smem), k = base + wg * 2 * M::tile, v = k + M::tile;
    const float scale = w.scale * LOG2_E;
    float dk[P / 2], dv[P / 2], x[N / 2], dp[N / 2];
    uint32_t left[N / 16][4], dleft[N / 16][4], kf[4][4], vf[4][4];

    const int reach = (int)(w.reach < INT32_MAX / 4 ? w.reach : INT32_MAX / 4);

    /* Is any of 64 keys hidden from any of the queries from t0 on?  Those past the row see nothing anyway. */
    auto hides = [&](int64_t s, int64_t t0, int64_t key0) {
        const attention_range r = attention_range_of(w, s, t0, w.L - t0 < N ? w.L - t0 : N);
        return r.all_from > key0 || r.all_to < key0 + 63;
    };

    for (int turn = 0, n = 0, job; (job = job_of(turn)) < jobs; turn++) {
        const key_place<ROWS, N> p(w, job);
#pragma unroll
        for (int i = 0; i < P / 2; i++) dk[i] = 0, dv[i] = 0;
        auto scores = [&](int i) {
            const uint32_t q = base + M::ring_at + qs.get(n + i) * M::stage;
            wgmma_begin();
            if (M::light) {
#pragma unroll
                for (int i = 0; i < 4; i++) wgmma_regs<false>(x, kf[i], tile_rows(q + i * 32), i > 0);
#pragma unroll
                for (int i = 0; i < 4; i++) wgmma_regs<false>(dp, vf[i], tile_rows(q + M::tile + i * 32), i > 0);
            } else {
                product_rows<P, N>(x, k, q);
                product_rows<P, N>(dp, v, q + M::tile);
            }
            wgmma_commit();
        };
        auto sums = [&](int i) {
            const uint32_t q = base + M::ring_at + (n + i) % M::stages * M::stage;
            wgmma_begin();
            product_sum<P, N>(dv, left, q + M::tile);
            product_sum<P, N>(dk, dleft, q);
            wgmma_commit();
        };
        auto grads = [&](int i) { /* the scores of tile i are there */
            wgmma_pin(x), wgmma_pin(dp);
            if (!M::light && i == p.steps - 1) own.release(turn);
            const float4 *table = (const float4 *)(smem + M::ring_at + (n + i) % M::stages * M::stage + 2 * M::tile);
            const int64_t t0 = p.from + (int64_t)(i % p.per_head) * N, key0 = p.j0 + 64 * wg;
            if (hides(p.s, t0, key0)) {
                const int key = (int)key0 + warp * 16 + lane / 4;
                const int32_t *first = w.first + p.s * w.L, *last = w.last + p.s * w.L;
#pragma unroll
                for (int u = 0; u < N / 4; u++) { /* w.sees in 32 bits */
                    const int t = (int)t0 + u / 2 * 8 + lane % 4 * 2 + u % 2, e = u / 2 * 4 + u % 2;
                    int lo = t - reach + 1, hi = w.causal ? t : t + reach - 1;
                    if (w.first && t < w.L) lo = max(lo, first[t]), hi = min(hi, last[t]);
                    if (key < lo || key > hi) x[e] = -INFINITY;
                    if (key + 8 < lo || key + 8 > hi) x[e + 2] = -INFINITY;
                }
            }
#pragma unroll
            for (int c = 0; c < N / 8; c++) {
                const float4 two = table[c * 4 + lane % 4]; /* lse and dot of two queries */
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const int e = 4 * c + 2 * r;
                    x[e] = pow2(x[e] * scale - two.x), x[e + 1] = pow2(x[e + 1] * scale - two.z);
                    dp[e] = x[e] * (dp[e] - two.y), dp[e + 1] = x[e + 1] * (dp[e + 1] - two.w);
                }
            }
        };
        auto summed = [&](int i) {
            wgmma_wait<0>();
            wgmma_pin(dk), wgmma_pin(dv);
            qs.release(n + i);
        };
        own.get(turn);
        if (M::light) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = 16 * warp + (lane & 15), unit = 2 * i + (lane >> 4);
                load_x4(kf[i], swizzled(k, row, unit)), load_x4(vf[i], swizzled(v, row, unit));
            }
            own.release(turn);
        }
        for (int i = 0; !M::light && i < p.steps; i++) {
            scores(i);
            wgmma_wait<0>();
            grads(i);
            as_left<N>(left, x), as_left<N>(dleft, dp);
            sums(i);
            summed(i);
        }
        if (M::light) {
            scores(0);
            wgmma_wait<0>();
            grads(0);
            as_left<N>(left, x), as_left<N>(dleft, dp);
            for (int i = 0; i + 1 < p.steps; i++) {
                scores(i + 1);
                sums(i);
                wgmma_wait<1>();
                grads(i + 1);
                summed(i);
                as_left<N>(left, x), as_left<N>(dleft, dp);
            }
            sums(p.steps - 1);
            summed(p.steps - 1);
        }
        n += p.steps;
        attention_give_key<P>(w, p.s, p.g, p.j0 + 64 * wg + warp * 16 + lane / 4, lane % 4 * 2, dk, dv);
    }
#endif
}

/* --- calls ---------------------------------------------------------------------------------- */

CUtensorMap heads_map(const bf16 *p, int64_t pitch, int heads, const attention_work<bf16> &w, int rows) {
    return map_of(p, {{64, 1, 64}, {w.L, pitch, rows}, {(int64_t)heads * w.P / 64, 64, w.P / 64}, {w.S, w.L * pitch, 1}});
}

/* A block a multiprocessor, which takes every so-many-th job; longest first. */
template <int THREADS, int ROWS> void launch(void (*kernel)(attention_work<bf16>, attention_maps, int), int bytes, int heads, const attention_maps &maps,
                                             const kr_call *c, const attention_work<bf16> &w) {
    const int jobs = (int)cu_blocks(w.L, ROWS) * w.S * heads, most = cu_multiprocessors();
    cu_launch(kernel, jobs < most ? jobs : most, THREADS, bytes, c->stream, w, maps, jobs);
}

template <int P> void fwd(const kr_call *c, const attention_work<bf16> &w) {
    using M = fwd_room<P>;
    const attention_maps maps = {heads_map(w.q, w.q_pitch, w.H, w, 64), heads_map(w.k, w.k_pitch, w.G, w, M::keys), heads_map(w.v, w.v_pitch, w.G, w, M::keys),
                                 heads_map(w.out, (int64_t)w.H * P, w.H, w, 64)};
    launch<threads_of(M::groups), 64 * M::groups>(fwd_kernel<P>, M::bytes, w.H, maps, c, w);
}
template <int P> void bwd(const kr_call *c, const attention_work<bf16> &w) {
    attention_tables(c, w);
    using Q = dq_room<P>;
    using K = dkv_room<P>;
    attention_maps maps = {heads_map(w.q, w.q_pitch, w.H, w, 64), heads_map(w.k, w.k_pitch, w.G, w, Q::keys), heads_map(w.v, w.v_pitch, w.G, w, Q::keys),
                           heads_map(w.dy, (int64_t)w.H * P, w.H, w, 64)};
    if (w.dq) launch<threads_of(Q::groups), 64 * Q::groups>(dq_kernel<P>, Q::bytes, w.H, maps, c, w);
    maps.k = heads_map(w.k, w.k_pitch, w.G, w, 64), maps.v = heads_map(w.v, w.v_pitch, w.G, w, 64);
    if (w.dk || w.dv) launch<threads_of(K::groups), 64 * K::groups>(dkv_kernel<P>, K::bytes, w.G, maps, c, w);
}

} // namespace on_hopper

/* Heads of 64 or 128, no cache before the row, rows of whole 16 bytes. */
bool attention_wgmma_takes(const kr_call *c) {
    const int64_t P = KR_SIZE(c, 'P'), L = KR_SIZE(c, 'L');
    if (!cu_hopper() || (P != 64 && P != 128) || L < 64 || c->in[ATTENTION_CACHE0].n_dims || !(attention_dims_of(c).scale > 0)) return false;
    for (int i = 0; i < 3; i++)
        if (!cu_aligned(&c->in[i], 16) || (c->din[i].data && !cu_aligned(&c->din[i], 4))) return false;
    return ((uintptr_t)c->out[ATTENTION_Y].data | (uintptr_t)c->dout[ATTENTION_Y].data) % 16 == 0;
}

void attention_wgmma_fwd(const kr_call *c, const attention_work<bf16> &w) { w.P == 64 ? on_hopper::fwd<64>(c, w) : on_hopper::fwd<128>(c, w); }
void attention_wgmma_bwd(const kr_call *c, const attention_work<bf16> &w) { w.P == 64 ? on_hopper::bwd<64>(c, w) : on_hopper::bwd<128>(c, w); }
