/* selective_scan.cu - the forward of selective_scan on CUDA: prompts in tiles, and one step. */
#include "ops/low_state.cuh"
#include "ops/selective_scan/selective_scan.cuh"

/* ---- the scan ---- */
/* Shared memory of a forward block: raw rows of two tiles, then floats. */
template <typename T, int TILE> struct fwd_shared {
    T *u, *dt, *z, *B, *C;          /* of slot 0; slot 1 is `raw` elements on */
    float *step, *x, *reset;        /* dt and dt u by [lane][PITCH]; [TILE] */
    float *Bf, *Cf;                 /* [TILE][width], if T is not float */
    float *part;                    /* [warp][lane][PITCH]: each warp's share of y */
    int *ring;                      /* with ORDER */
};

template <typename T, int TILE> __host__ __device__ int fwd_raw(int width) { return TILE * (3 * LANES + 2 * width); }
template <typename T, int TILE> size_t fwd_bytes(int warps, int width, bool order) {
    size_t floats = (2 + (size_t)warps) * LANES * pitch<TILE>::value + TILE + (order ? RING * TILE : 0);
    if (sizeof(T) < 4) floats += 2 * TILE * (size_t)width;
    return 2 * (size_t)fwd_raw<T, TILE>(width) * sizeof(T) + floats * sizeof(float);
}
template <typename T, int TILE> __device__ __forceinline__ fwd_shared<T, TILE> fwd_layout(void *base, int width) {
    fwd_shared<T, TILE> m;
    m.u = (T *)base, m.dt = m.u + TILE * LANES, m.z = m.dt + TILE * LANES, m.B = m.z + TILE * LANES;
    m.C = m.B + TILE * width;
    m.step = (float *)(m.u + 2 * fwd_raw<T, TILE>(width)), m.x = m.step + LANES * pitch<TILE>::value;
    m.reset = m.x + LANES * pitch<TILE>::value;
    m.Bf = m.reset + TILE, m.Cf = m.Bf + (sizeof(T) < 4 ? TILE * width : 0);
    m.part = m.Cf + (sizeof(T) < 4 ? TILE * width : 0);
    m.ring = (int *)(m.part + blockDim.y * LANES * pitch<TILE>::value);
    return m;
}

/* Deals out the copies of a tile: where rows are aligned, all is one 16-byte copy or few for a thread. */
template <typename T, int TILE, int JOBS, bool ENDS, bool ORDER>
__device__ __forceinline__ void fwd_deal(copy_job (&jobs)[JOBS], const scan_args &a, const scan_place &p, int width) {
    int64_t row = p.s * a.L + (ORDER ? 0 : p.t0), bc = p.group * a.N, next = ORDER ? 1 : TILE;
    int dealt = 0, one = TILE * LANES;
#pragma unroll
    for (int j = 0; j < JOBS; j++) jobs[j].to = NO_JOB;
    deal<T, TILE>(jobs, dealt, a.u, row, p.d0, LANES, p.n, next, 0);
    deal<T, TILE>(jobs, dealt, a.dt, row, p.d0, LANES, p.n, next, one);
    if (!ENDS) deal<T, TILE>(jobs, dealt, a.z, row, p.d0, LANES, p.n, next, 2 * one);
    deal<T, TILE>(jobs, dealt, a.B, row, bc, width, (int)a.N, next, 3 * one);
    if (!ENDS) deal<T, TILE>(jobs, dealt, a.C, row, bc, width, (int)a.N, next, 3 * one + TILE * width);
    if (ORDER) to_first_row(jobs);
}
template <typename T, int TILE, int JOBS, bool ENDS, bool ORDER>
__device__ __forceinline__ void fwd_fetch(copy_job (&jobs)[JOBS], const scan_args &a, const scan_place &p,
                                          const fwd_shared<T, TILE> &m, int slot, int64_t t0, int width) {
    int rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE, off = slot * fwd_raw<T, TILE>(width);
    const int *at = ring_at<TILE>(m.ring, t0);
    if (ORDER) copy_order<TILE>(m.ring, a, t0 + TILE, p.t1);
    if (a.wide) {
        if (ORDER) copy_jobs_at(jobs, m.u + off, rows, at);
        else copy_jobs(jobs, m.u + off, rows);
    } else if (ORDER) {
        int64_t row = p.s * a.L, bc = p.group * a.N;
        copy_lane any = {0, 0, 1};
        copy_rows_at<T, TILE>(m.u + off, LANES, a.u, row, at, p.d0, rows, p.n, false, any);
        copy_rows_at<T, TILE>(m.dt + off, LANES, a.dt, row, at, p.d0, rows, p.n, false, any);
        if (a.z.p && !ENDS) copy_rows_at<T, TILE>(m.z + off, LANES, a.z, row, at, p.d0, rows, p.n, false, any);
        copy_rows_at<T, TILE>(m.B + off, width, a.B, row, at, bc, rows, (int)a.N, false, any);
        if (!ENDS) copy_rows_at<T, TILE>(m.C + off, width, a.C, row, at, bc, rows, (int)a.N, false, any);
    } else {
        int64_t row = p.s * a.L + t0, bc = p.group * a.N;
        copy_lane any = {0, 0, 1};
        copy_rows<T, TILE>(m.u + off, LANES, a.u, row, p.d0, rows, p.n, false, any);
        copy_rows<T, TILE>(m.dt + off, LANES, a.dt, row, p.d0, rows, p.n, false, any);
        if (a.z.p && !ENDS) copy_rows<T, TILE>(m.z + off, LANES, a.z, row, p.d0, rows, p.n, false, any);
        copy_rows<T, TILE>(m.B + off, width, a.B, row, bc, rows, (int)a.N, false, any);
        if (!ENDS) copy_rows<T, TILE>(m.C + off, width, a.C, row, bc, rows, (int)a.N, false, any);
    }
    copy_commit();
}

/* n elements of T as floats, by pairs; n is even. */
template <typename T> __device__ __forceinline__ void widen_pairs(float *to, const T *from, int n) {
    if constexpr (sizeof(T) == 2)
        for (int i = 2 * (threadIdx.y * LANES + threadIdx.x); i < n; i += 2 * blockDim.y * LANES) {
            const unsigned pair = *(const unsigned *)(from + i);
            *(float2 *)(to + i) = make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
        }
}

/* Raw rows to what the states' loop reads: dt after softplus, dt u, resets, B and C.  The upper half
 * of the warps comes first, for the lower half has fwd_finish to do. */
template <typename T, int R, int TILE, bool ENDS>
__device__ __forceinline__ void fwd_prepare(const scan_args &a, const scan_place &p, const fwd_shared<T, TILE> &m,
                                            int slot, int64_t t0, int width, float bias) {
    enum { PITCH = pitch<TILE>::value };
    int lane = threadIdx.x, rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE, off = slot * fwd_raw<T, TILE>(width);
    int turn = threadIdx.y + blockDim.y / 2;
    if (turn >= (int)blockDim.y) turn -= blockDim.y;
    for (int t = 4 * turn; t < TILE; t += 4 * blockDim.y) {
        const T *dt = m.dt + off + t * LANES + lane, *u = m.u + off + t * LANES + lane;
        float step[4], x[4];
#pragma unroll
        for (int k = 0; k < 4; k++) step[k] = cu_float(dt[k * LANES]) + bias, x[k] = cu_float(u[k * LANES]);
        steps_of(step, a.softplus, t, rows);
#pragma unroll
        for (int k = 0; k < 4; k++) x[k] *= step[k];
        four(m.step + lane * PITCH + t) = make_float4(step[0], step[1], step[2], step[3]);
        four(m.x + lane * PITCH + t) = make_float4(x[0], x[1], x[2], x[3]);
    }
    find_resets<TILE>(m.reset, a.seq_idx, a.seq_pitch, p.s, a.L, t0, rows, RESET);
    if (sizeof(T) < 4) {
        widen_pairs(m.Bf, m.B + off, TILE * width);
        if (!ENDS) widen_pairs(m.Cf, m.C + off, TILE * width);
    }
}

/* y of a tile: the warps' shares, the skip, the gate. */
template <typename T, int TILE, bool ORDER>
__device__ __forceinline__ void fwd_finish(const scan_args &a, const scan_place &p, const fwd_shared<T, TILE> &m,
                                           int slot, int64_t t0, int width, float skip) {
    enum { PITCH = pitch<TILE>::value };
    int lane = threadIdx.x, rows = p.t1 - t0 < TILE ? (int)(p.t1 - t0) : TILE, off = slot * fwd_raw<T, TILE>(width);
    if (lane >= p.n) rows = 0;
    for (int t = 4 * threadIdx.y; t < TILE; t += 4 * blockDim.y) {
        const T *u = m.u + off + t * LANES + lane, *z = m.z + off + t * LANES + lane;
        const float *part = m.part + lane * PITCH + t;
        float y[4];
#pragma unroll
        for (int k = 0; k < 4; k++) y[k] = skip * cu_float(u[k * LANES]);
#pragma unroll 4
        for (int w = 0; w < (int)blockDim.y; w++) {
            float4 v = *(const float4 *)(part + w * LANES * PITCH);
            y[0] += v.x, y[1] += v.y, y[2] += v.z, y[3] += v.w;
        }
        if (a.z.p) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float g = cu_float(z[k * LANES]);
                y[k] *= g * sigmoid(g);
            }
        }
        if (ORDER) {
            const int *at = ring_at<TILE>(m.ring, t0) + t;
            T *to = (T *)a.y + p.s * a.L * a.D + p.d0 + lane;
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (t + k < rows) to[at[k] * a.D] = cu_as<T>(y[k]);
            continue;
        }
        T *to = (T *)a.y + (p.s * a.L + t0 + t) * a.D + p.d0 + lane;
        if (t + 4 <= rows) { /* nearly always: no branch between the stores */
#pragma unroll
            for (int k = 0; k < 4; k++, to += a.D) *to = cu_as<T>(y[k]);
            continue;
        }
#pragma unroll
        for (int k = 0; k < 4; k++, to += a.D)
            if (t + k < rows) *to = cu_as<T>(y[k]);
    }
}

/* ENDS: no y, only what segments leave if they begin with zeros (ends, at the segment after) and how
 * much of what they begin with (decays). */
template <typename T, int R, int TILE, int WARPS, int JOBS, bool ENDS, bool ORDER>
__global__ void __launch_bounds__(WARPS *LANES, R == 2 ? 3 : WARPS == 8 ? 2 : 1)
    scan_fwd(const __grid_constant__ scan_args a) {
    extern __shared__ __align__(16) unsigned char base[];
    enum { PITCH = pitch<TILE>::value, EVERY = WARPS * R <= MANY_BWD ? 16 : 8 };
    const int lane = threadIdx.x, warp = threadIdx.y, width = width_of<R, WARPS>(blockDim.y);
    const scan_place p = place_of(a);
    const fwd_shared<T, TILE> m = fwd_layout<T, TILE>(base, width);
    const bool mine = lane < p.n;
    const int64_t d = p.d0 + lane, n0 = (int64_t)warp * R, n_saved = (a.L + EVERY - 1) / EVERY;
    const float bias = mine && a.bias ? a.bias[d] : 0.f, skip = mine && a.skip ? a.skip[d] : 0.f;
    float A[R], h[R], steps = 0, resets = 0; /* A log2 e: exponents are of 2 */
    copy_job jobs[JOBS];
#pragma unroll
    for (int r = 0; r < R; r++) {
        bool real = mine && n0 + r < a.N;
        A[r] = real ? LOG2_E * a.A[d * a.N + n0 + r] : 0.f, h[r] = 0;
        if (ENDS || !real) continue;
        if (a.n_segs > 1) h[r] = a.ends[state_at(a, p, p.seg, a.n_segs) + (n0 + r) * LANES];
        else if (a.h0) h[r] = a.h0[(p.s * a.D + d) * a.N + n0 + r];
    }
    float *saved = ENDS || !a.saved ? NULL : a.saved + state_at(a, p, p.t0 / EVERY, n_saved) + n0 * LANES;
    const int64_t saved_step = a.G * a.group_tiles * a.N * LANES;

    if (ORDER) first_order<TILE>(m.ring, a, p, p.t0);
    if (a.wide) fwd_deal<T, TILE, JOBS, ENDS, ORDER>(jobs, a, p, width);
    fwd_fetch<T, TILE, JOBS, ENDS, ORDER>(jobs, a, p, m, 0, p.t0, width);
    copy_wait();
    __syncthreads();
    fwd_prepare<T, R, TILE, ENDS>(a, p, m, 0, p.t0, width, bias);
    __syncthreads();
    int slot = 0;
    for (int64_t t0 = p.t0; t0 < p.t1; t0 += TILE, slot ^= 1) {
        if (t0 + TILE < p.t1) fwd_fetch<T, TILE, JOBS, ENDS, ORDER>(jobs, a, p, m, slot ^ 1, t0 + TILE, width);
        const float *B = sizeof(T) < 4 ? m.Bf : (const float *)(m.B + slot * fwd_raw<T, TILE>(width));
        const float *C = sizeof(T) < 4 ? m.Cf : (const float *)(m.C + slot * fwd_raw<T, TILE>(width));
        B += warp * R, C += warp * R;
#pragma unroll(R == 2 ? TILE / 4 : 2)
        for (int t = 0; t < TILE; t += 4) {
            if (!ENDS && t % EVERY == 0 && saved && t0 + t < p.t1) {
#pragma unroll
                for (int r = 0; r < R; r++)
                    if (n0 + r < a.N) saved[r * LANES] = h[r];
                saved += saved_step;
            }
            float4 step = four(m.step + lane * PITCH + t), x = four(m.x + lane * PITCH + t), reset = four(m.reset + t);
            float y[4];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float b[R], c[R];
                load_states<R>(b, B + (t + k) * width);
                if (!ENDS) load_states<R>(c, C + (t + k) * width);
                y[k] = 0;
#pragma unroll
                for (int r = 0; r < R; r++) {
                    h[r] = fmaf(ex2(fmaf(at(step, k), A[r], at(reset, k))), h[r], at(x, k) * b[r]);
                    if (!ENDS) y[k] = fmaf(c[r], h[r], y[k]);
                }
                if (ENDS) steps += at(step, k), resets += at(reset, k);
            }
            if (!ENDS) four(m.part + (warp * LANES + lane) * PITCH + t) = make_float4(y[0], y[1], y[2], y[3]);
        }
        copy_wait();
        __syncthreads();
        if (!ENDS) fwd_finish<T, TILE, ORDER>(a, p, m, slot, t0, width, skip);
        if (t0 + TILE < p.t1) fwd_prepare<T, R, TILE, ENDS>(a, p, m, slot ^ 1, t0 + TILE, width, bias);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (n0 + r >= a.N) continue;
        if (ENDS && p.seg + 1 < a.n_segs) {
            int64_t to = state_at(a, p, p.seg + 1, a.n_segs) + (n0 + r) * LANES;
            a.ends[to] = h[r], a.decays[to] = ex2(fmaf(steps, A[r], resets));
        }
        if (!ENDS && a.h1 && mine && p.seg == a.n_segs - 1) a.h1[(p.s * a.D + d) * a.N + n0 + r] = h[r];
    }
}

/* From what segments leave to what they begin with: a thread for a state. */
static __global__ void __launch_bounds__(256) join_segments(const __grid_constant__ scan_args a) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, all = a.G * a.group_tiles * a.N * LANES;
    if (i >= a.S * all) return;
    int64_t s = i / all, tile = i % all / (a.N * LANES), n = i % (a.N * LANES) / LANES, lane = i % LANES;
    int64_t c = tile % a.group_tiles * LANES + lane, d = tile / a.group_tiles * a.per_group + c;
    float h = a.h0 && c < a.per_group ? a.h0[(s * a.D + d) * a.N + n] : 0.f;
    for (int64_t seg = 0; seg < a.n_segs; seg++) {
        int64_t at = (s * a.n_segs + seg) * all + i % all;
        if (seg > 0) h = fmaf(a.decays[at], h, a.ends[at]);
        a.ends[at] = h;
    }
}

/* ---- one step ---- */
/* V states at a time, of a channel in 2^shift threads: what costs is to read and write h.  A block is
 * of one sequence, `blocks` of them a sequence. */
template <typename T, int V>
__global__ void __launch_bounds__(256) scan_step(const __grid_constant__ scan_args a, int shift, unsigned blocks) {
    int lanes = 1 << shift, lane = threadIdx.x & (lanes - 1), n_channels = (int)a.D;
    int d = (int)(blockIdx.x % blocks) * (256 >> shift) + (int)(threadIdx.x >> shift), N = (int)a.N;
    bool real = d < n_channels;
    if (!real) d = 0; /* stays for the shuffles */
    int64_t s = blockIdx.x / blocks, row = s * a.D + d;
    int bc = a.G == 1 ? 0 : d / (int)a.per_group * N;
    const T *B = (const T *)a.B.p + s * a.B.pitch + bc, *C = (const T *)a.C.p + s * a.C.pitch + bc;
    const float *A_of = a.A + (int64_t)d * N, *from = a.h0 ? a.h0 + row * N : NULL;
    float *to = a.h1 ? a.h1 + row * N : NULL;
    float u = cu_float(((const T *)a.u.p)[s * a.u.pitch + d]);
    float step = cu_float(((const T *)a.dt.p)[s * a.dt.pitch + d]) + (a.bias ? a.bias[d] : 0.f), y = 0;
    float z = a.z.p ? cu_float(((const T *)a.z.p)[s * a.z.pitch + d]) : 0.f;
    if (a.softplus) step = softplus(step);
    float x = step * u;
    step *= LOG2_E;
    for (int n = lane * V; n < N && real; n += lanes * V) {
        float A[V], b[V], c[V], h[V] = {};
        cu_load<V>(A, A_of + n);
        cu_load<V>(b, B + n);
        cu_load<V>(c, C + n);
        if (from) cu_load<V>(h, from + n);
#pragma unroll
        for (int v = 0; v < V; v++) {
            h[v] = fmaf(ex2(step * A[v]), h[v], x * b[v]);
            y = fmaf(c[v], h[v], y);
        }
        if (to) cu_store<V>(to + n, h);
    }
    for (int k = lanes / 2; k > 0; k /= 2) y += __shfl_xor_sync(~0u, y, k);
    if (lane || !real) return;
    if (a.skip) y = fmaf(a.skip[d], u, y);
    if (a.z.p) y *= z * sigmoid(z);
    ((T *)a.y)[row] = cu_as<T>(y);
}

/* ---- from the host ---- */
scan_args scan_args_of(const kr_call *c, int64_t n_segs) {
    scan_args a = {};
    a.S = KR_SIZE(c, 'S'), a.L = KR_SIZE(c, 'L'), a.D = KR_SIZE(c, 'D'), a.G = KR_SIZE(c, 'G'), a.N = KR_SIZE(c, 'N');
    a.per_group = a.D / a.G, a.group_tiles = (a.per_group + LANES - 1) / LANES;
    int64_t tile = 32; /* the longest of any kernel */
    a.seg = ((a.L + n_segs - 1) / n_segs + tile - 1) / tile * tile;
    a.n_segs = (a.L + a.seg - 1) / a.seg;
    a.u = slab_of(&c->in[SCAN_U]), a.dt = slab_of(&c->in[SCAN_DT]), a.z = slab_of(&c->in[SCAN_Z]);
    a.B = slab_of(&c->in[SCAN_B]), a.C = slab_of(&c->in[SCAN_C]);
    a.dy = slab{c->dout[SCAN_Y].data, a.D};
    a.A = (const float *)c->in[SCAN_A].data, a.skip = (const float *)c->in[SCAN_D].data;
    a.bias = (const float *)c->in[SCAN_DT_BIAS].data, a.h0 = (const float *)c->in[SCAN_H0].data;
    a.seq_idx = (const int32_t *)c->in[SCAN_SEQ_IDX].data, a.seq_pitch = c->in[SCAN_SEQ_IDX].pitch;
    a.order = (const int32_t *)c->in[SCAN_ORDER].data;
    a.softplus = ((const selective_scan_attr *)c->attr)->dt_softplus != 0;
    int64_t bytes = (int64_t)kr_dtype_bytes(c->in[SCAN_U].dtype), per = 16 / bytes;
    a.wide = a.per_group % per == 0 && is_wide(a.u, bytes) && is_wide(a.dt, bytes) && is_wide(a.z, bytes) &&
             is_wide(a.dy, bytes) && a.N % per == 0 && is_wide(a.B, bytes) && is_wide(a.C, bytes);
    a.saved = (float *)c->saved;
    a.y = c->out[SCAN_Y].data, a.h1 = (float *)c->out[SCAN_H].data;
    return a;
}

/* Segments cost a second pass over time, so only where most of the device would stand idle. */
int64_t scan_segments(int64_t blocks, int64_t L) {
    if (blocks > 96 || L < 512) return 1;
    int64_t n = 264 / blocks;
    if (n > L / 128) n = L / 128;
    return n < SCAN_MAX_SEGS ? n : (int64_t)SCAN_MAX_SEGS;
}

static int64_t blocks_of(const kr_call *c) {
    int64_t G = KR_SIZE(c, 'G'), per_group = KR_SIZE(c, 'D') / G;
    return KR_SIZE(c, 'S') * G * ((per_group + LANES - 1) / LANES);
}

static kr_status selective_scan_plan_cuda(kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), N = KR_SIZE(c, 'N'), blocks = blocks_of(c), every = scan_every(N);
    int64_t segs = scan_segments(blocks, L);
    c->fwd_scratch = segs > 1 ? (size_t)(2 * segs * blocks * N * LANES) * sizeof(float) : 0;
    c->fwd_scratch += low_state_bytes(c, SCAN_H0);
    c->bwd_scratch = selective_scan_bwd_bytes(c);
    c->saved_bytes = c->training ? (size_t)(blocks * ((L + every - 1) / every) * N * LANES) * sizeof(float) : 0;
    return KR_OK;
}

template <typename T, int R, int TILE, int WARPS, bool ENDS> static void launch_fwd(const scan_args &a, void *stream) {
    int warps = (int)((a.N + R - 1) / R), width = width_of<R, WARPS>(warps);
    /* 16-byte pieces of a tile that a thread copies, with the fewest warps that come here */
    enum { PER = 16 / sizeof(T), FEWEST = R == 2 ? 8 : WARPS == 8 ? 4 : 9 };
    enum { JOBS = (TILE * (3 * LANES / FEWEST + 2 * R) / PER + 31) / 32 };
    scan_args b = a;
    if (width * (int)sizeof(T) % 16 || warps < FEWEST) b.wide = false;
    size_t bytes = fwd_bytes<T, TILE>(warps, width, a.order);
    dim3 blocks((unsigned)(a.S * a.n_segs * a.G * a.group_tiles)), threads(LANES, (unsigned)warps);
    auto kernel = a.order ? scan_fwd<T, R, TILE, WARPS, JOBS, ENDS, true> : scan_fwd<T, R, TILE, WARPS, JOBS, ENDS, false>;
    cu_launch(kernel, blocks, threads, bytes, stream, b);
}
template <typename T, bool ENDS> static void pick_fwd(const scan_args &a, void *stream) {
    if (a.N <= 16) launch_fwd<T, 2, sizeof(T) == 2 ? 32 : 16, 8, ENDS>(a, stream);
    else if (a.N <= 64) launch_fwd<T, 8, 16, 8, ENDS>(a, stream);
    else launch_fwd<T, 8, 16, 32, ENDS>(a, stream);
}

template <typename T> static void launch_step(const scan_args &a, void *stream) {
    bool by_4 = a.N % 4 == 0 && ((uintptr_t)a.A | (uintptr_t)a.h0 | (uintptr_t)a.h1) % 16 == 0 &&
                cu_aligned(a.B.p, a.B.pitch, sizeof(T), 4 * sizeof(T)) &&
                cu_aligned(a.C.p, a.C.pitch, sizeof(T), 4 * sizeof(T));
    int shift = 0;
    while (shift < 5 && 1 << shift < a.N / (by_4 ? 4 : 1)) shift++;
    unsigned blocks = cu_blocks(a.D, 256 >> shift); /* of a sequence */
    cu_launch(by_4 ? scan_step<T, 4> : scan_step<T, 1>, (unsigned)a.S * blocks, 256, 0, stream, a, shift, blocks);
}

template <typename T> static void forward(const kr_call *c) {
    void *stream = c->stream;
    scan_args a = scan_args_of(c, scan_segments(blocks_of(c), KR_SIZE(c, 'L')));
    if (a.L == 1 && !a.saved) {
        launch_step<T>(a, stream);
        return;
    }
    if (a.n_segs > 1) {
        a.ends = (float *)c->scratch, a.decays = a.ends + a.n_segs * blocks_of(c) * a.N * LANES;
        pick_fwd<T, true>(a, stream);
        cu_launch(join_segments, cu_blocks(blocks_of(c) * a.N * LANES, 256), 256, 0, stream, a);
    }
    if (!scan_fwd_16(a, sizeof(T) == 2, stream)) pick_fwd<T, false>(a, stream);
}

static void selective_scan_fwd_cuda(const kr_call *c) {
    const kr_call wide = low_state_begin(c, SCAN_H0, SCAN_H);
    if (c->in[SCAN_U].dtype == KR_BF16) forward<bf16>(&wide);
    else forward<float>(&wide);
    low_state_end(c, &wide, SCAN_H);
}

KR_CUDA_OP(selective_scan, selective_scan_plan_cuda, selective_scan_fwd_cuda, selective_scan_bwd_cuda)
