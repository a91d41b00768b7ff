/* gather_vec.c - gather for CPUs.
 *
 * Backward: a thread owns columns of one sequence and walks the indices in their order, so
 * repeats are added in that order whatever the number of threads; by `back` each row is a thread's own. */
#include "ops/gather/gather.h"
#include "ops/rows.h"

void KR_VEC(gather_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * J;
    const int32_t *idx = c->in[GATHER_IDX].data;
#pragma omp parallel for num_threads(rows_threads(c, n * D)) schedule(static)
    for (int64_t r = 0; r < n; r++) {
        int64_t s = r / J, l = idx[r % J];
        float *y = row_of(&c->out[GATHER_Y], r, D);
        if (l >= 0 && l < L) memcpy(y, row_at(&c->in[GATHER_X], s * L + l), (size_t)D * sizeof *y);
        else memset(y, 0, (size_t)D * sizeof *y);
    }
}

/* Columns [from, to) of sequence s. */
static void columns_bwd(const kr_call *c, int64_t s, int64_t from, int64_t to) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
    const int32_t *idx = c->in[GATHER_IDX].data;
    const kr_tensor *tdx = &c->din[GATHER_X];
    for (int64_t l = 0; l < L && !c->acc[GATHER_X]; l++)
        memset(row_at(tdx, s * L + l) + from, 0, (size_t)(to - from) * sizeof(float));
    for (int64_t j = 0; j < J; j++) {
        if (idx[j] < 0 || idx[j] >= L) continue;
        float *dx = row_at(tdx, s * L + idx[j]);
        const float *dy = row_of(&c->dout[GATHER_Y], s * J + j, D);
        for (int64_t i = from; i < to; i += KR_VL) v_give(dx + i, v_get(dy + i, to - i), true, to - i);
    }
}

static void rows_bwd(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * L;
    const int32_t *back = c->in[GATHER_BACK].data;
#pragma omp parallel for num_threads(rows_threads(c, n * D)) schedule(static)
    for (int64_t r = 0; r < n; r++) {
        int64_t s = r / L, j = back[r % L];
        float *dx = row_at(&c->din[GATHER_X], r);
        if (j >= 0 && j < J) row_give(dx, row_of(&c->dout[GATHER_Y], s * J + j, D), c->acc[GATHER_X], D);
        else if (!c->acc[GATHER_X]) memset(dx, 0, (size_t)D * sizeof *dx);
    }
}

void KR_VEC(gather_bwd)(const kr_call *c) {
    enum { WIDTH = 256 };
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
    int64_t per_row = (D + WIDTH - 1) / WIDTH;
    if (!c->din[GATHER_X].data) return;
    if (c->in[GATHER_BACK].data) {
        rows_bwd(c);
        return;
    }
#pragma omp parallel for num_threads(rows_threads(c, S * (L + J) * D)) schedule(static)
    for (int64_t k = 0; k < S * per_row; k++) {
        int64_t from = k % per_row * WIDTH;
        columns_bwd(c, k / per_row, from, D < from + WIDTH ? D : from + WIDTH);
    }
}
