/* round8.cu - round8 on a GPU: 8 columns a thread. */
#include "ops/round8/round8.h"

#include "ops/elements.cuh"

template <typename T> struct rounding {
    const T *x;
    T *y;
    const float *s;
    int64_t x_pitch, D;
    template <bool FAST> __device__ void run(int64_t row, int64_t col, int left) const {
        const lanes<T, 8> in = get<8, FAST>(x + row * x_pitch + col, left);
        const float by = *s;
        float v[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float f = in[i], q = rintf(fminf(fmaxf(__fdiv_rn(f, by), -127.f), 127.f));
            v[i] = f == f ? q * by : f;
        }
        put<8, FAST>(y + row * D + col, v, false, left);
    }
};

template <typename T> static void run(const kr_call *c) {
    const kr_tensor *x = &c->in[ROUND8_X], *y = &c->out[ROUND8_Y];
    const int64_t D = KR_SIZE(c, 'D');
    const rounding<T> f = {(const T *)x->data, (T *)y->data, (const float *)c->in[ROUND8_S].data, x->pitch, D};
    elements(c, c->rows, D, D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(y, D), f);
}

static void round8_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c);
    else run<float>(c);
}

KR_CUDA_OP(round8, NULL, round8_fwd_cuda, NULL)
