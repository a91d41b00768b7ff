/* moe_balance_ref.c - the definition of moe_balance. */
#include "ops/moe_balance/moe_balance.h"
#include "ops/ref.h"

/* log of the denominator of a row's softmax */
static real log_sum(const real *l, int64_t X) {
    real most = l[0], sum = 0;
    for (int64_t x = 1; x < X; x++) most = l[x] > most ? l[x] : most;
    for (int64_t x = 0; x < X; x++) sum += exp(l[x] - most);
    return most + log(sum);
}
static const real *row(const kr_call *c, int64_t r) {
    return (const real *)c->in[MOE_BALANCE_LOGITS].data + r * c->in[MOE_BALANCE_LOGITS].pitch;
}
static int64_t choices(const kr_call *c, int64_t x) {
    int64_t K = KR_SIZE(c, 'K'), n = 0;
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t k = 0; k < K; k++) n += ((const int32_t *)c->in[MOE_BALANCE_IDX].data + r * c->in[MOE_BALANCE_IDX].pitch)[k] == x;
    return n;
}

void REF(moe_balance_fwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X');
    real sum = 0, T = (real)c->rows;
    for (int64_t x = 0; x < X; x++) {
        real P = 0;
        for (int64_t r = 0; r < c->rows; r++) P += exp(row(c, r)[x] - log_sum(row(c, r), X)) / T;
        sum += (real)choices(c, x) / T * P;
    }
    const real *base = c->in[MOE_BALANCE_BASE].data;
    *(real *)c->out[MOE_BALANCE_LOSS].data = (base ? *base : 0) + (real)((const moe_balance_attr *)c->attr)->weight * (real)X * sum;
}

void REF(moe_balance_bwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X');
    real T = (real)c->rows, weight = (real)((const moe_balance_attr *)c->attr)->weight;
    if (c->din[MOE_BALANCE_BASE].data) *(real *)c->din[MOE_BALANCE_BASE].data += *(const real *)c->dout[MOE_BALANCE_LOSS].data;
    if (!c->din[MOE_BALANCE_LOGITS].data) return;
    for (int64_t r = 0; r < c->rows; r++) {
        real *dl = (real *)c->din[MOE_BALANCE_LOGITS].data + r * c->din[MOE_BALANCE_LOGITS].pitch, mean = 0;
        real k = weight * *(const real *)c->dout[MOE_BALANCE_LOSS].data * (real)X / (T * T), lse = log_sum(row(c, r), X);
        for (int64_t x = 0; x < X; x++) mean += (real)choices(c, x) * exp(row(c, r)[x] - lse);
        for (int64_t x = 0; x < X; x++) dl[x] += k * exp(row(c, r)[x] - lse) * ((real)choices(c, x) - mean);
    }
}
