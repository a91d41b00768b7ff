/* glu.cu - glu on a GPU: 8 elements a thread. */
#include "ops/glu/glu.h"

#include "ops/elements.cuh"

/* f(g) and its slope. */
static __device__ __forceinline__ float value(int kind, float g) {
    switch (kind) {
    case KR_GLU_GELU: return gelu(g);
    case KR_GLU_GELU_TANH: return gelu_tanh(g);
    case KR_GLU_RELU: return g > 0 ? g : 0;
    case KR_GLU_SIGMOID: return fast_sigmoid(g);
    default: return g * fast_sigmoid(g);
    }
}
static __device__ __forceinline__ float slope(int kind, float g) {
    float s = fast_sigmoid(g);
    switch (kind) {
    case KR_GLU_GELU: return gelu_slope(g);
    case KR_GLU_GELU_TANH: return gelu_tanh_slope(g);
    case KR_GLU_RELU: return g > 0;
    case KR_GLU_SIGMOID: return s * (1 - s);
    default: return s * (1 + g * (1 - s));
    }
}

template <typename T> struct glu_fwd_work {
    const T *x, *gate;
    T *y;
    int64_t D, x_pitch, gate_pitch;
    int kind;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> a = get<8, FAST>(x + r * x_pitch + i, left), g = get<8, FAST>(gate + r * gate_pitch + i, left);
        float v[8];
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = a[j] * value(kind, g[j]);
        put<8, FAST>(y + r * D + i, v, false, left);
    }
};

template <typename T> struct glu_bwd_work {
    const T *x, *gate, *dy;
    T *dx, *dgate;
    int64_t D, x_pitch, gate_pitch, dx_pitch, dgate_pitch;
    int kind;
    bool add_x, add_gate;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> a = get<8, FAST>(x + r * x_pitch + i, left), g = get<8, FAST>(gate + r * gate_pitch + i, left);
        lanes<T, 8> d = get<8, FAST>(dy + r * D + i, left);
        float u[8], v[8];
#pragma unroll
        for (int j = 0; j < 8; j++) u[j] = d[j] * value(kind, g[j]), v[j] = d[j] * a[j] * slope(kind, g[j]);
        if (dx) put<8, FAST>(dx + r * dx_pitch + i, u, add_x, left);
        if (dgate) put<8, FAST>(dgate + r * dgate_pitch + i, v, add_gate, left);
    }
};

template <typename T> static void run_fwd(const kr_call *c) {
    const kr_tensor *x = &c->in[GLU_X], *g = &c->in[GLU_GATE];
    int64_t D = KR_SIZE(c, 'D');
    glu_fwd_work<T> w = {(const T *)x->data, (const T *)g->data, (T *)c->out[GLU_Y].data, D, x->pitch, g->pitch,
                         (int)((const glu_attr *)c->attr)->kind};
    elements(c, c->rows, D, D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(g, g->pitch) && elements_fast(&c->out[GLU_Y], D), w);
}

template <typename T> static void run_bwd(const kr_call *c) {
    const kr_tensor *x = &c->in[GLU_X], *g = &c->in[GLU_GATE], *dx = &c->din[GLU_X], *dg = &c->din[GLU_GATE];
    int64_t D = KR_SIZE(c, 'D');
    if (!dx->data && !dg->data) return;
    glu_bwd_work<T> w = {(const T *)x->data, (const T *)g->data, (const T *)c->dout[GLU_Y].data, (T *)dx->data, (T *)dg->data, D,
                         x->pitch, g->pitch, dx->pitch, dg->pitch, (int)((const glu_attr *)c->attr)->kind, c->acc[GLU_X], c->acc[GLU_GATE]};
    bool fast = D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(g, g->pitch) && elements_fast(&c->dout[GLU_Y], D) &&
                elements_fast(dx, dx->pitch) && elements_fast(dg, dg->pitch);
    elements(c, c->rows, D, fast, w);
}

static void glu_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run_fwd<bf16>(c);
    else run_fwd<float>(c);
}
static void glu_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run_bwd<bf16>(c);
    else run_bwd<float>(c);
}

KR_CUDA_OP(glu, NULL, glu_fwd_cuda, glu_bwd_cuda)
