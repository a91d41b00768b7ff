/* hadamard_ref.c - the definition of hadamard. */
#include <math.h>

#include "ops/hadamard/hadamard.h"
#include "ops/ref.h"

static int entry(int64_t m, const signed char *square, int64_t D, int64_t i, int64_t j) {
    int64_t two = D / m;
    int sign = m > 1 ? hadamard_sign(m, square, i / two, j / two) : 1;
    return __builtin_parityll((unsigned long long)(i % two & j % two)) ? -sign : sign;
}

void REF(hadamard_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D);
    signed char square[HADAMARD_MOST];
    hadamard_squares(m, square);
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[HADAMARD_X].data + r * c->in[HADAMARD_X].pitch;
        real *y = (real *)c->out[HADAMARD_Y].data + r * D;
        for (int64_t i = 0; i < D; i++) {
            y[i] = 0;
            for (int64_t j = 0; j < D; j++) y[i] += (real)entry(m, square, D, i, j) * x[j];
            y[i] /= (real)sqrt((double)D);
        }
    }
}

void REF(hadamard_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D);
    signed char square[HADAMARD_MOST];
    hadamard_squares(m, square);
    for (int64_t r = 0; r < c->rows && c->din[HADAMARD_X].data; r++) {
        real *dx = (real *)c->din[HADAMARD_X].data + r * c->din[HADAMARD_X].pitch;
        const real *dy = (const real *)c->dout[HADAMARD_Y].data + r * D;
        for (int64_t i = 0; i < D; i++)
            for (int64_t j = 0; j < D; j++) dx[j] += (real)entry(m, square, D, i, j) * dy[i] / (real)sqrt((double)D);
    }
}
