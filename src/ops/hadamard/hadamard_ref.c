/* hadamard_ref.c - the definition of hadamard. */
#include <math.h>

#include "ops/hadamard/hadamard.h"
#include "ops/ref.h"

/* H's entry in row i and column p * two + s; `sign` is P's in row i / two and column p. */
static int entry(int sign, int64_t i, int64_t s) { return __builtin_parityll((unsigned long long)(i & s)) ? -sign : sign; }
static int paley(int64_t m, const signed char *square, int64_t i, int64_t j) { return m > 1 ? hadamard_sign(m, square, i, j) : 1; }

void REF(hadamard_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D), two = D / m;
    signed char square[HADAMARD_MOST];
    hadamard_squares(m, square);
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[HADAMARD_X].data + r * c->in[HADAMARD_X].pitch;
        real *y = (real *)c->out[HADAMARD_Y].data + r * D;
        for (int64_t i = 0; i < D; i++) {
            real sum = 0;
            for (int64_t p = 0; p < m; p++) {
                int sign = paley(m, square, i / two, p);
                for (int64_t s = 0; s < two; s++) sum += (real)entry(sign, i, s) * x[p * two + s];
            }
            y[i] = sum / (real)sqrt((double)D);
        }
    }
}

void REF(hadamard_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D), two = D / m;
    signed char square[HADAMARD_MOST];
    hadamard_squares(m, square);
    for (int64_t r = 0; r < c->rows && c->din[HADAMARD_X].data; r++) {
        real *dx = (real *)c->din[HADAMARD_X].data + r * c->din[HADAMARD_X].pitch;
        const real *dy = (const real *)c->dout[HADAMARD_Y].data + r * D;
        for (int64_t i = 0; i < D; i++) {
            real g = dy[i] / (real)sqrt((double)D);
            for (int64_t p = 0; p < m; p++) {
                int sign = paley(m, square, i / two, p);
                for (int64_t s = 0; s < two; s++) dx[p * two + s] += (real)entry(sign, i, s) * g;
            }
        }
    }
}
