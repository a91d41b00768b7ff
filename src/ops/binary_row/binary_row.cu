/* binary_row.cu - binary_row on a GPU. */
#include "ops/binary_row/binary_row.h"

#include "ops/elements.cuh"

/* y = a + b, a b, a - b; backward: y = or += x, or x b. */
template <typename T> struct row_work {
    const T *x;
    const float *b;
    T *y;
    int64_t x_pitch, y_pitch;
    int kind;
    bool back, add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        lanes<T, 8> u = get<8, FAST>(x + r * x_pitch + i, left);
        lanes<float, 8> v = get<8, FAST>(b + i, left);
        float to[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float other = back && kind != KR_BINARY_ROW_MUL ? 0 : v.v[j];
            to[j] = kind == KR_BINARY_ROW_ADD ? u[j] + other : kind == KR_BINARY_ROW_MUL ? u[j] * other : u[j] - other;
        }
        put<8, FAST>(y + r * y_pitch + i, to, add, left);
    }
};

static kr_status binary_row_plan_cuda(kr_call *c) {
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = column_sum_bytes(KR_SIZE(c, 'D'));
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *a = &c->in[BINARY_ROW_A], *b = &c->in[BINARY_ROW_B], *dy = &c->dout[BINARY_ROW_Y];
    const kr_tensor *to = back ? &c->din[BINARY_ROW_A] : &c->out[BINARY_ROW_Y], *from = back ? dy : a;
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_row_attr *)c->attr)->kind;
    row_work<T> w = {(const T *)from->data, (const float *)b->data, (T *)to->data, back ? D : a->pitch, back ? to->pitch : D, (int)kind,
                     back, back && c->acc[BINARY_ROW_A]};
    bool fast = D % 8 == 0 && elements_fast(from, w.x_pitch) && elements_fast(to, w.y_pitch) && elements_fast(b, D);
    if (to->data) elements(c, c->rows, D, fast, w);
    if (!back || !c->din[BINARY_ROW_B].data) return;
    column_sum<T>(c, (float *)c->din[BINARY_ROW_B].data, c->acc[BINARY_ROW_B], (const T *)dy->data,
                  kind == KR_BINARY_ROW_MUL ? (const T *)a->data : NULL, a->pitch, kind == KR_BINARY_ROW_SUB ? -1.0f : 1.0f, D,
                  (float *)c->scratch);
}

static void binary_row_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void binary_row_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(binary_row, binary_row_plan_cuda, binary_row_fwd_cuda, binary_row_bwd_cuda)
