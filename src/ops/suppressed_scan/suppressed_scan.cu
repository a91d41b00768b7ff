/* suppressed_scan.cu - suppressed_scan on a GPU: step by step, a warp for 32 channels of a group and STATES numbers of their
 * states, which stay in registers.
 *
 * What is summed over states (y, du, ddt) goes through scratch, a share for each STATES of them; what is summed over
 * channels (dB, dC) is summed in the warp first.  Backward keeps the states before every CHUNK steps and makes those
 * inside once more, in shared memory. */
#include "ops/suppressed_scan/suppressed_scan.h"

#include "ops/rows.cuh"

enum { STATES = 8, CHUNK = 16, FWD_WARPS = 4, BWD_WARPS = 2, SPAN = 64 /* steps of a share of dD and ddt_bias */ };

struct suppressed {
    const void *u, *dt, *B, *C, *dy;
    const float *A, *skip, *bias, *h0, *dh1;
    const int32_t *ids;
    int64_t u_pitch, dt_pitch, B_pitch, C_pitch, id_pitch;
    int64_t S, L, D, G, N, tiles, blocks, units; /* tiles of 32 channels in a group; blocks of STATES; warps for one block */
    float alpha;
    float *h1, *dh0;
    bool add_h0;
    float *shares;              /* forward [blocks][S L][D]; backward the same twice: of ddt, then of du */
    float *first, *dA, *dB, *dC; /* states before chunks [blocks][unit][chunk][STATES][32]; [S][D][N]; [unit][L][N] twice */
};

/* What a thread works on: sequence s, channel d of group g, states from n on; nothing but zeros if it is not `there`. */
struct suppressed_place { int64_t unit, s, g, d, n; int states; bool there; };
static __device__ __forceinline__ suppressed_place place_of(const suppressed &v, int64_t unit) {
    suppressed_place p;
    const int64_t in_group = unit % v.tiles * 32 + threadIdx.x % 32;
    p.unit = unit, p.s = unit / (v.tiles * v.G), p.g = unit / v.tiles % v.G, p.there = in_group < v.D / v.G;
    p.d = p.g * (v.D / v.G) + (p.there ? in_group : 0), p.n = blockIdx.y * (int64_t)STATES;
    p.states = v.N - p.n < STATES ? (int)(v.N - p.n) : STATES;
    return p;
}
static __device__ __forceinline__ void load_states(float (&to)[STATES], const float *from, const suppressed &v, const suppressed_place &p, int64_t at) {
#pragma unroll
    for (int k = 0; k < STATES; k++) to[k] = from && p.there && k < p.states ? from[at * v.N + p.n + k] : 0;
}
static __device__ __forceinline__ void store_states(float *to, const float (&from)[STATES], bool add, const suppressed &v, const suppressed_place &p, int64_t at) {
#pragma unroll
    for (int k = 0; k < STATES; k++)
        if (to && p.there && k < p.states) cu_give(to + at * v.N + p.n + k, from[k], add);
}

/* One step's inputs; zeros where there is no channel or state. */
struct suppressed_step { float raw, dt, u, B[STATES]; bool fresh; };
template <typename T> static __device__ __forceinline__ suppressed_step step_of(const suppressed &v, const suppressed_place &p, int64_t t) {
    const int64_t row = p.s * v.L + t;
    suppressed_step x;
    x.raw = cu_float(((const T *)v.dt)[row * v.dt_pitch + p.d]) + (v.bias ? v.bias[p.d] : 0);
    x.dt = p.there ? cu_softplus(x.raw) : 0;
    x.u = p.there ? cu_float(((const T *)v.u)[row * v.u_pitch + p.d]) : 0;
    x.fresh = v.ids && t > 0 && v.ids[row * v.id_pitch] != v.ids[(row - 1) * v.id_pitch];
#pragma unroll
    for (int k = 0; k < STATES; k++) x.B[k] = k < p.states ? cu_float(((const T *)v.B)[row * v.B_pitch + p.g * v.N + p.n + k]) : 0;
    return x;
}
template <typename T> static __device__ __forceinline__ float read_of(const suppressed &v, const suppressed_place &p, int64_t t, int k) {
    return k < p.states ? cu_float(((const T *)v.C)[(p.s * v.L + t) * v.C_pitch + p.g * v.N + p.n + k]) : 0;
}
static __device__ __forceinline__ float next_state(const suppressed_step &x, float a, float h, int k) {
    return fmaf(a, x.fresh ? 0 : h, x.dt * x.u * x.B[k]);
}

template <typename T> static __global__ void __launch_bounds__(32 * FWD_WARPS) suppressed_fwd_kernel(const suppressed v) {
    const int64_t unit = blockIdx.x * (int64_t)FWD_WARPS + threadIdx.x / 32;
    if (unit >= v.units) return;
    const suppressed_place p = place_of(v, unit);
    float A[STATES], h[STATES];
    load_states(A, v.A, v, p, p.d);
    load_states(h, v.h0, v, p, p.s * v.D + p.d);
    for (int64_t t = 0; t < v.L; t++) {
        const suppressed_step x = step_of<T>(v, p, t);
        float y = 0;
#pragma unroll
        for (int k = 0; k < STATES; k++) {
            const float a = expf(x.dt * A[k]);
            h[k] = next_state(x, a, h[k], k);
            y += read_of<T>(v, p, t, k) * (a < v.alpha ? a : 1) * h[k];
        }
        if (p.there) v.shares[(blockIdx.y * v.S * v.L + p.s * v.L + t) * v.D + p.d] = y;
    }
    store_states(v.h1, h, false, v, p, p.s * v.D + p.d);
}

/* y = shares of the states, in order, + D u */
template <typename T> static __global__ void __launch_bounds__(256) suppressed_y_kernel(const suppressed v, T *y) {
    const int64_t n = v.S * v.L * v.D, i = blockIdx.x * (int64_t)256 + threadIdx.x;
    if (i >= n) return;
    float sum = v.skip ? v.skip[i % v.D] * cu_float(((const T *)v.u)[i / v.D * v.u_pitch + i % v.D]) : 0;
    for (int64_t b = 0; b < v.blocks; b++) sum += v.shares[b * n + i];
    y[i] = cu_as<T>(sum);
}

template <typename T> static __global__ void __launch_bounds__(32 * BWD_WARPS) suppressed_bwd_kernel(const suppressed v) {
    __shared__ float kept[BWD_WARPS][CHUNK + 1][STATES][32];
    const int lane = (int)threadIdx.x % 32;
    const int64_t unit = blockIdx.x * (int64_t)BWD_WARPS + threadIdx.x / 32, chunks = (v.L + CHUNK - 1) / CHUNK, n_out = v.S * v.L * v.D;
    if (unit >= v.units) return;
    const suppressed_place p = place_of(v, unit);
    float(*hs)[STATES][32] = kept[threadIdx.x / 32], A[STATES], h[STATES], dh[STATES], dA[STATES] = {};
    float *first = v.first + ((blockIdx.y * v.units + unit) * chunks * STATES) * 32 + lane;
    load_states(A, v.A, v, p, p.d);
    load_states(h, v.h0, v, p, p.s * v.D + p.d);
    load_states(dh, v.dh1, v, p, p.s * v.D + p.d);
    for (int64_t t = 0; t < v.L; t++) {
#pragma unroll
        for (int k = 0; k < STATES; k++)
            if (t % CHUNK == 0) first[(t / CHUNK * STATES + k) * 32] = h[k];
        const suppressed_step x = step_of<T>(v, p, t);
#pragma unroll
        for (int k = 0; k < STATES; k++) h[k] = next_state(x, expf(x.dt * A[k]), h[k], k);
    }
    for (int64_t q = chunks - 1; q >= 0; q--) {
        const int64_t from = q * CHUNK, to = from + CHUNK < v.L ? from + CHUNK : v.L;
#pragma unroll
        for (int k = 0; k < STATES; k++) hs[0][k][lane] = h[k] = first[(q * STATES + k) * 32];
        for (int64_t t = from; t < to; t++) {
            const suppressed_step x = step_of<T>(v, p, t);
#pragma unroll
            for (int k = 0; k < STATES; k++) hs[t - from + 1][k][lane] = h[k] = next_state(x, expf(x.dt * A[k]), h[k], k);
        }
        for (int64_t t = to - 1; t >= from; t--) {
            const suppressed_step x = step_of<T>(v, p, t);
            const int64_t at = (p.s * v.L + t) * v.D + p.d;
            const float dy = v.dy && p.there ? cu_float(((const T *)v.dy)[at]) : 0;
            float ddt = 0, du = 0, over = 0; /* over: lane k has dB of state k, lane STATES + k dC */
#pragma unroll
            for (int k = 0; k < STATES; k++) {
                const float a = expf(x.dt * A[k]), w = a < v.alpha ? a : 1, before = x.fresh ? 0 : hs[t - from][k][lane], now = hs[t - from + 1][k][lane];
                const float C = read_of<T>(v, p, t, k);
                dh[k] += dy * C * w;
                const float da = (dh[k] * before + (a < v.alpha ? dy * C * now : 0)) * a;
                const float dB = cu_warp_sum(dh[k] * (x.dt * x.u)), dC = cu_warp_sum(dy * w * now);
                over = lane == k ? dB : lane == STATES + k ? dC : over;
                dA[k] += da * x.dt;
                ddt += da * A[k] + dh[k] * x.u * x.B[k];
                du += dh[k] * x.B[k] * x.dt;
                dh[k] = x.fresh ? 0 : dh[k] * a;
            }
            if (p.there) v.shares[blockIdx.y * n_out + at] = ddt, v.shares[(v.blocks + blockIdx.y) * n_out + at] = du;
            if (lane < 2 * STATES && lane % STATES < p.states) (lane < STATES ? v.dB : v.dC)[(unit * v.L + t) * v.N + p.n + lane % STATES] = over;
        }
    }
    store_states(v.dA, dA, false, v, p, p.s * v.D + p.d);
    store_states(v.dh0, dh, v.add_h0, v, p, p.s * v.D + p.d);
}

/* Of SPAN steps of a sequence: du and ddt from the states' shares, and shares of ddt_bias and dD, [S spans][2][D]. */
template <typename T>
static __global__ void __launch_bounds__(128) suppressed_inputs_kernel(const suppressed v, T *du, int64_t du_pitch, bool add_u, T *ddt, int64_t ddt_pitch, bool add_dt,
                                                                       float *sums) {
    const int64_t d = blockIdx.y * (int64_t)128 + threadIdx.x, spans = (v.L + SPAN - 1) / SPAN, s = blockIdx.x / spans, from = blockIdx.x % spans * SPAN, n = v.S * v.L * v.D;
    float bias = 0, skip = 0;
    if (d >= v.D) return;
    for (int64_t t = from; t < v.L && t < from + SPAN; t++) {
        const int64_t row = s * v.L + t;
        const float raw = cu_float(((const T *)v.dt)[row * v.dt_pitch + d]) + (v.bias ? v.bias[d] : 0), dy = v.dy ? cu_float(((const T *)v.dy)[row * v.D + d]) : 0;
        float dt_sum = 0, u_sum = v.skip ? dy * v.skip[d] : 0;
        for (int64_t b = 0; b < v.blocks; b++) dt_sum += v.shares[b * n + row * v.D + d], u_sum += v.shares[(v.blocks + b) * n + row * v.D + d];
        dt_sum *= cu_sigmoid(raw);
        if (du) cu_give(du + row * du_pitch + d, u_sum, add_u);
        if (ddt) cu_give(ddt + row * ddt_pitch + d, dt_sum, add_dt);
        bias += dt_sum, skip += dy * cu_float(((const T *)v.u)[row * v.u_pitch + d]);
    }
    sums[blockIdx.x * 2 * v.D + d] = bias, sums[(blockIdx.x * 2 + 1) * v.D + d] = skip;
}

/* dB or dC: the tiles of a group, in order. */
template <typename T> static __global__ void __launch_bounds__(256) suppressed_tiles_kernel(const suppressed v, const float *shares, T *to, int64_t pitch, bool add) {
    const int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x, row = i / (v.G * v.N), g = i / v.N % v.G, s = row / v.L;
    float sum = 0;
    if (i >= v.S * v.L * v.G * v.N) return;
    for (int64_t k = 0; k < v.tiles; k++) sum += shares[(((s * v.G + g) * v.tiles + k) * v.L + row % v.L) * v.N + i % v.N];
    cu_give(to + row * pitch + i % (v.G * v.N), sum, add);
}

/* --- launching ------------------------------------------------------------------------------------ */

static suppressed sizes_of(const kr_call *c) {
    suppressed v = {};
    v.S = KR_SIZE(c, 'S'), v.L = KR_SIZE(c, 'L'), v.D = KR_SIZE(c, 'D'), v.G = KR_SIZE(c, 'G'), v.N = KR_SIZE(c, 'N');
    v.tiles = (v.D / v.G + 31) / 32, v.blocks = (v.N + STATES - 1) / STATES, v.units = v.S * v.G * v.tiles;
    return v;
}
/* Where backward's floats lie in scratch: shares, first states, dA, dB, dC, sums. */
static int64_t spread(const suppressed &v, int64_t (&at)[7]) {
    const int64_t spans = (v.L + SPAN - 1) / SPAN, floats[] = {2 * v.blocks * v.S * v.L * v.D, v.blocks * v.units * ((v.L + CHUNK - 1) / CHUNK) * STATES * 32,
                                                               v.S * v.D * v.N, v.units * v.L * v.N, v.units * v.L * v.N, v.S * spans * 2 * v.D};
    at[0] = 0;
    for (int i = 0; i < 6; i++) at[i + 1] = at[i] + (floats[i] + 63) / 64 * 64;
    return at[6];
}
static kr_status suppressed_scan_plan_cuda(kr_call *c) {
    const suppressed v = sizes_of(c);
    int64_t at[7];
    c->saved_bytes = 0;
    c->fwd_scratch = (size_t)(v.blocks * v.S * v.L * v.D) * sizeof(float);
    c->bwd_scratch = (size_t)spread(v, at) * sizeof(float);
    return KR_OK;
}

static suppressed inputs_of(const kr_call *c) {
    suppressed v = sizes_of(c);
    const kr_tensor *in = c->in;
    v.u = in[SUPPRESSED_U].data, v.u_pitch = in[SUPPRESSED_U].pitch, v.dt = in[SUPPRESSED_DT].data, v.dt_pitch = in[SUPPRESSED_DT].pitch;
    v.B = in[SUPPRESSED_B].data, v.B_pitch = in[SUPPRESSED_B].pitch, v.C = in[SUPPRESSED_C].data, v.C_pitch = in[SUPPRESSED_C].pitch;
    v.A = (const float *)in[SUPPRESSED_A].data, v.skip = (const float *)in[SUPPRESSED_D].data, v.bias = (const float *)in[SUPPRESSED_DT_BIAS].data;
    v.h0 = (const float *)in[SUPPRESSED_H0].data, v.ids = (const int32_t *)in[SUPPRESSED_SEQ_IDX].data, v.id_pitch = in[SUPPRESSED_SEQ_IDX].pitch;
    v.alpha = (float)((const suppressed_scan_attr *)c->attr)->alpha;
    return v;
}

template <typename T> static void forward(const kr_call *c) {
    suppressed v = inputs_of(c);
    v.h1 = (float *)c->out[SUPPRESSED_H].data, v.shares = (float *)c->scratch;
    cu_launch(suppressed_fwd_kernel<T>, dim3(cu_blocks(v.units, FWD_WARPS), (unsigned)v.blocks), 32 * FWD_WARPS, 0, c->stream, v);
    cu_launch(suppressed_y_kernel<T>, cu_blocks(v.S * v.L * v.D, 256), 256, 0, c->stream, v, (T *)c->out[SUPPRESSED_Y].data);
}

template <typename T> static void backward(const kr_call *c) {
    suppressed v = inputs_of(c);
    const kr_tensor *du = &c->din[SUPPRESSED_U], *ddt = &c->din[SUPPRESSED_DT], *dB = &c->din[SUPPRESSED_B], *dC = &c->din[SUPPRESSED_C];
    const int64_t spans = v.S * ((v.L + SPAN - 1) / SPAN), n = v.S * v.L * v.G * v.N;
    float *room = (float *)c->scratch;
    int64_t at[7];
    spread(v, at);
    v.shares = room, v.first = room + at[1], v.dA = room + at[2], v.dB = room + at[3], v.dC = room + at[4];
    v.dy = c->dout[SUPPRESSED_Y].data, v.dh1 = (const float *)c->dout[SUPPRESSED_H].data;
    v.dh0 = (float *)c->din[SUPPRESSED_H0].data, v.add_h0 = c->acc[SUPPRESSED_H0];
    cu_launch(suppressed_bwd_kernel<T>, dim3(cu_blocks(v.units, BWD_WARPS), (unsigned)v.blocks), 32 * BWD_WARPS, 0, c->stream, v);
    if (dB->data) cu_launch(suppressed_tiles_kernel<T>, cu_blocks(n, 256), 256, 0, c->stream, v, (const float *)v.dB, (T *)dB->data, dB->pitch, c->acc[SUPPRESSED_B]);
    if (dC->data) cu_launch(suppressed_tiles_kernel<T>, cu_blocks(n, 256), 256, 0, c->stream, v, (const float *)v.dC, (T *)dC->data, dC->pitch, c->acc[SUPPRESSED_C]);
    cu_launch(suppressed_inputs_kernel<T>, dim3((unsigned)spans, cu_blocks(v.D, 128)), 128, 0, c->stream, v, (T *)du->data, du->pitch, c->acc[SUPPRESSED_U], (T *)ddt->data,
              ddt->pitch, c->acc[SUPPRESSED_DT], room + at[5]);
    sum_parts(c, (float *)c->din[SUPPRESSED_DT_BIAS].data, c->acc[SUPPRESSED_DT_BIAS], room + at[5], spans, 2 * v.D, v.D);
    sum_parts(c, (float *)c->din[SUPPRESSED_D].data, c->acc[SUPPRESSED_D], room + at[5] + v.D, spans, 2 * v.D, v.D);
    sum_parts(c, (float *)c->din[SUPPRESSED_A].data, c->acc[SUPPRESSED_A], v.dA, v.S, v.D * v.N, v.D * v.N);
}

static void suppressed_scan_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) forward<bf16>(c);
    else forward<float>(c);
}
static void suppressed_scan_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) backward<bf16>(c);
    else backward<float>(c);
}

KR_CUDA_OP(suppressed_scan, suppressed_scan_plan_cuda, suppressed_scan_fwd_cuda, suppressed_scan_bwd_cuda)
