/* add_rmsnorm.cu - add_rmsnorm on a GPU; ops/rmsnorm.cuh has the kernels. */
#include "ops/add_rmsnorm/add_rmsnorm.h"

#include "ops/rmsnorm.cuh"

static kr_status add_rmsnorm_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'D') > RMSNORM_MAX_D)
        KR_FAIL(KR_ERR_SHAPE, "add_rmsnorm: D is %lld, want at most %d on a GPU", (long long)KR_SIZE(c, 'D'), RMSNORM_MAX_D);
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = rmsnorm_scratch(c);
    return KR_OK;
}

template <typename T> static void run(const kr_call *c, bool back) {
    const kr_tensor *x = &c->in[ADD_RMSNORM_X], *res = &c->in[ADD_RMSNORM_RES];
    const kr_tensor *dx = &c->din[ADD_RMSNORM_X], *dres = &c->din[ADD_RMSNORM_RES];
    rmsnorm_args<T, float> a = {};
    a.eps = (float)((const add_rmsnorm_attr *)c->attr)->eps;
    a.w = (const float *)c->in[ADD_RMSNORM_W].data;
    if (!back) {
        a.x = (const T *)x->data, a.x_pitch = x->pitch;
        a.res = (const float *)res->data, a.res_pitch = res->pitch;
        a.y = (T *)c->out[ADD_RMSNORM_Y].data;
        a.sum = (float *)c->out[ADD_RMSNORM_SUM].data;
    } else {
        a.s = (const float *)c->out[ADD_RMSNORM_SUM].data, a.s_pitch = KR_SIZE(c, 'D');
        a.dy = (const T *)c->dout[ADD_RMSNORM_Y].data;
        a.dsum = (const float *)c->dout[ADD_RMSNORM_SUM].data;
        a.dx = (T *)dx->data, a.dx_pitch = dx->pitch, a.add_dx = c->acc[ADD_RMSNORM_X];
        a.dres = (float *)dres->data, a.dres_pitch = dres->pitch, a.add_dres = c->acc[ADD_RMSNORM_RES];
        a.y = c->again ? (T *)c->out[ADD_RMSNORM_Y].data : NULL;
        a.dw = (float *)c->din[ADD_RMSNORM_W].data, a.add_dw = c->acc[ADD_RMSNORM_W];
    }
    rmsnorm_run(c, a, back);
}

static void add_rmsnorm_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, false);
    else run<float>(c, false);
}
static void add_rmsnorm_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) run<bf16>(c, true);
    else run<float>(c, true);
}

KR_CUDA_OP(add_rmsnorm, add_rmsnorm_plan_cuda, add_rmsnorm_fwd_cuda, add_rmsnorm_bwd_cuda)
