/* bench_gemm.c - dense products at the shapes of training and decoding, beside OpenBLAS when
 * the build has it (KRAIT_BLAS).  Both run in turn in one process, best of many: on a shared
 * machine only the ratio means something.
 *
 *   bench_gemm [-s seconds a number, default .3] [-t threads] [-c] [part of a line's name]
 *
 * -c counts the processor time of all threads, over their number, instead of the wall's: what
 * is left of a measurement on a machine full of others.  KRAIT_ISA=avx2 chooses AVX2 for both.
 * OpenBLAS 0.3.21 takes CPUs younger than itself for the oldest kind, so it is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "ops/gemm.h"
#include "tensor/tensor.h"
#ifdef KR_WITH_BLAS
#include <cblas.h>
#endif

typedef void all_fn(const kr_gemm *g, void *scratch, int n_threads);
typedef void one_fn(const kr_gemm *g, void *scratch);
static all_fn *all;
static one_fn *one;

static void choose(void) {
#if defined(__x86_64__)
    kr_impl best = kr_cpu_best();
    all = best >= KR_AVX512 ? kr_gemm_all_avx512 : best == KR_AVX2 ? kr_gemm_all_avx2 : kr_gemm_all_baseline;
    one = best >= KR_AVX512 ? kr_gemm_one_avx512 : best == KR_AVX2 ? kr_gemm_one_avx2 : kr_gemm_one_baseline;
#elif defined(__aarch64__)
    all = kr_gemm_all_neon, one = kr_gemm_one_neon;
#else
    all = kr_gemm_all_baseline, one = kr_gemm_one_baseline;
#endif
}

static double seconds = 0.3;
static bool cpu_time;
static const char *only = "";

static double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double wall(void) { return clock_of(CLOCK_MONOTONIC); }
static double now(int n_threads) {
    return cpu_time ? clock_of(CLOCK_PROCESS_CPUTIME_ID) / (n_threads ? n_threads : 1) : wall();
}

static void ours(const kr_gemm *g, void *scratch, int n_threads) {
    if (n_threads) all(g, scratch, n_threads);
    else one(g, scratch);
}
static void theirs(const kr_gemm *g, int n_threads) {
#ifdef KR_WITH_BLAS
    static int set;
    if (set != n_threads) openblas_set_num_threads(set = n_threads);
    CBLAS_TRANSPOSE ta = g->a_trans ? CblasTrans : CblasNoTrans, tb = g->b_trans ? CblasTrans : CblasNoTrans;
    cblas_sgemm(CblasRowMajor, ta, tb, (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->lda, g->b, (int)g->ldb, 0,
                g->c, (int)g->ldc);
#else
    (void)g, (void)n_threads;
#endif
}

typedef struct best { double ours, theirs; } best;

/* n_threads 0: kr_gemm_one.  Small products are repeated within one reading of the clock. */
static best measure(const kr_gemm *g, int n_threads) {
    void *scratch = NULL;
    size_t bytes = kr_gemm_scratch(g->m, g->n, g->k, n_threads ? n_threads : 1);
    if (posix_memalign(&scratch, 64, bytes + 64)) exit(1);
    memset(scratch, 0, bytes);
    int repeat = (int)(2e7 / (2.0 * (double)g->m * (double)g->n * (double)g->k)) + 1;
    best b = {1e30, 1e30};
    ours(g, scratch, n_threads), theirs(g, n_threads ? n_threads : 1);
    double end = wall() + seconds;
    for (int i = 0; i < 3 || wall() < end; i++) {
        double t0 = now(n_threads);
        for (int r = 0; r < repeat; r++) ours(g, scratch, n_threads);
        double t1 = now(n_threads);
        if (g->b_type == KR_F32)
            for (int r = 0; r < repeat; r++) theirs(g, n_threads ? n_threads : 1);
        double t2 = now(n_threads);
        if ((t1 - t0) / repeat < b.ours) b.ours = (t1 - t0) / repeat;
        if ((t2 - t1) / repeat < b.theirs) b.theirs = (t2 - t1) / repeat;
    }
    free(scratch);
    return b;
}

static float *a, *b, *c;

static void report(const kr_gemm *g, best t) {
    double work = 2e-9 * (double)g->m * (double)g->n * (double)g->k;
    printf("%8.1f", work / t.ours);
#ifdef KR_WITH_BLAS
    if (g->b_type != KR_F32) printf("            ");
    else printf(" %6.1f %.2f", work / t.theirs, t.theirs / t.ours);
#endif
    fflush(stdout);
}

/* Y[M,N] = X[M,K] W[N,K]^T and its two gradients. */
static void training(int64_t M, int64_t N, int64_t K, int n_threads) {
    kr_gemm y = {.m = M, .n = N, .k = K, .a = a, .b = b, .c = c, .lda = K, .ldb = K, .ldc = N, .b_trans = true};
    kr_gemm dx = {.m = M, .n = K, .k = N, .a = a, .b = b, .c = c, .lda = N, .ldb = K, .ldc = K};
    kr_gemm dw = {.m = N, .n = K, .k = M, .a = a, .b = b, .c = c, .lda = N, .ldb = K, .ldc = K, .a_trans = true};
    const kr_gemm *forms[] = {&y, &dx, &dw};
    char name[64];
    snprintf(name, sizeof name, "%lldx%lldx%lld", (long long)M, (long long)N, (long long)K);
    if (!strstr(name, only)) return;
    printf("%-16s %d", name, n_threads);
    for (int i = 0; i < 3; i++) report(forms[i], measure(forms[i], n_threads));
    puts("");
}

static void few(int64_t m, int64_t n, int64_t k, bool bf16, int n_threads) {
    kr_gemm g = {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .lda = k, .ldb = k, .ldc = n,
                 .b_trans = true, .b_type = bf16 ? KR_BF16 : KR_F32};
    if (*only && strcmp(only, "few")) return;
    best t = measure(&g, n_threads);
    double bytes = (double)n * (double)k * (bf16 ? 2 : 4);
    printf("%lld x %6lld x %4lld %-8s %d  %8.1f us %6.1f GB/s", (long long)m, (long long)n, (long long)k,
           bf16 ? "bfloat16" : "float32", n_threads, 1e6 * t.ours, 1e-9 * bytes / t.ours);
#ifdef KR_WITH_BLAS
    if (!bf16) printf("   OpenBLAS %8.1f us", 1e6 * t.theirs);
#endif
    puts("");
}

static void small(int64_t m, int64_t n, int64_t k, bool b_trans) {
    kr_gemm g = {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .lda = k, .ldb = b_trans ? k : n, .ldc = n,
                 .b_trans = b_trans};
    if (*only && strcmp(only, "one")) return;
    printf("one %3lldx%3lldx%3lld %s", (long long)m, (long long)n, (long long)k, b_trans ? "NT" : "NN");
    report(&g, measure(&g, 0));
    puts("");
}

/* One core reading: the roof of a product with one row. */
static double read_speed(const float *p, size_t count) {
    double least = 1e30;
    for (int i = 0; i < 8; i++) {
        double t = wall();
        float sum[64] = {0};
        for (size_t j = 0; j + 64 <= count; j += 64)
            for (int l = 0; l < 64; l++) sum[l] += p[j + (size_t)l];
        t = wall() - t;
        c[0] = sum[i];
        if (t < least) least = t;
    }
    return 4e-9 * (double)count / least;
}

int main(int argc, char **argv) {
    int most = 2;
#if defined(KR_WITH_BLAS) && defined(__x86_64__)
    if (!getenv("OPENBLAS_CORETYPE")) { /* read as the library is loaded: start again */
        kr_impl isa = kr_cpu_best();
        setenv("OPENBLAS_CORETYPE", isa >= KR_AVX512 ? "SkylakeX" : isa == KR_AVX2 ? "Haswell" : "Prescott", 1);
        execv("/proc/self/exe", argv);
    }
#endif
    for (int o; (o = getopt(argc, argv, "s:t:c")) != -1;) {
        if (o == 's') seconds = atof(optarg);
        else if (o == 't') most = atoi(optarg);
        else if (o == 'c') cpu_time = true;
        else return 2;
    }
    if (optind < argc) only = argv[optind];
    choose();
    size_t count = (size_t)50288 * 768, many = (size_t)8192 * 4096;
    a = malloc(many * sizeof *a), b = malloc(count * sizeof *b), c = malloc(many * sizeof *c);
    if (!a || !b || !c) return 1;
    for (size_t i = 0; i < many; i++) a[i] = (float)(i % 17) / 17 - 0.5f, c[i] = 0;
    for (size_t i = 0; i < count; i++) b[i] = (float)(i % 13) / 13 - 0.5f;
    printf("Krait %s", kr_impl_name(kr_cpu_best()));
#ifdef KR_WITH_BLAS
    printf(" beside %s %s: GFLOP/s ours, theirs, ratio", openblas_get_config(), openblas_get_corename());
#endif
    printf("\n%-16s t  y = x W^T            dx = dy W            dW = dy^T x\n", "M x N x K");
    static const int64_t shapes[][3] = {
        {8192, 1288, 256}, {8192, 256, 512}, {8192, 512, 256}, {8192, 256, 256}, {2048, 512, 256},
        {4096, 3352, 768}, {4096, 768, 1536}, {8192, 512, 16}, {8192, 48, 512}};
    for (int n_threads = 1; n_threads <= most; n_threads++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            training(shapes[s][0], shapes[s][1], shapes[s][2], n_threads);
    for (int t = 0; t < 2; t++) {
        small(64, 64, 64, t), small(128, 128, 128, t), small(256, 256, 256, t);
        small(128, 64, 128, t), small(128, 128, 64, t), small(64, 64, 128, t);
    }
    if (!*only || !strcmp(only, "few")) printf("one core reads %.1f GB/s of 154 MB\n", read_speed(b, count));
    for (int n_threads = 1; n_threads <= most; n_threads++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            few(1, 1288, 256, bf16, n_threads), few(1, 3352, 768, bf16, n_threads), few(1, 50288, 768, bf16, n_threads);
            few(4, 3352, 768, bf16, n_threads), few(8, 3352, 768, bf16, n_threads), few(8, 50288, 768, bf16, n_threads);
        }
    free(a), free(b), free(c);
    return 0;
}
