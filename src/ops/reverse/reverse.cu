/* reverse.cu - reverse on a GPU: 8 columns of a step a thread. */
#include "ops/reverse/reverse.h"

#include "ops/elements.cuh"

template <typename T> struct reverse_work {
    const T *x;
    T *y;
    const int32_t *len;
    int64_t L, x_pitch, y_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        int64_t s = r / L, l = reverse_from(r - s * L, L, len ? len[s] : L);
        lanes<T, 8> v = get<8, FAST>(x + (s * L + l) * x_pitch + i, left);
        float to[8];
#pragma unroll
        for (int j = 0; j < 8; j++) to[j] = v[j];
        put<8, FAST>(y + r * y_pitch + i, to, add, left);
    }
};

template <typename T> static void run(const kr_call *c, bool back) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    const kr_tensor *x = back ? &c->dout[REVERSE_Y] : &c->in[REVERSE_X], *y = back ? &c->din[REVERSE_X] : &c->out[REVERSE_Y];
    reverse_work<T> w = {(const T *)x->data, (T *)y->data, (const int32_t *)c->in[REVERSE_LEN].data, L, back ? D : x->pitch, back ? y->pitch : D, back && c->acc[REVERSE_X]};
    if (y->data) elements(c, KR_SIZE(c, 'S') * L, D, D % 8 == 0 && elements_fast(x, w.x_pitch) && elements_fast(y, w.y_pitch), w);
}

static void reverse_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void reverse_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(reverse, NULL, reverse_fwd_cuda, reverse_bwd_cuda)
