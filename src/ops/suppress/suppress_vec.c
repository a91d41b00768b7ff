/* suppress_vec.c - suppress for CPUs: threads over steps; lanes over the channels of a head. */
#include "ops/rows.h"
#include "ops/suppress/suppress.h"

#include <math.h>

/* w, and its slope in the raw step size and in A. */
typedef struct weight { float w, ddt, dA; } weight;
static weight weight_of(const kr_call *c, int64_t r, int64_t h) {
    const suppress_attr *attr = c->attr;
    const float *bias = c->in[SUPPRESS_DT_BIAS].data;
    float raw = row_at(&c->in[SUPPRESS_DT], r)[h] + (bias ? bias[h] : 0), A = ((const float *)c->in[SUPPRESS_A].data)[h];
    float dt = raw > 20 ? raw : log1pf(expf(raw)), least = (float)attr->dt_min, most = (float)attr->dt_max;
    bool inside = dt >= least && dt <= most;
    dt = dt < least ? least : dt > most ? most : dt;
    float a = expf(dt * A);
    if (a >= (float)attr->alpha) return (weight){1, 0, 0};
    return (weight){a, inside ? a * A * (raw > 20 ? 1 : 1 / (1 + expf(-raw))) : 0, a * dt};
}

void KR_VEC(suppress_fwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    const float *D = c->in[SUPPRESS_D].data;
#pragma omp parallel for num_threads(rows_threads(c, rows * H * P)) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *y = row_at(&c->in[SUPPRESS_Y], r), *x = row_at(&c->in[SUPPRESS_X], r);
        float *o = row_of(&c->out[SUPPRESS_O], r, H * P);
        for (int64_t h = 0; h < H; h++, y += P, x += P, o += P) {
            float w = weight_of(c, r, h).w, d = D ? D[h] : 0;
            for (int64_t i = 0; i < P; i += KR_VL) v_put(o + i, w * v_get(y + i, P - i) + d * v_get(x + i, P - i), P - i);
        }
    }
}

/* One row; part: this block's shares of dA, dD and ddt_bias. */
static void row_bwd(const kr_call *c, int64_t r, float *part) {
    int64_t H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P');
    const float *y = row_at(&c->in[SUPPRESS_Y], r), *x = row_at(&c->in[SUPPRESS_X], r), *g = row_of(&c->dout[SUPPRESS_O], r, H * P);
    float *dy = row_at(&c->din[SUPPRESS_Y], r), *dx = row_at(&c->din[SUPPRESS_X], r), *ddt = row_at(&c->din[SUPPRESS_DT], r);
    for (int64_t h = 0; h < H; h++) {
        weight w = weight_of(c, r, h);
        float D = c->in[SUPPRESS_D].data ? ((const float *)c->in[SUPPRESS_D].data)[h] : 0;
        vf dw = {0}, dD = {0};
        for (int64_t i = h * P; i < (h + 1) * P; i += KR_VL) {
            int64_t n = (h + 1) * P - i;
            vf d = v_get(g + i, n);
            dw += d * v_get(y + i, n);
            dD += d * v_get(x + i, n);
            if (dy) v_give(dy + i, w.w * d, c->acc[SUPPRESS_Y], n);
            if (dx) v_give(dx + i, D * d, c->acc[SUPPRESS_X], n);
        }
        float all = v_sum(dw);
        if (ddt) ddt[h] = all * w.ddt + (c->acc[SUPPRESS_DT] ? ddt[h] : 0);
        part[h] += all * w.dA;
        part[H + h] += v_sum(dD);
        part[2 * H + h] += all * w.ddt;
    }
}

void KR_VEC(suppress_bwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), rows = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), step = rows_step(rows), n_blocks = rows_blocks(rows);
    float *shares = c->scratch;
    static const int slot[] = {SUPPRESS_A, SUPPRESS_D, SUPPRESS_DT_BIAS};
#pragma omp parallel for num_threads(rows_threads(c, rows * H * KR_SIZE(c, 'P'))) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *part = shares + b * 3 * H;
        memset(part, 0, (size_t)(3 * H) * sizeof *part);
        for (int64_t r = b * step; r < rows && r < (b + 1) * step; r++) row_bwd(c, r, part);
    }
    for (int k = 0; k < 3; k++) {
        float *to = c->din[slot[k]].data;
        for (int64_t h = 0; to && h < H; h++) {
            float sum = c->acc[slot[k]] ? to[h] : 0;
            for (int64_t b = 0; b < n_blocks; b++) sum += shares[(b * 3 + k) * H + h];
            to[h] = sum;
        }
    }
}
