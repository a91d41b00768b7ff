/* check_lti.c - lti_scan's recurrence and its FFT convolution are the same function, and its
 * discretisations are what they are said to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "base/fft.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ops/lti_scan/lti_scan.h"
#include "ops/ops.h"

static const kr_op *const op = &kr_op_lti_scan;

static void *filled(kr_tensor *x, double lo, double hi, uint64_t stream) {
    kr_rng r = {7, stream, 0};
    float *p = x->data = kr_mem_array((size_t)kr_count(x), sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < kr_count(x); i++) p[i] = (float)(lo + (hi - lo) * kr_rng_uniform(&r));
    return p;
}

static void compare(int64_t L, bool complex, int64_t disc) {
    enum { S = 2, D = 5, N = 16 };
    lti_scan_attr attr = {disc};
    kr_call c = {.attr = &attr, .n_threads = 2};
    for (int i = 0; i <= LTI_D; i++) {
        if (!complex && (i == LTI_AIM || i == LTI_BIM || i == LTI_CIM)) continue;
        c.in[i] = (kr_tensor){.dtype = KR_F32, .n_dims = 2, .dim = {D, N}};
        if (i == LTI_U) c.in[i].n_dims = 3, c.in[i].dim[0] = S, c.in[i].dim[1] = L, c.in[i].dim[2] = D;
        if (i == LTI_LOG_DT || i == LTI_D) c.in[i].n_dims = 1;
        double lo = i == LTI_LOG_DT ? -7 : i == LTI_ARE ? -1.5 : -1, hi = i == LTI_LOG_DT ? -2.5 : i == LTI_ARE ? -.5 : 1;
        float *p = filled(&c.in[i], lo, hi, (uint64_t)i);
        for (int64_t k = 0; i == LTI_AIM && k < D * N; k++) p[k] = 3.14159265f * (float)(k % N); /* S4D-Lin */
    }
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    size_t n = (size_t)(S * L * D);
    float *want = c.out[LTI_Y].data = kr_mem_array(n, sizeof *want), *got = kr_mem_array(n, sizeof *got);
    c.scratch = kr_mem_new(c.fwd_scratch);
    kr_op_forward(op, &c, kr_cpu_best());
    c.out[LTI_Y].data = got;
    assert_int_equal(kr_lti_conv(&c), KR_OK);
    double error = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        scale += (double)want[i] * want[i];
    }
    assert_true(sqrt(error / scale) <= 1e-5);
    for (int i = 0; i <= LTI_D; i++) kr_mem_free(c.in[i].data);
    kr_mem_free(want);
    kr_mem_free(got);
    kr_mem_free(c.scratch);
}

static void recurrence_is_convolution(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 2, 63, 64, 65, 1000, 4096};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int64_t disc = LTI_ZOH; disc <= LTI_MAMBA; disc++) {
            if (disc == LTI_EULER) continue; /* grows without bound at these frequencies */
            compare(lengths[k], true, disc);
            compare(lengths[k], false, disc);
        }
    compare(1000, false, LTI_EULER);
}

static void convolution_refuses_state(void **state) {
    (void)state;
    float x[1] = {0};
    lti_scan_attr attr = {0};
    kr_call c = {.attr = &attr, .n_threads = 1};
    kr_tensor one = {.data = x, .dtype = KR_F32, .n_dims = 2, .dim = {1, 1, 1}};
    c.in[LTI_ARE] = c.in[LTI_CRE] = one;
    one.n_dims = 1, c.in[LTI_LOG_DT] = one;
    one.n_dims = 3, c.in[LTI_U] = c.in[LTI_H0RE] = one;
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    assert_int_equal(kr_lti_conv(&c), KR_ERR_ARG);
}

/* h' = A h + x for a constant x has the exact solution (exp(t A) - 1) / A x: what a zero-order
 * hold must give; the errors of one step of the others are survey.md's. */
static void one_step(void **state) {
    (void)state;
    static const double error[] = {0, 2.419e-3, 3.8e-5, 4.837e-3};
    double exact = exp(-.1) * .5 + (1 - exp(-.1));
    for (int64_t disc = LTI_ZOH; disc <= LTI_MAMBA; disc++) {
        lti_mode m = lti_discretise(disc, log(.1), (lti_complex){-1, 0});
        assert_true(fabs(fabs(m.a.re * .5 + m.gain.re - exact) - error[disc]) <= 1e-6);
    }
    lti_mode near = lti_discretise(LTI_ZOH, 0, (lti_complex){-.1999, .001}),
             far = lti_discretise(LTI_ZOH, 0, (lti_complex){-.2001, .001});
    assert_true(fabs(near.gain.re - far.gain.re) < 1e-3 &&
                fabs(near.gain.im - far.gain.im) < 1e-3); /* series meets formula */
    assert_true(fabs(lti_discretise(LTI_ZOH, log(.25), (lti_complex){0, 0}).gain.re - .25) < 1e-15);
}

static void fft_there_and_back(void **state) {
    (void)state;
    kr_fft *f;
    assert_int_equal(kr_fft_fast_size(1), 2);
    assert_int_equal(kr_fft_fast_size(14), 16);
    assert_int_equal(kr_fft_fast_size(2001), 2048); /* 2025 is odd */
    assert_int_equal(kr_fft_new(&f, 7), KR_ERR_ARG);
    assert_int_equal(kr_fft_new(&f, 30), KR_OK);
    float x[30], X[32], y[30];
    for (int i = 0; i < 30; i++) x[i] = (float)cos(6.283185307179586 * 3 * i / 30) + 1;
    kr_fft_forward(f, x, X);
    for (int i = 0; i < 16; i++)
        assert_true(fabs(hypot(X[2 * i], X[2 * i + 1]) - (i == 0 ? 30 : i == 3 ? 15 : 0)) < 1e-4);
    kr_fft_back(f, X, y);
    for (int i = 0; i < 30; i++) assert_true(fabs(y[i] / 30 - x[i]) < 1e-6);
    kr_fft_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(recurrence_is_convolution),
                                       cmocka_unit_test(convolution_refuses_state), cmocka_unit_test(one_step),
                                       cmocka_unit_test(fft_there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
