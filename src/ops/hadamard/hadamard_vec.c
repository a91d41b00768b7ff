/* hadamard_vec.c - hadamard for CPUs: log D passes of sums and differences for the power of two, then Paley's
 * matrix over what is left, KR_VL columns at a time; threads over rows. */
#include <math.h>

#include "ops/hadamard/hadamard.h"
#include "ops/rows.h"

#define FOUR(i, h) (i) ^ (h), ((i) + 1) ^ (h), ((i) + 2) ^ (h), ((i) + 3) ^ (h)
#if KR_VL == 16
#define LANES(h) FOUR(0, h), FOUR(4, h), FOUR(8, h), FOUR(12, h)
#elif KR_VL == 8
#define LANES(h) FOUR(0, h), FOUR(4, h)
#else
#define LANES(h) FOUR(0, h)
#endif
/* x[i] + x[i + h] where bit h of i is 0, x[i - h] - x[i] where it is 1 */
#define WITHIN(v, h) (__builtin_shufflevector(v, v, LANES(h)) + (vf)((vi)(v) ^ ((((vi){LANES(0)} & (h)) != 0) & INT32_MIN)))

/* Sylvester's matrix on `two` numbers at y. */
static void sylvester(float *y, int64_t two) {
    if (two < KR_VL) {
        for (int64_t h = 1; h < two; h *= 2)
            for (int64_t i = 0; i < two; i++)
                if (!(i & h)) {
                    float a = y[i], b = y[i + h];
                    y[i] = a + b, y[i + h] = a - b;
                }
        return;
    }
    for (int64_t i = 0; i < two; i += KR_VL) {
        vf v = v_load(y + i);
        v = WITHIN(v, 1);
        v = WITHIN(v, 2);
#if KR_VL >= 8
        v = WITHIN(v, 4);
#endif
#if KR_VL >= 16
        v = WITHIN(v, 8);
#endif
        v_store(y + i, v);
    }
    for (int64_t h = KR_VL; h < two; h *= 2)
        for (int64_t at = 0; at < two; at += 2 * h)
            for (int64_t i = at; i < at + h; i += KR_VL) {
                vf a = v_load(y + i), b = v_load(y + i + h);
                v_store(y + i, a + b);
                v_store(y + i + h, a - b);
            }
}

/* y = P y over m numbers `two` apart, for n columns; turned: by its transpose. */
static void paley(float *y, int64_t m, const signed char *square, int64_t two, int64_t n, bool turned) {
    vf x[HADAMARD_MOST];
    for (int64_t j = 0; j < m; j++) x[j] = v_get(y + j * two, n);
    for (int64_t i = 0; i < m; i++) {
        vf sum = {0};
        for (int64_t j = 0; j < m; j++) {
            int sign = turned ? hadamard_sign(m, square, j, i) : hadamard_sign(m, square, i, j);
            sum += sign > 0 ? x[j] : -x[j];
        }
        v_put(y + i * two, sum, n);
    }
}

/* D numbers at y, where x is already; S is symmetric, P is not. */
static void turn(float *y, int64_t D, int64_t m, const signed char *square, bool turned) {
    int64_t two = D / m;
    vf by = v_set((float)(1 / sqrt((double)D)));
    for (int64_t i = 0; i < m; i++) sylvester(y + i * two, two);
    for (int64_t i = 0; i < two && m > 1; i += KR_VL) paley(y + i, m, square, two, two - i, turned);
    for (int64_t i = 0; i < D; i += KR_VL) v_put(y + i, v_get(y + i, D - i) * by, D - i);
}

void KR_VEC(hadamard_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D);
    signed char square[HADAMARD_MOST];
    hadamard_squares(m, square);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t r = 0; r < c->rows; r++) {
        float *y = row_of(&c->out[HADAMARD_Y], r, D);
        memcpy(y, row_at(&c->in[HADAMARD_X], r), (size_t)D * sizeof *y);
        turn(y, D, m, square, false);
    }
}

static size_t room_of(int64_t D) { return (size_t)((D + 15) / 16 * 16); }

void KR_VEC(hadamard_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), m = hadamard_paley(D);
    signed char square[HADAMARD_MOST];
    hadamard_squares(m, square);
    if (!c->din[HADAMARD_X].data) return;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t k = 0; k < c->n_threads; k++) { /* a share of the rows each, with a row of room */
        float *row = (float *)c->scratch + (size_t)k * room_of(D);
        for (int64_t r = c->rows * k / c->n_threads; r < c->rows * (k + 1) / c->n_threads; r++) {
            memcpy(row, row_of(&c->dout[HADAMARD_Y], r, D), (size_t)D * sizeof *row);
            turn(row, D, m, square, true);
            row_give(row_at(&c->din[HADAMARD_X], r), row, c->acc[HADAMARD_X], D);
        }
    }
}
