/* mse_vec.c - mse for CPUs: squares in float over at most ROWS_TILE elements of a row, sums of
 * those in double over blocks of rows, and over blocks in order. */
#include "ops/mse/mse.h"
#include "ops/rows.h"

static double row_sum(const float *x, const float *t, int64_t D) {
    double sum = 0;
    for (int64_t b = 0; b < D; b += ROWS_TILE) {
        vf acc = {0};
        for (int64_t i = b; i < D && i < b + ROWS_TILE; i += KR_VL) {
            vf d = v_get(x + i, D - i) - v_get(t + i, D - i);
            acc += d * d;
        }
        sum += (double)v_sum(acc);
    }
    return sum;
}

void KR_VEC(mse_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows, step = rows_step(rows), n_blocks = rows_blocks(rows);
    double *part = c->scratch, sum = 0;
#pragma omp parallel for num_threads(rows_threads(c, rows * D)) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        double mine = 0;
        for (int64_t r = b * step; r < rows && r < (b + 1) * step; r++)
            mine += row_sum(row_at(&c->in[MSE_X], r), row_at(&c->in[MSE_TARGET], r), D);
        part[b] = mine;
    }
    for (int64_t b = 0; b < n_blocks; b++) sum += part[b];
    *(float *)c->out[MSE_LOSS].data = rows * D > 0 ? (float)(sum / (double)(rows * D)) : 0;
}

void KR_VEC(mse_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const kr_tensor *tx = &c->in[MSE_X], *tt = &c->in[MSE_TARGET], *tdx = &c->din[MSE_X], *tdt = &c->din[MSE_TARGET];
    bool dense = tx->pitch == D && tt->pitch == D && (!tdx->data || tdx->pitch == D) && (!tdt->data || tdt->pitch == D);
    float k = 2 * *(const float *)c->dout[MSE_LOSS].data / (float)(c->rows * D);
    rows_tiles tiles = rows_cut(c->rows, D, dense);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t j = 0; j < tiles.n; j++) {
        rows_tile t = rows_get(&tiles, j);
        const float *x = row_at(tx, t.row) + t.col, *target = row_at(tt, t.row) + t.col;
        float *dx = row_at(tdx, t.row), *dt = row_at(tdt, t.row);
        for (int64_t i = 0; i < t.n; i += KR_VL) {
            vf g = (v_get(x + i, t.n - i) - v_get(target + i, t.n - i)) * k;
            if (dx) v_give(dx + t.col + i, g, c->acc[MSE_X], t.n - i);
            if (dt) v_give(dt + t.col + i, -g, c->acc[MSE_TARGET], t.n - i);
        }
    }
}
