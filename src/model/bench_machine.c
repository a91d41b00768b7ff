/* bench_machine.c - what this machine can do, measured: the roof that times are held against. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/bench_call.h"
#include "ops/roof.h"

static void read_cpu_name(char *to, size_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(to, size, "unknown CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0) continue;
        snprintf(to, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f) fclose(f);
}

enum { ROUNDS = 1 << 18 };

typedef struct roof {
    float (*fma)(int64_t n, int64_t *lanes);
    void (*read)(const float *a, int64_t n, int n_threads);
    void (*triad)(float *a, const float *b, const float *c, int64_t n, int n_threads);
    int n_threads;
    int64_t n;
    float *a, *b, *c;
} roof;

static roof roof_of(kr_impl impl) {
    switch (impl) {
#if defined(__x86_64__)
    case KR_AVX2: return (roof){.fma = kr_roof_fma_avx2, .triad = kr_roof_triad_avx2, .read = kr_roof_read_avx2};
    case KR_AVX512: return (roof){.fma = kr_roof_fma_avx512, .triad = kr_roof_triad_avx512, .read = kr_roof_read_avx512};
#endif
#if defined(__aarch64__)
    default: return (roof){.fma = kr_roof_fma_neon, .triad = kr_roof_triad_neon, .read = kr_roof_read_neon};
#else
    default: return (roof){.fma = kr_roof_fma_baseline, .triad = kr_roof_triad_baseline, .read = kr_roof_read_baseline};
#endif
    }
}

/* Each thread by its own clock: waking them is not arithmetic. */
static double fma_flops(roof *r) {
    double flops = 0;
#pragma omp parallel num_threads(r->n_threads) reduction(+ : flops)
    {
        int64_t lanes;
        double t0 = kr_now();
        volatile float kept = r->fma(ROUNDS, &lanes);
        (void)kept;
        flops += 2.0 * ROUNDS * KR_ROOF_CHAINS * (double)lanes / (kr_now() - t0);
    }
    return flops;
}

static void run_triad(void *arg) {
    roof *r = arg;
    r->triad(r->a, r->b, r->c, r->n, r->n_threads);
}

static void run_read(void *arg) {
    roof *r = arg;
    r->read(r->a, r->n, r->n_threads);
}

kr_status kr_bench_read_roof(size_t bytes, const kr_bench_options *opt, double *out) {
    roof r = roof_of(kr_cpu_best());
    r.n_threads = opt->n_threads;
    r.n = (int64_t)((bytes / sizeof(float) / KR_ROOF_READ + 1) * KR_ROOF_READ);
    if (!(r.a = kr_mem_array((size_t)r.n, sizeof *r.a))) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < r.n; i += 16) r.a[i] = 1; /* pages are taken here */
    *out = (double)r.n * sizeof *r.a / kr_time_work(run_read, &r, opt).best_s;
    kr_mem_free(r.a);
    return KR_OK;
}

kr_status kr_bench_gemm_roof(const kr_bench_options *opt, double *out) {
    kr_bench_call b;
    kr_status st = kr_bench_call_open(&b, "linear", "*1024 N1024 K1024 -b -s", kr_cpu_best(), opt->n_threads);
    if (st == KR_OK) *out = b.op->flops(&b.call) / kr_bench_call_time(&b, false, opt).best_s;
    kr_bench_call_close(&b);
    return st;
}

typedef struct copying { kr_device *d; char *memory; size_t bytes; } copying;
enum { COPIES = 4 };
static void copy(void *arg) {
    copying *c = arg;
    for (int i = 0; i < COPIES; i++) kr_cuda()->copy(c->d, c->memory, c->memory + c->bytes, c->bytes);
    kr_cuda()->sync(c->d);
}

/* A GPU: a copy within its memory, and the product that cuBLASLt makes. */
static kr_status measure_device(kr_bench_machine *out, kr_device *d, const kr_bench_options *o) {
    kr_device_info info;
    copying c = {.d = d};
    kr_dtype real;
    kr_bench_call b = {0};
    if (kr_bench_blocks(o)) real = KR_BF16;
    else KR_TRY(kr_bench_dtype(o, &real));
    KR_TRY(kr_cuda()->info(d, &info));
    snprintf(out->cpu, sizeof out->cpu, "%.80s", info.name);
    out->isa = "cuda";
    out->n_threads = info.n_sm;
    bool large = info.bytes > (size_t)8 << 30; /* a real one */
    c.bytes = (size_t)1 << (large ? 29 : 20);
    KR_TRY(kr_cuda()->alloc(d, (void **)&c.memory, 2 * c.bytes));
    out->stream_bytes = 2.0 * (double)c.bytes * COPIES / kr_time_work(copy, &c, o).best_s;
    kr_cuda()->free(d, c.memory);
    kr_status st = kr_bench_call_open_on(&b, "linear", large ? "*8192 N8192 K8192 -b -s" : "*128 N128 K128 -b -s", d, real);
    if (st == KR_OK) out->gemm_flops = b.op->flops(&b.call) / kr_bench_call_time(&b, false, o).best_s;
    kr_bench_call_close(&b);
    return st;
}

kr_status kr_bench_measure_machine(kr_bench_machine *out, const kr_bench_options *opt) {
    kr_bench_options o = kr_bench_defaults(opt);
    kr_impl impl = kr_cpu_best();
    roof r = roof_of(impl);
    memset(out, 0, sizeof *out);
    read_cpu_name(out->cpu, sizeof out->cpu);
    out->isa = kr_impl_name(impl);
    out->version = KRAIT_VERSION;
    kr_device *device;
    KR_TRY(kr_device_open(&device, o.device));
    if (device) {
        kr_status st = measure_device(out, device, &o);
        kr_device_close(device);
        return st;
    }
    out->n_threads = r.n_threads = o.n_threads;

    if (o.seconds < 0.5) o.seconds = opt && opt->seconds > 0 ? opt->seconds : 0.5; /* all else is held against it */
    for (double start = kr_now(), f; kr_now() - start < o.seconds;)
        if ((f = fma_flops(&r)) > out->fma_flops) out->fma_flops = f;

    r.n = (64 << 20) / (int64_t)sizeof(float);
    r.a = kr_mem_array(3 * (size_t)r.n, sizeof *r.a);
    if (!r.a) return KR_ERR_NOMEM;
    r.b = r.a + r.n, r.c = r.b + r.n;
    r.triad(r.b, r.a, r.a, r.n, r.n_threads); /* pages are taken here, each near the thread that will use it */
    r.triad(r.c, r.a, r.a, r.n, r.n_threads);
    out->stream_bytes = 3.0 * (double)r.n * sizeof *r.a / kr_time_work(run_triad, &r, &o).best_s;
    kr_mem_free(r.a);

    return kr_bench_gemm_roof(&o, &out->gemm_flops);
}
