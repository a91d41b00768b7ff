/* groupnorm_ref.c - the definition of groupnorm. */
#include "ops/groupnorm/groupnorm.h"
#include "ops/ref.h"

typedef struct group { int64_t s, from, to; real mean, inv; } group;

static const real *row(const kr_call *c, int64_t s, int64_t l) {
    const kr_tensor *x = &c->in[GROUPNORM_X];
    return (const real *)x->data + (s * KR_SIZE(c, 'L') + l) * x->pitch;
}

static group group_of(const kr_call *c, int64_t s, int64_t g) {
    int64_t L = KR_SIZE(c, 'L'), width = groupnorm_width(c);
    group v = {.s = s, .from = g * width, .to = (g + 1) * width};
    real squares = 0;
    for (int64_t l = 0; l < L; l++)
        for (int64_t d = v.from; d < v.to; d++) v.mean += row(c, s, l)[d] / (real)(L * width);
    for (int64_t l = 0; l < L; l++)
        for (int64_t d = v.from; d < v.to; d++) squares += (row(c, s, l)[d] - v.mean) * (row(c, s, l)[d] - v.mean);
    v.inv = 1 / sqrt(squares / (real)(L * width) + (real)((const groupnorm_attr *)c->attr)->eps);
    return v;
}

void REF(groupnorm_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    const real *w = c->in[GROUPNORM_W].data, *b = c->in[GROUPNORM_B].data;
    real *y = c->out[GROUPNORM_Y].data;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t g = 0; g * groupnorm_width(c) < D; g++) {
            group v = group_of(c, s, g);
            for (int64_t l = 0; l < L; l++)
                for (int64_t d = v.from; d < v.to; d++)
                    y[(s * L + l) * D + d] = (row(c, s, l)[d] - v.mean) * v.inv * (w ? w[d] : 1) + (b ? b[d] : 0);
        }
}

static void group_bwd(const kr_call *c, const group *v) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    const kr_tensor *tdx = &c->din[GROUPNORM_X];
    const real *w = c->in[GROUPNORM_W].data, *dy = c->dout[GROUPNORM_Y].data;
    real *dx = tdx->data, *dw = c->din[GROUPNORM_W].data, *db = c->din[GROUPNORM_B].data;
    real g_mean = 0, gn_mean = 0, count = (real)(L * (v->to - v->from));
    for (int64_t l = 0; l < L; l++)
        for (int64_t d = v->from; d < v->to; d++) {
            real g = dy[(v->s * L + l) * D + d], n = (row(c, v->s, l)[d] - v->mean) * v->inv;
            if (dw) dw[d] += g * n;
            if (db) db[d] += g;
            if (w) g *= w[d];
            g_mean += g / count;
            gn_mean += g * n / count;
        }
    for (int64_t l = 0; dx && l < L; l++)
        for (int64_t d = v->from; d < v->to; d++) {
            real g = dy[(v->s * L + l) * D + d] * (w ? w[d] : 1), n = (row(c, v->s, l)[d] - v->mean) * v->inv;
            dx[(v->s * L + l) * tdx->pitch + d] += (g - g_mean - n * gn_mean) * v->inv;
        }
}

void REF(groupnorm_bwd)(const kr_call *c) {
    for (int64_t s = 0; c->dout[GROUPNORM_Y].data && s < KR_SIZE(c, 'S'); s++)
        for (int64_t g = 0; g * groupnorm_width(c) < KR_SIZE(c, 'D'); g++) {
            group v = group_of(c, s, g);
            group_bwd(c, &v);
        }
}
