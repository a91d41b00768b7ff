/* rotary_bc_ref.c - the definition of rotary_bc. */
#include <stdlib.h>

#include "ops/ref.h"
#include "ops/rotary_bc/rotary_bc.h"

#define ROW(t, r) ((real *)(t)->data + (r) * (t)->pitch)

static real wrapped(real phi) { return phi - 2 * (real)ROTARY_PI * rint(phi / (2 * (real)ROTARY_PI)); }

/* The angle of one head and pair after steps 0..t. */
static real angle_at(const kr_call *c, int64_t s, int64_t h, int64_t j, int64_t t) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), J = KR_SIZE(c, 'J'), from = t;
    while (from > 0 && !rotary_begins(c, s, from)) from--;
    real phi = from == 0 && c->in[ROTARY_PHI0].data ? ((const real *)c->in[ROTARY_PHI0].data)[(s * H + h) * J + j] : 0;
    for (int64_t i = from; i <= t; i++)
        phi = wrapped(phi + (real)ROTARY_PI * tanh(ROW(&c->in[ROTARY_ANGLE], s * L + i)[j]) * ROW(&c->in[ROTARY_DT], s * L + i)[h]);
    return phi;
}

static int64_t first_of(const kr_call *c, int64_t j) { return ((const rotary_bc_attr *)c->attr)->halves ? j : 2 * j; }
static int64_t second_of(const kr_call *c, int64_t j) { return ((const rotary_bc_attr *)c->attr)->halves ? j + KR_SIZE(c, 'N') / 2 : 2 * j + 1; }

void REF(rotary_bc_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), J = KR_SIZE(c, 'J'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t h = 0; h < H; h++) {
            const real *bb = (const real *)c->in[ROTARY_B_BIAS].data + h * N, *cb = (const real *)c->in[ROTARY_C_BIAS].data + h * N;
            for (int64_t t = 0; t < L; t++) {
                int64_t r = s * L + t, at = (r * H + h) * N, g = h / (H / G) * N;
                const real *B = ROW(&c->in[ROTARY_B], r) + g, *C = ROW(&c->in[ROTARY_C], r) + g;
                real *k = c->out[ROTARY_K].data, *q = c->out[ROTARY_Q].data, *kq = c->out[ROTARY_KQ].data, sum = 0;
                for (int64_t n = 0; n < N; n++) {
                    k[at + n] = B[n] + bb[n];
                    if (q) q[at + n] = C[n] + cb[n];
                    sum += (B[n] + bb[n]) * (C[n] + cb[n]); /* a rotation of both changes nothing */
                }
                if (kq) kq[r * H + h] = sum;
                for (int64_t j = 0; j < J; j++) {
                    real phi = angle_at(c, s, h, j, t), x = cos(phi), y = sin(phi);
                    int64_t a = at + first_of(c, j), b = at + second_of(c, j);
                    real ka = k[a], kb = k[b];
                    k[a] = ka * x - kb * y, k[b] = ka * y + kb * x;
                    if (!q) continue;
                    real qa = q[a], qb = q[b];
                    q[a] = qa * x - qb * y, q[b] = qa * y + qb * x;
                }
            }
            for (int64_t j = 0; c->out[ROTARY_PHI].data && j < J; j++) ((real *)c->out[ROTARY_PHI].data)[(s * H + h) * J + j] = angle_at(c, s, h, j, L - 1);
        }
}

/* One head at one step: gradients of B + B_bias and C + C_bias into u and v [N], of the angles into dphi [J]. */
static void step_bwd(const kr_call *c, int64_t s, int64_t h, int64_t t, real *u, real *v, real *dphi) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), J = KR_SIZE(c, 'J'), N = KR_SIZE(c, 'N'), r = s * L + t, at = (r * H + h) * N;
    int64_t g = h / (H / KR_SIZE(c, 'G')) * N;
    const real *dk = c->dout[ROTARY_K].data, *dq = c->dout[ROTARY_Q].data, *dkq = c->dout[ROTARY_KQ].data;
    const real *bb = (const real *)c->in[ROTARY_B_BIAS].data + h * N, *cb = (const real *)c->in[ROTARY_C_BIAS].data + h * N;
    const real *B = ROW(&c->in[ROTARY_B], r) + g, *C = ROW(&c->in[ROTARY_C], r) + g, sum = dkq ? dkq[r * H + h] : 0;
    for (int64_t n = 0; n < N; n++) {
        u[n] = dk ? dk[at + n] : 0;
        v[n] = dq ? dq[at + n] : 0;
    }
    for (int64_t j = 0; j < J; j++) {
        int64_t a = first_of(c, j), b = second_of(c, j);
        real phi = angle_at(c, s, h, j, t), x = cos(phi), y = sin(phi);
        real ka = B[a] + bb[a], kb = B[b] + bb[b], qa = C[a] + cb[a], qb = C[b] + cb[b];
        dphi[j] = u[b] * (ka * x - kb * y) - u[a] * (ka * y + kb * x) + v[b] * (qa * x - qb * y) - v[a] * (qa * y + qb * x);
        real ua = u[a], va = v[a];
        u[a] = ua * x + u[b] * y, u[b] = u[b] * x - ua * y;
        v[a] = va * x + v[b] * y, v[b] = v[b] * x - va * y;
    }
    for (int64_t n = 0; n < N; n++) {
        u[n] += sum * (C[n] + cb[n]);
        v[n] += sum * (B[n] + bb[n]);
    }
}

static void add(const kr_tensor *d, int64_t at, const real *x, int64_t n) {
    for (int64_t i = 0; d->data && i < n; i++) ((real *)d->data)[at + i] += x[i];
}

void REF(rotary_bc_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), J = KR_SIZE(c, 'J'), N = KR_SIZE(c, 'N');
    const kr_tensor *dB = &c->din[ROTARY_B], *dC = &c->din[ROTARY_C], *da = &c->din[ROTARY_ANGLE], *ddt = &c->din[ROTARY_DT];
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t h = 0; h < H; h++) {
            int64_t g = h / (H / KR_SIZE(c, 'G')) * N;
            real u[512], v[512], dphi[256], after[256] = {0}; /* N is at most 512: plan sees to it */
            for (int64_t j = 0; c->dout[ROTARY_PHI].data && j < J; j++) after[j] = ((const real *)c->dout[ROTARY_PHI].data)[(s * H + h) * J + j];
            for (int64_t t = L - 1; t >= 0; t--) {
                int64_t r = s * L + t;
                step_bwd(c, s, h, t, u, v, dphi);
                if (dB->data) add(dB, r * dB->pitch + g, u, N);
                if (dC->data) add(dC, r * dC->pitch + g, v, N);
                add(&c->din[ROTARY_B_BIAS], h * N, u, N);
                add(&c->din[ROTARY_C_BIAS], h * N, v, N);
                real dt = ROW(&c->in[ROTARY_DT], r)[h], sum = 0;
                for (int64_t j = 0; j < J; j++) {
                    real w = tanh(ROW(&c->in[ROTARY_ANGLE], r)[j]);
                    after[j] += dphi[j];
                    if (da->data) ROW(da, r)[j] += (real)ROTARY_PI * (1 - w * w) * dt * after[j];
                    sum += (real)ROTARY_PI * w * after[j];
                }
                if (ddt->data) ROW(ddt, r)[h] += sum;
                if (rotary_begins(c, s, t)) memset(after, 0, sizeof after);
            }
            add(&c->din[ROTARY_PHI0], (s * H + h) * J, after, J);
        }
}
