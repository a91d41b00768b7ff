/* binary.cu - binary on a GPU: 8 elements a thread. */
#include "ops/binary/binary.h"

#include "ops/elements.cuh"

template <typename T> struct binary_work {
    const T *a, *b;
    T *y;
    int64_t D, a_pitch, b_pitch;
    int kind;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> u = get<8, FAST>(a + r * a_pitch + i, left), v = get<8, FAST>(b + r * b_pitch + i, left);
        float to[8];
#pragma unroll
        for (int j = 0; j < 8; j++) to[j] = kind == KR_BINARY_ADD ? u[j] + v[j] : kind == KR_BINARY_MUL ? u[j] * v[j] : u[j] - v[j];
        put<8, FAST>(y + r * D + i, to, false, left);
    }
};

/* to = or += sign dy, times the other operand if there is one. */
template <typename T> struct binary_back {
    const T *dy, *other;
    T *to;
    int64_t D, other_pitch, to_pitch;
    float sign;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> g = get<8, FAST>(dy + r * D + i, left), o = get<8, FAST>(other + r * other_pitch + i, other ? left : 0);
        float v[8];
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = sign * (other ? g[j] * o[j] : g[j]);
        put<8, FAST>(to + r * to_pitch + i, v, add, left);
    }
};

template <typename T> static void fwd(const kr_call *c) {
    const kr_tensor *a = &c->in[BINARY_A], *b = &c->in[BINARY_B], *y = &c->out[BINARY_Y];
    int64_t D = KR_SIZE(c, 'D');
    binary_work<T> w = {(const T *)a->data, (const T *)b->data, (T *)y->data, D, a->pitch, b->pitch, (int)((const binary_attr *)c->attr)->kind};
    elements(c, c->rows, D, D % 8 == 0 && elements_fast(a, a->pitch) && elements_fast(b, b->pitch) && elements_fast(y, D), w);
}
template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *dy = &c->dout[BINARY_Y];
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_attr *)c->attr)->kind;
    for (int i = 0; i < 2; i++) {
        const kr_tensor *to = &c->din[i], *other = &c->in[1 - i];
        if (!to->data) continue;
        binary_back<T> w = {(const T *)dy->data, kind == KR_BINARY_MUL ? (const T *)other->data : NULL, (T *)to->data, D, other->pitch,
                            to->pitch, i == 1 && kind == KR_BINARY_SUB ? -1.0f : 1.0f, c->acc[i]};
        bool fast = D % 8 == 0 && elements_fast(dy, D) && elements_fast(to, to->pitch) && (!w.other || elements_fast(other, other->pitch));
        elements(c, c->rows, D, fast, w);
    }
}

static void binary_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void binary_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(binary, NULL, binary_fwd_cuda, binary_bwd_cuda)
