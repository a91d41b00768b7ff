/* attention.cu - attention on a GPU: any size, any type, and decoding.
 *
 * A block has one query of one head (backward: one key of one group); its warps share the
 * keys it sees, and their running maxima, sums and weighted values are put together in the
 * order of the warps.  A lane has every 32nd number of a head.  What tensor cores take goes
 * to attention_wgmma.cu and attention_tensor.cu. */
#include "ops/attention/attention.cuh"

enum { MAX_WARPS = 16, AT_ONCE = 4 }; /* keys that a warp works on side by side */

/* --- a row of P numbers, spread over a warp -------------------------------------------- */

template <int N, typename T> static __device__ __forceinline__ void get_row(float (&x)[N], const T *p, int P) {
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = lane + 32 * i < P ? cu_float(p[lane + 32 * i]) : 0;
}
template <int N> static __device__ __forceinline__ float dot_row(const float (&a)[N], const float (&b)[N]) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < N; i++) sum += a[i] * b[i];
    return sum;
}

/* --- forward -------------------------------------------------------------------------- */

template <int N> struct running { float max, sum, y[N]; };

/* Keys j, j + warps, ... up to `last`: k_of and v_of give their rows. */
template <int N, typename F> static __device__ __forceinline__ void take_keys(running<N> &r, const float (&q)[N], float scale, int64_t j,
                                                                              int64_t last, int step, const F &row, int P) {
    for (; j <= last; j += AT_ONCE * step) {
        float x[AT_ONCE], v[AT_ONCE][N];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            float k[N];
            bool there = j + i * step <= last;
            get_row<N>(k, row(0, there ? j + i * step : j), P);
            get_row<N>(v[i], row(1, there ? j + i * step : j), P);
            x[i] = dot_row<N>(q, k);
        }
        float max = r.max;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            x[i] = j + i * step <= last ? cu_warp_sum(x[i]) * scale : -INFINITY;
            max = fmaxf(max, x[i]);
        }
        float shrink = expf(r.max - max);
        r.sum *= shrink;
#pragma unroll
        for (int n = 0; n < N; n++) r.y[n] *= shrink;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            float p = expf(x[i] - max);
            r.sum += p;
#pragma unroll
            for (int n = 0; n < N; n++) r.y[n] += p * v[i][n];
        }
        r.max = max;
    }
}

template <typename T, int N> static __global__ void fwd_kernel(attention_work<T> w) {
    extern __shared__ float room[]; /* max, sum, then y of each warp */
    int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x & 31, P = w.P;
    int64_t t = blockIdx.x % w.L, sh = blockIdx.x / w.L, s = sh / w.H;
    int h = (int)(sh % w.H), g = h / w.R;
    attention_span a = w.sees(s, t);
    running<N> r = {-INFINITY, 0, {}};
    float q[N];
    get_row<N>(q, w.q + (s * w.L + t) * w.q_pitch + h * P, P);
    auto old = [&](int value, int64_t j) { return w.cached_row(s, value * w.G + g, j); };
    auto now = [&](int value, int64_t j) { return (value ? w.v + (s * w.L + j) * w.v_pitch : w.k + (s * w.L + j) * w.k_pitch) + g * P; };
    if (a.first < 0) take_keys<N>(r, q, w.scale, a.first + warp, a.last < -1 ? a.last : -1, warps, old, P);
    take_keys<N>(r, q, w.scale, (a.first > 0 ? a.first : 0) + warp, a.last, warps, now, P);
    if (lane == 0) room[warp] = r.max, room[warps + warp] = r.sum;
#pragma unroll
    for (int n = 0; n < N; n++) room[2 * warps + warp * 32 * N + lane + 32 * n] = r.y[n];
    __syncthreads();
    float max = -INFINITY, sum = 0;
    for (int i = 0; i < warps; i++) max = fmaxf(max, room[i]);
    for (int i = 0; i < warps; i++) sum += room[warps + i] * expf(room[i] - max);
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        float y = 0;
        for (int i = 0; i < warps; i++) y += room[2 * warps + i * 32 * N + p] * expf(room[i] - max);
        w.out[((s * w.L + t) * w.H + h) * P + p] = cu_as<T>(y / sum);
    }
    if (w.lse && threadIdx.x == 0) w.lse[sh * w.L + t] = max + logf(sum);
}

/* --- the cache ------------------------------------------------------------------------ */

/* A thread has one number of slots: what is new, what was there, or zero.  in_place: only
 * what is new is written, unless a document began. */
template <typename T> static __global__ void __launch_bounds__(256) cache_kernel(attention_work<T> w, float *cache, bool in_place) {
    int64_t rest = (int64_t)blockIdx.x * 256 + threadIdx.x, all = w.S * 2 * w.G * w.C * w.P;
    if (rest >= all) return;
    int64_t at = rest, p = rest % w.P, slot = (rest /= w.P) % w.C, row = (rest /= w.C) % (2 * w.G), s = rest / (2 * w.G);
    attention_rest r = attention_left(w, s);
    int64_t j = r.from + ((slot - (r.start + r.from)) % w.C + w.C) % w.C;
    int g = (int)(row % w.G);
    if (j < w.L) cache[at] = cu_float(row < w.G ? w.k[(s * w.L + j) * w.k_pitch + g * w.P + p] : w.v[(s * w.L + j) * w.v_pitch + g * w.P + p]);
    else if (r.start < 0 || !w.cache0) cache[at] = 0;
    else if (!in_place) cache[at] = w.cache0[at];
}
/* The same where the rows that are new are few and nothing is to be cleared. */
template <typename T> static __global__ void __launch_bounds__(256) append_kernel(attention_work<T> w, float *cache) {
    int64_t rest = (int64_t)blockIdx.x * 256 + threadIdx.x, n = w.L < w.C ? w.L : w.C, all = w.S * 2 * w.G * n * w.P;
    if (rest >= all) return;
    int64_t p = rest % w.P, i = (rest /= w.P) % n, row = (rest /= n) % (2 * w.G), s = rest / (2 * w.G), j = w.L - n + i;
    int g = (int)(row % w.G);
    cache[((s * 2 * w.G + row) * w.C + (w.before(s) + j) % w.C) * w.P + p] =
        cu_float(row < w.G ? w.k[(s * w.L + j) * w.k_pitch + g * w.P + p] : w.v[(s * w.L + j) * w.v_pitch + g * w.P + p]);
}
template <typename T> static __global__ void count_kernel(attention_work<T> w, int32_t *n) {
    int64_t s = blockIdx.x * (int64_t)256 + threadIdx.x;
    if (s < w.S) n[s] = (int32_t)attention_left(w, s).n;
}

template <typename T> static void keep(const kr_call *c, const attention_work<T> &w) {
    float *cache = (float *)c->out[ATTENTION_CACHE].data;
    int32_t *n = (int32_t *)c->out[ATTENTION_N].data;
    bool in_place = cache && cache == w.cache0;
    int64_t width = (int64_t)w.S * 2 * w.G * w.P, fresh = w.L < w.C ? w.L : w.C;
    if (in_place && !w.first) cu_launch(append_kernel<T>, cu_blocks(width * fresh, 256), 256, 0, c->stream, w, cache);
    else if (cache) cu_launch(cache_kernel<T>, cu_blocks(width * w.C, 256), 256, 0, c->stream, w, cache, in_place);
    if (n) cu_launch(count_kernel<T>, cu_blocks(w.S, 256), 256, 0, c->stream, w, n);
}

/* --- backward ------------------------------------------------------------------------- */

template <typename T, int N> static __global__ void __launch_bounds__(256) dots_kernel(attention_work<T> w) {
    int64_t e = blockIdx.x * (int64_t)8 + threadIdx.x / 32; /* s, t, h */
    float y[N], dy[N];
    if (e >= w.S * w.L * w.H) return;
    get_row<N>(y, w.y + e * w.P, w.P), get_row<N>(dy, w.dy + e * w.P, w.P);
    float sum = cu_warp_sum(dot_row<N>(y, dy));
    int64_t h = e % w.H, st = e / w.H;
    if ((threadIdx.x & 31) == 0) w.dots[(st / w.L * w.H + h) * w.L + st % w.L] = sum;
}

/* Sum over the warps of x, in their order, to the first; room: warps * 32 N floats. */
template <int N> static __device__ __forceinline__ void sum_warps(float (&x)[N], float *room) {
    int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++) room[warp * 32 * N + lane + 32 * n] = x[n];
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++) {
        x[n] = 0;
        for (int i = 0; i < warps; i++) x[n] += room[i * 32 * N + lane + 32 * n];
    }
}
template <int N, typename T> static __device__ __forceinline__ void give_row(T *p, const float (&x)[N], bool add, int P) {
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int n = 0; n < N; n++)
        if (threadIdx.x < 32 && lane + 32 * n < P) cu_give(p + lane + 32 * n, x[n], add);
}

/* dq of one query: the sum of ds k over the keys it sees. */
template <typename T, int N> static __global__ void dq_kernel(attention_work<T> w) {
    extern __shared__ float room[];
    int warps = blockDim.x / 32, warp = threadIdx.x / 32, P = w.P;
    int64_t t = blockIdx.x % w.L, sh = blockIdx.x / w.L, s = sh / w.H;
    int h = (int)(sh % w.H), g = h / w.R;
    attention_span a = w.sees(s, t);
    float q[N], dy[N], dq[N] = {}, k[N], v[N], lse = w.lse[sh * w.L + t], mean = w.dots[sh * w.L + t];
    get_row<N>(q, w.q + (s * w.L + t) * w.q_pitch + h * P, P);
    if (w.dy) get_row<N>(dy, w.dy + ((s * w.L + t) * w.H + h) * P, P);
    for (int64_t j = a.first + warp; w.dy && j <= a.last; j += warps) {
        if (j < 0) get_row<N>(k, w.cached_row(s, g, j), P), get_row<N>(v, w.cached_row(s, w.G + g, j), P);
        else get_row<N>(k, w.k + (s * w.L + j) * w.k_pitch + g * P, P), get_row<N>(v, w.v + (s * w.L + j) * w.v_pitch + g * P, P);
        float p = expf(w.scale * cu_warp_sum(dot_row<N>(q, k)) - lse), ds = w.scale * p * (cu_warp_sum(dot_row<N>(dy, v)) - mean);
#pragma unroll
        for (int n = 0; n < N; n++) dq[n] += ds * k[n];
    }
    sum_warps<N>(dq, room);
    give_row<N>(w.dq + (s * w.L + t) * w.dq_pitch + h * P, dq, w.add_q, P);
}

/* dk and dv of one key: sums over the heads of its group and the queries that see it. */
template <typename T, int N> static __global__ void dkv_kernel(attention_work<T> w) {
    extern __shared__ float room[];
    int warps = blockDim.x / 32, warp = threadIdx.x / 32, P = w.P;
    int64_t j = blockIdx.x % w.L, sg = blockIdx.x / w.L, s = sg / w.G;
    int g = (int)(sg % w.G);
    float q[N], dy[N], dk[N] = {}, dv[N] = {}, k[N], v[N];
    get_row<N>(k, w.k + (s * w.L + j) * w.k_pitch + g * P, P);
    get_row<N>(v, w.v + (s * w.L + j) * w.v_pitch + g * P, P);
    for (int h = g * w.R; w.dy && h < (g + 1) * w.R; h++)
        for (int64_t t = (w.causal ? j : 0) + warp; t < w.L; t += warps) {
            attention_span a = w.sees(s, t);
            if (a.first > j && a.first > 0 && t >= j) break; /* so do all later ones */
            if (a.first > j || a.last < j) continue;
            get_row<N>(q, w.q + (s * w.L + t) * w.q_pitch + h * P, P);
            get_row<N>(dy, w.dy + ((s * w.L + t) * w.H + h) * P, P);
            int64_t at = (s * w.H + h) * w.L + t;
            float p = expf(w.scale * cu_warp_sum(dot_row<N>(q, k)) - w.lse[at]);
            float ds = w.scale * p * (cu_warp_sum(dot_row<N>(dy, v)) - w.dots[at]);
#pragma unroll
            for (int n = 0; n < N; n++) dk[n] += ds * q[n], dv[n] += p * dy[n];
        }
    sum_warps<N>(dk, room);
    sum_warps<N>(dv, room);
    attention_rest r = attention_left(w, s);
    if (w.dcache && j >= r.from) {
        int64_t slot = (r.start + j) % w.C;
        get_row<N>(q, w.dcache + ((s * 2 * w.G + g) * w.C + slot) * P, P);
        get_row<N>(dy, w.dcache + ((s * 2 * w.G + w.G + g) * w.C + slot) * P, P);
#pragma unroll
        for (int n = 0; n < N; n++) dk[n] += q[n], dv[n] += dy[n];
    }
    if (w.dk) give_row<N>(w.dk + (s * w.L + j) * w.dk_pitch + g * P, dk, w.add_k, P);
    if (w.dv) give_row<N>(w.dv + (s * w.L + j) * w.dv_pitch + g * P, dv, w.add_v, P);
}

/* --- calls ---------------------------------------------------------------------------- */

/* Scratch: first and last of documents, then y . dy or the table with it. */
static size_t documents_bytes(const kr_call *c) {
    return c->in[ATTENTION_SEQ_IDX].n_dims ? (size_t)(2 * KR_SIZE(c, 'S') * KR_SIZE(c, 'L') + 63) / 64 * 64 * sizeof(int32_t) : 0;
}

template <typename T> static attention_work<T> work_of(const kr_call *c) {
    attention_dims d = attention_dims_of(c);
    const kr_tensor *in = c->in, *din = c->din, *ids = &in[ATTENTION_SEQ_IDX];
    attention_work<T> w = {};
    w.q = (const T *)in[ATTENTION_Q].data, w.k = (const T *)in[ATTENTION_K].data, w.v = (const T *)in[ATTENTION_V].data;
    w.out = (T *)c->out[ATTENTION_Y].data, w.y = w.out, w.dy = (const T *)c->dout[ATTENTION_Y].data;
    w.dq = (T *)din[ATTENTION_Q].data, w.dk = (T *)din[ATTENTION_K].data, w.dv = (T *)din[ATTENTION_V].data;
    w.q_pitch = in[ATTENTION_Q].pitch, w.k_pitch = in[ATTENTION_K].pitch, w.v_pitch = in[ATTENTION_V].pitch;
    w.dq_pitch = din[ATTENTION_Q].pitch, w.dk_pitch = din[ATTENTION_K].pitch, w.dv_pitch = din[ATTENTION_V].pitch;
    w.cache0 = (const float *)in[ATTENTION_CACHE0].data, w.dcache = (const float *)c->dout[ATTENTION_CACHE].data;
    w.n0 = (const int32_t *)in[ATTENTION_N0].data;
    w.lse = (float *)c->saved, w.dots = (float *)((char *)c->scratch + documents_bytes(c));
    w.table = (float2 *)w.dots;
    w.L = d.L, w.C = d.C, w.reach = d.reach;
    w.S = (int)d.S, w.H = (int)d.H, w.G = (int)d.G, w.R = (int)d.R, w.P = (int)d.P;
    w.scale = (float)d.scale, w.causal = d.causal, w.cached = d.cached;
    w.add_q = c->acc[ATTENTION_Q], w.add_k = c->acc[ATTENTION_K], w.add_v = c->acc[ATTENTION_V];
    if (ids->data) {
        int32_t *first = (int32_t *)c->scratch;
        w.first = first, w.last = first + d.S * d.L;
        cu_launch(documents_kernel, (unsigned)d.S, DOCUMENTS_THREADS, 0, c->stream, (const int32_t *)ids->data, ids->pitch, d.L, first, first + d.S * d.L);
    }
    return w;
}

/* Warps for a row of scores: many where rows are few. */
static unsigned warps_for(int64_t L) { return L <= 4 ? MAX_WARPS : 4; }

template <typename T, int N> static void run_fwd(const kr_call *c, const attention_work<T> &w) {
    unsigned warps = warps_for(w.L);
    cu_launch(fwd_kernel<T, N>, cu_blocks((int64_t)w.S * w.H * w.L, 1), warps * 32, warps * (2 + 32 * N) * sizeof(float), c->stream, w);
}
template <typename T, int N> static void run_bwd(const kr_call *c, const attention_work<T> &w) {
    unsigned warps = warps_for(w.L);
    size_t room = warps * 32 * N * sizeof(float);
    if (w.dq) cu_launch(dq_kernel<T, N>, cu_blocks((int64_t)w.S * w.H * w.L, 1), warps * 32, room, c->stream, w);
    if (w.dk || w.dv) cu_launch(dkv_kernel<T, N>, cu_blocks((int64_t)w.S * w.G * w.L, 1), warps * 32, room, c->stream, w);
}
template <typename T, int N> static void run_dots(const kr_call *c, const attention_work<T> &w) {
    cu_launch(dots_kernel<T, N>, cu_blocks((int64_t)w.S * w.H * w.L, 8), 256, 0, c->stream, w);
}

#define BY_WIDTH(call, T, P)              \
    ((P) <= 32 ? call<T, 1>(c, w) : (P) <= 64 ? call<T, 2>(c, w) : (P) <= 128 ? call<T, 4>(c, w) : call<T, 8>(c, w))

static bool on_tensor_cores(const kr_call *c, const attention_work<bf16> &w, bool backward) {
    if (attention_wgmma_takes(c)) (backward ? attention_wgmma_bwd : attention_wgmma_fwd)(c, w);
    else if (attention_tensor_takes(c, backward)) (backward ? attention_tensor_bwd : attention_tensor_fwd)(c, w);
    else return false;
    return true;
}
static bool on_tensor_cores(const kr_call *, const attention_work<float> &, bool) { return false; }

template <typename T> static void fwd(const kr_call *c) {
    attention_work<T> w = work_of<T>(c);
    if (!on_tensor_cores(c, w, false)) BY_WIDTH(run_fwd, T, w.P);
    keep(c, w);
}
template <typename T> static void bwd(const kr_call *c) {
    attention_work<T> w = work_of<T>(c);
    if (w.dy && on_tensor_cores(c, w, true)) return;
    if (w.dy) BY_WIDTH(run_dots, T, w.P);
    BY_WIDTH(run_bwd, T, w.P);
}

static kr_status attention_plan_cuda(kr_call *c) {
    attention_dims d = attention_dims_of(c);
    if (d.P > 256) KR_FAIL(KR_ERR_SHAPE, "attention: on a GPU P is at most 256, not %lld", (long long)d.P);
    if (d.S * d.H * d.L > INT32_MAX) KR_FAIL(KR_ERR_SHAPE, "attention: on a GPU S H L is less than 2^31");
    c->fwd_scratch = documents_bytes(c);
    c->bwd_scratch = documents_bytes(c) + (size_t)(d.S * d.H * attention_padded(d.L)) * sizeof(float2);
    if (c->training) c->saved_bytes = (size_t)(d.S * d.H * d.L) * sizeof(float);
    return KR_OK;
}
static void attention_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void attention_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(attention, attention_plan_cuda, attention_fwd_cuda, attention_bwd_cuda)
