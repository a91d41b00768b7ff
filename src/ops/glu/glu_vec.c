/* glu_vec.c - glu for CPUs: one loop per function over tiles of a row. */
#include "ops/glu/glu.h"
#include "ops/rows.h"

#define ALWAYS static inline __attribute__((always_inline))

/* f(g) in *y and its slope in *dy (where that is wanted the compiler keeps it). */
ALWAYS void both(const int kind, vf g, vf *y, vf *dy) {
    vf s;
    switch (kind) {
    case KR_GLU_GELU:
        s = v_gelu_gate(g);
        *y = g * s, *dy = s + g * (0.398942280401432678f * v_exp(g * g * -0.5f));
        break;
    case KR_GLU_GELU_TANH:
        s = v_gelu_tanh_gate(g);
        *y = g * s, *dy = s + g * (s * (1 - s)) * (1.59576912160573f + 0.214064448817803f * (g * g));
        break;
    case KR_GLU_RELU: *y = v_max(g, (vf){0}), *dy = v_select(g > 0, v_set(1), (vf){0}); break;
    case KR_GLU_SIGMOID:
        s = v_sigmoid(g);
        *y = s, *dy = s * (1 - s);
        break;
    default:
        s = v_sigmoid(g);
        *y = g * s, *dy = s + g * (s * (1 - s));
    }
}

ALWAYS void run_fwd(const int kind, const float *x, const float *g, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += KR_VL) {
        vf f, df;
        both(kind, v_get(g + i, n - i), &f, &df);
        v_put(y + i, v_get(x + i, n - i) * f, n - i);
    }
}
ALWAYS void run_bwd(const int kind, const float *x, const float *g, const float *dy, float *dx, float *dg, const bool *add, int64_t n) {
    for (int64_t i = 0; i < n; i += KR_VL) {
        vf f, df, d = v_get(dy + i, n - i), v = v_get(x + i, n - i);
        both(kind, v_get(g + i, n - i), &f, &df);
        if (dx) v_give(dx + i, d * f, add[GLU_X], n - i);
        if (dg) v_give(dg + i, d * v * df, add[GLU_GATE], n - i);
    }
}

void KR_VEC(glu_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const glu_attr *)c->attr)->kind;
    const kr_tensor *tx = &c->in[GLU_X], *tg = &c->in[GLU_GATE];
    rows_tiles tiles = rows_cut(c->rows, D, tx->pitch == D && tg->pitch == D);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *x = row_at(tx, t.row) + t.col, *g = row_at(tg, t.row) + t.col;
        float *y = row_of(&c->out[GLU_Y], t.row, D) + t.col;
        switch (kind) {
#define X(name, number) case KR_GLU_##name: run_fwd(KR_GLU_##name, x, g, y, t.n); break;
            KR_GLU_MAP(X)
#undef X
        }
    }
}

void KR_VEC(glu_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const glu_attr *)c->attr)->kind;
    const kr_tensor *tx = &c->in[GLU_X], *tg = &c->in[GLU_GATE], *tdx = &c->din[GLU_X], *tdg = &c->din[GLU_GATE];
    bool dense = tx->pitch == D && tg->pitch == D && (!tdx->data || tdx->pitch == D) && (!tdg->data || tdg->pitch == D);
    rows_tiles tiles = rows_cut(c->rows, D, dense);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *x = row_at(tx, t.row) + t.col, *g = row_at(tg, t.row) + t.col, *dy = row_of(&c->dout[GLU_Y], t.row, D) + t.col;
        float *dx = tdx->data ? row_at(tdx, t.row) + t.col : NULL, *dg = tdg->data ? row_at(tdg, t.row) + t.col : NULL;
        switch (kind) {
#define X(name, number) case KR_GLU_##name: run_bwd(KR_GLU_##name, x, g, dy, dx, dg, c->acc, t.n); break;
            KR_GLU_MAP(X)
#undef X
        }
    }
}
