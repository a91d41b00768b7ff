/* hippo_test.c - LegS remembers as its paper says, and S4D's diagonals are what they claim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <complex.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "parts/hippo.h"

/* How far the memory of sin 6t + 1/2 cos 17t, t = k/400, is from it: the relative L2 error. */
static double memory_error(int64_t n) {
    double c[16] = {0}, error = 0, scale = 0;
    for (int k = 1; k <= 400; k++) kr_hippo_legs_step(n, k, sin(6 * k / 400.) + .5 * cos(17 * k / 400.), c);
    for (int k = 1; k <= 400; k++) {
        double f = sin(6 * k / 400.) + .5 * cos(17 * k / 400.), g = kr_hippo_legs_recall(n, c, 2 * k / 400. - 1);
        error += (f - g) * (f - g);
        scale += f * f;
    }
    return sqrt(error / scale);
}

static void legs_remembers(void **state) {
    (void)state;
    assert_true(fabs(memory_error(2) - .5815) <= .5e-4);
    assert_true(fabs(memory_error(4) - .4384) <= .5e-4);
    assert_true(fabs(memory_error(8) - .1981) <= .5e-4);
    assert_true(fabs(memory_error(16) - .0124) <= .5e-4);
}

/* The step is the bilinear rule with the matrix itself. */
static void step_solves_its_equation(void **state) {
    (void)state;
    enum { n = 7 };
    double A[n * n], B[n], c[n], old[n], k = 3;
    kr_hippo_legs(n, A, B);
    for (int i = 0; i < n; i++) old[i] = c[i] = cos(i);
    kr_hippo_legs_step(n, 3, .7, c);
    for (int i = 0; i < n; i++) {
        double left = c[i], right = old[i] + B[i] * .7 / k;
        for (int j = 0; j < n; j++) left -= A[i * n + j] * c[j] / (2 * k), right += A[i * n + j] * old[j] / (2 * k);
        assert_true(fabs(left - right) < 1e-13);
    }
}

/* x = (M - mu)^-1 x by elimination with pivoting; returns how much x grew. */
static double solve(const double *M, int64_t n, double complex mu, double complex *x) {
    double complex *a = kr_mem_array((size_t)(n * n), sizeof *a);
    double before = 0, after = 0;
    for (int64_t i = 0; i < n; i++) before += creal(x[i] * conj(x[i]));
    for (int64_t i = 0; i < n * n; i++) a[i] = M[i] - (i / n == i % n ? mu : 0);
    for (int64_t p = 0; p < n; p++) {
        int64_t best = p;
        for (int64_t i = p + 1; i < n; i++)
            if (cabs(a[i * n + p]) > cabs(a[best * n + p])) best = i;
        for (int64_t j = 0; j < n; j++) {
            double complex t = a[p * n + j];
            a[p * n + j] = a[best * n + j], a[best * n + j] = t;
        }
        double complex t = x[p];
        x[p] = x[best], x[best] = t;
        for (int64_t i = p + 1; i < n; i++) {
            double complex f = a[i * n + p] / a[p * n + p];
            for (int64_t j = p; j < n; j++) a[i * n + j] -= f * a[p * n + j];
            x[i] -= f * x[p];
        }
    }
    for (int64_t p = n - 1; p >= 0; p--) {
        for (int64_t j = p + 1; j < n; j++) x[p] -= a[p * n + j] * x[j];
        x[p] /= a[p * n + p];
        after += creal(x[p] * conj(x[p]));
    }
    kr_mem_free(a);
    return sqrt(after / before);
}

/* M = A + P P^T is normal, so (M - mu)^-1 grows a vector at most 1 / distance to an eigenvalue,
 * and a few rounds reach that: 1e-6 beside each claimed eigenvalue, it must be 1e6. */
static void legs_eigenvalues(void **state) {
    (void)state;
    enum { N = 32 };
    double M[N * N], P[N], re[N / 2], im[N / 2];
    kr_hippo_legs(N, M, NULL);
    kr_hippo_legs_low_rank(N, P);
    for (int i = 0; i < N * N; i++) M[i] += P[i / N] * P[i % N];
    for (int i = 0; i < N * N; i++)
        assert_true(fabs(M[i] + M[i % N * N + i / N] + (i / N == i % N)) < 1e-12); /* skew - 1/2 */
    assert_int_equal(kr_s4d_init(KR_S4D_LEGS, N / 2, 0, re, im), KR_OK);
    for (int k = 0; k < N / 2; k++) {
        assert_true(re[k] == -.5 && im[k] > (k ? im[k - 1] : 0));
        double complex x[N], mu = re[k] + im[k] * I + 1e-6 * (1 + I) / sqrt(2);
        double grew = 0;
        for (int i = 0; i < N; i++) x[i] = cos(i * i) + I * sin(3 * i);
        for (int round = 0; round < 4; round++) grew = solve(M, N, mu, x);
        assert_true(fabs(grew * 1e-6 - 1) < 1e-4);
    }
}

static void jacobi_on_a_known_matrix(void **state) {
    (void)state;
    /* [[2, i, 0], [-i, 2, 0], [0, 0, 7]]: 1, 3, 7 */
    double a[18] = {2, 0, 0, 1, 0, 0, 0, -1, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0}, lambda[3];
    kr_hermitian_eigenvalues(3, a, lambda);
    for (int i = 0; i < 3; i++) assert_true(fabs(lambda[i] - (double[]){1, 3, 7}[i]) < 1e-14);
}

static void formulas(void **state) {
    (void)state;
    double re[4], im[4], other[4];
    kr_s4d kind;
    assert_int_equal(kr_s4d_init(KR_S4D_LIN, 4, 0, re, im), KR_OK);
    assert_true(re[3] == -.5 && fabs(im[3] - 3 * 3.141592653589793) < 1e-12);
    assert_int_equal(kr_s4d_init(KR_S4D_INV, 4, 0, re, im), KR_OK);
    assert_true(re[0] == -.5 && fabs(im[1] - 8 / 3.141592653589793 * (8. / 3 - 1)) < 1e-12);
    assert_int_equal(kr_s4d_init(KR_S4D_REAL, 4, 0, re, im), KR_OK);
    assert_true(re[3] == -4 && im[3] == 0);
    assert_int_equal(kr_s4d_init(KR_S4D_RANDOM, 4, 5, re, im), KR_OK);
    assert_int_equal(kr_s4d_init(KR_S4D_RANDOM, 4, 5, re, other), KR_OK);
    assert_memory_equal(im, other, sizeof im);
    for (int i = 0; i < 4; i++) assert_true(im[i] >= 0 && im[i] < 4 * 3.1416);
    assert_int_equal(kr_s4d_find("inv", &kind), KR_OK);
    assert_int_equal(kind, KR_S4D_INV);
    assert_int_equal(kr_s4d_find("hippo", &kind), KR_ERR_CONFIG);
    assert_int_equal(kr_s4d_init(KR_S4D_LIN, 0, 0, re, im), KR_ERR_ARG);
    kr_mem_fail_at(1);
    assert_int_equal(kr_s4d_init(KR_S4D_LEGS, 4, 0, re, im), KR_ERR_NOMEM);
    kr_mem_fail_at(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(legs_remembers), cmocka_unit_test(step_solves_its_equation),
                                       cmocka_unit_test(legs_eigenvalues), cmocka_unit_test(jacobi_on_a_known_matrix),
                                       cmocka_unit_test(formulas)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
