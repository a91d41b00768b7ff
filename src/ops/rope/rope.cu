/* rope.cu - rope on a GPU: a thread makes one cosine and sine, in double, and turns that pair of all heads. */
#include "ops/rope/rope.h"

#include "ops/documents.cuh"

template <typename T>
static __global__ void __launch_bounds__(256) rope_kernel(int64_t n, int64_t L, int H, int P, int half, bool interleaved, double log2_theta,
                                                          const int32_t *n0, const int32_t *first, const T *from, int64_t from_pitch, T *to,
                                                          int64_t to_pitch, bool add, float way) {
    int units = half + (P - 2 * half);
    int64_t e = blockIdx.x * (int64_t)256 + threadIdx.x;
    if (e >= n) return;
    int64_t row = e / units, s = row / L, t = row - s * L;
    int u = (int)(e - row * units);
    from += row * from_pitch, to += row * to_pitch;
    if (u >= half) { /* stays */
        for (int h = 0, i = u + half; h < H; h++, i += P) cu_give(to + i, cu_float(from[i]), add);
        return;
    }
    int64_t start = first ? first[row] : 0, position = t - start + (n0 && start == 0 ? n0[s] : 0);
    double turns = (double)position * exp2(-(double)u / half * log2_theta) * 0.15915494309189533577;
    float sine, cosine;
    sincospif(2 * (float)(turns - rint(turns)), &sine, &cosine);
    sine *= way;
    int one = interleaved ? 2 * u : u, two = interleaved ? 2 * u + 1 : u + half;
#pragma unroll 4
    for (int h = 0; h < H; h++, one += P, two += P) {
        float a = cu_float(from[one]), b = cu_float(from[two]);
        cu_give(to + one, a * cosine - b * sine, add);
        cu_give(to + two, b * cosine + a * sine, add);
    }
}

template <typename T> static void run(const kr_call *c, const kr_tensor *from, int64_t from_pitch, const kr_tensor *to, int64_t to_pitch, bool add,
                                      float way) {
    const rope_attr *a = (const rope_attr *)c->attr;
    const kr_tensor *ids = &c->in[ROPE_SEQ_IDX];
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), P = KR_SIZE(c, 'P'), half = rope_dims(c) / 2, n = S * L * (P - half);
    int32_t *first = ids->data ? (int32_t *)c->scratch : NULL;
    if (first) cu_launch(documents_kernel, (unsigned)S, DOCUMENTS_THREADS, 0, c->stream, (const int32_t *)ids->data, ids->pitch, L, first, (int32_t *)NULL);
    cu_launch(rope_kernel<T>, cu_blocks(n, 256), 256, 0, c->stream, n, L, (int)KR_SIZE(c, 'H'), (int)P, (int)half, a->interleaved != 0,
              log2(a->theta), (const int32_t *)c->in[ROPE_N0].data, (const int32_t *)first, (const T *)from->data, from_pitch, (T *)to->data, to_pitch,
              add, way);
}

static kr_status rope_plan_cuda(kr_call *c) {
    if (c->in[ROPE_SEQ_IDX].n_dims) c->fwd_scratch = c->bwd_scratch = (size_t)(KR_SIZE(c, 'S') * KR_SIZE(c, 'L')) * sizeof(int32_t);
    return KR_OK;
}
static void rope_fwd_cuda(const kr_call *c) {
    int64_t width = KR_SIZE(c, 'H') * KR_SIZE(c, 'P');
    if (c->real == KR_BF16) run<bf16>(c, &c->in[ROPE_X], c->in[ROPE_X].pitch, &c->out[ROPE_Y], width, false, 1);
    else run<float>(c, &c->in[ROPE_X], c->in[ROPE_X].pitch, &c->out[ROPE_Y], width, false, 1);
}
static void rope_bwd_cuda(const kr_call *c) {
    int64_t width = KR_SIZE(c, 'H') * KR_SIZE(c, 'P');
    const kr_tensor *dx = &c->din[ROPE_X];
    if (!dx->data) return;
    if (c->real == KR_BF16) run<bf16>(c, &c->dout[ROPE_Y], width, dx, dx->pitch, c->acc[ROPE_X], -1);
    else run<float>(c, &c->dout[ROPE_Y], width, dx, dx->pitch, c->acc[ROPE_X], -1);
}

KR_CUDA_OP(rope, rope_plan_cuda, rope_fwd_cuda, rope_bwd_cuda)
