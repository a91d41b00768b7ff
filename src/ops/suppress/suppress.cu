/* suppress.cu - suppress on a GPU: a warp for each step and head, backward for a block of steps of a head. */
#include "ops/suppress/suppress.h"

#include "ops/rows.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, BLOCK = 32 }; /* BLOCK: steps of a share of dA, dD, ddt_bias */

typedef struct inputs {
    const void *y, *x, *dt;
    const float *A, *D, *bias;
    int64_t y_pitch, x_pitch, dt_pitch, H, P;
    float alpha, least, most;
} inputs;
typedef struct weight { float w, ddt, dA; } weight;

template <typename T> static __device__ __forceinline__ weight weight_of(const inputs &v, int64_t r, int64_t h) {
    float raw = cu_float(((const T *)v.dt)[r * v.dt_pitch + h]) + (v.bias ? v.bias[h] : 0), dt = cu_softplus(raw), A = v.A[h];
    bool inside = dt >= v.least && dt <= v.most;
    dt = fminf(fmaxf(dt, v.least), v.most);
    float a = expf(dt * A);
    if (a >= v.alpha) return {1, 0, 0};
    return {a, inside ? a * A * (raw > 20 ? 1 : cu_sigmoid(raw)) : 0, a * dt};
}

template <typename T> static __global__ void suppress_fwd_kernel(inputs v, int64_t n, T *o) {
    int64_t i = blockIdx.x * (int64_t)WARPS + threadIdx.x / 32, r = i / v.H, h = i % v.H;
    if (i >= n) return;
    float w = weight_of<T>(v, r, h).w, D = v.D ? v.D[h] : 0;
    const T *y = (const T *)v.y + r * v.y_pitch + h * v.P, *x = (const T *)v.x + r * v.x_pitch + h * v.P;
    for (int64_t p = threadIdx.x % 32; p < v.P; p += 32) o[i * v.P + p] = cu_as<T>(w * cu_float(y[p]) + D * cu_float(x[p]));
}

template <typename T>
static __global__ void suppress_bwd_kernel(inputs v, int64_t rows, const T *g, T *dy, int64_t dy_pitch, bool add_y, T *dx, int64_t dx_pitch, bool add_x, T *ddt,
                                           int64_t ddt_pitch, bool add_dt, float *shares) {
    int64_t h = blockIdx.y * (int64_t)WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (h >= v.H) return;
    float sum[3] = {}, D = v.D ? v.D[h] : 0;
    for (int64_t r = blockIdx.x * (int64_t)BLOCK; r < rows && r < (blockIdx.x + 1) * (int64_t)BLOCK; r++) {
        weight w = weight_of<T>(v, r, h);
        float dw = 0;
        for (int64_t p = lane; p < v.P; p += 32) {
            int64_t i = h * v.P + p;
            float d = cu_float(g[r * v.H * v.P + i]);
            dw += d * cu_float(((const T *)v.y)[r * v.y_pitch + i]);
            sum[1] += d * cu_float(((const T *)v.x)[r * v.x_pitch + i]);
            if (dy) cu_give(dy + r * dy_pitch + i, w.w * d, add_y);
            if (dx) cu_give(dx + r * dx_pitch + i, D * d, add_x);
        }
        dw = cu_warp_sum(dw);
        if (ddt && lane == 0) cu_give(ddt + r * ddt_pitch + h, dw * w.ddt, add_dt);
        sum[0] += dw * w.dA;
        sum[2] += dw * w.ddt;
    }
    sum[1] = cu_warp_sum(sum[1]);
    for (int k = 0; k < 3; k++)
        if (lane == k) shares[(blockIdx.x * 3 + k) * v.H + h] = sum[k];
}

static int64_t n_blocks(const kr_call *c) { return (KR_SIZE(c, 'S') * KR_SIZE(c, 'L') + BLOCK - 1) / BLOCK; }
static kr_status suppress_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(n_blocks(c) * 3 * KR_SIZE(c, 'H')) * sizeof(float);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool backward) {
    const suppress_attr *attr = (const suppress_attr *)c->attr;
    const kr_tensor *in = c->in, *dy = &c->din[SUPPRESS_Y], *dx = &c->din[SUPPRESS_X], *ddt = &c->din[SUPPRESS_DT];
    int64_t H = KR_SIZE(c, 'H'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    inputs v = {in[SUPPRESS_Y].data, in[SUPPRESS_X].data, in[SUPPRESS_DT].data, (const float *)in[SUPPRESS_A].data, (const float *)in[SUPPRESS_D].data,
                (const float *)in[SUPPRESS_DT_BIAS].data, in[SUPPRESS_Y].pitch, in[SUPPRESS_X].pitch, in[SUPPRESS_DT].pitch, H, KR_SIZE(c, 'P'),
                (float)attr->alpha, (float)attr->dt_min, (float)attr->dt_max};
    if (!backward) {
        cu_launch(suppress_fwd_kernel<T>, cu_blocks(rows * H, WARPS), THREADS, 0, c->stream, v, rows * H, (T *)c->out[SUPPRESS_O].data);
        return;
    }
    cu_launch(suppress_bwd_kernel<T>, dim3((unsigned)n_blocks(c), cu_blocks(H, WARPS)), THREADS, 0, c->stream, v, rows, (const T *)c->dout[SUPPRESS_O].data,
              (T *)dy->data, dy->pitch, c->acc[SUPPRESS_Y], (T *)dx->data, dx->pitch, c->acc[SUPPRESS_X], (T *)ddt->data, ddt->pitch, c->acc[SUPPRESS_DT],
              (float *)c->scratch);
    static const int slot[] = {SUPPRESS_A, SUPPRESS_D, SUPPRESS_DT_BIAS};
    for (int k = 0; k < 3; k++)
        sum_parts(c, (float *)c->din[slot[k]].data, c->acc[slot[k]], (const float *)c->scratch + k * H, n_blocks(c), 3 * H, H);
}

static void suppress_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void suppress_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(suppress, suppress_plan_cuda, suppress_fwd_cuda, suppress_bwd_cuda)
