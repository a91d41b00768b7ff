/* to_real.cu - to_real for CUDA. */
#include "cuda/rows.cuh"
#include "ops/to_real/to_real.h"

static void to_real_fwd_cuda(const kr_call *c) {
    cu_copy_rows(&c->out[TO_REAL_Y], &c->in[TO_REAL_X], c->rows, KR_SIZE(c, 'D'), false, c->stream);
}

static void to_real_bwd_cuda(const kr_call *c) {
    cu_copy_rows(&c->din[TO_REAL_X], &c->dout[TO_REAL_Y], c->rows, KR_SIZE(c, 'D'), c->acc[TO_REAL_X], c->stream);
}

KR_CUDA_OP(to_real, NULL, to_real_fwd_cuda, to_real_bwd_cuda)
