/* embedding_ref.c - the definition of embedding. */
#include "ops/embedding/embedding.h"
#include "ops/ref.h"

void REF(embedding_fwd)(const kr_call *c) {
    int64_t V = KR_SIZE(c, 'V'), D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    for (int64_t r = 0; r < n; r++) {
        int64_t id = ((const int32_t *)c->in[EMBEDDING_IDS].data)[r * c->in[EMBEDDING_IDS].pitch];
        real *y = (real *)c->out[EMBEDDING_Y].data + r * D;
        for (int64_t i = 0; i < D; i++) y[i] = id >= 0 && id < V ? ref_weight(&c->in[EMBEDDING_W], id * D + i) : 0;
    }
}

void REF(embedding_bwd)(const kr_call *c) {
    int64_t V = KR_SIZE(c, 'V'), D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    real *dW = c->din[EMBEDDING_W].data;
    for (int64_t r = 0; r < n && dW; r++) {
        int64_t id = ((const int32_t *)c->in[EMBEDDING_IDS].data)[r * c->in[EMBEDDING_IDS].pitch];
        const real *dy = (const real *)c->dout[EMBEDDING_Y].data + r * D;
        for (int64_t i = 0; i < D && id >= 0 && id < V; i++) dW[id * D + i] += dy[i];
    }
}
