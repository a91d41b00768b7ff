/* slice.cu - slice on a GPU: copies of columns. */
#include "ops/slice/slice.h"

#include "cuda/rows.cuh"
#include "ops/op.h"

/* Columns of a tensor from one on. */
static kr_tensor columns(const kr_tensor *t, int64_t from, int64_t pitch) {
    kr_tensor s = *t;
    if (s.data) s.data = (char *)s.data + (size_t)from * kr_dtype_bytes(t->dtype);
    s.pitch = pitch;
    return s;
}

static void slice_fwd_cuda(const kr_call *c) {
    kr_tensor x = columns(&c->in[SLICE_X], slice_from(c), c->in[SLICE_X].pitch);
    cu_copy_rows(&c->out[SLICE_Y], &x, c->rows, KR_SIZE(c, 'B'), false, c->stream);
}

/* The columns beside the slice have no gradient: zero, unless dx is added to. */
static void slice_bwd_cuda(const kr_call *c) {
    const kr_tensor *dx = &c->din[SLICE_X], *dy = &c->dout[SLICE_Y];
    int64_t A = KR_SIZE(c, 'A'), B = KR_SIZE(c, 'B'), from = slice_from(c);
    kr_tensor zero = *dy, left = columns(dx, 0, dx->pitch), mid = columns(dx, from, dx->pitch), right = columns(dx, from + B, dx->pitch);
    zero.data = NULL;
    kr_tensor g = columns(dy, 0, B);
    if (!c->acc[SLICE_X]) {
        cu_copy_rows(&left, &zero, c->rows, from, false, c->stream);
        cu_copy_rows(&right, &zero, c->rows, A - from - B, false, c->stream);
    }
    cu_copy_rows(&mid, &g, c->rows, B, c->acc[SLICE_X], c->stream);
}

KR_CUDA_OP(slice, NULL, slice_fwd_cuda, slice_bwd_cuda)
