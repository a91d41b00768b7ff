/* gemm_blocks_test.c - products with weights in blocks: the definition in gemm.h spelled out,
 * the same bits from every path, and how far they are from products of the weights themselves. */
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
#include "tensor/quant.h"
#include "tensor/weave.h"

static const kr_dtype types[] = {KR_Q8_0, KR_Q4_0, KR_Q4_K, KR_Q6_K};
enum { ACC = 1, BIAS = 2, APART = 4, N_FLAGS = 8 };

static kr_rng rng = {.seed = 7};

/* Memory ends where the matrices end: a sanitizer sees a step past. */
typedef struct job {
    kr_gemm g;
    float *a, *w, *c, *before, *bias;
    void *blocks, *woven;
} job;

static float *drawn(int64_t n, double scale) {
    float *p = malloc(n ? (size_t)n * sizeof *p : 1);
    for (int64_t i = 0; i < n; i++) p[i] = (float)(scale * kr_rng_normal(&rng));
    return p;
}

static void weave(job *j) {
    size_t bytes = kr_dtype_row_bytes(j->g.b_type, j->g.n * j->g.k);
    free(j->woven);
    j->woven = memcpy(malloc(bytes), j->blocks, bytes);
    assert_int_equal(kr_weave(j->woven, j->g.b_type, j->g.n, j->g.k), KR_OK);
}
static kr_gemm of_woven(const job *j) {
    kr_gemm g = j->g;
    g.b = j->woven, g.b_type = kr_woven(g.b_type, g.k);
    return g;
}

static job make(kr_dtype type, int64_t m, int64_t n, int64_t k, int flags) {
    int64_t pad = flags & APART ? 3 : 0;
    job j = {.g = {.m = m, .n = n, .k = k, .b_trans = true, .b_type = type, .acc = flags & ACC, .lda = k + pad, .ldb = k, .ldc = n + pad}};
    j.g.a = j.a = drawn((m - 1) * j.g.lda + k, 1);
    j.w = drawn(n * k, 0.05);
    j.g.c = j.c = drawn((m - 1) * j.g.ldc + n, 1);
    j.before = drawn((m - 1) * j.g.ldc + n, 1);
    j.bias = drawn(n, 1);
    if (flags & BIAS) j.g.bias = j.bias;
    for (int64_t i = 0; i < k; i += 97) j.a[i] *= 50; /* outliers */
    if (k > 40) memset(j.a + (m - 1) * j.g.lda + 32, 0, 32 * (k > 63) * sizeof(float));
    j.g.b = j.blocks = malloc(kr_dtype_row_bytes(type, n * k));
    kr_quantize(j.blocks, type, j.w, n * k);
    kr_dequantize(j.w, j.blocks, type, n * k);
    weave(&j);
    return j;
}
static void drop(job *j) { free(j->a), free(j->w), free(j->c), free(j->before), free(j->bias), free(j->blocks), free(j->woven); }

enum { MAX_K = 20 * 256 };
typedef struct whole_row { int x[MAX_K], sum[MAX_K / 32]; float d[MAX_K / 32]; } whole_row; /* x is about a whole number times d */

/* A row of A as whole numbers, group by group. */
static void round_row(const job *j, int64_t r, bool fused, whole_row *to) {
    const kr_gemm *g = &j->g;
    assert_true(g->k <= MAX_K);
    for (int64_t k = 0; k < g->k; k += 32) {
        const float *a = g->a + r * g->lda + k;
        float most = 0;
        for (int i = 0; i < 32; i++) most = fabsf(a[i]) > most ? fabsf(a[i]) : most;
        to->d[k / 32] = g->a_scale > 0 ? g->a_scale : most / 127;
        to->sum[k / 32] = 0;
        float by = g->a_scale > 0 ? 1 / g->a_scale : most > 0 ? 127 / most : 0, cut = g->a_scale > 0 ? 127 * g->a_scale : most;
        for (int i = 0; i < 32; i++) {
            float held = fmaxf(fminf(a[i], cut), -cut);
            to->sum[k / 32] += to->x[k + i] = (int)(fused ? nearbyint((double)held * by) : nearbyintf(held * by));
        }
    }
}

/* Group by group, from the layouts' formulas. */
static float defined(const job *j, const whole_row *a, int64_t r, int64_t q) {
    const kr_gemm *g = &j->g;
    float y = g->acc ? j->before[r * g->ldc + q] : 0;
    const char *row = (const char *)j->blocks + kr_dtype_row_bytes(g->b_type, q * g->k);
    if (g->bias) y += g->bias[q];
    for (int64_t k = 0; k < g->k; k += 32) {
        const int *x = a->x + k, sum = a->sum[k / 32];
        const float d = a->d[k / 32];
        int dot[2] = {0, 0};
        const kr_q8_0 *q8 = (const kr_q8_0 *)row + k / 32;
        const kr_q4_0 *q4 = (const kr_q4_0 *)row + k / 32;
        const kr_q4_k *q4k = (const kr_q4_k *)row + k / 256;
        const kr_q6_k *q6 = (const kr_q6_k *)row + k / 256;
        int group = (int)(k % 256 / 32), scale, min;
        for (int i = 0; i < 32; i++) {
            int l = (int)(k % 128) + i, half = (int)(k % 256 / 128), w;
            if (g->b_type == KR_Q8_0) w = q8->q[i];
            else if (g->b_type == KR_Q4_0) w = (i < 16 ? q4->q[i] & 15 : q4->q[i - 16] >> 4) - 8;
            else if (g->b_type == KR_Q4_K) w = q4k->q[group / 2 * 32 + i] >> group % 2 * 4 & 15;
            else w = ((q6->low[64 * half + l % 64] >> l / 64 * 4 & 15) | (q6->high[32 * half + l % 32] >> l / 32 * 2 & 3) << 4) - 32;
            dot[i / 16] += w * x[i];
        }
        if (g->b_type == KR_Q8_0) y = fmaf((float)(dot[0] + dot[1]), kr_from_f16(q8->d) * d, y);
        if (g->b_type == KR_Q4_0) y = fmaf((float)(dot[0] + dot[1]), kr_from_f16(q4->d) * d, y);
        if (g->b_type == KR_Q4_K) {
            kr_q4_k_scale(q4k->scales, group, &scale, &min);
            y = fmaf((float)(dot[0] + dot[1]), kr_from_f16(q4k->d) * (float)scale * d, y);
            y = fmaf(-(kr_from_f16(q4k->dmin) * (float)min), d * (float)sum, y);
        }
        for (int h = 0; h < 2 && g->b_type == KR_Q6_K; h++) y = fmaf((float)dot[h], kr_from_f16(q6->d) * (float)q6->scales[2 * group + h] * d, y);
    }
    return y;
}

static void check(const struct isa *isa, job *j, int n_threads) {
    const kr_gemm *g = &j->g;
    size_t bytes = (size_t)((g->m - 1) * g->ldc + g->n) * sizeof(float);
    float *plain = malloc(bytes);
    kr_gemm woven = of_woven(j);
    memcpy(j->c, j->before, bytes);
    run(isa, &woven, n_threads);
    memcpy(plain, j->c, bytes);
    memcpy(j->c, j->before, bytes);
    run(isa, g, n_threads);
    if (memcmp(plain, j->c, bytes) != 0) fail_msg("%s %s: woven weights give other bits", kr_impl_name(isa->impl), kr_dtype_text(g->b_type));
    free(plain);
    for (int64_t r = 0; r < g->m; r++) {
        static whole_row a;
        bool fused = isa->impl != KR_BASELINE; /* an old CPU rounds twice */
        round_row(j, r, fused, &a);
        for (int64_t q = 0; q < g->ldc && (r < g->m - 1 || q < g->n); q++) {
            float have = j->c[r * g->ldc + q], want = q < g->n ? defined(j, &a, r, q) : j->before[r * g->ldc + q];
            if (!(fused || q >= g->n ? have == want : fabsf(have - want) <= 3e-6f * (10 + fabsf(want))))
                fail_msg("%s %s %lld x %lld x %lld acc %d bias %d plain %d, %d threads: [%lld, %lld] is %.9g, want %.9g",
                         kr_impl_name(isa->impl), kr_dtype_text(g->b_type), (long long)g->m, (long long)g->n, (long long)g->k,
                         g->acc, !!g->bias, g->plain, n_threads, (long long)r, (long long)q, have, want);
        }
    }
}

static void is_the_definition(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},  {1, 37, 9},  {3, 40, 2},  {8, 17, 3}, {33, 33, 1}, {5, 65, 5}, {1, 21, 19},
                                       {13, 16, 4}, {2, 100, 7}, {7, 15, 8}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 4; t++)
            for (int flags = 0; flags < N_FLAGS; flags++) {
                job j = make(types[t], sizes[s][0], sizes[s][1], sizes[s][2] * kr_dtype_block(types[t]), flags);
                for (int i = 0; i < N_ISA; i++) {
                    if (!kr_cpu_has(isas[i].impl)) continue;
                    j.g.plain = false, j.g.a_scale = 0;
                    check(&isas[i], &j, flags % 3);
                    j.g.plain = true;
                    check(&isas[i], &j, flags % 3);
                    j.g.a_scale = 0.017f, j.g.plain = flags % 2; /* cuts off what is above 2.16 */
                    check(&isas[i], &j, flags % 3);
                }
                drop(&j);
            }
}

/* The largest products of all, whose sums are kept in 16 bits where they fit. */
static void sums_do_not_overflow(void **state) {
    (void)state;
    for (int i = 0; i < N_ISA; i++)
        for (int t = 0; t < 4 && kr_cpu_has(isas[i].impl); t++)
            for (int64_t m = 1; m < 40; m += 19)
                for (int sign = -1; sign < 2; sign += 2) {
                    job j = make(types[t], m, 20, 256, 0);
                    for (int64_t k = 0; k < m * 256; k++) j.a[k] = (float)sign;
                    for (int64_t q = 0; q < 20; q++) {
                        uint8_t *row = (uint8_t *)j.blocks + kr_dtype_row_bytes(types[t], q * 256);
                        for (int b = 0; b < 8 && types[t] == KR_Q8_0; b++) memset(((kr_q8_0 *)(void *)row)[b].q, q % 2 ? 127 : -127, 32);
                        for (int b = 0; b < 8 && types[t] == KR_Q4_0; b++) memset(((kr_q4_0 *)(void *)row)[b].q, q % 2 ? 0xff : 0, 16);
                        if (types[t] == KR_Q4_K) memset(((kr_q4_k *)(void *)row)->q, 0xff, 128);
                        if (types[t] == KR_Q6_K) memset(row, q % 2 ? 0xff : 0, 192);
                    }
                    weave(&j);
                    for (int plain = 0; plain < 2; plain++) j.g.plain = plain, check(&isas[i], &j, 1);
                    drop(&j);
                }
}

/* Threads, rows alone, columns alone: the same bits. */
static void by_itself(int i, job *j) {
    size_t n = (size_t)(59 * j->g.ldc + 130), bytes = n * sizeof(float);
    float *whole = malloc(bytes);
    j->g.plain = false;
    memcpy(j->c, j->before, bytes);
    run(&isas[i], &j->g, 0);
    memcpy(whole, j->c, bytes);
    j->g.plain = true;
    memcpy(j->c, j->before, bytes);
    run(&isas[i], &j->g, 0);
    assert_memory_equal(whole, j->c, bytes);
    j->g.plain = i % 2;
    for (int n_threads = 1; n_threads < 5; n_threads++) {
        memcpy(j->c, j->before, bytes);
        run(&isas[i], &j->g, n_threads);
        assert_memory_equal(whole, j->c, bytes);
    }
    for (int64_t step = 1; step < 60; step += 1 + step / 3) {
        memcpy(j->c, j->before, bytes);
        for (int64_t r = 0; r < 60; r += step) {
            kr_gemm g = r % 3 ? of_woven(j) : j->g;
            g.m = step < 60 - r ? step : 60 - r;
            g.a += r * g.lda, g.c += r * g.ldc;
            run(&isas[i], &g, 2);
        }
        assert_memory_equal(whole, j->c, bytes);
        memcpy(j->c, j->before, bytes);
        for (int64_t q = 0, by = step % 2 ? step : step * KR_STRIP; q < 130; q += by) {
            kr_gemm g = step % 2 ? j->g : of_woven(j); /* of which no strip may be cut */
            g.n = by < 130 - q ? by : 130 - q;
            g.b = (const char *)g.b + kr_dtype_row_bytes(g.b_type, q * g.ldb), g.c += q, g.bias += q;
            run(&isas[i], &g, 0);
        }
        assert_memory_equal(whole, j->c, bytes);
    }
    free(whole);
}

static void nothing_else_matters(void **state) {
    (void)state;
    for (int t = 0; t < 4; t++) {
        job j = make(types[t], 60, 130, 1280, BIAS | APART);
        for (int i = 0; i < N_ISA; i++)
            if (kr_cpu_has(isas[i].impl)) by_itself(i, &j);
        drop(&j);
    }
}

/* What rounding A costs, with outliers fifty times as large as the rest. */
static void is_near_the_floats(void **state) {
    (void)state;
    for (int i = 0; i < N_ISA; i++)
        for (int t = 0; t < 4 && kr_cpu_has(isas[i].impl); t++) {
            job j = make(types[t], 8, 64, 768, 0);
            double e = 0, all = 0;
            run(&isas[i], &j.g, 1);
            for (int64_t r = 0; r < 8; r++)
                for (int64_t q = 0; q < 64; q++) {
                    double want = 0;
                    for (int64_t k = 0; k < 768; k++) want += (double)j.a[r * 768 + k] * j.w[q * 768 + k];
                    e += pow(j.c[r * 64 + q] - want, 2), all += want * want;
                }
            if (!(sqrt(e / all) < 0.02)) fail_msg("%s: %g", kr_dtype_text(types[t]), sqrt(e / all));
            drop(&j);
        }
}

/* What is not finite in a row stays in that row. */
static void keeps_what_is_not_finite(void **state) {
    (void)state;
    for (int i = 0; i < N_ISA; i++)
        for (int t = 0; t < 4 && kr_cpu_has(isas[i].impl); t++)
            for (int bad = 0; bad < 4; bad++) {
                job j = make(types[t], 4, 40, 512, 0);
                j.g.a_scale = bad > 1 ? 0.01f : 0;
                j.a[1 * 512 + 70] = bad % 2 ? INFINITY : NAN;
                run(&isas[i], &j.g, 2);
                for (int64_t r = 0; r < 4; r++)
                    for (int64_t q = 0; q < 40; q++) assert_true(isfinite(j.c[r * 40 + q]) == (r != 1));
                drop(&j);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_definition), cmocka_unit_test(sums_do_not_overflow), cmocka_unit_test(nothing_else_matters),
                                       cmocka_unit_test(is_near_the_floats), cmocka_unit_test(keeps_what_is_not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
