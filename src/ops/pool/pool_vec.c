/* pool_vec.c - pool for CPUs: lanes over D, threads over (sequence, block of columns).
 *
 * Sums go over blocks of 64 steps and then over blocks, which keeps the rounding of a long
 * mean at the square root of what one running sum would have. */
#include "ops/pool/pool.h"
#include "ops/rows.h"

enum { WIDTH = 64, STEPS = 64 }; /* columns of a task; steps of a partial sum */

typedef struct span { int64_t s, from, to; } span; /* columns [from, to) of sequence s */
static int64_t n_spans(const kr_call *c) { return KR_SIZE(c, 'S') * ((KR_SIZE(c, 'D') + WIDTH - 1) / WIDTH); }
static span get_span(const kr_call *c, int64_t k) {
    int64_t D = KR_SIZE(c, 'D'), per_row = (D + WIDTH - 1) / WIDTH, from = k % per_row * WIDTH;
    return (span){k / per_row, from, D < from + WIDTH ? D : from + WIDTH};
}

static vf sum_steps(const float *x, int64_t n, int64_t pitch, int64_t left) {
    vf total = {0};
    for (int64_t b = 0; b < n; b += STEPS) {
        vf part = {0};
        for (int64_t l = b; l < n && l < b + STEPS; l++) part += v_get(x + l * pitch, left);
        total += part;
    }
    return total;
}
/* The largest, and at which step; the first of equals. */
static vf max_steps(const float *x, int64_t n, int64_t pitch, int64_t left, vi *at) {
    vf best = v_get(x, left);
    *at = (vi){0};
    for (int64_t l = 1; l < n; l++) {
        vf v = v_get(x + l * pitch, left);
        vi more = v > best;
        best = v_select(more, v, best);
        *at = (more & ((vi){0} + (int32_t)l)) | (~more & *at);
    }
    return best;
}

void KR_VEC(pool_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), kind = ((const pool_attr *)c->attr)->kind, tasks = n_spans(c);
    int64_t pitch = c->in[POOL_X].pitch;
#pragma omp parallel for num_threads(rows_threads(c, KR_SIZE(c, 'S') * L * D)) schedule(static)
    for (int64_t k = 0; k < tasks; k++) {
        span t = get_span(c, k);
        int64_t n = pool_steps(c, t.s);
        const float *x = row_at(&c->in[POOL_X], t.s * L);
        float *y = row_of(&c->out[POOL_Y], t.s, D);
        for (int64_t i = t.from; i < t.to; i += KR_VL) {
            vf v = {0};
            vi at;
            if (n == 0) v = (vf){0};
            else if (kind == KR_POOL_MAX) v = max_steps(x + i, n, pitch, t.to - i, &at);
            else if (kind == KR_POOL_LAST) v = v_get(x + (n - 1) * pitch + i, t.to - i);
            else if (kind == KR_POOL_FIRST) v = v_get(x + i, t.to - i);
            else v = sum_steps(x + i, n, pitch, t.to - i) / (kind == KR_POOL_MEAN ? (float)n : 1);
            v_put(y + i, v, t.to - i);
        }
    }
}

/* dx of every step from one vector of dy. */
static void vector_bwd(const kr_call *c, const span *t, int64_t i) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), kind = ((const pool_attr *)c->attr)->kind, n = pool_steps(c, t->s);
    int64_t left = t->to - i, pitch = c->in[POOL_X].pitch;
    bool add = c->acc[POOL_X];
    vf dy = v_get(row_of(&c->dout[POOL_Y], t->s, D) + i, left);
    vi at = {0};
    if (kind == KR_POOL_MEAN && n) dy /= (float)n;
    if (kind == KR_POOL_LAST) at += (int32_t)(n - 1);
    if (kind == KR_POOL_MAX && n) max_steps(row_at(&c->in[POOL_X], t->s * L) + i, n, pitch, left, &at);
    bool all = kind == KR_POOL_MEAN || kind == KR_POOL_SUM;
    for (int64_t l = 0; l < L; l++) {
        float *dx = row_at(&c->din[POOL_X], t->s * L + l) + i;
        vf v = l >= n ? (vf){0} : all ? dy : v_select(at == ((vi){0} + (int32_t)l), dy, (vf){0});
        v_give(dx, v, add, left);
    }
}

void KR_VEC(pool_bwd)(const kr_call *c) {
    int64_t tasks = n_spans(c);
    if (!c->din[POOL_X].data) return;
#pragma omp parallel for num_threads(rows_threads(c, KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D'))) schedule(static)
    for (int64_t k = 0; k < tasks; k++) {
        span t = get_span(c, k);
        for (int64_t i = t.from; i < t.to; i += KR_VL) vector_bwd(c, &t, i);
    }
}
