/* balance.c - Gramians, Hankel singular values, truncation, and the way back to a diagonal.
 *
 * With a = diag(pole), b = 1, c = residue the Gramians are
 *
 *     P_ij = b_i b_j* / (1 - a_i a_j*)        Q_ij = c_i* c_j / (1 - a_i* a_j)
 *
 * They are close to singular: Hankel values fall by decades from one to the next.  But both are Cauchy
 * matrices, and what Gaussian elimination leaves of such a one is one again, with known numbers:
 *
 *     g_i g_j* / (1 - m_i m_j*)  less its p-th pivot:  g_i <- g_i (m_i - m_p) / (1 - m_i m_p*)
 *
 * so their Cholesky factors P = Z Z*, Q = Y Y* come entry by entry without cancellation (Gu & Eisenstat's,
 * Demmel's observation), and a one-sided Jacobi SVD of Y* Z keeps that. */
#include "parts/balance.h"

#include <complex.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

typedef double complex cplx;

static double norm2(cplx z) { return creal(z) * creal(z) + cimag(z) * cimag(z); }

/* Z [n][n] with Z Z* = g_i g_j* / (1 - m_i m_j*), the largest pivot first; g is used up. */
static void cauchy_cholesky(int64_t n, const cplx *m, cplx *g, cplx *Z) {
    for (int64_t k = 0; k < n; k++) {
        int64_t p = 0;
        double best = -1;
        for (int64_t i = 0; i < n; i++) {
            double d = norm2(g[i]) / (1 - norm2(m[i]));
            if (d > best) best = d, p = i;
        }
        for (int64_t i = 0; i < n; i++) Z[i * n + k] = best > 0 ? g[i] * conj(g[p]) / (1 - m[i] * conj(m[p])) / sqrt(best) : 0;
        cplx mp = m[p];
        for (int64_t i = 0; i < n; i++) g[i] *= (m[i] - mp) / (1 - m[i] * conj(mp));
        g[p] = 0;
    }
}

/* Turns columns p and q of M (and of V) until they are orthogonal; false if they were. */
static bool turn(int64_t n, cplx *M, cplx *V, int64_t p, int64_t q) {
    double a = 0, b = 0;
    cplx c = 0;
    for (int64_t i = 0; i < n; i++) {
        a += norm2(M[i * n + p]), b += norm2(M[i * n + q]);
        c += conj(M[i * n + p]) * M[i * n + q];
    }
    double r = cabs(c);
    if (r <= 1e-15 * sqrt(a * b) || r == 0) return false;
    double tau = (b - a) / (2 * r), t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau)), co = 1 / sqrt(1 + t * t), si = co * t;
    cplx phase = c / r;
    for (int pass = 0; pass < 2; pass++) {
        cplx *X = pass ? V : M;
        for (int64_t i = 0; i < n; i++) {
            cplx x = X[i * n + p], y = X[i * n + q] * conj(phase);
            X[i * n + p] = co * x - si * y;
            X[i * n + q] = si * x + co * y;
        }
    }
    return true;
}

/* M V = U diag(sigma), V unitary: M becomes U diag(sigma), with columns by falling sigma. */
static void jacobi_svd(int64_t n, cplx *M, cplx *V, double *sigma) {
    for (int64_t i = 0; i < n * n; i++) V[i] = i % (n + 1) == 0;
    bool any = true;
    for (int sweep = 0; any && sweep < 60; sweep++) {
        any = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) any |= turn(n, M, V, p, q);
    }
    for (int64_t k = 0; k < n; k++) {
        sigma[k] = 0;
        for (int64_t i = 0; i < n; i++) sigma[k] += norm2(M[i * n + k]);
        sigma[k] = sqrt(sigma[k]);
    }
    for (int64_t k = 0; k < n; k++) { /* sort */
        int64_t best = k;
        for (int64_t j = k + 1; j < n; j++)
            if (sigma[j] > sigma[best]) best = j;
        double s = sigma[k];
        sigma[k] = sigma[best], sigma[best] = s;
        for (int64_t i = 0; i < n; i++) {
            cplx x = M[i * n + k], y = V[i * n + k];
            M[i * n + k] = M[i * n + best], M[i * n + best] = x;
            V[i * n + k] = V[i * n + best], V[i * n + best] = y;
        }
    }
}

/* --- eigenvalues of a small full matrix ------------------------------------------------------- */

/* By Gaussian similarity with pivoting. */
static void to_hessenberg(int64_t n, cplx *a) {
    for (int64_t m = 1; m < n - 1; m++) {
        int64_t p = m;
        for (int64_t i = m; i < n; i++)
            if (cabs(a[i * n + m - 1]) > cabs(a[p * n + m - 1])) p = i;
        if (a[p * n + m - 1] == 0) continue;
        for (int64_t j = 0; j < n; j++) {
            cplx t = a[p * n + j];
            a[p * n + j] = a[m * n + j], a[m * n + j] = t;
        }
        for (int64_t i = 0; i < n; i++) {
            cplx t = a[i * n + p];
            a[i * n + p] = a[i * n + m], a[i * n + m] = t;
        }
        for (int64_t i = m + 1; i < n; i++) {
            cplx f = a[i * n + m - 1] / a[m * n + m - 1];
            if (f == 0) continue;
            for (int64_t j = 0; j < n; j++) a[i * n + j] -= f * a[m * n + j];
            for (int64_t j = 0; j < n; j++) a[j * n + m] += f * a[j * n + i];
        }
    }
}

/* Of [[a, b], [c, d]], the eigenvalue that is nearer to d. */
static cplx wilkinson(cplx a, cplx b, cplx c, cplx d) {
    cplx half = (a - d) / 2, root = csqrt(half * half + b * c);
    cplx x = d + half + root, y = d + half - root;
    return cabs(x - d) < cabs(y - d) ? x : y;
}

/* One QR step on rows and columns lo .. hi of a Hessenberg matrix, by plane rotations. */
static void qr_step(int64_t n, cplx *a, int64_t lo, int64_t hi, cplx shift, cplx *rotation) {
    for (int64_t i = lo; i <= hi; i++) a[i * n + i] -= shift;
    for (int64_t k = lo; k < hi; k++) {
        cplx x = a[k * n + k], y = a[(k + 1) * n + k];
        double r = sqrt(norm2(x) + norm2(y));
        cplx c = r > 0 ? x / r : 1, s = r > 0 ? y / r : 0;
        rotation[2 * k] = c, rotation[2 * k + 1] = s;
        for (int64_t j = k; j <= hi; j++) {
            cplx u = a[k * n + j], v = a[(k + 1) * n + j];
            a[k * n + j] = conj(c) * u + conj(s) * v;
            a[(k + 1) * n + j] = c * v - s * u;
        }
    }
    for (int64_t k = lo; k < hi; k++) {
        cplx c = rotation[2 * k], s = rotation[2 * k + 1];
        for (int64_t i = lo; i <= k + 1 && i <= hi; i++) {
            cplx u = a[i * n + k], v = a[i * n + k + 1];
            a[i * n + k] = c * u + s * v;
            a[i * n + k + 1] = conj(c) * v - conj(s) * u;
        }
    }
    for (int64_t i = lo; i <= hi; i++) a[i * n + i] += shift;
}

kr_status kr_eigenvalues(int64_t n, double *pairs, double *out) {
    cplx *a = (cplx *)pairs, *lambda = (cplx *)out, *rotation = kr_mem_array((size_t)(2 * n), sizeof *rotation);
    if (!rotation) return KR_ERR_NOMEM;
    to_hessenberg(n, a);
    int64_t hi = n - 1, tries = 0;
    while (hi >= 0 && tries < 300) {
        int64_t lo = hi;
        while (lo > 0 && cabs(a[lo * n + lo - 1]) > 1e-16 * (cabs(a[lo * n + lo]) + cabs(a[(lo - 1) * n + lo - 1]))) lo--;
        if (lo == hi) {
            lambda[hi] = a[hi * n + hi];
            hi--, tries = 0;
            continue;
        }
        cplx shift = wilkinson(a[(hi - 1) * n + hi - 1], a[(hi - 1) * n + hi], a[hi * n + hi - 1], a[hi * n + hi]);
        if (++tries % 20 == 0) shift = cabs(a[hi * n + hi - 1]) + cabs(a[hi * n + hi]); /* out of a cycle */
        qr_step(n, a, lo, hi, shift, rotation);
    }
    kr_mem_free(rotation);
    if (hi >= 0) KR_FAIL(KR_ERR_NUMERIC, "the eigenvalues of a matrix of %lld rows do not converge", (long long)n);
    return KR_OK;
}

/* x = (a - mu)^-1 x, a is not changed; room [n][n].  A pivot of 0 is taken as rounding. */
static void solve(int64_t n, const cplx *a, cplx mu, cplx *x, cplx *room) {
    double scale = 0;
    for (int64_t i = 0; i < n * n; i++) scale = fmax(scale, cabs(a[i]));
    for (int64_t i = 0; i < n * n; i++) room[i] = a[i] - (i % (n + 1) == 0 ? mu : 0);
    for (int64_t p = 0; p < n; p++) {
        int64_t best = p;
        for (int64_t i = p + 1; i < n; i++)
            if (cabs(room[i * n + p]) > cabs(room[best * n + p])) best = i;
        for (int64_t j = 0; j < n; j++) {
            cplx t = room[p * n + j];
            room[p * n + j] = room[best * n + j], room[best * n + j] = t;
        }
        cplx t = x[p];
        x[p] = x[best], x[best] = t;
        if (cabs(room[p * n + p]) <= 1e-16 * scale) room[p * n + p] = 1e-16 * (scale > 0 ? scale : 1);
        for (int64_t i = p + 1; i < n; i++) {
            cplx f = room[i * n + p] / room[p * n + p];
            for (int64_t j = p; j < n; j++) room[i * n + j] -= f * room[p * n + j];
            x[i] -= f * x[p];
        }
    }
    for (int64_t p = n - 1; p >= 0; p--) {
        for (int64_t j = p + 1; j < n; j++) x[p] -= room[p * n + j] * x[j];
        x[p] /= room[p * n + p];
    }
}

/* pole and residue of h' = A h + B u, y = C h; room 3 r^2. */
static kr_status diagonalise(int64_t r, const cplx *A, cplx *B, const cplx *C, cplx *pole, cplx *residue, cplx *room) {
    cplx *W = room, *copy = W + r * r, *x = copy + r * r; /* x [r], in the last r^2 */
    memcpy(copy, A, (size_t)(r * r) * sizeof *copy);
    KR_TRY(kr_eigenvalues(r, (double *)copy, (double *)pole));
    for (int64_t k = 0; k < r; k++) { /* eigenvectors by inverse iteration */
        for (int64_t i = 0; i < r; i++) x[i] = 1 + .1 * (double)(i * (k + 2) % 7) * I;
        for (int round = 0; round < 3; round++) {
            double size = 0;
            solve(r, A, pole[k] * (1 + 1e-14), x, copy);
            for (int64_t i = 0; i < r; i++) size += norm2(x[i]);
            for (int64_t i = 0; i < r; i++) x[i] /= sqrt(size);
        }
        for (int64_t i = 0; i < r; i++) W[i * r + k] = x[i];
    }
    solve(r, W, 0, B, copy);
    for (int64_t k = 0; k < r; k++) {
        residue[k] = 0;
        for (int64_t i = 0; i < r; i++) residue[k] += C[i] * W[i * r + k];
        residue[k] *= B[k];
    }
    return KR_OK;
}

/* --- truncation ------------------------------------------------------------------------------- */

/* A_r = T_l diag(pole) T_r, B_r = T_l 1, C_r = c T_r with T_r = Z V s^-1/2, T_l = s^-1/2 U* Y*; U s is M. */
static void project(int64_t n, int64_t r, const cplx *pole, const cplx *c, const cplx *Z, const cplx *Y, const cplx *M, const cplx *V, const double *sigma,
                    cplx *Tl, cplx *Tr, cplx *A, cplx *B, cplx *C) {
    for (int64_t k = 0; k < r; k++)
        for (int64_t i = 0; i < n; i++) {
            cplx left = 0, right = 0;
            for (int64_t j = 0; j < n; j++) left += conj(M[j * n + k]) * conj(Y[i * n + j]), right += Z[i * n + j] * V[j * n + k];
            Tl[k * n + i] = left / (sigma[k] * sqrt(sigma[k]));
            Tr[i * r + k] = right / sqrt(sigma[k]);
        }
    for (int64_t k = 0; k < r; k++) {
        B[k] = C[k] = 0;
        for (int64_t i = 0; i < n; i++) B[k] += Tl[k * n + i], C[k] += c[i] * Tr[i * r + k];
        for (int64_t l = 0; l < r; l++) {
            A[k * r + l] = 0;
            for (int64_t i = 0; i < n; i++) A[k * r + l] += Tl[k * n + i] * pole[i] * Tr[i * r + l];
        }
    }
}

kr_status kr_truncate(int64_t n, const double *pole_pairs, const double *residue_pairs, int64_t r, double *small_pole, double *small_residue, double *hankel) {
    const cplx *pole = (const cplx *)pole_pairs, *c = (const cplx *)residue_pairs;
    cplx *to = (cplx *)small_pole, *to_residue = (cplx *)small_residue;
    if (n < 1 || r < 1 || r > n) KR_FAIL(KR_ERR_ARG, "balanced truncation of %lld modes to %lld, want 1 to as many", (long long)n, (long long)r);
    for (int64_t i = 0; i < n; i++)
        if (!(norm2(pole[i]) < 1)) KR_FAIL(KR_ERR_NUMERIC, "mode %lld of a system is not stable: |pole| is %g", (long long)i, cabs(pole[i]));
    cplx *all = kr_mem_array((size_t)(4 * n * n + 2 * n * r + 4 * r * r + 2 * n + 2 * r), sizeof *all);
    if (!all) return KR_ERR_NOMEM;
    cplx *Z = all, *Y = Z + n * n, *M = Y + n * n, *V = M + n * n, *Tl = V + n * n, *Tr = Tl + n * r, *A = Tr + n * r, *room = A + r * r;
    cplx *g = room + 3 * r * r, *m = g + n, *B = m + n, *C = B + r;
    for (int64_t i = 0; i < n; i++) g[i] = 1;
    cauchy_cholesky(n, pole, g, Z);
    for (int64_t i = 0; i < n; i++) g[i] = conj(c[i]), m[i] = conj(pole[i]);
    cauchy_cholesky(n, m, g, Y);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            M[i * n + j] = 0;
            for (int64_t k = 0; k < n; k++) M[i * n + j] += conj(Y[k * n + i]) * Z[k * n + j];
        }
    jacobi_svd(n, M, V, hankel);
    int64_t rank = 0;
    while (rank < r && hankel[rank] > 1e-14 * hankel[0]) rank++;
    for (int64_t k = rank; k < r; k++) to[k] = pole[k], to_residue[k] = 0;
    kr_status st = KR_OK;
    if (rank > 0) {
        project(n, rank, pole, c, Z, Y, M, V, hankel, Tl, Tr, A, B, C);
        st = diagonalise(rank, A, B, C, to, to_residue, room);
    }
    kr_mem_free(all);
    return st;
}

static double gain_at(int64_t n, const cplx *pole, const cplx *residue, int64_t m, const cplx *other, const cplx *other_residue, double angle) {
    cplx z = cexp(-I * angle), sum = 0; /* z^-1 */
    for (int64_t i = 0; i < n; i++) sum += residue[i] / (1 - pole[i] * z) + conj(residue[i]) / (1 - conj(pole[i]) * z);
    for (int64_t i = 0; i < m; i++) sum -= other_residue[i] / (1 - other[i] * z) + conj(other_residue[i]) / (1 - conj(other[i]) * z);
    return cabs(sum);
}

double kr_truncate_peak(int64_t n, const double *pole, const double *residue, int64_t m, const double *other_pole, const double *other_residue) {
    enum { GRID = 512 };
    const double pi = 3.14159265358979323846;
    double peak = 0;
    const cplx *a = (const cplx *)pole, *b = (const cplx *)residue, *c = (const cplx *)other_pole, *d = (const cplx *)other_residue;
    for (int64_t i = 0; i <= GRID; i++) {
        peak = fmax(peak, gain_at(n, a, b, m, c, d, pi * (double)i / GRID));
        peak = fmax(peak, gain_at(n, a, b, m, c, d, pi * pow(10, -5 * (double)i / GRID)));
    }
    for (int64_t i = 0; i < n + m; i++) peak = fmax(peak, gain_at(n, a, b, m, c, d, carg(i < n ? a[i] : c[i - n])));
    return peak;
}
