/* trapezoid_vec.c - trapezoid for CPUs: lanes over heads, threads over blocks of steps. */
#include "ops/rows.h"
#include "ops/trapezoid/trapezoid.h"

typedef struct parts { vf raw, step, lam, rate, slope; } parts;

static parts parts_of(const kr_call *c, int64_t r, int64_t h, int64_t n) {
    float floor = (float)((const trapezoid_attr *)c->attr)->A_floor;
    vf x = v_get(row_at(&c->in[TRAPEZOID_A], r) + h, n), f = v_select(x >= 0.f, 1.f + x, 1.f / (1.f - v_min(v_set(0), x)));
    parts p = {.raw = v_get(row_at(&c->in[TRAPEZOID_DT], r) + h, n) + v_get((const float *)c->in[TRAPEZOID_DT_BIAS].data + h, n)};
    p.step = v_softplus(p.raw);
    p.lam = v_sigmoid(v_get(row_at(&c->in[TRAPEZOID_TRAP], r) + h, n));
    p.rate = v_max(v_set(floor), f);
    p.slope = v_select(f < floor, v_set(0), v_select(x >= 0.f, v_set(1), f * f));
    return p;
}

void KR_VEC(trapezoid_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), rows = KR_SIZE(c, 'S') * L;
#pragma omp parallel for num_threads(rows_threads(c, 8 * rows * H)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        bool on = trapezoid_goes_on(c, r / L, r % L);
        float *decay = row_of(&c->out[TRAPEZOID_DECAY], r, H), *ratio = row_of(&c->out[TRAPEZOID_RATIO], r, H);
        float *ahead = row_of(&c->out[TRAPEZOID_AHEAD], r, H), *step = row_of(&c->out[TRAPEZOID_STEP], r, H);
        for (int64_t h = 0; h < H; h += KR_VL) {
            int64_t n = H - h;
            parts p = parts_of(c, r, h, n);
            vf d = p.rate * p.step, next = {0};
            if (on) {
                parts q = parts_of(c, r + 1, h, n);
                next = (1.f - q.lam) * q.step;
            }
            v_put(decay + h, d, n);
            if (ratio) v_put(ratio + h, (p.lam * p.step + next) / d, n);
            if (ahead) v_put(ahead + h, next, n);
            if (step) v_put(step + h, p.step, n);
        }
    }
}

static vf given(const kr_call *c, int out, int64_t r, int64_t h, int64_t n) {
    return c->dout[out].data ? v_get(row_of(&c->dout[out], r, KR_SIZE(c, 'H')) + h, n) : (vf){0};
}

/* What step r's outputs give back to (lam_r, step_r, decay_r), and to what is ahead of them. */
typedef struct back { vf all, decay, next; } back;
static back back_of(const kr_call *c, int64_t r, int64_t h, int64_t n, const parts *p) {
    int64_t L = KR_SIZE(c, 'L');
    vf d = p->rate * p->step, all = p->lam * p->step;
    if (trapezoid_goes_on(c, r / L, r % L)) {
        parts q = parts_of(c, r + 1, h, n);
        all += (1.f - q.lam) * q.step;
    }
    back g = {.all = given(c, TRAPEZOID_RATIO, r, h, n) / d};
    g.decay = given(c, TRAPEZOID_DECAY, r, h, n) - g.all * all / d;
    g.next = g.all + given(c, TRAPEZOID_AHEAD, r, h, n);
    return g;
}

static void row_bwd(const kr_call *c, int64_t r, float *dbias) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    float *ddt = row_at(&c->din[TRAPEZOID_DT], r), *dA = row_at(&c->din[TRAPEZOID_A], r), *dtrap = row_at(&c->din[TRAPEZOID_TRAP], r);
    bool behind = r % L > 0 && trapezoid_goes_on(c, r / L, r % L - 1);
    for (int64_t h = 0; h < H; h += KR_VL) {
        int64_t n = H - h;
        parts p = parts_of(c, r, h, n);
        back g = back_of(c, r, h, n, &p);
        vf gstep = g.all * p.lam + g.decay * p.rate + given(c, TRAPEZOID_STEP, r, h, n), glam = g.all * p.step;
        if (behind) {
            parts q = parts_of(c, r - 1, h, n);
            vf next = back_of(c, r - 1, h, n, &q).next;
            gstep += next * (1.f - p.lam);
            glam -= next * p.step;
        }
        vf graw = gstep * v_select(p.raw > 20.f, v_set(1), v_sigmoid(p.raw));
        if (ddt) v_give(ddt + h, graw, c->acc[TRAPEZOID_DT], n);
        if (dbias) v_give(dbias + h, graw, true, n);
        if (dA) v_give(dA + h, g.decay * p.step * p.slope, c->acc[TRAPEZOID_A], n);
        if (dtrap) v_give(dtrap + h, glam * p.lam * (1.f - p.lam), c->acc[TRAPEZOID_TRAP], n);
    }
}

void KR_VEC(trapezoid_bwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), step = rows_step(rows), n_blocks = rows_blocks(rows);
    float *dbias = c->din[TRAPEZOID_DT_BIAS].data, *shares = c->scratch;
#pragma omp parallel for num_threads(rows_threads(c, 8 * rows * H)) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *part = dbias ? shares + b * H : NULL;
        if (part) memset(part, 0, (size_t)H * sizeof *part);
        for (int64_t r = b * step; r < rows && r < (b + 1) * step; r++) row_bwd(c, r, part);
    }
    for (int64_t h = 0; dbias && h < H; h++) {
        float sum = c->acc[TRAPEZOID_DT_BIAS] ? dbias[h] : 0;
        for (int64_t b = 0; b < n_blocks; b++) sum += shares[b * H + h];
        dbias[h] = sum;
    }
}
