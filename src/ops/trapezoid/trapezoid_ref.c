/* trapezoid_ref.c - the definition of trapezoid. */
#include "ops/ref.h"
#include "ops/trapezoid/trapezoid.h"

#define AT(slot, r, h) (((const real *)c->in[slot].data)[(r) * c->in[slot].pitch + (h)])
#define GIVE(slot, r, h, v) \
    do { \
        if (c->din[slot].data) ((real *)c->din[slot].data)[(r) * c->din[slot].pitch + (h)] += (v); \
    } while (0)

static real step_of(const kr_call *c, int64_t r, int64_t h) { return ref_softplus(AT(TRAPEZOID_DT, r, h) + ((const real *)c->in[TRAPEZOID_DT_BIAS].data)[h]); }
static real lam_of(const kr_call *c, int64_t r, int64_t h) { return ref_sigmoid(AT(TRAPEZOID_TRAP, r, h)); }
static real rate_of(const kr_call *c, int64_t r, int64_t h, real *slope) {
    real x = AT(TRAPEZOID_A, r, h), floor = (real)((const trapezoid_attr *)c->attr)->A_floor, f = x >= 0 ? 1 + x : 1 / (1 - x);
    *slope = f < floor ? 0 : x >= 0 ? 1 : f * f;
    return f < floor ? floor : f;
}

void REF(trapezoid_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    real *decay = c->out[TRAPEZOID_DECAY].data, *ratio = c->out[TRAPEZOID_RATIO].data, *ahead = c->out[TRAPEZOID_AHEAD].data, *step = c->out[TRAPEZOID_STEP].data;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t t = 0; t < L; t++)
            for (int64_t h = 0; h < H; h++) {
                int64_t r = s * L + t, i = r * H + h;
                real slope, dt = step_of(c, r, h), d = rate_of(c, r, h, &slope) * dt;
                real next = trapezoid_goes_on(c, s, t) ? (1 - lam_of(c, r + 1, h)) * step_of(c, r + 1, h) : 0;
                decay[i] = d;
                if (ratio) ratio[i] = (lam_of(c, r, h) * dt + next) / d;
                if (ahead) ahead[i] = next;
                if (step) step[i] = dt;
            }
}

void REF(trapezoid_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    const real *ddecay = c->dout[TRAPEZOID_DECAY].data, *dratio = c->dout[TRAPEZOID_RATIO].data, *dahead = c->dout[TRAPEZOID_AHEAD].data,
               *dstep = c->dout[TRAPEZOID_STEP].data;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < L; t++) {
                int64_t r = s * L + t, i = r * H + h;
                bool on = trapezoid_goes_on(c, s, t);
                real slope, dt = step_of(c, r, h), lam = lam_of(c, r, h), a = rate_of(c, r, h, &slope), d = a * dt;
                real dt1 = on ? step_of(c, r + 1, h) : 0, lam1 = on ? lam_of(c, r + 1, h) : 0, all = lam * dt + (1 - lam1) * dt1;
                real gall = dratio ? dratio[i] / d : 0, gd = (ddecay ? ddecay[i] : 0) - gall * all / d, gnext = gall + (dahead ? dahead[i] : 0);
                for (int next = 0; next < 1 + on; next++) { /* what goes to this step and to the one behind it */
                    real gdt = next ? gnext * (1 - lam1) : gall * lam + gd * a + (dstep ? dstep[i] : 0), glam = next ? -gnext * dt1 : gall * dt;
                    real l = next ? lam1 : lam, raw = AT(TRAPEZOID_DT, r + next, h) + ((const real *)c->in[TRAPEZOID_DT_BIAS].data)[h];
                    real graw = gdt * (raw > 20 ? 1 : ref_sigmoid(raw));
                    GIVE(TRAPEZOID_DT, r + next, h, graw);
                    GIVE(TRAPEZOID_DT_BIAS, 0, h, graw);
                    GIVE(TRAPEZOID_TRAP, r + next, h, glam * l * (1 - l));
                }
                GIVE(TRAPEZOID_A, r, h, gd * dt * slope);
            }
}
