/* binary_vec.c - binary for CPUs: tiles of a row. */
#include "ops/binary/binary.h"
#include "ops/rows.h"

void KR_VEC(binary_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_attr *)c->attr)->kind;
    const kr_tensor *ta = &c->in[BINARY_A], *tb = &c->in[BINARY_B];
    rows_tiles tiles = rows_cut(c->rows, D, ta->pitch == D && tb->pitch == D);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *a = row_at(ta, t.row) + t.col, *b = row_at(tb, t.row) + t.col;
        float *y = row_of(&c->out[BINARY_Y], t.row, D) + t.col;
        for (int64_t i = 0; i < t.n; i += KR_VL) {
            vf u = v_get(a + i, t.n - i), v = v_get(b + i, t.n - i);
            v_put(y + i, kind == KR_BINARY_ADD ? u + v : kind == KR_BINARY_MUL ? u * v : u - v, t.n - i);
        }
    }
}

void KR_VEC(binary_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const binary_attr *)c->attr)->kind;
    const kr_tensor *ta = &c->in[BINARY_A], *tb = &c->in[BINARY_B], *tda = &c->din[BINARY_A], *tdb = &c->din[BINARY_B];
    bool dense = ta->pitch == D && tb->pitch == D && (!tda->data || tda->pitch == D) && (!tdb->data || tdb->pitch == D);
    rows_tiles tiles = rows_cut(c->rows, D, dense);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *dy = row_of(&c->dout[BINARY_Y], t.row, D) + t.col;
        if (tda->data) {
            const float *b = row_at(tb, t.row) + t.col;
            float *da = row_at(tda, t.row) + t.col;
            for (int64_t i = 0; i < t.n; i += KR_VL) {
                vf g = v_get(dy + i, t.n - i);
                v_give(da + i, kind == KR_BINARY_MUL ? g * v_get(b + i, t.n - i) : g, c->acc[BINARY_A], t.n - i);
            }
        }
        if (tdb->data) {
            const float *a = row_at(ta, t.row) + t.col;
            float *db = row_at(tdb, t.row) + t.col;
            for (int64_t i = 0; i < t.n; i += KR_VL) {
                vf g = v_get(dy + i, t.n - i);
                v_give(db + i, kind == KR_BINARY_MUL ? g * v_get(a + i, t.n - i) : kind == KR_BINARY_SUB ? -g : g,
                       c->acc[BINARY_B], t.n - i);
            }
        }
    }
}
