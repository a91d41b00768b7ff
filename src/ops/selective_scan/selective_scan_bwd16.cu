/* selective_scan_bwd16.cu - the backward of selective_scan on CUDA for what Mamba-1 trains with:
 * bfloat16, 16 states, rows that can be copied 16 bytes at a time, no seq_idx.
 *
 * The kernel of selective_scan_bwd.cu with fewer instructions around the arithmetic.  What a step
 * of a channel needs is prepared once and kept as floats, a thread having the same 4 steps of the
 * same channel before and after the scan of a tile; states are kept, and not their decayed
 * predecessors; sums over lanes leave the tensor cores in 8 parts, which whoever stores them adds. */
#include "ops/selective_scan/selective_scan16.cuh"

enum { K = 8 };                                                    /* steps kept in registers */
enum { GROUP = 4 * LANES, SUMS = TILE / 4 * GROUP + 8 };           /* padded: 4 warps' sums are read at once */

typedef struct tile_shared {
    bf16 rows[4][ROW];                  /* dt, u, z, dy of the next tile */
    bf16 BC[2][BC_ROW];                 /* B and C of the next tile */
    float step[ONE], x[ONE], e[ONE];    /* dt, dt u, dy after the gate's backward */
    float u[ONE], ddt[ONE], dz[ONE];    /* u; softplus's derivative; dy times the gate's derivative */
    float B[BC_ROW], C[BC_ROW];
    float part[3][WARPS][ONE];          /* sums over a warp's states of g B, g a h A and C h */
    float saved[2][N16 * LANES];        /* the states before two tiles */
    float sums[2][WARPS][SUMS];          /* dB and dC: [4 steps][quad of lanes][step][state] */
} tile_shared;
/* With ORDER a ring of the rows of steps lies behind it. */
static __device__ __forceinline__ int *ring_of(tile_shared *m, int64_t t) { return ring_at<TILE>((int *)(m + 1), t); }

/* ---- copies ---- */
/* A thread copies 2 pieces of 8 channels of one tensor, rows 8 apart, one of 4 states of B or C, and
 * 4 of the saved states. */
typedef struct pieces {
    const char *row, *bc;
    const float *saved;
    int pitch, bc_pitch, real, bc_to; /* bytes; bc_to: elements */
} pieces;

template <bool ORDER>
static __device__ __forceinline__ pieces pieces_of(const scan_args &a, const scan_place &p, int64_t t0) {
    const int lane = threadIdx.x, warp = threadIdx.y, row = lane / 4, col = lane % 4 * 8;
    const slab from = warp == 0 ? a.dt : warp == 1 ? a.u : warp == 2 ? a.z : a.dy, bc = warp < 2 ? a.B : a.C;
    const int step = warp % 2 * 8 + lane / 4, quarter = lane % 4;
    pieces q;
    q.pitch = (int)from.pitch * 2, q.bc_pitch = (int)bc.pitch * 2;
    q.real = from.p && col < p.n ? 16 : 0, q.bc_to = warp / 2 * BC_ROW + step * N16 + quarter * 4;
    const int64_t first = p.s * a.L + (ORDER ? 0 : t0 + row), bc_first = p.s * a.L + (ORDER ? 0 : t0 + step);
    q.row = (const char *)from.p + first * from.pitch * 2 + (q.real ? p.d0 + col : 0) * 2;
    q.bc = (const char *)bc.p + bc_first * bc.pitch * 2 + (p.group * N16 + quarter * 4) * 2;
    q.saved = a.saved + state_at(a, p, t0 / TILE, (a.L + TILE - 1) / TILE) - lane + (warp * LANES + lane) * 4;
    return q;
}
/* Copies the tile q is at, of which `rows` rows exist, and goes back one; with ORDER those of the steps from t0 on. */
template <bool PLAIN, bool ORDER>
static __device__ __forceinline__ void fetch(pieces &q, tile_shared *m, int slot, int rows, int64_t saved_step, int64_t t0) {
    const int lane = threadIdx.x, warp = threadIdx.y, row = lane / 4;
    const unsigned to = (unsigned)__cvta_generic_to_shared(&m->rows[warp][lane * 8]);
    const unsigned bc_to = (unsigned)__cvta_generic_to_shared(&m->BC[0][q.bc_to]);
    const unsigned saved_to = (unsigned)__cvta_generic_to_shared(&m->saved[slot][(warp * LANES + lane) * 4]);
    copy_piece(saved_to, (const char *)q.saved, 16);
    q.saved -= saved_step;
    if (ORDER) {
        const int *at = ring_of(m, t0), step = warp % 2 * 8 + row;
        copy_piece(to, q.row + (int64_t)at[row] * q.pitch, PLAIN || row < rows ? q.real : 0);
        copy_piece(to + 8 * LANES * 2, q.row + (int64_t)at[row + 8] * q.pitch, PLAIN || row + 8 < rows ? q.real : 0);
        copy_8(bc_to, q.bc + (int64_t)at[step] * q.bc_pitch, PLAIN || step < rows ? 8 : 0);
        copy_commit();
        return;
    }
    if (PLAIN) {
        copy_piece(to, q.row, 16);
        copy_piece(to + 8 * LANES * 2, q.row + 8 * q.pitch, 16);
        q.row -= (int64_t)TILE * q.pitch;
        copy_8(bc_to, q.bc, 8);
        q.bc -= (int64_t)TILE * q.bc_pitch;
        copy_commit();
        return;
    }
    copy_piece(to, row < rows ? q.row : q.row - row * q.pitch, row < rows ? q.real : 0);
    const bool second = row + 8 < rows;
    copy_piece(to + 8 * LANES * 2, q.row + (second ? 8 : -row) * q.pitch, second ? q.real : 0);
    q.row -= (int64_t)TILE * q.pitch;
    const int step = warp % 2 * 8 + lane / 4;
    copy_8(bc_to, step < rows ? q.bc : q.bc - step * q.bc_pitch, step < rows ? 8 : 0);
    q.bc -= (int64_t)TILE * q.bc_pitch;
    copy_commit();
}

/* ---- before and after the scan of a tile ---- */
template <bool PLAIN>
static __device__ __forceinline__ void prepare(const scan_args &a, tile_shared *m, int rows, float bias) {
    const int lane = threadIdx.x, t = 4 * threadIdx.y, at = lane * PITCH + t, from = t * LANES + lane;
    const bf16 *raw = &m->rows[0][from];
    float step[4], slope[4] = {1, 1, 1, 1}, u[4], e[4], dz[4] = {0, 0, 0, 0};
#pragma unroll
    for (int k = 0; k < 4; k++) {
        step[k] = cu_float(raw[k * LANES]) + bias;
        u[k] = cu_float(raw[ROW + k * LANES]), e[k] = cu_float(raw[3 * ROW + k * LANES]);
    }
    if (PLAIN || a.softplus) {
#pragma unroll
        for (int k = 0; k < 4; k++) { /* e^-|x| serves both */
            const float v = step[k], w = ex2(-LOG2_E * fabsf(v)), sig = rcp(1.f + w);
            step[k] = softplus_5(v, w), slope[k] = v >= 0 ? sig : w * sig;
        }
    }
    if (!PLAIN && rows < TILE) {
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (t + k >= rows) step[k] = 0, slope[k] = 0;
    }
    if (PLAIN || a.z.p) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
            float z = cu_float(raw[2 * ROW + k * LANES]), sig = sigmoid(z), gate = z * sig;
            dz[k] = e[k] * fmaf(sig, 1.f - gate, gate); /* sig (1 + z (1 - sig)), for sig + z sig - gate sig */
            e[k] *= gate;
        }
    }
    four(m->step + at) = make_float4(step[0], step[1], step[2], step[3]);
    four(m->x + at) = make_float4(step[0] * u[0], step[1] * u[1], step[2] * u[2], step[3] * u[3]);
    four(m->e + at) = make_float4(e[0], e[1], e[2], e[3]);
    four(m->u + at) = make_float4(u[0], u[1], u[2], u[3]);
    four(m->ddt + at) = make_float4(slope[0], slope[1], slope[2], slope[3]);
    four(m->dz + at) = make_float4(dz[0], dz[1], dz[2], dz[3]);
    const int which = threadIdx.y / 2, i = 4 * (threadIdx.y % 2 * LANES + lane); /* 2 warps for B, 2 for C */
    const uint2 packed = *(const uint2 *)&m->BC[which][i];
    four((which ? m->C : m->B) + i) =
        make_float4(low(packed.x), high(packed.x), low(packed.y), high(packed.y));
}

/* Four numbers to the rows from `first` on, or, with ORDER, to the rows behind it that the list has: there all that is
 * added to is loaded before anything is stored, for rows of a list might be one for all that the compiler knows. */
template <bool PLAIN, bool ORDER>
static __device__ __forceinline__ void give(void *to, int64_t first, int64_t pitch, const int4 &list, bool acc, const float (&v)[4],
                                            int rows) {
    bf16 *p = (bf16 *)to + first;
    if (ORDER) {
        float old[4] = {0, 0, 0, 0};
#pragma unroll
        for (int k = 0; k < 4 && acc; k++)
            if (PLAIN || k < rows) old[k] = cu_float(p[at(list, k) * pitch]);
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (PLAIN || k < rows) p[at(list, k) * pitch] = cu_as<bf16>(old[k] + v[k]);
        return;
    }
    if (PLAIN || (rows >= 4 && !acc)) {
#pragma unroll
        for (int k = 0; k < 4; k++, p += pitch) *p = cu_as<bf16>(v[k]);
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++, p += pitch)
            if (k < rows) cu_give(p, v[k], acc);
    }
}
template <bool PLAIN, bool ORDER>
static __device__ __forceinline__ void finish(const scan_args &a, const scan_grads &o, const scan_place &p,
                                              tile_shared *m, int64_t t0, int rows, float skip, float &dskip,
                                              float &dbias) {
    const int lane = threadIdx.x, t = 4 * threadIdx.y, at_4 = lane * PITCH + t;
    float gB[4], gA[4], y[4], du[4];
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        float4 v0 = four(m->part[0][w] + at_4), v1 = four(m->part[1][w] + at_4), v2 = four(m->part[2][w] + at_4);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            gB[k] = w ? gB[k] + at(v0, k) : at(v0, k), gA[k] = w ? gA[k] + at(v1, k) : at(v1, k);
            y[k] = w ? y[k] + at(v2, k) : at(v2, k);
        }
    }
    const float4 step = four(m->step + at_4), u = four(m->u + at_4), e = four(m->e + at_4), slope = four(m->ddt + at_4);
    const float4 gate = four(m->dz + at_4);
#pragma unroll
    for (int k = 0; k < 4; k++) { /* beyond the end, and in no channel, all of these are zero */
        du[k] = fmaf(skip, at(e, k), at(step, k) * gB[k]);
        gA[k] = fmaf(at(u, k), gB[k], LN_2 * gA[k]) * at(slope, k);
        dskip = fmaf(at(e, k), at(u, k), dskip), dbias += gA[k];
        y[k] = fmaf(skip, at(u, k), y[k]) * at(gate, k);
    }
    const int left = lane < p.n ? rows - t : 0;
    const int64_t row = p.s * a.L + (ORDER ? 0 : t0 + t), d = p.d0 + lane;
    const int4 list = ORDER ? *(const int4 *)(ring_of(m, t0) + t) : int4{};
    if (PLAIN || o.du) give<PLAIN, ORDER>(o.du, row * o.du_pitch + d, o.du_pitch, list, o.acc_u, du, left);
    if (PLAIN || o.ddt) give<PLAIN, ORDER>(o.ddt, row * o.ddt_pitch + d, o.ddt_pitch, list, o.acc_dt, gA, left);
    if (PLAIN || o.dz) give<PLAIN, ORDER>(o.dz, row * o.dz_pitch + d, o.dz_pitch, list, o.acc_z, y, left);

    /* dB and dC: a thread has 4 states of a step */
    const int of = threadIdx.y / 2, step_of = threadIdx.y % 2 * 8 + lane / 4, w = lane % 4;
    const float *from = m->sums[of][w] + step_of / 4 * GROUP + step_of % 4 * R;
    float4 sum = four(from);
#pragma unroll
    for (int q = 1; q < 8; q++) {
        const float4 v = four(from + q * 16);
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    }
    float *to = of ? o.C : o.B;
    const int64_t at_row = ORDER ? ring_of(m, t0)[step_of] : t0 + step_of;
    if (PLAIN || (to && step_of < rows))
        four(to + (((p.j * a.S + p.s) * a.L + at_row) * a.G + p.group) * N16 + w * R) = sum;
}

/* ---- the scan of a tile ---- */
/* The sums over quads of lanes of four numbers, to the columns that b0 and b1 choose, added to d or not: see
 * collect in selective_scan_bwd.cu.  In this order d has four numbers of one step. */
static __device__ __forceinline__ void mma_next(float (&d)[4], const float (&x)[4], unsigned b0, unsigned b1) {
    mma(d, __float_as_uint(x[0]), __float_as_uint(x[2]), __float_as_uint(x[1]), __float_as_uint(x[3]), b0, b1);
}
static __device__ __forceinline__ void mma_first(float (&d)[4], const float (&x)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(__float_as_uint(x[0])), "r"(__float_as_uint(x[2])), "r"(__float_as_uint(x[1])),
          "r"(__float_as_uint(x[3])), "r"(b0), "r"(b1), "f"(0.f));
}

/* The states after steps t ... t + 3 and the decays before them. */
static __device__ __forceinline__ void four_steps(float (*h)[R], float (*decay)[R], float (&now)[R],
                                                  const float (&A)[R], const float *step_of, const float *x_of,
                                                  const float *B) {
    const float4 step = four(step_of), x = four(x_of);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const float4 b = four(B + k * N16);
#pragma unroll
        for (int r = 0; r < R; r++) {
            decay[k][r] = ex2(at(step, k) * A[r]);
            now[r] = fmaf(decay[k][r], now[r], at(x, k) * at(b, r));
            h[k][r] = now[r];
        }
    }
}

/* PLAIN: whole tiles of whole warps, softplus and a gate, all gradients wanted and none added to (with ORDER some
 * may be: the paths of a picture have one u). */
template <bool PLAIN, bool ORDER>
__global__ void __launch_bounds__(WARPS *LANES, 3)
    scan_bwd16(const __grid_constant__ scan_args a, const __grid_constant__ scan_grads o) {
    extern __shared__ __align__(16) unsigned char base[];
    tile_shared *m = (tile_shared *)base;
    const int lane = threadIdx.x, warp = threadIdx.y;
    const scan_place p = place_of(a);
    const bool mine = PLAIN || lane < p.n;
    const int64_t d = p.d0 + lane;
    const int n0 = warp * R;
    const float bias = mine && a.bias ? a.bias[d] : 0.f, skip = mine && a.skip ? a.skip[d] : 0.f;
    float A[R], g[R], dA[R], dskip = 0, dbias = 0;
    unsigned ones[8];
#pragma unroll
    for (int j = 0; j < 8; j++) ones[j] = lane / 4 == j ? 0x3f800000u : 0u;
#pragma unroll
    for (int r = 0; r < R; r++) {
        A[r] = mine ? LOG2_E * a.A[d * N16 + n0 + r] : 0.f, dA[r] = g[r] = 0;
        if (mine && a.n_segs > 1) g[r] = o.ends[state_at(a, p, p.seg, a.n_segs) + (n0 + r) * LANES];
        else if (mine && o.dh1) g[r] = o.dh1[(p.s * a.D + d) * N16 + n0 + r];
    }
    const int64_t tile_floats = a.G * a.group_tiles * N16 * LANES;
    int64_t t0 = p.t0 + (p.t1 - 1 - p.t0) / TILE * TILE;
    int rows = (int)(p.t1 - t0);
    if (ORDER) first_order<TILE>((int *)(m + 1), a, p, t0);
    if (ORDER && t0 > p.t0) copy_order<TILE>((int *)(m + 1), a, t0 - TILE, p.t1);
    pieces q = pieces_of<ORDER>(a, p, t0);
    fetch<PLAIN, ORDER>(q, m, 0, rows, tile_floats, t0);
    copy_wait();
    __syncthreads();
    prepare<PLAIN>(a, m, rows, bias);
    __syncthreads();

    const float *step_of = m->step + lane * PITCH, *B = m->B + n0, *C = m->C + n0;
    float *part = m->part[0][warp] + lane * PITCH, *sums = m->sums[0][warp] + lane * 4;
    enum { X = ONE, E = 2 * ONE, OTHER = WARPS * ONE, OF_C = WARPS * SUMS };
    for (int slot = 0; t0 >= p.t0; t0 -= TILE, slot ^= 1, rows = TILE) {
        float second[R];
        const float *first = m->saved[slot] + warp * R * LANES + lane;
        if (ORDER && t0 - TILE > p.t0) copy_order<TILE>((int *)(m + 1), a, t0 - 2 * TILE, p.t1);
        if (t0 > p.t0) fetch<PLAIN, ORDER>(q, m, slot ^ 1, TILE, tile_floats, t0 - TILE);
#pragma unroll
        for (int r = 0; r < R; r++) second[r] = first[r * LANES];
#pragma unroll
        for (int t = 0; t < K; t += 4) {
            float h[4][R], decay[4][R];
            four_steps(h, decay, second, A, step_of + t, step_of + X + t, B + t * N16);
        }
#pragma unroll
        for (int t1 = TILE - K; t1 >= 0; t1 -= K) {
            float h[K][R], decay[K][R], now[R];
#pragma unroll
            for (int r = 0; r < R; r++) now[r] = second[r];
#pragma unroll
            for (int t = 0; t < K; t += 4)
                four_steps(h + t, decay + t, now, A, step_of + t1 + t, step_of + X + t1 + t, B + (t1 + t) * N16);
#pragma unroll
            for (int t = K - 4; t >= 0; t -= 4) {
                const float *at_t = step_of + t1 + t;
                const float4 step = four(at_t), x = four(at_t + X), e = four(at_t + E);
                float gB[4], gA[4], y[4], dB[4], dC[4];
#pragma unroll
                for (int k = 3; k >= 0; k--) {
                    const float4 b = four(B + (t1 + t + k) * N16), c = four(C + (t1 + t + k) * N16);
                    float to_B[R], to_C[R];
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        const float after = h[t + k][r], before = t + k ? h[t + k - 1][r] : second[r];
                        g[r] = fmaf(at(c, r), at(e, k), g[r]);
                        to_B[r] = g[r] * at(x, k), to_C[r] = at(e, k) * after;
                        gB[k] = r ? fmaf(g[r], at(b, r), gB[k]) : g[r] * at(b, r);
                        y[k] = r ? fmaf(at(c, r), after, y[k]) : at(c, r) * after;
                        g[r] *= decay[t + k][r];
                        const float q = g[r] * before;
                        dA[r] = fmaf(q, at(step, k), dA[r]);
                        gA[k] = r ? fmaf(q, A[r], gA[k]) : q * A[r];
                    }
                    if (k == 3) mma_first(dB, to_B, ones[6], ones[7]), mma_first(dC, to_C, ones[6], ones[7]);
                    else {
                        mma_next(dB, to_B, ones[2 * k], ones[2 * k + 1]);
                        mma_next(dC, to_C, ones[2 * k], ones[2 * k + 1]);
                    }
                }
                float *to = sums + (t1 + t) / 4 * GROUP;
                four(to) = make_float4(dB[0], dB[1], dB[2], dB[3]);
                four(to + OF_C) = make_float4(dC[0], dC[1], dC[2], dC[3]);
                four(part + t1 + t) = make_float4(gB[0], gB[1], gB[2], gB[3]);
                four(part + OTHER + t1 + t) = make_float4(gA[0], gA[1], gA[2], gA[3]);
                four(part + 2 * OTHER + t1 + t) = make_float4(y[0], y[1], y[2], y[3]);
            }
#pragma unroll
            for (int r = 0; r < R; r++) second[r] = first[r * LANES];
        }
        copy_wait();
        __syncthreads();
        finish<PLAIN, ORDER>(a, o, p, m, t0, rows, skip, dskip, dbias);
        prepare<PLAIN>(a, m, TILE, bias); /* at the end of nothing that is used: no branch, so it mixes with finish */
        __syncthreads();
    }

    float *room = m->part[0][0];
    room[warp * LANES + lane] = dskip, room[(WARPS + warp) * LANES + lane] = dbias;
    __syncthreads();
    const int64_t of_seg = p.s * a.n_segs + p.seg;
    if (warp == 0 && mine) {
        float sum_skip = 0, sum_bias = 0;
        for (int w = 0; w < WARPS; w++)
            sum_skip += room[w * LANES + lane], sum_bias += room[(WARPS + w) * LANES + lane];
        o.skip[of_seg * a.D + d] = sum_skip, o.bias[of_seg * a.D + d] = sum_bias;
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (!mine) continue;
        o.A[(of_seg * a.D + d) * N16 + n0 + r] = dA[r];
        if (o.dh0 && p.seg == 0) {
            float *to = o.dh0 + (p.s * a.D + d) * N16 + n0 + r;
            *to = o.acc_h0 ? *to + g[r] : g[r];
        }
    }
}

bool scan_bwd_16(const scan_args &a, const scan_grads &o, bool is_bf16, void *stream) {
    if (!is_bf16 || a.N != N16 || !a.wide || a.seq_idx || !a.dy.p || sizeof(tile_shared) > shared_limit()) return false;
    for (int64_t pitch : {a.u.pitch, a.dt.pitch, a.z.pitch, a.dy.pitch, a.B.pitch, a.C.pitch})
        if (pitch >= 1 << 24) return false;
    bool plain = a.L % TILE == 0 && a.per_group % LANES == 0 && a.softplus && a.z.p;
    plain = plain && o.du && o.ddt && o.dz && o.B && o.C && (a.order || !(o.acc_u || o.acc_dt || o.acc_z));
    const unsigned blocks = (unsigned)(a.S * a.n_segs * a.G * a.group_tiles);
    const dim3 threads(LANES, WARPS);
    const size_t ring = a.order ? RING * TILE * sizeof(int) : 0;
    auto kernel = a.order ? (plain ? scan_bwd16<true, true> : scan_bwd16<false, true>)
                          : (plain ? scan_bwd16<true, false> : scan_bwd16<false, false>);
    cu_launch(kernel, blocks, threads, sizeof(tile_shared) + ring, stream, a, o);
    return true;
}
