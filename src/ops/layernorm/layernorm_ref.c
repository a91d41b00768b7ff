/* layernorm_ref.c - the definition of layernorm. */
#include "ops/layernorm/layernorm.h"
#include "ops/ref.h"

static void moments(const kr_call *c, const real *x, real *mean, real *inv) {
    int64_t D = KR_SIZE(c, 'D');
    real sum = 0, squares = 0;
    for (int64_t i = 0; i < D; i++) sum += x[i];
    *mean = sum / D;
    for (int64_t i = 0; i < D; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *inv = 1 / sqrt(squares / D + ((const layernorm_attr *)c->attr)->eps);
}

void REF(layernorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const real *w = c->in[LAYERNORM_W].data, *b = c->in[LAYERNORM_B].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[LAYERNORM_X].data + r * c->in[LAYERNORM_X].pitch;
        real *y = (real *)c->out[LAYERNORM_Y].data + r * D, mean, inv;
        moments(c, x, &mean, &inv);
        for (int64_t i = 0; i < D; i++) y[i] = (x[i] - mean) * inv * (w ? w[i] : 1) + (b ? b[i] : 0);
    }
}

/* With n = (x - mean) inv and g = dy w:  dx = inv (g - mean(g) - n mean(g n)). */
void REF(layernorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const real *w = c->in[LAYERNORM_W].data;
    real *dw = c->din[LAYERNORM_W].data, *db = c->din[LAYERNORM_B].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[LAYERNORM_X].data + r * c->in[LAYERNORM_X].pitch;
        const real *dy = (const real *)c->dout[LAYERNORM_Y].data + r * D;
        real mean, inv, g_sum = 0, gn_sum = 0;
        moments(c, x, &mean, &inv);
        for (int64_t i = 0; i < D; i++) {
            real g = dy[i] * (w ? w[i] : 1), n = (x[i] - mean) * inv;
            g_sum += g;
            gn_sum += g * n;
            if (dw) dw[i] += dy[i] * n;
            if (db) db[i] += dy[i];
        }
        if (!c->din[LAYERNORM_X].data) continue;
        real *dx = (real *)c->din[LAYERNORM_X].data + r * c->din[LAYERNORM_X].pitch;
        for (int64_t i = 0; i < D; i++)
            dx[i] += inv * (dy[i] * (w ? w[i] : 1) - g_sum / D - (x[i] - mean) * inv * gn_sum / D);
    }
}
