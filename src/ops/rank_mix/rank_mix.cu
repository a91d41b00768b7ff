/* rank_mix.cu - rank_mix on a GPU: a warp for each step and head, its R x R products in shared
 * memory; dD by shares of a fixed number of steps. */
#include "ops/rank_mix/rank_mix.h"

#include "ops/rows.cuh"

enum { WARPS = 4, MOST = RANK_MIX_MOST, BLOCK = 128 };

template <typename T> struct mix {
    const T *v, *k, *q, *all, *ahead, *dy;
    const float *D;
    T *y, *dv, *dk, *dq, *dall, *dahead;
    float *diag; /* dD of each step and head; NULL: unwanted */
    int64_t n, R, H, P, N, v_pitch, k_pitch, q_pitch, all_pitch, ahead_pitch, dv_pitch, dk_pitch, dq_pitch, dall_pitch, dahead_pitch;
    bool add_v, add_k, add_q, add_all, add_ahead;
};

template <typename T> static __device__ __forceinline__ float warp_dot(const T *a, const T *b, int64_t n) {
    float sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += 32) sum += cu_float(a[i]) * cu_float(b[i]);
    return cu_warp_sum(sum);
}

template <typename T, bool BACK> static __global__ void __launch_bounds__(32 * WARPS) mix_kernel(mix<T> m) {
    __shared__ float w[WARPS][MOST][MOST], g[BACK ? WARPS : 1][MOST][MOST];
    int64_t e = blockIdx.x * (int64_t)WARPS + threadIdx.y, t = e / m.H, h = e - t * m.H, vs = m.H * m.P, ks = m.H * m.N, R = m.R;
    if (e >= m.n) return;
    int id = threadIdx.y, lane = threadIdx.x;
    const T *v = m.v + t * m.v_pitch + h * m.P, *k = m.k + t * m.k_pitch + h * m.N, *q = m.q + t * m.q_pitch + h * m.N;
    const T *dy = BACK ? m.dy + (t * R * m.H + h) * m.P : NULL;
    float all = cu_float(m.all[t * m.all_pitch + h]), ahead = cu_float(m.ahead[t * m.ahead_pitch + h]), gall = 0, gahead = 0, diag = 0;
    for (int j = 0; j < R; j++)
        for (int r = 0; r < R; r++) {
            float kq = warp_dot(k + r * ks, q + j * ks, m.N), weight = (r > j ? all : 0) - ahead;
            if (lane == 0) w[id][j][r] = weight * kq + (r == j ? m.D[h] : 0);
            if (!BACK) continue;
            float s = warp_dot(dy + j * vs, v + r * vs, m.P);
            gall += r > j ? s * kq : 0;
            gahead -= s * kq;
            diag += r == j ? s : 0;
            if (lane == 0) g[id][j][r] = s * weight;
        }
    __syncwarp();
    if (!BACK) {
        for (int j = 0; j < R; j++)
            for (int64_t i = lane; i < m.P; i += 32) {
                float sum = 0;
                for (int r = 0; r < R; r++) sum += w[id][j][r] * cu_float(v[r * vs + i]);
                m.y[(t * R * m.H + h) * m.P + j * vs + i] = cu_as<T>(sum);
            }
        return;
    }
    if (lane == 0) {
        if (m.dall) cu_give(m.dall + t * m.dall_pitch + h, gall, m.add_all);
        if (m.dahead) cu_give(m.dahead + t * m.dahead_pitch + h, gahead, m.add_ahead);
        if (m.diag) m.diag[e] = diag;
    }
    for (int r = 0; r < R && m.dv; r++)
        for (int64_t i = lane; i < m.P; i += 32) {
            float sum = 0;
            for (int j = 0; j < R; j++) sum += w[id][j][r] * cu_float(dy[j * vs + i]);
            cu_give(m.dv + t * m.dv_pitch + h * m.P + r * vs + i, sum, m.add_v);
        }
    for (int a = 0; a < R; a++)
        for (int64_t n = lane; n < m.N; n += 32) {
            float dk = 0, dq = 0;
            for (int b = 0; b < R; b++) {
                dk += g[id][b][a] * cu_float(q[b * ks + n]);
                dq += g[id][a][b] * cu_float(k[b * ks + n]);
            }
            if (m.dk) cu_give(m.dk + t * m.dk_pitch + h * m.N + a * ks + n, dk, m.add_k);
            if (m.dq) cu_give(m.dq + t * m.dq_pitch + h * m.N + a * ks + n, dq, m.add_q);
        }
}

/* shares[block][h] = the sum of diag over a block of steps */
static __global__ void shares_kernel(int64_t T, int64_t H, const float *diag, float *shares) {
    int64_t h = blockIdx.y * (int64_t)blockDim.x + threadIdx.x;
    float sum = 0;
    if (h >= H) return;
    for (int64_t t = blockIdx.x * (int64_t)BLOCK; t < T && t < (blockIdx.x + 1) * (int64_t)BLOCK; t++) sum += diag[t * H + h];
    shares[blockIdx.x * H + h] = sum;
}

static kr_status rank_mix_plan_cuda(kr_call *c) {
    int64_t T = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    c->bwd_scratch = (size_t)((T + (T + BLOCK - 1) / BLOCK) * H) * sizeof(float);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *in = c->in, *d = c->din;
    int64_t H = KR_SIZE(c, 'H'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), blocks = (rows + BLOCK - 1) / BLOCK;
    float *dD = (float *)d[RANK_MIX_D].data, *diag = (float *)c->scratch;
    mix<T> m = {(const T *)in[RANK_MIX_V].data, (const T *)in[RANK_MIX_K].data, (const T *)in[RANK_MIX_Q].data, (const T *)in[RANK_MIX_ALL].data,
                (const T *)in[RANK_MIX_AHEAD].data, (const T *)c->dout[RANK_MIX_Y].data, (const float *)in[RANK_MIX_D].data,
                (T *)c->out[RANK_MIX_Y].data, (T *)d[RANK_MIX_V].data, (T *)d[RANK_MIX_K].data, (T *)d[RANK_MIX_Q].data, (T *)d[RANK_MIX_ALL].data,
                (T *)d[RANK_MIX_AHEAD].data, dD ? diag : NULL, rows * H, KR_SIZE(c, 'R'), H, KR_SIZE(c, 'P'), KR_SIZE(c, 'N'),
                in[RANK_MIX_V].pitch, in[RANK_MIX_K].pitch, in[RANK_MIX_Q].pitch, in[RANK_MIX_ALL].pitch, in[RANK_MIX_AHEAD].pitch,
                d[RANK_MIX_V].pitch, d[RANK_MIX_K].pitch, d[RANK_MIX_Q].pitch, d[RANK_MIX_ALL].pitch, d[RANK_MIX_AHEAD].pitch,
                c->acc[RANK_MIX_V], c->acc[RANK_MIX_K], c->acc[RANK_MIX_Q], c->acc[RANK_MIX_ALL], c->acc[RANK_MIX_AHEAD]};
    cu_launch(back ? mix_kernel<T, true> : mix_kernel<T, false>, cu_blocks(m.n, WARPS), dim3(32, WARPS), 0, c->stream, m);
    if (!back || !dD) return;
    float *shares = diag + rows * H;
    cu_launch(shares_kernel, dim3((unsigned)blocks, cu_blocks(H, 128)), 128, 0, c->stream, rows, H, (const float *)diag, shares);
    sum_parts(c, dD, c->acc[RANK_MIX_D], shares, blocks, H, H);
}
static void rank_mix_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void rank_mix_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(rank_mix, rank_mix_plan_cuda, rank_mix_fwd_cuda, rank_mix_bwd_cuda)
