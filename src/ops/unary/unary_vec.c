/* unary_vec.c - unary for CPUs: one loop per function over tiles of a row. */
#include "ops/rows.h"
#include "ops/unary/unary.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS vf value(const int kind, vf x, float alpha) {
    switch (kind) {
    case KR_UNARY_SILU: return v_silu(x);
    case KR_UNARY_GELU: return x * v_gelu_gate(x);
    case KR_UNARY_GELU_TANH: return x * v_gelu_tanh_gate(x);
    case KR_UNARY_RELU: return v_max(x, (vf){0});
    case KR_UNARY_SIGMOID: return v_sigmoid(x);
    case KR_UNARY_TANH: return v_tanh(x);
    case KR_UNARY_SOFTPLUS: return v_softplus(x);
    case KR_UNARY_EXP: return v_exp(x);
    case KR_UNARY_NEG_EXP: return -v_exp(x);
    case KR_UNARY_SCALE: return x * alpha;
    case KR_UNARY_RECIP: return 1 / (x + alpha);
    default: return x;
    }
}

ALWAYS vf slope(const int kind, vf x, float alpha) {
    vf s;
    switch (kind) {
    case KR_UNARY_SILU: s = v_sigmoid(x); return s + x * (s * (1 - s));
    case KR_UNARY_GELU: return v_gelu_gate(x) + x * (0.398942280401432678f * v_exp(x * x * -0.5f));
    case KR_UNARY_GELU_TANH:
        s = v_gelu_tanh_gate(x);
        return s + x * (s * (1 - s)) * (1.59576912160573f + 0.214064448817803f * (x * x));
    case KR_UNARY_RELU: return v_select(x > 0, v_set(1), (vf){0});
    case KR_UNARY_SIGMOID: s = v_sigmoid(x); return s * (1 - s);
    case KR_UNARY_TANH: s = v_sigmoid(2 * x); return 4 * (s * (1 - s)); /* 1 - tanh^2, without the difference */
    case KR_UNARY_SOFTPLUS: return v_select(x > 20, v_set(1), v_sigmoid(x));
    case KR_UNARY_EXP: return v_exp(x);
    case KR_UNARY_NEG_EXP: return -v_exp(x);
    case KR_UNARY_SCALE: return v_set(alpha);
    case KR_UNARY_RECIP: return -1 / ((x + alpha) * (x + alpha));
    default: return v_set(1);
    }
}

ALWAYS void run_fwd(const int kind, const float *x, float *y, int64_t n, float alpha) {
    for (int64_t i = 0; i < n; i += KR_VL) v_put(y + i, value(kind, v_get(x + i, n - i), alpha), n - i);
}
ALWAYS void run_bwd(const int kind, const float *x, const float *dy, float *dx, bool add, int64_t n, float alpha) {
    for (int64_t i = 0; i < n; i += KR_VL)
        v_give(dx + i, v_get(dy + i, n - i) * slope(kind, v_get(x + i, n - i), alpha), add, n - i);
}

void KR_VEC(unary_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const unary_attr *a = c->attr;
    const kr_tensor *tx = &c->in[UNARY_X];
    rows_tiles tiles = rows_cut(c->rows, D, tx->pitch == D);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *x = row_at(tx, t.row) + t.col;
        float *y = row_of(&c->out[UNARY_Y], t.row, D) + t.col;
        switch (a->kind) {
#define X(name, number) case KR_UNARY_##name: run_fwd(KR_UNARY_##name, x, y, t.n, (float)a->alpha); break;
            KR_UNARY_MAP(X)
#undef X
        }
    }
}

void KR_VEC(unary_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const unary_attr *a = c->attr;
    const kr_tensor *tx = &c->in[UNARY_X], *tdx = &c->din[UNARY_X];
    if (!tdx->data) return;
    rows_tiles tiles = rows_cut(c->rows, D, tx->pitch == D && tdx->pitch == D);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *x = row_at(tx, t.row) + t.col, *dy = row_of(&c->dout[UNARY_Y], t.row, D) + t.col;
        float *dx = row_at(tdx, t.row) + t.col;
        bool add = c->acc[UNARY_X];
        switch (a->kind) {
#define X(name, number) case KR_UNARY_##name: run_bwd(KR_UNARY_##name, x, dy, dx, add, t.n, (float)a->alpha); break;
            KR_UNARY_MAP(X)
#undef X
        }
    }
}
