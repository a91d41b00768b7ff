/* scale_heads.cu - scale_heads on a GPU: a warp for each step and head. */
#include "ops/scale_heads/scale_heads.h"

#include "ops/rows.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

/* Backward: from = dy; dx = w dy, dw = dy . x.  Forward: y = w x. */
template <typename T>
static __global__ void scale_kernel(int64_t n, int64_t H, int64_t P, const T *from, int64_t from_pitch, const T *w, int64_t w_pitch, T *to, int64_t to_pitch,
                                    bool add, const T *x, int64_t x_pitch, T *dw, int64_t dw_pitch, bool add_w) {
    int64_t i = blockIdx.x * (int64_t)WARPS + threadIdx.x / 32, r = i / H, h = i % H;
    if (i >= n) return;
    float scale = cu_float(w[r * w_pitch + h]), sum = 0;
    for (int64_t p = threadIdx.x % 32; p < P; p += 32) {
        float v = cu_float(from[r * from_pitch + h * P + p]);
        if (to) cu_give(to + r * to_pitch + h * P + p, scale * v, add);
        if (dw) sum += v * cu_float(x[r * x_pitch + h * P + p]);
    }
    if (!dw) return;
    sum = cu_warp_sum(sum);
    if (threadIdx.x % 32 == 0) cu_give(dw + r * dw_pitch + h, sum, add_w);
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[SCALE_HEADS_X], *w = &c->in[SCALE_HEADS_W], *dx = &c->din[SCALE_HEADS_X], *dw = &c->din[SCALE_HEADS_W];
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * H;
    dim3 grid(cu_blocks(n, WARPS));
    if (!back)
        cu_launch(scale_kernel<T>, grid, THREADS, 0, c->stream, n, H, P, (const T *)x->data, x->pitch, (const T *)w->data, w->pitch,
                  (T *)c->out[SCALE_HEADS_Y].data, H * P, false, (const T *)NULL, (int64_t)0, (T *)NULL, (int64_t)0, false);
    else if (dx->data || dw->data)
        cu_launch(scale_kernel<T>, grid, THREADS, 0, c->stream, n, H, P, (const T *)c->dout[SCALE_HEADS_Y].data, H * P, (const T *)w->data, w->pitch,
                  (T *)dx->data, dx->pitch, c->acc[SCALE_HEADS_X], (const T *)x->data, x->pitch, (T *)dw->data, dw->pitch, c->acc[SCALE_HEADS_W]);
}

static void scale_heads_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void scale_heads_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(scale_heads, NULL, scale_heads_fwd_cuda, scale_heads_bwd_cuda)
