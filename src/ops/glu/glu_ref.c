/* glu_ref.c - the definition of glu. */
#include "ops/glu/glu.h"
#include "ops/ref.h"

/* f(g), and its slope. */
static real value(int64_t kind, real g) {
    switch (kind) {
    case KR_GLU_GELU: return ref_gelu(g);
    case KR_GLU_GELU_TANH: return ref_gelu_tanh(g);
    case KR_GLU_RELU: return g > 0 ? g : 0;
    case KR_GLU_SIGMOID: return ref_sigmoid(g);
    default: return g * ref_sigmoid(g);
    }
}
static real slope(int64_t kind, real g) {
    real s = ref_sigmoid(g);
    switch (kind) {
    case KR_GLU_GELU: return ref_gelu_slope(g);
    case KR_GLU_GELU_TANH: return ref_gelu_tanh_slope(g);
    case KR_GLU_RELU: return g > 0;
    case KR_GLU_SIGMOID: return s * (1 - s);
    default: return s * (1 + g * (1 - s));
    }
}

void REF(glu_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const glu_attr *)c->attr)->kind;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[GLU_X].data + r * c->in[GLU_X].pitch;
        const real *g = (const real *)c->in[GLU_GATE].data + r * c->in[GLU_GATE].pitch;
        real *y = (real *)c->out[GLU_Y].data + r * D;
        for (int64_t i = 0; i < D; i++) y[i] = x[i] * value(kind, g[i]);
    }
}

void REF(glu_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), kind = ((const glu_attr *)c->attr)->kind;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[GLU_X].data + r * c->in[GLU_X].pitch;
        const real *g = (const real *)c->in[GLU_GATE].data + r * c->in[GLU_GATE].pitch;
        const real *dy = (const real *)c->dout[GLU_Y].data + r * D;
        for (int p = 0; p < 2; p++) {
            real *d = c->din[p].data;
            if (!d) continue;
            d += r * c->din[p].pitch;
            for (int64_t i = 0; i < D; i++) d[i] += dy[i] * (p == GLU_X ? value(kind, g[i]) : x[i] * slope(kind, g[i]));
        }
    }
}
