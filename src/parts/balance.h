/* balance.h - a diagonal system in fewer states: balanced truncation (Moore 1981), as a way to start small
 * models from large ones (Ezoe & Sato 2024).
 *
 * The system is n modes of a discrete-time recurrence, h[t] = pole h[t-1] + u[t], and y[t] = sum residue h[t],
 * all complex, as (re, im) pairs; a real system in conjugate pairs has 2 Re y for its output. */
#ifndef KR_PARTS_BALANCE_H
#define KR_PARTS_BALANCE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* The r modes that are left of n; |pole| < 1.  hankel[n]: the system's Hankel singular values, falling; what is
 * left differs from it by at most 2 (hankel[r] + ... + hankel[n - 1]) at every frequency.  If fewer than r values
 * are above rounding, the rest of the modes are old poles without residues. */
kr_status kr_truncate(int64_t n, const double *pole, const double *residue, int64_t r, double *small_pole, double *small_residue, double *hankel);

/* The largest gain |2 Re| of a real system in n conjugate pairs over all frequencies, less that of m other pairs (0:
 * its own gain), on a grid of frequencies and at every resonance. */
double kr_truncate_peak(int64_t n, const double *pole, const double *residue, int64_t m, const double *other_pole, const double *other_residue);

/* Eigenvalues of a complex matrix a[n][n] (pairs), in no order; a is overwritten.  KR_ERR_NUMERIC: no convergence. */
kr_status kr_eigenvalues(int64_t n, double *a, double *lambda);
#endif
