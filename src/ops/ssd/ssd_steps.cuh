/* ssd_steps.cuh - ssd as the recurrence it is, step by step in float32.
 *
 * For float32 activations, where bf16 products would not be exact enough, for sizes and
 * strides the tensor cores do not take, and for a few steps (decoding).  Eight lanes share a
 * channel's state; time is not split, so few sequences and heads leave a GPU half idle. */
#ifndef KR_OPS_SSD_STEPS_CUH
#define KR_OPS_SSD_STEPS_CUH
#include "ops/ssd/ssd_tile.cuh"

enum {
    SSD_LANES = 8,      /* of a channel */
    SSD_TILE = 16,      /* steps read ahead into shared memory */
    SSD_THREADS = 128,
    SSD_KEEP = 64       /* steps between the states that backward starts from */
};

/* A tile of steps, for one head. */
template <int N_MAX> struct ssd_steps_tile {
    float B[SSD_TILE][N_MAX], C[SSD_TILE][N_MAX], x[SSD_TILE][32], dt[SSD_TILE], decay[SSD_TILE]; /* decay 0: a sequence begins */
};

/* Loads go out eight at a time, then are waited for: their latency is what a tile costs. */
template <bool KEEP, typename T, int N_MAX>
__device__ inline void steps_load(ssd_steps_tile<N_MAX> *w, const ssd_args_of<T> &a, int s, int h, int p0, int n_p, int64_t t0, int n_steps) {
    const int64_t row0 = (int64_t)s * a.L + t0;
    const int g = h / a.R;
    enum { ROUNDS = SSD_TILE * N_MAX / SSD_THREADS, AT_ONCE = ROUNDS < 8 ? ROUNDS : 8 };
    for (int i0 = 0; i0 < ROUNDS * SSD_THREADS && i0 < n_steps * N_MAX; i0 += AT_ONCE * SSD_THREADS) {
        float B[AT_ONCE], C[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int i = i0 + k * SSD_THREADS + threadIdx.x, t = i / N_MAX, n = i % N_MAX;
            const bool there = t < n_steps && n < a.N;
            B[k] = there ? cu_float(a.B[(row0 + t) * a.B_pitch + (int64_t)g * a.N + n]) : 0;
            C[k] = there && !KEEP ? cu_float(a.C[(row0 + t) * a.C_pitch + (int64_t)g * a.N + n]) : 0;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int i = i0 + k * SSD_THREADS + threadIdx.x, t = i / N_MAX, n = i % N_MAX;
            w->B[t][n] = B[k], w->C[t][n] = C[k];
        }
    }
    for (int i = threadIdx.x; i < n_steps * n_p; i += blockDim.x)
        w->x[i / n_p][i % n_p] = cu_float(a.x[(row0 + i / n_p) * a.x_pitch + (int64_t)h * a.P + p0 + i % n_p]);
    for (int t = threadIdx.x; t < n_steps; t += blockDim.x) {
        int64_t row = row0 + t;
        bool begins = a.seq && t0 + t > 0 && a.seq[row * a.seq_pitch] != a.seq[(row - 1) * a.seq_pitch];
        w->dt[t] = step_size(a, cu_float(a.dt[row * a.dt_pitch + h]), h);
        w->decay[t] = begins ? 0 : expf(w->dt[t] * a.A[h]);
    }
}

/* Grid: channel tiles, H, S.  NPT states a lane: N up to 8 NPT.  KEEP: only the states that
 * backward starts from. */
template <typename T, int NPT, bool KEEP> __global__ void __launch_bounds__(SSD_THREADS) ssd_steps(ssd_args_of<T> a) {
    __shared__ ssd_steps_tile<SSD_LANES * NPT> w;
    const int lane = threadIdx.x % SSD_LANES, pl = threadIdx.x / SSD_LANES, per = blockDim.x / SSD_LANES;
    const int p0 = blockIdx.x * per, h = blockIdx.y, s = blockIdx.z, p = p0 + pl, n_p = a.P - p0 < per ? a.P - p0 : per;
    const bool there = p < a.P;
    const float skip = there ? (a.D ? a.D[h] : 0) + (a.Dhp ? a.Dhp[(int64_t)h * a.P + p] : 0) : 0;
    const int64_t at = (((int64_t)s * a.H + h) * a.P + (there ? p : 0)) * a.N, n_kept = (a.L + SSD_KEEP - 1) / SSD_KEEP;
    float S[NPT];
#pragma unroll
    for (int i = 0; i < NPT; i++) S[i] = there && a.h0 && lane + SSD_LANES * i < a.N ? a.h0[at + lane + SSD_LANES * i] : 0;
    for (int64_t t0 = 0; t0 < a.L; t0 += SSD_TILE) {
        const int n_steps = a.L - t0 < SSD_TILE ? (int)(a.L - t0) : SSD_TILE;
        if (KEEP && t0 % SSD_KEEP == 0 && there) {
            float *to = a.kept + ((((int64_t)s * n_kept + t0 / SSD_KEEP) * a.H + h) * a.P + p) * a.N;
#pragma unroll
            for (int i = 0; i < NPT; i++)
                if (lane + SSD_LANES * i < a.N) to[lane + SSD_LANES * i] = S[i];
        }
        __syncthreads();
        steps_load<KEEP>(&w, a, s, h, p0, n_p, t0, n_steps);
        __syncthreads();
        for (int t = 0; t < n_steps; t++) {
            const float decay = w.decay[t], x = there ? w.x[t][pl] : 0, u = x * w.dt[t];
            float y = 0;
#pragma unroll
            for (int i = 0; i < NPT; i++) {
                const int n = lane + SSD_LANES * i;
                if (n >= a.N) break;
                S[i] = S[i] * decay + u * w.B[t][n];
                if (!KEEP) y += S[i] * w.C[t][n];
            }
            if constexpr (!KEEP)
                for (int d = 1; d < SSD_LANES; d *= 2) y += __shfl_xor_sync(~0u, y, d);
            if (!KEEP && lane == 0 && there) a.y[(((int64_t)s * a.L + t0 + t) * a.H + h) * a.P + p] = cu_as<T>(y + skip * x);
        }
    }
#pragma unroll
    for (int i = 0; i < NPT; i++)
        if (!KEEP && a.h && there && lane + SSD_LANES * i < a.N) a.h[at + lane + SSD_LANES * i] = S[i];
}
#endif
