/* softmix_ref.c - the definition of softmix. */
#include "ops/ref.h"
#include "ops/softmix/softmix.h"

/* p = softmax of K scores */
static void softmax(const real *a, int64_t K, real *p) {
    real most = a[0], sum = 0;
    for (int64_t k = 1; k < K; k++) most = a[k] > most ? a[k] : most;
    for (int64_t k = 0; k < K; k++) sum += p[k] = exp(a[k] - most);
    for (int64_t k = 0; k < K; k++) p[k] /= sum;
}

void REF(softmix_fwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), E = KR_SIZE(c, 'E');
    for (int64_t s = 0; s < c->rows; s++) {
        const real *x = (const real *)c->in[SOFTMIX_X].data + s * c->in[SOFTMIX_X].pitch;
        real p[64], *y = (real *)c->out[SOFTMIX_Y].data + s * E;
        softmax((const real *)c->in[SOFTMIX_A].data + s * c->in[SOFTMIX_A].pitch, K, p);
        for (int64_t e = 0; e < E; e++) {
            y[e] = 0;
            for (int64_t k = 0; k < K; k++) y[e] += p[k] * x[k * E + e];
        }
    }
}

void REF(softmix_bwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), E = KR_SIZE(c, 'E');
    for (int64_t s = 0; s < c->rows; s++) {
        const real *x = (const real *)c->in[SOFTMIX_X].data + s * c->in[SOFTMIX_X].pitch, *dy = (const real *)c->dout[SOFTMIX_Y].data + s * E;
        real p[64], g[64], mean = 0;
        softmax((const real *)c->in[SOFTMIX_A].data + s * c->in[SOFTMIX_A].pitch, K, p);
        for (int64_t k = 0; k < K; k++) {
            g[k] = 0;
            for (int64_t e = 0; e < E; e++) g[k] += dy[e] * x[k * E + e];
            mean += p[k] * g[k];
        }
        if (c->din[SOFTMIX_A].data)
            for (int64_t k = 0; k < K; k++) ((real *)c->din[SOFTMIX_A].data + s * c->din[SOFTMIX_A].pitch)[k] += p[k] * (g[k] - mean);
        if (c->din[SOFTMIX_X].data)
            for (int64_t k = 0; k < K; k++)
                for (int64_t e = 0; e < E; e++) ((real *)c->din[SOFTMIX_X].data + s * c->din[SOFTMIX_X].pitch)[k * E + e] += p[k] * dy[e];
    }
}
