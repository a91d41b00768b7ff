/* to_float.cu - to_float for CUDA. */
#include "cuda/rows.cuh"
#include "ops/to_float/to_float.h"

static void to_float_fwd_cuda(const kr_call *c) {
    cu_copy_rows(&c->out[TO_FLOAT_Y], &c->in[TO_FLOAT_X], c->rows, KR_SIZE(c, 'D'), false, c->stream);
}

static void to_float_bwd_cuda(const kr_call *c) {
    cu_copy_rows(&c->din[TO_FLOAT_X], &c->dout[TO_FLOAT_Y], c->rows, KR_SIZE(c, 'D'), c->acc[TO_FLOAT_X], c->stream);
}

KR_CUDA_OP(to_float, NULL, to_float_fwd_cuda, to_float_bwd_cuda)
