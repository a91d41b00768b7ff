/* unary.cu - unary on a GPU: 8 elements a thread. */
#include "ops/unary/unary.h"

#include "ops/elements.cuh"

static __device__ __forceinline__ float value(int kind, float x, float alpha) {
    switch (kind) {
    case KR_UNARY_SILU: return x * fast_sigmoid(x);
    case KR_UNARY_GELU: return gelu(x);
    case KR_UNARY_GELU_TANH: return gelu_tanh(x);
    case KR_UNARY_RELU: return x > 0 ? x : 0;
    case KR_UNARY_SIGMOID: return fast_sigmoid(x);
    case KR_UNARY_TANH: return tanhf(x);
    case KR_UNARY_SOFTPLUS: return cu_softplus(x);
    case KR_UNARY_EXP: return expf(x);
    case KR_UNARY_NEG_EXP: return -expf(x);
    case KR_UNARY_SCALE: return alpha * x;
    case KR_UNARY_RECIP: return 1 / (x + alpha);
    default: return x;
    }
}

static __device__ __forceinline__ float slope(int kind, float x, float alpha) {
    float s = fast_sigmoid(x), t;
    switch (kind) {
    case KR_UNARY_SILU: return s * (1 + x * (1 - s));
    case KR_UNARY_GELU: return gelu_slope(x);
    case KR_UNARY_GELU_TANH: return gelu_tanh_slope(x);
    case KR_UNARY_RELU: return x > 0;
    case KR_UNARY_SIGMOID: return s * (1 - s);
    case KR_UNARY_TANH: t = tanhf(x); return 1 - t * t;
    case KR_UNARY_SOFTPLUS: return x > 20 ? 1 : s;
    case KR_UNARY_EXP: return expf(x);
    case KR_UNARY_NEG_EXP: return -expf(x);
    case KR_UNARY_SCALE: return alpha;
    case KR_UNARY_RECIP: return -1 / ((x + alpha) * (x + alpha));
    default: return 1;
    }
}

/* Forward: to = value(x).  Backward: to = or += dy slope(x). */
template <typename T, bool BACK> struct unary_work {
    const T *x, *dy;
    T *to;
    int64_t D, x_pitch, to_pitch;
    int kind;
    float alpha;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> v = get<8, FAST>(x + r * x_pitch + i, left), g;
        if (BACK) g = get<8, FAST>(dy + r * D + i, left);
        float y[8];
#pragma unroll
        for (int j = 0; j < 8; j++) y[j] = BACK ? g[j] * slope(kind, v[j], alpha) : value(kind, v[j], alpha);
        put<8, FAST>(to + r * to_pitch + i, y, add, left);
    }
};

template <typename T, bool BACK> static void run(const kr_call *c) {
    const unary_attr *attr = (const unary_attr *)c->attr;
    const kr_tensor *x = &c->in[UNARY_X], *to = BACK ? &c->din[UNARY_X] : &c->out[UNARY_Y];
    int64_t D = KR_SIZE(c, 'D'), pitch = BACK ? to->pitch : D;
    if (!to->data) return;
    unary_work<T, BACK> w = {(const T *)x->data, (const T *)c->dout[UNARY_Y].data, (T *)to->data, D, x->pitch, pitch,
                             (int)attr->kind, (float)attr->alpha, BACK && c->acc[UNARY_X]};
    bool fast = D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(to, pitch) && elements_fast(&c->dout[UNARY_Y], D);
    elements(c, c->rows, D, fast, w);
}

static void unary_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16, false>(c);
    else run<float, false>(c);
}
static void unary_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16, true>(c);
    else run<float, true>(c);
}

KR_CUDA_OP(unary, NULL, unary_fwd_cuda, unary_bwd_cuda)
