/* suppress_ref.c - the definition of suppress. */
#include "ops/ref.h"
#include "ops/suppress/suppress.h"

#define ROW(t, r) ((real *)(t)->data + (r) * (t)->pitch)
#define OF(slot, h) (((const real *)c->in[slot].data)[h])

/* w, and its slope in the raw step size and in A. */
typedef struct weight { real w, ddt, dA; } weight;
static weight weight_of(const kr_call *c, int64_t r, int64_t h) {
    const suppress_attr *attr = c->attr;
    real raw = ROW(&c->in[SUPPRESS_DT], r)[h] + (c->in[SUPPRESS_DT_BIAS].data ? OF(SUPPRESS_DT_BIAS, h) : 0), dt = ref_softplus(raw);
    bool inside = dt >= attr->dt_min && dt <= attr->dt_max;
    dt = dt < attr->dt_min ? (real)attr->dt_min : dt > attr->dt_max ? (real)attr->dt_max : dt;
    real A = OF(SUPPRESS_A, h), a = exp(dt * A);
    if (a >= (real)attr->alpha) return (weight){1, 0, 0};
    return (weight){a, inside ? a * A * (raw > 20 ? 1 : ref_sigmoid(raw)) : 0, a * dt};
}

void REF(suppress_fwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P');
    for (int64_t r = 0; r < KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); r++)
        for (int64_t h = 0; h < H; h++) {
            real w = weight_of(c, r, h).w, D = c->in[SUPPRESS_D].data ? OF(SUPPRESS_D, h) : 0;
            for (int64_t i = h * P; i < (h + 1) * P; i++)
                ((real *)c->out[SUPPRESS_O].data)[r * H * P + i] = w * ROW(&c->in[SUPPRESS_Y], r)[i] + D * ROW(&c->in[SUPPRESS_X], r)[i];
        }
}

void REF(suppress_bwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P');
    const kr_tensor *din = c->din;
    for (int64_t r = 0; r < KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); r++)
        for (int64_t h = 0; h < H; h++) {
            weight w = weight_of(c, r, h);
            real dw = 0, dD = 0, D = c->in[SUPPRESS_D].data ? OF(SUPPRESS_D, h) : 0;
            for (int64_t i = h * P; i < (h + 1) * P; i++) {
                real d = ((const real *)c->dout[SUPPRESS_O].data)[r * H * P + i];
                dw += d * ROW(&c->in[SUPPRESS_Y], r)[i];
                dD += d * ROW(&c->in[SUPPRESS_X], r)[i];
                if (din[SUPPRESS_Y].data) ROW(&din[SUPPRESS_Y], r)[i] += d * w.w;
                if (din[SUPPRESS_X].data) ROW(&din[SUPPRESS_X], r)[i] += d * D;
            }
            if (din[SUPPRESS_DT].data) ROW(&din[SUPPRESS_DT], r)[h] += dw * w.ddt;
            if (din[SUPPRESS_A].data) ((real *)din[SUPPRESS_A].data)[h] += dw * w.dA;
            if (din[SUPPRESS_D].data) ((real *)din[SUPPRESS_D].data)[h] += dD;
            if (din[SUPPRESS_DT_BIAS].data) ((real *)din[SUPPRESS_DT_BIAS].data)[h] += dw * w.ddt;
        }
}
