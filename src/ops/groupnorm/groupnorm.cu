/* groupnorm.cu - groupnorm on a GPU.
 *
 * Sums over steps are made by blocks of 32 channels in at most PARTS pieces of a sequence; a
 * block a group then puts them together in order, and a last pass makes the rows.  The steps of
 * a sequence are cut by their number alone, so neighbours change nothing. */
#include "ops/groupnorm/groupnorm.h"

#include "ops/elements.cuh"

enum { PARTS = 32 };
enum { SUM, SQUARES, GRADS };

/* What a call works on; of each sequence and channel: */
template <typename T> struct groupnorm_work {
    int64_t S, L, D, width, n_parts, x_pitch;
    float eps;
    const T *x, *dy;
    const float *w;
    float *part;                    /* [n_parts][2][S][D] sums over steps */
    float *mean, *inv, *g_mean, *gn_mean; /* [S][D], the same within a group */
    float *sum, *sum_n;             /* [S][D] of dy and dy n */
};

template <typename T, int WHAT> static __global__ void __launch_bounds__(256) groupnorm_sum_kernel(groupnorm_work<T> k) {
    __shared__ float share[2][8][32];
    int64_t d = blockIdx.x * (int64_t)32 + threadIdx.x, s = blockIdx.y, each = (k.L + k.n_parts - 1) / k.n_parts;
    int64_t from = blockIdx.z * each, to = from + each < k.L ? from + each : k.L;
    float a = 0, b = 0, m = 0, i = 0;
    if (d < k.D && WHAT != SUM) m = k.mean[s * k.D + d];
    if (d < k.D && WHAT == GRADS) i = k.inv[s * k.D + d];
    for (int64_t l = from + threadIdx.y; d < k.D && l < to; l += 8) {
        float v = cu_float(k.x[(s * k.L + l) * k.x_pitch + d]) - m;
        if (WHAT == GRADS) {
            float g = cu_float(k.dy[(s * k.L + l) * k.D + d]);
            a += g, b += g * v * i;
        } else a += WHAT == SUM ? v : v * v;
    }
    share[0][threadIdx.y][threadIdx.x] = a, share[1][threadIdx.y][threadIdx.x] = b;
    __syncthreads();
    if (threadIdx.y > (WHAT == GRADS) || d >= k.D) return;
    float sum = 0;
    for (int n = 0; n < 8; n++) sum += share[threadIdx.y][n][threadIdx.x];
    k.part[((blockIdx.z * 2 + threadIdx.y) * k.S + s) * k.D + d] = sum;
}

/* A block is a group of a sequence. */
template <typename T, int WHAT> static __global__ void __launch_bounds__(256) groupnorm_group_kernel(groupnorm_work<T> k) {
    __shared__ float room[32];
    int64_t g = blockIdx.x, s = blockIdx.y, from = g * k.width;
    float total[2] = {};
    for (int64_t d = from + threadIdx.x; d < from + k.width; d += blockDim.x)
        for (int y = 0; y <= (WHAT == GRADS); y++) {
            float sum = 0;
            for (int64_t p = 0; p < k.n_parts; p++) sum += k.part[((p * 2 + y) * k.S + s) * k.D + d];
            if (WHAT == GRADS) (y ? k.sum_n : k.sum)[s * k.D + d] = sum;
            total[y] += WHAT == GRADS && k.w ? sum * k.w[d] : sum;
        }
    float count = (float)k.L * (float)k.width;
    float a = cu_block_sum(total[0], room) / count, b = WHAT == GRADS ? cu_block_sum(total[1], room) / count : 0;
    if (WHAT == SQUARES) a = rsqrtf(a + k.eps);
    for (int64_t d = from + threadIdx.x; d < from + k.width; d += blockDim.x) {
        (WHAT == SUM ? k.mean : WHAT == SQUARES ? k.inv : k.g_mean)[s * k.D + d] = a;
        if (WHAT == GRADS) k.gn_mean[s * k.D + d] = b;
    }
}

template <typename T> struct groupnorm_fwd_work {
    groupnorm_work<T> k;
    const float *b;
    T *y;
    template <bool FAST> __device__ void run(int64_t r, int64_t d, int left) const {
        int64_t at = r / k.L * k.D + d;
        lanes<T, 8> x = get<8, FAST>(k.x + r * k.x_pitch + d, left);
        float v[8];
#pragma unroll
        for (int n = 0; n < 8; n++)
            v[n] = n < left ? (x[n] - k.mean[at + n]) * k.inv[at + n] * (k.w ? k.w[d + n] : 1) + (b ? b[d + n] : 0) : 0;
        put<8, FAST>(y + r * k.D + d, v, false, left);
    }
};

template <typename T> struct groupnorm_bwd_work {
    groupnorm_work<T> k;
    T *dx;
    int64_t dx_pitch;
    bool add;
    template <bool FAST> __device__ void run(int64_t r, int64_t d, int left) const {
        int64_t at = r / k.L * k.D + d;
        lanes<T, 8> x = get<8, FAST>(k.x + r * k.x_pitch + d, left), dy = get<8, FAST>(k.dy + r * k.D + d, left);
        float v[8];
#pragma unroll
        for (int n = 0; n < 8; n++) {
            float i = n < left ? k.inv[at + n] : 0, norm = n < left ? (x[n] - k.mean[at + n]) * i : 0;
            v[n] = n < left ? (__fmul_rn(dy[n], k.w ? k.w[d + n] : 1) /* as in the mean: of one element nothing is left */ - k.g_mean[at + n] - norm * k.gn_mean[at + n]) * i : 0;
        }
        put<8, FAST>(dx + r * dx_pitch + d, v, add, left);
    }
};

static int64_t parts_of(const kr_call *c) { return row_blocks(KR_SIZE(c, 'L'), 64, PARTS); }

static kr_status groupnorm_plan_cuda(kr_call *c) {
    if (KR_SIZE(c, 'S') > 65535) KR_FAIL(KR_ERR_SHAPE, "groupnorm: %lld sequences, at most 65535 on a GPU", (long long)KR_SIZE(c, 'S'));
    size_t each = (size_t)(KR_SIZE(c, 'S') * KR_SIZE(c, 'D')) * sizeof(float);
    c->saved_bytes = 0;
    c->fwd_scratch = (size_t)(2 * parts_of(c) + 2) * each;
    c->bwd_scratch = (size_t)(2 * parts_of(c) + 6) * each;
    return KR_OK;
}

template <typename T, int WHAT> static void sums(const kr_call *c, const groupnorm_work<T> &k) {
    cu_launch(groupnorm_sum_kernel<T, WHAT>, dim3(cu_blocks(k.D, 32), (unsigned)k.S, (unsigned)k.n_parts), dim3(32, 8), 0, c->stream, k);
    cu_launch(groupnorm_group_kernel<T, WHAT>, dim3((unsigned)(k.D / k.width), (unsigned)k.S), k.width > 128 ? 256 : k.width > 32 ? 128 : 32, 0, c->stream, k);
}

template <typename T> static groupnorm_work<T> start(const kr_call *c) {
    const kr_tensor *x = &c->in[GROUPNORM_X];
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D');
    groupnorm_work<T> k = {S, KR_SIZE(c, 'L'), D, groupnorm_width(c), parts_of(c), x->pitch};
    k.eps = (float)((const groupnorm_attr *)c->attr)->eps;
    k.x = (const T *)x->data, k.dy = (const T *)c->dout[GROUPNORM_Y].data, k.w = (const float *)c->in[GROUPNORM_W].data;
    float *at = (float *)c->scratch;
    k.part = at, at += k.n_parts * 2 * S * D;
    k.mean = at, k.inv = at + S * D, k.g_mean = at + 2 * S * D, k.gn_mean = at + 3 * S * D, k.sum = at + 4 * S * D, k.sum_n = at + 5 * S * D;
    sums<T, SUM>(c, k);
    sums<T, SQUARES>(c, k);
    return k;
}

template <typename T> static void fwd(const kr_call *c) {
    groupnorm_work<T> k = start<T>(c);
    const kr_tensor *x = &c->in[GROUPNORM_X], *y = &c->out[GROUPNORM_Y];
    groupnorm_fwd_work<T> f = {k, (const float *)c->in[GROUPNORM_B].data, (T *)y->data};
    elements(c, k.S * k.L, k.D, k.D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(y, k.D), f);
}
template <typename T> static void bwd(const kr_call *c) {
    groupnorm_work<T> k = start<T>(c);
    const kr_tensor *x = &c->in[GROUPNORM_X], *dx = &c->din[GROUPNORM_X], *dy = &c->dout[GROUPNORM_Y];
    sums<T, GRADS>(c, k);
    sum_parts(c, (float *)c->din[GROUPNORM_W].data, c->acc[GROUPNORM_W], k.sum_n, k.S, k.D, k.D);
    sum_parts(c, (float *)c->din[GROUPNORM_B].data, c->acc[GROUPNORM_B], k.sum, k.S, k.D, k.D);
    if (!dx->data) return;
    groupnorm_bwd_work<T> f = {k, (T *)dx->data, dx->pitch, c->acc[GROUPNORM_X]};
    elements(c, k.S * k.L, k.D, k.D % 8 == 0 && elements_fast(x, x->pitch) && elements_fast(dx, dx->pitch) && elements_fast(dy, k.D), f);
}

static void groupnorm_fwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) fwd<bf16>(c);
    else fwd<float>(c);
}
static void groupnorm_bwd_cuda(const kr_call *c) {
    if (c->real == KR_BF16) bwd<bf16>(c);
    else bwd<float>(c);
}

KR_CUDA_OP(groupnorm, groupnorm_plan_cuda, groupnorm_fwd_cuda, groupnorm_bwd_cuda)
