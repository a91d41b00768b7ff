/* pick.cu - pick on a GPU.  What adds up sorts the lists of all sequences together, so that what goes
 * to one step is added in the order of j, without atomics. */
#include "ops/pick/pick.h"

#include "ops/elements.cuh"
#include "ops/sort.cuh"

/* to[j] = or += from[idx[j]] */
template <typename T> struct pick_work {
    const T *from;
    const int32_t *idx;
    T *to;
    int64_t J, n, from_pitch, to_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t d, int left) const {
        int64_t i = idx[r];
        lanes<T, 8> v = get<8, FAST>(from + (r / J * n + i) * from_pitch + d, i >= 0 && i < n ? left : 0);
        float a[8];
#pragma unroll
        for (int k = 0; k < 8; k++) a[k] = v[k];
        put<8, FAST>(to + r * to_pitch + d, a, add, left);
    }
};

/* Step r of all sequences' n: what the sorted list sends there. */
template <typename T> struct pick_sum_work {
    const T *from;
    const int32_t *id, *at; /* id: s n + idx, sorted */
    T *to;
    int64_t total, from_pitch, to_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t d, int left) const {
        int64_t lo = 0, hi = total;
        float sum[8] = {};
        while (lo < hi) {
            int64_t mid = (lo + hi) / 2;
            if (id[mid] < r) lo = mid + 1;
            else hi = mid;
        }
        for (; lo < total && id[lo] == r; lo++) {
            lanes<T, 8> v = get<8, FAST>(from + at[lo] * from_pitch + d, left);
#pragma unroll
            for (int k = 0; k < 8; k++) sum[k] += v[k];
        }
        put<8, FAST>(to + r * to_pitch + d, sum, add, left);
    }
};

static __global__ void pick_id_kernel(int64_t total, int64_t J, int64_t n, const int32_t *idx, int32_t *id) {
    int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= total) return;
    int32_t i = idx[r];
    id[r] = i >= 0 && i < n ? (int32_t)(r / J * n + i) : -1;
}

static size_t id_bytes(const kr_call *c) { return (size_t)((KR_SIZE(c, 'S') * KR_SIZE(c, 'J') + 63) / 64 * 64) * sizeof(int32_t); }

static kr_status pick_plan_cuda(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), total = S * KR_SIZE(c, 'J');
    bool adds = ((const pick_attr *)c->attr)->into > 0;
    if (total >= INT32_MAX || S * (KR_SIZE(c, 'L') + KR_SIZE(c, 'K')) >= INT32_MAX) KR_FAIL(KR_ERR_SHAPE, "pick: more than 2^31 steps");
    size_t need = id_bytes(c) + sort_bytes(total);
    c->fwd_scratch = adds ? need : 0;
    c->bwd_scratch = adds ? 0 : need;
    c->saved_bytes = 0;
    return KR_OK;
}

template <typename T> static void pick(const kr_call *c, const kr_tensor *from, int64_t from_pitch, int64_t n, const kr_tensor *to, int64_t to_pitch, bool add) {
    const kr_tensor *idx = &c->in[PICK_IDX];
    int64_t D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J');
    pick_work<T> w = {(const T *)from->data, (const int32_t *)idx->data, (T *)to->data, J, n, from_pitch, to_pitch, add};
    elements(c, KR_SIZE(c, 'S') * J, D, D % 8 == 0 && elements_fast(from, from_pitch) && elements_fast(to, to_pitch), w);
}
template <typename T> static void add_up(const kr_call *c, const kr_tensor *from, int64_t from_pitch, const kr_tensor *to, int64_t to_pitch, int64_t n, bool add) {
    const kr_tensor *idx = &c->in[PICK_IDX];
    int64_t D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J'), S = KR_SIZE(c, 'S'), total = S * J;
    int32_t *id = (int32_t *)c->scratch;
    cu_launch(pick_id_kernel, cu_blocks(total, 256), 256, 0, c->stream, total, J, n, (const int32_t *)idx->data, id);
    sorted_ids s = sort_ids((char *)c->scratch + id_bytes(c), id, 1, total, S * n, c->stream);
    pick_sum_work<T> w = {(const T *)from->data, s.id, s.at, (T *)to->data, total, from_pitch, to_pitch, add};
    elements(c, S * n, D, D % 8 == 0 && elements_fast(from, from_pitch) && elements_fast(to, to_pitch), w);
}

template <typename T> static void fwd(const kr_call *c) {
    const kr_tensor *x = &c->in[PICK_X], *y = &c->out[PICK_Y];
    int64_t D = KR_SIZE(c, 'D');
    if (((const pick_attr *)c->attr)->into) add_up<T>(c, x, x->pitch, y, D, KR_SIZE(c, 'K'), false);
    else pick<T>(c, x, x->pitch, KR_SIZE(c, 'L'), y, D, false);
}
template <typename T> static void bwd(const kr_call *c) {
    const kr_tensor *dx = &c->din[PICK_X], *dy = &c->dout[PICK_Y];
    int64_t D = KR_SIZE(c, 'D');
    if (!dx->data) return;
    if (((const pick_attr *)c->attr)->into) pick<T>(c, dy, D, KR_SIZE(c, 'K'), dx, dx->pitch, c->acc[PICK_X]);
    else add_up<T>(c, dy, D, dx, dx->pitch, KR_SIZE(c, 'L'), c->acc[PICK_X]);
}

static void pick_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void pick_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(pick, pick_plan_cuda, pick_fwd_cuda, pick_bwd_cuda)
