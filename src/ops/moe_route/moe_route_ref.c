/* moe_route_ref.c - the definition of moe_route. */
#include "ops/moe_route/moe_route.h"
#include "ops/ref.h"

/* p of expert x; `most` and `sum` are those of the row's softmax. */
static real gate_of(const moe_route_attr *a, real logit, real most, real sum) {
    return a->gate == MOE_SIGMOID ? ref_sigmoid(logit) : exp(logit - most) / sum;
}
static void row_softmax(const real *l, int64_t X, real *most, real *sum) {
    *most = l[0], *sum = 0;
    for (int64_t x = 1; x < X; x++) *most = l[x] > *most ? l[x] : *most;
    for (int64_t x = 0; x < X; x++) *sum += exp(l[x] - *most);
}

void REF(moe_route_fwd)(const kr_call *c) {
    const moe_route_attr *a = c->attr;
    int64_t X = KR_SIZE(c, 'X'), K = KR_SIZE(c, 'K');
    const real *bias = c->in[MOE_ROUTE_BIAS].data;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *l = (const real *)c->in[MOE_ROUTE_LOGITS].data + r * c->in[MOE_ROUTE_LOGITS].pitch;
        real most, sum, p[MOE_ROUTE_MOST], total = (real)MOE_ROUTE_LEAST;
        int32_t idx[MOE_ROUTE_MOST];
        row_softmax(l, X, &most, &sum);
        for (int64_t k = 0; k < K; k++) {
            real best = 0;
            idx[k] = -1;
            for (int64_t x = 0; x < X; x++) {
                real score = !bias ? l[x] : (a->bias_logits ? l[x] : gate_of(a, l[x], most, sum)) + bias[x]; /* p rises with the logit */
                bool taken = false;
                for (int64_t j = 0; j < k; j++) taken = taken || idx[j] == x;
                if (!taken && (idx[k] < 0 || score > best)) idx[k] = (int32_t)x, best = score;
            }
            total += p[k] = gate_of(a, l[idx[k]], most, sum);
        }
        for (int64_t k = 0; k < K; k++) {
            ((real *)c->out[MOE_ROUTE_W].data)[r * K + k] = (real)a->scale * (a->normalise ? p[k] / total : p[k]);
            if (c->out[MOE_ROUTE_IDX].data) ((int32_t *)c->out[MOE_ROUTE_IDX].data)[r * K + k] = idx[k];
        }
    }
}

void REF(moe_route_bwd)(const kr_call *c) {
    const moe_route_attr *a = c->attr;
    int64_t X = KR_SIZE(c, 'X'), K = KR_SIZE(c, 'K');
    if (!c->din[MOE_ROUTE_LOGITS].data || !c->dout[MOE_ROUTE_W].data) return;
    for (int64_t r = 0; r < c->rows; r++) {
        const real *l = (const real *)c->in[MOE_ROUTE_LOGITS].data + r * c->in[MOE_ROUTE_LOGITS].pitch;
        const real *dw = (const real *)c->dout[MOE_ROUTE_W].data + r * K;
        const int32_t *idx = (const int32_t *)c->out[MOE_ROUTE_IDX].data + r * K;
        real *dl = (real *)c->din[MOE_ROUTE_LOGITS].data + r * c->din[MOE_ROUTE_LOGITS].pitch;
        real most, sum, p[MOE_ROUTE_MOST], g[MOE_ROUTE_MOST], total = (real)MOE_ROUTE_LEAST, mean = 0;
        row_softmax(l, X, &most, &sum);
        for (int64_t k = 0; k < K; k++) total += p[k] = gate_of(a, l[idx[k]], most, sum);
        for (int64_t k = 0; k < K; k++) mean += dw[k] * p[k] / total;
        for (int64_t k = 0; k < K; k++) /* by p[k] */
            g[k] = (real)a->scale * (a->normalise ? (dw[k] - mean) / total : dw[k]);
        mean = 0;
        for (int64_t k = 0; k < K; k++) mean += g[k] * p[k];
        for (int64_t k = 0; k < K; k++) dl[idx[k]] += a->gate == MOE_SIGMOID ? g[k] * p[k] * (1 - p[k]) : g[k] * p[k];
        for (int64_t x = 0; x < X && a->gate == MOE_SOFTMAX; x++) dl[x] -= gate_of(a, l[x], most, sum) * mean;
    }
}
