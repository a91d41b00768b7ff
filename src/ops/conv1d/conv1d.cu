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
    AHEAD = 8,                     /* steps that are fetched before they are needed */
    TURN = 4                       /* steps whose code stands side by side, so that nothing moves */
};

template <typename T> struct conv_args {
    int64_t S, L, per_sequence, n_chunks;
    int D, K, J;
    unsigned across;               /* blocks along the channels */
    bool add_dx, add_dx0;
    float rate, gain;              /* of the gate: SiLU's, or those that make it 1 */
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

/* gain / (1 + 2^(rate v)): the sigmoid, or 1.  Without a branch, so that channels run abreast. */
template <typename T> static __device__ __forceinline__ float gate(const conv_args<T> &a, float v) {
    float e, s;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(v * a.rate));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(1.0f + e));
    return s * a.gain;
}

template <typename T, int KMAX, bool FAST>
static __device__ __forceinline__ void give_x1(const conv_args<T> &a, int64_t s, int d, const float (&past)[KMAX - 1][V]) {
#pragma unroll
    for (int j = KMAX - 2; j >= 0; j--)
        if (j < a.J) put<V, FAST>(a.x1 + (s * a.J + a.J - 1 - j) * (int64_t)a.D + d, past[j], false, a.D - d);
}

/* Keeps what lies beyond the taps at zero. */
template <typename T, int KMAX> static __device__ __forceinline__ void trim(const conv_args<T> &a, float (&past)[KMAX - 1][V]) {
#pragma unroll
    for (int j = 0; j < KMAX - 1; j++)
#pragma unroll
        for (int i = 0; i < V; i++) past[j][i] = KMAX == 4 || j < a.J ? past[j][i] : 0; /* K is 4 where KMAX is */
}

template <typename T, int KMAX, bool FAST>
static __global__ void __launch_bounds__(32 * CHUNKS, KMAX > 4 ? 1 : 3) conv_fwd_kernel(const conv_args<T> a) {
    __shared__ lanes<T, V> ring[AHEAD][32 * CHUNKS];
    int64_t chunk = blockIdx.x / a.across * (int64_t)CHUNKS + threadIdx.y;
    int d = (int)(blockIdx.x % a.across * 32 + threadIdx.x) * V, me = (int)(threadIdx.y * 32 + threadIdx.x), left = a.D - d;
    if (chunk >= a.n_chunks || d >= a.D) return;
    int64_t s = chunk / a.per_sequence, t0 = chunk % a.per_sequence * FWD_STEPS;
    int n = (int)(t0 + FWD_STEPS < a.L ? FWD_STEPS : a.L - t0);
    const T *x = a.x + (s * a.L + t0) * a.x_pitch + d;
    T *y = a.y + (s * a.L + t0) * (int64_t)a.D + d;
    const int32_t *id = a.ids ? a.ids + (s * a.L + t0) * a.id_pitch : NULL;
    float w[KMAX][V], b[V], past[KMAX - 1][V];
    const T *next = x;
    for (int u = 0; FAST && u < AHEAD; u++, next += a.x_pitch) {
        if (u < n) fetch<V>(&ring[u][me], next);
        fetch_commit();
    }
    load_past<T, KMAX, FAST>(a, s, t0, d, past);
    load_taps<T, KMAX, FAST>(a, d, w, b);
#pragma unroll 1
    for (int k0 = 0; k0 < n; k0 += TURN)
#pragma unroll
        for (int u = 0; u < TURN; u++) {
            int k = k0 + u;
            if (k >= n) break;
            if (id && t0 + k > 0 && id[k * a.id_pitch] != id[(k - 1) * a.id_pitch]) forget<KMAX>(past);
            if (FAST) fetch_wait<AHEAD - 1>();
            lanes<T, V> *slot = &ring[(unsigned)k % AHEAD][me], now = FAST ? *slot : get<V, FAST>(x + k * a.x_pitch, left);
            float y_now[V], x_now[V];
#pragma unroll
            for (int i = 0; i < V; i++) {
                x_now[i] = now[i];
                float v = before_silu<KMAX>(w, b, past, x_now[i], i);
                y_now[i] = v * gate(a, v);
            }
            if (FAST) {
                if (k + AHEAD < n) fetch<V>(slot, next);
                fetch_commit();
                next += a.x_pitch;
            }
            put<V, FAST>(y, y_now, false, left);
            y += a.D;
            shift<KMAX>(past, x_now);
            trim<T, KMAX>(a, past);
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

/* dx of step p (of x0 when p < 0); one of the last J steps also has what x1 hands back. */
template <typename T, bool FAST>
static __device__ __forceinline__ void give_last_dx(const conv_args<T> &a, int64_t s, int64_t p, int d, float (&v)[V]) {
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

/* One step: its g, what that adds to dx of this step and of those before it (due[j], for step
 * t - j), and if the step is the chunk's OWN to dw and db.  Then time moves on, and `out` is
 * what is due no more. */
template <typename T, int KMAX, bool OWN>
static __device__ __forceinline__ void step_bwd(const conv_args<T> &a, const lanes<T, V> &x, const lanes<T, V> &dy, int reach,
                                                const float (&w)[KMAX][V], const float (&b)[V], float (&past)[KMAX - 1][V],
                                                float (&due)[KMAX][V], float (&dw)[KMAX][V], float (&db)[V], float (&out)[V]) {
    float now[V];
#pragma unroll
    for (int i = 0; i < V; i++) {
        now[i] = x[i];
        float v = before_silu<KMAX>(w, b, past, now[i], i), p = gate(a, v), g = dy[i] * (p + v * p * (1 - p));
        if (OWN) db[i] += g, dw[0][i] += g * now[i];
        due[0][i] = g * w[0][i];
#pragma unroll
        for (int j = 1; j < KMAX; j++) {
            if (OWN) dw[j][i] += g * past[j - 1][i];
            if (j <= reach) due[j][i] += g * w[j][i];
        }
        out[i] = due[KMAX - 1][i];
        if (KMAX > 4)
#pragma unroll
            for (int j = 1; j < KMAX; j++) out[i] = j == a.J ? due[j][i] : out[i];
#pragma unroll
        for (int j = KMAX - 1; j > 0; j--) due[j][i] = due[j - 1][i];
    }
    shift<KMAX>(past, now);
    trim<T, KMAX>(a, past);
}

/* One chunk: g of its steps and of the J after it gives dx of its steps.  SEQ: there are
 * several sequences in a row. */
template <typename T, int KMAX, bool FAST, bool SEQ>
static __device__ __forceinline__ void chunk_bwd(const conv_args<T> &a, int64_t chunk, int d, const float (&w)[KMAX][V], const float (&b)[V],
                                                 float (&dw)[KMAX][V], float (&db)[V], lanes<T, V> (*ring)[2][32 * CHUNKS], int me) {
    int64_t s = chunk / a.per_sequence, t0 = chunk % a.per_sequence * BWD_STEPS;
    int own = (int)(t0 + BWD_STEPS < a.L ? BWD_STEPS : a.L - t0), n = (int)(t0 + own + a.J < a.L ? own + a.J : a.L - t0), k = 0;
    int left = a.D - d;
    T *dx = a.dx + (s * a.L + t0) * a.dx_pitch + d;
    const T *x = a.x + (s * a.L + t0) * a.x_pitch + d, *dy = a.dy + (s * a.L + t0) * (int64_t)a.D + d, *next_x = x, *next_dy = dy;
    const int32_t *id = SEQ && a.ids ? a.ids + (s * a.L + t0) * a.id_pitch : NULL;
    float past[KMAX - 1][V], due[KMAX][V] = {}, out[V];
    for (int u = 0; FAST && u < AHEAD; u++, next_x += a.x_pitch, next_dy += a.D) {
        if (u < n) fetch<V>(&ring[u][0][me], next_x);
        if (u < n) fetch<V>(&ring[u][1][me], next_dy);
        fetch_commit();
    }
    int reach = load_past<T, KMAX, FAST>(a, s, t0, d, past);
    if (!SEQ) reach = KMAX;
#pragma unroll 1
    while (k < own)
#pragma unroll
        for (int u = 0; u < TURN; u++) {
            if (k >= own) break;
            if (SEQ && id && t0 + k > 0 && id[k * a.id_pitch] != id[(k - 1) * a.id_pitch]) {
                forget<KMAX>(past);
                reach = 0;
            }
            if (FAST) fetch_wait<AHEAD - 1>();
            lanes<T, V> *slot = ring[(unsigned)k % AHEAD][0] + me;
            lanes<T, V> x_now = FAST ? *slot : get<V, FAST>(x + k * a.x_pitch, left);
            lanes<T, V> dy_now = FAST ? slot[32 * CHUNKS] : get<V, FAST>(dy + k * (int64_t)a.D, a.dy ? left : 0);
            step_bwd<T, KMAX, true>(a, x_now, dy_now, reach, w, b, past, due, dw, db, out);
            if (FAST) {
                if (k + AHEAD < n) {
                    fetch<V>(slot, next_x);
                    fetch<V>(slot + 32 * CHUNKS, next_dy);
                }
                fetch_commit();
                next_x += a.x_pitch, next_dy += a.D;
            }
            if (k >= a.J && a.dx) {
                put<V, FAST>(dx, out, a.add_dx, left);
                dx += a.dx_pitch;
            }
            if (SEQ) reach = reach < a.J ? reach + 1 : a.J;
            k++;
        }
    if (FAST) fetch_wait<0>();
#pragma unroll 1
    for (; k < n; k++) { /* of the next chunk: only what reaches back into this one */
        if (SEQ && id && id[k * a.id_pitch] != id[(k - 1) * a.id_pitch]) break;
        lanes<T, V> *slot = ring[(unsigned)k % AHEAD][0] + me;
        lanes<T, V> x_now = FAST ? *slot : get<V, FAST>(x + k * a.x_pitch, left);
        lanes<T, V> dy_now = FAST ? slot[32 * CHUNKS] : get<V, FAST>(dy + k * (int64_t)a.D, a.dy ? left : 0);
        step_bwd<T, KMAX, false>(a, x_now, dy_now, reach, w, b, past, due, dw, db, out);
        if (k >= a.J && a.dx) {
            put<V, FAST>(dx, out, a.add_dx, left);
            dx += a.dx_pitch;
        }
        if (SEQ) reach = reach < a.J ? reach + 1 : a.J;
    }
#pragma unroll
    for (int j = KMAX - 1; j > 0; j--) { /* due has moved on: due[j] is step k - j */
        int p = k - j;
        if (j <= a.J && p < own && p >= 0) give_last_dx<T, FAST>(a, s, t0 + p, d, due[j]);
    }
}

/* dx0: what the first J steps reach back for. */
template <typename T, int KMAX, bool FAST> static __global__ void conv_dx0_kernel(const conv_args<T> a) {
    int64_t s = blockIdx.y * (int64_t)CHUNKS + threadIdx.y;
    int d = (int)(blockIdx.x * 32 + threadIdx.x) * V, k = 0, left = a.D - d;
    if (s >= a.S || d >= a.D) return;
    const int32_t *id = a.ids ? a.ids + s * a.L * a.id_pitch : NULL;
    float w[KMAX][V], b[V], past[KMAX - 1][V], due[KMAX][V] = {}, out[V];
    int reach = load_past<T, KMAX, FAST>(a, s, 0, d, past);
    load_taps<T, KMAX, FAST>(a, d, w, b);
    for (; k < a.J && k < a.L; k++) {
        if (id && k > 0 && id[k * a.id_pitch] != id[(k - 1) * a.id_pitch]) break;
        lanes<T, V> x = get<V, FAST>(a.x + (s * a.L + k) * a.x_pitch + d, left);
        lanes<T, V> dy = get<V, FAST>(a.dy + (s * a.L + k) * (int64_t)a.D + d, a.dy ? left : 0);
        step_bwd<T, KMAX, false>(a, x, dy, reach, w, b, past, due, due, b, out);
        give_last_dx<T, FAST>(a, s, k - a.J, d, out);
    }
#pragma unroll
    for (int j = KMAX - 1; j > 0; j--)
        if (j <= a.J && k - j < 0) give_last_dx<T, FAST>(a, s, k - j, d, due[j]);
}

template <typename T, int KMAX, bool FAST, bool SEQ>
static __global__ void __launch_bounds__(32 * CHUNKS, KMAX > 4 ? 1 : 2) conv_bwd_kernel(const conv_args<T> a) {
    constexpr int ROWS = KMAX == 4 ? KMAX + 1 : 1; /* of part, that share holds at once */
    extern __shared__ __align__(16) char room[];   /* the ring, and then share */
    lanes<T, V>(*ring)[2][32 * CHUNKS] = (lanes<T, V>(*)[2][32 * CHUNKS])room;
    float(*share)[ROWS][32 * V] = (float(*)[ROWS][32 * V])room;
    int d = (int)(blockIdx.x * 32 + threadIdx.x) * V, me = (int)(threadIdx.y * 32 + threadIdx.x);
    float w[KMAX][V], b[V], dw[KMAX][V] = {}, db[V] = {};
    load_taps<T, KMAX, FAST>(a, d, w, b);
    for (int64_t chunk = blockIdx.y * (int64_t)CHUNKS + threadIdx.y; chunk < a.n_chunks; chunk += gridDim.y * (int64_t)CHUNKS) {
        if (d < a.D) chunk_bwd<T, KMAX, FAST, SEQ>(a, chunk, d, w, b, dw, db, ring, me);
        fetch_wait<0>();
    }
    if (!a.part) return;
#pragma unroll
    for (int k0 = 0; k0 < KMAX + 1; k0 += ROWS) {
        __syncthreads();
#pragma unroll
        for (int k = k0; k < k0 + ROWS; k++)
#pragma unroll
            for (int i = 0; i < V; i++) share[threadIdx.y][k - k0][threadIdx.x * V + i] = k < KMAX ? dw[k < KMAX ? k : 0][i] : db[i];
        __syncthreads();
        for (int e = me; e < ROWS * 32 * V; e += 32 * CHUNKS) {
            int k = k0 + e / (32 * V), col = (int)blockIdx.x * 32 * V + e % (32 * V), row = k < KMAX ? k : a.K;
            if (col >= a.D || (k < KMAX && k >= a.K)) continue;
            float sum = 0;
            for (int n = 0; n < CHUNKS; n++) sum += share[n][k - k0][e % (32 * V)];
            a.part[(blockIdx.y * (int64_t)(a.K + 1) + row) * a.D + col] = sum;
        }
    }
}
template <typename T> static size_t bwd_shared(void) {
    size_t ring = AHEAD * 2 * 32 * CHUNKS * sizeof(lanes<T, V>), share = CHUNKS * 5 * 32 * V * sizeof(float);
    return ring > share ? ring : share;
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
    cu_launch(FAST && !a.ids ? conv_bwd_kernel<T, KMAX, FAST, !FAST> : conv_bwd_kernel<T, KMAX, FAST, true>,
              dim3(a.across, (unsigned)groups_of(c)), block, bwd_shared<T>(), c->stream, a);
    if (a.dx0) cu_launch(conv_dx0_kernel<T, KMAX, FAST>, dim3(a.across, cu_blocks(a.S, CHUNKS)), block, 0, c->stream, a);
    if (a.part)
        cu_launch(conv_sum_kernel, cu_blocks((int64_t)(a.K + 1) * a.D, 32), dim3(32, 32), 0, c->stream, (float *)c->din[CONV1D_W].data,
                  c->acc[CONV1D_W], (float *)c->din[CONV1D_B].data, c->acc[CONV1D_B], a.part, groups_of(c), a.K, (int64_t)a.D);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[CONV1D_X], *dx = &c->din[CONV1D_X], *ids = &c->in[CONV1D_SEQ_IDX];
    conv_args<T> a = {};
    a.S = KR_SIZE(c, 'S'), a.L = KR_SIZE(c, 'L');
    a.D = (int)KR_SIZE(c, 'D'), a.K = (int)KR_SIZE(c, 'K'), a.J = a.K - 1;
    bool silu = ((const conv1d_attr *)c->attr)->silu;
    a.rate = silu ? -1.44269504f : 0, a.gain = silu ? 1 : 2;
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
    bool fast = a.D % V == 0 && (!back || a.dy) && rows_aligned(a.x, a.x_pitch, sizeof(T), V) && rows_aligned(a.dx, a.dx_pitch, sizeof(T), V) &&
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
