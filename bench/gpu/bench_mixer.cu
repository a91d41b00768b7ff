/* bench_mixer.cu - what lies between the two products of a Mamba-2 layer, as a training step
 * runs it: conv1d + SiLU, ssd with softplus and D, gated RMSNorm, and their backward.
 *
 *   bench_mixer
 *
 * Tensors are laid out as in a model: z, x, B, C and dt are columns of one wide tensor, and so
 * are their gradients.  "again" makes the outputs of conv1d and of the norm a second time for
 * backward instead of keeping them, as training does.  Medians of replays of a CUDA graph that
 * goes round two sets of tensors. */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda/kernel.cuh"
#include "ops/conv1d/conv1d.h"
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/ops.h"
#include "ops/ssd/ssd.h"

extern "C" {
#define OP(name) extern const kr_cuda_op kr_cuda_op_##name __attribute__((weak));
#include "ops/ops.def"
#undef OP
}
static const kr_cuda_op *const cuda_ops[] = {
#define OP(name) &kr_cuda_op_##name,
#include "ops/ops.def"
#undef OP
};
static kr_cuda_api api;
extern "C" const kr_cuda_api *kr_cuda(void) { return &api; }

#define CHECK(x) do { cudaError_t e_ = (x); if (e_ != cudaSuccess) { printf("FAIL %s: %s (line %d)\n", #x, cudaGetErrorString(e_), __LINE__); exit(1); } } while (0)

enum { SETS = 2, CONV = 0, SSD = 1, NORM = 2 };
static cudaStream_t stream;
static std::vector<void *> owned;

static __global__ void draw(void *p, bool low, int64_t n, float lo, float hi, uint32_t seed) {
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        uint32_t h = (uint32_t)i * 2654435761u + seed;
        h ^= h >> 16, h *= 0x7feb352du, h ^= h >> 15, h *= 0x846ca68bu, h ^= h >> 16;
        float x = lo + (hi - lo) * (float)(h >> 8) * 0x1p-24f;
        if (low) ((bf16 *)p)[i] = __float2bfloat16_rn(x);
        else ((float *)p)[i] = x;
    }
}
static void *memory(size_t bytes) {
    void *p;
    CHECK(cudaMalloc(&p, bytes + 256));
    owned.push_back(p);
    return p;
}
static kr_tensor tensor(kr_dtype type, float lo, float hi, std::vector<int64_t> dim) {
    static uint32_t seed = 1;
    kr_tensor t = {};
    t.dtype = type, t.n_dims = (int)dim.size();
    for (size_t i = 0; i < dim.size(); i++) t.dim[i] = dim[i];
    t.data = memory((size_t)kr_count(&t) * kr_dtype_bytes(type));
    draw<<<1024, 256, 0, stream>>>(t.data, type == KR_BF16, kr_count(&t), lo, hi, seed += 977);
    return t;
}
/* Columns of `of` from one on, in rows of `pitch`. */
static kr_tensor columns(const kr_tensor &of, int64_t from, int64_t pitch, std::vector<int64_t> dim) {
    kr_tensor t = of;
    t.n_dims = (int)dim.size(), t.pitch = pitch;
    for (size_t i = 0; i < dim.size(); i++) t.dim[i] = dim[i];
    t.data = (char *)of.data + (size_t)from * kr_dtype_bytes(of.dtype);
    return t;
}

typedef struct shape { const char *name; int64_t S, L, H, P, N; } shape;
typedef struct mixer {
    conv1d_attr conv;
    ssd_attr ssd;
    gated_rmsnorm_attr norm;
    kr_call c[3];
} mixer;

static size_t bind(const kr_op *op, kr_call *c, const void *attr) {
    c->attr = attr, c->real = KR_BF16, c->impl = KR_CUDA, c->n_threads = 1, c->training = true, c->stream = stream;
    if (kr_op_bind(op, c) != KR_OK) printf("FAIL %s: %s\n", op->name, kr_error()), exit(1);
    c->saved = memory(c->saved_bytes);
    return std::max(c->fwd_scratch, c->bwd_scratch);
}

static void make(mixer *m, const shape *s) {
    int64_t S = s->S, L = s->L, H = s->H, P = s->P, N = s->N, E = H * P, W = E + 2 * N, all = E + W + H;
    memset(m, 0, sizeof *m);
    m->conv.silu = 1, m->norm.eps = 1e-5;
    kr_attr_defaults(&kr_op_ssd, &m->ssd);
    kr_tensor p = tensor(KR_BF16, -1.7f, 1.7f, {S, L, all}), dp = tensor(KR_BF16, 0, 0, {S, L, all});
    kr_tensor xbc = tensor(KR_BF16, 0, 0, {S, L, W}), dxbc = tensor(KR_BF16, 0, 0, {S, L, W});
    kr_tensor y = tensor(KR_BF16, 0, 0, {S, L, E}), dy = tensor(KR_BF16, 0, 0, {S, L, E});
    kr_tensor out = tensor(KR_BF16, 0, 0, {S, L, E}), dout = tensor(KR_BF16, -1, 1, {S, L, E});
    kr_call *c = &m->c[CONV], *d = &m->c[SSD], *n = &m->c[NORM];
    auto grad = [](kr_call *k, int i, float lo, float hi, std::vector<int64_t> dim) { /* a parameter and its gradient */
        k->in[i] = tensor(KR_F32, lo, hi, dim), k->din[i] = tensor(KR_F32, 0, 0, dim), k->acc[i] = true;
    };
    c->in[CONV1D_X] = columns(p, E, all, {S, L, W}), c->din[CONV1D_X] = columns(dp, E, all, {S, L, W});
    grad(c, CONV1D_W, -.5f, .5f, {W, 4}), grad(c, CONV1D_B, -.5f, .5f, {W});
    d->in[SSD_X] = columns(xbc, 0, W, {S, L, H, P}), d->din[SSD_X] = columns(dxbc, 0, W, {S, L, H, P});
    d->in[SSD_B] = columns(xbc, E, W, {S, L, 1, N}), d->din[SSD_B] = columns(dxbc, E, W, {S, L, 1, N});
    d->in[SSD_C] = columns(xbc, E + N, W, {S, L, 1, N}), d->din[SSD_C] = columns(dxbc, E + N, W, {S, L, 1, N});
    d->in[SSD_DT] = columns(p, E + W, all, {S, L, H}), d->din[SSD_DT] = columns(dp, E + W, all, {S, L, H});
    grad(d, SSD_A, -16, -1, {H}), grad(d, SSD_D, .5f, 1.5f, {H}), grad(d, SSD_DT_BIAS, -6.9f, -2.3f, {H});
    n->in[GATED_RMSNORM_X] = y, n->din[GATED_RMSNORM_X] = dy, n->din[GATED_RMSNORM_X].pitch = E;
    n->in[GATED_RMSNORM_Z] = columns(p, 0, all, {S, L, E}), n->din[GATED_RMSNORM_Z] = columns(dp, 0, all, {S, L, E});
    grad(n, GATED_RMSNORM_W, .5f, 1.5f, {E});
    size_t scratch = bind(&kr_op_conv1d, c, &m->conv);
    scratch = std::max(scratch, bind(&kr_op_ssd, d, &m->ssd));
    scratch = std::max(scratch, bind(&kr_op_gated_rmsnorm, n, &m->norm));
    c->scratch = d->scratch = n->scratch = memory(scratch);
    c->out[CONV1D_Y].data = xbc.data, c->dout[CONV1D_Y] = c->out[CONV1D_Y], c->dout[CONV1D_Y].data = dxbc.data;
    d->out[SSD_Y].data = y.data, d->dout[SSD_Y] = d->out[SSD_Y], d->dout[SSD_Y].data = dy.data;
    n->out[GATED_RMSNORM_Y].data = out.data, n->dout[GATED_RMSNORM_Y] = n->out[GATED_RMSNORM_Y], n->dout[GATED_RMSNORM_Y].data = dout.data;
}

typedef enum pass { FORWARD = 1, BACKWARD = 2, AGAIN = 4 } pass;
static void run(const mixer *m, int what) {
    const kr_call *c = &m->c[CONV], *d = &m->c[SSD], *n = &m->c[NORM];
    if (what & FORWARD) kr_cuda_op_conv1d.fwd(c), kr_cuda_op_ssd.fwd(d), kr_cuda_op_gated_rmsnorm.fwd(n);
    if (what & AGAIN) kr_cuda_op_gated_rmsnorm.fwd(n);
    if (what & BACKWARD) kr_cuda_op_gated_rmsnorm.bwd(n);
    if (what & AGAIN) kr_cuda_op_conv1d.fwd(c);
    if (what & BACKWARD) kr_cuda_op_ssd.bwd(d), kr_cuda_op_conv1d.bwd(c);
}

static float median_ms(const mixer *m, int what) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaEvent_t from, to;
    std::vector<float> ms;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int k = 0; k < SETS; k++) run(&m[k], what);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaEventCreate(&from));
    CHECK(cudaEventCreate(&to));
    for (int r = 0; r < 55; r++) {
        float t;
        CHECK(cudaEventRecord(from, stream));
        CHECK(cudaGraphLaunch(exec, stream));
        CHECK(cudaEventRecord(to, stream));
        CHECK(cudaEventSynchronize(to));
        CHECK(cudaEventElapsedTime(&t, from, to));
        if (r >= 5) ms.push_back(t / SETS);
    }
    std::sort(ms.begin(), ms.end());
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
    return ms[ms.size() / 2];
}

int main(void) {
    static const shape shapes[] = {{"130m, 8 x 2048", 8, 2048, 24, 64, 128}, {"370m, 8 x 2048", 8, 2048, 32, 64, 128},
                                   {"2.7b, 2 x 4096", 2, 4096, 80, 64, 128}};
    api.version = KR_CUDA_VERSION, api.ops = cuda_ops, api.n_ops = sizeof cuda_ops / sizeof *cuda_ops;
    CHECK(cudaStreamCreate(&stream));
    printf("%-16s %9s %9s %9s %9s  ms\n", "mixer", "forward", "backward", "both", "again");
    for (const shape &s : shapes) {
        mixer m[SETS];
        for (mixer &one : m) make(&one, &s), run(&one, FORWARD | BACKWARD);
        CHECK(cudaStreamSynchronize(stream));
        float f = median_ms(m, FORWARD), b = median_ms(m, BACKWARD), both = median_ms(m, FORWARD | BACKWARD);
        printf("%-16s %9.4f %9.4f %9.4f %9.4f\n", s.name, f, b, both, median_ms(m, FORWARD | BACKWARD | AGAIN));
        fflush(stdout);
        for (void *p : owned) cudaFree(p);
        owned.clear();
    }
    return 0;
}
