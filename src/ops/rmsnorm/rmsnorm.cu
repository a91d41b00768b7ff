/* rmsnorm.cu - rmsnorm on a GPU; ops/rmsnorm.cuh has the kernels. */
#include "ops/rmsnorm/rmsnorm.h"

#include "ops/rmsnorm.cuh"

static kr_status rmsnorm_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'D') > RMSNORM_MAX_D)
        KR_FAIL(KR_ERR_SHAPE, "rmsnorm: D is %lld, want at most %d on a GPU", (long long)KR_SIZE(c, 'D'), RMSNORM_MAX_D);
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = rmsnorm_scratch(c);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[RMSNORM_X], *dx = &c->din[RMSNORM_X];
    rmsnorm_args<T, T> a = {};
    a.eps = (float)((const rmsnorm_attr *)c->attr)->eps;
    a.w = (const float *)c->in[RMSNORM_W].data;
    if (!back) {
        a.x = (const T *)x->data, a.x_pitch = x->pitch;
        a.y = (T *)c->out[RMSNORM_Y].data;
    } else {
        a.s = (const T *)x->data, a.s_pitch = x->pitch;
        a.dy = (const T *)c->dout[RMSNORM_Y].data;
        a.dx = (T *)dx->data, a.dx_pitch = dx->pitch, a.add_dx = c->acc[RMSNORM_X];
        a.dw = (float *)c->din[RMSNORM_W].data, a.add_dw = c->acc[RMSNORM_W];
    }
    rmsnorm_run(c, a, back);
}

static void rmsnorm_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void rmsnorm_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(rmsnorm, rmsnorm_plan_cuda, rmsnorm_fwd_cuda, rmsnorm_bwd_cuda)
