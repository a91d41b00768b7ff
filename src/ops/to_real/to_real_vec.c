/* to_real_vec.c - to_real for CPUs, where it is a copy; threads over rows. */
#include "ops/rows.h"
#include "ops/to_real/to_real.h"

void KR_VEC(to_real_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows;
#pragma omp parallel for num_threads(rows_threads(c, rows * D)) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        memcpy(row_of(&c->out[TO_REAL_Y], r, D), row_at(&c->in[TO_REAL_X], r), (size_t)D * sizeof(float));
}

void KR_VEC(to_real_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows;
    const kr_tensor *dx = &c->din[TO_REAL_X], *dy = &c->dout[TO_REAL_Y];
    if (!dx->data) return;
#pragma omp parallel for num_threads(rows_threads(c, rows * D)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        if (dy->data) row_give(row_at(dx, r), row_of(dy, r, D), c->acc[TO_REAL_X], D);
        else if (!c->acc[TO_REAL_X]) memset(row_at(dx, r), 0, (size_t)D * sizeof(float));
    }
}
