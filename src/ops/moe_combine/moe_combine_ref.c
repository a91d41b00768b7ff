/* moe_combine_ref.c - the definition of moe_combine. */
#include "ops/moe_combine/moe_combine.h"
#include "ops/ref.h"

void REF(moe_combine_fwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[MOE_COMBINE_X].data + r * c->in[MOE_COMBINE_X].pitch;
        const real *w = (const real *)c->in[MOE_COMBINE_W].data + r * c->in[MOE_COMBINE_W].pitch;
        for (int64_t i = 0; i < D; i++) {
            real sum = 0;
            for (int64_t k = 0; k < K; k++) sum += w[k] * x[k * D + i];
            ((real *)c->out[MOE_COMBINE_Y].data)[r * D + i] = sum;
        }
    }
}

void REF(moe_combine_bwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), D = KR_SIZE(c, 'D');
    const kr_tensor *tdx = &c->din[MOE_COMBINE_X], *tdw = &c->din[MOE_COMBINE_W];
    for (int64_t r = 0; r < c->rows; r++) {
        const real *x = (const real *)c->in[MOE_COMBINE_X].data + r * c->in[MOE_COMBINE_X].pitch;
        const real *w = (const real *)c->in[MOE_COMBINE_W].data + r * c->in[MOE_COMBINE_W].pitch;
        const real *dy = (const real *)c->dout[MOE_COMBINE_Y].data + r * D;
        for (int64_t k = 0; k < K; k++)
            for (int64_t i = 0; i < D; i++) {
                if (tdx->data) ((real *)tdx->data + r * tdx->pitch)[k * D + i] += w[k] * dy[i];
                if (tdw->data) ((real *)tdw->data + r * tdw->pitch)[k] += x[k * D + i] * dy[i];
            }
    }
}
