/* binary_row_vec.c - binary_row for CPUs: lanes over D, threads over rows. */
#include "ops/binary_row/binary_row.h"
#include "ops/rows.h"

void KR_VEC(binary_row_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), rows = c->rows, kind = ((const binary_row_attr *)c->attr)->kind;
    const float *b = c->in[BINARY_ROW_B].data;
#pragma omp parallel for num_threads(rows_threads(c, rows * D)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *a = row_at(&c->in[BINARY_ROW_A], r);
        float *y = row_of(&c->out[BINARY_ROW_Y], r, D);
        for (int64_t i = 0; i < D; i += KR_VL) {
            vf u = v_get(a + i, D - i), v = v_get(b + i, D - i);
            v_put(y + i, kind == KR_BINARY_ROW_ADD ? u + v : kind == KR_BINARY_ROW_MUL ? u * v : u - v, D - i);
        }
    }
}

static void row_bwd(const kr_call *c, int64_t r, float *db) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_row_attr *)c->attr)->kind;
    const float *dy = row_of(&c->dout[BINARY_ROW_Y], r, D), *a = row_at(&c->in[BINARY_ROW_A], r);
    const float *b = c->in[BINARY_ROW_B].data;
    float *da = row_at(&c->din[BINARY_ROW_A], r);
    for (int64_t i = 0; i < D && da; i += KR_VL) {
        vf g = v_get(dy + i, D - i);
        v_give(da + i, kind == KR_BINARY_ROW_MUL ? g * v_get(b + i, D - i) : g, c->acc[BINARY_ROW_A], D - i);
    }
    for (int64_t i = 0; i < D && db; i += KR_VL) {
        vf g = v_get(dy + i, D - i);
        v_give(db + i, kind == KR_BINARY_ROW_MUL ? g * v_get(a + i, D - i) : kind == KR_BINARY_ROW_SUB ? -g : g, true, D - i);
    }
}

void KR_VEC(binary_row_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    float *db = c->din[BINARY_ROW_B].data, *parts = db ? c->scratch : NULL;
    rows_each(c, parts, D, row_bwd);
    rows_reduce(c, db, c->acc[BINARY_ROW_B], parts, D, D);
}
