/* trapezoid.cu - trapezoid on a GPU: a thread for each step and head. */
#include "ops/trapezoid/trapezoid.h"

#include "ops/rows.cuh"

enum { THREADS = 256, BLOCK = 128 }; /* steps of a share of ddt_bias */

typedef struct inputs {
    const void *dt, *A, *trap;
    const float *bias;
    const int32_t *id;
    int64_t dt_pitch, A_pitch, trap_pitch, id_pitch, L, H;
    float floor;
} inputs;
typedef struct parts { float raw, step, lam, rate, slope; } parts;
typedef struct given { const void *decay, *ratio, *ahead, *step; } given;

static __device__ __forceinline__ bool goes_on(const inputs &v, int64_t r) {
    return r % v.L + 1 < v.L && (!v.id || v.id[r * v.id_pitch] == v.id[(r + 1) * v.id_pitch]);
}
template <typename T> static __device__ __forceinline__ parts parts_of(const inputs &v, int64_t r, int64_t h) {
    float x = cu_float(((const T *)v.A)[r * v.A_pitch + h]), f = x >= 0 ? 1 + x : 1 / (1 - x);
    parts p = {cu_float(((const T *)v.dt)[r * v.dt_pitch + h]) + v.bias[h]};
    p.step = cu_softplus(p.raw);
    p.lam = cu_sigmoid(cu_float(((const T *)v.trap)[r * v.trap_pitch + h]));
    p.rate = fmaxf(f, v.floor);
    p.slope = f < v.floor ? 0 : x >= 0 ? 1 : f * f;
    return p;
}
template <typename T> static __device__ __forceinline__ float ahead_of(const inputs &v, int64_t r, int64_t h) {
    if (!goes_on(v, r)) return 0;
    parts q = parts_of<T>(v, r + 1, h);
    return (1 - q.lam) * q.step;
}

template <typename T> static __global__ void trapezoid_fwd_kernel(inputs v, int64_t n, T *decay, T *ratio, T *ahead, T *step) {
    int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x, r = i / v.H, h = i % v.H;
    if (i >= n) return;
    parts p = parts_of<T>(v, r, h);
    float d = p.rate * p.step, next = ahead_of<T>(v, r, h);
    decay[i] = cu_as<T>(d);
    if (ratio) ratio[i] = cu_as<T>((p.lam * p.step + next) / d);
    if (ahead) ahead[i] = cu_as<T>(next);
    if (step) step[i] = cu_as<T>(p.step);
}

template <typename T> static __device__ __forceinline__ float at(const void *x, int64_t i) { return x ? cu_float(((const T *)x)[i]) : 0; }
typedef struct back { float all, decay, next; } back;
template <typename T> static __device__ __forceinline__ back back_of(const inputs &v, const given &g, int64_t r, int64_t h, const parts &p) {
    int64_t i = r * v.H + h;
    float d = p.rate * p.step, all = p.lam * p.step + ahead_of<T>(v, r, h);
    back b = {at<T>(g.ratio, i) / d};
    b.decay = at<T>(g.decay, i) - b.all * all / d;
    b.next = b.all + at<T>(g.ahead, i);
    return b;
}

/* Thread: a head over a block of steps. */
template <typename T>
static __global__ void trapezoid_bwd_kernel(inputs v, given g, int64_t rows, T *ddt, int64_t ddt_pitch, bool add_dt, T *dA, int64_t dA_pitch, bool add_A,
                                            T *dtrap, int64_t dtrap_pitch, bool add_trap, float *shares) {
    int64_t h = blockIdx.y * (int64_t)blockDim.x + threadIdx.x;
    if (h >= v.H) return;
    float sum = 0;
    for (int64_t r = blockIdx.x * (int64_t)BLOCK; r < rows && r < (blockIdx.x + 1) * (int64_t)BLOCK; r++) {
        parts p = parts_of<T>(v, r, h);
        back b = back_of<T>(v, g, r, h, p);
        float gstep = b.all * p.lam + b.decay * p.rate + at<T>(g.step, r * v.H + h), glam = b.all * p.step;
        if (r % v.L > 0 && goes_on(v, r - 1)) {
            float next = back_of<T>(v, g, r - 1, h, parts_of<T>(v, r - 1, h)).next;
            gstep += next * (1 - p.lam);
            glam -= next * p.step;
        }
        float raw = gstep * (p.raw > 20 ? 1 : cu_sigmoid(p.raw));
        if (ddt) cu_give(ddt + r * ddt_pitch + h, raw, add_dt);
        if (dA) cu_give(dA + r * dA_pitch + h, b.decay * p.step * p.slope, add_A);
        if (dtrap) cu_give(dtrap + r * dtrap_pitch + h, glam * p.lam * (1 - p.lam), add_trap);
        sum += raw;
    }
    shares[blockIdx.x * v.H + h] = sum;
}
static __global__ void trapezoid_bias(int64_t n, int64_t H, const float *shares, float *d, bool add) {
    int64_t h = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (h >= H) return;
    float sum = add ? d[h] : 0;
    for (int64_t k = 0; k < n; k++) sum += shares[k * H + h];
    d[h] = sum;
}

static int64_t n_blocks(const kr_call *c) { return (KR_SIZE(c, 'S') * KR_SIZE(c, 'L') + BLOCK - 1) / BLOCK; }
static kr_status trapezoid_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = (size_t)(n_blocks(c) * KR_SIZE(c, 'H')) * sizeof(float);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool backward) {
    int64_t H = KR_SIZE(c, 'H'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    const kr_tensor *in = c->in, *out = c->out, *dout = c->dout, *ddt = &c->din[TRAPEZOID_DT], *dA = &c->din[TRAPEZOID_A], *dtrap = &c->din[TRAPEZOID_TRAP];
    inputs v = {in[TRAPEZOID_DT].data, in[TRAPEZOID_A].data, in[TRAPEZOID_TRAP].data, (const float *)in[TRAPEZOID_DT_BIAS].data,
                (const int32_t *)in[TRAPEZOID_SEQ_IDX].data, in[TRAPEZOID_DT].pitch, in[TRAPEZOID_A].pitch, in[TRAPEZOID_TRAP].pitch,
                in[TRAPEZOID_SEQ_IDX].pitch, KR_SIZE(c, 'L'), H, (float)((const trapezoid_attr *)c->attr)->A_floor};
    if (!backward) {
        cu_launch(trapezoid_fwd_kernel<T>, dim3(cu_blocks(rows * H, THREADS)), THREADS, 0, c->stream, v, rows * H, (T *)out[TRAPEZOID_DECAY].data,
                  (T *)out[TRAPEZOID_RATIO].data, (T *)out[TRAPEZOID_AHEAD].data, (T *)out[TRAPEZOID_STEP].data);
        return;
    }
    given g = {dout[TRAPEZOID_DECAY].data, dout[TRAPEZOID_RATIO].data, dout[TRAPEZOID_AHEAD].data, dout[TRAPEZOID_STEP].data};
    cu_launch(trapezoid_bwd_kernel<T>, dim3((unsigned)n_blocks(c), cu_blocks(H, 32)), 32, 0, c->stream, v, g, rows, (T *)ddt->data, ddt->pitch,
              c->acc[TRAPEZOID_DT], (T *)dA->data, dA->pitch, c->acc[TRAPEZOID_A], (T *)dtrap->data, dtrap->pitch, c->acc[TRAPEZOID_TRAP], (float *)c->scratch);
    if (c->din[TRAPEZOID_DT_BIAS].data)
        cu_launch(trapezoid_bias, dim3(cu_blocks(H, THREADS)), THREADS, 0, c->stream, n_blocks(c), H, (const float *)c->scratch,
                  (float *)c->din[TRAPEZOID_DT_BIAS].data, c->acc[TRAPEZOID_DT_BIAS]);
}

static void trapezoid_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void trapezoid_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(trapezoid, trapezoid_plan_cuda, trapezoid_fwd_cuda, trapezoid_bwd_cuda)
