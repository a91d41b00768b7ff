/* ssd_ref.c - the definition of ssd: the recurrence, as it is written down. */
#include "ops/ref.h"
#include "ops/ssd/ssd.h"

#define IN(slot) ((const real *)c->in[slot].data)
#define DIN(slot) ((real *)c->din[slot].data)

/* What head h of sequence s reads and, going back, writes at step t. */
typedef struct ref_step {
    const real *x, *B, *C;
    real *dx, *dB, *dC, *ddt;
    real dt, ddt_raw, a;        /* dt after the clamp; d dt / d dt given; exp(dt A) */
    bool reset;
    int64_t y;                  /* offset in y and dy */
} ref_step;

static ref_step step_at(const kr_call *c, int64_t s, int64_t t, int64_t h) {
    const ssd_attr *attr = c->attr;
    const kr_tensor *in = c->in, *din = c->din, *seq = &c->in[SSD_SEQ_IDX];
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N'), g = h / (H / KR_SIZE(c, 'G'));
    int64_t row = s * KR_SIZE(c, 'L') + t;
    ref_step k = {.y = (row * H + h) * P};
    k.x = IN(SSD_X) + row * in[SSD_X].pitch + h * P;
    k.B = IN(SSD_B) + row * in[SSD_B].pitch + g * N;
    k.C = IN(SSD_C) + row * in[SSD_C].pitch + g * N;
    if (din[SSD_X].data) k.dx = DIN(SSD_X) + row * din[SSD_X].pitch + h * P;
    if (din[SSD_B].data) k.dB = DIN(SSD_B) + row * din[SSD_B].pitch + g * N;
    if (din[SSD_C].data) k.dC = DIN(SSD_C) + row * din[SSD_C].pitch + g * N;
    if (din[SSD_DT].data) k.ddt = DIN(SSD_DT) + row * din[SSD_DT].pitch + h;

    real raw = IN(SSD_DT)[row * in[SSD_DT].pitch + h] + (IN(SSD_DT_BIAS) ? IN(SSD_DT_BIAS)[h] : 0);
    real dt = attr->dt_softplus ? ref_softplus(raw) : raw;
    bool inside = dt >= attr->dt_min && dt <= attr->dt_max;
    k.ddt_raw = !inside ? 0 : attr->dt_softplus ? ref_sigmoid(raw) : 1;
    k.dt = dt < attr->dt_min ? (real)attr->dt_min : dt > attr->dt_max ? (real)attr->dt_max : dt;
    k.a = exp(k.dt * IN(SSD_A)[h]);
    const int32_t *idx = seq->data;
    k.reset = idx && t > 0 && idx[row * seq->pitch] != idx[(row - 1) * seq->pitch];
    return k;
}

/* to = h[t], from = h[t-1]; they may be the same memory. */
static void advance(const ref_step *k, int64_t P, int64_t N, const real *from, real *to) {
    for (int64_t p = 0; p < P; p++)
        for (int64_t n = 0; n < N; n++)
            to[p * N + n] = (k->reset ? 0 : k->a * from[p * N + n]) + k->dt * k->x[p] * k->B[n];
}

static void first_state(const kr_call *c, int64_t s, int64_t h, real *state) {
    int64_t size = KR_SIZE(c, 'P') * KR_SIZE(c, 'N');
    for (int64_t i = 0; i < size; i++) state[i] = IN(SSD_H0) ? IN(SSD_H0)[(s * KR_SIZE(c, 'H') + h) * size + i] : 0;
}

static real skip_weight(const kr_call *c, int64_t h, int64_t p) {
    real d = IN(SSD_D) ? IN(SSD_D)[h] : 0;
    return d + (IN(SSD_DHP) ? IN(SSD_DHP)[h * KR_SIZE(c, 'P') + p] : 0);
}

void REF(ssd_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    real *y = c->out[SSD_Y].data, *last = c->out[SSD_H].data, *state = c->scratch;
    for (int64_t s = 0; s < S; s++)
        for (int64_t h = 0; h < H; h++) {
            first_state(c, s, h, state);
            for (int64_t t = 0; t < L; t++) {
                ref_step k = step_at(c, s, t, h);
                advance(&k, P, N, state, state);
                for (int64_t p = 0; p < P; p++) {
                    real sum = skip_weight(c, h, p) * k.x[p];
                    for (int64_t n = 0; n < N; n++) sum += state[p * N + n] * k.C[n];
                    y[k.y + p] = sum;
                }
            }
            if (last) memcpy(last + (s * H + h) * P * N, state, (size_t)(P * N) * sizeof *state);
        }
}

/* One step back.  now = h[t], before = h[t-1]; dh enters as the gradient of h[t] from
 * later steps and leaves as that of h[t-1]. */
static void step_back(const kr_call *c, const ref_step *k, int64_t h, const real *before, const real *now, real *dh) {
    int64_t P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    const real *dy = c->dout[SSD_Y].data ? (const real *)c->dout[SSD_Y].data + k->y : NULL;
    real da = 0, ddt = 0, dD = 0; /* of exp(dt A), of the clamped dt, of D */
    for (int64_t p = 0; p < P; p++) {
        real g = dy ? dy[p] : 0, dx = g * skip_weight(c, h, p);
        dD += g * k->x[p];
        if (DIN(SSD_DHP)) DIN(SSD_DHP)[h * P + p] += g * k->x[p];
        for (int64_t n = 0; n < N; n++) {
            int64_t i = p * N + n;
            if (k->dC) k->dC[n] += g * now[i];
            dh[i] += g * k->C[n];
            dx += dh[i] * k->dt * k->B[n];
            if (k->dB) k->dB[n] += dh[i] * k->dt * k->x[p];
            ddt += dh[i] * k->x[p] * k->B[n];
            if (!k->reset) da += dh[i] * before[i];
            dh[i] = k->reset ? 0 : dh[i] * k->a;
        }
        if (k->dx) k->dx[p] += dx;
    }
    ddt += da * k->a * IN(SSD_A)[h];
    if (DIN(SSD_D)) DIN(SSD_D)[h] += dD;
    if (DIN(SSD_A)) DIN(SSD_A)[h] += da * k->a * k->dt;
    if (k->ddt) *k->ddt += ddt * k->ddt_raw;
    if (DIN(SSD_DT_BIAS)) DIN(SSD_DT_BIAS)[h] += ddt * k->ddt_raw;
}

/* Time runs backwards.  The states it needs are redone stretch by stretch, each from a
 * state kept on a first walk forwards, so memory grows with the root of L. */
void REF(ssd_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    int64_t size = P * N, stride = ssd_stride(L), n_kept = (L + stride - 1) / stride;
    real *dh = c->scratch, *kept = dh + size, *state = kept + n_kept * size; /* state: stride + 1 of them */
    const real *dlast = c->dout[SSD_H].data;
    for (int64_t s = 0; s < S; s++)
        for (int64_t h = 0; h < H; h++) {
            for (int64_t i = 0; i < size; i++) dh[i] = dlast ? dlast[(s * H + h) * size + i] : 0;
            first_state(c, s, h, state);
            for (int64_t t = 0; t < L; t++) {
                if (t % stride == 0) memcpy(kept + t / stride * size, state, (size_t)size * sizeof *state);
                ref_step k = step_at(c, s, t, h);
                advance(&k, P, N, state, state);
            }
            for (int64_t i = n_kept - 1; i >= 0; i--) {
                int64_t t0 = i * stride, steps = L - t0 < stride ? L - t0 : stride;
                memcpy(state, kept + i * size, (size_t)size * sizeof *state);
                for (int64_t t = 0; t < steps; t++) {
                    ref_step k = step_at(c, s, t0 + t, h);
                    advance(&k, P, N, state + t * size, state + (t + 1) * size);
                }
                for (int64_t t = steps - 1; t >= 0; t--) {
                    ref_step k = step_at(c, s, t0 + t, h);
                    step_back(c, &k, h, state + t * size, state + (t + 1) * size, dh);
                }
            }
            if (DIN(SSD_H0))
                for (int64_t i = 0; i < size; i++) DIN(SSD_H0)[(s * H + h) * size + i] += dh[i];
        }
}
