/* gather.cu - gather on a GPU.  Backward is a gather by `back`; without it, it sorts the list, so that the
 * steps that were picked more than once add up in the order of j, without atomics. */
#include "ops/gather/gather.h"

#include "ops/elements.cuh"
#include "ops/sort.cuh"

/* BACK: from dy to dx by `back`; dx may be added to. */
template <typename T, bool BACK> struct gather_work {
    const T *x;
    const int32_t *idx;
    T *y;
    int64_t L, J, x_pitch, y_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        int64_t s = r / J, l = idx[r - s * J];
        lanes<T, 8> v = get<8, FAST>(x + (s * L + l) * x_pitch + i, l >= 0 && l < L ? left : 0);
        float to[8];
#pragma unroll
        for (int j = 0; j < 8; j++) to[j] = v[j];
        put<8, FAST>(y + r * y_pitch + i, to, BACK && add, left);
    }
};

/* Row r is entry r % J of the sorted list in sequence r / J: the first of a run of one step
 * sums all of it. */
template <typename T> struct gather_back {
    const T *dy;
    T *dx;
    const int32_t *id, *at;
    int64_t L, J, D, dx_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        int64_t s = r / J, e = r - s * J;
        int32_t l = id[e];
        if (l >= L || (e > 0 && id[e - 1] == l)) return;
        float sum[8] = {};
        for (; e < J && id[e] == l; e++) {
            lanes<T, 8> v = get<8, FAST>(dy + (s * J + at[e]) * D + i, left);
#pragma unroll
            for (int j = 0; j < 8; j++) sum[j] += v[j];
        }
        put<8, FAST>(dx + (s * L + l) * dx_pitch + i, sum, add, left);
    }
};

/* Steps that nobody picked: zero.  Binary search in the sorted list. */
template <typename T> struct gather_rest {
    T *dx;
    const int32_t *id;
    int64_t L, J, dx_pitch;
    template <bool FAST> __device__ void run(int64_t r, int64_t i, int left) const {
        int64_t l = r % L, lo = 0, hi = J;
        while (lo < hi) {
            int64_t mid = (lo + hi) / 2;
            if (id[mid] < l) lo = mid + 1;
            else hi = mid;
        }
        if (lo < J && id[lo] == l) return;
        float zero[8] = {};
        put<8, FAST>(dx + r * dx_pitch + i, zero, false, left);
    }
};

static kr_status gather_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'J') > INT32_MAX || KR_SIZE(c, 'L') > INT32_MAX - 1) KR_FAIL(KR_ERR_SHAPE, "gather: more than 2^31 steps");
    c->fwd_scratch = c->saved_bytes = 0;
    c->bwd_scratch = c->in[GATHER_BACK].n_dims ? 0 : sort_bytes(KR_SIZE(c, 'J'));
    return KR_OK;
}

template <typename T> static void fwd(const kr_call *c) {
    const kr_tensor *x = &c->in[GATHER_X], *y = &c->out[GATHER_Y];
    int64_t J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
    gather_work<T, false> w = {(const T *)x->data, (const int32_t *)c->in[GATHER_IDX].data, (T *)y->data, KR_SIZE(c, 'L'), J, x->pitch, D, false};
    elements(c, KR_SIZE(c, 'S') * J, D, D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(y, D), w);
}
template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *dx = &c->din[GATHER_X], *dy = &c->dout[GATHER_Y];
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
    bool fast = D % 8 == 0 && elements_fast(dx, dx->pitch) && elements_fast(dy, D), add = c->acc[GATHER_X];
    const int32_t *back = (const int32_t *)c->in[GATHER_BACK].data;
    if (!dx->data) return;
    if (back) {
        gather_work<T, true> w = {(const T *)dy->data, back, (T *)dx->data, J, L, D, dx->pitch, add};
        elements(c, S * L, D, fast, w);
        return;
    }
    sorted_ids s = sort_ids(c->scratch, (const int32_t *)c->in[GATHER_IDX].data, 1, J, L, c->stream);
    gather_back<T> w = {(const T *)dy->data, (T *)dx->data, s.id, s.at, L, J, D, dx->pitch, add};
    gather_rest<T> rest = {(T *)dx->data, s.id, L, J, dx->pitch};
    elements(c, S * J, D, fast, w);
    if (!add) elements(c, S * L, D, fast, rest);
}

static void gather_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void gather_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(gather, gather_plan_cuda, gather_fwd_cuda, gather_bwd_cuda)
