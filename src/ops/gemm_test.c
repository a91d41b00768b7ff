/* gemm_test.c - products against plain sums in double, and the promises of gemm.h: the same
 * bits for any number of threads, a row whatever m, a column whatever n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "ops/gemm_test.h"
#include "tensor/weave.h"

enum { A_TRANS = 1, B_TRANS = 2, HALF = 4, ACC = 8, BIAS = 16, APART = 32, N_FLAGS = 64 };

static kr_rng rng = {.seed = 1};
static float draw(void) { /* in [-1, 1) */
    return (float)(int32_t)(uint32_t)kr_rng_u64(&rng) / 2147483648.f;
}

/* A product, its memory, and what it should be.  Blocks end where the matrices end: a sanitizer sees a step past. */
typedef struct job {
    kr_gemm g;
    float *a, *c, *before, *bias;
    void *b;
    double *right; /* [m, n] */
    size_t c_count;
} job;

static size_t extent(int64_t rows, int64_t columns, int64_t ld) {
    return rows > 0 && columns > 0 ? (size_t)((rows - 1) * ld + columns) : 0;
}
static float *drawn(size_t count) {
    float *p = malloc(count ? count * sizeof *p : 1);
    for (size_t i = 0; i < count; i++) p[i] = draw();
    return p;
}

/* The sums in double, once for all that compute them.  Rows of b added up, so that no step is a jump. */
static double *sums_of(const job *j) {
    const kr_gemm *g = &j->g;
    double *sum = calloc(g->m * g->n > 0 ? (size_t)(g->m * g->n) : 1, sizeof *sum), *row = calloc((size_t)g->n + 1, sizeof *row);
    for (int64_t k = 0; k < g->k; k++) {
        for (int64_t q = 0; q < g->n; q++) {
            int64_t at = g->b_trans ? q * g->ldb + k : k * g->ldb + q;
            uint16_t h = g->b_type == KR_F32 ? 0 : ((const uint16_t *)g->b)[at];
            row[q] = g->b_type == KR_F32 ? ((const float *)g->b)[at] : g->b_type == KR_F16 ? kr_from_f16(h) : kr_from_bf16(h);
        }
        for (int64_t r = 0; r < g->m; r++) {
            double a = g->a_trans ? g->a[k * g->lda + r] : g->a[r * g->lda + k];
            for (int64_t q = 0; q < g->n; q++) sum[r * g->n + q] += a * row[q];
        }
    }
    for (int64_t r = 0; r < g->m; r++)
        for (int64_t q = 0; q < g->n; q++)
            sum[r * g->n + q] += (g->acc ? j->before[r * g->ldc + q] : 0) + (g->bias ? g->bias[q] : 0);
    free(row);
    return sum;
}

static job make(int64_t m, int64_t n, int64_t k, int flags) {
    bool at = flags & A_TRANS, bt = flags & B_TRANS;
    bool apart = flags & APART;
    int64_t pad = apart ? 3 : 0;
    job j = {.g = {.m = m, .n = n, .k = k, .a_trans = at, .b_trans = bt, .b_type = !(flags & HALF) ? KR_F32 : apart ? KR_F16 : KR_BF16, .acc = flags & ACC,
                   .lda = (at ? m : k) + pad, .ldb = (bt ? k : n) + pad, .ldc = n + pad}};
    size_t count = bt ? extent(n, k, j.g.ldb) : extent(k, n, j.g.ldb);
    j.c_count = extent(m, n, j.g.ldc);
    j.g.a = j.a = drawn(at ? extent(k, m, j.g.lda) : extent(m, k, j.g.lda));
    j.g.b = j.b = drawn(count);
    j.g.c = j.c = drawn(j.c_count), j.before = drawn(j.c_count);
    memcpy(j.before, j.c, j.c_count * sizeof(float));
    j.bias = drawn((size_t)n);
    j.g.bias = flags & BIAS ? j.bias : NULL;
    if (flags & HALF) {
        uint16_t *half = malloc(count ? 2 * count : 1);
        kr_convert(half, j.g.b_type, j.b, KR_F32, (int64_t)count);
        free(j.b), j.g.b = j.b = half;
    }
    j.right = sums_of(&j);
    return j;
}
static void drop(job *j) { free(j->a), free(j->b), free(j->c), free(j->before), free(j->bias), free(j->right); }

static void check(const struct isa *isa, job *j, int n_threads) {
    const kr_gemm *g = &j->g;
    memcpy(j->c, j->before, j->c_count * sizeof(float));
    run(isa, g, n_threads);
    double tol = 2e-6 * (2 + sqrt((double)g->k)); /* a random walk of roundings, six sigma; a lost product is 1/3 */
    for (int64_t r = 0; g->n > 0 && r < g->m; r++)
        for (int64_t q = 0; q < g->ldc && (r < g->m - 1 || q < g->n); q++) {
            float have = j->c[r * g->ldc + q];
            if (q >= g->n) { /* between the rows */
                if (have != j->before[r * g->ldc + q]) fail_msg("a column past the last was written");
            } else if (!(fabs(have - j->right[r * g->n + q]) <= tol))
                fail_msg("%s %lld x %lld x %lld, a_trans %d b_trans %d %s acc %d bias %d, %d threads: "
                         "[%lld, %lld] is %.9g, want %.9g", kr_impl_name(isa->impl), (long long)g->m, (long long)g->n,
                         (long long)g->k, g->a_trans, g->b_trans, kr_dtype_text(g->b_type), g->acc, !!g->bias, n_threads, (long long)r,
                         (long long)q, have, j->right[r * g->n + q]);
        }
}

static void sums(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {
        {1, 1, 1}, {0, 5, 4}, {5, 0, 4}, {5, 7, 0}, {1, 40, 33}, {2, 33, 300}, {7, 8, 17}, {14, 32, 16}, {15, 31, 2},
        {29, 65, 31}, {33, 8, 48}, {128, 48, 15}, {131, 40, 1300}, {3, 530, 20}, {137, 17, 385},
        {150, 9, 530}, {81, 16, 1100}, {1, 80, 1540}, {1, 21, 528}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int flags = 0; flags < N_FLAGS; flags++) {
            job j = make(sizes[s][0], sizes[s][1], sizes[s][2], flags);
            for (int i = 0; i < N_ISA; i++)
                if (kr_cpu_has(isas[i].impl)) check(&isas[i], &j, flags % 4);
            drop(&j);
        }
}

/* Large enough for a team of threads. */
static void threads_do_not_matter(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{300, 200, 530}, {1, 1500, 640}, {1, 80, 1540}, {6, 900, 257}, {2100, 8, 70}, {48, 530, 300}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int flags = 0; flags < 16; flags++) {
            job j = make(sizes[s][0], sizes[s][1], sizes[s][2], flags | ACC | (flags & ACC ? BIAS : 0));
            float *first = malloc(j.c_count * sizeof *first);
            for (int i = 0; i < N_ISA; i++) {
                if (!kr_cpu_has(isas[i].impl)) continue;
                check(&isas[i], &j, 0);
                memcpy(first, j.c, j.c_count * sizeof *first);
                for (int n_threads = 1; n_threads < 6; n_threads++) {
                    memcpy(j.c, j.before, j.c_count * sizeof(float));
                    run(&isas[i], &j.g, n_threads);
                    assert_memory_equal(first, j.c, j.c_count * sizeof *first);
                }
            }
            free(first), drop(&j);
        }
}

/* Every row alone, every few rows, and every few columns give the bits of the whole. */
static void neighbours_do_not_matter(void **state) {
    (void)state;
    for (int i = 0; i < N_ISA; i++) {
        if (!kr_cpu_has(isas[i].impl)) continue;
        for (int flags = 0; flags < N_FLAGS; flags++) {
            job j = make(66, 24, 400, flags);
            check(&isas[i], &j, 2);
            float *whole = malloc(j.c_count * sizeof *whole);
            memcpy(whole, j.c, j.c_count * sizeof *whole);
            for (int64_t step = 1; step < 66; step += step / 2 + 1) {
                memcpy(j.c, j.before, j.c_count * sizeof(float));
                for (int64_t r = 0; r < j.g.m; r += step) {
                    kr_gemm g = j.g;
                    g.m = step < g.m - r ? step : g.m - r;
                    g.a += g.a_trans ? r : r * g.lda, g.c += r * g.ldc;
                    run(&isas[i], &g, 2);
                }
                assert_memory_equal(whole, j.c, j.c_count * sizeof *whole);
                memcpy(j.c, j.before, j.c_count * sizeof(float));
                for (int64_t q = 0; q < j.g.n; q += step) {
                    kr_gemm g = j.g;
                    g.n = step < g.n - q ? step : g.n - q;
                    g.b = (const char *)g.b + (g.b_trans ? q * g.ldb : q) * kr_gemm_b_bytes(&g), g.c += q;
                    if (g.bias) g.bias += q;
                    run(&isas[i], &g, 0);
                }
                assert_memory_equal(whole, j.c, j.c_count * sizeof *whole);
            }
            free(whole), drop(&j);
        }
    }
}

/* Woven weights: the bits of plain ones, whatever path takes them. */
static void weaving_does_not_matter(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 2}, {1, 40, 34}, {1, 80, 1540}, {2, 33, 300}, {3, 530, 20}, {4, 16, 600}, {7, 15, 6}, {8, 47, 256},
                                       {13, 64, 530}, {16, 97, 514}, {17, 48, 128}, {131, 40, 700}, {70, 801, 40}};
    static const kr_dtype types[] = {KR_F32, KR_BF16, KR_F16};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 3; t++)
            for (int flags = 0; flags < 4; flags += 3) {
                int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
                job j = make(m, n, k, B_TRANS | (t ? HALF : 0) | (flags & 1 ? ACC : 0) | (flags & 2 ? BIAS : 0));
                size_t bytes = kr_dtype_row_bytes(types[t], n * k);
                if (t) j.g.b_type = types[t]; /* any 16 bits are numbers of both */
                for (int64_t i = 0; t == 2 && i < n * k; i++) ((uint16_t *)j.b)[i] = kr_to_f16(kr_from_bf16(((uint16_t *)j.b)[i]));
                void *woven = memcpy(malloc(bytes), j.b, bytes);
                float *plain = malloc(j.c_count * sizeof *plain);
                kr_gemm g = j.g;
                g.b = woven, g.b_type = kr_woven(types[t], k);
                assert_true(kr_is_woven(g.b_type));
                assert_int_equal(kr_weave(woven, types[t], n, k), KR_OK);
                for (int i = 0; i < N_ISA; i++)
                    for (int n_threads = 0; n_threads < 3 && kr_cpu_has(isas[i].impl); n_threads += 2) {
                        memcpy(j.c, j.before, j.c_count * sizeof(float));
                        run(&isas[i], &j.g, n_threads);
                        memcpy(plain, j.c, j.c_count * sizeof(float));
                        memcpy(j.c, j.before, j.c_count * sizeof(float));
                        run(&isas[i], &g, n_threads);
                        if (memcmp(plain, j.c, j.c_count * sizeof(float)) != 0)
                            fail_msg("%s %s %lld x %lld x %lld, %d threads: woven weights give other bits", kr_impl_name(isas[i].impl),
                                     kr_dtype_text(types[t]), (long long)m, (long long)n, (long long)k, n_threads);
                    }
                free(woven), free(plain), drop(&j);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(neighbours_do_not_matter),
        cmocka_unit_test(weaving_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
