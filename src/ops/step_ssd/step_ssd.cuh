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

/* Two states at once; a float16 that would be infinite becomes the largest. */
static __device__ __forceinline__ void states_get(const step_states<__half> &s, int j, float &a, float &b) {
    const float2 v = __half22float2(*(const __half2 *)(s.v + j));
    a = v.x, b = v.y;
}
static __device__ __forceinline__ void states_get(const step_states<bf16> &s, int j, float &a, float &b) {
    const unsigned v = *(const unsigned *)(s.v + j);
    a = __uint_as_float(v << 16), b = __uint_as_float(v & 0xffff0000u);
}
static __device__ __forceinline__ void states_put(step_states<__half> &s, int j, float a, float b) {
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(*(unsigned *)(s.v + j)) : "f"(b), "f"(a));
}
static __device__ __forceinline__ void states_put(step_states<bf16> &s, int j, float a, float b) { *(__nv_bfloat162 *)(s.v + j) = __floats2bfloat162_rn(a, b); }

template <typename T> static __device__ __forceinline__ float step_size(const step_ssd_args_of<T> &a, float dt) {
    if (a.softplus) dt = cu_softplus(dt);
    return fminf(fmaxf(dt, a.dt_min), a.dt_max);
}

/* States in float32. */
template <int ITERS> static __global__ void __launch_bounds__(STEP_SSD_THREADS) step_ssd_kernel(const step_ssd_args a) {
    __shared__ float room[32];
    const int lanes = a.N / STEP_SSD_EACH, lane = threadIdx.x % lanes, p0 = threadIdx.x / lanes, stride = STEP_SSD_THREADS / lanes;
    const int h = blockIdx.x, group = h / (a.H / a.G);
    const int64_t s = blockIdx.y;
    const int64_t at = ((s * a.H + h) * a.P + p0) * a.N + lane * STEP_SSD_EACH;
    step_states<float> state[ITERS];
    float w[ITERS], x[ITERS], z[ITERS];
    early_next();
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        state[i] = *(const step_states<float> *)((const float *)a.h0 + at + (int64_t)i * stride * a.N);
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
            const float v = state[i].v[j] * decay + u * cu_float(B[j]);
            state[i].v[j] = v;
            y += v * cu_float(C[j]);
        }
        if (a.h) *(step_states<float> *)((float *)a.h + at + (int64_t)i * stride * a.N) = state[i];
        for (int d = lanes / 2; d > 0; d /= 2) y += __shfl_xor_sync(~0u, y, d);
        const float v = (y + skip * x[i]) * z[i] * cu_sigmoid(z[i]);
        if (lane == 0) a.y[(s * a.H + h) * a.P + p0 + i * stride] = __float2bfloat16_rn(v * w[i]);
        squares += lane == 0 ? v * v : 0;
    }
    squares = cu_block_sum(squares, room);
    if (threadIdx.x == 0 && a.q) a.q[s * a.H + h] = squares;
}

/* States in 16 bits, two converted in an instruction, B and C once; a head's channels are ended by as
 * many threads, not by one lane of those that have its states.  (With states in float32 this was slower
 * by 3 to 7 %.) */
template <typename T, int ITERS> static __global__ void __launch_bounds__(STEP_SSD_THREADS, ITERS <= 4 ? 4 : 3) step_ssd_half_kernel(const step_ssd_args a) {
    __shared__ float room[32], sum[STEP_SSD_THREADS];
    const int lanes = a.N / STEP_SSD_EACH, lane = threadIdx.x % lanes, p0 = threadIdx.x / lanes, stride = STEP_SSD_THREADS / lanes;
    const int h = blockIdx.x, group = h / (a.H / a.G), own = h * a.P + threadIdx.x; /* the channel that this thread ends */
    const bool ends = threadIdx.x < a.P;
    const int64_t s = blockIdx.y, at = ((s * a.H + h) * a.P + p0) * a.N + lane * STEP_SSD_EACH;
    step_states<T> state[ITERS];
    early_next();
#pragma unroll
    for (int i = 0; i < ITERS; i++) state[i] = *(const step_states<T> *)((const T *)a.h0 + at + i * (STEP_SSD_THREADS * STEP_SSD_EACH));
    const float rate = a.A[h], skip = a.D ? a.D[h] : 0, bias = a.dt_bias ? a.dt_bias[h] : 0, w = a.w && ends ? a.w[own] : 1;
    early_wait();

    const uint4 B_raw = __ldcg((const uint4 *)(a.B + s * a.B_pitch + group * a.N + lane * STEP_SSD_EACH));
    const uint4 C_raw = __ldcg((const uint4 *)(a.C + s * a.C_pitch + group * a.N + lane * STEP_SSD_EACH));
    const unsigned short dt_raw = __ldcg((const unsigned short *)(a.dt + s * a.dt_pitch + h));
    const unsigned short *const x_at = (const unsigned short *)(a.x + s * a.x_pitch);
    unsigned short x_raw[ITERS], z_own = 0, x_own = 0;
#pragma unroll
    for (int i = 0; i < ITERS; i++) x_raw[i] = __ldcg(x_at + h * a.P + p0 + i * stride);
    if (ends) x_own = __ldcg(x_at + own), z_own = __ldcg((const unsigned short *)(a.z + s * a.z_pitch) + own);
    const float dt = step_size(a, cu_float(__ushort_as_bfloat16(dt_raw)) + bias), decay = expf(dt * rate);
    float B[STEP_SSD_EACH], C[STEP_SSD_EACH];
#pragma unroll
    for (int j = 0; j < STEP_SSD_EACH; j += 2) {
        states_get(*(const step_states<bf16> *)&B_raw, j, B[j], B[j + 1]);
        states_get(*(const step_states<bf16> *)&C_raw, j, C[j], C[j + 1]);
    }
#pragma unroll
    for (int i = 0; i < ITERS; i++) {
        const float u = dt * cu_float(__ushort_as_bfloat16(x_raw[i]));
        float y = 0;
#pragma unroll
        for (int j = 0; j < STEP_SSD_EACH; j += 2) {
            float v0, v1;
            states_get(state[i], j, v0, v1);
            v0 = v0 * decay + u * B[j], v1 = v1 * decay + u * B[j + 1];
            y += v0 * C[j];
            y += v1 * C[j + 1];
            states_put(state[i], j, v0, v1);
        }
        if (a.h) *(step_states<T> *)((T *)a.h + at + i * (STEP_SSD_THREADS * STEP_SSD_EACH)) = state[i];
        for (int d = lanes / 2; d > 0; d /= 2) y += __shfl_xor_sync(~0u, y, d);
        if (lane == 0) sum[p0 + i * stride] = y;
    }
    __syncthreads();
    float v = 0;
    if (ends) {
        const float x = cu_float(__ushort_as_bfloat16(x_own)), z = cu_float(__ushort_as_bfloat16(z_own));
        v = (sum[threadIdx.x] + skip * x) * z * cu_sigmoid(z);
        a.y[s * a.H * a.P + own] = __float2bfloat16_rn(v * w);
    }
    v = cu_block_sum(v * v, room);
    if (threadIdx.x == 0 && a.q) a.q[s * a.H + h] = v;
}

/* Rounds of 8 states a thread; 0: not for this kernel. */
static inline int step_ssd_rounds(int64_t P, int64_t N) {
    int64_t n = P * N / (STEP_SSD_THREADS * STEP_SSD_EACH);
    bool whole = P <= STEP_SSD_THREADS && P * N % (STEP_SSD_THREADS * STEP_SSD_EACH) == 0 && (N == 16 || N == 32 || N == 64 || N == 128 || N == 256);
    return whole && (n == 1 || n == 2 || n == 4 || n == 8) ? (int)n : 0;
}

template <typename T, int ITERS> static void step_ssd_rounds_run(const step_ssd_args &a, int64_t S, void *stream) {
    const dim3 grid((unsigned)a.H, (unsigned)S);
    if constexpr (sizeof(T) == 4) early_launch(step_ssd_kernel<ITERS>, grid, STEP_SSD_THREADS, stream, a);
    else early_launch(step_ssd_half_kernel<T, ITERS>, grid, STEP_SSD_THREADS, stream, a);
}
template <typename T> static void step_ssd_run(const step_ssd_args &a, int64_t S, void *stream) {
    switch (step_ssd_rounds(a.P, a.N)) {
    case 1: step_ssd_rounds_run<T, 1>(a, S, stream); break;
    case 2: step_ssd_rounds_run<T, 2>(a, S, stream); break;
    case 4: step_ssd_rounds_run<T, 4>(a, S, stream); break;
    default: step_ssd_rounds_run<T, 8>(a, S, stream);
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
