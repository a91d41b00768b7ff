/* bench_scan.cu - selective_scan (and lti_scan) on a GPU, alone: right, and how fast.
 *
 * Each test case of the op, and longer ones, against the reference in double: float and bfloat16
 * activations, aligned and as column slices off any alignment, with gradients set and added to,
 * twice (the same bits).  Then times against what bounds them, as medians of replays of a CUDA
 * graph over rotating inputs; and of a scan in another order, by a list, beside gathers before and behind it.
 *
 *   bench_scan [check [CASE] | times | times1 | order] */
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#define _Alignas alignas
extern "C" {
#include "op_case.h"
}
#include "ops/gather/gather.h"
#include "ops/ops.h"
#include "ops/selective_scan/selective_scan.h"

extern "C" const kr_cuda_op kr_cuda_op_selective_scan;
extern "C" const kr_op_test kr_test_selective_scan;
extern "C" const kr_cuda_op kr_cuda_op_gather;
extern "C" const kr_cuda_op kr_cuda_op_lti_scan;
extern "C" const kr_op_test kr_test_lti_scan;

#define CU(call)                                                                              \
    do {                                                                                      \
        cudaError_t e_ = (call);                                                              \
        if (e_ != cudaSuccess) {                                                              \
            printf("FAIL %s line %d %s: %s\n", now, __LINE__, #call, cudaGetErrorString(e_)); \
            exit(1);                                                                          \
        }                                                                                     \
    } while (0)

static int n_failed;
static char now[200]; /* what is running, for a crash */
static double worst[2][2]; /* [bf16][gradient] */

/* ---- memory on the device, with guards ---- */
enum { GUARD = 256 };
typedef struct mem { char *p; size_t bytes; } mem;
static std::vector<mem> mems;
static void *dev(size_t bytes, size_t off, int fill) {
    mem m = {NULL, bytes + off};
    CU(cudaMalloc(&m.p, m.bytes + 2 * GUARD));
    CU(cudaMemset(m.p, 0xa5, m.bytes + 2 * GUARD));
    CU(cudaMemset(m.p + GUARD + off, fill, bytes));
    mems.push_back(m);
    return m.p + GUARD + off;
}
static bool guards_hold(void) {
    bool ok = true;
    unsigned char g[GUARD];
    for (const mem &m : mems)
        for (int side = 0; side < 2; side++) {
            CU(cudaMemcpy(g, side ? m.p + GUARD + m.bytes : m.p, GUARD, cudaMemcpyDeviceToHost));
            for (unsigned char b : g) ok &= b == 0xa5;
        }
    return ok;
}
static void free_all(void) {
    for (const mem &m : mems) CU(cudaFree(m.p));
    mems.clear();
}

/* ---- values ---- */
static void put(void *p, kr_dtype t, int64_t i, double v) {
    if (t == KR_I32) ((int32_t *)p)[i] = (int32_t)v;
    else if (t == KR_BF16) ((uint16_t *)p)[i] = kr_to_bf16((float)v);
    else ((float *)p)[i] = (float)v;
}
static double get(const void *p, kr_dtype t, int64_t i) {
    return t == KR_BF16 ? kr_from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}
typedef struct shape { int64_t rows, width, pitch; size_t bytes; } shape;
static shape shape_of(const kr_sig_term *t, const kr_tensor *x) {
    shape s = {1, 1, 0, 0};
    for (int i = 0; i < x->n_dims; i++) *(i < t->n_row_axes ? &s.rows : &s.width) *= x->dim[i];
    s.pitch = x->pitch ? x->pitch : s.width;
    s.bytes = (size_t)(s.rows * s.pitch) * kr_dtype_bytes(x->dtype);
    return s;
}
static std::vector<char> host_of(const kr_sig_term *t, const kr_tensor *x, const double *v) {
    shape s = shape_of(t, x);
    std::vector<char> h(s.bytes, (char)0xff); /* NaN between the rows */
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t i = 0; i < s.width; i++) put(h.data(), x->dtype, r * s.pitch + i, v ? v[r * s.width + i] : 0.5);
    return h;
}
static std::vector<double> read_back(const kr_sig_term *t, const kr_tensor *x) {
    shape s = shape_of(t, x);
    std::vector<char> h(s.bytes);
    std::vector<double> v;
    CU(cudaMemcpy(h.data(), x->data, s.bytes, cudaMemcpyDeviceToHost));
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t i = 0; i < s.width; i++) v.push_back(get(h.data(), x->dtype, r * s.pitch + i));
    return v;
}

/* ---- right ---- */
typedef struct way { bool bf16, slices, acc, alias, no_dy, no_dh; } way;
typedef struct result { std::vector<std::vector<double>> out, din; } result;

static kr_dtype type_of(const kr_sig_term *t, const way &w) {
    return t->kind == KR_SLOT_INT ? KR_I32 : t->kind == KR_SLOT_REAL && w.bf16 ? KR_BF16 : KR_F32;
}
static void place_input(const op_case *k, kr_call *c, int i, const way &w) {
    const kr_sig_term *t = &k->in_term[i];
    kr_tensor *x = &c->in[i];
    x->dtype = type_of(t, w), x->pitch = 0;
    x->pitch = shape_of(t, x).width;
    if (w.slices && t->n_row_axes) x->pitch += 1 + (5 * i + 2) % 9;
    std::vector<char> h = host_of(t, x, k->in[i]), g = host_of(t, x, NULL);
    size_t off = w.slices && t->n_row_axes ? kr_dtype_bytes(x->dtype) : 0;
    x->data = dev(h.size(), off, 0xff);
    CU(cudaMemcpy(x->data, h.data(), h.size(), cudaMemcpyHostToDevice));
    if (!wants_grad(k, i)) return;
    c->din[i] = *x, c->acc[i] = w.acc;
    c->din[i].data = dev(g.size(), off, 0xff);
    if (w.acc) CU(cudaMemcpy(c->din[i].data, g.data(), g.size(), cudaMemcpyHostToDevice));
}

static result run_cuda(const op_case *k, const kr_cuda_op *op, const way &w) {
    snprintf(now, sizeof now, "%s [%s]%s%s%s%s%s%s", k->op->name, k->text, w.bf16 ? " bf16" : "",
             w.slices ? " slices" : "", w.acc ? " acc" : "", w.alias ? " alias" : "", w.no_dy ? " no_dy" : "",
             w.no_dh ? " no_dh" : "");
    kr_call c = {};
    c.attr = k->attr, c.n_threads = 1, c.training = !w.alias;
    for (int i = 0; i < k->n_in; i++)
        if (!(k->absent >> i & 1)) c.in[i] = case_input_shape(k, i, KR_F32);
    if (kr_op_bind(k->op, &c) != KR_OK) printf("FAIL bind %s\n", kr_error()), exit(1);
    c.real = w.bf16 ? KR_BF16 : KR_F32, c.impl = KR_CUDA;
    for (int i = 0; i < k->n_in; i++)
        if (!(k->absent >> i & 1)) place_input(k, &c, i, w);
    c.fwd_scratch = c.bwd_scratch = c.saved_bytes = 0;
    if (op->plan && op->plan(&c) != KR_OK) printf("FAIL plan %s\n", kr_error()), exit(1);
    for (int o = 0; o < k->n_out; o++) {
        const kr_sig_term *t = &k->out_term[o];
        kr_tensor *y = &c.out[o];
        y->dtype = type_of(t, w), y->pitch = 0;
        c.dout[o] = *y;
        int a = w.alias ? alias_input(k, o) : -1;
        if (o > 0 && w.no_dh) y->data = NULL;
        else y->data = a >= 0 ? c.in[a].data : dev(shape_of(t, y).bytes, 0, 0xff);
        if (o == 0 ? w.no_dy : w.no_dh) continue;
        std::vector<char> h = host_of(t, &c.dout[o], k->dout[o]);
        c.dout[o].data = dev(h.size(), 0, 0xff);
        CU(cudaMemcpy(c.dout[o].data, h.data(), h.size(), cudaMemcpyHostToDevice));
    }
    if (c.training && c.saved_bytes) c.saved = dev(c.saved_bytes, 0, 0xff);
    if (c.fwd_scratch) c.scratch = dev(c.fwd_scratch, 0, 0xff);
    op->fwd(&c);
    CU(cudaDeviceSynchronize());
    result r;
    for (int o = 0; o < k->n_out; o++)
        r.out.push_back(c.out[o].data ? read_back(&k->out_term[o], &c.out[o]) : std::vector<double>());
    if (c.training) {
        if (c.bwd_scratch) c.scratch = dev(c.bwd_scratch, 0, 0xff);
        op->bwd(&c);
        CU(cudaDeviceSynchronize());
        for (int i = 0; i < k->n_in; i++)
            r.din.push_back(c.din[i].data ? read_back(&k->in_term[i], &c.din[i]) : std::vector<double>());
    }
    if (!guards_hold()) n_failed++, printf("FAIL [%s] wrote outside\n", k->text);
    free_all();
    return r;
}

static void compare(const op_case *k, const char *d, const char *name, const way &w, const std::vector<double> &got,
                    const double *want, double shift) {
    double num = 0, den = 0, n = (double)got.size();
    double tol = !w.bf16 ? 1e-5 : n < 200 ? 5e-3 : 3e-3; /* one element alone is rounded by up to 4e-3 */
    for (size_t i = 0; i < got.size(); i++) {
        double e = got[i] - (want[i] + shift);
        num += e * e, den += (want[i] + shift) * (want[i] + shift);
    }
    double err = sqrt(num / fmax(den, 1e-12 * n)), *at = &worst[w.bf16][*d != 0];
    if (err > *at) *at = err;
    if (err <= tol) return;
    if (n_failed++ < 60)
        printf("FAIL %s [%s] %s%s%s%s%s: error %.3g > %.3g\n", k->op->name, k->text, d, name, w.bf16 ? " bf16" : "",
               w.slices ? " slices" : "", w.alias ? " alias" : "", err, tol);
}
static void must(const op_case *k, const char *what, const char *name, const way &w, bool ok) {
    if (!ok && n_failed++ < 60)
        printf("FAIL %s [%s] %s %s%s%s\n", k->op->name, k->text, what, name, w.bf16 ? " bf16" : "", w.slices ? " slices" : "");
}
static bool same(const std::vector<double> &a, const std::vector<double> &b) {
    return a.empty() || !memcmp(a.data(), b.data(), a.size() * sizeof(double));
}

static void check_way(const op_case *k, const kr_cuda_op *op, const kr_call *c, const way &w, bool gradients) {
    result r = run_cuda(k, op, w);
    for (int o = 0; o < k->n_out; o++)
        if (!r.out[o].empty()) compare(k, "", k->out_term[o].name, w, r.out[o], (double *)c->out[o].data, 0);
    for (size_t i = 0; i < r.din.size(); i++) {
        bool finite = true;
        for (double v : r.din[i]) finite &= fabs(v) < 1e30;
        must(k, "not finite: d", k->in_term[i].name, w, finite);
        if (gradients && !r.din[i].empty())
            compare(k, "d", k->in_term[i].name, w, r.din[i], (double *)c->din[i].data, w.acc ? .5 : 0);
    }
    if (!gradients) return;
    result again = run_cuda(k, op, w);
    for (int o = 0; o < k->n_out; o++) must(k, "other bits:", k->out_term[o].name, w, same(r.out[o], again.out[o]));
    for (size_t i = 0; i < r.din.size(); i++) must(k, "other bits: d", k->in_term[i].name, w, same(r.din[i], again.din[i]));
}

static void check(const kr_op_test *t, const kr_cuda_op *op, const char *text) {
    for (int b = 0; b < 2; b++) {
        int mark = own_mark();
        op_case k;
        if (!case_read(&k, t, text)) exit(1);
        for (int i = 0; i < k.n_in && b; i++) {
            if (!k.in[i] || k.in_term[i].kind != KR_SLOT_REAL) continue;
            kr_tensor x = case_input_shape(&k, i, KR_F64);
            for (int64_t e = 0; e < kr_count(&x); e++) k.in[i][e] = kr_from_bf16(kr_to_bf16((float)k.in[i][e]));
        }
        for (int o = 0; o < k.n_out && b; o++) { /* one of the outputs' sizes is all that is missing here */
            how shapes = {};
            shapes.f64 = true;
            kr_call s = case_call(&k, &shapes);
            if (k.out_term[o].kind != KR_SLOT_REAL) continue;
            for (int64_t e = 0; e < kr_count(&s.out[o]); e++) k.dout[o][e] = kr_from_bf16(kr_to_bf16((float)k.dout[o][e]));
        }
        how h = {};
        h.f64 = true;
        kr_call c = case_call(&k, &h);
        for (int i = 0; i < k.n_in; i++) /* a reference adds; the dispatcher clears for it */
            (void)i;
        case_forward(&k, &h, &c);
        case_backward(&k, &h, &c);
        bool B = b;
        check_way(&k, op, &c, way{B, false, false, false, false, false}, true);
        check_way(&k, op, &c, way{B, true, true, false, false, false}, true);
        check_way(&k, op, &c, way{B, false, true, false, false, false}, true);
        check_way(&k, op, &c, way{B, false, false, true, false, false}, false);
        check_way(&k, op, &c, way{B, true, false, true, false, false}, false);
        check_way(&k, op, &c, way{B, false, false, false, true, false}, false);
        check_way(&k, op, &c, way{B, false, false, false, false, true}, false);
        own_release(mark);
    }
}

static void check_all(const kr_op_test *t, const kr_cuda_op *op, const char *const *longer, int only) {
    int before = n_failed;
    memset(worst, 0, sizeof worst);
    for (int i = 0; i < 40 && t->cases[i]; i++)
        if (only < 0 || only == i) check(t, op, t->cases[i]);
    for (int i = 100; *longer; longer++, i++)
        if (only < 0 || only == i) check(t, op, *longer);
    printf("%s: %d failed; worst errors: float %.2g, gradients %.2g; bfloat16 %.2g, gradients %.2g\n", t->op->name,
           n_failed - before, worst[0][0], worst[0][1], worst[1][0], worst[1][1]);
    fflush(stdout);
}

/* ---- times ---- */
__global__ void fill(void *p, int64_t n, int type, float lo, float hi, unsigned seed) {
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        unsigned long long x = (unsigned long long)i * 0x9E3779B97F4A7C15ull + seed * 0xD1B54A32D192ED03ull;
        x ^= x >> 32, x *= 0xD6E8FEB86659FD93ull, x ^= x >> 32;
        float v = lo + (hi - lo) * (float)(x >> 40) * (1.f / 16777216);
        if (type == KR_BF16) ((unsigned short *)p)[i] = (unsigned short)(__float_as_uint(v) >> 16);
        else ((float *)p)[i] = v;
    }
}
static void *random_dev(const kr_tensor *x, float lo, float hi) {
    static unsigned seed = 1;
    void *p = dev((size_t)kr_count(x) * kr_dtype_bytes(x->dtype), 0, 0);
    fill<<<1024, 256>>>(p, kr_count(x), x->dtype, lo, hi, seed++);
    return p;
}

typedef struct scan_shape { int64_t S, L, D, N; bool bf16, no_z; const int32_t *order; } scan_shape; /* L 1: a step of inference */

static kr_tensor tensor(kr_dtype type, std::initializer_list<int64_t> dims) {
    kr_tensor t = {};
    t.dtype = type;
    for (int64_t d : dims) t.dim[t.n_dims++] = d;
    return t;
}
static kr_call scan_call(const scan_shape &s) {
    static selective_scan_attr attr = {1, 0};
    kr_call c = {};
    c.attr = &attr, c.n_threads = 1, c.training = s.L > 1;
    kr_tensor sld = tensor(KR_F32, {s.S, s.L, s.D}), bc = tensor(KR_F32, {s.S, s.L, 1, s.N}), d = tensor(KR_F32, {s.D});
    c.in[SCAN_U] = c.in[SCAN_DT] = c.in[SCAN_Z] = sld, c.in[SCAN_B] = c.in[SCAN_C] = bc, c.in[SCAN_D] = c.in[SCAN_DT_BIAS] = d;
    c.in[SCAN_A] = tensor(KR_F32, {s.D, s.N});
    if (s.L == 1) c.in[SCAN_H0] = tensor(KR_F32, {s.S, s.D, s.N});
    if (s.no_z) c.in[SCAN_Z] = kr_tensor{};
    if (s.order) c.in[SCAN_ORDER] = tensor(KR_I32, {s.L});
    if (kr_op_bind(&kr_op_selective_scan, &c) != KR_OK) printf("FAIL %s\n", kr_error()), exit(1);
    c.real = s.bf16 ? KR_BF16 : KR_F32, c.impl = KR_CUDA;
    for (int i = 0; i <= SCAN_H0; i++) {
        kr_tensor *t = &c.in[i];
        if (!t->n_dims) continue;
        bool activation = i == SCAN_U || i == SCAN_DT || i == SCAN_Z || i == SCAN_B || i == SCAN_C;
        float lo = i == SCAN_A ? -(float)s.N : i == SCAN_DT_BIAS ? -6.f : -1.f;
        float hi = i == SCAN_A ? -.1f : i == SCAN_DT_BIAS ? -2.f : 1.f;
        t->dtype = activation ? c.real : KR_F32;
        t->data = random_dev(t, lo, hi);
        if (s.L > 1) c.din[i] = *t, c.din[i].data = random_dev(t, 0, 0);
    }
    c.in[SCAN_ORDER].data = (void *)s.order;
    if (kr_cuda_op_selective_scan.plan(&c) != KR_OK) exit(1);
    kr_tensor *y = &c.out[SCAN_Y];
    y->dtype = c.real, y->data = random_dev(y, 0, 0);
    c.dout[SCAN_Y] = *y, c.dout[SCAN_Y].data = random_dev(y, -1, 1);
    c.out[SCAN_H].data = c.in[SCAN_H0].data;
    if (c.training) c.saved = dev(c.saved_bytes, 0, 0);
    return c;
}

/* Calls one after the other; backward the other way. */
typedef struct stage { const kr_cuda_op *op; kr_call c; } stage;
typedef std::vector<stage> chain;

/* Median time of one of these chains, replayed in turn, in ms. */
static double time_of(std::vector<chain> &calls, bool fwd, bool bwd) {
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaEvent_t from, to;
    CU(cudaStreamCreate(&stream));
    CU(cudaEventCreate(&from));
    CU(cudaEventCreate(&to));
    CU(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (chain &k : calls) {
        for (stage &l : k) l.c.stream = stream;
        for (size_t i = 0; i < k.size() && fwd; i++) k[i].op->fwd(&k[i].c);
        for (size_t i = k.size(); i-- > 0 && bwd;) k[i].op->bwd(&k[i].c);
    }
    CU(cudaStreamEndCapture(stream, &graph));
    CU(cudaGraphInstantiate(&exec, graph, 0));
    std::vector<float> ms;
    float t = 0, all = 0;
    for (int i = 0; i < 55 && (all < 700 || ms.size() < 7); i++) {
        CU(cudaEventRecord(from, stream));
        CU(cudaGraphLaunch(exec, stream));
        CU(cudaEventRecord(to, stream));
        CU(cudaStreamSynchronize(stream));
        CU(cudaEventElapsedTime(&t, from, to));
        all += t;
        if (i >= 3) ms.push_back(t / (float)calls.size());
    }
    std::sort(ms.begin(), ms.end());
    CU(cudaGraphExecDestroy(exec));
    CU(cudaGraphDestroy(graph));
    CU(cudaStreamDestroy(stream));
    return ms[ms.size() / 2];
}

/* Room for all of them; they do not run at the same time. */
static size_t give_scratch(std::vector<chain> &calls) {
    size_t scratch = 0;
    for (chain &k : calls)
        for (stage &l : k) scratch = std::max(scratch, std::max(l.c.fwd_scratch, l.c.bwd_scratch));
    void *room = dev(scratch, 0, 0);
    for (chain &k : calls)
        for (stage &l : k) l.c.scratch = room;
    return scratch;
}
static chain scan_alone(const scan_shape &s) { return chain{stage{&kr_cuda_op_selective_scan, scan_call(s)}}; }

static void bench(const scan_shape &s) {
    double T = (double)(s.S * s.L), e = s.bf16 ? 2 : 4, copy = 4.27e9, exps = 132 * 16 * 1.755e6, fmas = 132 * 128 * 1.755e6;
    double width = T * (double)s.D * e, bc = T * (double)s.N * e, elements = T * (double)(s.D * s.N);
    std::vector<chain> calls;
    for (int i = 0, n = s.L == 1 ? 8 : (int)(200e6 / (4 * width)) + 1; i < n; i++) calls.push_back(scan_alone(s));
    size_t scratch = give_scratch(calls);
    printf("%3lld %8lld %5lld %3lld %-4s ", (long long)s.S, (long long)s.L, (long long)s.D, (long long)s.N, s.bf16 ? "bf16" : "f32");
    if (s.L == 1) {
        double ms = time_of(calls, true, false), mem = ((double)(s.S * s.D * s.N) * 8 + 4 * width) / copy;
        printf("step %.4f ms | mem %.4f: %.0f%%\n", ms, mem, 100 * mem / ms);
    } else {
        double fwd = time_of(calls, true, false), bwd = time_of(calls, false, true), both = time_of(calls, true, true);
        double mb = (double)calls[0][0].c.saved_bytes / 1e6;
        for (chain &k : calls) k[0].c.saved = NULL;
        double infer = time_of(calls, true, false);
        printf("infer %.4f fwd %.4f bwd %.4f both %.4f ms | fwd mem %.3f exp %.3f fma %.3f: %.0f%% | bwd mem %.3f fma %.3f: %.0f%% | "
               "saved %.0f scratch %.0f MB\n",
               infer, fwd, bwd, both, (4 * width + 2 * bc) / copy, elements / exps, 5 * elements / fmas, 100 * elements / exps / fwd,
               (8 * width + 4 * bc) / copy, 14 * elements / fmas, 100 * 14 * elements / fmas / bwd, mb, (double)scratch / 1e6);
    }
    fflush(stdout);
    free_all();
}

/* ---- a scan in another order ---- */
/* y = x by the list; `back` may be NULL. */
static kr_call gather_call(const scan_shape &s, const int32_t *idx, const int32_t *back, kr_tensor x, kr_tensor dx, kr_tensor y, kr_tensor dy) {
    kr_call c = {};
    c.n_threads = 1, c.training = true;
    c.in[GATHER_X] = tensor(KR_F32, {s.S, s.L, s.D}), c.in[GATHER_IDX] = tensor(KR_I32, {s.L});
    if (back) c.in[GATHER_BACK] = c.in[GATHER_IDX];
    if (kr_op_bind(&kr_op_gather, &c) != KR_OK) printf("FAIL %s\n", kr_error()), exit(1);
    c.real = s.bf16 ? KR_BF16 : KR_F32, c.impl = KR_CUDA;
    c.in[GATHER_X] = x, c.din[GATHER_X] = dx, c.out[GATHER_Y] = y, c.dout[GATHER_Y] = dy;
    c.in[GATHER_IDX].data = (void *)idx, c.in[GATHER_BACK].data = (void *)back;
    if (kr_cuda_op_gather.plan(&c) != KR_OK) exit(1);
    return c;
}
/* u is gathered before the scan, y behind it. */
static chain between_gathers(const scan_shape &s, const int32_t *order, const int32_t *inverse, bool back) {
    kr_call scan = scan_call(s);
    kr_tensor u = scan.in[SCAN_U], y = scan.out[SCAN_Y], x = u, dx = u, to = y, dto = y;
    x.data = random_dev(&x, -1, 1), dx.data = random_dev(&dx, 0, 0), to.data = random_dev(&to, 0, 0), dto.data = random_dev(&dto, -1, 1);
    return chain{stage{&kr_cuda_op_gather, gather_call(s, order, back ? inverse : NULL, x, dx, u, scan.din[SCAN_U])},
                 stage{&kr_cuda_op_selective_scan, scan},
                 stage{&kr_cuda_op_gather, gather_call(s, inverse, back ? order : NULL, y, scan.dout[SCAN_Y], to, dto)}};
}
static const int32_t *send(const std::vector<int32_t> &list) {
    void *p = dev(list.size() * sizeof(int32_t), 0, 0);
    CU(cudaMemcpy(p, list.data(), list.size() * sizeof(int32_t), cudaMemcpyHostToDevice));
    return (const int32_t *)p;
}
static void bench_line(const char *name, std::vector<chain> calls) {
    give_scratch(calls);
    double fwd = time_of(calls, true, false), bwd = time_of(calls, false, true), both = time_of(calls, true, true);
    printf("  %-44s fwd %.4f bwd %.4f both %.4f ms\n", name, fwd, bwd, both);
    fflush(stdout);
}
/* A random permutation, and columns of a picture of `width` columns. */
static void bench_order(scan_shape s, int64_t width) {
    std::vector<int32_t> random, turned;
    for (int64_t i = 0; i < s.L; i++) random.push_back((int32_t)i), turned.push_back((int32_t)(i % (s.L / width) * width + i / (s.L / width)));
    for (int64_t i = s.L - 1, x = 1; i > 0; i--) x = (x * 48271) % 2147483647, std::swap(random[(size_t)i], random[(size_t)(x % (i + 1))]);
    for (bool no_z : {false, true}) {
        s.no_z = no_z;
        printf("%lld %lld %lld %lld %s, %s a gate\n", (long long)s.S, (long long)s.L, (long long)s.D, (long long)s.N, s.bf16 ? "bf16" : "f32",
               no_z ? "without" : "with");
        bench_line("scan alone", {scan_alone(s), scan_alone(s)});
        free_all();
        for (int i = 0; i < 2; i++) {
            const std::vector<int32_t> &list = i ? turned : random;
            std::vector<int32_t> back(list.size());
            for (size_t k = 0; k < list.size(); k++) back[(size_t)list[k]] = (int32_t)k;
            const char *name = i ? "columns" : "random";
            char text[80];
            const int32_t *order = send(list), *inverse = send(back);
            for (bool with_back : {false, true}) {
                snprintf(text, sizeof text, "gather, scan, gather: %s%s", name, with_back ? ", inverse known" : "");
                bench_line(text, {between_gathers(s, order, inverse, with_back), between_gathers(s, order, inverse, with_back)});
            }
            scan_shape by = s;
            by.order = order;
            snprintf(text, sizeof text, "scan with order: %s", name);
            std::vector<chain> calls = {scan_alone(by), scan_alone(by)};
            bench_line(text, calls);
            for (chain &k : calls) k[0].c.acc[SCAN_U] = true;
            snprintf(text, sizeof text, "the same, du added to: %s", name);
            bench_line(text, calls);
            free_all();
        }
    }
}

int main(int argc, char **argv) {
    CU(cudaSetDevice(0));
    static const char *const longer[] = {
        "S2 L300 D70 G1 N16 -seq_idx", "S1 L2100 D40 G1 N16", "S1 L1000 D33 G1 N64 -h0", "S1 L600 D24 G2 N128 -seq_idx",
        "S1 L33 D8 G1 N250", "S2 L47 D64 G2 N24", "S1 L700 D48 G1 N7 dt_softplus=0 -dt_bias", "S1 L16 D64 G1 N16",
        "S1 L96 D32 G1 N36", "S4 L1 D64 G1 N24 -seq_idx", "S2 L1 D64 G2 N256", "S1 L64 D256 G1 N16",
        "S2 L300 D64 G2 N16 -seq_idx", "S2 L77 D104 G1 N16 -seq_idx -z", "S1 L1030 D40 G1 N16 -seq_idx", "S2 L320 D64 G2 N16 -seq_idx",
        "S1 L1024 D96 G1 N16 -seq_idx -h0", "S3 L16 D32 G1 N16 -seq_idx -dt_bias -D", "S1 L160 D32 G1 N16 -seq_idx -z",
        "S2 L304 D64 G2 N16 -seq_idx -order", "S2 L77 D104 G1 N16 -seq_idx -z -order", "S1 L1030 D40 G1 N16 -seq_idx -order",
        "S2 L300 D70 G1 N16 -order", "S1 L1000 D33 G1 N64 -h0 -order", "S1 L600 D24 G2 N128 -order", "S1 L33 D8 G1 N250 -order", NULL};
    bool first_only = argc > 1 && !strcmp(argv[1], "times1"); /* for a profiler */
    static const scan_shape shapes[] = {
        {8, 2048, 1536, 16, true}, {8, 2048, 1536, 16, false}, {1, 8192, 5120, 16, true}, {1, 8192, 5120, 64, true},
        {8, 2048, 1536, 64, true}, {1, 2048, 1536, 16, true}, {1, 65536, 1024, 16, true}, {1, 16384, 256, 16, true},
        {1, 1 << 20, 64, 16, true}, {32, 512, 1536, 16, true}, {256, 1, 1536, 16, true}, {1, 1, 5120, 16, true}};
    bool order = argc > 1 && !strcmp(argv[1], "order");
    if (argc < 2 || (strncmp(argv[1], "times", 5) != 0 && !order)) {
        check_all(&kr_test_selective_scan, &kr_cuda_op_selective_scan, longer, argc > 2 ? atoi(argv[2]) : -1);
        static const char *const lti_longer[] = {"S1 L1000 D33 N16", "S2 L300 D64 N64 -seq_idx", NULL};
        check_all(&kr_test_lti_scan, &kr_cuda_op_lti_scan, lti_longer, argc > 2 ? atoi(argv[2]) : -1);
    }
    if (argc < 2 || order) bench_order({8, 2048, 1536, 16, true}, 64);
    if (argc < 2 || (strcmp(argv[1], "check") != 0 && !order))
        for (const scan_shape &s : shapes)
            if (!first_only || &s == shapes) bench(s);
    return n_failed != 0;
}
