/* slice_steps.cu - slice_steps on a GPU: 8 columns of a step a thread. */
#include "ops/slice_steps/slice_steps.h"

#include "ops/elements.cuh"

/* Row r of `to` is step r % n of sequence r / n; it comes from the step `from` further on, of
 * sequences of m steps: zero if there is none. */
template <typename T> struct steps_work {
    const T *x;
    T *to;
    int64_t x_pitch, to_pitch, n, m, from;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        int64_t s = r / n, l = r % n + from;
        if (add && (l < 0 || l >= m)) return;
        lanes<T, 8> v = get<8, FAST>(x + (s * m + l) * x_pitch + i, l >= 0 && l < m ? left : 0);
        float y[8];
#pragma unroll
        for (int j = 0; j < 8; j++) y[j] = v[j];
        put<8, FAST>(to + r * to_pitch + i, y, add, left);
    }
};

template <typename T> static void run(const kr_call *c, bool back) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), from = slice_steps_from(c);
    const kr_tensor *x = back ? &c->dout[SLICE_STEPS_Y] : &c->in[SLICE_STEPS_X], *to = back ? &c->din[SLICE_STEPS_X] : &c->out[SLICE_STEPS_Y];
    steps_work<T> w = {(const T *)x->data, (T *)to->data, back ? D : x->pitch, back ? to->pitch : D,
                       back ? L : J, back ? J : L, back ? -from : from, back && c->acc[SLICE_STEPS_X]};
    if (to->data) elements(c, S * w.n, D, D % 8 == 0 && elements_fast(x, w.x_pitch) && elements_fast(to, w.to_pitch), w);
}

static void slice_steps_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void slice_steps_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(slice_steps, NULL, slice_steps_fwd_cuda, slice_steps_bwd_cuda)
