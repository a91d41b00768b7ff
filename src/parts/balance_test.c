/* balance_test.c - balanced truncation against 60 digits, and its bound.
 *
 * The tables are mpmath's (mp.dps = 60: Gramians, cholesky, svd_c, eig) for modes of S4D-Lin, A_k = -1/2 + i pi k,
 * C_k = cos k + i sin 2k, zero-order hold: pole e^(dt A_k), residue C_k (pole - 1) / A_k. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "parts/balance.h"

enum { MOST = 32 };
typedef struct table { int64_t n, r; double dt, hankel[MOST], pole[4][2], residue[4][2]; } table;
static const table tables[] = {
    {8, 3, .03, {1.64170023977, 1.27406118562, 1.15244251748, 1.00354956728, 0.868848990236, 0.742681912277, 0.554425818175, 0.430629138725},
     {{0.96428316617193, 0.14319955518164}, {0.90148885630758, 0.35872314025088}, {0.80077198810221, 0.58892934341827}},
     {{0.050792900492345, -0.032779260782659}, {-0.027921519886566, 0.072023059325144}, {-0.0084601696815572, 0.0077314014448213}}},
    {32, 4, .01, {1.70873604537, 1.68368878878, 1.64966334309, 1.62870602367, 1.60828063184, 1.33997175194, 1.30323863385, 1.23085302257,
                  1.22220930693, 1.17632096938, 1.05392226365, 0.966414278511, 0.956134938889, 0.913230297475, 0.878296379597, 0.848229644649,
                  0.823702352409, 0.793983966352, 0.762845994519, 0.742361754658, 0.74000506447, 0.715966895321, 0.570110750374, 0.550038380452,
                  0.477400262566, 0.408926388355, 0.403396234484, 0.393256489449, 0.252049631969, 0.240700276576, 0.212979905839, 0.00724251358614},
     {{0.96516292442966, 0.19208683821452}, {0.9307840260585, 0.32913559942343}, {0.86778818872578, 0.48262221633976}, {0.69450913210145, 0.71038796924738}},
     {{0.0048739264228879, -0.0014951385923795}, {-0.0021556485521411, 0.0083069609798196}, {-0.0087728719322502, -0.00041751092206473},
      {-0.00047315290434074, 0.00078285662363363}}}};

static void modes_of(int64_t n, double dt, double pole[][2], double residue[][2]) {
    for (int64_t k = 0; k < n; k++) {
        double re = -.5, im = 3.14159265358979323846 * (double)k, r = exp(dt * re), c = cos((double)k), d = sin(2 * (double)k);
        pole[k][0] = r * cos(dt * im), pole[k][1] = r * sin(dt * im);
        double x = pole[k][0] - 1, y = pole[k][1], s = re * re + im * im, gr = (x * re + y * im) / s, gi = (y * re - x * im) / s;
        residue[k][0] = c * gr - d * gi, residue[k][1] = c * gi + d * gr;
    }
}

static void by_angle(int64_t r, double pole[][2], double residue[][2]) {
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = i + 1; j < r; j++)
            if (atan2(pole[j][1], pole[j][0]) < atan2(pole[i][1], pole[i][0]))
                for (int k = 0; k < 2; k++) {
                    double t = pole[i][k];
                    pole[i][k] = pole[j][k], pole[j][k] = t;
                    t = residue[i][k], residue[i][k] = residue[j][k], residue[j][k] = t;
                }
}

static void as_in_many_digits(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        const table *t = &tables[k];
        double pole[MOST][2], residue[MOST][2], small[4][2], small_residue[4][2], hankel[MOST];
        modes_of(t->n, t->dt, pole, residue);
        assert_int_equal(kr_truncate(t->n, *pole, *residue, t->r, *small, *small_residue, hankel), KR_OK);
        by_angle(t->r, small, small_residue);
        for (int64_t i = 0; i < t->n; i++) assert_true(fabs(hankel[i] - t->hankel[i]) <= 2e-11);
        for (int64_t i = 0; i < t->r; i++)
            for (int c = 0; c < 2; c++) {
                assert_true(fabs(small[i][c] - t->pole[i][c]) <= 1e-11);
                assert_true(fabs(small_residue[i][c] - t->residue[i][c]) <= 1e-11);
            }
    }
}

/* For every r: the error is under the bound, and at r = n there is none. */
static void keeps_its_bound(void **state) {
    enum { N = 10 };
    (void)state;
    double pole[N][2], residue[N][2], small[N][2], small_residue[N][2], hankel[N];
    modes_of(N, .05, pole, residue);
    for (int64_t k = 0; k < N; k++) residue[k][0] *= exp(-1.5 * (double)k), residue[k][1] *= exp(-1.5 * (double)k); /* so that the values fall */
    for (int64_t r = 1; r <= N; r++) {
        double bound = 0;
        assert_int_equal(kr_truncate(N, *pole, *residue, r, *small, *small_residue, hankel), KR_OK);
        for (int64_t i = r; i < N; i++) bound += 4 * hankel[i]; /* 2 for the pairs, 2 for their conjugates */
        double peak = kr_truncate_peak(N, *pole, *residue, 0, NULL, NULL), error = kr_truncate_peak(N, *pole, *residue, r, *small, *small_residue);
        assert_true(error <= bound + 1e-9 * peak);
        if (r == 4) assert_true(error > .01 * bound); /* ... and not by luck */
    }
}

/* Two modes at one pole are one; no residue is no system. */
static void what_is_not_there(void **state) {
    (void)state;
    double pole[4][2] = {{.9, .1}, {.9, .1}, {.5, -.2}, {.3, 0}}, residue[4][2] = {{1, 0}, {0, 2}, {.5, 0}, {0, 0}}, small[4][2], rest[4][2], hankel[4];
    assert_int_equal(kr_truncate(4, *pole, *residue, 3, *small, *rest, hankel), KR_OK);
    assert_true(hankel[1] > 1e-3 && hankel[2] < 1e-13);
    assert_true(kr_truncate_peak(4, *pole, *residue, 3, *small, *rest) < 1e-9);
    pole[2][0] = 1;
    assert_int_equal(kr_truncate(4, *pole, *residue, 3, *small, *rest, hankel), KR_ERR_NUMERIC);
    assert_int_equal(kr_truncate(4, *pole, *residue, 5, *small, *rest, hankel), KR_ERR_ARG);
}

/* diag(1, 2, i, -3) seen from elsewhere, and a matrix whose rows come in a circle: roots of one. */
static void eigenvalues(void **state) {
    (void)state;
    double a[32] = {0}, lambda[8];
    for (int i = 0; i < 4; i++) a[2 * (i * 4 + (i + 1) % 4)] = 1;
    assert_int_equal(kr_eigenvalues(4, a, lambda), KR_OK);
    double sum[2] = {0};
    for (int k = 0; k < 4; k++) {
        double x = lambda[2 * k], y = lambda[2 * k + 1];
        assert_true(fabs(x * x + y * y - 1) < 1e-12 && fabs(x * y) < 1e-12);
        sum[0] += x, sum[1] += y;
    }
    assert_true(fabs(sum[0]) + fabs(sum[1]) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_in_many_digits), cmocka_unit_test(keeps_its_bound), cmocka_unit_test(what_is_not_there),
                                       cmocka_unit_test(eigenvalues)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
