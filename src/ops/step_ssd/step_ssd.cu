/* step_ssd.cu - step_ssd on a GPU: the kernel of step_ssd.cuh, or a plain one for other sizes. */
#include "ops/step_ssd/step_ssd.h"

#include "ops/step_ssd/step_ssd.cuh"

template <typename T> static step_ssd_args_of<T> arguments(const kr_call *c) {
    const step_ssd_attr *attr = (const step_ssd_attr *)c->attr;
    const kr_tensor *in = c->in;
    step_ssd_args_of<T> a = {};
    a.x = (const T *)in[STEP_SSD_X].data, a.dt = (const T *)in[STEP_SSD_DT].data, a.B = (const T *)in[STEP_SSD_B].data;
    a.C = (const T *)in[STEP_SSD_C].data, a.z = (const T *)in[STEP_SSD_Z].data;
    a.x_pitch = in[STEP_SSD_X].pitch, a.dt_pitch = in[STEP_SSD_DT].pitch, a.B_pitch = in[STEP_SSD_B].pitch;
    a.C_pitch = in[STEP_SSD_C].pitch, a.z_pitch = in[STEP_SSD_Z].pitch;
    a.A = (const float *)in[STEP_SSD_A].data, a.D = (const float *)in[STEP_SSD_D].data;
    a.dt_bias = (const float *)in[STEP_SSD_DT_BIAS].data, a.w = (const float *)in[STEP_SSD_W].data;
    a.h0 = in[STEP_SSD_H0].data, a.h = c->out[STEP_SSD_H].data;
    a.y = (T *)c->out[STEP_SSD_Y].data, a.q = (float *)c->out[STEP_SSD_Q].data;
    a.H = (int)KR_SIZE(c, 'H'), a.P = (int)KR_SIZE(c, 'P'), a.G = (int)KR_SIZE(c, 'G'), a.N = (int)KR_SIZE(c, 'N');
    a.dt_min = (float)attr->dt_min, a.dt_max = (float)attr->dt_max, a.softplus = attr->dt_softplus != 0;
    return a;
}

static kr_status step_ssd_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'S') > 65535) KR_FAIL(KR_ERR_SHAPE, "step_ssd: more than 65535 sequences on a GPU");
    return KR_OK;
}

template <typename S> static void forward(const kr_call *c) {
    const int64_t n_seq = KR_SIZE(c, 'S');
    if (c->real == KR_F32) {
        step_ssd_plain_run<float, S>(arguments<float>(c), n_seq, c->stream);
        return;
    }
    const step_ssd_args a = arguments<bf16>(c);
    bool fits = step_ssd_rounds(a.P, a.N) && cu_aligned(&c->in[STEP_SSD_B], 16) && cu_aligned(&c->in[STEP_SSD_C], 16);
    if (fits) step_ssd_run<S>(a, n_seq, c->stream);
    else step_ssd_plain_run<bf16, S>(a, n_seq, c->stream);
}

static void step_ssd_fwd_cuda(const kr_call *c) {
    switch (c->in[STEP_SSD_H0].dtype) {
    case KR_BF16: forward<bf16>(c); break;
    case KR_F16: forward<__half>(c); break;
    default: forward<float>(c);
    }
}

KR_CUDA_OP(step_ssd, step_ssd_plan_cuda, step_ssd_fwd_cuda, NULL)
