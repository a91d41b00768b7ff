/* unary_vec.c - unary for CPUs: one loop per function over tiles of a row. */
#include "ops/rows.h"
#include "ops/unary/unary.h"

#define ALWAYS static inline __attribute__((always_inline))

/* erf to 1.2e-7 absolute: x P(x^2) / Q(x^2) on [-4, 4], where it is 1 to the last bit of a float. */
ALWAYS vf v_erf(vf x) {
    x = v_min(v_max(x, v_set(-4)), v_set(4));
    vf s = x * x;
    vf p = s * -2.72614225801306e-10f + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    vf q = s * -1.45660718464996e-05f + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return x * p / q;
}
/* gelu_tanh is x sigmoid(2u), as (1 + tanh u) / 2 = sigmoid(2u). */
ALWAYS vf gelu_tanh_gate(vf x) { return v_sigmoid(x * (1.59576912160573f + 0.0713548162726009f * (x * x))); }
ALWAYS vf gelu_gate(vf x) { return 0.5f + 0.5f * v_erf(x * 0.707106781186547524f); }

ALWAYS vf value(const int kind, vf x, float alpha) {
    switch (kind) {
    case KR_UNARY_SILU: return v_silu(x);
    case KR_UNARY_GELU: return x * gelu_gate(x);
    case KR_UNARY_GELU_TANH: return x * gelu_tanh_gate(x);
    case KR_UNARY_RELU: return v_max(x, (vf){0});
    case KR_UNARY_SIGMOID: return v_sigmoid(x);
    case KR_UNARY_TANH: return v_tanh(x);
    case KR_UNARY_SOFTPLUS: return v_softplus(x);
    case KR_UNARY_EXP: return v_exp(x);
    case KR_UNARY_NEG_EXP: return -v_exp(x);
    case KR_UNARY_SCALE: return x * alpha;
    default: return x;
    }
}

ALWAYS vf slope(const int kind, vf x, float alpha) {
    vf s;
    switch (kind) {
    case KR_UNARY_SILU: s = v_sigmoid(x); return s + x * (s * (1 - s));
    case KR_UNARY_GELU: return gelu_gate(x) + x * (0.398942280401432678f * v_exp(x * x * -0.5f));
    case KR_UNARY_GELU_TANH:
        s = gelu_tanh_gate(x);
        return s + x * (s * (1 - s)) * (1.59576912160573f + 0.214064448817803f * (x * x));
    case KR_UNARY_RELU: return v_select(x > 0, v_set(1), (vf){0});
    case KR_UNARY_SIGMOID: s = v_sigmoid(x); return s * (1 - s);
    case KR_UNARY_TANH: s = v_sigmoid(2 * x); return 4 * (s * (1 - s)); /* 1 - tanh^2, without the difference */
    case KR_UNARY_SOFTPLUS: return v_select(x > 20, v_set(1), v_sigmoid(x));
    case KR_UNARY_EXP: return v_exp(x);
    case KR_UNARY_NEG_EXP: return -v_exp(x);
    case KR_UNARY_SCALE: return v_set(alpha);
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
