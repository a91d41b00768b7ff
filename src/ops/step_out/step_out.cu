/* step_out.cu - step_out on a GPU: the products of ops/step.cuh, ended by a residual. */
#include "ops/step_out/step_out.h"

#include "ops/step.cuh"

template void step_run<false, bf16>(const step_args &a, void *scratch, void *stream);
static_assert((int)STEP_COLS == (int)STEP_OUT_PART, "a block's columns are a share of q1");

template <typename T> static step_args_of<T> arguments(const kr_call *c) {
    const step_out_attr *attr = (const step_out_attr *)c->attr;
    const kr_tensor *in = c->in;
    step_args_of<T> a = {};
    a.a = (const T *)in[STEP_OUT_A].data, a.a_pitch = in[STEP_OUT_A].pitch;
    a.W = in[STEP_OUT_W].data, a.w_type = in[STEP_OUT_W].dtype;
    a.q = (const float *)in[STEP_OUT_Q].data, a.bias = (const float *)in[STEP_OUT_B].data;
    a.M = (int)(KR_SIZE(c, 'S') * KR_SIZE(c, 'L')), a.N = KR_SIZE(c, 'N'), a.K = KR_SIZE(c, 'K'), a.J = a.q ? (int)KR_SIZE(c, 'J') : 0;
    a.q_pitch = in[STEP_OUT_Q].pitch;
    a.groups = (int)attr->groups, a.eps = (float)attr->eps;
    a.res = (const float *)in[STEP_OUT_RES].data, a.res_pitch = in[STEP_OUT_RES].pitch;
    a.w = (const float *)in[STEP_OUT_WEIGHT].data;
    a.sum = (float *)c->out[STEP_OUT_SUM].data, a.y = (T *)c->out[STEP_OUT_Y].data;
    a.q1 = (float *)c->out[STEP_OUT_Q1].data, a.n_parts = (int)KR_SIZE(c, 'I');
    return a;
}

static kr_status step_out_plan_cuda(kr_call *c) {
    c->fwd_scratch = step_room_of(KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), KR_SIZE(c, 'N'), KR_SIZE(c, 'K'), c->in[STEP_OUT_W].dtype).total;
    return KR_OK;
}

static void step_out_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) step_run<false>(arguments<bf16>(c), c->scratch, c->stream);
    else step_run<false>(arguments<float>(c), c->scratch, c->stream);
}

KR_CUDA_OP(step_out, step_out_plan_cuda, step_out_fwd_cuda, NULL, true)
