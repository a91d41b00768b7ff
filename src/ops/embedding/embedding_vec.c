/* embedding_vec.c - embedding for CPUs.
 *
 * Backward: ids repeat, so a thread owns columns of W, not tokens, and walks all ids in
 * their order; every sum is then made in that order whatever the number of threads. */
#include "ops/embedding/embedding.h"
#include "ops/rows.h"
#include "tensor/weave.h"

static int64_t id_at(const kr_call *c, int64_t r) {
    const kr_tensor *t = &c->in[EMBEDDING_IDS];
    int64_t id = ((const int32_t *)t->data)[r * t->pitch];
    return id < KR_SIZE(c, 'V') ? id : -1;
}

void KR_VEC(embedding_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    const kr_tensor *W = &c->in[EMBEDDING_W];
#pragma omp parallel for num_threads(rows_threads(c, n * D)) schedule(static)
    for (int64_t r = 0; r < n; r++) {
        int64_t id = id_at(c, r);
        float *y = row_of(&c->out[EMBEDDING_Y], r, D);
        if (id < 0) {
            memset(y, 0, (size_t)D * sizeof *y);
        } else if (kr_is_woven(W->dtype)) {
            kr_unweave(y, W->data, W->dtype, KR_SIZE(c, 'V'), D, id * D, D);
        } else {
            kr_convert(y, KR_F32, (const char *)W->data + kr_dtype_row_bytes(W->dtype, id * D), W->dtype, D);
        }
    }
}

/* Columns [from, to) of dW. */
static void columns_bwd(const kr_call *c, int64_t from, int64_t to) {
    int64_t D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    float *dW = c->din[EMBEDDING_W].data;
    for (int64_t r = 0; r < n; r++) {
        int64_t id = id_at(c, r);
        if (id < 0) continue;
        float *dw = dW + id * D;
        const float *dy = row_of(&c->dout[EMBEDDING_Y], r, D);
        for (int64_t i = from; i < to; i += KR_VL) v_give(dw + i, v_get(dy + i, to - i), true, to - i);
    }
}

void KR_VEC(embedding_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), V = KR_SIZE(c, 'V'), n = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    float *dW = c->din[EMBEDDING_W].data;
    if (!dW || D == 0) return;
    int n_threads = rows_threads(c, (n + V) * D);
    int64_t width = ((D + n_threads - 1) / n_threads + 15) / 16 * 16, n_parts = (D + width - 1) / width; /* whole cache lines */
#pragma omp parallel num_threads(n_threads)
    {
        if (!c->acc[EMBEDDING_W])
#pragma omp for schedule(static)
            for (int64_t v = 0; v < V; v++) memset(dW + v * D, 0, (size_t)D * sizeof *dW);
#pragma omp for schedule(static)
        for (int64_t p = 0; p < n_parts; p++) columns_bwd(c, p * width, D < (p + 1) * width ? D : (p + 1) * width);
    }
}
