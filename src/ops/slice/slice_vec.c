/* slice_vec.c - slice for CPUs: copies, threads over rows. */
#include "ops/rows.h"
#include "ops/slice/slice.h"

void KR_VEC(slice_fwd)(const kr_call *c) {
    int64_t B = KR_SIZE(c, 'B'), from = slice_from(c), rows = c->rows;
#pragma omp parallel for num_threads(rows_threads(c, rows * B)) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        memcpy(row_of(&c->out[SLICE_Y], r, B), row_at(&c->in[SLICE_X], r) + from, (size_t)B * sizeof(float));
}

void KR_VEC(slice_bwd)(const kr_call *c) {
    int64_t A = KR_SIZE(c, 'A'), B = KR_SIZE(c, 'B'), from = slice_from(c), rows = c->rows;
    bool add = c->acc[SLICE_X];
    if (!c->din[SLICE_X].data) return;
#pragma omp parallel for num_threads(rows_threads(c, rows * A)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float *dx = row_at(&c->din[SLICE_X], r);
        if (!add) {
            memset(dx, 0, (size_t)from * sizeof *dx);
            memset(dx + from + B, 0, (size_t)(A - from - B) * sizeof *dx);
        }
        row_give(dx + from, row_of(&c->dout[SLICE_Y], r, B), add, B);
    }
}
