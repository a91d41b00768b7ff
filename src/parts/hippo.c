/* hippo.c - HiPPO-LegS, its normal part, and S4D's diagonals. */
#include "parts/hippo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static const double pi = 3.14159265358979323846;

void kr_hippo_legs(int64_t n, double *A, double *B) {
    for (int64_t i = 0; i < n; i++) {
        double b = sqrt(2 * (double)i + 1);
        for (int64_t j = 0; A && j < n; j++)
            A[i * n + j] = i > j ? -b * sqrt(2 * (double)j + 1) : i == j ? -(double)(i + 1) : 0;
        if (B) B[i] = b;
    }
}

void kr_hippo_legs_low_rank(int64_t n, double *P) {
    for (int64_t i = 0; i < n; i++) P[i] = sqrt((double)i + .5);
}

/* Row i of A holds -b_i b_j left of its diagonal, so that A c needs one running sum of b_j c_j. */
void kr_hippo_legs_step(int64_t n, int64_t k, double f, double *c) {
    double half = .5 / (double)k, old_sum = 0, new_sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double b = sqrt(2 * (double)i + 1), diagonal = -(double)(i + 1);
        double right = c[i] + half * (diagonal * c[i] - b * old_sum) + b * f / (double)k;
        old_sum += b * c[i];
        c[i] = (right - half * b * new_sum) / (1 - half * diagonal);
        new_sum += b * c[i];
    }
}

double kr_hippo_legs_recall(int64_t n, const double *c, double x) {
    double before = 0, now = 1, sum = 0; /* P_{i-1}, P_i */
    for (int64_t i = 0; i < n; i++) {
        sum += c[i] * sqrt(2 * (double)i + 1) * now;
        double next = ((2 * (double)i + 1) * x * now - (double)i * before) / (double)(i + 1);
        before = now, now = next;
    }
    return sum;
}

/* Turns columns, then rows, p and q so that a[p][q] becomes 0.  With a[p][q] = r e^(i f), the
 * phase (1, e^(-i f)) makes that corner real, and a plane rotation (c, s) does the rest. */
static void rotate(double *a, int64_t n, int64_t p, int64_t q) {
    double re = a[2 * (p * n + q)], im = a[2 * (p * n + q) + 1], r = hypot(re, im);
    if (r == 0) return;
    double tau = (a[2 * (q * n + q)] - a[2 * (p * n + p)]) / (2 * r);
    double t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau)), c = 1 / sqrt(1 + t * t), s = t * c;
    double fre = re / r, fim = im / r;
    for (int pass = 0; pass < 2; pass++) { /* columns times e^(-i f), then rows times e^(i f) */
        double g = pass == 0 ? -fim : fim;
        for (int64_t k = 0; k < n; k++) {
            double *x = a + 2 * (pass == 0 ? k * n + p : p * n + k), *y = a + 2 * (pass == 0 ? k * n + q : q * n + k);
            double yre = fre * y[0] - g * y[1], yim = fre * y[1] + g * y[0], xre = x[0], xim = x[1];
            x[0] = c * xre - s * yre, x[1] = c * xim - s * yim;
            y[0] = s * xre + c * yre, y[1] = s * xim + c * yim;
        }
    }
}

static int rising(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Jacobi's method, sweeping over all pairs until what is off the diagonal is rounding. */
void kr_hermitian_eigenvalues(int64_t n, double *a, double *lambda) {
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0, all = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double square =
                    a[2 * (i * n + j)] * a[2 * (i * n + j)] + a[2 * (i * n + j) + 1] * a[2 * (i * n + j) + 1];
                all += square;
                off += i == j ? 0 : square;
            }
        if (off <= 1e-30 * all) break;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) rotate(a, n, p, q);
    }
    for (int64_t i = 0; i < n; i++) lambda[i] = a[2 * (i * n + i)];
    qsort(lambda, (size_t)n, sizeof *lambda, rising);
}

/* The n positive lambda of S = A + P P^T + I/2, N = 2 n: -i S is Hermitian, and its
 * eigenvalues come in pairs of both signs. */
static kr_status legs_frequencies(int64_t n, double *im) {
    int64_t N = 2 * n;
    double *h = kr_mem_array((size_t)(N * N), 2 * sizeof *h), *lambda = kr_mem_array((size_t)N, sizeof *lambda);
    kr_status st = h && lambda ? KR_OK : KR_ERR_NOMEM;
    if (st == KR_OK) {
        for (int64_t i = 0; i < N; i++)
            for (int64_t j = 0; j < N; j++) { /* S is -+ b_i b_j / 2 below and above its diagonal */
                double s = i == j ? 0 : (i > j ? -.5 : .5) * sqrt((2 * (double)i + 1) * (2 * (double)j + 1));
                h[2 * (i * N + j) + 1] = -s;
            }
        kr_hermitian_eigenvalues(N, h, lambda);
        memcpy(im, lambda + n, (size_t)n * sizeof *im);
    }
    kr_mem_free(h);
    kr_mem_free(lambda);
    return st;
}

kr_status kr_s4d_init(kr_s4d kind, int64_t n, uint64_t seed, double *re, double *im) {
    kr_rng rng = {seed, kr_rng_stream("s4d"), 0};
    double N = 2 * (double)n;
    if (n < 1 || n > 4096) KR_FAIL(KR_ERR_ARG, "s4d: %lld states, want 1 to 4096", (long long)n);
    if (kind == KR_S4D_LEGS) KR_TRY(legs_frequencies(n, im));
    for (int64_t i = 0; i < n; i++) {
        double k = (double)i;
        re[i] = kind == KR_S4D_REAL ? -(k + 1) : -.5;
        if (kind == KR_S4D_LIN) im[i] = pi * k;
        if (kind == KR_S4D_INV) im[i] = N / pi * (N / (2 * k + 1) - 1);
        if (kind == KR_S4D_REAL) im[i] = 0;
        if (kind == KR_S4D_RANDOM) im[i] = pi * (double)n * kr_rng_uniform(&rng);
    }
    return KR_OK;
}

kr_status kr_s4d_find(const char *text, kr_s4d *kind) {
    static const char *const texts[KR_N_S4D] = {
#define X(name, t, about) t,
        KR_S4D_MAP(X)
#undef X
    };
    for (int i = 0; i < KR_N_S4D; i++)
        if (strcmp(texts[i], text) == 0) {
            *kind = (kr_s4d)i;
            return KR_OK;
        }
#define X(name, t, about) " " t
    KR_FAIL(KR_ERR_CONFIG, "s4d: no initialisation \"%.40s\", want one of:" KR_S4D_MAP(X), text);
#undef X
}
