/* ssd_steps_bwd.cuh - ssd backward step by step, in float32: the reference's walk on a GPU.
 *
 * A block has a few channels of one head and walks a segment of the sequence from its end.
 * States come from one kept every SSD_KEEP steps (ssd_steps): a stretch is redone forwards
 * with the state before every eighth step put into shared memory, then each piece of eight
 * steps, last first, is redone in registers and gone back through.
 *
 * A lane has n = lane, lane + 32, .. of CHANNELS channels, so sums over channels (dB, dC)
 * start in a thread and sums over n (dx) end in a warp.  What a block adds to dB and dC goes
 * to a row of its own, and another kernel adds the rows up: no order depends on timing.
 * Those rows are many, so segments are short and launched one after the other, and a few
 * sequences at a time: memory does not grow with S, and hardly with L. */
#ifndef KR_OPS_SSD_STEPS_BWD_CUH
#define KR_OPS_SSD_STEPS_BWD_CUH
#include "ops/ssd/ssd_steps.cuh"

enum {
    SSD_PIECE = 8,                          /* steps gone back through at once */
    SSD_PIECES = SSD_KEEP / SSD_PIECE,
    SSD_DT_HEADS = 4                        /* heads of a block of ssd_back_dt */
};

/* Sequence 0 is the first of those under way. */
template <typename T> struct ssd_back_args {
    ssd_args_of<T> a;
    T *dx, *dB, *dC, *ddt;
    float *dA, *dD, *dDhp, *dbias, *dh0;
    int64_t dx_pitch, dB_pitch, dC_pitch, ddt_pitch;
    bool add_x, add_B, add_C, add_dt, add_A, add_D, add_Dhp, add_bias, add_h0;
    float *carry;             /* [S, H, P, N]: gradient of the state between segments */
    float *rows;              /* [S, seg, G, n_rows, 2, N]: what each block adds to dB and dC */
    float2 *steps;            /* [S, L, H, n_tiles]: d dt but for the decay's part; da times the decay */
    float *sums;              /* [S, n_chunks, H, 2]: of SSD_KEEP steps, for dA and ddt_bias */
    float *skip;              /* [S, H, P]: sums of dy x */
    int n_tiles, n_rows;      /* blocks of a head, of a group */
    int64_t seg, t0, t1;      /* steps of a segment, a multiple of SSD_KEEP; of this one, the first and the end */
};

template <int NPL, int CHANNELS, int WARPS> struct ssd_back_room {
    enum { N_MAX = 32 * NPL, P_MAX = CHANNELS * WARPS, THREADS = 32 * WARPS };
    float starts[SSD_PIECES - 1][CHANNELS * NPL][32 * WARPS]; /* states before pieces 1.. */
    float B[SSD_PIECE][N_MAX], C[SSD_PIECE][N_MAX];
    float rows[WARPS][SSD_PIECE][2][N_MAX];                   /* dB, dC */
    float x[SSD_PIECE][P_MAX], dy[SSD_PIECE][P_MAX], sum[SSD_PIECE][P_MAX];
    float dt[SSD_PIECE], decay[SSD_PIECE], da[SSD_PIECE][WARPS];
};

/* A piece; C and dy only to go back.  Steps past the end change nothing: decay 1, all else 0. */
template <bool BACK, typename T, typename ROOM>
__device__ inline void back_load(ROOM *w, const ssd_args_of<T> &a, int s, int h, int p0, int64_t t0) {
    const int thread = threadIdx.x, g = h / a.R, n_steps = a.L - t0 < SSD_PIECE ? (int)(a.L - t0) : SSD_PIECE;
    const int64_t row0 = (int64_t)s * a.L + t0;
    /* loads go out together, then are waited for: their latency is what a piece costs */
    enum { THREADS = ROOM::THREADS, ROUNDS = SSD_PIECE * ROOM::N_MAX / THREADS, AT_ONCE = ROUNDS < 8 ? ROUNDS : 8 };
    const int tx = thread / ROOM::P_MAX, pl = thread % ROOM::P_MAX, p = p0 + pl;
    const bool there_x = tx < n_steps && p < a.P;
    const float x = there_x ? cu_float(a.x[(row0 + tx) * a.x_pitch + (int64_t)h * a.P + p]) : 0;
    const float dy = BACK && there_x && a.dy ? cu_float(a.dy[((row0 + tx) * a.H + h) * a.P + p]) : 0;
    float raw = 0;
    bool begins = false;
    if (thread < n_steps) {
        const int64_t row = row0 + thread;
        raw = cu_float(a.dt[row * a.dt_pitch + h]);
        begins = a.seq && t0 + thread > 0 && a.seq[row * a.seq_pitch] != a.seq[(row - 1) * a.seq_pitch];
    }
#pragma unroll 1
    for (int i0 = thread; i0 < ROUNDS * THREADS; i0 += AT_ONCE * THREADS) {
        float B[AT_ONCE], C[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int i = i0 + k * THREADS, t = i / ROOM::N_MAX, n = i % ROOM::N_MAX;
            const bool there = t < n_steps && n < a.N;
            B[k] = there ? cu_float(a.B[(row0 + t) * a.B_pitch + (int64_t)g * a.N + n]) : 0;
            C[k] = there && BACK ? cu_float(a.C[(row0 + t) * a.C_pitch + (int64_t)g * a.N + n]) : 0;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int i = i0 + k * THREADS, t = i / ROOM::N_MAX, n = i % ROOM::N_MAX;
            w->B[t][n] = B[k];
            if (BACK) w->C[t][n] = C[k];
        }
    }
    if (thread < SSD_PIECE) {
        const float dt = thread < n_steps ? step_size(a, raw, h) : 0;
        w->dt[thread] = dt;
        w->decay[thread] = begins ? 0 : expf(dt * a.A[h]);
    }
    if (tx >= SSD_PIECE) return;
    w->x[tx][pl] = x;
    if (BACK) w->dy[tx][pl] = dy;
}

/* A state of the block's channels from [.., P, N] at the head's start, or into it. */
template <int NPL, int CHANNELS>
__device__ inline void back_read(float (&S)[CHANNELS][NPL], const float *from, int p, int P, int N) {
#pragma unroll
    for (int j = 0; j < CHANNELS; j++)
#pragma unroll
        for (int i = 0; i < NPL; i++) {
            const int n = threadIdx.x % 32 + 32 * i;
            S[j][i] = from && p + j < P && n < N ? from[(int64_t)(p + j) * N + n] : 0;
        }
}
template <int NPL, int CHANNELS>
__device__ inline void back_write(const float (&S)[CHANNELS][NPL], float *to, int p, int P, int N, bool add) {
#pragma unroll
    for (int j = 0; j < CHANNELS; j++)
#pragma unroll
        for (int i = 0; i < NPL; i++) {
            const int n = threadIdx.x % 32 + 32 * i;
            if (p + j < P && n < N) cu_give(to + (int64_t)(p + j) * N + n, S[j][i], add);
        }
}

/* to = h[t], from = h[t-1]. */
template <int NPL, int CHANNELS, typename ROOM>
__device__ inline void back_advance(float (&to)[CHANNELS][NPL], const float (&from)[CHANNELS][NPL], const ROOM *w, int t) {
    const int lane = threadIdx.x % 32, pl = threadIdx.x / 32 * CHANNELS;
    const float dt = w->dt[t], decay = w->decay[t];
#pragma unroll
    for (int j = 0; j < CHANNELS; j++) {
        const float u = w->x[t][pl + j] * dt;
#pragma unroll
        for (int i = 0; i < NPL; i++) to[j][i] = from[j][i] * decay + u * w->B[t][lane + 32 * i];
    }
}

/* Sums over a warp of V values: lane gets that of value lane / (32 / V). */
template <int V> __device__ inline float back_sums(float (&v)[V], int lane) {
    int d = 16;
#pragma unroll
    for (int k = V / 2; k > 0; k /= 2, d /= 2)
#pragma unroll
        for (int i = 0; i < k; i++) {
            const float mine = lane & d ? v[i + k] : v[i], other = lane & d ? v[i] : v[i + k];
            v[i] = mine + __shfl_xor_sync(~0u, other, d);
        }
#pragma unroll
    for (; d > 0; d /= 2) v[0] += __shfl_xor_sync(~0u, v[0], d);
    return v[0];
}

/* One step back: dh comes as the gradient of h[t] from later steps and leaves as that of h[t-1]. */
template <int NPL, int CHANNELS, typename ROOM>
__device__ inline void back_step(float (&dh)[CHANNELS][NPL], const float (&before)[CHANNELS][NPL],
                                 const float (&now)[CHANNELS][NPL], ROOM *w, int t) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const float dt = w->dt[t], decay = w->decay[t];
    float dB[NPL], dC[NPL], dx[CHANNELS], da = 0;
#pragma unroll
    for (int i = 0; i < NPL; i++) dB[i] = dC[i] = 0;
#pragma unroll
    for (int j = 0; j < CHANNELS; j++) {
        const float dy = w->dy[t][warp * CHANNELS + j], u = w->x[t][warp * CHANNELS + j] * dt;
        dx[j] = 0;
#pragma unroll
        for (int i = 0; i < NPL; i++) {
            dC[i] += dy * now[j][i];
            dh[j][i] += dy * w->C[t][lane + 32 * i];
            dx[j] += dh[j][i] * w->B[t][lane + 32 * i];
            dB[i] += dh[j][i] * u;
            da += dh[j][i] * before[j][i];
            dh[j][i] *= decay;
        }
    }
#pragma unroll
    for (int i = 0; i < NPL; i++) w->rows[warp][t][0][lane + 32 * i] = dB[i], w->rows[warp][t][1][lane + 32 * i] = dC[i];
    const float sum = back_sums(dx, lane);
    if (lane % (32 / CHANNELS) == 0) w->sum[t][warp * CHANNELS + lane / (32 / CHANNELS)] = sum;
    da = cu_warp_sum(da);
    if (lane == 0) w->da[t][warp] = da;
}

/* What the warps have left in shared memory: dx, and the block's share of dt, da, dB and dC.
 * Thread i has channel i % P_MAX; returns its dy x. */
template <typename T, typename ROOM>
__device__ inline float back_give(const ROOM *w, const ssd_back_args<T> &b, int s, int h, int p0, int64_t t0, float skip, int n_warps) {
    const ssd_args_of<T> &a = b.a;
    const int n_steps = a.L - t0 < SSD_PIECE ? (int)(a.L - t0) : SSD_PIECE;
    const int64_t row0 = (int64_t)s * a.L + t0;
    float dskip = 0;
    if (threadIdx.x < SSD_PIECE * ROOM::P_MAX) { /* whole warps */
        const int t = threadIdx.x / ROOM::P_MAX, pl = threadIdx.x % ROOM::P_MAX, p = p0 + pl;
        const float x = w->x[t][pl], dy = w->dy[t][pl], sum = w->sum[t][pl];
        dskip = dy * x;
        if (b.dx && t < n_steps && p < a.P)
            cu_give(b.dx + (row0 + t) * b.dx_pitch + (int64_t)h * a.P + p, sum * w->dt[t] + dy * skip, b.add_x);
        float ddt = x * sum, da = 0;
#pragma unroll
        for (int d = ROOM::P_MAX / 2; d > 0; d /= 2) ddt += __shfl_xor_sync(~0u, ddt, d);
        for (int i = 0; i < n_warps; i++) da += w->da[t][i];
        if (pl == 0 && t < n_steps)
            b.steps[((row0 + t) * a.H + h) * b.n_tiles + blockIdx.x] = make_float2(ddt, da * w->decay[t]);
    }
    if (!b.dB && !b.dC) return dskip;
    const int64_t row = (int64_t)s * b.seg + t0 - b.t0;
    const int g = h / a.R, r = h % a.R * b.n_tiles + blockIdx.x;
    for (int t = 0; t < n_steps; t++) {
        float *to = b.rows + (((row + t) * a.G + g) * b.n_rows + r) * 2 * a.N;
#pragma unroll
        for (int i = threadIdx.x; i < 2 * ROOM::N_MAX; i += blockDim.x) {
            const int k = i / ROOM::N_MAX, n = i % ROOM::N_MAX;
            if (n >= a.N) continue;
            float sum = 0;
            for (int j = 0; j < n_warps; j++) sum += w->rows[j][t][k][n];
            to[k * a.N + n] = sum;
        }
    }
    return dskip;
}

/* Grid: n_tiles, H, S. */
template <typename T, int NPL, int CHANNELS, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, 2) ssd_steps_back(ssd_back_args<T> b) {
    typedef ssd_back_room<NPL, CHANNELS, WARPS> room;
    static_assert(SSD_PIECE * room::P_MAX <= 32 * WARPS, "a thread for each step and channel of a piece");
    extern __shared__ __align__(16) float shared[];
    room *w = (room *)shared;
    const ssd_args_of<T> &a = b.a;
    const int p0 = blockIdx.x * room::P_MAX, h = blockIdx.y, s = blockIdx.z, p = p0 + threadIdx.x / 32 * CHANNELS;
    const int64_t head = (int64_t)s * a.H + h, at = head * a.P * a.N, n_kept = (a.L + SSD_KEEP - 1) / SSD_KEEP;
    const int pt = p0 + threadIdx.x % room::P_MAX;
    const bool last = b.t1 == a.L;
    const float skip = pt < a.P ? (a.D ? a.D[h] : 0) + (a.Dhp ? a.Dhp[(int64_t)h * a.P + pt] : 0) : 0;
    float dskip = 0, dh[CHANNELS][NPL];
    back_read(dh, !last ? b.carry + at : a.dh ? a.dh + at : NULL, p, a.P, a.N);
    for (int64_t t0 = (b.t1 - 1) / SSD_KEEP * SSD_KEEP; t0 >= b.t0; t0 -= SSD_KEEP) {
        const float *kept = a.kept + (((int64_t)s * n_kept + t0 / SSD_KEEP) * a.H + h) * a.P * a.N;
        const int steps = a.L - t0 < SSD_KEEP ? (int)(a.L - t0) : SSD_KEEP, n_pieces = (steps + SSD_PIECE - 1) / SSD_PIECE;
        float S[SSD_PIECE + 1][CHANNELS][NPL]; /* S[t]: before step t of a piece */
        back_read(S[0], kept, p, a.P, a.N);
        for (int k = 0; k + 1 < n_pieces; k++) {
            __syncthreads();
            back_load<false>(w, a, s, h, p0, t0 + k * SSD_PIECE);
            __syncthreads();
#pragma unroll
            for (int t = 0; t < SSD_PIECE; t++) back_advance(S[0], S[0], w, t);
#pragma unroll
            for (int i = 0; i < CHANNELS * NPL; i++) w->starts[k][i][threadIdx.x] = S[0][i / NPL][i % NPL];
        }
        for (int k = n_pieces - 1; k >= 0; k--) {
            __syncthreads();
            back_load<true>(w, a, s, h, p0, t0 + k * SSD_PIECE);
            if (k == 0) back_read(S[0], kept, p, a.P, a.N);
            __syncthreads();
            if (k > 0)
#pragma unroll
                for (int i = 0; i < CHANNELS * NPL; i++) S[0][i / NPL][i % NPL] = w->starts[k - 1][i][threadIdx.x];
#pragma unroll
            for (int t = 0; t < SSD_PIECE; t++) back_advance(S[t + 1], S[t], w, t);
#pragma unroll
            for (int t = SSD_PIECE - 1; t >= 0; t--) back_step(dh, S[t], S[t + 1], w, t);
            __syncthreads();
            dskip += back_give(w, b, s, h, p0, t0 + k * SSD_PIECE, skip, WARPS);
        }
    }
    if (b.t0 > 0) back_write(dh, b.carry + at, p, a.P, a.N, false);
    else if (b.dh0) back_write(dh, b.dh0 + at, p, a.P, a.N, b.add_h0);
    __syncthreads();
    if (threadIdx.x < SSD_PIECE * room::P_MAX) w->sum[threadIdx.x / room::P_MAX][threadIdx.x % room::P_MAX] = dskip;
    __syncthreads();
    if (threadIdx.x >= room::P_MAX || pt >= a.P) return;
    float sum = last ? 0 : b.skip[head * a.P + pt];
    for (int t = 0; t < SSD_PIECE; t++) sum += w->sum[t][threadIdx.x];
    b.skip[head * a.P + pt] = sum;
}

/* dB and dC of a segment: a thread for each of [S, steps, G, 2, N]. */
template <typename T> __global__ void ssd_back_rows(ssd_back_args<T> b) {
    const int N = b.a.N, G = b.a.G;
    const int64_t steps = b.t1 - b.t0;
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= b.a.S * steps * G * 2 * N) return;
    const int kn = (int)(i % (2 * N)), k = kn / N, n = kn % N;
    i /= 2 * N;
    const int g = (int)(i % G);
    const int64_t t = i / G % steps, s = i / G / steps, row = s * b.a.L + b.t0 + t;
    const float *from = b.rows + ((s * b.seg + t) * G + g) * b.n_rows * 2 * N + kn;
    float sum = 0;
#pragma unroll 8
    for (int r = 0; r < b.n_rows; r++) sum += from[(int64_t)r * 2 * N];
    if (k == 0 && b.dB) cu_give(b.dB + row * b.dB_pitch + (int64_t)g * N + n, sum, b.add_B);
    if (k == 1 && b.dC) cu_give(b.dC + row * b.dC_pitch + (int64_t)g * N + n, sum, b.add_C);
}

/* ddt, and what SSD_KEEP steps add to dA and ddt_bias.  Grid: those stretches, heads / 4, S. */
template <typename T> __global__ void ssd_back_dt(ssd_back_args<T> b) {
    __shared__ float part[SSD_KEEP][SSD_DT_HEADS][2];
    const ssd_args_of<T> &a = b.a;
    const int hl = threadIdx.x % SSD_DT_HEADS, tl = threadIdx.x / SSD_DT_HEADS, s = blockIdx.z;
    const int h0 = blockIdx.y * SSD_DT_HEADS, h = h0 + hl;
    const int64_t t = (int64_t)blockIdx.x * SSD_KEEP + tl, row = (int64_t)s * a.L + t;
    float to_A = 0, to_dt = 0;
    if (t < a.L && h < a.H) {
        float ddt = 0, da = 0;
        for (int i = 0; i < b.n_tiles; i++) {
            const float2 v = b.steps[(row * a.H + h) * b.n_tiles + i];
            ddt += v.x, da += v.y;
        }
        float raw = cu_float(a.dt[row * a.dt_pitch + h]) + (a.dt_bias ? a.dt_bias[h] : 0);
        const float free = a.softplus ? cu_softplus(raw) : raw, dt = fminf(fmaxf(free, a.dt_min), a.dt_max);
        to_A = da * dt;
        to_dt = free >= a.dt_min && free <= a.dt_max ? (ddt + da * a.A[h]) * (a.softplus ? cu_sigmoid(raw) : 1) : 0;
        if (b.ddt) cu_give(b.ddt + row * b.ddt_pitch + h, to_dt, b.add_dt);
    }
    part[tl][hl][0] = to_A, part[tl][hl][1] = to_dt;
    __syncthreads();
    const int head = h0 + threadIdx.x / 2;
    if (threadIdx.x >= 2 * SSD_DT_HEADS || head >= a.H) return;
    float sum = 0;
    for (int i = 0; i < SSD_KEEP; i++) sum += part[i][threadIdx.x / 2][threadIdx.x % 2];
    b.sums[(((int64_t)s * gridDim.x + blockIdx.x) * a.H + head) * 2 + threadIdx.x % 2] = sum;
}

/* The parameters of head blockIdx.x, from the sums of all sequences. */
template <typename T> __global__ void ssd_back_params(ssd_back_args<T> b) {
    __shared__ float room[32];
    const int h = blockIdx.x, H = b.a.H, P = b.a.P, S = b.a.S;
    const int64_t n = S * ((b.a.L + SSD_KEEP - 1) / SSD_KEEP);
    float dA = 0, dbias = 0, dD = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) dA += b.sums[(i * H + h) * 2], dbias += b.sums[(i * H + h) * 2 + 1];
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        float sum = 0;
        for (int s = 0; s < S; s++) sum += b.skip[((int64_t)s * H + h) * P + p];
        if (b.dDhp) cu_give(b.dDhp + (int64_t)h * P + p, sum, b.add_Dhp);
        dD += sum;
    }
    dA = cu_block_sum(dA, room), dbias = cu_block_sum(dbias, room), dD = cu_block_sum(dD, room);
    if (threadIdx.x > 0) return;
    if (b.dA) cu_give(b.dA + h, dA, b.add_A);
    if (b.dbias) cu_give(b.dbias + h, dbias, b.add_bias);
    if (b.dD) cu_give(b.dD + h, dD, b.add_D);
}
#endif
