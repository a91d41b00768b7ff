/* hadamard.h - the slots of hadamard, and its matrix. */
#ifndef KR_OPS_HADAMARD_H
#define KR_OPS_HADAMARD_H
#include "ops/op.h"

enum { HADAMARD_X };
enum { HADAMARD_Y };
enum { HADAMARD_MOST = 256 }; /* rows of Paley's matrix, at most */

/* H = P (x) S, of D = m 2^k: S is Sylvester's matrix of 2^k, S[i][j] = (-1)^(bits that i and j share), and P is 1 or
 * Paley's matrix of m = p + 1, p a prime of the form 4 n + 3:
 *
 *     P = 1 + [0, 1..1; -1..-1, Q],   Q[i][j] = 1 where i - j is a square modulo p, -1 where not, 0 on the diagonal
 *
 * The least m that fits; 0: none does. */
static inline bool hadamard_prime(int64_t p) {
    for (int64_t q = 2; q * q <= p; q++)
        if (p % q == 0) return false;
    return p > 2;
}
static inline int64_t hadamard_paley(int64_t D) {
    for (int64_t m = 1; m <= HADAMARD_MOST && m <= D; m++) {
        int64_t two = D / m;
        if (D % m == 0 && !(two & (two - 1)) && (m == 1 || (m % 4 == 0 && hadamard_prime(m - 1)))) return m;
    }
    return 0;
}

/* square[d]: 1 where d is a square modulo m - 1, -1 where not, and 1 at 0, P's diagonal. */
static inline void hadamard_squares(int64_t m, signed char square[HADAMARD_MOST]) {
    square[0] = 1;
    for (int64_t i = 1; i < m - 1; i++) square[i] = -1;
    for (int64_t i = 1; i < m - 1; i++) square[i * i % (m - 1)] = 1;
}
static inline int hadamard_sign(int64_t m, const signed char *square, int64_t i, int64_t j) {
    if (i == 0 || j == 0) return i == 0 ? 1 : -1;
    return square[(i - j + m - 1) % (m - 1)];
}
#endif
