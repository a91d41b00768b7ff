/* selective_scan_bwd.cu - the backward of selective_scan on CUDA.
 *
 * Tiles in reverse.  From the state that forward saved before a tile, its states are computed
 * again into registers, K steps at a time; then the gradient g of the state walks back over them.
 * dB and dC are sums over channels, so over the lanes of a warp: the tensor cores add them, as
 * products with ones.  Each block leaves its sums in scratch and small kernels add these up in
 * order, so that the same bits come out every time. */
#include "ops/selective_scan/selective_scan.cuh"

/* ---- shared memory ---- */
template <typename T, int TILE> struct bwd_shared {
    T *u, *dt, *z, *dy, *B, *C;     /* of slot 0 */
    float *step, *x, *e, *reset;    /* dt, dt u, and dy after the gate's backward, by [lane][PITCH]; [TILE] */
    float *Bf, *Cf;                 /* [TILE][width], if T is not float */
    float *dB, *dC;                 /* [TILE][width] */
    float *part;                    /* [3][warp][lane][PITCH]: sums over states of g B, g a h A and C h */
    int *ring;                      /* with ORDER */
};
template <typename T, int TILE> __host__ __device__ int bwd_raw(int width) { return TILE * (4 * LANES + 2 * width); }
template <typename T, int TILE> size_t bwd_bytes(int warps, int width, bool order) {
    size_t floats = (3 + 3 * (size_t)warps) * LANES * pitch<TILE>::value + TILE + (order ? RING * TILE : 0);
    floats += (sizeof(T) < 4 ? 4 : 2) * TILE * (size_t)width;
    return 2 * (size_t)bwd_raw<T, TILE>(width) * sizeof(T) + floats * sizeof(float);
}
template <typename T, int TILE> __device__ __forceinline__ bwd_shared<T, TILE> bwd_layout(void *base, int width) {
    bwd_shared<T, TILE> m;
    int one = LANES * pitch<TILE>::value, bc = TILE * width;
    m.u = (T *)base, m.dt = m.u + TILE * LANES, m.z = m.dt + TILE * LANES, m.dy = m.z + TILE * LANES;
    m.B = m.dy + TILE * LANES, m.C = m.B + bc;
    m.step = (float *)(m.u + 2 * bwd_raw<T, TILE>(width)), m.x = m.step + one, m.e = m.x + one, m.reset = m.e + one;
    m.dB = m.reset + TILE, m.dC = m.dB + bc, m.Bf = m.dC + bc, m.Cf = m.Bf + (sizeof(T) < 4 ? bc : 0);
    m.part = m.Cf + (sizeof(T) < 4 ? bc : 0);
    m.ring = (int *)(m.part + 3 * blockDim.y * one);
    return m;
}

/* Where row t of a tile's copies comes from: of rows one behind the other, or of a list. */
template <typename T, int TILE, bool ORDER>
__device__ __forceinline__ void bwd_rows(T *to, int width, const slab &x, int64_t row, const int *at, int64_t col, int rows,
                                         int n, bool wide, const copy_lane &l) {
    if (ORDER) copy_rows_at<T, TILE>(to, width, x, row, at, col, rows, n, wide, l);
    else copy_rows<T, TILE>(to, width, x, row, col, rows, n, wide, l);
}
template <typename T, int TILE, bool ORDER>
__device__ __forceinline__ void bwd_fetch(const scan_args &a, const scan_place &p, const bwd_shared<T, TILE> &m,
                                          int slot, int64_t t0, int width, const copy_lane &bc_lane, bool ends) {
    int rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE, off = slot * bwd_raw<T, TILE>(width);
    copy_lane lane = copy_lane_of<T>(LANES);
    int64_t row = p.s * a.L + (ORDER ? 0 : t0), bc = p.group * a.N;
    const int *at = ring_at<TILE>(m.ring, t0);
    if (ORDER && t0 > p.t0) copy_order<TILE>(m.ring, a, t0 - TILE, p.t1); /* of the tile that comes after this */
    if (!ends) bwd_rows<T, TILE, ORDER>(m.u + off, LANES, a.u, row, at, p.d0, rows, p.n, a.wide, lane);
    bwd_rows<T, TILE, ORDER>(m.dt + off, LANES, a.dt, row, at, p.d0, rows, p.n, a.wide, lane);
    if (a.z.p) bwd_rows<T, TILE, ORDER>(m.z + off, LANES, a.z, row, at, p.d0, rows, p.n, a.wide, lane);
    if (a.dy.p) bwd_rows<T, TILE, ORDER>(m.dy + off, LANES, a.dy, row, at, p.d0, rows, p.n, a.wide, lane);
    if (!ends) bwd_rows<T, TILE, ORDER>(m.B + off, width, a.B, row, at, bc, rows, (int)a.N, a.wide, bc_lane);
    bwd_rows<T, TILE, ORDER>(m.C + off, width, a.C, row, at, bc, rows, (int)a.N, a.wide, bc_lane);
    copy_commit();
}

template <typename T, int R, int TILE>
__device__ __forceinline__ void bwd_prepare(const scan_args &a, const scan_place &p, const bwd_shared<T, TILE> &m,
                                            int slot, int64_t t0, int width, float bias, bool ends) {
    enum { PITCH = pitch<TILE>::value };
    int lane = threadIdx.x, rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE, off = slot * bwd_raw<T, TILE>(width);
    for (int t = 4 * threadIdx.y; t < TILE; t += 4 * blockDim.y) {
        int at = off + t * LANES + lane;
        float step[4], x[4] = {0, 0, 0, 0}, e[4] = {0, 0, 0, 0};
#pragma unroll
        for (int k = 0; k < 4; k++) step[k] = cu_float(m.dt[at + k * LANES]) + bias;
        if (a.dy.p) {
#pragma unroll
            for (int k = 0; k < 4; k++) e[k] = cu_float(m.dy[at + k * LANES]);
        }
        if (a.z.p) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float z = cu_float(m.z[at + k * LANES]);
                e[k] *= z * sigmoid(z);
            }
        }
        steps_of(step, a.softplus, t, rows);
#pragma unroll
        for (int k = 0; k < 4 && !ends; k++) x[k] = step[k] * cu_float(m.u[at + k * LANES]);
        four(m.step + lane * PITCH + t) = make_float4(step[0], step[1], step[2], step[3]);
        if (!ends) four(m.x + lane * PITCH + t) = make_float4(x[0], x[1], x[2], x[3]);
        four(m.e + lane * PITCH + t) = make_float4(e[0], e[1], e[2], e[3]);
    }
    find_resets<TILE>(m.reset, a.seq_idx, a.seq_pitch, p.s, a.L, t0, rows, RESET);
    if (sizeof(T) < 4) {
        if (!ends) widen(m.Bf, m.B + off, TILE * width);
        widen(m.Cf, m.C + off, TILE * width);
    }
}

/* ---- sums over lanes ---- */
/* Adds four values of each lane: value v + i of 16 goes to d's row lane / 4 + 8 (i & 1), column
 * v / 2 + i / 2, as the sum over its quad of lanes.  A tf32 has 11 bits, which is enough for a
 * bfloat16 result; a float goes in two parts.  ones[j]: 1 in the lanes of quad j. */
template <typename T>
__device__ __forceinline__ void collect(float (&d)[4], const unsigned (&ones)[8], int v, const float (&x)[4]) {
    unsigned high[4], low[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        high[i] = __float_as_uint(x[i]);
        if (sizeof(T) < 4) continue;
        high[i] &= 0xffffe000u;
        low[i] = __float_as_uint(x[i] - __uint_as_float(high[i]));
    }
    mma(d, high[0], high[1], high[2], high[3], ones[v / 2], ones[v / 2 + 1]);
    if (sizeof(T) == 4) mma(d, low[0], low[1], low[2], low[3], ones[v / 2], ones[v / 2 + 1]);
}
/* Sums two such matrices over their quads, one number a lane: of `c` in the lanes with bit 2, and of
 * the 16 values the one that sum_of_lane says. */
static __device__ __forceinline__ int sum_of_lane(int lane) { return lane % 4 * 4 + lane / 8 % 2 + lane / 16 * 2; }
static __device__ __forceinline__ float quad_sums(const float (&b)[4], const float (&c)[4], int lane) {
    bool mine_c = lane & 4, second = lane & 8, odd = lane & 16;
    float v[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = (mine_c ? c[i] : b[i]) + __shfl_xor_sync(~0u, mine_c ? b[i] : c[i], 4);
    float v0 = (second ? v[2] : v[0]) + __shfl_xor_sync(~0u, second ? v[0] : v[2], 8);
    float v1 = (second ? v[3] : v[1]) + __shfl_xor_sync(~0u, second ? v[1] : v[3], 8);
    return (odd ? v1 : v0) + __shfl_xor_sync(~0u, odd ? v0 : v1, 16);
}

/* ---- the kernels ---- */
/* Four numbers to rows of gradients, of which `rows` exist: those from `first` on, or the rows behind it of a list. */
template <typename T, bool ORDER>
__device__ __forceinline__ void give_4(void *grad, int64_t pitch, bool acc, int64_t first, const int *list, const float (&v)[4], int rows) {
    T *to = (T *)grad + first;
#pragma unroll
    for (int k = 0; k < 4; k++, to += ORDER ? 0 : pitch)
        if (k < rows) cu_give(ORDER ? to + list[k] * pitch : to, v[k], acc);
}
/* Gradients per step and channel, of a tile; adds to the channel's sums. */
template <typename T, int TILE, bool ORDER>
__device__ __forceinline__ void bwd_finish(const scan_args &a, const scan_grads &o, const scan_place &p,
                                           const bwd_shared<T, TILE> &m, int slot, int64_t t0, int width, float bias,
                                           float skip, float &dskip, float &dbias) {
    enum { PITCH = pitch<TILE>::value };
    int lane = threadIdx.x, rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE, off = slot * bwd_raw<T, TILE>(width);
    int one = blockDim.y * LANES * PITCH;
    int64_t row = p.s * a.L + (ORDER ? 0 : t0), d = p.d0 + lane;
    if (lane >= p.n) rows = 0;
    for (int t = 4 * threadIdx.y; t < TILE; t += 4 * blockDim.y) {
        float gB[4] = {0, 0, 0, 0}, gA[4] = {0, 0, 0, 0}, y[4] = {0, 0, 0, 0};
        const float *from = m.part + lane * PITCH + t;
#pragma unroll 4
        for (int w = 0; w < (int)blockDim.y; w++, from += LANES * PITCH) {
            float4 v0 = four(from), v1 = four(from + one), v2 = four(from + 2 * one);
#pragma unroll
            for (int k = 0; k < 4; k++) gB[k] += at(v0, k), gA[k] += at(v1, k), y[k] += at(v2, k);
        }
        float4 step = four(m.step + lane * PITCH + t), e = four(m.e + lane * PITCH + t);
        int i = off + t * LANES + lane;
        float du[4], ddt[4];
#pragma unroll
        for (int k = 0; k < 4; k++) { /* beyond the end, and in no channel, e and u are zero */
            float u = cu_float(m.u[i + k * LANES]);
            du[k] = fmaf(skip, at(e, k), at(step, k) * gB[k]);
            ddt[k] = fmaf(u, gB[k], LN_2 * gA[k]);
            dskip = fmaf(at(e, k), u, dskip);
            y[k] = fmaf(skip, u, y[k]);
        }
        if (a.softplus) {
#pragma unroll
            for (int k = 0; k < 4; k++) ddt[k] *= sigmoid(cu_float(m.dt[i + k * LANES]) + bias);
        }
#pragma unroll
        for (int k = 0; k < 4; k++) dbias += t + k < rows ? ddt[k] : 0.f;
        const int64_t first = ORDER ? row : row + t;
        const int *list = ring_at<TILE>(m.ring, t0) + t;
        if (o.dz) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float z = cu_float(m.z[i + k * LANES]), sig = sigmoid(z);
                y[k] *= (a.dy.p ? cu_float(m.dy[i + k * LANES]) : 0.f) * sig * fmaf(z, 1.f - sig, 1.f);
            }
            give_4<T, ORDER>(o.dz, o.dz_pitch, o.acc_z, first * o.dz_pitch + d, list, y, rows - t);
        }
        if (o.du) give_4<T, ORDER>(o.du, o.du_pitch, o.acc_u, first * o.du_pitch + d, list, du, rows - t);
        if (o.ddt) give_4<T, ORDER>(o.ddt, o.ddt_pitch, o.acc_dt, first * o.ddt_pitch + d, list, ddt, rows - t);
    }
}

/* This block's sums of dB and dC, to scratch. */
template <int TILE, bool ORDER>
__device__ __forceinline__ void store_sums(const scan_args &a, const scan_grads &o, const scan_place &p, int *ring,
                                           const float *dB, const float *dC, int64_t t0, int width) {
    int tid = threadIdx.y * LANES + threadIdx.x, n = tid % width, rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE;
    int64_t to = ((p.j * a.S + p.s) * a.L + (ORDER ? 0 : t0)) * a.G * a.N + p.group * a.N + n;
    if (n >= a.N) return;
    for (int t = tid / width; t < rows; t += (int)blockDim.y * LANES / width) {
        int row = ORDER ? ring_at<TILE>(ring, t0)[t] : t;
        if (o.B) o.B[to + row * a.G * a.N] = dB[t * width + n];
        if (o.C) o.C[to + row * a.G * a.N] = dC[t * width + n];
    }
}

template <typename T, int R, int K, int TILE, int WARPS, int BLOCKS, bool ORDER>
__global__ void __launch_bounds__(WARPS *LANES, BLOCKS)
    scan_bwd(const __grid_constant__ scan_args a, const __grid_constant__ scan_grads o) {
    extern __shared__ __align__(16) unsigned char base[];
    enum { PITCH = pitch<TILE>::value };
    const int lane = threadIdx.x, warp = threadIdx.y, width = width_of<R, WARPS>(blockDim.y);
    const scan_place p = place_of(a);
    const bwd_shared<T, TILE> m = bwd_layout<T, TILE>(base, width);
    const copy_lane bc_lane = copy_lane_of<T>(width);
    const bool mine = lane < p.n;
    const int64_t d = p.d0 + lane, n0 = (int64_t)warp * R;
    const float bias = mine && a.bias ? a.bias[d] : 0.f, skip = mine && a.skip ? a.skip[d] : 0.f;
    float A[R], g[R], dA[R], dskip = 0, dbias = 0;
    unsigned ones[8];
#pragma unroll
    for (int r = 0; r < R; r++) {
        bool real = mine && n0 + r < a.N;
        A[r] = real ? LOG2_E * a.A[d * a.N + n0 + r] : 0.f, dA[r] = g[r] = 0;
        if (real && a.n_segs > 1) g[r] = o.ends[state_at(a, p, p.seg, a.n_segs) + (n0 + r) * LANES];
        else if (real && o.dh1) g[r] = o.dh1[(p.s * a.D + d) * a.N + n0 + r];
    }
#pragma unroll
    for (int j = 0; j < 8; j++) ones[j] = lane / 4 == j ? 0x3f800000u : 0u;
    const int of_lane = sum_of_lane(lane); /* of 16 / R steps, R states */
    float *sums = (lane & 4 ? m.dC : m.dB) + of_lane / R * width + warp * R + of_lane % R;
    float *part = m.part + (warp * LANES + lane) * PITCH;
    const int one = blockDim.y * LANES * PITCH;
    const float *step_of = m.step + lane * PITCH, *x_of = m.x + lane * PITCH, *e_of = m.e + lane * PITCH;

    const int64_t n_saved = (a.L + TILE - 1) / TILE;
    int64_t t0 = p.t0 + (p.t1 - 1 - p.t0) / TILE * TILE;
    if (ORDER) first_order<TILE>(m.ring, a, p, t0);
    bwd_fetch<T, TILE, ORDER>(a, p, m, 0, t0, width, bc_lane, false);
    copy_wait();
    __syncthreads();
    bwd_prepare<T, R, TILE>(a, p, m, 0, t0, width, bias, false);
    __syncthreads();
    for (int slot = 0; t0 >= p.t0; t0 -= TILE, slot ^= 1) {
        if (t0 > p.t0) bwd_fetch<T, TILE, ORDER>(a, p, m, slot ^ 1, t0 - TILE, width, bc_lane, false);
        const float *B = (sizeof(T) < 4 ? m.Bf : (const float *)(m.B + slot * bwd_raw<T, TILE>(width))) + warp * R;
        const float *C = (sizeof(T) < 4 ? m.Cf : (const float *)(m.C + slot * bwd_raw<T, TILE>(width))) + warp * R;
        float start[TILE / K][R];
        {
            const float *from = a.saved + state_at(a, p, t0 / TILE, n_saved) + n0 * LANES;
#pragma unroll
            for (int r = 0; r < R; r++) start[0][r] = n0 + r < a.N ? from[r * LANES] : 0.f;
        }
#pragma unroll
        for (int sub = 1; sub < TILE / K; sub++) { /* only where each K steps begin */
#pragma unroll
            for (int r = 0; r < R; r++) start[sub][r] = start[sub - 1][r];
#pragma unroll
            for (int k0 = 0; k0 < K; k0 += 4) {
                int t = (sub - 1) * K + k0;
                float4 step = four(step_of + t), x = four(x_of + t), reset = four(m.reset + t);
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    float b[R];
                    load_states<R>(b, B + (t + k) * width);
#pragma unroll
                    for (int r = 0; r < R; r++)
                        start[sub][r] = fmaf(ex2(fmaf(at(step, k), A[r], at(reset, k))), start[sub][r],
                                             at(x, k) * b[r]);
                }
            }
        }
#pragma unroll
        for (int sub = TILE / K - 1; sub >= 0; sub--) {
            float decay[K][R], kept[K][R], h[R]; /* kept: decay times the state before */
#pragma unroll
            for (int r = 0; r < R; r++) h[r] = start[sub][r];
#pragma unroll
            for (int k0 = 0; k0 < K; k0 += 4) {
                int t = sub * K + k0;
                float4 step = four(step_of + t), x = four(x_of + t), reset = four(m.reset + t);
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    float b[R];
                    if (k0 + k < K - 1) load_states<R>(b, B + (t + k) * width);
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        decay[k0 + k][r] = ex2(fmaf(at(step, k), A[r], at(reset, k)));
                        kept[k0 + k][r] = decay[k0 + k][r] * h[r];
                        if (k0 + k < K - 1) h[r] = fmaf(at(x, k), b[r], kept[k0 + k][r]);
                    }
                }
            }
#pragma unroll
            for (int k0 = K - 4; k0 >= 0; k0 -= 4) {
                int t = sub * K + k0;
                float4 step = four(step_of + t), x = four(x_of + t), e = four(e_of + t);
                float gB[4], gA[4], y[4], dB[4] = {0, 0, 0, 0}, dC[4] = {0, 0, 0, 0};
#pragma unroll
                for (int k = 3; k >= 0; k--) {
                    float b[R], c[R];
                    load_states<R>(b, B + (t + k) * width);
                    load_states<R>(c, C + (t + k) * width);
                    gB[k] = gA[k] = y[k] = 0;
#pragma unroll
                    for (int r = 0; r < R; r += 4) {
                        float to_B[4], to_C[4];
#pragma unroll
                        for (int i = r; i < r + 4; i++) {
                            float before = kept[k0 + k][i], after = fmaf(at(x, k), b[i], before);
                            g[i] = fmaf(c[i], at(e, k), g[i]);
                            to_B[i - r] = g[i] * at(x, k), to_C[i - r] = at(e, k) * after;
                            float q = g[i] * before;
                            dA[i] = fmaf(q, at(step, k), dA[i]);
                            gA[k] = fmaf(q, A[i], gA[k]);
                            gB[k] = fmaf(g[i], b[i], gB[k]);
                            y[k] = fmaf(c[i], after, y[k]);
                            g[i] *= decay[k0 + k][i];
                        }
                        collect<T>(dB, ones, (k * R + r) % 16, to_B);
                        collect<T>(dC, ones, (k * R + r) % 16, to_C);
                    }
                    if (k * R % 16 == 0) {
                        sums[(t + k) * width] = quad_sums(dB, dC, lane);
#pragma unroll
                        for (int i = 0; i < 4; i++) dB[i] = dC[i] = 0;
                    }
                }
                four(part + t) = make_float4(gB[0], gB[1], gB[2], gB[3]);
                four(part + one + t) = make_float4(gA[0], gA[1], gA[2], gA[3]);
                four(part + 2 * one + t) = make_float4(y[0], y[1], y[2], y[3]);
            }
        }
        copy_wait();
        __syncthreads();
        bwd_finish<T, TILE, ORDER>(a, o, p, m, slot, t0, width, bias, skip, dskip, dbias);
        store_sums<TILE, ORDER>(a, o, p, m.ring, m.dB, m.dC, t0, width);
        if (t0 > p.t0) bwd_prepare<T, R, TILE>(a, p, m, slot ^ 1, t0 - TILE, width, bias, false);
        __syncthreads();
    }

    m.part[warp * LANES + lane] = dskip, m.part[(blockDim.y + warp) * LANES + lane] = dbias;
    __syncthreads();
    int64_t of_seg = p.s * a.n_segs + p.seg;
    if (warp == 0 && mine) {
        float sum_skip = 0, sum_bias = 0;
        for (int w = 0; w < (int)blockDim.y; w++)
            sum_skip += m.part[w * LANES + lane], sum_bias += m.part[(blockDim.y + w) * LANES + lane];
        o.skip[of_seg * a.D + d] = sum_skip, o.bias[of_seg * a.D + d] = sum_bias;
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (!mine || n0 + r >= a.N) continue;
        o.A[(of_seg * a.D + d) * a.N + n0 + r] = dA[r];
        if (o.dh0 && p.seg == 0) {
            float *to = o.dh0 + (p.s * a.D + d) * a.N + n0 + r;
            *to = o.acc_h0 ? *to + g[r] : g[r];
        }
    }
}

/* What each segment gives to the state before it if its last state gets nothing (ends), and how much
 * of what that gets goes through (decays): g alone, without states. */
template <typename T, int R, int TILE, int WARPS, bool ORDER>
__global__ void __launch_bounds__(WARPS *LANES)
    scan_bwd_ends(const __grid_constant__ scan_args a, const __grid_constant__ scan_grads o) {
    extern __shared__ __align__(16) unsigned char base[];
    enum { PITCH = pitch<TILE>::value };
    const int lane = threadIdx.x, warp = threadIdx.y, width = width_of<R, WARPS>(blockDim.y);
    const scan_place p = place_of(a);
    const bwd_shared<T, TILE> m = bwd_layout<T, TILE>(base, width);
    const copy_lane bc_lane = copy_lane_of<T>(width);
    const bool mine = lane < p.n;
    const int64_t d = p.d0 + lane, n0 = (int64_t)warp * R;
    const float bias = mine && a.bias ? a.bias[d] : 0.f;
    float A[R], g[R], steps = 0, resets = 0;
#pragma unroll
    for (int r = 0; r < R; r++) A[r] = mine && n0 + r < a.N ? LOG2_E * a.A[d * a.N + n0 + r] : 0.f, g[r] = 0;
    const int64_t last = p.t0 + (p.t1 - 1 - p.t0) / TILE * TILE;
    if (ORDER) first_order<TILE>(m.ring, a, p, last);
    for (int64_t t0 = last; t0 >= p.t0; t0 -= TILE) {
        bwd_fetch<T, TILE, ORDER>(a, p, m, 0, t0, width, bc_lane, true);
        copy_wait();
        __syncthreads();
        bwd_prepare<T, R, TILE>(a, p, m, 0, t0, width, bias, true);
        __syncthreads();
        const float *C = (sizeof(T) < 4 ? m.Cf : (const float *)m.C) + warp * R;
#pragma unroll 1
        for (int t = TILE - 4; t >= 0; t -= 4) {
            float4 step = four(m.step + lane * PITCH + t), e = four(m.e + lane * PITCH + t), reset = four(m.reset + t);
#pragma unroll
            for (int k = 3; k >= 0; k--) {
                float c[R];
                load_states<R>(c, C + (t + k) * width);
#pragma unroll
                for (int r = 0; r < R; r++)
                    g[r] = fmaf(c[r], at(e, k), g[r]) * ex2(fmaf(at(step, k), A[r], at(reset, k)));
                steps += at(step, k), resets += at(reset, k);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (!mine || n0 + r >= a.N) continue;
        int64_t to = state_at(a, p, p.seg, a.n_segs) + (n0 + r) * LANES;
        o.ends[to] = g[r], o.decays[to] = ex2(fmaf(steps, A[r], resets));
    }
}

/* From what segments give to what their last states get: a thread for a state. */
static __global__ void __launch_bounds__(256)
    join_segments_bwd(const __grid_constant__ scan_args a, const __grid_constant__ scan_grads o) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, all = a.G * a.group_tiles * a.N * LANES;
    if (i >= a.S * all) return;
    int64_t s = i / all, tile = i % all / (a.N * LANES), n = i % (a.N * LANES) / LANES, lane = i % LANES;
    int64_t c = tile % a.group_tiles * LANES + lane, d = tile / a.group_tiles * a.per_group + c;
    float g = o.dh1 && c < a.per_group ? o.dh1[(s * a.D + d) * a.N + n] : 0.f;
    for (int64_t seg = a.n_segs - 1; seg >= 0; seg--) {
        int64_t at = (s * a.n_segs + seg) * all + i % all;
        float before = fmaf(o.decays[at], g, o.ends[at]);
        o.ends[at] = g;
        g = before;
    }
}

/* to[rows][n] from the sum of from[parts][rows][n], in order; V numbers a thread, a row of blocks a job. */
typedef struct sum_job {
    void *to;
    int64_t pitch;
    const float *from;
    int64_t parts, rows, n;
    bool acc, is_float;
} sum_job;
typedef struct sum_jobs { sum_job of[5]; } sum_jobs;
template <int V> static __device__ __forceinline__ void load_once(float (&v)[V], const float *p) {
    if constexpr (V == 4) {
        const float4 x = __ldcs((const float4 *)p);
        v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
    } else v[0] = __ldcs(p);
}
template <typename T, int V> __global__ void __launch_bounds__(256) add_parts(const __grid_constant__ sum_jobs jobs) {
    const sum_job &job = jobs.of[blockIdx.y];
    const int64_t all = job.rows * job.n, i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    if (!job.to || i >= all) return;
    const float *from = job.from + i;
    float sum[V] = {};
#pragma unroll 16
    for (int64_t j = 0; j < job.parts; j++, from += all) {
        float v[V];
        load_once<V>(v, from);
#pragma unroll
        for (int k = 0; k < V; k++) sum[k] += v[k];
    }
    const int64_t at = i / job.n * job.pitch + i % job.n;
    if (job.is_float) cu_give<V>((float *)job.to + at, sum, job.acc);
    else cu_give<V>((T *)job.to + at, sum, job.acc);
}

/* ---- from the host ---- */
static int64_t tiles_of(const kr_call *c) { /* of a group */
    int64_t per_group = KR_SIZE(c, 'D') / KR_SIZE(c, 'G');
    return (per_group + LANES - 1) / LANES;
}
static int64_t segments_of(const kr_call *c) {
    return scan_segments(KR_SIZE(c, 'S') * KR_SIZE(c, 'G') * tiles_of(c), KR_SIZE(c, 'L'));
}
/* Scratch, in floats: dB and dC; dA, dD and ddt_bias; the segments' ends and decays. */
static int64_t bc_floats(const kr_call *c) {
    return tiles_of(c) * KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'G') * KR_SIZE(c, 'N');
}
static int64_t param_floats(const kr_call *c) { return KR_SIZE(c, 'S') * segments_of(c) * KR_SIZE(c, 'D'); }
static int64_t ends_floats(const kr_call *c) {
    if (segments_of(c) == 1) return 0;
    return KR_SIZE(c, 'S') * segments_of(c) * KR_SIZE(c, 'G') * tiles_of(c) * KR_SIZE(c, 'N') * LANES;
}
size_t selective_scan_bwd_bytes(const kr_call *c) {
    return (size_t)(2 * bc_floats(c) + (KR_SIZE(c, 'N') + 2) * param_floats(c) + 2 * ends_floats(c)) * sizeof(float);
}

static sum_job sum_of(const kr_call *c, int slot, const float *from, int64_t parts, int64_t rows, int64_t n) {
    const kr_tensor *to = &c->din[slot];
    const bool is_float = slot != SCAN_B && slot != SCAN_C;
    return sum_job{to->data, rows == 1 ? n : to->pitch, from, parts, rows, n, c->acc[slot], is_float};
}
template <typename T> static void add(const sum_jobs &jobs, void *stream) {
    int64_t most = 0;
    bool by_4 = true;
    for (const sum_job &job : jobs.of) {
        if (!job.to) continue;
        if (job.rows * job.n > most) most = job.rows * job.n;
        size_t bytes = job.is_float ? 4 : sizeof(T);
        by_4 = by_4 && job.n % 4 == 0 && cu_aligned(job.to, job.pitch, bytes, 4 * bytes);
        by_4 = by_4 && (uintptr_t)job.from % 16 == 0;
    }
    if (by_4) cu_launch(add_parts<T, 4>, dim3(cu_blocks(most, 1024), 5), 256, 0, stream, jobs);
    else cu_launch(add_parts<T, 1>, dim3(cu_blocks(most, 256), 5), 256, 0, stream, jobs);
}

template <typename T, int R, int K, int TILE, int WARPS, int BLOCKS>
static void launch_bwd(const scan_args &args, const scan_grads &o, void *stream) {
    scan_args a = args;
    int warps = (int)((a.N + R - 1) / R), width = width_of<R, WARPS>(warps);
    if (width * (int)sizeof(T) % 16) a.wide = false;
    size_t bytes = bwd_bytes<T, TILE>(warps, width, a.order);
    dim3 threads(LANES, (unsigned)warps);
    dim3 blocks((unsigned)(a.S * a.n_segs * a.G * a.group_tiles));
    if (a.n_segs > 1) {
        cu_launch(a.order ? scan_bwd_ends<T, R, TILE, WARPS, true> : scan_bwd_ends<T, R, TILE, WARPS, false>, blocks, threads, bytes, stream, a, o);
        cu_launch(join_segments_bwd, cu_blocks(a.S * a.G * a.group_tiles * a.N * LANES, 256), 256, 0, stream, a, o);
    }
    if (R * WARPS == 16 && scan_bwd_16(args, o, sizeof(T) == 2, stream)) return;
    auto kernel = a.order ? scan_bwd<T, R, K, TILE, WARPS, BLOCKS, true> : scan_bwd<T, R, K, TILE, WARPS, BLOCKS, false>;
    cu_launch(kernel, blocks, threads, bytes, stream, a, o);
}

template <typename T> static void backward(const kr_call *c) {
    void *stream = c->stream;
    scan_args a = scan_args_of(c, segments_of(c));
    scan_grads o = {};
    const kr_tensor *du = &c->din[SCAN_U], *ddt = &c->din[SCAN_DT], *dz = &c->din[SCAN_Z];
    o.du = du->data, o.du_pitch = du->pitch, o.acc_u = c->acc[SCAN_U];
    o.ddt = ddt->data, o.ddt_pitch = ddt->pitch, o.acc_dt = c->acc[SCAN_DT];
    o.dz = a.z.p ? dz->data : NULL, o.dz_pitch = dz->pitch, o.acc_z = c->acc[SCAN_Z];
    o.dh1 = (const float *)c->dout[SCAN_H].data, o.dh0 = (float *)c->din[SCAN_H0].data, o.acc_h0 = c->acc[SCAN_H0];
    float *at = (float *)c->scratch, *sums_B = at, *sums_C = at + bc_floats(c);
    o.B = c->din[SCAN_B].data ? sums_B : NULL, o.C = c->din[SCAN_C].data ? sums_C : NULL;
    o.A = at + 2 * bc_floats(c), o.skip = o.A + a.N * param_floats(c), o.bias = o.skip + param_floats(c);
    o.ends = o.bias + param_floats(c), o.decays = o.ends + ends_floats(c);

    if (a.N <= 16) launch_bwd<T, 4, 8, 16, 4, 3>(a, o, stream);
    else if (a.N <= MANY_BWD) launch_bwd<T, 4, 4, 16, 16, 1>(a, o, stream);
    else if (bwd_bytes<T, 8>((int)(a.N + 7) / 8, (int)(a.N + 7) / 8 * 8, a.order) <= shared_limit())
        launch_bwd<T, 8, 4, 8, 32, 1>(a, o, stream);
    else launch_bwd<T, 16, 4, 8, 16, 1>(a, o, stream); /* a GPU of 163 KB: fewer shares of what is summed over states */

    const int64_t rows = a.S * a.L, segs = a.S * a.n_segs;
    add<T>({{sum_of(c, SCAN_B, sums_B, a.group_tiles, rows, a.G * a.N),
             sum_of(c, SCAN_C, sums_C, a.group_tiles, rows, a.G * a.N),
             sum_of(c, SCAN_A, o.A, segs, 1, a.D * a.N), sum_of(c, SCAN_D, o.skip, segs, 1, a.D),
             sum_of(c, SCAN_DT_BIAS, o.bias, segs, 1, a.D)}}, stream);
}

void selective_scan_bwd_cuda(const kr_call *c) {
    if (c->in[SCAN_U].dtype == KR_BF16) backward<bf16>(c);
    else backward<float>(c);
}
