/* hippo.h - what the diagonal of a state space model starts from.
 *
 * HiPPO-LegS (Gu et al. 2020) is the system whose state holds the Legendre coefficients of all
 * of its input so far; S4D (Gu et al. 2022) keeps only the eigenvalues of the normal part of its
 * matrix, or of formulas that look like them. */
#ifndef KR_PARTS_HIPPO_H
#define KR_PARTS_HIPPO_H
#include <stdint.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* h' = A h + B x: A[n][n] (lower triangular, stable), B[n].  Either may be NULL. */
void kr_hippo_legs(int64_t n, double *A, double *B);
/* P[n], with A + P P^T = -1/2 I + S, S skew: the normal part, plus rank one. */
void kr_hippo_legs_low_rank(int64_t n, double *P);

/* Memory by LegS: c[n] takes the k-th value (k = 1, 2, ...) of a signal, by the bilinear rule
 *     c = (I - A/2k)^-1 ((I + A/2k) c + B f/k). */
void kr_hippo_legs_step(int64_t n, int64_t k, double f, double *c);
/* What c remembers of the signal at x in [-1, 1], -1 its beginning and 1 now: sum c_n sqrt(2n+1) P_n(x). */
double kr_hippo_legs_recall(int64_t n, const double *c, double x);

/* Diagonals: X(name, text, about).  N = 2 n states in n conjugate pairs, but for REAL, whose
 * states are n real ones. */
#define KR_S4D_MAP(X)                                                             \
    X(LEGS, "legs", "the eigenvalues of LegS's normal part: -1/2 + i lambda_n")   \
    X(LIN, "lin", "-1/2 + i pi n")                                                \
    X(INV, "inv", "-1/2 + i (N/pi) (N/(2n + 1) - 1)")                             \
    X(REAL, "real", "-(n + 1)")                                                   \
    X(RANDOM, "random", "-1/2 + i pi U(0, n): at random in the band of lin")
typedef enum kr_s4d {
#define X(name, text, about) KR_S4D_##name,
    KR_S4D_MAP(X)
#undef X
    KR_N_S4D
} kr_s4d;

/* re[n], im[n] of the pairs' upper halves, by rising im where it is sorted at all; seed: for RANDOM. */
kr_status kr_s4d_init(kr_s4d kind, int64_t n, uint64_t seed, double *re, double *im);
/* By its text; the sentence of a failure lists all. */
kr_status kr_s4d_find(const char *text, kr_s4d *kind);

/* Eigenvalues of a Hermitian matrix a[n][n] of (re, im) pairs, rising; a is overwritten. */
void kr_hermitian_eigenvalues(int64_t n, double *a, double *lambda);

#ifdef __cplusplus
}
#endif
#endif
