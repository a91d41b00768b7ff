/* concat_vec.c - concat for CPUs: copies, threads over rows. */
#include "ops/concat/concat.h"
#include "ops/rows.h"

void KR_VEC(concat_fwd)(const kr_call *c) {
    int64_t A = KR_SIZE(c, 'A'), B = KR_SIZE(c, 'B'), rows = c->rows;
#pragma omp parallel for num_threads(rows_threads(c, rows * (A + B))) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float *y = row_of(&c->out[CONCAT_Y], r, A + B);
        memcpy(y, row_at(&c->in[CONCAT_A], r), (size_t)A * sizeof *y);
        memcpy(y + A, row_at(&c->in[CONCAT_B], r), (size_t)B * sizeof *y);
    }
}

void KR_VEC(concat_bwd)(const kr_call *c) {
    int64_t A = KR_SIZE(c, 'A'), B = KR_SIZE(c, 'B'), rows = c->rows;
#pragma omp parallel for num_threads(rows_threads(c, rows * (A + B))) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *dy = row_of(&c->dout[CONCAT_Y], r, A + B);
        row_give(row_at(&c->din[CONCAT_A], r), dy, c->acc[CONCAT_A], A);
        row_give(row_at(&c->din[CONCAT_B], r), dy + A, c->acc[CONCAT_B], B);
    }
}
