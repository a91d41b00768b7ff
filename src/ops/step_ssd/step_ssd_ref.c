/* step_ssd_ref.c - the definition of step_ssd. */
#include "ops/ref.h"
#include "ops/step_ssd/step_ssd.h"

static const real *at(const kr_call *c, int slot, int64_t s) { return (const real *)c->in[slot].data + s * c->in[slot].pitch; }

void REF(step_ssd_fwd)(const kr_call *c) {
    const step_ssd_attr *attr = c->attr;
    int64_t S = KR_SIZE(c, 'S'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N'), R = H / KR_SIZE(c, 'G');
    const real *A = c->in[STEP_SSD_A].data, *D = c->in[STEP_SSD_D].data, *bias = c->in[STEP_SSD_DT_BIAS].data, *w = c->in[STEP_SSD_W].data;
    real *q = c->out[STEP_SSD_Q].data, *out = c->out[STEP_SSD_Y].data;
    for (int64_t s = 0; s < S; s++)
        for (int64_t h = 0; h < H; h++) {
            real dt = at(c, STEP_SSD_DT, s)[h] + (bias ? bias[h] : 0), squares = 0;
            if (attr->dt_softplus) dt = ref_softplus(dt);
            dt = dt < attr->dt_min ? attr->dt_min : dt > attr->dt_max ? attr->dt_max : dt;
            const real decay = exp(dt * A[h]), *B = at(c, STEP_SSD_B, s) + h / R * N, *C = at(c, STEP_SSD_C, s) + h / R * N;
            for (int64_t p = 0; p < P; p++) {
                int64_t i = (s * H + h) * P + p;
                const real *h0 = (const real *)c->in[STEP_SSD_H0].data + i * N;
                real *h1 = c->out[STEP_SSD_H].data, x = at(c, STEP_SSD_X, s)[h * P + p], z = at(c, STEP_SSD_Z, s)[h * P + p], y = D ? D[h] * x : 0;
                for (int64_t n = 0; n < N; n++) {
                    real v = decay * h0[n] + dt * x * B[n];
                    if (h1) h1[i * N + n] = v;
                    y += v * C[n];
                }
                y *= z * ref_sigmoid(z);
                out[i] = y * (w ? w[h * P + p] : 1);
                squares += y * y;
            }
            if (q) q[s * H + h] = squares;
        }
}
