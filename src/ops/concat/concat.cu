/* concat.cu - concat on a GPU: copies of columns. */
#include "ops/concat/concat.h"

#include "cuda/rows.cuh"
#include "ops/op.h"

/* The columns of y, or of dy, that are a's or b's. */
static kr_tensor part(const kr_call *c, const kr_tensor *y, bool second) {
    kr_tensor s = *y;
    s.data = (char *)y->data + (second ? (size_t)KR_SIZE(c, 'A') : 0) * kr_dtype_bytes(y->dtype);
    s.pitch = KR_SIZE(c, 'C');
    return s;
}

static void concat_fwd_cuda(const kr_call *c) {
    for (int i = 0; i < 2; i++) {
        kr_tensor y = part(c, &c->out[CONCAT_Y], i == CONCAT_B);
        cu_copy_rows(&y, &c->in[i], c->rows, KR_SIZE(c, i == CONCAT_B ? 'B' : 'A'), false, c->stream);
    }
}
static void concat_bwd_cuda(const kr_call *c) {
    for (int i = 0; i < 2; i++) {
        kr_tensor dy = part(c, &c->dout[CONCAT_Y], i == CONCAT_B);
        cu_copy_rows(&c->din[i], &dy, c->rows, KR_SIZE(c, i == CONCAT_B ? 'B' : 'A'), c->acc[i], c->stream);
    }
}

KR_CUDA_OP(concat, NULL, concat_fwd_cuda, concat_bwd_cuda)
