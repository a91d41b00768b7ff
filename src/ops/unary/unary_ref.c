/* unary_ref.c - the definition of unary. */
#include "ops/ref.h"
#include "ops/unary/unary.h"

static real value(int64_t kind, real x, real alpha) {
    switch (kind) {
    case KR_UNARY_SILU: return x * ref_sigmoid(x);
    case KR_UNARY_GELU: return ref_gelu(x);
    case KR_UNARY_GELU_TANH: return ref_gelu_tanh(x);
    case KR_UNARY_RELU: return x > 0 ? x : 0;
    case KR_UNARY_SIGMOID: return ref_sigmoid(x);
    case KR_UNARY_TANH: return tanh(x);
    case KR_UNARY_SOFTPLUS: return ref_softplus(x);
    case KR_UNARY_EXP: return exp(x);
    case KR_UNARY_NEG_EXP: return -exp(x);
    case KR_UNARY_SCALE: return alpha * x;
    case KR_UNARY_RECIP: return 1 / (x + alpha);
    default: return x;
    }
}

static real slope(int64_t kind, real x, real alpha) {
    real s = ref_sigmoid(x);
    switch (kind) {
    case KR_UNARY_SILU: return s * (1 + x * (1 - s));
    case KR_UNARY_GELU: return ref_gelu_slope(x);
    case KR_UNARY_GELU_TANH: return ref_gelu_tanh_slope(x);
    case KR_UNARY_RELU: return x > 0;
    case KR_UNARY_SIGMOID: return s * (1 - s);
    case KR_UNARY_TANH: return 1 - tanh(x) * tanh(x);
    case KR_UNARY_SOFTPLUS: return x > 20 ? 1 : s;
    case KR_UNARY_EXP: return exp(x);
    case KR_UNARY_NEG_EXP: return -exp(x);
    case KR_UNARY_SCALE: return alpha;
    case KR_UNARY_RECIP: return -1 / ((x + alpha) * (x + alpha));
    default: return 1;
    }
}

void REF(unary_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const unary_attr *a = c->attr;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[UNARY_X].data + r * c->in[UNARY_X].pitch;
        real *y = (real *)c->out[UNARY_Y].data + r * D;
        for (int64_t i = 0; i < D; i++) y[i] = value(a->kind, x[i], a->alpha);
    }
}

void REF(unary_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const unary_attr *a = c->attr;
    if (!c->din[UNARY_X].data) return;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[UNARY_X].data + r * c->in[UNARY_X].pitch;
        const real *dy = (const real *)c->dout[UNARY_Y].data + r * D;
        real *dx = (real *)c->din[UNARY_X].data + r * c->din[UNARY_X].pitch;
        for (int64_t i = 0; i < D; i++) dx[i] += dy[i] * slope(a->kind, x[i], a->alpha);
    }
}
