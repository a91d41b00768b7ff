/* moe_balance_vec.c - moe_balance for CPUs: blocks of rows sum their softmaxes and count their
 * choices, and blocks are added in order. */
#include "ops/moe_balance/moe_balance.h"
#include "ops/rows.h"

/* most, and 1 / sum of exp(l - most) */
static float row_softmax(const float *l, int64_t X, float *most) {
    vf sum = {0};
    *most = l[0];
    for (int64_t x = 1; x < X; x++) *most = l[x] > *most ? l[x] : *most;
    for (int64_t x = 0; x < X; x += KR_VL) sum += v_keep(v_exp(v_get(l + x, X - x) - *most), X - x);
    return 1 / v_sum(sum);
}

/* Counts of whole numbers are exact in float up to 2^24 a block of rows. */
static void count(const kr_call *c, int64_t r, float *n) {
    const int32_t *idx = (const int32_t *)c->in[MOE_BALANCE_IDX].data + r * c->in[MOE_BALANCE_IDX].pitch;
    for (int64_t k = 0; k < KR_SIZE(c, 'K'); k++)
        if (idx[k] >= 0 && idx[k] < KR_SIZE(c, 'X')) n[idx[k]]++;
}

/* part: X counts, X sums of probabilities */
static void row_fwd(const kr_call *c, int64_t r, float *part) {
    int64_t X = KR_SIZE(c, 'X');
    const float *l = row_at(&c->in[MOE_BALANCE_LOGITS], r);
    float most, scale = row_softmax(l, X, &most);
    count(c, r, part);
    for (int64_t x = 0; x < X; x += KR_VL) v_give(part + X + x, scale * v_exp(v_get(l + x, X - x) - most), true, X - x);
}

void KR_VEC(moe_balance_fwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X'), n_blocks = rows_blocks(c->rows);
    const float *part = c->scratch;
    double sum = 0, T = (double)c->rows;
    rows_each(c, c->scratch, 2 * X, row_fwd);
    for (int64_t x = 0; x < X; x++) {
        double n = 0, P = 0;
        for (int64_t b = 0; b < n_blocks; b++) n += (double)part[b * 2 * X + x], P += (double)part[b * 2 * X + X + x];
        sum += n / T * (P / T);
    }
    const float *base = c->in[MOE_BALANCE_BASE].data;
    sum *= ((const moe_balance_attr *)c->attr)->weight * (double)X;
    *(float *)c->out[MOE_BALANCE_LOSS].data = (float)((base ? (double)*base : 0) + sum);
}

void KR_VEC(moe_balance_bwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X');
    const kr_tensor *tdl = &c->din[MOE_BALANCE_LOGITS];
    float *n = c->scratch, *dbase = c->din[MOE_BALANCE_BASE].data, dloss = *(const float *)c->dout[MOE_BALANCE_LOSS].data;
    float factor = (float)((double)dloss * ((const moe_balance_attr *)c->attr)->weight * (double)X / (double)c->rows / (double)c->rows);
    if (dbase) *dbase = c->acc[MOE_BALANCE_BASE] ? *dbase + dloss : dloss;
    if (!tdl->data) return;
    memset(n, 0, (size_t)X * sizeof *n);
    for (int64_t r = 0; r < c->rows; r++) count(c, r, n);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * X)) schedule(static)
    for (int64_t r = 0; r < c->rows; r++) {
        const float *l = row_at(&c->in[MOE_BALANCE_LOGITS], r);
        float *dl = row_at(tdl, r), most, scale = row_softmax(l, X, &most);
        vf mean = {0};
        for (int64_t x = 0; x < X; x += KR_VL) mean += v_keep(scale * v_exp(v_get(l + x, X - x) - most) * v_get(n + x, X - x), X - x);
        float m = v_sum(mean);
        for (int64_t x = 0; x < X; x += KR_VL)
            v_give(dl + x, factor * scale * v_exp(v_get(l + x, X - x) - most) * (v_get(n + x, X - x) - m), c->acc[MOE_BALANCE_LOGITS], X - x);
    }
}
