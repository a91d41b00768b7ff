/* moe_route_vec.c - moe_route for CPUs: lanes over experts for the softmax, threads over rows.
 * The choice is a walk over few scores for each of few places. */
#include "ops/moe_route/moe_route.h"
#include "ops/rows.h"

typedef struct softmax { float most, sum; } softmax;
static softmax row_softmax(const float *l, int64_t X) {
    softmax s = {l[0], 0};
    vf most = v_set(l[0]), sum = {0};
    int64_t x = 0;
    for (; x + KR_VL <= X; x += KR_VL) most = v_max(v_load(l + x), most);
    for (int i = 0; i < KR_VL; i++) s.most = most[i] > s.most ? most[i] : s.most;
    for (; x < X; x++) s.most = l[x] > s.most ? l[x] : s.most;
    for (x = 0; x < X; x += KR_VL) sum += v_keep(v_exp(v_get(l + x, X - x) - s.most), X - x);
    s.sum = v_sum(sum);
    return s;
}
/* One lane of a vector, so that each p has the bits that row_bwd's vectors have. */
static float gate_of(const moe_route_attr *a, float logit, softmax s) {
    return a->gate == MOE_SIGMOID ? v_sigmoid(v_set(logit))[0] : (v_exp(v_set(logit) - s.most) / s.sum)[0];
}
static bool is_in(const int32_t *idx, int64_t n, int64_t x) {
    for (int64_t j = 0; j < n; j++)
        if (idx[j] == x) return true;
    return false;
}

static void choose(const moe_route_attr *a, const float *l, const float *bias, softmax s, int64_t X, int32_t *idx) {
    for (int64_t k = 0; k < a->k; k++) {
        float best = 0;
        idx[k] = -1;
        for (int64_t x = 0; x < X; x++) {
            float score = !bias ? l[x] : (a->bias_logits ? l[x] : gate_of(a, l[x], s)) + bias[x];
            if ((idx[k] < 0 || score > best) && !is_in(idx, k, x)) idx[k] = (int32_t)x, best = score;
        }
    }
}

void KR_VEC(moe_route_fwd)(const kr_call *c) {
    const moe_route_attr *a = c->attr;
    int64_t X = KR_SIZE(c, 'X'), K = a->k;
    const float *bias = c->in[MOE_ROUTE_BIAS].data;
#pragma omp parallel for num_threads(rows_threads(c, c->rows * X)) schedule(static)
    for (int64_t r = 0; r < c->rows; r++) {
        const float *l = row_at(&c->in[MOE_ROUTE_LOGITS], r);
        float *w = row_of(&c->out[MOE_ROUTE_W], r, K), total = MOE_ROUTE_LEAST;
        int32_t idx[MOE_ROUTE_MOST];
        softmax s = row_softmax(l, X);
        choose(a, l, bias, s, X, idx);
        for (int64_t k = 0; k < K; k++) total += w[k] = gate_of(a, l[idx[k]], s);
        for (int64_t k = 0; k < K; k++) w[k] = (float)a->scale * (a->normalise ? w[k] / total : w[k]);
        if (c->out[MOE_ROUTE_IDX].data) memcpy((int32_t *)c->out[MOE_ROUTE_IDX].data + r * K, idx, (size_t)K * sizeof *idx);
    }
}

static void row_bwd(const kr_call *c, int64_t r) {
    const moe_route_attr *a = c->attr;
    int64_t X = KR_SIZE(c, 'X'), K = a->k;
    const float *l = row_at(&c->in[MOE_ROUTE_LOGITS], r), *dw = row_of(&c->dout[MOE_ROUTE_W], r, K);
    const int32_t *idx = (const int32_t *)c->out[MOE_ROUTE_IDX].data + r * K;
    float *dl = row_at(&c->din[MOE_ROUTE_LOGITS], r), p[MOE_ROUTE_MOST], g[MOE_ROUTE_MOST], total = MOE_ROUTE_LEAST, mean = 0, share = 0;
    softmax s = row_softmax(l, X);
    for (int64_t k = 0; k < K; k++) total += p[k] = gate_of(a, l[idx[k]], s);
    for (int64_t k = 0; k < K; k++) mean += dw[k] * p[k] / total;
    for (int64_t k = 0; k < K; k++) g[k] = (float)a->scale * (a->normalise ? (dw[k] - mean) / total : dw[k]);
    /* normalised, the sum of g p is zero but for rounding */
    for (int64_t k = 0; k < K && a->gate == MOE_SOFTMAX && !a->normalise; k++) share += g[k] * p[k];
    for (int64_t x = 0; x < X; x += KR_VL) v_give(dl + x, -share * (v_exp(v_get(l + x, X - x) - s.most) / s.sum), c->acc[MOE_ROUTE_LOGITS], X - x);
    for (int64_t k = 0; k < K; k++) dl[idx[k]] += a->gate == MOE_SIGMOID ? g[k] * p[k] * (1 - p[k]) : g[k] * p[k];
}

void KR_VEC(moe_route_bwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X');
    const kr_tensor *dl = &c->din[MOE_ROUTE_LOGITS];
    if (!dl->data) return;
#pragma omp parallel for num_threads(rows_threads(c, c->rows * X)) schedule(static)
    for (int64_t r = 0; r < c->rows; r++) {
        if (c->dout[MOE_ROUTE_W].data) row_bwd(c, r);
        else if (!c->acc[MOE_ROUTE_LOGITS]) memset(row_at(dl, r), 0, (size_t)X * sizeof(float));
    }
}
