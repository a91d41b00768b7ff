/* conv1d.cu - conv1d on a GPU.
 *
 * A thread walks CHUNK steps of 4 channels with the last inputs in registers, so that each
 * element is loaded once but for the J before a chunk (and, backward, the J after it).  A
 * block is 32 threads along the channels by 8 chunks. */
#include "ops/conv1d/conv1d.h"

#include "ops/rows.cuh"

enum {
    V = 4,                         /* channels of a thread */
    FWD_STEPS = 32, BWD_STEPS = 64, /* of a chunk */
    CHUNKS = 8,                    /* of a block at a time */
    GROUPS = 128,                  /* blocks along the chunks in backward, at most: shares of dw and db */
    AHEAD = 8                      /* steps whose loads are under way at once */
};

template <typename T> struct conv_args {
    int64_t S, L, per_sequence, n_chunks;
    int D, K, J;
    unsigned across;               /* blocks along the channels */
    bool silu, add_dx, add_dx0;
    const T *x, *dy;
    const float *w, *b, *x0, *dx1;
    const int32_t *ids;
    T *y, *dx;
    float *x1, *dx0, *part;        /* part[group][K + 1][D]: dw, then db; NULL: unwanted */
    int64_t x_pitch, dx_pitch, x0_pitch, dx0_pitch, id_pitch;
};

/* The J inputs before step t, newest first: past[j] is step t - 1 - j, zero if it belongs to
 * another run than step t - 1.  Returns how many do belong. */
template <typename T, int KMAX, bool FAST>
static __device__ __forceinline__ int load_past(const conv_args<T> &a, int64_t s, int64_t t, int d, float (&past)[KMAX - 1][V]) {
    const int32_t *id = a.ids ? a.ids + s * a.L * a.id_pitch : NULL;
    bool open = true;
    int n = 0;
#pragma unroll
    for (int j = 0; j < KMAX - 1; j++) {
        int64_t p = t - 1 - j;
        if (id && j > 0 && p >= 0 && id[p * a.id_pitch] != id[(p + 1) * a.id_pitch]) open = false;
        bool use = open && j < a.J;
        n += use;
        lanes<T, V> x = get<V, FAST>(a.x + (s * a.L + p) * a.x_pitch + d, use && p >= 0 ? a.D - d : 0);
        lanes<float, V> x0 = get<V, FAST>(a.x0 + (s * a.J + a.J + p) * (int64_t)a.D + d, use && p < 0 && a.x0 ? a.D - d : 0);
#pragma unroll
        for (int i = 0; i < V; i++) past[j][i] = p >= 0 ? x[i] : x0[i];
    }
    return n;
}

/* w[tap][channel] with tap 0 for the newest input, and the bias. */
template <typename T, int KMAX, bool FAST>
static __device__ __forceinline__ void load_taps(const conv_args<T> &a, int d, float (&w)[KMAX][V], float (&b)[V]) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        bool there = d + i < a.D;
        b[i] = a.b && there ? a.b[d + i] : 0;
        if (KMAX == 4 && FAST) { /* one 16-byte load */
            lanes<float, 4> row = get<4, true>(a.w + (int64_t)(d + i) * 4, there);
#pragma unroll
            for (int j = 0; j < 4; j++) w[j < KMAX ? j : 0][i] = row.v[3 - j];
        } else {
#pragma unroll
            for (int j = 0; j < KMAX; j++) w[j][i] = there && j < a.K ? a.w[(int64_t)(d + i) * a.K + a.K - 1 - j] : 0;
        }
    }
}

template <int KMAX> static __device__ __forceinline__ void shift(float (&past)[KMAX - 1][V], const float (&now)[V]) {
#pragma unroll
    for (int j = KMAX - 2; j > 0; j--)
#pragma unroll
        for (int i = 0; i < V; i++) past[j][i] = past[j - 1][i];
#pragma unroll
    for (int i = 0; i < V; i++) past[0][i] = now[i];
}
template <int KMAX> static __device__ __forceinline__ void forget(float (&past)[KMAX - 1][V]) {
#pragma unroll
    for (int j = 0; j < KMAX - 1; j++)
#pragma unroll
        for (int i = 0; i < V; i++) past[j][i] = 0;
}
/* Taps past K have weight zero, and inputs that no tap of ours reaches are kept zero. */
template <int KMAX>
static __device__ __forceinline__ float before_silu(const float (&w)[KMAX][V], const float (&b)[V], const float (&past)[KMAX - 1][V],
                                                    float x, int i) {
    float v = b[i];
#pragma unroll
    for (int j = KMAX - 1; j > 0; j--) v += w[j][i] * past[j - 1][i];
    return v + w[0][i] * x;
}

template <typename T, int KMAX, bool FAST>
static __device__ __forceinline__ void give_x1(const conv_args<T> &a, int64_t s, int d, const float (&past)[KMAX - 1][V]) {
#pragma unroll
    for (int j = KMAX - 2; j >= 0; j--)
        if (j < a.J) put<V, FAST>(a.x1 + (s * a.J + a.J - 1 - j) * (int64_t)a.D + d, past[j], false, a.D - d);
}

template <typename T, int KMAX, bool FAST> static __global__ void
__launch_bounds__(32 * CHUNKS, KMAX > 4 ? 1 : 3) conv_fwd_kernel(const conv_args<T> a) {
    int64_t chunk = blockIdx.x / a.across * (int64_t)CHUNKS + threadIdx.y;
    int d = (int)(blockIdx.x % a.across * 32 + threadIdx.x) * V;
    if (chunk >= a.n_chunks || d >= a.D) return;
    int64_t s = chunk / a.per_sequence, t = chunk % a.per_sequence * FWD_STEPS, end = t + FWD_STEPS < a.L ? t + FWD_STEPS : a.L;
    const T *x_row = a.x + (s * a.L + t) * a.x_pitch + d;
    T *y_row = a.y + (s * a.L + t) * (int64_t)a.D + d;
    const int32_t *id = a.ids ? a.ids + (s * a.L + t) * a.id_pitch : NULL;
    float w[KMAX][V], b[V], past[KMAX - 1][V];
    load_past<T, KMAX, FAST>(a, s, t, d, past);
    load_taps<T, KMAX, FAST>(a, d, w, b);
    while (t < end) {
        lanes<T, V> x[AHEAD];
#pragma unroll
        for (int u = 0; u < AHEAD; u++) x[u] = get<V, FAST>(x_row + u * a.x_pitch, t + u < end ? a.D - d : 0);
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            if (t + u >= end) break;
            if (id && t + u > 0 && id[u * a.id_pitch] != id[(u - 1) * a.id_pitch]) forget<KMAX>(past);
            float y[V], now[V];
#pragma unroll
            for (int i = 0; i < V; i++) {
                now[i] = x[u][i];
                float v = before_silu<KMAX>(w, b, past, now[i], i);
                y[i] = a.silu ? v * fast_sigmoid(v) : v;
            }
            put<V, FAST>(y_row + u * (int64_t)a.D, y, false, a.D - d);
            shift<KMAX>(past, now);
            if (KMAX > 4) /* keep what lies beyond the taps at zero */
#pragma unroll
                for (int j = 0; j < KMAX - 1; j++)
#pragma unroll
                    for (int i = 0; i < V; i++) past[j][i] = j < a.J ? past[j][i] : 0;
        }
        t += AHEAD, x_row += AHEAD * a.x_pitch, y_row += AHEAD * (int64_t)a.D;
        if (id) id += AHEAD * a.id_pitch;
    }
    if (a.x1 && a.per_sequence == 1) give_x1<T, KMAX, FAST>(a, s, d, past);
}

/* x1 where a sequence is several threads' work: it may lie where x0 does, which the first of
 * them reads.  So it comes after them all. */
template <typename T, int KMAX, bool FAST> static __global__ void conv_x1_kernel(const conv_args<T> a) {
    int64_t s = blockIdx.y * (int64_t)CHUNKS + threadIdx.y;
    int d = (int)(blockIdx.x * 32 + threadIdx.x) * V;
    if (s >= a.S || d >= a.D) return;
    float past[KMAX - 1][V];
    load_past<T, KMAX, FAST>(a, s, a.L, d, past);
    give_x1<T, KMAX, FAST>(a, s, d, past);
}

/* dx of step p (of x0 when p < 0), which also has what x1 hands back. */
template <typename T, bool FAST>
static __device__ __forceinline__ void give_dx(const conv_args<T> &a, int64_t s, int64_t p, int d, float (&v)[V]) {
    if (a.dx1 && p >= a.L - a.J) {
        bool open = true;
        for (int64_t t = p > 0 ? p : 0; a.ids && t + 1 < a.L; t++)
            open = open && a.ids[(s * a.L + t) * a.id_pitch] == a.ids[(s * a.L + t + 1) * a.id_pitch];
        lanes<float, V> g = get<V, FAST>(a.dx1 + (s * a.J + p - (a.L - a.J)) * (int64_t)a.D + d, open ? a.D - d : 0);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] += g.v[i];
    }
    if (p >= 0 && a.dx) put<V, FAST>(a.dx + (s * a.L + p) * a.dx_pitch + d, v, a.add_dx, a.D - d);
    if (p < 0 && a.dx0) put<V, FAST>(a.dx0 + (s * a.J + a.J + p) * (int64_t)a.D + d, v, a.add_dx0, a.D - d);
}

/* One chunk: g of its steps and of the J after it gives dx of its steps.  due[j] is what dx
 * of step t - j has so far. */
template <typename T, int KMAX, bool FAST>
static __device__ __forceinline__ void chunk_bwd(const conv_args<T> &a, int64_t chunk, int d, const float (&w)[KMAX][V],
                                                 const float (&b)[V], float (&dw)[KMAX][V], float (&db)[V]) {
    constexpr int N = 4;
    int64_t s = chunk / a.per_sequence, first = chunk % a.per_sequence * BWD_STEPS, t = first;
    int64_t own = t + BWD_STEPS < a.L ? t + BWD_STEPS : a.L, end = own + a.J < a.L ? own + a.J : a.L;
    const T *x_row = a.x + (s * a.L + t) * a.x_pitch + d, *dy_row = a.dy + (s * a.L + t) * (int64_t)a.D + d;
    const int32_t *id = a.ids ? a.ids + s * a.L * a.id_pitch : NULL;
    float past[KMAX - 1][V], due[KMAX][V] = {};
    int reach = load_past<T, KMAX, FAST>(a, s, t, d, past);
    for (bool stop = false; t < end && !stop;) {
        lanes<T, V> x[N], dy[N];
#pragma unroll
        for (int u = 0; u < N; u++) {
            x[u] = get<V, FAST>(x_row + u * a.x_pitch, t + u < end ? a.D - d : 0);
            dy[u] = get<V, FAST>(dy_row + u * (int64_t)a.D, t + u < end && a.dy ? a.D - d : 0);
        }
        x_row += N * a.x_pitch, dy_row += N * (int64_t)a.D;
#pragma unroll
        for (int u = 0; u < N; u++) {
            if (t >= end || stop) break;
            if (id && t > 0 && id[t * a.id_pitch] != id[(t - 1) * a.id_pitch]) {
                if (t >= own) { /* nothing of ours reaches further */
                    stop = true;
                    break;
                }
                forget<KMAX>(past);
                reach = 0;
            }
            float now[V], out[V] = {};
#pragma unroll
            for (int i = 0; i < V; i++) {
                now[i] = x[u][i];
                float g = dy[u][i];
                if (a.silu) {
                    float v = before_silu<KMAX>(w, b, past, now[i], i), p = fast_sigmoid(v);
                    g *= p + v * p * (1 - p);
                }
                float mine = t < own ? g : 0;
                db[i] += mine;
                dw[0][i] += mine * now[i];
                due[0][i] = g * w[0][i];
#pragma unroll
                for (int j = 1; j < KMAX; j++) {
                    dw[j][i] += mine * past[j - 1][i];
                    if (j <= reach) due[j][i] += g * w[j][i];
                }
#pragma unroll
                for (int j = 1; j < KMAX; j++)
                    if (j == a.J) out[i] = due[j][i];
#pragma unroll
                for (int j = KMAX - 1; j > 0; j--) due[j][i] = due[j - 1][i];
            }
            int64_t p = t - a.J;
            if (p >= first || first == 0) give_dx<T, FAST>(a, s, p, d, out);
            shift<KMAX>(past, now);
            if (KMAX > 4)
#pragma unroll
                for (int j = 0; j < KMAX - 1; j++)
#pragma unroll
                    for (int i = 0; i < V; i++) past[j][i] = j < a.J ? past[j][i] : 0;
            reach = reach < a.J ? reach + 1 : a.J;
            t++;
        }
    }
#pragma unroll
    for (int j = KMAX - 1; j > 0; j--) { /* due has moved on: due[j] is step t - j */
        int64_t p = t - j;
        if (j <= a.J && p < own && (p >= first || first == 0)) give_dx<T, FAST>(a, s, p, d, due[j]);
    }
}

template <typename T, int KMAX, bool FAST>
static __global__ void __launch_bounds__(32 * CHUNKS, KMAX > 4 ? 1 : 2) conv_bwd_kernel(const conv_args<T> a) {
    __shared__ float share[CHUNKS][KMAX == 4 ? KMAX + 1 : 1][32 * V];
    int d = (int)(blockIdx.x * 32 + threadIdx.x) * V;
    float w[KMAX][V], b[V], dw[KMAX][V] = {}, db[V] = {};
    load_taps<T, KMAX, FAST>(a, d, w, b);
    for (int64_t chunk = blockIdx.y * (int64_t)CHUNKS + threadIdx.y; chunk < a.n_chunks; chunk += gridDim.y * (int64_t)CHUNKS)
        if (d < a.D) chunk_bwd<T, KMAX, FAST>(a, chunk, d, w, b, dw, db);
    if (!a.part) return;
    constexpr int AT_ONCE = KMAX == 4 ? KMAX + 1 : 1; /* rows of part that fit in share */
#pragma unroll
    for (int k0 = 0; k0 < KMAX + 1; k0 += AT_ONCE) {
        __syncthreads();
#pragma unroll
        for (int k = k0; k < k0 + AT_ONCE; k++)
#pragma unroll
            for (int i = 0; i < V; i++) share[threadIdx.y][k - k0][threadIdx.x * V + i] = k < KMAX ? dw[k < KMAX ? k : 0][i] : db[i];
        __syncthreads();
        for (int e = (int)(threadIdx.y * 32 + threadIdx.x); e < AT_ONCE * 32 * V; e += 32 * CHUNKS) {
            int k = k0 + e / (32 * V), col = (int)blockIdx.x * 32 * V + e % (32 * V), row = k < KMAX ? k : a.K;
            if (col >= a.D || (k < KMAX && k >= a.K)) continue;
            float sum = 0;
            for (int n = 0; n < CHUNKS; n++) sum += share[n][k - k0][e % (32 * V)];
            a.part[(blockIdx.y * (int64_t)(a.K + 1) + row) * a.D + col] = sum;
        }
    }
}

/* dw[d][K-1-tap] and db[d] from the groups' shares. */
static __global__ void __launch_bounds__(1024) conv_sum_kernel(float *dw, bool add_dw, float *db, bool add_db, const float *part,
                                                               int64_t n_groups, int K, int64_t D) {
    int64_t i;
    float sum;
    if (!part_sum(part, n_groups, (K + 1) * D, (K + 1) * D, &i, &sum)) return;
    int64_t tap = i / D, d = i % D;
    if (tap < K && dw) cu_give(dw + d * K + K - 1 - tap, sum, add_dw);
    if (tap == K && db) cu_give(db + d, sum, add_db);
}

static int64_t chunks_of(const kr_call *c, int64_t steps) { return KR_SIZE(c, 'S') * ((KR_SIZE(c, 'L') + steps - 1) / steps); }
static int64_t groups_of(const kr_call *c) {
    int64_t n = (chunks_of(c, BWD_STEPS) + CHUNKS - 1) / CHUNKS, most = GROUPS;
    return n < most ? n : most;
}

static kr_status conv1d_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(groups_of(c) * (KR_SIZE(c, 'K') + 1) * KR_SIZE(c, 'D')) * sizeof(float);
    return KR_OK;
}

template <typename T, int KMAX, bool FAST> static void launch(const kr_call *c, conv_args<T> &a, bool back) {
    dim3 block(32, CHUNKS);
    a.across = cu_blocks(a.D, 32 * V);
    if (!back) {
        a.per_sequence = (a.L + FWD_STEPS - 1) / FWD_STEPS, a.n_chunks = a.S * a.per_sequence;
        cu_launch(conv_fwd_kernel<T, KMAX, FAST>, a.across * cu_blocks(a.n_chunks, CHUNKS), block, 0, c->stream, a);
        if (a.x1 && a.per_sequence > 1)
            cu_launch(conv_x1_kernel<T, KMAX, FAST>, dim3(a.across, cu_blocks(a.S, CHUNKS)), block, 0, c->stream, a);
        return;
    }
    a.per_sequence = (a.L + BWD_STEPS - 1) / BWD_STEPS, a.n_chunks = a.S * a.per_sequence;
    cu_launch(conv_bwd_kernel<T, KMAX, FAST>, dim3(a.across, (unsigned)groups_of(c)), block, 0, c->stream, a);
    if (a.part)
        cu_launch(conv_sum_kernel, cu_blocks((int64_t)(a.K + 1) * a.D, 32), dim3(32, 32), 0, c->stream, (float *)c->din[CONV1D_W].data,
                  c->acc[CONV1D_W], (float *)c->din[CONV1D_B].data, c->acc[CONV1D_B], a.part, groups_of(c), a.K, (int64_t)a.D);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[CONV1D_X], *dx = &c->din[CONV1D_X], *ids = &c->in[CONV1D_SEQ_IDX];
    conv_args<T> a = {};
    a.S = KR_SIZE(c, 'S'), a.L = KR_SIZE(c, 'L');
    a.D = (int)KR_SIZE(c, 'D'), a.K = (int)KR_SIZE(c, 'K'), a.J = a.K - 1;
    a.silu = ((const conv1d_attr *)c->attr)->silu;
    a.x = (const T *)x->data, a.x_pitch = x->pitch;
    a.w = (const float *)c->in[CONV1D_W].data, a.b = (const float *)c->in[CONV1D_B].data;
    a.x0 = (const float *)c->in[CONV1D_X0].data;
    a.ids = (const int32_t *)ids->data, a.id_pitch = ids->pitch;
    if (!back) {
        a.y = (T *)c->out[CONV1D_Y].data, a.x1 = (float *)c->out[CONV1D_X1].data;
    } else {
        a.dy = (const T *)c->dout[CONV1D_Y].data, a.dx1 = (const float *)c->dout[CONV1D_X1].data;
        a.dx = (T *)dx->data, a.dx_pitch = dx->pitch, a.add_dx = c->acc[CONV1D_X];
        a.dx0 = (float *)c->din[CONV1D_X0].data, a.add_dx0 = c->acc[CONV1D_X0];
        a.part = c->din[CONV1D_W].data || c->din[CONV1D_B].data ? (float *)c->scratch : NULL;
    }
    bool fast = a.D % V == 0 && rows_aligned(a.x, a.x_pitch, sizeof(T), V) && rows_aligned(a.dx, a.dx_pitch, sizeof(T), V) &&
                rows_aligned(a.y, a.D, sizeof(T), V) && rows_aligned(a.dy, a.D, sizeof(T), V) && rows_aligned(a.w, 0, 4, 4) &&
                rows_aligned(a.x0, 0, 4, V) && rows_aligned(a.x1, 0, 4, V) && rows_aligned(a.dx0, 0, 4, V) &&
                rows_aligned(a.dx1, 0, 4, V);
    if (a.K == 4 && fast) launch<T, 4, true>(c, a, back);
    else if (a.K == 4) launch<T, 4, false>(c, a, back);
    else launch<T, CONV1D_MAX_K, false>(c, a, back);
}

static void conv1d_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void conv1d_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(conv1d, conv1d_plan_cuda, conv1d_fwd_cuda, conv1d_bwd_cuda)
