/* gated_rmsnorm_vec.c - gated_rmsnorm for CPUs: lanes over a group, threads over rows.
 *
 * The exponential is what costs: forward parks x silu(z) in y between its two passes, and
 * backward parks sigmoid(z) in a row of scratch, so each is computed once. */
#include "ops/gated_rmsnorm/gated_rmsnorm.h"
#include "ops/rows.h"

static void group_fwd(const gated_rmsnorm_attr *a, int64_t n, const float *x, const float *z, const float *w, float *y) {
    bool gate_first = !a->norm_before_gate;
    vf squares = {0};
    for (int64_t i = 0; i < n; i += KR_VL) {
        vf v = v_get(x + i, n - i), gated = v * v_silu(v_get(z + i, n - i));
        v_put(y + i, gated, n - i);
        if (gate_first) v = gated;
        squares += v * v;
    }
    float inv = row_inverse_rms(squares, n, a->eps);
    for (int64_t i = 0; i < n; i += KR_VL) {
        vf v = v_get(y + i, n - i) * inv;
        v_put(y + i, w ? v * v_get(w + i, n - i) : v, n - i);
    }
}

static void row_fwd(void *arg, int64_t r, int who) {
    const kr_call *c = arg;
    int64_t D = KR_SIZE(c, 'D'), group = gated_rmsnorm_group(c);
    const float *w = c->in[GATED_RMSNORM_W].data, *x = row_at(&c->in[GATED_RMSNORM_X], r), *z = row_at(&c->in[GATED_RMSNORM_Z], r);
    float *y = row_of(&c->out[GATED_RMSNORM_Y], r, D);
    (void)who;
    for (int64_t i = 0; i < D; i += group) group_fwd(c->attr, group, x + i, z + i, w ? w + i : NULL, y + i);
}

void KR_VEC(gated_rmsnorm_fwd)(const kr_call *c) { rows_forward(c, KR_SIZE(c, 'D'), row_fwd); }

/* One group of one row; NULL where no gradient is wanted.  sig: room for n floats. */
typedef struct group_ptrs {
    const float *x, *z, *w, *dy;
    float *dx, *dz, *dw, *sig;
    bool add_x, add_z;
} group_ptrs;

/* u is what is normalised and g the gradient of u / rms:  du = inv g - u inv^3 mean(g u). */
static inline __attribute__((always_inline)) void group_bwd(const group_ptrs *p, int64_t n, double eps, const bool gate_first) {
    vf squares = {0}, dots = {0};
    for (int64_t i = 0; i < n; i += KR_VL) {
        vf z = v_get(p->z + i, n - i), sig = v_sigmoid(z), v = v_get(p->x + i, n - i), g = v_get(p->dy + i, n - i);
        v_put(p->sig + i, sig, n - i);
        if (p->w) g *= v_get(p->w + i, n - i);
        vf gated = v * z * sig;
        squares += gate_first ? gated * gated : v * v;
        dots += g * gated;
    }
    float inv = row_inverse_rms(squares, n, eps), k = inv * inv * inv * v_sum(dots) / (float)n;
    for (int64_t i = 0; i < n; i += KR_VL) {
        vf z = v_get(p->z + i, n - i), sig = v_get(p->sig + i, n - i), s = z * sig, slope = sig + s * (1 - sig);
        vf v = v_get(p->x + i, n - i), g = v_get(p->dy + i, n - i);
        if (p->dw) v_give(p->dw + i, g * v * s * inv, true, n - i);
        if (p->w) g *= v_get(p->w + i, n - i);
        vf dx, dz;
        if (gate_first) {
            vf du = g * inv - v * s * k;
            dx = du * s, dz = du * v * slope;
        } else {
            dx = g * s * inv - v * k, dz = g * v * inv * slope;
        }
        if (p->dx) v_give(p->dx + i, dx, p->add_x, n - i);
        if (p->dz) v_give(p->dz + i, dz, p->add_z, n - i);
    }
}

static void row_bwd(const kr_call *c, int64_t r, float *part) { /* [dw, sigmoid(z)][D] */
    int64_t D = KR_SIZE(c, 'D'), group = gated_rmsnorm_group(c);
    float *dw = c->din[GATED_RMSNORM_W].data ? part : NULL, *sig = part + D;
    const gated_rmsnorm_attr *a = c->attr;
    const float *w = c->in[GATED_RMSNORM_W].data;
    float *dx = row_at(&c->din[GATED_RMSNORM_X], r), *dz = row_at(&c->din[GATED_RMSNORM_Z], r);
    for (int64_t i = 0; i < D; i += group) {
        group_ptrs p = {.x = row_at(&c->in[GATED_RMSNORM_X], r) + i, .z = row_at(&c->in[GATED_RMSNORM_Z], r) + i,
                        .w = w ? w + i : NULL, .dy = row_of(&c->dout[GATED_RMSNORM_Y], r, D) + i,
                        .dx = dx ? dx + i : NULL, .dz = dz ? dz + i : NULL, .dw = dw ? dw + i : NULL, .sig = sig + i,
                        .add_x = c->acc[GATED_RMSNORM_X], .add_z = c->acc[GATED_RMSNORM_Z]};
        if (a->norm_before_gate) group_bwd(&p, group, a->eps, false);
        else group_bwd(&p, group, a->eps, true);
    }
}

void KR_VEC(gated_rmsnorm_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    rows_each(c, c->scratch, 2 * D, row_bwd);
    rows_reduce(c, c->din[GATED_RMSNORM_W].data, c->acc[GATED_RMSNORM_W], c->scratch, 2 * D, D);
}
