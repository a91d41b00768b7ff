/* slice_steps_vec.c - slice_steps for CPUs: copies, threads over rows. */
#include "ops/rows.h"
#include "ops/slice_steps/slice_steps.h"

void KR_VEC(slice_steps_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), from = slice_steps_from(c), n = KR_SIZE(c, 'S') * J;
#pragma omp parallel for num_threads(rows_threads(c, n * D)) schedule(static)
    for (int64_t r = 0; r < n; r++) {
        const float *x = row_at(&c->in[SLICE_STEPS_X], r / J * L + from + r % J);
        memcpy(row_of(&c->out[SLICE_STEPS_Y], r, D), x, (size_t)D * sizeof *x);
    }
}

void KR_VEC(slice_steps_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), from = slice_steps_from(c), n = KR_SIZE(c, 'S') * L;
    if (!c->din[SLICE_STEPS_X].data) return;
#pragma omp parallel for num_threads(rows_threads(c, n * D)) schedule(static)
    for (int64_t r = 0; r < n; r++) {
        int64_t s = r / L, j = r % L - from;
        float *dx = row_at(&c->din[SLICE_STEPS_X], r);
        if (j >= 0 && j < J) row_give(dx, row_of(&c->dout[SLICE_STEPS_Y], s * J + j, D), c->acc[SLICE_STEPS_X], D);
        else if (!c->acc[SLICE_STEPS_X]) memset(dx, 0, (size_t)D * sizeof *dx);
    }
}
