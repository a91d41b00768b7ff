/* step_in.cu - step_in on a GPU: the products of ops/step.cuh, ended by a convolution. */
#include "ops/step_in/step_in.h"

#include "ops/step.cuh"

template <typename T> static step_args_of<T> arguments(const kr_call *c) {
    const step_in_attr *attr = (const step_in_attr *)c->attr;
    const kr_tensor *in = c->in;
    step_args_of<T> a = {};
    a.a = (const T *)in[STEP_IN_A].data, a.a_pitch = in[STEP_IN_A].pitch;
    a.W = in[STEP_IN_W].data, a.w_type = in[STEP_IN_W].dtype;
    a.q = (const float *)in[STEP_IN_Q].data, a.bias = (const float *)in[STEP_IN_B].data;
    a.M = (int)KR_SIZE(c, 'S'), a.N = KR_SIZE(c, 'N'), a.K = KR_SIZE(c, 'K'), a.J = a.q ? (int)KR_SIZE(c, 'J') : 0;
    a.q_pitch = in[STEP_IN_Q].pitch, a.groups = 1, a.eps = (float)attr->eps;
    a.y = (T *)c->out[STEP_IN_Y].data;
    a.cw = (const float *)in[STEP_IN_CW].data, a.cb = (const float *)in[STEP_IN_CB].data;
    a.x0 = (const float *)in[STEP_IN_X0].data, a.x1 = (float *)c->out[STEP_IN_X1].data;
    a.conv_at = attr->conv_at, a.D = KR_SIZE(c, 'D');
    return a;
}

static kr_status step_in_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'T') != 4) KR_FAIL(KR_ERR_SHAPE, "step_in: cw has %lld taps, want 4 on a GPU", (long long)KR_SIZE(c, 'T'));
    c->fwd_scratch = step_room_of(KR_SIZE(c, 'S'), KR_SIZE(c, 'N'), KR_SIZE(c, 'K'), c->in[STEP_IN_W].dtype).total;
    return KR_OK;
}

static void step_in_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) step_run<true>(arguments<bf16>(c), c->scratch, c->stream);
    else step_run<true>(arguments<float>(c), c->scratch, c->stream);
}

KR_CUDA_OP(step_in, step_in_plan_cuda, step_in_fwd_cuda, NULL, true)
