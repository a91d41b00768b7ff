/* attention_tensor.cu - attention on tensor cores, after FlashAttention-2 (Dao 2023).
 *
 * Forward: a block has BQ queries of one head, each warp 16 MT of them.  Tiles of keys and
 * values come by cp.async while the one before is worked on; scores stay in registers, where
 * the accumulators of the first product are the operand of the second.
 *
 * Backward is two kernels, so that every sum has one owner and nothing is added atomically:
 * one has a tile of keys and goes through the queries (dk, dv), one a tile of queries and goes
 * through the keys (dq).  Both make the scores again: 7 products instead of 5.
 *
 * Rows of shared memory are 16 bytes longer than P numbers, so that the 8 rows that an
 * ldmatrix reads lie in different banks. */
#include "cuda/mma.cuh"
#include "ops/attention/attention.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS };

/* --- fragments of mma.m16n8k16 -------------------------------------------------------- */

/* Two tiles of accumulators (16 x 16) as a left operand. */
static __device__ __forceinline__ void as_left(unsigned (&a)[4], const float (&x)[4], const float (&y)[4]) {
    a[0] = pack(x[0], x[1]), a[1] = pack(x[2], x[3]), a[2] = pack(y[0], y[1]), a[3] = pack(y[2], y[3]);
}

/* A tile of rows in shared memory, `WIDE` elements from row to row. */
template <int P> struct tile {
    enum { WIDE = P + 8 };
    /* 16 x 16 as a left operand: rows from r, columns from k. */
    static __device__ __forceinline__ void left(unsigned (&f)[4], unsigned base, int r, int k) {
        int lane = threadIdx.x & 31;
        load_x4(f, base + (unsigned)((r + (lane & 15)) * WIDE + k + (lane >> 4) * 8) * 2);
    }
    /* Right operand with the rows as its columns (x y'): rows n .. n + 15, two tiles of 8. */
    static __device__ __forceinline__ void right(unsigned (&f)[4], unsigned base, int n, int k) {
        int lane = threadIdx.x & 31;
        load_x4(f, base + (unsigned)((n + (lane & 7) + (lane >> 4) * 8) * WIDE + k + ((lane >> 3) & 1) * 8) * 2);
    }
    /* Right operand with the rows summed over (x y): rows k .. k + 15, columns n .. n + 15. */
    static __device__ __forceinline__ void right_rows(unsigned (&f)[4], unsigned base, int k, int n) {
        int lane = threadIdx.x & 31;
        load_x4_trans(f, base + (unsigned)((k + (lane & 7) + ((lane >> 3) & 1) * 8) * WIDE + n + (lane >> 4) * 8) * 2);
    }
    /* ROWS rows of one head from row `from` on; zeros past `end`. */
    template <int ROWS> static __device__ __forceinline__ void fetch_rows(bf16 *to, const bf16 *x, int64_t pitch, int64_t from, int64_t end) {
#pragma unroll
        for (int e = threadIdx.x; e < ROWS * (P / 8); e += THREADS) {
            int r = e / (P / 8), k = e % (P / 8) * 8;
            bool there = from + r < end;
            copy_16(smem_at(to + r * WIDE + k), x + (there ? from + r : 0) * pitch + k, there);
        }
    }
};

/* --- forward -------------------------------------------------------------------------- */

enum { FWD_KEYS = 64 };

/* Keys (value 0) or values of a group from step `from` on.  Those before the row lie in the cache,
 * in float32: numbers that were bfloat16 when they came, if it was this op that kept them. */
template <int P, bool CACHED>
static __device__ __forceinline__ void fetch_keys(const attention_work<bf16> &w, bf16 *to, const bf16 *x, int64_t pitch, int64_t s, int row, int64_t from) {
    using T = tile<P>;
    if (!CACHED || from >= 0) T::template fetch_rows<FWD_KEYS>(to, x, pitch, from, w.L);
    for (int e = threadIdx.x; CACHED && from < 0 && e < FWD_KEYS * (P / 8); e += THREADS) {
        const int r = e / (P / 8), k = e % (P / 8) * 8;
        const int64_t j = from + r;
        uint4 v = {0, 0, 0, 0};
        if (j < 0) {
            const float4 *c = (const float4 *)(w.cached_row(s, row, j) + k);
            const float4 lo = c[0], hi = c[1];
            v = {pack(lo.x, lo.y), pack(lo.z, lo.w), pack(hi.x, hi.y), pack(hi.z, hi.w)};
        } else if (j < w.L) {
            v = *(const uint4 *)(x + j * pitch + k);
        }
        *(uint4 *)(to + r * T::WIDE + k) = v;
    }
}

template <int P, int MT, bool CACHED> static __global__ void __launch_bounds__(THREADS) fwd_kernel(attention_work<bf16> w) {
    using T = tile<P>;
    constexpr int BQ = WARPS * 16 * MT, NK = FWD_KEYS / 8, NP = P / 8;
    extern __shared__ __align__(16) bf16 shared[];
    bf16 *sq = shared, *sk = sq + BQ * T::WIDE, *sv = sk + 2 * FWD_KEYS * T::WIDE;
    int tiles = (int)((w.L + BQ - 1) / BQ), warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    int sh = blockIdx.x % (w.S * w.H), h = sh % w.H, g = h / w.R; /* the longest tiles first */
    int64_t s = sh / w.H, t0 = (int64_t)(tiles - 1 - (int)(blockIdx.x / (w.S * w.H))) * BQ, n = w.L - t0 < BQ ? w.L - t0 : BQ;
    const bf16 *q = w.q + s * w.L * w.q_pitch + h * P, *k = w.k + s * w.L * w.k_pitch + g * P, *v = w.v + s * w.L * w.v_pitch + g * P;
    attention_range keys = attention_range_of(w, s, t0, n);
    float scale = w.scale * LOG2_E;

    T::template fetch_rows<BQ>(sq, q, w.q_pitch, t0, w.L);
    fetch_keys<P, CACHED>(w, sk, k, w.k_pitch, s, g, keys.from);
    fetch_keys<P, CACHED>(w, sv, v, w.v_pitch, s, w.G + g, keys.from);
    copy_commit();

    float y[MT][NP][4] = {}, max[MT][2], sum[MT][2] = {};
    int first[MT][2], last[MT][2]; /* of each row, from keys.from on */
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int64_t t = t0 + warp * 16 * MT + m * 16 + i * 8 + lane / 4;
            attention_span a = w.sees(s, t < w.L ? t : w.L - 1);
            first[m][i] = (int)(a.first - keys.from), last[m][i] = (int)(a.last - keys.from);
            max[m][i] = -INFINITY;
        }
    copy_wait<0>();
    __syncthreads();
    unsigned fq[MT][P / 16][4];
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int kk = 0; kk < P / 16; kk++) T::left(fq[m][kk], smem_at(sq), warp * 16 * MT + m * 16, kk * 16);

    int turn = 0;
    for (int64_t j = keys.from; j <= keys.to; j += FWD_KEYS, turn ^= 1) {
        if (j != keys.from) {
            copy_wait<0>();
            __syncthreads();
        }
        if (j + FWD_KEYS <= keys.to) {
            fetch_keys<P, CACHED>(w, sk + (turn ^ 1) * FWD_KEYS * T::WIDE, k, w.k_pitch, s, g, j + FWD_KEYS);
            fetch_keys<P, CACHED>(w, sv + (turn ^ 1) * FWD_KEYS * T::WIDE, v, w.v_pitch, s, w.G + g, j + FWD_KEYS);
            copy_commit();
        }
        unsigned tk = smem_at(sk + turn * FWD_KEYS * T::WIDE), tv = smem_at(sv + turn * FWD_KEYS * T::WIDE);
        float x[MT][NK][4] = {};
#pragma unroll
        for (int kk = 0; kk < P / 16; kk++)
#pragma unroll
            for (int c = 0; c < NK / 2; c++) {
                unsigned f[4];
                T::right(f, tk, c * 16, kk * 16);
#pragma unroll
                for (int m = 0; m < MT; m++) mma(x[m][2 * c], fq[m][kk], f[0], f[1]), mma(x[m][2 * c + 1], fq[m][kk], f[2], f[3]);
            }
        if (j < keys.all_from || j + FWD_KEYS - 1 > keys.all_to) {
            int at = (int)(j - keys.from) + lane % 4 * 2;
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int c = 0; c < NK; c++)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        int key = at + c * 8 + (e & 1);
                        if (key < first[m][e >> 1] || key > last[m][e >> 1]) x[m][c][e] = -INFINITY;
                    }
        }
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float top = max[m][i];
#pragma unroll
                for (int c = 0; c < NK; c++) top = fmaxf(top, fmaxf(x[m][c][2 * i], x[m][c][2 * i + 1]) * scale);
                top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
                top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
                float base = top == -INFINITY ? 0 : top, shrink = pow2(max[m][i] - base);
                max[m][i] = top;
                sum[m][i] *= shrink;
#pragma unroll
                for (int c = 0; c < NP; c++) y[m][c][2 * i] *= shrink, y[m][c][2 * i + 1] *= shrink;
#pragma unroll
                for (int c = 0; c < NK; c++)
#pragma unroll
                    for (int e = 2 * i; e < 2 * i + 2; e++) {
                        x[m][c][e] = pow2(x[m][c][e] * scale - base);
                        sum[m][i] += x[m][c][e];
                    }
            }
#pragma unroll
        for (int kk = 0; kk < FWD_KEYS / 16; kk++) {
            unsigned p[MT][4];
#pragma unroll
            for (int m = 0; m < MT; m++) as_left(p[m], x[m][2 * kk], x[m][2 * kk + 1]);
#pragma unroll
            for (int c = 0; c < NP / 2; c++) {
                unsigned f[4];
                T::right_rows(f, tv, kk * 16, c * 16);
#pragma unroll
                for (int m = 0; m < MT; m++) mma(y[m][2 * c], p[m], f[0], f[1]), mma(y[m][2 * c + 1], p[m], f[2], f[3]);
            }
        }
    }
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], 1);
            sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], 2);
            int64_t t = t0 + warp * 16 * MT + m * 16 + i * 8 + lane / 4;
            if (t >= w.L) continue;
            float inverse = 1 / sum[m][i];
            bf16 *to = w.out + ((s * w.L + t) * w.H + h) * P + lane % 4 * 2;
#pragma unroll
            for (int c = 0; c < NP; c++) *(unsigned *)(to + c * 8) = pack(y[m][c][2 * i] * inverse, y[m][c][2 * i + 1] * inverse);
            if (w.lse && lane % 4 == 0) w.lse[(s * w.H + h) * w.L + t] = max[m][i] / LOG2_E + logf(sum[m][i]);
        }
}

/* --- backward ---------------------------------------------------------------------------- */

/* The table: P / 8 lanes a query. */
template <int P> static __global__ void __launch_bounds__(256) table_kernel(attention_work<bf16> w) {
    constexpr int LANES = P / 8;
    const int64_t padded = attention_padded(w.L), i = (blockIdx.x * (int64_t)256 + threadIdx.x) / LANES, st = i / w.H, s = st / padded, t = st % padded;
    if (s >= w.S) return;
    const int h = (int)(i % w.H), lane = threadIdx.x % LANES;
    float sum = 0;
    if (t < w.L) {
        const int64_t at = ((s * w.L + t) * w.H + h) * P + lane * 8;
        float y[8], dy[8];
        cu_load<8>(y, w.y + at), cu_load<8>(dy, w.dy + at);
#pragma unroll
        for (int e = 0; e < 8; e++) sum += y[e] * dy[e];
    }
#pragma unroll
    for (int d = LANES / 2; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d); /* 256 is a multiple of LANES, and so is what is left of a warp */
    const float2 row = {t < w.L ? w.lse[(s * w.H + h) * w.L + t] * LOG2_E : INFINITY, sum};
    if (lane == 0) w.table[(s * w.H + h) * padded + t] = row;
}

/* dq: like forward, with rows of queries. */
template <int P, int DQ_KEYS> static __global__ void __launch_bounds__(THREADS) dq_kernel(attention_work<bf16> w) {
    using T = tile<P>;
    constexpr int BQ = WARPS * 16, NK = DQ_KEYS / 8, NP = P / 8;
    extern __shared__ __align__(16) bf16 shared[];
    bf16 *sq = shared, *sdy = sq + BQ * T::WIDE, *sk = sdy + BQ * T::WIDE, *sv = sk + 2 * DQ_KEYS * T::WIDE;
    int tiles = (int)((w.L + BQ - 1) / BQ), warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    int sh = blockIdx.x % (w.S * w.H), h = sh % w.H, g = h / w.R;
    int64_t s = sh / w.H, t0 = (int64_t)(tiles - 1 - (int)(blockIdx.x / (w.S * w.H))) * BQ, n = w.L - t0 < BQ ? w.L - t0 : BQ;
    const bf16 *q = w.q + s * w.L * w.q_pitch + h * P, *k = w.k + s * w.L * w.k_pitch + g * P, *v = w.v + s * w.L * w.v_pitch + g * P;
    attention_range keys = attention_range_of(w, s, t0, n);
    float scale = w.scale * LOG2_E;

    T::template fetch_rows<BQ>(sq, q, w.q_pitch, t0, w.L);
    T::template fetch_rows<BQ>(sdy, w.dy + (s * w.L * w.H + h) * P, (int64_t)w.H * P, t0, w.L);
    T::template fetch_rows<DQ_KEYS>(sk, k, w.k_pitch, keys.from, w.L);
    T::template fetch_rows<DQ_KEYS>(sv, v, w.v_pitch, keys.from, w.L);
    copy_commit();
    float dq[4 * NP] = {}, lse[2], dot[2];
    int first[2], last[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int64_t t = t0 + warp * 16 + i * 8 + lane / 4, at = (s * w.H + h) * attention_padded(w.L);
        if (t >= w.L) t = w.L - 1;
        attention_span a = w.sees(s, t);
        first[i] = (int)(a.first - keys.from), last[i] = (int)(a.last - keys.from);
        const float2 row = w.table[at + t];
        lse[i] = row.x, dot[i] = row.y;
    }
    copy_wait<0>();
    __syncthreads();
    unsigned fq[P / 16][4], fdy[P / 16][4];
#pragma unroll
    for (int kk = 0; kk < P / 16; kk++) T::left(fq[kk], smem_at(sq), warp * 16, kk * 16), T::left(fdy[kk], smem_at(sdy), warp * 16, kk * 16);

    int turn = 0;
    for (int64_t j = keys.from; j <= keys.to; j += DQ_KEYS, turn ^= 1) {
        if (j != keys.from) {
            copy_wait<0>();
            __syncthreads();
        }
        if (j + DQ_KEYS <= keys.to) {
            T::template fetch_rows<DQ_KEYS>(sk + (turn ^ 1) * DQ_KEYS * T::WIDE, k, w.k_pitch, j + DQ_KEYS, w.L);
            T::template fetch_rows<DQ_KEYS>(sv + (turn ^ 1) * DQ_KEYS * T::WIDE, v, w.v_pitch, j + DQ_KEYS, w.L);
            copy_commit();
        }
        unsigned tk = smem_at(sk + turn * DQ_KEYS * T::WIDE), tv = smem_at(sv + turn * DQ_KEYS * T::WIDE);
        float x[NK][4] = {}, dp[NK][4] = {};
#pragma unroll
        for (int kk = 0; kk < P / 16; kk++)
#pragma unroll
            for (int c = 0; c < NK / 2; c++) {
                unsigned f[4];
                T::right(f, tk, c * 16, kk * 16);
                mma(x[2 * c], fq[kk], f[0], f[1]), mma(x[2 * c + 1], fq[kk], f[2], f[3]);
                T::right(f, tv, c * 16, kk * 16);
                mma(dp[2 * c], fdy[kk], f[0], f[1]), mma(dp[2 * c + 1], fdy[kk], f[2], f[3]);
            }
        bool edge = j < keys.all_from || j + DQ_KEYS - 1 > keys.all_to;
        int at = (int)(j - keys.from) + lane % 4 * 2;
#pragma unroll
        for (int c = 0; c < NK; c++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int key = at + c * 8 + (e & 1), i = e >> 1;
                float p = pow2(x[c][e] * scale - lse[i]);
                if (edge && (key < first[i] || key > last[i])) p = 0;
                x[c][e] = p * (dp[c][e] - dot[i]);
            }
#pragma unroll
        for (int kk = 0; kk < DQ_KEYS / 16; kk++) {
            unsigned ds[4];
            as_left(ds, x[2 * kk], x[2 * kk + 1]);
#pragma unroll
            for (int c = 0; c < NP / 2; c++) {
                unsigned f[4];
                T::right_rows(f, tk, kk * 16, c * 16);
                mma(dq + 8 * c, ds, f[0], f[1]), mma(dq + 8 * c + 4, ds, f[2], f[3]);
            }
        }
    }
    attention_give_query<P>(w, s, h, t0 + warp * 16 + lane / 4, lane % 4 * 2, dq);
}

/* dk and dv: rows of keys against BQ queries at a time, of all heads of the group. */
template <int P, int BQ> static __global__ void __launch_bounds__(THREADS) dkv_kernel(attention_work<bf16> w) {
    using T = tile<P>;
    constexpr int BK = WARPS * 16, NQ = BQ / 8, NP = P / 8;
    constexpr bool KEEP = P <= 64; /* keys and values stay in registers */
    extern __shared__ __align__(16) bf16 shared[];
    bf16 *sk = shared, *sv = sk + BK * T::WIDE, *sq = sv + BK * T::WIDE, *sdy = sq + 2 * BQ * T::WIDE;
    float *slse = (float *)(sdy + 2 * BQ * T::WIDE), *sdot = slse + 2 * BQ;
    int *sfirst = (int *)(sdot + 2 * BQ), *slast = sfirst + 2 * BQ; /* what a query sees, from j0 on */
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31, sg = blockIdx.x % (w.S * w.G), g = sg % w.G;
    int64_t s = sg / w.G, j0 = (int64_t)(blockIdx.x / (w.S * w.G)) * BK, je = j0 + BK < w.L ? j0 + BK : w.L;
    attention_span seen = attention_seen_by(w, s, j0, je - 1);
    int64_t from = seen.first / BQ * BQ, to = seen.last;
    int per_head = (int)((to - from) / BQ + 1), steps = per_head * w.R;
    float scale = w.scale * LOG2_E;

    auto fetch_queries = [&](int step, int turn) {
        int h = g * w.R + step / per_head;
        int64_t t0 = from + (int64_t)(step % per_head) * BQ;
        T::template fetch_rows<BQ>(sq + turn * BQ * T::WIDE, w.q + s * w.L * w.q_pitch + h * P, w.q_pitch, t0, w.L);
        T::template fetch_rows<BQ>(sdy + turn * BQ * T::WIDE, w.dy + (s * w.L * w.H + h) * P, (int64_t)w.H * P, t0, w.L);
        for (int i = threadIdx.x; i < BQ; i += THREADS) {
            int64_t t = t0 + i;
            bool there = t < w.L;
            const float2 row = w.table[(s * w.H + h) * attention_padded(w.L) + t];
            attention_span a = w.sees(s, there ? t : w.L - 1);
            slse[turn * BQ + i] = row.x, sdot[turn * BQ + i] = row.y;
            sfirst[turn * BQ + i] = there ? (int)(a.first - j0) : BK;
            slast[turn * BQ + i] = (int)(a.last - j0 < BK ? a.last - j0 : BK);
        }
    };

    T::template fetch_rows<BK>(sk, w.k + s * w.L * w.k_pitch + g * P, w.k_pitch, j0, w.L);
    T::template fetch_rows<BK>(sv, w.v + s * w.L * w.v_pitch + g * P, w.v_pitch, j0, w.L);
    fetch_queries(0, 0);
    copy_commit();
    float dk[4 * NP] = {}, dv[4 * NP] = {};
    unsigned fk[KEEP ? P / 16 : 1][4], fv[KEEP ? P / 16 : 1][4];
    for (int step = 0, turn = 0; step < steps; step++, turn ^= 1) {
        copy_wait<0>();
        __syncthreads();
        if (KEEP && step == 0)
#pragma unroll
            for (int kk = 0; kk < P / 16; kk++)
                T::left(fk[KEEP ? kk : 0], smem_at(sk), warp * 16, kk * 16), T::left(fv[KEEP ? kk : 0], smem_at(sv), warp * 16, kk * 16);
        if (step + 1 < steps) {
            fetch_queries(step + 1, turn ^ 1);
            copy_commit();
        }
        unsigned tq = smem_at(sq + turn * BQ * T::WIDE), tdy = smem_at(sdy + turn * BQ * T::WIDE);
        float x[NQ][4] = {}, dp[NQ][4] = {};
#pragma unroll
        for (int kk = 0; kk < P / 16; kk++) {
            if (!KEEP) T::left(fk[0], smem_at(sk), warp * 16, kk * 16), T::left(fv[0], smem_at(sv), warp * 16, kk * 16);
#pragma unroll
            for (int c = 0; c < NQ / 2; c++) {
                unsigned f[4];
                T::right(f, tq, c * 16, kk * 16);
                mma(x[2 * c], fk[KEEP ? kk : 0], f[0], f[1]), mma(x[2 * c + 1], fk[KEEP ? kk : 0], f[2], f[3]);
                T::right(f, tdy, c * 16, kk * 16);
                mma(dp[2 * c], fv[KEEP ? kk : 0], f[0], f[1]), mma(dp[2 * c + 1], fv[KEEP ? kk : 0], f[2], f[3]);
            }
        }
#pragma unroll
        for (int c = 0; c < NQ; c++)
#pragma unroll
            for (int u = 0; u < 2; u++) {
                int i = turn * BQ + c * 8 + lane % 4 * 2 + u, f = sfirst[i], l = slast[i];
                float lse = slse[i], dot = sdot[i];
#pragma unroll
                for (int e = u; e < 4; e += 2) {
                    int key = warp * 16 + lane / 4 + (e >> 1) * 8;
                    float p = key >= f && key <= l ? pow2(x[c][e] * scale - lse) : 0;
                    x[c][e] = p;
                    dp[c][e] = p * (dp[c][e] - dot);
                }
            }
#pragma unroll
        for (int kk = 0; kk < BQ / 16; kk++) {
            unsigned p[4], ds[4];
            as_left(p, x[2 * kk], x[2 * kk + 1]);
            as_left(ds, dp[2 * kk], dp[2 * kk + 1]);
#pragma unroll
            for (int c = 0; c < NP / 2; c++) {
                unsigned f[4];
                T::right_rows(f, tdy, kk * 16, c * 16);
                mma(dv + 8 * c, p, f[0], f[1]), mma(dv + 8 * c + 4, p, f[2], f[3]);
                T::right_rows(f, tq, kk * 16, c * 16);
                mma(dk + 8 * c, ds, f[0], f[1]), mma(dk + 8 * c + 4, ds, f[2], f[3]);
            }
        }
    }
    attention_give_key<P>(w, s, g, j0 + warp * 16 + lane / 4, lane % 4 * 2, dk, dv);
}

/* --- calls ---------------------------------------------------------------------------- */

static bool vectors(const kr_tensor *x) { return cu_aligned(x, 16); }

/* Heads of 32, 64 or 128, rows that 16 bytes fit; backward only without a cache before the row. */
bool attention_tensor_takes(const kr_call *c, bool backward) {
    int64_t P = KR_SIZE(c, 'P'), L = KR_SIZE(c, 'L'), heads = KR_SIZE(c, 'S') * KR_SIZE(c, 'H');
    const kr_tensor *dy = &c->dout[ATTENTION_Y];
    if ((P != 32 && P != 64 && P != 128) || (backward && c->in[ATTENTION_CACHE0].n_dims) || L < 16 || heads * ((L + 63) / 64) > INT32_MAX) return false;
    for (int i = 0; i < 3; i++)
        if (!vectors(&c->in[i]) || (c->din[i].data && !cu_aligned(&c->din[i], 4))) return false;
    return ((uintptr_t)dy->data | (uintptr_t)c->out[ATTENTION_Y].data) % 16 == 0;
}

template <int P, int MT> static void fwd(const kr_call *c, const attention_work<bf16> &w) {
    constexpr int BQ = WARPS * 16 * MT;
    cu_launch(w.cached ? fwd_kernel<P, MT, true> : fwd_kernel<P, MT, false>, cu_blocks(w.L, BQ) * (unsigned)(w.S * w.H), THREADS, (BQ + 4 * FWD_KEYS) * tile<P>::WIDE * sizeof(bf16), c->stream, w);
}
/* N: keys of a tile for dq, queries for dk and dv. */
template <int P, int N> static void bwd(const kr_call *c, const attention_work<bf16> &w) {
    constexpr int B = WARPS * 16;
    constexpr size_t rows = (2 * B + 4 * N) * tile<P>::WIDE * sizeof(bf16);
    if (w.dq) cu_launch(dq_kernel<P, N>, cu_blocks(w.L, B) * (unsigned)(w.S * w.H), THREADS, rows, c->stream, w);
    if (w.dk || w.dv) cu_launch(dkv_kernel<P, N>, cu_blocks(w.L, B) * (unsigned)(w.S * w.G), THREADS, rows + 8 * N * sizeof(float), c->stream, w);
}

void attention_tables(const kr_call *c, const attention_work<bf16> &w) {
    void (*kernel)(attention_work<bf16>) = w.P == 32 ? table_kernel<32> : w.P == 64 ? table_kernel<64> : table_kernel<128>;
    cu_launch(kernel, cu_blocks((int64_t)w.S * attention_padded(w.L) * w.H * (w.P / 8), 256), 256, 0, c->stream, w);
}

void attention_tensor_fwd(const kr_call *c, const attention_work<bf16> &w) {
    if (w.P == 32) fwd<32, 2>(c, w);
    else if (w.P == 64) fwd<64, 2>(c, w);
    else fwd<128, 1>(c, w);
}
void attention_tensor_bwd(const kr_call *c, const attention_work<bf16> &w) {
    attention_tables(c, w);
    if (w.P == 32) bwd<32, 64>(c, w);
    else if (w.P == 64) bwd<64, 64>(c, w);
    else bwd<128, 32>(c, w);
}
