/* layernorm.cu - layernorm on a GPU, as ops/rmsnorm.cuh does its norms: a thread holds CH
 * groups of 4 elements of a row between the passes. */
#include "ops/layernorm/layernorm.h"

#include "ops/rows.cuh"

enum {
    MAX_D = ROW_THREADS * 8 * 4,
    BLOCKS = 3 * 132, /* of a backward */
};

template <typename T> struct layernorm_args {
    int64_t rows, x_pitch, dx_pitch;
    int D;
    float eps;
    row_split split;
    const T *x, *dy;
    const float *w, *b;
    T *y, *dx;
    bool add_dx;
    float *part; /* part[block][2][D]: dw, db */
};

/* Mean, and 1 / standard deviation around it: in two passes, so that nothing cancels. */
template <typename T, int CH>
static __device__ __forceinline__ void moments(const layernorm_args<T> &a, const lanes<T, 4> (&x)[CH], int lane, int D, float *mean,
                                               float *inv, float (&buffer)[2][ROW_WARPS][1], int *turn) {
    float sum[1] = {0};
#pragma unroll
    for (int k = 0; k < CH; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[0] += x[k][j];
    row_sum(sum, a.split.threads, buffer, (*turn)++);
    *mean = sum[0] / (float)a.D;
    sum[0] = 0;
#pragma unroll
    for (int k = 0; k < CH; k++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float d = (k * a.split.threads + lane) * 4 + j < D ? x[k][j] - *mean : 0;
            sum[0] += d * d;
        }
    row_sum(sum, a.split.threads, buffer, (*turn)++);
    *inv = rsqrtf(sum[0] / (float)a.D + a.eps);
}

template <typename T, int CH, bool FAST> static __global__ void __maxnreg__(CH > 3 ? 128 : 64) layernorm_fwd_kernel(const layernorm_args<T> a) {
    __shared__ float buffer[2][ROW_WARPS][1];
    int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads, turn = 0;
    int64_t r = blockIdx.x * (int64_t)a.split.at_once + slot;
    int D = r < a.rows ? a.D : 0;
    const T *x_row = a.x + r * a.x_pitch;
    lanes<T, 4> x[CH];
    float mean, inv;
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 4;
        x[k] = get<4, FAST>(x_row + i, D - i);
    }
    moments<T, CH>(a, x, lane, D, &mean, &inv, buffer, &turn);
#pragma unroll
    for (int k = 0; k < CH; k++) {
        int i = (k * a.split.threads + lane) * 4;
        if (i >= D) continue;
        lanes<float, 4> w, b;
        if (a.w) w = get<4, FAST>(a.w + i, D - i);
        if (a.b) b = get<4, FAST>(a.b + i, D - i);
        float y[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            y[j] = (x[k][j] - mean) * inv;
            if (a.w) y[j] *= w.v[j];
            if (a.b) y[j] += b.v[j];
        }
        put<4, FAST>(a.y + r * a.D + i, y, false, D - i);
    }
}

/* With n = (x - mean) inv and g = dy w:  dx = inv (g - mean(g) - n mean(g n)). */
template <typename T, int CH, bool FAST> static __global__ void __maxnreg__(CH > 3 ? 128 : 96) layernorm_bwd_kernel(const layernorm_args<T> a) {
    __shared__ float buffer[2][ROW_WARPS][1], buffer2[2][ROW_WARPS][2];
    __shared__ float share[CH > 3 ? 1 : 256 * 4 * CH]; /* of rows so narrow that a block has several */
    int slot = (int)threadIdx.x / a.split.threads, lane = (int)threadIdx.x - slot * a.split.threads, turn = 0, turn2 = 0;
    float dw[2][CH][4] = {}; /* dw, db */
    for (int64_t first = blockIdx.x * (int64_t)a.split.at_once; first < a.rows; first += gridDim.x * (int64_t)a.split.at_once) {
        int64_t r = first + slot;
        int D = r < a.rows ? a.D : 0;
        const T *x_row = a.x + r * a.x_pitch, *dy_row = a.dy + r * a.D;
        lanes<T, 4> x[CH], dy[CH];
        float mean, inv, sums[2] = {0, 0}; /* of g and g n */
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 4;
            x[k] = get<4, FAST>(x_row + i, D - i);
            dy[k] = get<4, FAST>(dy_row + i, D - i);
        }
        moments<T, CH>(a, x, lane, D, &mean, &inv, buffer, &turn);
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 4;
            lanes<float, 4> w = get<4, FAST>(a.w + i, a.w ? D - i : 0);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float g = a.w ? dy[k][j] * w.v[j] : dy[k][j], n = (x[k][j] - mean) * inv;
                sums[0] += g, sums[1] += g * n;
                dw[0][k][j] += dy[k][j] * n, dw[1][k][j] += dy[k][j];
            }
        }
        row_sum(sums, a.split.threads, buffer2, turn2++);
        float g_mean = sums[0] / (float)a.D, gn_mean = sums[1] / (float)a.D;
#pragma unroll
        for (int k = 0; k < CH; k++) {
            int i = (k * a.split.threads + lane) * 4;
            if (i >= D || !a.dx) continue;
            lanes<float, 4> w = get<4, FAST>(a.w + i, a.w ? D - i : 0);
            float d[4];
#pragma unroll
            for (int j = 0; j < 4; j++)
                d[j] = inv * ((a.w ? dy[k][j] * w.v[j] : dy[k][j]) - g_mean - (x[k][j] - mean) * inv * gn_mean);
            put<4, FAST>(a.dx + r * a.dx_pitch + i, d, a.add_dx, D - i);
        }
    }
    if (!a.part) return;
#pragma unroll
    for (int which = 0; which < 2; which++) {
        float *part = a.part + (blockIdx.x * (int64_t)2 + which) * a.D, *to = a.split.at_once > 1 ? share + slot * a.D : part;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < CH; k++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int i = (k * a.split.threads + lane) * 4 + j;
                if (i < a.D) to[i] = dw[which][k][j];
            }
        __syncthreads();
        for (int i = (int)threadIdx.x; a.split.at_once > 1 && i < a.D; i += (int)blockDim.x) {
            float sum = 0;
            for (int n = 0; n < a.split.at_once; n++) sum += share[n * a.D + i];
            part[i] = sum;
        }
    }
}

static int groups_of_4(int64_t D) { return D <= ROW_THREADS * 3 * 4 ? 3 : 8; }
static row_split split_for(int64_t D) { return row_split_for((D + 3) / 4, groups_of_4(D)); }

static kr_status layernorm_plan_cuda(kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    if (D > MAX_D) KR_FAIL(KR_ERR_SHAPE, "layernorm: D is %lld, want at most %d on a GPU", (long long)D, MAX_D);
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(row_blocks(c->rows, split_for(D).at_once, BLOCKS) * 2 * D) * sizeof(float);
    return KR_OK;
}

template <typename T, int CH, bool FAST> static void launch(const kr_call *c, const layernorm_args<T> &a, bool back) {
    unsigned block = row_block(a.split);
    int64_t n = row_blocks(a.rows, a.split.at_once, BLOCKS), D = a.D;
    if (!back) {
        cu_launch(layernorm_fwd_kernel<T, CH, FAST>, cu_blocks(a.rows, a.split.at_once), block, 0, c->stream, a);
        return;
    }
    cu_launch(layernorm_bwd_kernel<T, CH, FAST>, (unsigned)n, block, 0, c->stream, a);
    sum_parts(c, (float *)c->din[LAYERNORM_W].data, c->acc[LAYERNORM_W], a.part, n, 2 * D, D);
    sum_parts(c, (float *)c->din[LAYERNORM_B].data, c->acc[LAYERNORM_B], a.part + D, n, 2 * D, D);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[LAYERNORM_X], *dx = &c->din[LAYERNORM_X];
    layernorm_args<T> a = {};
    a.rows = c->rows, a.D = (int)KR_SIZE(c, 'D');
    if (a.D == 0 || (a.rows == 0 && !back)) return;
    a.eps = (float)((const layernorm_attr *)c->attr)->eps;
    a.split = split_for(a.D);
    a.x = (const T *)x->data, a.x_pitch = x->pitch;
    a.w = (const float *)c->in[LAYERNORM_W].data;
    if (!back) {
        a.b = (const float *)c->in[LAYERNORM_B].data;
        a.y = (T *)c->out[LAYERNORM_Y].data;
    } else {
        a.dy = (const T *)c->dout[LAYERNORM_Y].data;
        a.dx = (T *)dx->data, a.dx_pitch = dx->pitch, a.add_dx = c->acc[LAYERNORM_X];
        a.part = c->din[LAYERNORM_W].data || c->din[LAYERNORM_B].data ? (float *)c->scratch : NULL;
    }
    bool fast = a.D % 4 == 0 && rows_aligned(a.x, a.x_pitch, sizeof(T), 4) && rows_aligned(a.y, a.D, sizeof(T), 4) &&
                rows_aligned(a.w, 0, 4, 4) && rows_aligned(a.b, 0, 4, 4) && rows_aligned(a.dy, a.D, sizeof(T), 4) &&
                rows_aligned(a.dx, a.dx_pitch, sizeof(T), 4);
    bool wide = groups_of_4(a.D) != 3;
    if (wide && fast) launch<T, 8, true>(c, a, back);
    else if (wide) launch<T, 8, false>(c, a, back);
    else if (fast) launch<T, 3, true>(c, a, back);
    else launch<T, 3, false>(c, a, back);
}

static void layernorm_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void layernorm_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(layernorm, layernorm_plan_cuda, layernorm_fwd_cuda, layernorm_bwd_cuda)
