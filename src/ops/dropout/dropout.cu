/* dropout.cu - dropout on a GPU, with the same draws as on a CPU.
 *
 * 16 threads share 64 elements: each draws one Philox block, whose four words decide about
 * elements 16 apart. */
#include "ops/dropout/dropout.h"

#include "base/rng.h"
#include "ops/rows.cuh"

template <typename T>
static __global__ void __launch_bounds__(256) dropout_kernel(int64_t n, int64_t D, const T *x, int64_t x_pitch, T *y, int64_t y_pitch,
                                                             const int32_t *key, uint32_t threshold, float scale, bool add) {
    int64_t t = blockIdx.x * (int64_t)256 + threadIdx.x, e = t / 16 * 64 + t % 16;
    if (e >= n) return;
    uint64_t seed = (uint32_t)key[0] | (uint64_t)(uint32_t)key[1] << 32, stream = (uint32_t)key[2] | (uint64_t)(uint32_t)key[3] << 32;
    uint32_t words[4];
    float v[4];
    int64_t to[4];
#pragma unroll
    for (int w = 0; w < 4; w++) {
        int64_t i = e + w * 16, r = x_pitch == D && y_pitch == D ? 0 : i / D, col = i - r * D;
        to[w] = r * y_pitch + col;
        v[w] = i < n ? cu_float(x[r * x_pitch + col]) : 0;
    }
    kr_philox(seed, stream, (uint64_t)t, words);
#pragma unroll
    for (int w = 0; w < 4; w++)
        if (e + w * 16 < n) cu_give(y + to[w], words[w] >= threshold ? v[w] * scale : 0, add);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = back ? &c->dout[DROPOUT_Y] : &c->in[DROPOUT_X], *y = back ? &c->din[DROPOUT_X] : &c->out[DROPOUT_Y];
    int64_t D = KR_SIZE(c, 'D'), n = c->rows * D;
    double p = ((const dropout_attr *)c->attr)->p;
    if (!y->data) return;
    cu_launch(dropout_kernel<T>, cu_blocks((n + 63) / 64 * 16, 256), 256, 0, c->stream, n, D, (const T *)x->data, back ? D : x->pitch,
              (T *)y->data, back ? y->pitch : D, (const int32_t *)c->in[DROPOUT_KEY].data, (uint32_t)(p * 0x1p32), (float)(1 / (1 - p)),
              back && c->acc[DROPOUT_X]);
}

static void dropout_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void dropout_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(dropout, NULL, dropout_fwd_cuda, dropout_bwd_cuda)
