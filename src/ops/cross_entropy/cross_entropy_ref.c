/* cross_entropy_ref.c - the definition of cross_entropy. */
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/ref.h"

static real logit(const kr_call *c, int64_t r, int64_t v) {
    int64_t K = KR_SIZE(c, 'K');
    const real *x = (const real *)c->in[CROSS_ENTROPY_X].data + r * c->in[CROSS_ENTROPY_X].pitch;
    real sum = 0;
    for (int64_t k = 0; k < K; k++) sum += x[k] * ref_weight(&c->in[CROSS_ENTROPY_W], v * K + k);
    return sum;
}

static real log_sum_exp(const kr_call *c, int64_t r) {
    int64_t V = cross_entropy_columns(c);
    real max = logit(c, r, 0), sum = 0;
    for (int64_t v = 1; v < V; v++) max = fmax(max, logit(c, r, v));
    for (int64_t v = 0; v < V; v++) sum += exp(logit(c, r, v) - max);
    return max + log(sum);
}

static int64_t count_scored(const kr_call *c) {
    int64_t n = 0;
    for (int64_t r = 0; r < c->rows; r++) n += cross_entropy_target(c, r) >= 0;
    return n;
}

void REF(cross_entropy_fwd)(const kr_call *c) {
    double z_loss = ((const cross_entropy_attr *)c->attr)->z_loss;
    real *loss = c->out[CROSS_ENTROPY_LOSS].data, *nlls = c->out[CROSS_ENTROPY_NLL].data;
    real *lses = c->out[CROSS_ENTROPY_LSE].data;
    int64_t n = count_scored(c);
    *loss = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t target = cross_entropy_target(c, r);
        real lse = log_sum_exp(c, r), nll = target >= 0 ? lse - logit(c, r, target) : 0;
        if (target >= 0) *loss += (nll + z_loss * lse * lse) / n;
        if (nlls) nlls[r] = nll;
        if (lses) lses[r] = lse;
    }
}

/* dl[v] = (dnll + dlse) softmax(l)[v] - dnll [v is the target], with the loss taken apart
 * into nll and lse of every token. */
void REF(cross_entropy_bwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), V = cross_entropy_columns(c), n = count_scored(c);
    double z_loss = ((const cross_entropy_attr *)c->attr)->z_loss;
    const real *dloss = c->dout[CROSS_ENTROPY_LOSS].data, *dnlls = c->dout[CROSS_ENTROPY_NLL].data;
    const real *dlses = c->dout[CROSS_ENTROPY_LSE].data;
    real *dw = c->din[CROSS_ENTROPY_W].data;
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t target = cross_entropy_target(c, r);
        real lse = log_sum_exp(c, r), share = target >= 0 && dloss ? *dloss / n : 0;
        real dnll = target >= 0 ? share + (dnlls ? dnlls[r] : 0) : 0;
        real dlse = share * 2 * z_loss * lse + (dlses ? dlses[r] : 0);
        const real *x = (const real *)c->in[CROSS_ENTROPY_X].data + r * c->in[CROSS_ENTROPY_X].pitch;
        real *dx = c->din[CROSS_ENTROPY_X].data;
        if (dx) dx += r * c->din[CROSS_ENTROPY_X].pitch;
        for (int64_t v = 0; v < V; v++) {
            real dl = (dnll + dlse) * exp(logit(c, r, v) - lse) - (v == target ? dnll : 0);
            for (int64_t k = 0; k < K; k++) {
                if (dx) dx[k] += dl * ref_weight(&c->in[CROSS_ENTROPY_W], v * K + k);
                if (dw) dw[v * K + k] += dl * x[k];
            }
        }
    }
}
