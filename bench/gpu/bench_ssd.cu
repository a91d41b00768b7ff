/* bench_ssd.cu - ssd on one GPU: right on edge shapes, then timed on the shapes of docs/gpu-notes.md.
 *
 *   bench_ssd [quick | times | one]   quick: values only; times: times only; one: the first shape once, for a profiler
 *
 * Values are held against the double reference (ssd_ref.c) on the same rounded inputs.
 * Times are medians of replays of a CUDA graph that goes round several input sets. */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda/kernel.cuh"
#include "ops/ssd/ssd.h"

extern "C" {
void ssd_fwd_ref_f64(const kr_call *c);
void ssd_bwd_ref_f64(const kr_call *c);
extern const kr_cuda_op kr_cuda_op_ssd;
}
#define CHECK(x) do { cudaError_t e_ = (x); if (e_ != cudaSuccess) { printf("FAIL %s: %s (line %d)\n", #x, cudaGetErrorString(e_), __LINE__); exit(1); } } while (0)

struct shape { int64_t S, L, H, P, G, N; const char *opt; };
enum { N_SLOTS = 10 };
static const char *const letters[N_SLOTS] = {"SLHP", "SLH", "H", "SLGN", "SLGN", "H", "HP", "H", "SHPN", "SL"};
static const char *const names[N_SLOTS] = {"x", "dt", "A", "B", "C", "D", "Dhp", "dt_bias", "h0", "seq_idx"};
static bool is_activation(int i) { return i == SSD_X || i == SSD_DT || i == SSD_B || i == SSD_C; }

static uint64_t rng = 1;
static double uniform(double lo, double hi) {
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return lo + (hi - lo) * (double)(rng >> 11) / 9007199254740992.0;
}

struct problem {
    shape s;
    ssd_attr attr;
    kr_dtype real;
    int64_t size[26], pad;               /* pad: elements between rows of the activations */
    std::vector<double> in[N_SLOTS], dy, dh;
    std::vector<void *> owned;
    kr_call c;
};

static int64_t dims(const problem &p, const char *l, kr_tensor *t) {
    int64_t n = 1;
    t->n_dims = 0;
    for (; *l; l++) t->dim[t->n_dims++] = p.size[*l - 'A'], n *= p.size[*l - 'A'];
    return n;
}
static bool has(const shape &s, const char *word) { return s.opt && strstr(s.opt, word); }
static bool absent(const shape &s, int i) {
    return (i == SSD_DHP && !has(s, "Dhp")) || (i == SSD_D && has(s, "-D")) || (i == SSD_H0 && !has(s, "h0")) ||
           (i == SSD_SEQ_IDX && !has(s, "seq")) || (i == SSD_DT_BIAS && has(s, "-bias"));
}

static void make(problem *p, const shape &s, kr_dtype real) {
    p->s = s;
    p->real = real;
    p->attr = {1, has(s, "limit") ? 0.01 : 0, has(s, "limit") ? 0.2 : INFINITY, 0};
    p->pad = has(s, "pad") ? 8 : has(s, "odd") ? 3 : 0;
    memset(p->size, 0xff, sizeof p->size);
    p->size['S' - 'A'] = s.S, p->size['L' - 'A'] = s.L, p->size['H' - 'A'] = s.H, p->size['P' - 'A'] = s.P, p->size['G' - 'A'] = s.G, p->size['N' - 'A'] = s.N;
    for (int i = 0; i < N_SLOTS; i++) {
        kr_tensor t;
        int64_t n = dims(*p, letters[i], &t);
        if (absent(s, i)) continue;
        p->in[i].resize((size_t)n);
        int seq = 0;
        for (int64_t e = 0; e < n; e++) {
            double x = i == SSD_A ? -exp(uniform(log(.5), log(16.))) : i == SSD_DT ? uniform(-2, 1) : i == SSD_DT_BIAS ? uniform(-4, -1.5) : uniform(-1.7, 1.7);
            if (i == SSD_SEQ_IDX) x = seq += uniform(0, 1) < 0.02;
            else if (is_activation(i) && real == KR_BF16) x = kr_from_bf16(kr_to_bf16((float)x));
            p->in[i][e] = (float)x;
        }
    }
    p->dy.resize((size_t)(s.S * s.L * s.H * s.P));
    for (double &x : p->dy) x = uniform(-1.7, 1.7), x = real == KR_BF16 ? kr_from_bf16(kr_to_bf16((float)x)) : (float)x;
    p->dh.resize((size_t)(s.S * s.H * s.P * s.N));
    for (double &x : p->dh) x = (float)uniform(-1, 1);
}

/* Device memory holding `from`, rows `pitch` apart; the rest 0xff. */
static void *put(problem *p, const std::vector<double> &from, kr_dtype type, int64_t width, int64_t pitch) {
    size_t elem = kr_dtype_bytes(type);
    int64_t rows = (int64_t)from.size() / width;
    std::vector<unsigned char> host((size_t)(rows * pitch) * elem, 0xff);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < width; e++) {
            unsigned char *to = &host[(size_t)(r * pitch + e) * elem];
            float f = (float)from[r * width + e];
            if (type == KR_F32) memcpy(to, &f, 4);
            else if (type == KR_I32) { int v = (int)f; memcpy(to, &v, 4); }
            else { uint16_t v = kr_to_bf16(f); memcpy(to, &v, 2); }
        }
    void *d;
    CHECK(cudaMalloc(&d, host.size() + 256));
    CHECK(cudaMemcpy(d, host.data(), host.size(), cudaMemcpyHostToDevice));
    p->owned.push_back(d);
    return d;
}
static void *blank(problem *p, size_t bytes) {
    void *d;
    CHECK(cudaMalloc(&d, bytes + 256));
    CHECK(cudaMemset(d, 0xff, bytes + 256));
    p->owned.push_back(d);
    return d;
}
static std::vector<double> get(const void *d, kr_dtype type, int64_t rows, int64_t width, int64_t pitch) {
    size_t elem = kr_dtype_bytes(type);
    std::vector<unsigned char> host((size_t)(rows * pitch) * elem);
    CHECK(cudaMemcpy(host.data(), d, host.size(), cudaMemcpyDeviceToHost));
    std::vector<double> v((size_t)(rows * width));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < width; e++) {
            const unsigned char *at = &host[(size_t)(r * pitch + e) * elem];
            float f;
            uint16_t h;
            if (type == KR_F32) memcpy(&f, at, 4);
            else memcpy(&h, at, 2), f = kr_from_bf16(h);
            v[r * width + e] = f;
        }
    return v;
}

static int64_t row_width(const problem &p, int i) {
    kr_tensor t;
    int64_t n = dims(p, letters[i], &t);
    return is_activation(i) || i == SSD_SEQ_IDX ? n / (p.s.S * p.s.L) : n;
}

static void device_call(problem *p, bool training) {
    kr_call *c = &p->c;
    *c = {};
    memcpy(c->size, p->size, sizeof c->size);
    c->attr = &p->attr, c->real = p->real, c->impl = KR_CUDA, c->training = training, c->n_threads = 1;
    for (int i = 0; i < N_SLOTS; i++) {
        if (p->in[i].empty()) continue;
        kr_tensor *t = &c->in[i];
        dims(*p, letters[i], t);
        t->dtype = i == SSD_SEQ_IDX ? KR_I32 : is_activation(i) ? p->real : KR_F32;
        int64_t w = row_width(*p, i);
        t->pitch = w + (is_activation(i) ? p->pad : 0);
        t->data = put(p, p->in[i], t->dtype, w, t->pitch);
        if (!training || i == SSD_SEQ_IDX) continue;
        c->din[i] = *t;
        c->din[i].data = blank(p, (size_t)(kr_count(t) / w * t->pitch) * kr_dtype_bytes(t->dtype));
    }
    for (int o = 0; o < 2; o++) {
        kr_tensor *t = &c->out[o];
        int64_t n = dims(*p, o ? "SHPN" : "SLHP", t);
        t->dtype = o ? KR_F32 : p->real;
        t->pitch = o ? n : p->s.H * p->s.P;
        t->data = blank(p, (size_t)n * kr_dtype_bytes(t->dtype));
        c->dout[o] = *t;
        c->dout[o].data = training && (o == 0 || has(p->s, "dh")) ? put(p, o ? p->dh : p->dy, t->dtype, t->pitch, t->pitch) : NULL;
    }
    if (!training && !has(p->s, "h0") && !has(p->s, "hout")) c->out[1].data = NULL;
    if (kr_cuda_op_ssd.plan(c) != KR_OK) printf("FAIL plan\n");
    c->scratch = blank(p, std::max(c->fwd_scratch, c->bwd_scratch));
    c->saved = training ? blank(p, c->saved_bytes) : NULL;
}

static int n_bad;
static void compare(const problem &p, const char *what, const std::vector<double> &want, const std::vector<double> &got) {
    double num = 0, den = 0, tol = p.real != KR_BF16 ? 1e-5 : strstr(what, "A") || strstr(what, "dt_bias") ? 8e-3 : 3e-3; /* as ssd_test.c says */
    int64_t first = -1;
    for (size_t i = 0; i < want.size(); i++) {
        num += (want[i] - got[i]) * (want[i] - got[i]), den += want[i] * want[i];
        if (first < 0 && !(fabs(want[i] - got[i]) <= 0.05 + 0.05 * fabs(want[i]))) first = (int64_t)i;
    }
    double err = sqrt(num / fmax(den, 1e-12 * (double)want.size()));
    bool ok = err <= tol;
    n_bad += !ok;
    printf(" %s%s %.1e%s", ok ? "" : "FAIL ", what, err, ok ? "" : " ");
    if (!ok && first >= 0) printf("(at %lld: %.4g for %.4g) ", (long long)first, got[first], want[first]);
}

static std::vector<unsigned char> raw(const kr_tensor &t, int64_t width) {
    std::vector<unsigned char> v((size_t)(kr_count(&t) / width * t.pitch) * kr_dtype_bytes(t.dtype));
    CHECK(cudaMemcpy(v.data(), t.data, v.size(), cudaMemcpyDeviceToHost));
    return v;
}

/* Backward once more: each gradient alone has the same bits and nothing between its rows;
 * added to itself it doubles; without dy it is that of the state alone. */
static void check_ways(problem *p, kr_call *r, std::vector<double> *din) {
    const kr_call all = p->c;
    for (int i = 0; i < N_SLOTS; i++) {
        if (!all.din[i].data) continue;
        const kr_tensor &t = all.din[i];
        int64_t w = row_width(*p, i), rows = kr_count(&t) / w;
        size_t elem = kr_dtype_bytes(t.dtype);
        std::vector<unsigned char> want = raw(t, w), got;
        for (int64_t k = 0; k < rows; k++)
            for (size_t e = (size_t)(k * t.pitch + w) * elem; e < (size_t)((k + 1) * t.pitch) * elem; e++)
                if (want[e] != 0xff) n_bad++, printf(" FAIL d%s wrote between rows", names[i]), k = rows, e = want.size();
        for (kr_tensor &d : p->c.din) d.data = NULL;
        p->c.din[i].data = t.data;
        CHECK(cudaMemset(t.data, 0xff, want.size()));
        CHECK(cudaMemset(p->c.scratch, 0xff, p->c.bwd_scratch));
        kr_cuda_op_ssd.bwd(&p->c);
        CHECK(cudaDeviceSynchronize());
        if (raw(t, w) != want) n_bad++, printf(" FAIL d%s alone differs", names[i]);
        p->c.acc[i] = true;
        kr_cuda_op_ssd.bwd(&p->c);
        CHECK(cudaDeviceSynchronize());
        std::vector<double> twice = din[i];
        for (double &x : twice) x *= 2;
        char name[16];
        snprintf(name, sizeof name, "2d%s", names[i]);
        compare(*p, name, twice, get(t.data, t.dtype, rows, w, t.pitch));
        p->c = all;
    }
    r->dout[SSD_Y].data = p->c.dout[SSD_Y].data = NULL;
    for (int i = 0; i < N_SLOTS; i++) std::fill(din[i].begin(), din[i].end(), 0);
    ssd_bwd_ref_f64(r);
    kr_cuda_op_ssd.bwd(&p->c);
    CHECK(cudaDeviceSynchronize());
    printf(" without dy:");
    for (int i = 0; i < N_SLOTS; i++) {
        if (!p->c.din[i].data) continue;
        int64_t w = row_width(*p, i);
        compare(*p, names[i], din[i], get(p->c.din[i].data, p->c.din[i].dtype, (int64_t)p->in[i].size() / w, w, p->c.din[i].pitch));
    }
}

static void check(const shape &s, kr_dtype real) {
    problem p;
    make(&p, s, real);
    bool training = kr_cuda_op_ssd.bwd != NULL;
    kr_call r = {};
    memcpy(r.size, p.size, sizeof r.size);
    r.attr = &p.attr, r.n_threads = 1, r.training = true;
    std::vector<double> out[2], din[N_SLOTS], scratch((size_t)((s.L + 70) * s.P * s.N + s.L * 2));
    std::vector<int32_t> seq;
    for (int i = 0; i < N_SLOTS; i++) {
        if (p.in[i].empty()) continue;
        dims(p, letters[i], &r.in[i]);
        r.in[i].dtype = KR_F64, r.in[i].pitch = row_width(p, i), r.in[i].data = p.in[i].data();
        if (i == SSD_SEQ_IDX) {
            seq.assign(p.in[i].begin(), p.in[i].end());
            r.in[i].data = seq.data();
            continue;
        }
        din[i].assign(p.in[i].size(), 0);
        r.din[i] = r.in[i], r.din[i].data = din[i].data();
    }
    for (int o = 0; o < 2; o++) {
        out[o].resize((o ? p.dh : p.dy).size());
        r.out[o].data = out[o].data();
        r.dout[o].data = o ? (has(s, "dh") ? p.dh.data() : NULL) : p.dy.data();
    }
    r.scratch = scratch.data();
    ssd_fwd_ref_f64(&r);
    printf("S%lld L%lld H%lld P%lld G%lld N%lld %s %s:", (long long)s.S, (long long)s.L, (long long)s.H, (long long)s.P, (long long)s.G, (long long)s.N,
           s.opt ? s.opt : "", real == KR_BF16 ? "bf16" : "f32");
    device_call(&p, training);
    if (!training || has(s, "h0") || has(s, "dh")) p.c.out[1].data = blank(&p, p.dh.size() * 4);
    kr_cuda_op_ssd.fwd(&p.c);
    CHECK(cudaDeviceSynchronize());
    compare(p, "y", out[0], get(p.c.out[0].data, real, 1, (int64_t)out[0].size(), (int64_t)out[0].size()));
    compare(p, "h", out[1], get(p.c.out[1].data, KR_F32, 1, (int64_t)out[1].size(), (int64_t)out[1].size()));
    if (training) {
        ssd_bwd_ref_f64(&r);
        kr_cuda_op_ssd.bwd(&p.c);
        CHECK(cudaDeviceSynchronize());
        for (int i = 0; i < N_SLOTS; i++) {
            if (!p.c.din[i].data) continue;
            int64_t w = row_width(p, i);
            char name[16];
            snprintf(name, sizeof name, "d%s", names[i]);
            compare(p, name, din[i], get(p.c.din[i].data, p.c.din[i].dtype, (int64_t)p.in[i].size() / w, w, p.c.din[i].pitch));
        }
        if (has(s, "ways")) check_ways(&p, &r, din);
    }
    printf("\n");
    fflush(stdout);
    for (void *d : p.owned) cudaFree(d);
}

/* --- times --------------------------------------------------------------------------------- */

static float median_ms(const std::vector<kr_call> &sets, void (*run)(const kr_call *), int replays) {
    cudaStream_t st;
    cudaGraph_t g;
    cudaGraphExec_t x;
    CHECK(cudaStreamCreate(&st));
    CHECK(cudaStreamBeginCapture(st, cudaStreamCaptureModeThreadLocal));
    for (kr_call c : sets) c.stream = st, run(&c);
    CHECK(cudaStreamEndCapture(st, &g));
    CHECK(cudaGraphInstantiate(&x, g, 0));
    cudaEvent_t a, b;
    cudaEventCreate(&a), cudaEventCreate(&b);
    std::vector<float> ms;
    for (int i = 0; i < replays + 3; i++) {
        cudaEventRecord(a, st);
        CHECK(cudaGraphLaunch(x, st));
        cudaEventRecord(b, st);
        CHECK(cudaEventSynchronize(b));
        float t;
        cudaEventElapsedTime(&t, a, b);
        if (i >= 3) ms.push_back(t / (float)sets.size());
    }
    std::sort(ms.begin(), ms.end());
    cudaGraphExecDestroy(x), cudaGraphDestroy(g), cudaStreamDestroy(st);
    return ms[ms.size() / 2];
}

static __global__ void noise(uint32_t *p, int64_t n, uint32_t seed, float lo, float hi, bool half) {
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        uint32_t z = (uint32_t)i * 2654435761u ^ seed;
        z ^= z >> 16, z *= 0x85ebca6bu, z ^= z >> 13, z *= 0xc2b2ae35u, z ^= z >> 16;
        float u = lo + (hi - lo) * (float)(z >> 8) / 16777216.f;
        if (half) ((bf16 *)p)[i] = __float2bfloat16_rn(u);
        else ((float *)p)[i] = u;
    }
}

static void bench(const shape &s, int n_sets, int replays, double ref_fwd, double ref_both) {
    std::vector<problem> p((size_t)n_sets);
    std::vector<kr_call> inference, training;
    double tokens = (double)(s.S * s.L), unit = tokens * (double)(s.H * s.P) * 2, bc = tokens * (double)(s.G * s.N) * 2, dtb = tokens * (double)s.H * 2;
    double flops = tokens * (double)s.H * (2.0 * 128 * (double)s.P * .75 + 4.0 * (double)(s.N * s.P)) + tokens * 2 * 128 * (double)(s.N * s.G);
    for (problem &q : p) {
        q.s = s, q.real = KR_BF16, q.attr = {1, 0, INFINITY, 0};
        memset(q.size, 0xff, sizeof q.size);
        q.size['S' - 'A'] = s.S, q.size['L' - 'A'] = s.L, q.size['H' - 'A'] = s.H, q.size['P' - 'A'] = s.P, q.size['G' - 'A'] = s.G, q.size['N' - 'A'] = s.N;
        kr_call *c = &q.c;
        *c = {};
        memcpy(c->size, q.size, sizeof c->size);
        c->attr = &q.attr, c->real = KR_BF16, c->impl = KR_CUDA, c->n_threads = 1;
        for (int i = 0; i < N_SLOTS; i++) {
            if (i == SSD_DHP || i == SSD_H0 || i == SSD_SEQ_IDX) continue;
            kr_tensor *t = &c->in[i];
            int64_t n = dims(q, letters[i], t);
            bool half = is_activation(i);
            t->dtype = half ? KR_BF16 : KR_F32, t->pitch = row_width(q, i), t->data = blank(&q, (size_t)n * (half ? 2 : 4));
            float lo = i == SSD_A ? -16 : i == SSD_DT ? -2 : i == SSD_DT_BIAS ? -4 : -1.7f, hi = i == SSD_A ? -1 : i == SSD_DT ? 1 : i == SSD_DT_BIAS ? -1.5f : 1.7f;
            noise<<<1024, 256>>>((uint32_t *)t->data, n, (uint32_t)(i * 77 + (&q - &p[0]) * 1001), lo, hi, half);
            c->din[i] = *t, c->din[i].data = blank(&q, (size_t)n * (half ? 2 : 4));
        }
        kr_tensor *t = &c->out[0];
        int64_t n = dims(q, "SLHP", t);
        t->dtype = KR_BF16, t->pitch = s.H * s.P, t->data = blank(&q, (size_t)n * 2);
        c->dout[0] = *t, c->dout[0].data = blank(&q, (size_t)n * 2);
        noise<<<1024, 256>>>((uint32_t *)c->dout[0].data, n, 5, -1.7f, 1.7f, true);
        kr_call t0 = *c;
        kr_cuda_op_ssd.plan(&t0);
        t0.scratch = blank(&q, t0.fwd_scratch);
        inference.push_back(t0);
        t0.training = true;
        kr_cuda_op_ssd.plan(&t0);
        t0.scratch = blank(&q, std::max(t0.fwd_scratch, t0.bwd_scratch));
        t0.saved = blank(&q, t0.saved_bytes);
        training.push_back(t0);
    }
    CHECK(cudaDeviceSynchronize());
    float f = median_ms(inference, kr_cuda_op_ssd.fwd, replays), both = 0;
    if (kr_cuda_op_ssd.bwd) both = median_ms(training, [](const kr_call *c) { kr_cuda_op_ssd.fwd(c), kr_cuda_op_ssd.bwd(c); }, replays);
    printf("b%lld l%lld h%lld p%lld g%lld n%lld: fwd %.4f ms (%.0f GB/s of 2 units, %.0f TF/s, %.2fx mamba_ssm)", (long long)s.S, (long long)s.L,
           (long long)s.H, (long long)s.P, (long long)s.G, (long long)s.N, f, (2 * unit + 2 * bc + dtb) / f * 1e-6, flops / f * 1e-9, ref_fwd / f);
    if (both > 0) printf("; fwd+bwd %.4f ms (%.0f GB/s of 5 units, %.2fx)", both, (5 * unit + 6 * bc + 3 * dtb) / both * 1e-6, ref_both / both);
    printf("\n");
    fflush(stdout);
    for (problem &q : p)
        for (void *d : q.owned) cudaFree(d);
}

int main(int argc, char **argv) {
    bool quick = argc > 1 && strcmp(argv[1], "quick") == 0, one = argc > 1 && strcmp(argv[1], "one") == 0;
    cudaDeviceProp prop;
    CHECK(cudaGetDeviceProperties(&prop, 0));
    printf("%s, %d SMs\n", prop.name, prop.multiProcessorCount);
    const shape f32[] = {{1, 1, 1, 1, 1, 1, "h0"}, {2, 70, 4, 5, 2, 19, "h0 Dhp seq dh"}, {1, 33, 2, 64, 1, 128, ""}, {2, 1, 6, 64, 1, 128, "h0"}, {1, 130, 1, 17, 1, 200, "odd h0 limit"},
                         {2, 150, 6, 20, 2, 24, "odd h0 Dhp seq dh limit ways"}, {1, 64, 2, 16, 1, 256, "h0 dh Dhp"}, {1, 72, 1, 33, 1, 129, "dh -D -bias"},
                         {3, 129, 3, 7, 3, 64, "pad seq dh h0 Dhp ways"}, {1, 2, 1, 16, 1, 33, "h0 dh"}, {40, 9, 32, 33, 4, 3, "h0 dh Dhp"},
                         {1, 300, 4, 256, 2, 16, "seq h0 dh"}, {1, 200, 1024, 1, 1, 128, "h0 dh seq"}, {2, 130, 512, 1, 2, 256, "h0 dh"}};
    const shape half[] = {{1, 17, 1, 32, 1, 8, ""}, {1, 64, 1, 64, 1, 64, "-D"}, {1, 64, 4, 64, 1, 128, ""}, {1, 65, 2, 64, 1, 128, "-bias"}, {2, 200, 3, 64, 1, 128, "pad"},
                          {2, 300, 4, 64, 2, 128, "h0 dh"}, {1, 700, 9, 32, 1, 64, "seq h0 dh"}, {1, 513, 5, 128, 1, 256, "Dhp h0 dh seq"}, {1, 600, 6, 64, 2, 40, "limit odd"},
                          {2, 1000, 12, 64, 1, 128, "seq pad dh"}, {1, 600, 2, 128, 1, 64, "h0 dh ways"}, {2, 170, 4, 64, 2, 72, "odd h0 dh ways limit"}, {2, 170, 10, 64, 2, 40, "h0 dh ways seq"}, {1, 65, 5, 128, 1, 128, "h0 dh seq pad"}, {2, 140, 4, 24, 2, 40, "h0 dh seq odd Dhp ways"}, {1, 4170, 2, 64, 1, 128, "h0 dh"}, {2, 6300, 1, 128, 1, 64, "h0 dh seq"}, {1, 40, 2, 16, 1, 16, "h0"}, {1, 9, 2, 64, 1, 128, "h0 dh"}};
    bool times = argc > 1 && strcmp(argv[1], "times") == 0;
    if (one) return bench({8, 2048, 24, 64, 1, 128, ""}, 1, 1, 0.225, 1.069), 0; /* for a profiler */
    for (const shape &s : f32)
        if (!times) check(s, KR_F32);
    for (const shape &s : half)
        if (!times) check(s, KR_BF16);
    printf(n_bad ? "%d FAILED\n" : "values ok\n", n_bad);
    if (quick) return n_bad != 0;
    bench({8, 2048, 24, 64, 1, 128, ""}, 4, 50, 0.225, 1.069);
    bench({2, 4096, 80, 64, 1, 128, ""}, 3, 50, 0.355, 1.601);
    bench({8, 2048, 24, 64, 1, 64, ""}, 4, 50, 0.172, 0);
    bench({1, 8192, 128, 64, 1, 128, ""}, 3, 50, 0.551, 0);
    bench({1, 65536, 80, 64, 1, 128, ""}, 1, 50, 3.10, 12.32);
    bench({64, 512, 80, 64, 1, 128, ""}, 1, 50, 0, 6.11);
    bench({16, 2048, 80, 64, 1, 128, ""}, 1, 50, 0, 6.08);
    bench({1, 32768, 80, 64, 1, 128, ""}, 1, 50, 0, 6.23);
    return n_bad != 0;
}
