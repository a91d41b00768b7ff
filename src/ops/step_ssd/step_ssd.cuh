/* step_ssd.cuh - one step of a head: its state is read, moved on and written once.
 *
 * A block a head of a sequence; a thread holds 8 states of every (256 / (N / 8))-th channel.
 * States are asked for before the launch that makes x, B, C and dt is waited for: it does not
 * touch them, and what wrote them lies in an earlier run. */
#ifndef KR_OPS_STEP_SSD_CUH
#define KR_OPS_STEP_SSD_CUH
#include "cuda/early.cuh"

enum { STEP_SSD_THREADS = 256, STEP_SSD_EACH = 8 };

template <typename T> struct step_ssd_args_of {
    const T *x, *dt, *B, *C, *z; /* rows of S */
    int64_t x_pitch, dt_pitch, B_pitch, C_pitch, z_pitch;
    const float *A, *D, *dt_bias, *w;
    const void *h0;
    void *h;
    T *y;                        /* [S, H P]: gated, times w, and not yet normalised */
    float *q;                    /* [S, H]: squares of what is gated, summed over a head */
    int H, P, G, N;
    float dt_min, dt_max;
    bool softplus;
};
typedef step_ssd_args_of<bf16> step_ssd_args;

template <typename T> struct __align__(16) step_states { T v[STEP_SSD_EACH]; };

template <typename T> static __device__ __forceinline__ float step_size(const step_ssd_args_of<T> &a, float dt) {
    if (a.softplus) dt = cu_softplus(dt);
    return fminf(fmaxf(dt, a.dt_min), a.dt_max);
}

template <typename T, int ITERS> static __global__ void __launch_bounds__(STEP_SSD_THREADS) step_ssd_kernel(const step_ssd_args a) {
    __shared__ float room[32];
    const int lanes = a.N / STEP_SSD_EACH, lane = threadIdx.x % lanes, p0 = threadIdx.x / lanes, stride = STEP_SSD_THREADS / lanes;
    const int h = blockIdx.x, group = h / (a.H / a.G);
    const int64_t s = blockIdx.y;
    const int64_t at = ((s * a.H + h) * a.P + p0) * a.N + lane * STEP_SSD_EACH;
    step_states<T> state[ITERS];
    float w[ITERS], x[ITERS], z[ITERS];
    early_next();
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        state[i] = *(const step_states<T> *)((const T *)a.h0 + at + (int64_t)i * stride * a.N);
        w[i] = a.w ? a.w[h * a.P + p0 + i * stride] : 1;
    }
    const float rate = a.A[h], skip = a.D ? a.D[h] : 0, bias = a.dt_bias ? a.dt_bias[h] : 0;
    early_wait();

    const uint4 B_raw = __ldcg((const uint4 *)(a.B + s * a.B_pitch + group * a.N + lane * STEP_SSD_EACH));
    const uint4 C_raw = __ldcg((const uint4 *)(a.C + s * a.C_pitch + group * a.N + lane * STEP_SSD_EACH));
    const unsigned short dt_raw = __ldcg((const unsigned short *)(a.dt + s * a.dt_pitch + h));
    unsigned short x_raw[ITERS], z_raw[ITERS];
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        x_raw[i] = __ldcg((const unsigned short *)(a.x + s * a.x_pitch + h * a.P + p0 + i * stride));
        z_raw[i] = __ldcg((const unsigned short *)(a.z + s * a.z_pitch + h * a.P + p0 + i * stride));
    }
    const float dt = step_size(a, cu_float(__ushort_as_bfloat16(dt_raw)) + bias);
    const float decay = expf(dt * rate);
    const bf16 *B = (const bf16 *)&B_raw, *C = (const bf16 *)&C_raw;
    float squares = 0;
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        x[i] = cu_float(__ushort_as_bfloat16(x_raw[i])), z[i] = cu_float(__ushort_as_bfloat16(z_raw[i]));
        const float u = dt * x[i];
        float y = 0;
#pragma unroll
        for (int j = 0; j < STEP_SSD_EACH; j++) {
            const float v = cu_float(state[i].v[j]) * decay + u * cu_float(B[j]);
            state[i].v[j] = cu_as<T>(v);
            y += v * cu_float(C[j]);
        }
        if (a.h) *(step_states<T> *)((T *)a.h + at + (int64_t)i * stride * a.N) = state[i];
        for (int d = lanes / 2; d > 0; d /= 2) y += __shfl_xor_sync(~0u, y, d);
        const float v = (y + skip * x[i]) * z[i] * cu_sigmoid(z[i]);
        if (lane == 0) a.y[(s * a.H + h) * a.P + p0 + i * stride] = __float2bfloat16_rn(v * w[i]);
        squares += lane == 0 ? v * v : 0;
    }
    squares = cu_block_sum(squares, room);
    if (threadIdx.x == 0 && a.q) a.q[s * a.H + h] = squares;
}

/* Rounds of 8 states a thread; 0: not for this kernel. */
static inline int step_ssd_rounds(int64_t P, int64_t N) {
    int64_t n = P * N / (STEP_SSD_THREADS * STEP_SSD_EACH);
    bool whole = P * N % (STEP_SSD_THREADS * STEP_SSD_EACH) == 0 && (N == 16 || N == 32 || N == 64 || N == 128 || N == 256);
    return whole && (n == 1 || n == 2 || n == 4 || n == 8) ? (int)n : 0;
}

template <typename T> static void step_ssd_run(const step_ssd_args &a, int64_t S, void *stream) {
    const dim3 grid((unsigned)a.H, (unsigned)S);
    switch (step_ssd_rounds(a.P, a.N)) {
    case 1: early_launch(step_ssd_kernel<T, 1>, grid, STEP_SSD_THREADS, stream, a); break;
    case 2: early_launch(step_ssd_kernel<T, 2>, grid, STEP_SSD_THREADS, stream, a); break;
    case 4: early_launch(step_ssd_kernel<T, 4>, grid, STEP_SSD_THREADS, stream, a); break;
    default: early_launch(step_ssd_kernel<T, 8>, grid, STEP_SSD_THREADS, stream, a);
    }
}

/* Any sizes: a block a head, a thread a channel. */
template <typename T, typename S> static __global__ void __launch_bounds__(128) step_ssd_plain_kernel(const step_ssd_args_of<T> a) {
    __shared__ float room[32];
    const int h = blockIdx.x, group = h / (a.H / a.G);
    const int64_t s = blockIdx.y;
    const T *B = a.B + s * a.B_pitch + group * a.N, *C = a.C + s * a.C_pitch + group * a.N;
    const float dt = step_size(a, cu_float(a.dt[s * a.dt_pitch + h]) + (a.dt_bias ? a.dt_bias[h] : 0)), decay = expf(dt * a.A[h]);
    float squares = 0;
    for (int p = threadIdx.x; p < a.P; p += blockDim.x) {
        const int64_t i = (s * a.H + h) * a.P + p;
        const float x = cu_float(a.x[s * a.x_pitch + h * a.P + p]), z = cu_float(a.z[s * a.z_pitch + h * a.P + p]);
        float y = a.D ? a.D[h] * x : 0;
        for (int n = 0; n < a.N; n++) {
            const float v = cu_float(((const S *)a.h0)[i * a.N + n]) * decay + dt * x * cu_float(B[n]);
            if (a.h) ((S *)a.h)[i * a.N + n] = cu_as<S>(v);
            y += v * cu_float(C[n]);
        }
        y *= z * cu_sigmoid(z);
        a.y[i] = cu_as<T>(y * (a.w ? a.w[h * a.P + p] : 1));
        squares += y * y;
    }
    squares = cu_block_sum(squares, room);
    if (threadIdx.x == 0 && a.q) a.q[s * a.H + h] = squares;
}
template <typename T, typename S> static void step_ssd_plain_run(const step_ssd_args_of<T> &a, int64_t n_seq, void *stream) {
    cu_launch(step_ssd_plain_kernel<T, S>, dim3((unsigned)a.H, (unsigned)n_seq), 128, 0, stream, a);
}
#endif
