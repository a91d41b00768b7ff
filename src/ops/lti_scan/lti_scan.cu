/* lti_scan.cu - lti_scan on CUDA.
 *
 * A block owns LANES channels of a sequence: a lane is a channel, a warp has R of its modes, all
 * that belongs to a mode is in registers.  What is summed over modes is summed over the block's
 * warps, in shared memory.  Backward goes by tiles in reverse, from the states that forward left
 * before each of them, K steps at a time.  As on a CPU a mode is kept as a - 1: 1 - a is what a
 * slow mode forgets in a step, and has all its digits. */
#include "ops/lti_scan/lti_scan.h"

#include "ops/scan.cuh"

enum { TILE = 32, K = 4, PITCH = pitch<TILE>::value };
enum { FEW_R = 4, FEW_WARPS = 16, MANY_R = 16, MANY_WARPS = 32, MAX_MODES = MANY_R * MANY_WARPS };
enum { P_ARE, P_AIM, P_BRE, P_BIM, P_CRE, P_CIM, N_PARTS }; /* gradients of a, gain B and C */

typedef struct lti_args {
    int64_t S, L, D, N, tiles, disc;
    slab u, dy;
    const float *log_dt, *Are, *Aim, *Bre, *Bim, *Cre, *Cim, *skip, *h0re, *h0im, *dhre, *dhim;
    const int32_t *seq_idx;
    int64_t seq_pitch;
    bool wide;
    void *y, *du;
    int64_t du_pitch;
    bool acc_u, acc_h0re, acc_h0im;
    float *hre, *him, *dh0re, *dh0im;
    float *saved;                /* [S][chunk][tile][re, im][N][LANES]: the states before each chunk of TILE steps */
    float *parts, *skip_parts;   /* [S][N_PARTS][D N], [S][D] */
} lti_args;

/* ---- modes, in double: once a block; not inlined, for it is long ---- */
static __device__ double2 pair(double re, double im) { return make_double2(re, im); }
static __device__ double2 mul(double2 a, double2 b) { return pair(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
static __device__ double2 conj_of(double2 a) { return pair(a.x, -a.y); }
static __device__ double2 scale(double s, double2 a) { return pair(s * a.x, s * a.y); }
static __device__ double2 add(double2 a, double2 b) { return pair(a.x + b.x, a.y + b.y); }
static __device__ double2 divide(double2 a, double2 b) {
    return scale(1 / (b.x * b.x + b.y * b.y), mul(a, conj_of(b)));
}
static __device__ double2 exp_of(double2 w) {
    double s, c, r = exp(w.x);
    sincos(w.y, &s, &c);
    return pair(r * c, r * s);
}
/* (exp w - 1) / w, or its derivative; the series as in lti_scan.c. */
static __device__ double2 phi(double2 w, bool derivative) {
    if (w.x * w.x + w.y * w.y > 0.04) {
        double2 e = exp_of(w), p = divide(add(e, pair(-1, 0)), w);
        return derivative ? divide(add(e, scale(-1, p)), w) : p;
    }
    double2 sum = pair(0, 0);
    for (int k = 12; k >= 0; k--) {
        double f = 1;
        for (int i = 2; i <= k + (derivative ? 2 : 1); i++) f *= i;
        sum = add(mul(sum, w), pair((derivative ? k + 1 : 1) / f, 0));
    }
    return sum;
}

typedef struct lti_at { double2 a1, gain, f, df_dw, da_dw; double dt; } lti_at; /* a1: a - 1; gain = dt f(w) */
static __device__ __noinline__ lti_at discretise(int64_t disc, double log_dt, double2 A) {
    lti_at m;
    m.dt = exp(log_dt);
    double2 w = scale(m.dt, A), one = pair(1, 0), half = divide(one, pair(1 - w.x / 2, -w.y / 2));
    m.f = one, m.df_dw = pair(0, 0), m.da_dw = one;
    if (disc == LTI_EULER) {
        m.a1 = w;
    } else if (disc == LTI_BILINEAR) {
        m.a1 = mul(w, half), m.f = half, m.da_dw = mul(half, half), m.df_dw = scale(.5, m.da_dw);
    } else {
        m.da_dw = exp_of(w), m.a1 = mul(w, phi(w, false));
        if (disc == LTI_ZOH) m.f = phi(w, false), m.df_dw = phi(w, true);
    }
    m.gain = scale(m.dt, m.f);
    return m;
}
static __device__ double2 A_of(const lti_args &a, int64_t i) { return pair(a.Are[i], a.Aim ? a.Aim[i] : 0); }
static __device__ double2 B_of(const lti_args &a, int64_t i) {
    return pair(a.Bre ? a.Bre[i] : 1, a.Bim ? a.Bim[i] : 0);
}

/* R modes of a lane: a - 1, gain B, and C times 2 if modes stand for pairs. */
template <int R> struct modes { float are[R], aim[R], bre[R], bim[R], cre[R], cim[R]; };
template <int R> __device__ void load_modes(modes<R> &m, const lti_args &a, int64_t d, int64_t n0) {
    float twice = a.Aim ? 2 : 1;
#pragma unroll
    for (int r = 0; r < R; r++) {
        m.are[r] = m.aim[r] = m.bre[r] = m.bim[r] = m.cre[r] = m.cim[r] = 0;
        if (d >= a.D || n0 + r >= a.N) continue;
        int64_t i = d * a.N + n0 + r;
        lti_at x = discretise(a.disc, a.log_dt[d], A_of(a, i));
        double2 b = mul(x.gain, B_of(a, i));
        m.are[r] = (float)x.a1.x, m.aim[r] = (float)x.a1.y, m.bre[r] = (float)b.x, m.bim[r] = (float)b.y;
        m.cre[r] = twice * a.Cre[i], m.cim[r] = a.Cim ? twice * a.Cim[i] : 0.f;
    }
}
template <int R> struct states { float re[R], im[R]; };
template <int R> __device__ __forceinline__ void step(states<R> &h, const modes<R> &m, float u) {
#pragma unroll
    for (int r = 0; r < R; r++) {
        float re = h.re[r], im = h.im[r];
        h.re[r] = re + fmaf(m.are[r], re, fmaf(-m.aim[r], im, m.bre[r] * u));
        h.im[r] = im + fmaf(m.are[r], im, fmaf(m.aim[r], re, m.bim[r] * u));
    }
}
template <int R> __device__ __forceinline__ void clear(states<R> &h) {
#pragma unroll
    for (int r = 0; r < R; r++) h.re[r] = h.im[r] = 0;
}
/* [S][D][N], where absent zeros. */
template <int R>
__device__ void load_pairs(states<R> &h, const lti_args &a, const float *re, const float *im, int64_t s, int64_t d,
                           int64_t n0) {
    clear(h);
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (d >= a.D || n0 + r >= a.N) continue;
        int64_t i = (s * a.D + d) * a.N + n0 + r;
        h.re[r] = re ? re[i] : 0.f, h.im[r] = im && a.Aim ? im[i] : 0.f;
    }
}

/* ---- where a block is ---- */
typedef struct lti_place { int64_t s, tile, d, n0, chunks; int n; } lti_place;
template <int R> __device__ __forceinline__ lti_place place_of(const lti_args &a) {
    lti_place p;
    p.s = blockIdx.x / a.tiles, p.tile = blockIdx.x % a.tiles;
    p.d = p.tile * LANES + threadIdx.x, p.n0 = (int64_t)threadIdx.y * R, p.chunks = (a.L + TILE - 1) / TILE;
    int64_t left = a.D - p.tile * LANES;
    p.n = left < LANES ? (int)left : (int)LANES;
    return p;
}
template <int R> __device__ __forceinline__ float *saved_at(const lti_args &a, const lti_place &p, int64_t chunk) {
    return a.saved + (((p.s * p.chunks + chunk) * a.tiles + p.tile) * 2 * a.N + p.n0) * LANES + threadIdx.x;
}
static __device__ __forceinline__ int rows_at(const lti_args &a, int64_t t0) {
    return a.L - t0 < TILE ? (int)(a.L - t0) : (int)TILE;
}

template <typename T>
__device__ __forceinline__ void fetch(T *to, const slab &x, const lti_args &a, const lti_place &p, int64_t t0) {
    copy_rows<T, TILE>(to, LANES, x, p.s * a.L + t0, p.tile * LANES, rows_at(a, t0), p.n, a.wide,
                       copy_lane_of<T>(LANES));
}

/* ---- forward ---- */
template <typename T> static size_t fwd_bytes(int warps) {
    return 2 * TILE * LANES * sizeof(T) + (2 * TILE + (size_t)warps * LANES * PITCH) * sizeof(float);
}
template <typename T, int R, int WARPS>
__global__ void __launch_bounds__(WARPS *LANES) lti_fwd(const __grid_constant__ lti_args a) {
    extern __shared__ __align__(16) unsigned char base[];
    T *raw = (T *)base;                              /* two tiles of u */
    float *reset = (float *)(raw + 2 * TILE * LANES); /* [2][TILE] */
    float *part = reset + 2 * TILE;                  /* [warp][lane][PITCH]: each warp's share of y */
    const int lane = threadIdx.x, warp = threadIdx.y;
    const lti_place p = place_of<R>(a);
    const float skip = a.skip && lane < p.n ? a.skip[p.d] : 0.f;
    modes<R> m;
    states<R> h;
    load_modes(m, a, p.d, p.n0);
    load_pairs(h, a, a.h0re, a.h0im, p.s, p.d, p.n0);
    fetch<T>(raw, a.u, a, p, 0);
    find_resets<TILE>(reset, a.seq_idx, a.seq_pitch, p.s, a.L, 0, rows_at(a, 0), 1);
    copy_commit();
    copy_wait();
    __syncthreads();
    int slot = 0;
    for (int64_t t0 = 0; t0 < a.L; t0 += TILE, slot ^= 1) {
        int rows = rows_at(a, t0);
        if (t0 + TILE < a.L) {
            fetch<T>(raw + (slot ^ 1) * TILE * LANES, a.u, a, p, t0 + TILE);
            find_resets<TILE>(reset + (slot ^ 1) * TILE, a.seq_idx, a.seq_pitch, p.s, a.L, t0 + TILE,
                              rows_at(a, t0 + TILE), 1);
        }
        copy_commit();
        if (a.saved) {
            float *to = saved_at<R>(a, p, t0 / TILE);
#pragma unroll
            for (int r = 0; r < R; r++)
                if (p.n0 + r < a.N) to[r * LANES] = h.re[r], to[(a.N + r) * LANES] = h.im[r];
        }
        const T *u = raw + slot * TILE * LANES + lane;
        for (int t = 0; t < rows; t++) {
            float y = 0;
            if (reset[slot * TILE + t] != 0) clear(h);
            step(h, m, cu_float(u[t * LANES]));
#pragma unroll
            for (int r = 0; r < R; r++) y = fmaf(m.cre[r], h.re[r], fmaf(-m.cim[r], h.im[r], y));
            part[(warp * LANES + lane) * PITCH + t] = y;
        }
        copy_wait();
        __syncthreads();
        for (int t = warp; t < rows; t += blockDim.y) {
            float y = skip * cu_float(u[t * LANES]);
            for (int w = 0; w < (int)blockDim.y; w++) y += part[(w * LANES + lane) * PITCH + t];
            if (lane < p.n) ((T *)a.y)[(p.s * a.L + t0 + t) * a.D + p.d] = cu_as<T>(y);
        }
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (p.n0 + r >= a.N || lane >= p.n) continue;
        int64_t i = (p.s * a.D + p.d) * a.N + p.n0 + r;
        if (a.hre) a.hre[i] = h.re[r];
        if (a.him) a.him[i] = h.im[r];
    }
}

/* ---- backward ---- */
template <typename T> static size_t bwd_bytes(int warps) {
    return 4 * TILE * LANES * sizeof(T) + (2 * TILE + (size_t)warps * LANES * PITCH) * sizeof(float);
}
template <typename T, int R, int WARPS>
__global__ void __launch_bounds__(WARPS *LANES) lti_bwd(const __grid_constant__ lti_args a) {
    extern __shared__ __align__(16) unsigned char base[];
    T *raw = (T *)base;                              /* two tiles of u, two of dy */
    float *reset = (float *)(raw + 4 * TILE * LANES);
    float *part = reset + 2 * TILE;                  /* each warp's share of du */
    const int lane = threadIdx.x, warp = threadIdx.y;
    const lti_place p = place_of<R>(a);
    const float skip = a.skip && lane < p.n ? a.skip[p.d] : 0.f;
    modes<R> m;
    states<R> g, da, db, dC;
    float dskip = 0;
    load_modes(m, a, p.d, p.n0);
    load_pairs(g, a, a.dhre, a.dhim, p.s, p.d, p.n0);
    clear(da), clear(db), clear(dC);
    int64_t t0 = (a.L - 1) / TILE * TILE;
    auto fetch_tile = [&](int slot, int64_t from) {
        fetch<T>(raw + slot * TILE * LANES, a.u, a, p, from);
        if (a.dy.p) fetch<T>(raw + (2 + slot) * TILE * LANES, a.dy, a, p, from);
        find_resets<TILE>(reset + slot * TILE, a.seq_idx, a.seq_pitch, p.s, a.L, from, rows_at(a, from), 1);
        copy_commit();
    };
    fetch_tile(0, t0);
    copy_wait();
    __syncthreads();
    for (int slot = 0; t0 >= 0; t0 -= TILE, slot ^= 1) {
        int rows = rows_at(a, t0);
        if (t0 > 0) fetch_tile(slot ^ 1, t0 - TILE);
        const T *u = raw + slot * TILE * LANES + lane, *dy = raw + (2 + slot) * TILE * LANES + lane;
        const float *begins = reset + slot * TILE;
        states<R> start[TILE / K];
        clear(start[0]);
        const float *from = saved_at<R>(a, p, t0 / TILE);
#pragma unroll
        for (int r = 0; r < R; r++)
            if (p.n0 + r < a.N) start[0].re[r] = from[r * LANES], start[0].im[r] = from[(a.N + r) * LANES];
        for (int i = 1; i < TILE / K; i++) {
            start[i] = start[i - 1];
            for (int t = (i - 1) * K; t < i * K; t++) { /* rows beyond the end hold zeros */
                if (begins[t] != 0) clear(start[i]);
                step(start[i], m, cu_float(u[t * LANES]));
            }
        }
        for (int i = TILE / K - 1; i >= 0; i--) {
            states<R> before[K];
            before[0] = start[i];
#pragma unroll
            for (int k = 0; k < K; k++) {
                if (begins[i * K + k] != 0) clear(before[k]);
                if (k == K - 1) continue;
                before[k + 1] = before[k];
                step(before[k + 1], m, cu_float(u[(i * K + k) * LANES]));
            }
#pragma unroll
            for (int k = K - 1; k >= 0; k--) {
                int t = i * K + k;
                if (t >= rows) continue;
                float e = a.dy.p ? cu_float(dy[t * LANES]) : 0.f, x = cu_float(u[t * LANES]), du = 0;
                states<R> h = before[k];
                step(h, m, x);
#pragma unroll
                for (int r = 0; r < R; r++) {
                    float hre = before[k].re[r], him = before[k].im[r];
                    dC.re[r] = fmaf(e, h.re[r], dC.re[r]), dC.im[r] = fmaf(-e, h.im[r], dC.im[r]);
                    float re = fmaf(e, m.cre[r], g.re[r]), im = fmaf(-e, m.cim[r], g.im[r]);
                    da.re[r] = fmaf(re, hre, fmaf(im, him, da.re[r]));
                    da.im[r] = fmaf(im, hre, fmaf(-re, him, da.im[r]));
                    db.re[r] = fmaf(re, x, db.re[r]), db.im[r] = fmaf(im, x, db.im[r]);
                    du = fmaf(re, m.bre[r], fmaf(im, m.bim[r], du));
                    g.re[r] = re + fmaf(re, m.are[r], im * m.aim[r]);
                    g.im[r] = im + fmaf(im, m.are[r], -re * m.aim[r]);
                }
                if (begins[t] != 0) clear(g);
                part[(warp * LANES + lane) * PITCH + t] = du;
            }
        }
        copy_wait();
        __syncthreads();
        for (int t = warp; t < rows; t += blockDim.y) {
            float e = a.dy.p ? cu_float(dy[t * LANES]) : 0.f, du = skip * e;
            for (int w = 0; w < (int)blockDim.y; w++) du += part[(w * LANES + lane) * PITCH + t];
            dskip = fmaf(e, cu_float(u[t * LANES]), dskip);
            if (lane < p.n && a.du) cu_give((T *)a.du + (p.s * a.L + t0 + t) * a.du_pitch + p.d, du, a.acc_u);
        }
        __syncthreads();
    }
    part[warp * LANES + lane] = dskip;
    __syncthreads();
    if (warp == 0 && lane < p.n) {
        float sum = 0;
        for (int w = 0; w < (int)blockDim.y; w++) sum += part[w * LANES + lane];
        a.skip_parts[p.s * a.D + p.d] = sum;
    }
    float twice = a.Aim ? 2 : 1;
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (p.n0 + r >= a.N || lane >= p.n) continue;
        int64_t i = p.d * a.N + p.n0 + r, all = a.D * a.N, at = p.s * all + i;
        float *to = a.parts + p.s * N_PARTS * all + i;
        to[P_ARE * all] = da.re[r], to[P_AIM * all] = da.im[r], to[P_BRE * all] = db.re[r], to[P_BIM * all] = db.im[r];
        to[P_CRE * all] = twice * dC.re[r], to[P_CIM * all] = twice * dC.im[r];
        if (a.dh0re) cu_give(a.dh0re + at, g.re[r], a.acc_h0re);
        if (a.dh0im) cu_give(a.dh0im + at, g.im[r], a.acc_h0im);
    }
}

typedef struct lti_params {
    float *log_dt, *Are, *Aim, *Bre, *Bim, *Cre, *Cim, *skip;
    bool acc_log_dt, acc_Are, acc_Aim, acc_Bre, acc_Bim, acc_Cre, acc_Cim, acc_skip;
} lti_params;
static __device__ __forceinline__ void give(float *p, int64_t i, double v, bool add) {
    if (p) p[i] = (float)(add ? p[i] + v : v);
}
/* The sequences' sums, and from discrete time back to the parameters: a warp for a channel. */
static __global__ void __launch_bounds__(LANES) lti_params_bwd(const __grid_constant__ lti_args a, lti_params o) {
    int64_t d = blockIdx.x, all = a.D * a.N;
    double dlog_dt = 0, dskip = 0;
    for (int64_t n = threadIdx.x; n < a.N; n += LANES) {
        int64_t i = d * a.N + n;
        double v[N_PARTS] = {};
        for (int64_t s = 0; s < a.S; s++)
            for (int j = 0; j < N_PARTS; j++) v[j] += a.parts[(s * N_PARTS + j) * all + i];
        double2 A = A_of(a, i), da = pair(v[P_ARE], v[P_AIM]), db = pair(v[P_BRE], v[P_BIM]);
        lti_at m = discretise(a.disc, a.log_dt[d], A);
        double2 dgain = mul(db, conj_of(B_of(a, i))), dB = mul(db, conj_of(m.gain));
        double2 dw = add(mul(da, conj_of(m.da_dw)), scale(m.dt, mul(dgain, conj_of(m.df_dw))));
        dlog_dt += (mul(dgain, conj_of(m.f)).x + mul(dw, conj_of(A)).x) * m.dt;
        give(o.Are, i, m.dt * dw.x, o.acc_Are), give(o.Aim, i, m.dt * dw.y, o.acc_Aim);
        give(o.Bre, i, dB.x, o.acc_Bre), give(o.Bim, i, dB.y, o.acc_Bim);
        give(o.Cre, i, v[P_CRE], o.acc_Cre), give(o.Cim, i, v[P_CIM], o.acc_Cim);
    }
    dlog_dt = cu_warp_sum(dlog_dt);
    if (threadIdx.x) return;
    for (int64_t s = 0; s < a.S; s++) dskip += a.skip_parts[s * a.D + d];
    give(o.log_dt, d, dlog_dt, o.acc_log_dt), give(o.skip, d, dskip, o.acc_skip);
}

/* ---- from the host ---- */
static int64_t tiles_of(const kr_call *c) { return (KR_SIZE(c, 'D') + LANES - 1) / LANES; }

static kr_status lti_scan_plan_cuda(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    if (N > MAX_MODES)
        KR_FAIL(KR_ERR_SHAPE, "lti_scan: N=%lld modes, on CUDA want at most %d", (long long)N, (int)MAX_MODES);
    c->bwd_scratch = (size_t)(S * D * (N_PARTS * N + 1)) * sizeof(float);
    if (c->training)
        c->saved_bytes = (size_t)(S * ((L + TILE - 1) / TILE) * tiles_of(c) * 2 * N * LANES) * sizeof(float);
    return KR_OK;
}

static const float *floats(const kr_call *c, int slot) { return (const float *)c->in[slot].data; }
static lti_args args_of(const kr_call *c) {
    lti_args a = {};
    a.S = KR_SIZE(c, 'S'), a.L = KR_SIZE(c, 'L'), a.D = KR_SIZE(c, 'D'), a.N = KR_SIZE(c, 'N'), a.tiles = tiles_of(c);
    a.disc = ((const lti_scan_attr *)c->attr)->disc;
    a.u = slab_of(&c->in[LTI_U]), a.dy = slab{c->dout[LTI_Y].data, a.D};
    a.log_dt = floats(c, LTI_LOG_DT), a.Are = floats(c, LTI_ARE), a.Aim = floats(c, LTI_AIM);
    a.Bre = floats(c, LTI_BRE), a.Bim = floats(c, LTI_BIM), a.Cre = floats(c, LTI_CRE), a.Cim = floats(c, LTI_CIM);
    a.skip = floats(c, LTI_D);
    a.h0re = floats(c, LTI_H0RE), a.h0im = floats(c, LTI_H0IM);
    a.dhre = (const float *)c->dout[LTI_HRE].data, a.dhim = (const float *)c->dout[LTI_HIM].data;
    a.seq_idx = (const int32_t *)c->in[LTI_SEQ_IDX].data, a.seq_pitch = c->in[LTI_SEQ_IDX].pitch;
    int64_t bytes = (int64_t)kr_dtype_bytes(c->in[LTI_U].dtype);
    a.wide = a.D * bytes % 16 == 0 && is_wide(a.u, bytes) && is_wide(a.dy, bytes);
    a.y = c->out[LTI_Y].data, a.hre = (float *)c->out[LTI_HRE].data, a.him = (float *)c->out[LTI_HIM].data;
    a.du = c->din[LTI_U].data, a.du_pitch = c->din[LTI_U].pitch, a.acc_u = c->acc[LTI_U];
    a.dh0re = (float *)c->din[LTI_H0RE].data, a.acc_h0re = c->acc[LTI_H0RE];
    a.dh0im = (float *)c->din[LTI_H0IM].data, a.acc_h0im = c->acc[LTI_H0IM];
    a.saved = (float *)c->saved;
    return a;
}

template <typename T, int R, int WARPS> static void launch(const lti_args &a, bool backward, void *stream) {
    int warps = (int)((a.N + R - 1) / R);
    dim3 threads(LANES, (unsigned)warps);
    if (backward) cu_launch(lti_bwd<T, R, WARPS>, (unsigned)(a.S * a.tiles), threads, bwd_bytes<T>(warps), stream, a);
    else cu_launch(lti_fwd<T, R, WARPS>, (unsigned)(a.S * a.tiles), threads, fwd_bytes<T>(warps), stream, a);
}
static void launch_any(const kr_call *c, const lti_args &a, bool backward) {
    bool bf = c->in[LTI_U].dtype == KR_BF16, few = a.N <= FEW_R * FEW_WARPS;
    if (bf && few) launch<bf16, FEW_R, FEW_WARPS>(a, backward, c->stream);
    else if (bf) launch<bf16, MANY_R, MANY_WARPS>(a, backward, c->stream);
    else if (few) launch<float, FEW_R, FEW_WARPS>(a, backward, c->stream);
    else launch<float, MANY_R, MANY_WARPS>(a, backward, c->stream);
}

static void lti_scan_fwd_cuda(const kr_call *c) { launch_any(c, args_of(c), false); }

static void lti_scan_bwd_cuda(const kr_call *c) {
    lti_args a = args_of(c);
    a.parts = (float *)c->scratch, a.skip_parts = a.parts + a.S * N_PARTS * a.D * a.N;
    launch_any(c, a, true);
    auto to = [&](int slot) { return (float *)c->din[slot].data; };
    const bool *acc = c->acc;
    lti_params o = {to(LTI_LOG_DT), to(LTI_ARE), to(LTI_AIM), to(LTI_BRE), to(LTI_BIM), to(LTI_CRE), to(LTI_CIM),
                    to(LTI_D), acc[LTI_LOG_DT], acc[LTI_ARE], acc[LTI_AIM], acc[LTI_BRE], acc[LTI_BIM], acc[LTI_CRE],
                    acc[LTI_CIM], acc[LTI_D]};
    cu_launch(lti_params_bwd, (unsigned)a.D, LANES, 0, c->stream, a, o);
}

KR_CUDA_OP(lti_scan, lti_scan_plan_cuda, lti_scan_fwd_cuda, lti_scan_bwd_cuda)
