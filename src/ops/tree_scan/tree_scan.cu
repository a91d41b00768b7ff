/* tree_scan.cu - tree_scan on a GPU: a thread takes one channel and state of a sequence up and down the
 * tree, step by step; a block has 32 channels of a few states, so that its loads are whole lines.
 * What all states or channels sum up comes from what those walks leave in memory, [S][N][L][D]. */
#include "ops/tree_scan/tree_scan.h"

#include "ops/rows.cuh"

enum { STATES = 8 }; /* of a block */

template <typename T> struct tree_args {
    int64_t S, L, D, N, u_pitch, dt_pitch, B_pitch, C_pitch, parent_pitch;
    const T *u, *dt, *B, *C, *dy;
    const float *A;
    const int32_t *parent;
    float *a, *h, *q, *G; /* [S][N][L][D] */
};

/* h from x (or with GRADS G from g), leaving the sums over subtrees in a (q). */
template <typename T, bool GRADS> static __global__ void __launch_bounds__(32 * STATES) tree_walk_kernel(tree_args<T> k) {
    int64_t d = blockIdx.x * (int64_t)32 + threadIdx.x, n = blockIdx.y * (int64_t)STATES + threadIdx.y, s = blockIdx.z;
    if (d >= k.D || n >= k.N) return;
    const int32_t *parent = k.parent + s * k.L * k.parent_pitch;
    const T *dt = k.dt + s * k.L * k.dt_pitch + d;
    int64_t at = (s * k.N + n) * k.L * k.D + d;
    float *a = (GRADS ? k.q : k.a) + at, *h = (GRADS ? k.G : k.h) + at, A = k.A[d * k.N + n];
    for (int64_t i = 0; i < k.L; i++) {
        int64_t r = s * k.L + i;
        a[i * k.D] = GRADS ? cu_float(k.C[r * k.C_pitch + n]) * cu_float(k.dy[r * k.D + d])
                           : cu_float(dt[i * k.dt_pitch]) * cu_float(k.u[r * k.u_pitch + d]) * cu_float(k.B[r * k.B_pitch + n]);
    }
    for (int64_t i = k.L - 1; i > 0; i--) {
        int64_t p = parent[i * k.parent_pitch];
        if (p >= 0 && p < i) a[p * k.D] += expf(cu_float(dt[i * k.dt_pitch]) * A) * a[i * k.D];
    }
    for (int64_t i = 0; i < k.L; i++) {
        int64_t p = parent[i * k.parent_pitch];
        float v = a[i * k.D], w = expf(cu_float(dt[i * k.dt_pitch]) * A);
        h[i * k.D] = p >= 0 && p < i ? v + w * (h[p * k.D] - w * v) : v;
    }
}

template <typename T> static __global__ void __launch_bounds__(256) tree_y_kernel(tree_args<T> k, const float *skip, T *y) {
    int64_t e = blockIdx.x * (int64_t)256 + threadIdx.x, r = e / k.D, d = e % k.D, s = r / k.L, i = r % k.L;
    if (r >= k.S * k.L) return;
    float sum = skip ? skip[d] * cu_float(k.u[r * k.u_pitch + d]) : 0;
    for (int64_t n = 0; n < k.N; n++) sum += cu_float(k.C[r * k.C_pitch + n]) * k.h[((s * k.N + n) * k.L + i) * k.D + d];
    y[e] = cu_as<T>(sum);
}

/* What crosses the edge above step i, times its w: the slope of dt A. */
template <typename T> static __device__ __forceinline__ float edge_slope(const tree_args<T> &k, int64_t s, int64_t i, int64_t d, int64_t n, float w) {
    int64_t p = k.parent[(s * k.L + i) * k.parent_pitch], base = (s * k.N + n) * k.L, at = (base + i) * k.D + d, up = (base + p) * k.D + d;
    if (p < 0 || p >= i) return 0;
    return w * (k.q[at] * (k.h[up] - w * k.a[at]) + k.a[at] * (k.G[up] - w * k.q[at]));
}

template <typename T>
static __global__ void __launch_bounds__(256) tree_du_kernel(tree_args<T> k, const float *skip, T *du, int64_t du_pitch, bool add_u, T *ddt, int64_t ddt_pitch, bool add_dt) {
    int64_t e = blockIdx.x * (int64_t)256 + threadIdx.x, r = e / k.D, d = e % k.D, s = r / k.L, i = r % k.L;
    if (r >= k.S * k.L) return;
    float u = cu_float(k.u[r * k.u_pitch + d]), dt = cu_float(k.dt[r * k.dt_pitch + d]), to_u = skip ? skip[d] * cu_float(k.dy[e]) : 0, to_dt = 0;
    for (int64_t n = 0; n < k.N; n++) {
        float A = k.A[d * k.N + n], part = k.G[((s * k.N + n) * k.L + i) * k.D + d] * cu_float(k.B[r * k.B_pitch + n]);
        to_u += part * dt;
        to_dt += part * u + A * edge_slope(k, s, i, d, n, expf(dt * A));
    }
    if (du) cu_give(du + r * du_pitch + d, to_u, add_u);
    if (ddt) cu_give(ddt + r * ddt_pitch + d, to_dt, add_dt);
}

/* A warp is a state of a step: sums over channels. */
template <typename T>
static __global__ void __launch_bounds__(256) tree_dBC_kernel(tree_args<T> k, T *dB, int64_t dB_pitch, bool add_B, T *dC, int64_t dC_pitch, bool add_C) {
    int64_t e = (blockIdx.x * (int64_t)256 + threadIdx.x) / 32, r = e / k.N, n = e % k.N, s = r / k.L, i = r % k.L;
    int lane = threadIdx.x % 32;
    float B = 0, C = 0;
    if (r >= k.S * k.L) return;
    for (int64_t d = lane; d < k.D; d += 32) {
        int64_t at = ((s * k.N + n) * k.L + i) * k.D + d;
        B += k.G[at] * cu_float(k.dt[r * k.dt_pitch + d]) * cu_float(k.u[r * k.u_pitch + d]);
        C += k.h[at] * cu_float(k.dy[r * k.D + d]);
    }
    B = cu_warp_sum(B), C = cu_warp_sum(C);
    if (lane == 0 && dB) cu_give(dB + r * dB_pitch + n, B, add_B);
    if (lane == 0 && dC) cu_give(dC + r * dC_pitch + n, C, add_C);
}

/* A block is a channel and a state (the last one: D): sums over all steps, in one order. */
template <typename T> static __global__ void __launch_bounds__(256) tree_dA_kernel(tree_args<T> k, float *dA, bool add_A, float *dD, bool add_D) {
    __shared__ float room[32];
    int64_t d = blockIdx.x, n = blockIdx.y;
    float sum = 0;
    if (n < k.N ? !dA : !dD) return;
    for (int64_t r = threadIdx.x; r < k.S * k.L; r += 256) {
        float dt = cu_float(k.dt[r * k.dt_pitch + d]);
        sum += n < k.N ? dt * edge_slope(k, r / k.L, r % k.L, d, n, expf(dt * k.A[d * k.N + n])) : cu_float(k.dy[r * k.D + d]) * cu_float(k.u[r * k.u_pitch + d]);
    }
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) n < k.N ? cu_give(dA + d * k.N + n, sum, add_A) : cu_give(dD + d, sum, add_D);
}

static int64_t numbers(const kr_call *c) { return KR_SIZE(c, 'S') * KR_SIZE(c, 'N') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D'); }

static kr_status tree_scan_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'S') > 65535) KR_FAIL(KR_ERR_SHAPE, "tree_scan: %lld sequences, at most 65535 on a GPU", (long long)KR_SIZE(c, 'S'));
    c->saved_bytes = 0;
    c->fwd_scratch = (size_t)(2 * numbers(c)) * sizeof(float);
    c->bwd_scratch = (size_t)(4 * numbers(c)) * sizeof(float);
    return KR_OK;
}

template <typename T> static tree_args<T> start(const kr_call *c) {
    const kr_tensor *in = c->in;
    tree_args<T> k = {KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), KR_SIZE(c, 'D'), KR_SIZE(c, 'N'), in[TREE_SCAN_U].pitch, in[TREE_SCAN_DT].pitch, in[TREE_SCAN_B].pitch,
                      in[TREE_SCAN_C].pitch, in[TREE_SCAN_PARENT].pitch, (const T *)in[TREE_SCAN_U].data, (const T *)in[TREE_SCAN_DT].data,
                      (const T *)in[TREE_SCAN_B].data, (const T *)in[TREE_SCAN_C].data, (const T *)c->dout[TREE_SCAN_Y].data, (const float *)in[TREE_SCAN_A].data,
                      (const int32_t *)in[TREE_SCAN_PARENT].data};
    k.a = (float *)c->scratch, k.h = k.a + numbers(c), k.q = k.h + numbers(c), k.G = k.q + numbers(c);
    return k;
}
template <typename T> static dim3 walk_grid(const tree_args<T> &k) { return dim3(cu_blocks(k.D, 32), cu_blocks(k.N, STATES), (unsigned)k.S); }

template <typename T> static void fwd(const kr_call *c) {
    tree_args<T> k = start<T>(c);
    cu_launch(tree_walk_kernel<T, false>, walk_grid(k), dim3(32, STATES), 0, c->stream, k);
    cu_launch(tree_y_kernel<T>, cu_blocks(k.S * k.L * k.D, 256), 256, 0, c->stream, k, (const float *)c->in[TREE_SCAN_D].data, (T *)c->out[TREE_SCAN_Y].data);
}
template <typename T> static void bwd(const kr_call *c) {
    tree_args<T> k = start<T>(c);
    const kr_tensor *g = c->din;
    const float *skip = (const float *)c->in[TREE_SCAN_D].data;
    cu_launch(tree_walk_kernel<T, false>, walk_grid(k), dim3(32, STATES), 0, c->stream, k);
    cu_launch(tree_walk_kernel<T, true>, walk_grid(k), dim3(32, STATES), 0, c->stream, k);
    cu_launch(tree_du_kernel<T>, cu_blocks(k.S * k.L * k.D, 256), 256, 0, c->stream, k, skip, (T *)g[TREE_SCAN_U].data, g[TREE_SCAN_U].pitch, c->acc[TREE_SCAN_U],
              (T *)g[TREE_SCAN_DT].data, g[TREE_SCAN_DT].pitch, c->acc[TREE_SCAN_DT]);
    cu_launch(tree_dBC_kernel<T>, cu_blocks(k.S * k.L * k.N * 32, 256), 256, 0, c->stream, k, (T *)g[TREE_SCAN_B].data, g[TREE_SCAN_B].pitch, c->acc[TREE_SCAN_B],
              (T *)g[TREE_SCAN_C].data, g[TREE_SCAN_C].pitch, c->acc[TREE_SCAN_C]);
    cu_launch(tree_dA_kernel<T>, dim3((unsigned)k.D, (unsigned)(k.N + 1)), 256, 0, c->stream, k, (float *)g[TREE_SCAN_A].data, c->acc[TREE_SCAN_A],
              (float *)g[TREE_SCAN_D].data, c->acc[TREE_SCAN_D]);
}

static void tree_scan_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void tree_scan_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(tree_scan, tree_scan_plan_cuda, tree_scan_fwd_cuda, tree_scan_bwd_cuda)
