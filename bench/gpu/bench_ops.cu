/* bench_ops.cu - the CUDA kernels of single ops, without the rest of Krait: are they right,
 * and how near to the memory's speed are they?
 *
 *   bench_ops check [op ...]   the ops' own test cases against the reference in double, in
 *                              float32 and bfloat16: plain, as column slices, adding, twice
 *   bench_ops time [op ...]    medians over replays of a CUDA graph at a training step's
 *                              shapes, beside the bytes that must move at KRAIT_COPY_TBS */
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#define _Alignas alignas
extern "C" {
#include "../../tests/op_case.h"
#include "ops/ops.h"
#define OP(name) extern const kr_op_test kr_test_##name;
#include "ops/ops.def"
#undef OP
#define OP(name) extern const kr_cuda_op kr_cuda_op_##name __attribute__((weak));
#include "ops/ops.def"
#undef OP
}

/* The table that libkrait looks for in libkrait_cuda.so: here it is linked in. */
static const kr_cuda_op *const cuda_ops[] = {
#define OP(name) &kr_cuda_op_##name,
#include "ops/ops.def"
#undef OP
};
static const kr_op_test *const tests[] = {
#define OP(name) &kr_test_##name,
#include "ops/ops.def"
#undef OP
};
enum { N_OPS = sizeof tests / sizeof *tests };
static kr_cuda_api api;
extern "C" const kr_cuda_api *kr_cuda(void) { return &api; }

static cudaStream_t stream;
static int n_failed, n_passed;

#define CU(call)                                                                                          \
    do {                                                                                                  \
        cudaError_t e_ = (call);                                                                          \
        if (e_ != cudaSuccess) {                                                                          \
            printf("FAIL %s:%d %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(e_));             \
            exit(1);                                                                                      \
        }                                                                                                 \
    } while (0)

static std::vector<void *> owned;
static void *device_memory(size_t bytes) {
    void *p;
    CU(cudaMalloc(&p, bytes + 256));
    CU(cudaMemset(p, 0xff, bytes + 256));
    owned.push_back(p);
    return p;
}
static void release(size_t mark) {
    for (; owned.size() > mark; owned.pop_back()) CU(cudaFree(owned.back()));
}

/* --- calls on the device ------------------------------------------------------------------ */

typedef struct gpu_how { bool pitched, acc; } gpu_how;

static double round_to(kr_dtype t, double x) { return t == KR_BF16 ? kr_from_bf16(kr_to_bf16((float)x)) : (float)x; }
static void store(void *p, kr_dtype t, int64_t i, double x) {
    if (t == KR_I32) ((int32_t *)p)[i] = (int32_t)x;
    else if (t == KR_BF16) ((uint16_t *)p)[i] = kr_to_bf16((float)x);
    else ((float *)p)[i] = (float)x;
}
static double fetch(const void *p, kr_dtype t, int64_t i) {
    return t == KR_I32 ? ((const int32_t *)p)[i] : t == KR_BF16 ? kr_from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}
static kr_dtype slot_type(const op_case *k, int i, kr_dtype real) {
    kr_slot_kind kind = k->in_term[i].kind;
    return kind == KR_SLOT_INT ? KR_I32 : kind == KR_SLOT_F32 ? KR_F32 : kind == KR_SLOT_WEIGHT && k->bf16 >> i & 1 ? KR_BF16 : real;
}
/* What a gradient starts from where it is added to. */
static double start_of(int64_t e) { return (double)((e * 37 + 11) % 64 - 31) / 64; }

static int64_t width_of(const kr_sig_term *t, const kr_tensor *x, int n_star) {
    int64_t w = 1;
    for (int a = t->n_row_axes < 0 ? n_star : t->n_row_axes; a < x->n_dims; a++) w *= x->dim[a];
    return w;
}
/* x on the device, with values (NULL: NaN, or what start_of says). */
static void place(kr_tensor *x, int64_t width, const double *v, bool starts) {
    int64_t n = kr_count(x), rows = width ? n / width : 0, pitch = x->pitch ? x->pitch : width;
    size_t elem = kr_dtype_bytes(x->dtype), bytes = (size_t)(rows * pitch) * elem;
    std::vector<unsigned char> host(bytes + 16, 0xff);
    for (int64_t e = 0; (v || starts) && e < n; e++)
        store(host.data(), x->dtype, e / width * pitch + e % width, v ? v[e] : start_of(e));
    /* a slice begins where vectors cannot */
    x->data = (char *)device_memory(bytes + elem) + (pitch != width ? elem : 0);
    CU(cudaMemcpy(x->data, host.data(), bytes, cudaMemcpyHostToDevice));
}
static std::vector<double> values(const kr_tensor *x, int64_t width) {
    int64_t n = kr_count(x), rows = width ? n / width : 0, pitch = x->pitch ? x->pitch : width;
    size_t elem = kr_dtype_bytes(x->dtype), bytes = (size_t)(rows * pitch) * elem;
    std::vector<unsigned char> host(bytes + 16);
    std::vector<double> v((size_t)n);
    CU(cudaMemcpy(host.data(), x->data, bytes, cudaMemcpyDeviceToHost));
    for (int64_t e = 0; e < n; e++) v[(size_t)e] = fetch(host.data(), x->dtype, e / width * pitch + e % width);
    return v;
}

static kr_call gpu_call(const op_case *k, kr_dtype real, gpu_how h) {
    kr_call c = {};
    c.attr = k->attr, c.real = real, c.impl = KR_CUDA, c.n_threads = 1, c.training = true, c.stream = stream;
    for (int i = 0; i < k->n_in; i++) {
        const kr_sig_term *t = &k->in_term[i];
        if (k->absent >> i & 1) continue;
        kr_tensor x = case_input_shape(k, i, real);
        x.dtype = slot_type(k, i, real);
        int64_t width = width_of(t, &x, k->n_star);
        if (h.pitched && t->n_row_axes != 0 && (t->n_row_axes > 0 || k->n_star > 0)) x.pitch = width + 1 + (5 * i + 2) % 9;
        place(&x, width, k->in[i], false);
        c.in[i] = x;
        if (!wants_grad(k, i) || !k->op->bwd_f64) continue;
        c.din[i] = x, c.din[i].dtype = kr_grad_dtype(t, real), c.din[i].pitch = x.pitch ? x.pitch : width;
        c.acc[i] = h.acc;
        place(&c.din[i], width, NULL, h.acc);
    }
    if (kr_op_bind(k->op, &c) != KR_OK) {
        printf("FAIL %s [%s] bind: %s\n", k->op->name, k->text, kr_error());
        exit(1);
    }
    for (int o = 0; o < k->n_out; o++) {
        int64_t width = width_of(&k->out_term[o], &c.out[o], c.n_star);
        c.dout[o] = c.out[o];
        place(&c.out[o], width, NULL, false);
        if (c.out[o].dtype == KR_I32) c.dout[o].data = NULL;
        else place(&c.dout[o], width, k->dout[o], false);
    }
    c.saved = device_memory(c.saved_bytes);
    c.scratch = device_memory(std::max(c.fwd_scratch, c.bwd_scratch));
    return c;
}
static void run(const op_case *k, kr_call *c) {
    size_t bytes = std::max(c->fwd_scratch, c->bwd_scratch);
    kr_op_forward(k->op, c, KR_CUDA);
    CU(cudaMemsetAsync(c->scratch, 0xff, bytes, stream));
    if (k->op->bwd_f64) kr_op_backward(k->op, c, KR_CUDA);
    CU(cudaStreamSynchronize(stream));
}

/* --- checking --------------------------------------------------------------------------------- */

static double error_of(const std::vector<double> &want, const std::vector<double> &got) {
    double num = 0, den = 0;
    for (size_t e = 0; e < want.size(); e++) num += pow(want[e] - got[e], 2), den += want[e] * want[e];
    return sqrt(num / fmax(den, 1e-12 * (double)want.size()));
}
static double verdict(const op_case *k, const char *how, kr_dtype real, const char *d, const char *slot, double err, double tol) {
    if (err <= tol) n_passed++;
    else n_failed++, printf("FAIL %s [%s] %s %s %s%s: error %.3g > %.3g\n", k->op->name, k->text, kr_dtype_text(real), how, d, slot, err, tol);
    return isnan(err) ? INFINITY : err;
}

static std::vector<std::vector<double>> results(const op_case *k, const kr_call *c) {
    std::vector<std::vector<double>> all;
    for (int o = 0; o < k->n_out; o++) all.push_back(values(&c->out[o], width_of(&k->out_term[o], &c->out[o], c->n_star)));
    for (int i = 0; i < k->n_in; i++)
        all.push_back(c->din[i].data ? values(&c->din[i], width_of(&k->in_term[i], &c->din[i], c->n_star)) : std::vector<double>());
    return all;
}

static void check_case(const kr_op_test *t, const char *text, kr_dtype real, double worst[2]) {
    int mark = own_mark();
    op_case k;
    if (!case_read(&k, t, text)) {
        n_failed++;
        return;
    }
    for (int i = 0; i < k.n_in; i++) { /* the reference sees the rounded values */
        if (real == KR_BF16 && k.in_term[i].kind == KR_SLOT_WEIGHT && strlen(text) % 2) k.bf16 |= 1u << i;
        if (k.absent >> i & 1 || k.in_term[i].kind == KR_SLOT_INT) continue;
        kr_tensor x = case_input_shape(&k, i, KR_F64);
        for (int64_t e = 0; e < kr_count(&x); e++) k.in[i][e] = round_to(slot_type(&k, i, real), k.in[i][e]);
    }
    how h = {};
    h.f64 = true;
    kr_call want = case_call(&k, &h);
    for (int o = 0; o < k.n_out; o++)
        for (int64_t e = 0; want.dout[o].data && e < kr_count(&want.dout[o]); e++) {
            double x = round_to(k.out_term[o].kind == KR_SLOT_REAL ? real : KR_F32, k.dout[o][e]);
            k.dout[o][e] = x;
        }
    want = case_call(&k, &h);
    case_forward(&k, &h, &want);
    if (k.op->bwd_f64) case_backward(&k, &h, &want);
    std::vector<std::vector<double>> ref, plain;
    for (int o = 0; o < k.n_out; o++) {
        const double *p = (const double *)want.out[o].data;
        const int32_t *whole = (const int32_t *)want.out[o].data;
        int64_t n = kr_count(&want.out[o]);
        ref.push_back(want.out[o].dtype == KR_I32 ? std::vector<double>(whole, whole + n) : std::vector<double>(p, p + n));
    }
    for (int i = 0; i < k.n_in; i++) {
        const double *p = (const double *)want.din[i].data;
        ref.push_back(p ? std::vector<double>(p, p + kr_count(&want.din[i])) : std::vector<double>());
    }
    double tol[2] = {t->tol_fwd ? t->tol_fwd : 1e-5, t->tol_bwd ? t->tol_bwd : 1e-5};
    static const char *const ways[] = {"plain", "again", "as slices", "adding"};
    for (int way = 0; way < 4; way++) {
        size_t gpu_mark = owned.size();
        gpu_how g = {way == 2, way == 3};
        kr_call c = gpu_call(&k, real, g);
        run(&k, &c);
        std::vector<std::vector<double>> got = results(&k, &c);
        for (size_t r = 0; r < got.size(); r++) {
            bool back = (int)r >= k.n_out;
            const char *name = back ? k.in_term[r - (size_t)k.n_out].name : k.out_term[r].name;
            if (got[r].empty()) continue;
            std::vector<double> w = ref[r];
            for (size_t e = 0; way == 3 && back && e < w.size(); e++) w[e] += start_of((int64_t)e);
            double most = real == KR_BF16 ? (t->tol_bf16 ? t->tol_bf16 : 3e-3) * (way == 3 && back ? 2 : 1) * (w.size() < 64 ? 2 : 1) : tol[back];
            double err = verdict(&k, ways[way], real, back ? "d" : "", name, error_of(w, got[r]), most);
            worst[back] = fmax(worst[back], err);
            if (way == 1 && memcmp(got[r].data(), plain[r].data(), got[r].size() * sizeof(double)) != 0)
                n_failed++, printf("FAIL %s [%s] %s %s: %s%s has other bits\n", t->op->name, text, kr_dtype_text(real), ways[way], back ? "d" : "", name);
        }
        if (way == 0) plain = got;
        release(gpu_mark);
    }
    own_release(mark);
}

/* Cases that take the vector paths, beside the ops' own. */
static const char *const more[][2] = {
    {"add_rmsnorm", "*40 D768"}, {"add_rmsnorm", "*5 D1024 -res"}, {"add_rmsnorm", "*3 D2560"}, {"add_rmsnorm", "*3 D8192"},
    {"rmsnorm", "*40 D768"}, {"rmsnorm", "*3 D7000"}, {"layernorm", "*40 D768"}, {"layernorm", "*3 D7000"},
    {"gated_rmsnorm", "*40 D1536"}, {"gated_rmsnorm", "*3000 D1536"}, {"gated_rmsnorm", "*6 D1024 group_size=256"}, {"gated_rmsnorm", "*3 D9000 norm_before_gate=1"},
    {"gated_rmsnorm", "*9 D1024 group_size=512 -w"}, {"gated_rmsnorm", "*700 D5120"}, {"conv1d", "S2 L300 D132 K4 J3 -seq_idx"}, {"conv1d", "S2 L3000 D1028 K4 J3 -seq_idx silu=0"},
    {"conv1d", "S2 L65 D32 K4 J3 -seq_idx"}, {"conv1d", "S2 L66 D32 K4 J3 -seq_idx"}, {"conv1d", "S2 L2 D32 K4 J3 -seq_idx"},
    {"conv1d", "S3 L100 D256 K4 J3 -x0 -seq_idx"}, {"conv1d", "S2 L200 D136 K4 J3"}, {"conv1d", "S4 L1 D64 K4 J3 -seq_idx"},
    {"linear", "*64 K96 N128 -s"}, {"linear", "*64 K256 N3352 W@bf16 -s"}, {"linear", "*1 K256 N80 W@bf16 -b -s"}, {"linear", "*256 K768 N512 W@bf16 -s"},
    {"cross_entropy", "*64 K64 V512"}, {"cross_entropy", "*3,20 K128 V1000 v_valid=993 W@bf16"},
    {"cross_entropy", "*140 K8 V4100"}, {"cross_entropy", "*3 K8 V60000 z_loss=.1"}, {"cross_entropy", "*2 K8 V140000 v_valid=139990"},
    {"embedding", "S4 L500 V300 D64 W@bf16"}, {"embedding", "S2 L600 V2 D768"},
    {"glu", "*64 D512"}, {"rope", "S2 L40 H3 P64 -n0 -seq_idx"}, {"attention", "S2 L400 H4 G2 P64 T4 C400 -cache0 -n0 cache_len=400"},
    {"attention", "S1 L500 H2 G1 P32 T2 C500 -cache0 -n0 -seq_idx cache_len=500"}, {"attention", "S1 L300 H2 G2 P128 T4 C300 -cache0 -n0 window=70 cache_len=300"},
    {"gather", "S3 L40 J40 D64 -back"}, {"gather", "S3 L40 J40 D64"}, {"unary", "*64 D512"}, {"dropout", "*64 D512 K4 p=.25"},
};

static void check_op(int n) {
    double worst[2][2] = {};
    int before = n_failed;
    for (int bf = 0; bf < 2; bf++) {
        kr_dtype real = bf ? KR_BF16 : KR_F32;
        for (const char *const *c = tests[n]->cases; c < tests[n]->cases + 40 && *c; c++) check_case(tests[n], *c, real, worst[bf]);
        for (size_t m = 0; m < sizeof more / sizeof *more; m++)
            if (strcmp(more[m][0], tests[n]->op->name) == 0) check_case(tests[n], more[m][1], real, worst[bf]);
    }
    printf("%-14s f32 %.1e %.1e   bf16 %.1e %.1e   %s\n", tests[n]->op->name, worst[0][0], worst[0][1], worst[1][0], worst[1][1],
           n_failed > before ? "WRONG" : "ok");
    fflush(stdout);
}

/* --- timing ------------------------------------------------------------------------------------ */

static __global__ void draw_kernel(void *p, int type, int64_t n, double lo, double hi, uint32_t seed) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n) return;
    uint64_t h = (uint64_t)i * 0x9E3779B97F4A7C15ull + seed * 0xD1B54A32D192ED03ull;
    h ^= h >> 32, h *= 0xD6E8FEB86659FD93ull, h ^= h >> 32, h *= 0xD6E8FEB86659FD93ull, h ^= h >> 32;
    double u = lo + (hi - lo) * ((double)(h >> 11) * 0x1p-53);
    if (type == KR_I32) ((int32_t *)p)[i] = (int32_t)floor(u);
    else if (type == KR_BF16) ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn((float)u);
    else ((float *)p)[i] = (float)u;
}
static void draw(kr_tensor *x, double lo, double hi) {
    static uint32_t seed = 1;
    int64_t n = kr_count(x);
    x->data = device_memory((size_t)n * kr_dtype_bytes(x->dtype));
    draw_kernel<<<(unsigned)((n + 255) / 256), 256, 0, stream>>>(x->data, x->dtype, n, lo, hi, seed++);
}

typedef struct timing { const char *op, *text; bool no_dx0; } timing;
static const timing timings[] = {
    {"add_rmsnorm", "*16384 D768", false},      {"add_rmsnorm", "*16384 D1024", false}, {"add_rmsnorm", "*8192 D2560", false},
    {"gated_rmsnorm", "*16384 D1536", false},   {"gated_rmsnorm", "*16384 D2048", false}, {"gated_rmsnorm", "*8192 D5120", false},
    {"conv1d", "S8 L2048 D1792 K4 J3 -x0 -seq_idx", false}, {"conv1d", "S2 L4096 D5376 K4 J3 -x0 -seq_idx", false},
    {"conv1d", "S256 L1 D1792 K4 J3 -seq_idx", false},
    {"rmsnorm", "*16384 D768", false},          {"layernorm", "*16384 D768", false},
    {"linear", "*16384 K768 N3352 W@bf16 -b -s", false}, {"linear", "*16384 K1536 N768 W@bf16 -b -s", false},
    {"linear", "*32768 K1024 N4384 W@bf16 -b -s", false}, {"linear", "*1 K768 N3352 W@bf16 -b -s", false},
    {"embedding", "S8 L2048 V50288 D768 W@bf16", false},
    {"cross_entropy", "*16384 K768 V50288 W@bf16 v_valid=50277", false},
    {"unary", "*16384 D1536", false},           {"binary", "*16384 D1536 kind=1", false}, {"dropout", "*16384 D1536 K4 p=.1", false},
    {"attention", "S16 L2048 H8 G8 P64 T16 C1 -cache0 -n0 -seq_idx", false}, {"attention", "S16 L2048 H8 G2 P64 T4 C1 -cache0 -n0", false},
    {"attention", "S8 L2048 H16 G16 P128 T32 C1 -cache0 -n0 -seq_idx", false}, {"attention", "S4 L8192 H8 G8 P64 T16 C1 -cache0 -n0 -seq_idx", false},
    {"attention", "S16 L2048 H16 G16 P32 T32 C1 -cache0 -n0 -seq_idx", false},
    {"rope", "S16 L2048 H16 P64 -n0 -seq_idx", false}, {"glu", "*32768 D1408", false},
    {"gather", "S16 L1024 J1024 D768 -back", false}, {"gather", "S16 L1024 J1024 D768", false},  {"pool", "S16 L1024 D768", false}, {"concat", "*16384 A768 B768", false},
};

static double bytes_of(const kr_tensor *x) { return x->data ? (double)kr_count(x) * (double)kr_dtype_bytes(x->dtype) : 0; }

/* Bounds of an input: as its test has them. */
static void bounds(const kr_op_test *t, const op_case *k, const char *name, double *lo, double *hi) {
    char who[16], a[32], b[32];
    int used;
    const char *p = t->range ? t->range : "";
    *lo = -1, *hi = 1;
    for (; sscanf(p, " %15s %31s %31[^, ]%n", who, a, b, &used) == 3; p += *p == ',') {
        p += used;
        if (strcmp(who, name) != 0) continue;
        *lo = *a >= 'A' && *a <= 'Z' ? (double)k->size[*a - 'A'] : strtod(a, NULL);
        *hi = *b >= 'A' && *b <= 'Z' ? (double)k->size[*b - 'A'] : strtod(b, NULL);
    }
}

/* The numbers of the case: lists that belong together. */
static void send(kr_tensor *x, const double *from) {
    std::vector<int32_t> h(from, from + kr_count(x));
    x->data = device_memory(h.size() * sizeof(int32_t));
    CU(cudaMemcpy(x->data, h.data(), h.size() * sizeof(int32_t), cudaMemcpyHostToDevice));
}

static kr_call timed_call(const kr_op_test *t, op_case *k, kr_dtype real) {
    kr_call c = {};
    c.attr = k->attr, c.real = real, c.impl = KR_CUDA, c.n_threads = 1, c.training = true, c.stream = stream;
    for (int i = 0; i < k->n_in; i++) {
        double lo, hi;
        if (k->absent >> i & 1) continue;
        c.in[i] = case_input_shape(k, i, real);
        c.in[i].dtype = slot_type(k, i, real);
        bounds(t, k, k->in_term[i].name, &lo, &hi);
        if (t->op == &kr_op_gather && c.in[i].dtype == KR_I32) send(&c.in[i], k->in[i]);
        else draw(&c.in[i], lo, hi);
        if (!wants_grad(k, i) || !t->op->bwd_f64) continue;
        c.din[i] = c.in[i], c.din[i].dtype = kr_grad_dtype(&k->in_term[i], real);
        draw(&c.din[i], 0, 0);
        c.din[i].pitch = width_of(&k->in_term[i], &c.in[i], k->n_star);
    }
    if (kr_op_bind(t->op, &c) != KR_OK) {
        printf("FAIL %s [%s] bind: %s\n", t->op->name, k->text, kr_error());
        exit(1);
    }
    for (int o = 0; o < k->n_out; o++) {
        c.dout[o] = c.out[o];
        draw(&c.out[o], 0, 0);
        draw(&c.dout[o], -1e-3, 1e-3);
    }
    if (t->op == &kr_op_cross_entropy) c.dout[1].data = c.dout[2].data = NULL; /* only the loss */
    if (t->op == &kr_op_conv1d && k->size['L' - 'A'] > 1) c.dout[1].data = NULL;
    c.saved = device_memory(c.saved_bytes);
    return c;
}

static double median_ms(const op_case *k, kr_call *c, int n_sets, int what) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    for (int s = 0; s < n_sets; s++) kr_op_forward(k->op, &c[s], KR_CUDA); /* lazy loading, algorithms */
    if (k->op->bwd_f64)
        for (int s = 0; s < n_sets; s++) kr_op_backward(k->op, &c[s], KR_CUDA);
    CU(cudaStreamSynchronize(stream));
    CU(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int s = 0; s < n_sets; s++) {
        if (what & 1) kr_op_forward(k->op, &c[s], KR_CUDA);
        if (what & 2) kr_op_backward(k->op, &c[s], KR_CUDA);
    }
    CU(cudaStreamEndCapture(stream, &graph));
    CU(cudaGraphInstantiate(&exec, graph, 0));
    cudaEvent_t from, to;
    CU(cudaEventCreate(&from));
    CU(cudaEventCreate(&to));
    std::vector<float> ms;
    for (int r = 0; r < 55; r++) {
        float t;
        CU(cudaEventRecord(from, stream));
        CU(cudaGraphLaunch(exec, stream));
        CU(cudaEventRecord(to, stream));
        CU(cudaEventSynchronize(to));
        CU(cudaEventElapsedTime(&t, from, to));
        if (r >= 5) ms.push_back(t / (float)n_sets);
    }
    std::sort(ms.begin(), ms.end());
    CU(cudaGraphExecDestroy(exec));
    CU(cudaGraphDestroy(graph));
    return ms[ms.size() / 2];
}

static void time_case(const timing *t, double tbs) {
    const kr_op *op = kr_op_find(t->op);
    const kr_op_test *test = NULL;
    int which = 0;
    for (int n = 0; n < N_OPS; n++)
        if (tests[n]->op == op) test = tests[n], which = n;
    if (!cuda_ops[which]) return;
    int mark = own_mark();
    op_case k;
    std::string small = t->text;
    /* sizes by hand, without drawing */
    memset(&k, 0, sizeof k);
    k.test = test, k.op = op, k.text = t->text;
    kr_sig_term s = {};
    for (const char *p = op->sig; kr_sig_next(&p, &s);) {
        if (s.output) k.out_term[k.n_out++] = s;
        else k.in_term[k.n_in++] = s;
    }
    kr_attr_defaults(op, k.attr);
    char *rest = &small[0];
    for (char *w = strtok_r(rest, " ", &rest); w; w = strtok_r(rest, " ", &rest)) {
        char *eq = strchr(w, '='), *at = strchr(w, '@');
        if (*w == '*')
            for (char *p = w + 1; *p; p += *p == ',') k.star[k.n_star++] = strtoll(p, &p, 10);
        else if (*w == '-') k.absent |= 1u << kr_op_slot(op, w + 1, false);
        else if (at) *at = 0, k.bf16 |= 1u << kr_op_slot(op, w, false);
        else if (eq) {
            *eq = 0;
            for (const kr_attr *a = op->attrs; a->name; a++)
                if (strcmp(a->name, w) == 0) {
                    if (a->type == KR_ATTR_INT) *(int64_t *)(k.attr + a->offset) = strtoll(eq + 1, NULL, 10);
                    else *(double *)(k.attr + a->offset) = strtod(eq + 1, NULL);
                }
        } else k.size[*w - 'A'] = strtoll(w + 1, NULL, 10);
    }
    enum { MAX_SETS = 8 };
    kr_call c[MAX_SETS];
    c[0] = timed_call(test, &k, KR_BF16);
    double fwd = 0, bwd = 0, all = 0;
    for (int i = 0; i < k.n_in; i++) {
        fwd += bytes_of(&c[0].in[i]), bwd += bytes_of(&c[0].din[i]) + (op->bwd_in >> i & 1 ? bytes_of(&c[0].in[i]) : 0);
        all += bytes_of(&c[0].in[i]) + bytes_of(&c[0].din[i]);
    }
    for (int o = 0; o < k.n_out; o++) {
        fwd += bytes_of(&c[0].out[o]), bwd += bytes_of(&c[0].dout[o]) + (op->bwd_out >> o & 1 ? bytes_of(&c[0].out[o]) : 0);
        all += bytes_of(&c[0].out[o]) + bytes_of(&c[0].dout[o]);
    }
    int n_sets = (int)fmin(MAX_SETS, fmax(2, ceil(300e6 / all)));
    for (int i = 1; i < n_sets; i++) c[i] = timed_call(test, &k, KR_BF16);
    void *scratch = device_memory(std::max(c[0].fwd_scratch, c[0].bwd_scratch));
    for (int i = 0; i < n_sets; i++) c[i].scratch = scratch;
    CU(cudaStreamSynchronize(stream));
    double f = median_ms(&k, c, n_sets, 1), b = median_ms(&k, c, n_sets, 2), fb = median_ms(&k, c, n_sets, 3);
    double flops = op->flops ? op->flops(&c[0]) : 0, ff = fwd / tbs / 1e9, bf = bwd / tbs / 1e9;
    printf("%-13s %-40s fwd %7.4f (floor %6.4f %3.0f%%)  bwd %7.4f (%6.4f %3.0f%%)  both %7.4f (%3.0f%%)", t->op, t->text, f, ff,
           100 * ff / f, b, bf, 100 * bf / b, fb, 100 * (ff + bf) / fb);
    if (flops > 0) printf("  %3.0f/%3.0f TF", flops / f / 1e9, 2 * flops / b / 1e9);
    printf("\n");
    fflush(stdout);
    release(0);
    own_release(mark);
}

static bool chosen(int argc, char **argv, const char *name) {
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc <= 2;
}

int main(int argc, char **argv) {
    bool check = argc > 1 && strcmp(argv[1], "check") == 0;
    if (!check && (argc < 2 || strcmp(argv[1], "time") != 0)) {
        printf("usage: bench_ops check|time [op ...]\n");
        return 2;
    }
    api.version = KR_CUDA_VERSION, api.ops = cuda_ops, api.n_ops = N_OPS;
    CU(cudaStreamCreate(&stream));
    if (check) {
        for (int n = 0; n < N_OPS; n++)
            if (cuda_ops[n] && chosen(argc, argv, tests[n]->op->name)) check_op(n);
        printf("%d passed, %d failed\n", n_passed, n_failed);
        return n_failed > 0;
    }
    const char *ceiling = getenv("KRAIT_COPY_TBS");
    double tbs = ceiling ? atof(ceiling) : 4.27;
    cudaDeviceProp p;
    CU(cudaGetDeviceProperties(&p, 0));
    printf("%s; floors at %.2f TB/s; ms\n", p.name, tbs);
    for (size_t i = 0; i < sizeof timings / sizeof *timings; i++)
        if (chosen(argc, argv, timings[i].op)) time_case(&timings[i], tbs);
    return 0;
}
