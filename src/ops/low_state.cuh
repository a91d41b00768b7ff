/* low_state.cuh - states stored in half, for kernels that know float32: a copy before and after. */
#ifndef KR_OPS_LOW_STATE_CUH
#define KR_OPS_LOW_STATE_CUH
#include "cuda/blas.cuh"
#include "ops/op.h"

/* At the end of the call's scratch. */
static inline size_t low_state_bytes(const kr_call *c, int in) {
    const kr_tensor *h = &c->in[in];
    return h->n_dims && h->dtype != KR_F32 ? ((size_t)kr_count(h) * sizeof(float) + 255) / 256 * 256 : 0;
}

/* The call with float32 in the place of state `in` and of its next value `out`. */
static inline kr_call low_state_begin(const kr_call *c, int in, int out) {
    kr_call d = *c;
    const size_t bytes = low_state_bytes(c, in);
    if (!bytes) return d;
    d.in[in].data = (char *)c->scratch + c->fwd_scratch - bytes, d.in[in].dtype = d.out[out].dtype = KR_F32;
    if (d.out[out].data) d.out[out].data = d.in[in].data;
    kr_cuda_cast(d.in[in].data, KR_F32, c->in[in].data, c->in[in].dtype, kr_count(&c->in[in]), c->stream);
    return d;
}
static inline void low_state_end(const kr_call *c, const kr_call *d, int out) {
    const kr_tensor *h = &c->out[out];
    if (h->data && h->dtype != KR_F32) kr_cuda_cast(h->data, h->dtype, d->out[out].data, KR_F32, kr_count(h), c->stream);
}
#endif
