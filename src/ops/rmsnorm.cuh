/* rmsnorm.cuh - the kernels of rmsnorm and add_rmsnorm: a row is one warp's, or a few warps'.
 *
 * A thread holds its elements of the row in registers, CH groups of 4, between the pass that
 * sums squares and the one that writes: every byte moves once.  Groups of 4 make both the
 * 2-byte and the 4-byte tensors of a row lie side by side across a warp. */
#ifndef KR_OPS_RMSNORM_CUH
#define KR_OPS_RMSNORM_CUH
#include "ops/rows.cuh"

enum {
    RMSNORM_MAX_D = ROW_THREADS * 8 * 4,
    RMSNORM_BLOCKS = 3 * 132, /* of a backward: what a large GPU holds at once */
};

/* T: activations.  S: what is normalised, as backward reads it (the stream's float, or x). */
template <typename T, typename S> struct rmsnorm_args {
    int64_t rows;
    int D;
    float eps;
    row_split split;
    const T *x;         /* forward */
    const float *res, *w;
    T *y;               /* in backward: to be made again; NULL: not */
    float *sum;
    const S *s;         /* backward */
    const T *dy;
    const float *dsum;
    T *dx;
    float *dres, *dw;
    int64_t x_pitch, res_pitch, s_pitch, dx_pitch, dres_pitch;
    bool add_dx, add_dres, add_dw;
    float *part;
};

template <typename T, typename S, int CH, bool FAST>
static __global__ void __maxnreg__(CH > 3 ? 128 : 48) rmsnorm_fwd_kernel(const rmsnorm_args<T, S> a) {
    __shared__ float buffer[2][ROW_WARPS][1];
    int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads;
    int64_t r = blockIdx.x * (int64_t)a.split.at_once + slot;
    int D = r < a.rows ? a.D : 0;
    const T *x_row = a.x + r * a.x_pitch;
    const float *res_row = a.res + r * a.res_pitch;
    lanes<T, 4> x[CH];
    lanes<float, 4> res[CH];
    float squares[1] = {0};
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 4;
        x[k] = get<4, FAST>(x_row + i, D - i);
        res[k] = get<4, FAST>(res_row + i, a.res ? D - i : 0);
    }
#pragma unroll
    for (int k = 0; k < CH; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float s = x[k][j] + res[k].v[j];
            res[k].v[j] = s;
            squares[0] += s * s;
        }
    row_sum(squares, a.split.threads, buffer, 0);
    float inv = rsqrtf(squares[0] / (float)a.D + a.eps);
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 4;
        if (i >= D) continue;
        lanes<float, 4> w = get_weight<4, FAST>(a.w, i, D - i);
        float y[4];
#pragma unroll
        for (int j = 0; j < 4; j++) y[j] = res[k].v[j] * inv * w.v[j];
        if (a.sum) put<4, FAST>(a.sum + r * a.D + i, res[k].v, false, D - i);
        put<4, FAST>(a.y + r * a.D + i, y, false, D - i);
    }
}

/* With s the sum and g = dy w:  ds = dsum + inv g - s inv^3 mean(g s).  Blocks walk the rows
 * side by side and keep their share of dw in registers. */
template <typename T, typename S, int CH, bool FAST>
static __global__ void __maxnreg__(CH > 3 ? 128 : 80) rmsnorm_bwd_kernel(const rmsnorm_args<T, S> a) {
    __shared__ float buffer[2][ROW_WARPS][2];
    __shared__ float share[CH > 3 ? 1 : 256 * 4 * CH]; /* of rows so narrow that a block has several */
    int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads, turn = 0;
    float dw[CH][4] = {};
    for (int64_t first = blockIdx.x * (int64_t)a.split.at_once; first < a.rows; first += gridDim.x * (int64_t)a.split.at_once) {
        int64_t r = first + slot;
        int D = r < a.rows ? a.D : 0;
        const S *s_row = a.s + r * a.s_pitch;
        const T *dy_row = a.dy + r * a.D;
        const float *dsum_row = a.dsum + r * a.D;
        lanes<S, 4> s[CH];
        lanes<T, 4> dy[CH];
        lanes<float, 4> ds[CH];
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 4;
            s[k] = get<4, FAST>(s_row + i, D - i);
            dy[k] = get<4, FAST>(dy_row + i, a.dy ? D - i : 0);
            ds[k] = get<4, FAST>(dsum_row + i, a.dsum ? D - i : 0);
        }
        float sums[2] = {0, 0}; /* of s^2 and of g s */
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 4;
            lanes<float, 4> w = get_weight<4, FAST>(a.w, i, D - i);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float v = s[k][j], g = dy[k][j] * w.v[j];
                sums[0] += v * v;
                sums[1] += g * v;
            }
        }
        row_sum(sums, a.split.threads, buffer, turn++);
        float inv = rsqrtf(sums[0] / (float)a.D + a.eps), back = inv * inv * inv * sums[1] / (float)a.D;
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 4;
            if (i >= D) continue;
            lanes<float, 4> w = get_weight<4, FAST>(a.w, i, D - i);
            float d[4], y[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float v = s[k][j], g = dy[k][j];
                y[j] = v * inv * w.v[j];
                dw[k][j] += g * v * inv;
                d[j] = ds[k].v[j] + (inv * (g * w.v[j]) - v * back);
            }
            if (a.y) put<4, FAST>(a.y + r * a.D + i, y, false, D - i);
            if (a.dx) put<4, FAST>(a.dx + r * a.dx_pitch + i, d, a.add_dx, D - i);
            if (a.dres) put<4, FAST>(a.dres + r * a.dres_pitch + i, d, a.add_dres, D - i);
        }
    }
    if (!a.dw) return;
    float *to = a.split.at_once > 1 ? share + slot * a.D : a.part + blockIdx.x * (int64_t)a.D;
#pragma unroll
    for (int k = 0; k < CH; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int i = (k * a.split.threads + lane) * 4 + j;
            if (i < a.D) to[i] = dw[k][j];
        }
    if (a.split.at_once == 1) return;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < a.D; i += (int)blockDim.x) {
        float sum = 0;
        for (int n = 0; n < a.split.at_once; n++) sum += share[n * a.D + i];
        a.part[blockIdx.x * (int64_t)a.D + i] = sum;
    }
}

/* Groups of 4 a thread holds: 3, or 8 in the widest rows. */
static inline int rmsnorm_groups(int64_t D) { return D <= ROW_THREADS * 3 * 4 ? 3 : 8; }
static inline row_split rmsnorm_split(int64_t D) { return row_split_for((D + 3) / 4, rmsnorm_groups(D)); }

static inline size_t rmsnorm_scratch(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    return (size_t)row_blocks(c->rows, rmsnorm_split(D).at_once, RMSNORM_BLOCKS) * (size_t)D * sizeof(float);
}

template <typename T, typename S, int CH> static void rmsnorm_launch(const kr_call *c, const rmsnorm_args<T, S> &a, bool fast, bool back) {
    unsigned block = row_block(a.split), n_fwd = (unsigned)((a.rows + a.split.at_once - 1) / a.split.at_once);
    unsigned n_bwd = (unsigned)row_blocks(a.rows, a.split.at_once, RMSNORM_BLOCKS);
    if (back && fast) cu_launch(rmsnorm_bwd_kernel<T, S, CH, true>, n_bwd, block, 0, c->stream, a);
    else if (back) cu_launch(rmsnorm_bwd_kernel<T, S, CH, false>, n_bwd, block, 0, c->stream, a);
    else if (fast) cu_launch(rmsnorm_fwd_kernel<T, S, CH, true>, n_fwd, block, 0, c->stream, a);
    else cu_launch(rmsnorm_fwd_kernel<T, S, CH, false>, n_fwd, block, 0, c->stream, a);
    if (back) sum_parts(c, a.dw, a.add_dw, a.part, n_bwd, a.D, a.D);
}

template <typename T, typename S> static void rmsnorm_run(const kr_call *c, rmsnorm_args<T, S> &a, bool back) {
    a.rows = c->rows, a.D = (int)KR_SIZE(c, 'D');
    a.split = rmsnorm_split(a.D);
    a.part = (float *)c->scratch;
    if (a.D == 0 || (a.rows == 0 && !back)) return;
    bool fast = a.D % 4 == 0 && rows_aligned(a.x, a.x_pitch, sizeof(T), 4) && rows_aligned(a.y, a.D, sizeof(T), 4) &&
                rows_aligned(a.res, a.res_pitch, 4, 4) && rows_aligned(a.w, 0, 4, 4) && rows_aligned(a.sum, a.D, 4, 4) &&
                rows_aligned(a.s, a.s_pitch, sizeof(S), 4) && rows_aligned(a.dy, a.D, sizeof(T), 4) &&
                rows_aligned(a.dsum, a.D, 4, 4) && rows_aligned(a.dx, a.dx_pitch, sizeof(T), 4) &&
                rows_aligned(a.dres, a.dres_pitch, 4, 4);
    if (rmsnorm_groups(a.D) == 3) rmsnorm_launch<T, S, 3>(c, a, fast, back);
    else rmsnorm_launch<T, S, 8>(c, a, fast, back);
}
#endif
