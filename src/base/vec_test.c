/* vec_test.c - vec.h against double: error bounds, special values, masked memory.
 * Compiled once per instruction set, as the kernels are.  With an argument it prints the
 * worst errors and the time an element takes. */
#include "base/vec.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/cpu.h"

#define TEXT2_(x) #x
#define TEXT_(x) TEXT2_(x)
static bool report;

static float lane0(vf (*f)(vf), float x) { return f(v_set(x))[0]; }

/* |got - want| in units of the last place of want (of FLT_MIN for less). */
static double ulps(double want, float got) {
    int e;
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (fabs(want) > FLT_MAX * (1 + 0x1p-25)) return got == (float)want ? 0 : INFINITY;
    frexp(fmax(fabs(want), FLT_MIN), &e);
    return isfinite(got) ? fabs(got - want) / ldexp(1, e - 24) : INFINITY;
}

static double time_of(vf (*f)(vf), float lo, float hi) {
    static float x[4096], y[4096];
    double best = 1e9;
    for (int i = 0; i < 4096; i++) x[i] = lo + (hi - lo) * (float)i / 4096;
    for (int rep = 0; rep < 400; rep++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < 4096; i += KR_VL) v_store(y + i, f(v_load(x + i)));
        clock_gettime(CLOCK_MONOTONIC, &b);
        best = fmin(best, (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec));
    }
    return best / 4096;
}

/* Every `stride`-th float of [lo, hi], by bit pattern, so that every binade is as dense. */
static void sweep(const char *name, vf (*f)(vf), double (*exact)(double), float lo, float hi, double limit) {
    double worst = 0;
    float at = 0, x[KR_VL];
    int n = 0;
    for (uint64_t u = 0; u <= UINT32_MAX; u += 1811) {
        uint32_t bits = (uint32_t)u;
        float one;
        memcpy(&one, &bits, sizeof one);
        if (!(one >= lo && one <= hi)) continue;
        x[n++] = one;
        if (n < KR_VL) continue;
        vf y = f(v_load(x));
        for (n = 0; n < KR_VL; n++) {
            double err = ulps(exact(x[n]), y[n]);
            if (err > worst) worst = err, at = x[n];
        }
        n = 0;
    }
    if (report) printf("%-9s %5.2f ulp at %-12g  %.3f ns\n", name, worst, (double)at, time_of(f, fmaxf(lo, -10), fminf(hi, 10)));
    if (worst > limit) fail_msg("%s: %.2f ulp at %a, limit %.2f", name, worst, (double)at, limit);
}

static double d_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double d_silu(double x) { return x / (1 + exp(-x)); }
static double d_softplus(double x) { return x > 20 ? x : log1p(exp(x)); }

static void errors_are_bounded(void **state) {
    (void)state;
    sweep("exp", v_exp, exp, -86.99f, 200, 1.5);
    sweep("expm1", v_expm1, expm1, -FLT_MAX, 200, 2);
    sweep("log", v_log, log, FLT_MIN, FLT_MAX, 1.5);
    sweep("log1p", v_log1p, log1p, 0, 2e38f, 2);
    sweep("sigmoid", v_sigmoid, d_sigmoid, -86, FLT_MAX, 3);
    sweep("silu", v_silu, d_silu, -86, FLT_MAX, 3);
    sweep("softplus", v_softplus, d_softplus, -86.9f, FLT_MAX, 3);
    sweep("tanh", v_tanh, tanh, -FLT_MAX, FLT_MAX, 3);
}

static void sines_are_bounded(void **state) {
    (void)state;
    double worst = 0;
    for (double at = -8192; at <= 8192; at += .0137) {
        vf s, c;
        v_sincos(v_set((float)at), &s, &c);
        worst = fmax(worst, fmax(fabs(s[0] - sin((float)at)), fabs(c[KR_VL - 1] - cos((float)at))));
    }
    if (report) printf("sincos    %.2e absolute\n", worst);
    assert_true(worst < 2e-7);
}

static void erf_is_bounded(void **state) {
    (void)state;
    double worst = 0;
    for (double at = -6; at <= 6; at += .00037) worst = fmax(worst, fabs(lane0(v_erf, (float)at) - erf((float)at)));
    if (report) printf("erf       %.2e absolute\n", worst);
    assert_true(worst < 4.2e-7);
}

static void special_values(void **state) {
    (void)state;
    vf (*const all[])(vf) = {v_exp, v_expm1, v_log, v_log1p, v_sigmoid, v_silu, v_softplus, v_tanh};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(isnan(lane0(all[i], NAN)));
        assert_true(isnan(lane0(all[i], -NAN)));
    }
    assert_true(lane0(v_exp, -INFINITY) == 0 && lane0(v_exp, -87) == 0 && lane0(v_exp, -FLT_MAX) == 0);
    assert_true(lane0(v_exp, 0) == 1 && lane0(v_exp, INFINITY) == INFINITY && lane0(v_exp, 88.73f) == INFINITY);
    assert_true(isfinite(lane0(v_exp, 88.72283f)));
    assert_true(lane0(v_expm1, 0) == 0 && lane0(v_expm1, -INFINITY) == -1 && lane0(v_expm1, INFINITY) == INFINITY);
    assert_true(lane0(v_log, 1) == 0 && lane0(v_log, 0) == -INFINITY && lane0(v_log, -0.f) == -INFINITY);
    assert_true(isnan(lane0(v_log, -1)) && isnan(lane0(v_log, -INFINITY)) && lane0(v_log, INFINITY) == INFINITY);
    assert_true(lane0(v_sigmoid, -INFINITY) == 0 && lane0(v_sigmoid, INFINITY) == 1 && lane0(v_sigmoid, 0) == .5f);
    assert_true(lane0(v_silu, INFINITY) == INFINITY && lane0(v_silu, -200) == 0 && lane0(v_silu, 0) == 0);
    assert_true(lane0(v_softplus, -INFINITY) == 0 && lane0(v_softplus, INFINITY) == INFINITY);
    assert_true(lane0(v_softplus, 20.00001f) == 20.00001f);
    assert_true(lane0(v_tanh, -INFINITY) == -1 && lane0(v_tanh, INFINITY) == 1);
    assert_true(lane0(v_tanh, 0) == 0 && !signbit(lane0(v_tanh, 0)) && signbit(lane0(v_tanh, -0.f)));
    assert_true(v_max(v_set(1), v_set(2))[0] == 2 && v_min(v_set(1), v_set(2))[0] == 1);
    assert_true(v_max(v_set(NAN), v_set(2))[0] == 2 && isnan(v_max(v_set(2), v_set(NAN))[0]));
    assert_true(v_min(v_set(NAN), v_set(2))[0] == 2 && isnan(v_min(v_set(2), v_set(NAN))[0]));
    assert_true(v_abs(v_set(-2))[0] == 2 && !signbit(v_abs(v_set(-0.f))[0]));
}

static void tails_touch_only_themselves(void **state) {
    (void)state;
    for (int n = 0; n <= KR_VL; n++) {
        float x[KR_VL + 2], y[KR_VL + 2];
        for (int i = 0; i < KR_VL + 2; i++) x[i] = (float)i + 1, y[i] = -1;
        vf v = v_load_n(x + 1, n);
        for (int i = 0; i < KR_VL; i++) assert_true(v[i] == (i < n ? (float)i + 2 : 0.f));
        v_store_n(y + 1, v_load(x + 1), n);
        for (int i = 0; i < KR_VL + 2; i++) assert_true(y[i] == (i >= 1 && i <= n ? (float)i + 1 : -1.f));
    }
}

static void sum_is_pairwise(void **state) {
    (void)state;
    float x[KR_VL], s[KR_VL];
    for (int i = 0; i < KR_VL; i++) x[i] = s[i] = 1.f / (float)(i * i + 3);
    for (int w = KR_VL / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) s[i] += s[i + w];
    assert_true(v_sum(v_load(x)) == s[0]);
    vf a = v_load(x), b = v_set(0.2f), c = v_select(a < b, a, b);
    for (int i = 0; i < KR_VL; i++) assert_true(c[i] == (x[i] < 0.2f ? x[i] : 0.2f));
}

int main(int argc, char **argv) {
    (void)argv;
    report = argc > 1;
    for (int i = 0; i < KR_N_IMPL; i++)
        if (strcmp(kr_impl_name((kr_impl)i), TEXT_(KR_ISA)) == 0 && !kr_cpu_has((kr_impl)i)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_bounded), cmocka_unit_test(sines_are_bounded), cmocka_unit_test(erf_is_bounded),
        cmocka_unit_test(special_values),
        cmocka_unit_test(tails_touch_only_themselves),
        cmocka_unit_test(sum_is_pairwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
