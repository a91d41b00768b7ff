/* conv1d.cu - conv1d on a GPU.
 *
 * A thread walks a chunk of steps of 4 channels with the last inputs in registers, so that each
 * element is loaded once but for the J before a chunk (and, backward, the J after it).  A
 * block is 32 threads along the channels by 8 chunks.
 *
 * The usual case, four taps and one sequence in a row of aligned rows, has kernels of its own with 4 chunks
 * a block and little beside the arithmetic. */
#include "ops/conv1d/conv1d.h"

#include "ops/rows.cuh"

enum {
    V = 4,                         /* channels of a thread */
    FWD_STEPS = 32, BWD_STEPS = 64, /* of a chunk */
    CHUNKS = 8,                    /* of a block at a time */
    GROUPS = 128,                  /* blocks along the chunks in backward, at most: shares of dw and db */
    AHEAD = 8,                     /* steps that are fetched before they are needed */
    TURN = 4,                      /* steps whose code stands side by side, so that nothing moves */
    USUAL = 4, USUAL_STEPS = 16,   /* in the usual case: chunks of a block at a time, their steps forward */
    USUAL_BLOCKS = 132 * 4         /* ... and how many blocks backward has at most: as a large GPU holds at once */
};

template <typename T> struct conv_args {
    int64_t S, L, per_sequence, n_chunks;
    int D, K, J;
    unsigned across;               /* blocks along the channels */
    bool add_dx, add_dx0;
    float rate, less, base;        /* of the gate: SiLU's, or those that make it 1 */
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

/* 1 / (base + 2^(rate v + less)): the sigmoid, or 1.  Without a branch, so that channels run abreast. */
template <typename T> static __device__ __forceinline__ float gate(const conv_args<T> &a, float v) {
    float e, s;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(fmaf(v, a.rate, a.less)));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(a.base + e));
    return s;
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
static __device__ __forceinline__ void step_bwd(const conv_args<T> &a, const lanes<T, V> &x_in, const lanes<T, V> &dy_in, int reach,
                                                const float (&w)[KMAX][V], const float (&b)[V], float (&past)[KMAX - 1][V],
                                                float (&due)[KMAX][V], float (&dw)[KMAX][V], float (&db)[V], float (&out)[V]) {
    float now[V], dy[V];
    open(now, x_in), open(dy, dy_in);
#pragma unroll
    for (int i = 0; i < V; i++) {
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

/* One chunk: g of its steps and of the J after it gives dx of its steps. */
template <typename T, int KMAX, bool FAST>
static __device__ __forceinline__ void chunk_bwd(const conv_args<T> &a, int64_t chunk, int d, const float (&w)[KMAX][V], const float (&b)[V],
                                                 float (&dw)[KMAX][V], float (&db)[V], lanes<T, V> (*ring)[2][32 * CHUNKS], int me) {
    int64_t s = chunk / a.per_sequence, t0 = chunk % a.per_sequence * BWD_STEPS;
    int own = (int)(t0 + BWD_STEPS < a.L ? BWD_STEPS : a.L - t0), n = (int)(t0 + own + a.J < a.L ? own + a.J : a.L - t0), k = 0;
    int left = a.D - d;
    T *dx = a.dx + (s * a.L + t0) * a.dx_pitch + d;
    const T *x = a.x + (s * a.L + t0) * a.x_pitch + d, *dy = a.dy + (s * a.L + t0) * (int64_t)a.D + d, *next_x = x, *next_dy = dy;
    const int32_t *id = a.ids ? a.ids + (s * a.L + t0) * a.id_pitch : NULL;
    float past[KMAX - 1][V], due[KMAX][V] = {}, out[V];
    for (int u = 0; FAST && u < AHEAD; u++, next_x += a.x_pitch, next_dy += a.D) {
        if (u < n) fetch<V>(&ring[u][0][me], next_x);
        if (u < n) fetch<V>(&ring[u][1][me], next_dy);
        fetch_commit();
    }
    int reach = load_past<T, KMAX, FAST>(a, s, t0, d, past);
#pragma unroll 1
    while (k < own)
#pragma unroll
        for (int u = 0; u < TURN; u++) {
            if (k >= own) break;
            if (id && t0 + k > 0 && id[k * a.id_pitch] != id[(k - 1) * a.id_pitch]) {
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
            reach = reach < a.J ? reach + 1 : a.J;
            k++;
        }
    if (FAST) fetch_wait<0>();
#pragma unroll 1
    for (; k < n; k++) { /* of the next chunk: only what reaches back into this one */
        if (id && id[k * a.id_pitch] != id[(k - 1) * a.id_pitch]) break;
        lanes<T, V> *slot = ring[(unsigned)k % AHEAD][0] + me;
        lanes<T, V> x_now = FAST ? *slot : get<V, FAST>(x + k * a.x_pitch, left);
        lanes<T, V> dy_now = FAST ? slot[32 * CHUNKS] : get<V, FAST>(dy + k * (int64_t)a.D, a.dy ? left : 0);
        step_bwd<T, KMAX, false>(a, x_now, dy_now, reach, w, b, past, due, dw, db, out);
        if (k >= a.J && a.dx) {
            put<V, FAST>(dx, out, a.add_dx, left);
            dx += a.dx_pitch;
        }
        reach = reach < a.J ? reach + 1 : a.J;
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

template <typename T, int KMAX, bool FAST>
static __global__ void __launch_bounds__(32 * CHUNKS, KMAX > 4 ? 1 : 2) conv_bwd_kernel(const conv_args<T> a) {
    constexpr int ROWS = KMAX == 4 ? KMAX + 1 : 1; /* of part, that share holds at once */
    extern __shared__ __align__(16) char room[];   /* the ring, and then share */
    lanes<T, V>(*ring)[2][32 * CHUNKS] = (lanes<T, V>(*)[2][32 * CHUNKS])room;
    float(*share)[ROWS][32 * V] = (float(*)[ROWS][32 * V])room;
    int d = (int)(blockIdx.x * 32 + threadIdx.x) * V, me = (int)(threadIdx.y * 32 + threadIdx.x);
    float w[KMAX][V], b[V], dw[KMAX][V] = {}, db[V] = {};
    load_taps<T, KMAX, FAST>(a, d, w, b);
    for (int64_t chunk = blockIdx.y * (int64_t)CHUNKS + threadIdx.y; chunk < a.n_chunks; chunk += gridDim.y * (int64_t)CHUNKS) {
        if (d < a.D) chunk_bwd<T, KMAX, FAST>(a, chunk, d, w, b, dw, db, ring, me);
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

/* --- the usual case: four taps, one sequence in a row, aligned rows ------------------------------------- */

/* load_past without seq_idx: all of it is under way at once. */
template <typename T> static __device__ __forceinline__ void usual_past(const conv_args<T> &a, int64_t s, int64_t t0, int d, float (&past)[3][V]) {
    const T *x = a.x + (s * a.L + t0) * a.x_pitch + d;
    const float *x0 = a.x0 + (s * 3 + 3 + t0) * a.D + d;
#pragma unroll
    for (int j = 0; j < 3; j++) {
        const bool before = t0 <= j;
        const lanes<float, V> old = get<V, true>(x0 - (j + 1) * (int64_t)a.D, before && a.x0);
        float v[V];
        open(v, get<V, true>(x - (j + 1) * a.x_pitch, !before));
#pragma unroll
        for (int i = 0; i < V; i++) past[j][i] = before ? old.v[i] : v[i];
    }
}

/* A step's piece of the ring, where AHEAD steps of 4 channels of each thread are on their way: a group of HALF at a time. */
enum { HALF = AHEAD / 2 };
template <typename T> static __device__ __forceinline__ void fetch_step(unsigned there, const T *from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(there), "l"(from), "n"((int)sizeof(lanes<T, V>)) : "memory");
}

template <typename T> static __global__ void __launch_bounds__(32 * USUAL, 8) conv_fwd_usual_kernel(const conv_args<T> a) {
    __shared__ lanes<T, V> ring[AHEAD][32 * USUAL];
    const int64_t chunk = blockIdx.x / a.across * (int64_t)USUAL + threadIdx.y;
    const int d = (int)(blockIdx.x % a.across * 32 + threadIdx.x) * V;
    if (chunk >= a.n_chunks || d >= a.D) return;
    const int64_t s = chunk / a.per_sequence, t0 = chunk % a.per_sequence * USUAL_STEPS;
    const int n = (int)(t0 + USUAL_STEPS < a.L ? USUAL_STEPS : a.L - t0);
    const lanes<T, V> *here = &ring[0][threadIdx.y * 32 + threadIdx.x];
    const unsigned there = (unsigned)__cvta_generic_to_shared(here);
    enum { NEXT = (int)sizeof ring[0] };
    const T *next = a.x + (s * a.L + t0) * a.x_pitch + d;
    T *y = a.y + (s * a.L + t0) * (int64_t)a.D + d;
    float w[4][V], b[V], past[3][V];
#pragma unroll
    for (int u = 0; u < AHEAD; u++, next += a.x_pitch) {
        if (u < n) fetch_step(there + u * NEXT, next);
        if (u % HALF == HALF - 1) fetch_commit();
    }
    usual_past(a, s, t0, d, past);
    load_taps<T, 4, true>(a, d, w, b);
    int k = 0;
    auto step = [&](int u) {
        float x[V], out[V];
        open(x, here[u * 32 * USUAL]);
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float v = before_silu<4>(w, b, past, x[i], i);
            out[i] = v * gate(a, v);
        }
        if (k + u + AHEAD < n) fetch_step(there + u * NEXT, next);
        next += a.x_pitch;
        *(lanes<T, V> *)y = closed<T>(out);
        y += a.D;
        shift<4>(past, x);
    };
#pragma unroll 1
    for (; k + AHEAD <= n; k += AHEAD)
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            if (u % HALF == 0) fetch_wait<1>();
            step(u);
            if (u % HALF == HALF - 1) fetch_commit();
        }
    fetch_wait<0>();
#pragma unroll 1
    for (int u = 0; k + u < n; u++) step(u); /* fewer than AHEAD are left: all of them are on their way */
    if (a.x1 && a.per_sequence == 1) give_x1<T, 4, true>(a, s, d, past);
}

/* As chunk_bwd, for all chunks of a thread; dw and db stay in registers until the end.  SET: dx is wanted, and set. */
template <typename T, bool SET> static __global__ void __launch_bounds__(32 * USUAL, 4) conv_bwd_usual_kernel(const conv_args<T> a) {
    extern __shared__ __align__(16) char room[]; /* the ring, then shares of dw and db */
    enum { NEXT = (int)sizeof(lanes<T, V>) * 32 * USUAL, DY = AHEAD * NEXT };
    const int d = (int)(blockIdx.x * 32 + threadIdx.x) * V, me = (int)(threadIdx.y * 32 + threadIdx.x);
    const char *here = room + me * sizeof(lanes<T, V>);
    const unsigned there = (unsigned)__cvta_generic_to_shared(here);
    float w[4][V], b[V], dw[4][V] = {}, db[V] = {};
    load_taps<T, 4, true>(a, d, w, b);
    for (int64_t chunk = blockIdx.y * (int64_t)USUAL + threadIdx.y; chunk < a.n_chunks && d < a.D; chunk += gridDim.y * (int64_t)USUAL) {
        const int64_t s = chunk / a.per_sequence, t0 = chunk % a.per_sequence * BWD_STEPS, row = s * a.L + t0;
        const int own = (int)(t0 + BWD_STEPS < a.L ? BWD_STEPS : a.L - t0), n = (int)(t0 + own + 3 < a.L ? own + 3 : a.L - t0);
        const T *next_x = a.x + row * a.x_pitch + d, *next_dy = a.dy + row * a.D + d;
        T *dx = a.dx + (row - 3) * a.dx_pitch + d;
        float past[3][V], due[4][V] = {}, out[V];
#pragma unroll
        for (int u = 0; u < AHEAD; u++, next_x += a.x_pitch, next_dy += a.D) {
            if (u < n) fetch_step(there + u * NEXT, next_x), fetch_step(there + DY + u * NEXT, next_dy);
            if (u % HALF == HALF - 1) fetch_commit();
        }
        usual_past(a, s, t0, d, past);
        int k = 0;
#pragma unroll 1
        for (; k + AHEAD <= own; k += AHEAD)
#pragma unroll
            for (int u = 0; u < AHEAD; u++) {
                if (u % HALF == 0) fetch_wait<1>();
                const lanes<T, V> x = *(const lanes<T, V> *)(here + u * NEXT), dy = *(const lanes<T, V> *)(here + DY + u * NEXT);
                step_bwd<T, 4, true>(a, x, dy, 4, w, b, past, due, dw, db, out);
                if (k + u + AHEAD < n) fetch_step(there + u * NEXT, next_x), fetch_step(there + DY + u * NEXT, next_dy);
                if (u % HALF == HALF - 1) fetch_commit();
                next_x += a.x_pitch, next_dy += a.D;
                if ((SET || a.dx) && (u >= 3 || k)) put<V, true>(dx, out, !SET && a.add_dx, V);
                dx += a.dx_pitch;
            }
        fetch_wait<0>();
#pragma unroll 1
        for (; k < n; k++, dx += a.dx_pitch) { /* what is left of the chunk, and of the next one what reaches back */
            const char *at = here + k % AHEAD * NEXT;
            lanes<T, V> x = *(const lanes<T, V> *)at, dy = *(const lanes<T, V> *)(at + DY);
            if (k < own) step_bwd<T, 4, true>(a, x, dy, 4, w, b, past, due, dw, db, out);
            else step_bwd<T, 4, false>(a, x, dy, 4, w, b, past, due, dw, db, out);
            if ((SET || a.dx) && k >= 3) put<V, true>(dx, out, !SET && a.add_dx, V);
        }
#pragma unroll
        for (int j = 3; j > 0; j--) { /* where the sequence ends: due has moved on, due[j] is step k - j */
            if (k - j < 0 || k - j >= own) continue;
            if (a.dx1) {
                const lanes<float, V> g = get<V, true>(a.dx1 + (s * 3 + 3 - j) * (int64_t)a.D + d, 1);
#pragma unroll
                for (int i = 0; i < V; i++) due[j][i] += g.v[i];
            }
            if (SET || a.dx) put<V, true>(dx + (3 - j) * a.dx_pitch, due[j], !SET && a.add_dx, V);
        }
    }
    early_next();
    if (!a.part) return;
    float(*share)[5][32 * V] = (float(*)[5][32 * V])room;
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 5; k++) *(float4 *)&share[threadIdx.y][k][threadIdx.x * V] = k < 4 ? make_float4(dw[k][0], dw[k][1], dw[k][2], dw[k][3]) : make_float4(db[0], db[1], db[2], db[3]);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 5; k++) {
        const int col = (int)blockIdx.x * 32 * V + me;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < USUAL; n++) sum += share[n][k][me];
        if (col < a.D) a.part[(blockIdx.y * (int64_t)5 + k) * a.D + col] = sum;
    }
}
template <typename T> static size_t usual_shared(void) {
    size_t ring = AHEAD * 2 * 32 * USUAL * sizeof(lanes<T, V>), share = USUAL * 5 * 32 * V * sizeof(float);
    return ring > share ? ring : share;
}

/* dw[d][K-1-tap] and db[d] from the groups' shares. */
static __global__ void __launch_bounds__(32 * PART_COLUMNS) conv_sum_kernel(float *dw, bool add_dw, float *db, bool add_db, const float *part,
                                                               int64_t n_groups, int K, int64_t D) {
    int64_t i;
    float sum;
    if (!part_sum(part, n_groups, (K + 1) * D, (K + 1) * D, &i, &sum)) return;
    int64_t tap = i / D, d = i % D;
    if (tap < K && dw) cu_give(dw + d * K + K - 1 - tap, sum, add_dw);
    if (tap == K && db) cu_give(db + d, sum, add_db);
}

static int64_t chunks_of(int64_t S, int64_t L, int64_t steps) { return S * ((L + steps - 1) / steps); }
static int64_t groups_of(int64_t n_chunks) {
    int64_t n = (n_chunks + CHUNKS - 1) / CHUNKS, most = GROUPS;
    return n < most ? n : most;
}
static int64_t usual_groups(int64_t n_chunks, int64_t across) {
    int64_t n = (n_chunks + USUAL - 1) / USUAL, most = across < USUAL_BLOCKS ? USUAL_BLOCKS / across : 1;
    return n < most ? n : most;
}

static kr_status conv1d_plan_cuda(kr_call *c) {
    const int64_t D = KR_SIZE(c, 'D'), across = (D + 32 * V - 1) / (32 * V), chunks = chunks_of(KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), BWD_STEPS);
    const int64_t usual = across ? usual_groups(chunks, across) : 0, other = groups_of(chunks);
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)((usual > other ? usual : other) * (KR_SIZE(c, 'K') + 1) * D) * sizeof(float);
    return KR_OK;
}

template <typename T, int KMAX, bool FAST> static void launch(const kr_call *c, conv_args<T> &a, bool back) {
    const dim3 block(32, CHUNKS);
    const bool usual = FAST && !a.ids;
    const int64_t steps = back ? BWD_STEPS : usual ? USUAL_STEPS : FWD_STEPS;
    a.across = cu_blocks(a.D, 32 * V);
    a.per_sequence = (a.L + steps - 1) / steps, a.n_chunks = a.S * a.per_sequence;
    if (!back) {
        if (usual) cu_launch(conv_fwd_usual_kernel<T>, a.across * cu_blocks(a.n_chunks, USUAL), dim3(32, USUAL), 0, c->stream, a);
        else cu_launch(conv_fwd_kernel<T, KMAX, FAST>, a.across * cu_blocks(a.n_chunks, CHUNKS), block, 0, c->stream, a);
        if (a.x1 && a.per_sequence > 1)
            cu_launch(conv_x1_kernel<T, KMAX, FAST>, dim3(a.across, cu_blocks(a.S, CHUNKS)), block, 0, c->stream, a);
        return;
    }
    const int64_t groups = a.across == 0 ? 0 : usual ? usual_groups(a.n_chunks, a.across) : groups_of(a.n_chunks);
    if (usual)
        cu_launch(a.dx && !a.add_dx ? conv_bwd_usual_kernel<T, true> : conv_bwd_usual_kernel<T, false>, dim3(a.across, (unsigned)groups), dim3(32, USUAL),
                  usual_shared<T>(), c->stream, a);
    else cu_launch(conv_bwd_kernel<T, KMAX, FAST>, dim3(a.across, (unsigned)groups), block, bwd_shared<T>(), c->stream, a);
    if (a.part) /* early: right behind what makes the parts */
        early_launch(conv_sum_kernel, cu_blocks((int64_t)(a.K + 1) * a.D, PART_COLUMNS), 32 * PART_COLUMNS, c->stream, (float *)c->din[CONV1D_W].data,
                     c->acc[CONV1D_W], (float *)c->din[CONV1D_B].data, c->acc[CONV1D_B], a.part, groups, a.K, (int64_t)a.D);
    if (a.dx0) cu_launch(conv_dx0_kernel<T, KMAX, FAST>, dim3(a.across, cu_blocks(a.S, CHUNKS)), block, 0, c->stream, a);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[CONV1D_X], *dx = &c->din[CONV1D_X], *ids = &c->in[CONV1D_SEQ_IDX];
    conv_args<T> a = {};
    a.S = KR_SIZE(c, 'S'), a.L = KR_SIZE(c, 'L');
    a.D = (int)KR_SIZE(c, 'D'), a.K = (int)KR_SIZE(c, 'K'), a.J = a.K - 1;
    bool silu = ((const conv1d_attr *)c->attr)->silu;
    a.rate = silu ? -1.44269504f : 0, a.less = silu ? 0 : -1, a.base = silu ? 1 : .5f;
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
