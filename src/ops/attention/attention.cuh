/* attention.cuh - what attention's CUDA kernels share: whom a step sees, and where keys lie. */
#ifndef KR_OPS_ATTENTION_CUH
#define KR_OPS_ATTENTION_CUH
#include "ops/attention/attention.h"
#include "ops/documents.cuh"
#include "ops/rows.cuh"

/* All that a kernel needs of a call.  T: of activations. */
template <typename T> struct attention_work {
    const T *q, *k, *v, *y, *dy;
    T *out, *dq, *dk, *dv;
    int64_t q_pitch, k_pitch, v_pitch, dq_pitch, dk_pitch, dv_pitch;
    const float *cache0, *dcache;
    const int32_t *n0;
    const int32_t *first, *last; /* of each step's document; NULL: the whole row */
    float *lse, *dots;           /* [S, H, L]: of each row of scores; y . dy */
    int64_t L, C, reach;
    int S, H, G, R, P;
    float scale;
    bool causal, cached, add_q, add_k, add_v;

    __device__ __forceinline__ int64_t before(int64_t s) const { return cached ? n0[s] : 0; }
    __device__ __forceinline__ attention_span sees(int64_t s, int64_t t) const {
        int64_t f = first ? first[s * L + t] : 0, l = last ? last[s * L + t] : L - 1;
        attention_span a = {f, causal ? t : l};
        if (f == 0 && cached) a.first = n0[s] < C ? -n0[s] : -C;
        if (a.first < t - reach + 1) a.first = t - reach + 1;
        if (a.last > t + reach - 1) a.last = t + reach - 1;
        return a;
    }
    __device__ __forceinline__ const float *cached_row(int64_t s, int row, int64_t j) const {
        return cache0 + ((s * 2 * G + row) * C + (before(s) + j) % C) * P;
    }
};

/* What stays for the next call; see attention_remains. */
template <typename T> static __device__ __forceinline__ attention_rest attention_left(const attention_work<T> &w, int64_t s) {
    int64_t f = w.first ? w.first[s * w.L + w.L - 1] : 0;
    attention_rest r = {f, f > 0 ? -f : w.before(s), 0};
    r.n = r.start + w.L;
    if (r.from < w.L - w.C) r.from = w.L - w.C;
    return r;
}

/* attention_tensor.cu: on tensor cores, where they take the sizes; else false. */
bool attention_tensor_takes(const kr_call *c, bool backward);
void attention_tensor_fwd(const kr_call *c, const attention_work<bf16> &w);
void attention_tensor_bwd(const kr_call *c, const attention_work<bf16> &w);
#endif
