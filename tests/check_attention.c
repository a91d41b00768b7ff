/* check_attention.c - attention against a formula of its own: who sees whom, said once more.
 *
 *   masks    window, documents and both ends, by a matrix of scores that is masked and normalised
 *   ring     a row fed in pieces, over several turns of the cache, is the row with a window
 *   rope     scores depend on the distance of two steps alone */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "ops/attention/attention.h"
#include "ops/ops.h"
#include "ops/rope/rope.h"

enum { S = 2, L = 37, H = 4, G = 2, P = 6, MOST = S * L * H * P };
static float q[MOST], k[MOST], v[MOST], y[MOST];
static int32_t ids[S * L];
static char scratch[1 << 22];

static void draw(uint64_t seed) {
    kr_rng r = {seed, 5, 0};
    for (int i = 0; i < MOST; i++) q[i] = (float)kr_rng_normal(&r), k[i] = (float)kr_rng_normal(&r), v[i] = (float)kr_rng_normal(&r);
    for (int i = 0; i < S * L; i++) ids[i] = i % L ? ids[i - 1] + (kr_rng_below(&r, 7) == 0) : 3;
}

/* Steps [from, from + n) of sequence s. */
static kr_tensor rows(float *x, int s, int from, int n, int heads) {
    return (kr_tensor){.data = x + (s * L + from) * heads * P, .n_dims = 4, .dim = {1, n, heads, P}};
}

static void run(attention_attr *a, int s, int from, int n, bool documents, float *cache, int32_t *n0, int C, kr_impl impl) {
    kr_call c = {.attr = a, .n_threads = 1, .in = {rows(q, s, from, n, H), rows(k, s, from, n, G), rows(v, s, from, n, G)}};
    if (cache) {
        c.in[ATTENTION_CACHE0] = (kr_tensor){.data = cache, .n_dims = 4, .dim = {1, 2 * G, C, P}};
        c.in[ATTENTION_N0] = (kr_tensor){.data = n0, .dtype = KR_I32, .n_dims = 1, .dim = {1}};
    }
    if (documents) c.in[ATTENTION_SEQ_IDX] = (kr_tensor){.data = ids + s * L + from, .dtype = KR_I32, .n_dims = 2, .dim = {1, n}};
    assert_int_equal(kr_op_bind(&kr_op_attention, &c), KR_OK);
    assert_true(c.fwd_scratch < sizeof scratch);
    c.scratch = scratch;
    c.out[ATTENTION_Y].data = y + (s * L + from) * H * P;
    if (cache) c.out[ATTENTION_CACHE].data = cache, c.out[ATTENTION_N].data = n0;
    kr_op_forward(&kr_op_attention, &c, impl);
}

/* The largest error of y, by the whole matrix of scores. */
static double worst(bool causal, int window, bool documents, double scale) {
    double most = 0;
    for (int s = 0; s < S; s++)
        for (int h = 0; h < H; h++)
            for (int t = 0; t < L; t++) {
                double p[L], sum = 0, out[P] = {0};
                for (int j = 0; j < L; j++) {
                    double x = 0;
                    for (int i = 0; i < P; i++) x += (double)q[((s * L + t) * H + h) * P + i] * k[((s * L + j) * G + h / (H / G)) * P + i];
                    bool hidden = (causal && j > t) || (window && abs(t - j) >= window) || (documents && ids[s * L + j] != ids[s * L + t]);
                    sum += p[j] = hidden ? 0 : exp(scale * x);
                }
                for (int j = 0; j < L; j++)
                    for (int i = 0; i < P; i++) out[i] += p[j] / sum * v[((s * L + j) * G + h / (H / G)) * P + i];
                for (int i = 0; i < P; i++) most = fmax(most, fabs(out[i] - y[((s * L + t) * H + h) * P + i]));
            }
    return most;
}

static void test_masks(void **state) {
    (void)state;
    for (int n = 0; n < 32; n++) {
        attention_attr a = {.causal = n & 1, .window = n & 2 ? 5 : 0, .scale = n & 8 ? 0.3 : 0};
        draw((uint64_t)n);
        for (int s = 0; s < S; s++) run(&a, s, 0, L, n & 4, NULL, NULL, 0, n & 16 ? kr_cpu_best() : KR_REF);
        double err = worst(n & 1, (int)a.window, n & 4, n & 8 ? 0.3 : 1 / sqrt(P));
        if (!(err < 3e-6)) fail_msg("variant %d is off by %g", n, err);
    }
}

static void test_ring(void **state) {
    static const int cut[][4] = {{1, 1, 1, 1}, {3, 9, 2, 5}, {11, 1, 1, 20}};
    (void)state;
    for (int n = 0; n < 12; n++) {
        enum { C = 9 };
        float cache[2 * G * C * P] = {0};
        attention_attr a = {.causal = 1, .window = n & 1 ? 4 : 0};
        draw((uint64_t)n);
        for (int s = 0; s < S; s++) {
            int32_t n0 = 0;
            for (int t = 0, i = 0, w; t < L; t += w, i++) {
                w = cut[n % 3][i % 4] < L - t ? cut[n % 3][i % 4] : L - t;
                run(&a, s, t, w, false, cache, &n0, C, n & 2 ? kr_cpu_best() : KR_REF);
                assert_int_equal(n0, t + w);
            }
        }
        double err = worst(true, n & 1 ? 4 : C, false, 1 / sqrt(P));
        if (!(err < 3e-6)) fail_msg("variant %d is off by %g", n, err);
    }
}

/* The same vector at every step: turned, its product with itself is a function of distance. */
static void test_rope(void **state) {
    (void)state;
    for (int n = 0; n < 4; n++) {
        rope_attr a = {.dims = n & 2 ? 4 : 0, .interleaved = n & 1, .theta = 100};
        int32_t n0 = 1000;
        for (int i = 0; i < L * P; i++) q[i] = (float)(i % P + 1) / 4;
        kr_call c = {.attr = &a, .n_threads = 1, .scratch = scratch, .in = {{.data = q, .n_dims = 4, .dim = {1, L, 1, P}},
                                                                           {.data = &n0, .dtype = KR_I32, .n_dims = 1, .dim = {1}}}};
        assert_int_equal(kr_op_bind(&kr_op_rope, &c), KR_OK);
        c.out[0].data = y;
        kr_op_forward(&kr_op_rope, &c, kr_cpu_best());
        double far = 0;
        for (int d = 0; d < L; d++)
            for (int t = 0; t + d < L; t++) {
                double first = 0, here = 0;
                for (int i = 0; i < P; i++) first += (double)y[i] * y[d * P + i], here += (double)y[t * P + i] * y[(t + d) * P + i];
                if (!(fabs(here - first) < 2e-6)) fail_msg("variant %d: the product of %d and %d steps on is off by %g", n, t, d, here - first);
                far = fmax(far, fabs(first - 5.6875));
            }
        assert_true(far > 0.1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_masks), cmocka_unit_test(test_ring), cmocka_unit_test(test_rope)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
