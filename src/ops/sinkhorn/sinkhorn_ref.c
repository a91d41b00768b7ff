/* sinkhorn_ref.c - the definition of sinkhorn. */
#include "ops/ref.h"
#include "ops/sinkhorn/sinkhorn.h"

void REF(sinkhorn_fwd)(const kr_call *c) {
    int64_t X = KR_SIZE(c, 'X');
    real *bias = c->out[SINKHORN_BIAS].data, *share = c->scratch;
    for (int64_t x = 0; x < X; x++) bias[x] = 0;
    for (int64_t round = 0; round < ((const sinkhorn_attr *)c->attr)->rounds; round++) {
        for (int64_t x = 0; x < X; x++) share[x] = 0;
        for (int64_t r = 0; r < c->rows; r++) {
            const real *l = (const real *)c->in[SINKHORN_LOGITS].data + r * c->in[SINKHORN_LOGITS].pitch;
            real most = l[0] + bias[0], sum = 0;
            for (int64_t x = 1; x < X; x++) most = l[x] + bias[x] > most ? l[x] + bias[x] : most;
            for (int64_t x = 0; x < X; x++) sum += exp(l[x] + bias[x] - most);
            for (int64_t x = 0; x < X; x++) share[x] += exp(l[x] + bias[x] - most) / sum / (real)c->rows;
        }
        for (int64_t x = 0; x < X; x++) bias[x] -= log((share[x] + (real)SINKHORN_LEAST) * (real)X);
    }
}
