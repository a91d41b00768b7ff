/* sinkhorn_vec.c - sinkhorn for CPUs: blocks of rows sum their softmaxes, and blocks are added in order. */
#include "ops/rows.h"
#include "ops/sinkhorn/sinkhorn.h"

static void row(const kr_call *c, int64_t r, float *part) {
    int64_t X = KR_SIZE(c, 'X');
    const float *l = row_at(&c->in[SINKHORN_LOGITS], r), *bias = c->out[SINKHORN_BIAS].data;
    float most = l[0] + bias[0];
    vf sum = {0};
    for (int64_t x = 1; x < X; x++) most = l[x] + bias[x] > most ? l[x] + bias[x] : most;
    for (int64_t x = 0; x < X; x += KR_VL) sum += v_keep(v_exp(v_get(l + x, X - x) + v_get(bias + x, X - x) - most), X - x);
    float scale = 1 / v_sum(sum);
    for (int64_t x = 0; x < X; x += KR_VL) v_give(part + x, scale * v_exp(v_get(l + x, X - x) + v_get(bias + x, X - x) - most), true, X - x);
}

void KR_VEC(sinkhorn_fwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X'), n_blocks = rows_blocks(c->rows);
    float *bias = c->out[SINKHORN_BIAS].data, *part = c->scratch;
    memset(bias, 0, (size_t)X * sizeof *bias);
    for (int64_t round = 0; round < ((const sinkhorn_attr *)c->attr)->rounds; round++) {
        rows_each(c, c->scratch, X, row);
        for (int64_t x = 0; x < X; x++) {
            double share = 0;
            for (int64_t b = 0; b < n_blocks; b++) share += (double)part[b * X + x];
            bias[x] = (float)((double)bias[x] - log((share / (double)c->rows + (double)SINKHORN_LEAST) * (double)X));
        }
    }
}
