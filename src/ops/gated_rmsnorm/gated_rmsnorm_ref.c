/* gated_rmsnorm_ref.c - the definition of gated_rmsnorm. */
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/ref.h"

static real silu(real z) { return z * ref_sigmoid(z); }
static real silu_slope(real z) { return ref_sigmoid(z) * (1 + z * (1 - ref_sigmoid(z))); }

/* One group of n columns of one row. */
static void group_fwd(const gated_rmsnorm_attr *a, int64_t n, const real *x, const real *z, const real *w, real *y) {
    bool gate_first = !a->norm_before_gate;
    real squares = 0;
    for (int64_t i = 0; i < n; i++) {
        real u = gate_first ? x[i] * silu(z[i]) : x[i];
        squares += u * u;
    }
    real inv = 1 / sqrt(squares / n + a->eps);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * silu(z[i]) * inv * (w ? w[i] : 1);
}

/* u is what is normalised and g the gradient of u / rms:  du = inv g - u inv^3 mean(g u). */
static void group_bwd(const gated_rmsnorm_attr *a, int64_t n, const real *x, const real *z, const real *w, const real *dy,
                      real *dx, real *dz, real *dw) {
    bool gate_first = !a->norm_before_gate;
    real squares = 0, dot = 0;
    for (int64_t i = 0; i < n; i++) {
        real s = silu(z[i]), u = gate_first ? x[i] * s : x[i], g = dy[i] * (w ? w[i] : 1) * (gate_first ? 1 : s);
        squares += u * u;
        dot += g * u;
    }
    real inv = 1 / sqrt(squares / n + a->eps);
    for (int64_t i = 0; i < n; i++) {
        real wi = w ? w[i] : 1, s = silu(z[i]), slope = silu_slope(z[i]);
        real u = gate_first ? x[i] * s : x[i], g = dy[i] * wi * (gate_first ? 1 : s);
        real du = inv * g - u * inv * inv * inv * dot / n;
        if (dx) dx[i] += gate_first ? du * s : du;
        if (dz) dz[i] += gate_first ? du * x[i] * slope : dy[i] * wi * x[i] * inv * slope;
        if (dw) dw[i] += dy[i] * x[i] * s * inv;
    }
}

void REF(gated_rmsnorm_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), group = gated_rmsnorm_group(c);
    const kr_tensor *x = &c->in[GATED_RMSNORM_X], *z = &c->in[GATED_RMSNORM_Z];
    const real *w = c->in[GATED_RMSNORM_W].data;
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < D; i += group)
            group_fwd(c->attr, group, (const real *)x->data + r * x->pitch + i, (const real *)z->data + r * z->pitch + i,
                      w ? w + i : NULL, (real *)c->out[GATED_RMSNORM_Y].data + r * D + i);
}

void REF(gated_rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), group = gated_rmsnorm_group(c);
    const kr_tensor *x = &c->in[GATED_RMSNORM_X], *z = &c->in[GATED_RMSNORM_Z];
    const kr_tensor *dx = &c->din[GATED_RMSNORM_X], *dz = &c->din[GATED_RMSNORM_Z];
    const real *w = c->in[GATED_RMSNORM_W].data;
    real *dw = c->din[GATED_RMSNORM_W].data;
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < D; i += group)
            group_bwd(c->attr, group, (const real *)x->data + r * x->pitch + i, (const real *)z->data + r * z->pitch + i,
                      w ? w + i : NULL, (const real *)c->dout[GATED_RMSNORM_Y].data + r * D + i,
                      dx->data ? (real *)dx->data + r * dx->pitch + i : NULL,
                      dz->data ? (real *)dz->data + r * dz->pitch + i : NULL, dw ? dw + i : NULL);
}
