/* softmix_vec.c - softmix for CPUs: threads over (sequence, tile of E) for what is as long as
 * x, over (sequence, candidate) for the sums that scores need. */
#include "ops/rows.h"
#include "ops/softmix/softmix.h"

enum { TILE = 4096, BLOCK = 512 }; /* elements of a task; of a partial sum */

static void softmax(const kr_call *c, int64_t s, float *p) {
    const float *a = row_at(&c->in[SOFTMIX_A], s);
    int64_t K = KR_SIZE(c, 'K');
    float most = a[0], sum = 0;
    for (int64_t k = 1; k < K; k++) most = a[k] > most ? a[k] : most;
    for (int64_t k = 0; k < K; k++) sum += p[k] = expf(a[k] - most);
    for (int64_t k = 0; k < K; k++) p[k] /= sum;
}

void KR_VEC(softmix_fwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), E = KR_SIZE(c, 'E'), S = c->rows, tiles = (E + TILE - 1) / TILE;
#pragma omp parallel for num_threads(rows_threads(c, S * K * E)) schedule(static)
    for (int64_t t = 0; t < S * tiles; t++) {
        int64_t s = t / tiles, from = t % tiles * TILE, to = from + TILE < E ? from + TILE : E;
        const float *x = row_at(&c->in[SOFTMIX_X], s);
        float p[64], *y = row_of(&c->out[SOFTMIX_Y], s, E);
        softmax(c, s, p);
        for (int64_t i = from; i < to; i += KR_VL) {
            vf sum = {0};
            for (int64_t k = 0; k < K; k++) sum += p[k] * v_get(x + k * E + i, to - i);
            v_put(y + i, sum, to - i);
        }
    }
}

/* g[s, k] = dy[s] . x[s, k], into scratch */
static void scores_bwd(const kr_call *c, float *g) {
    int64_t K = KR_SIZE(c, 'K'), E = KR_SIZE(c, 'E'), S = c->rows;
#pragma omp parallel for num_threads(rows_threads(c, S * K * E)) schedule(static)
    for (int64_t t = 0; t < S * K; t++) {
        const float *x = row_at(&c->in[SOFTMIX_X], t / K) + t % K * E, *dy = row_of(&c->dout[SOFTMIX_Y], t / K, E);
        double total = 0;
        for (int64_t b = 0; b < E; b += BLOCK) {
            vf part = {0};
            for (int64_t i = b; i < E && i < b + BLOCK; i += KR_VL) part += v_get(x + i, E - i) * v_get(dy + i, E - i);
            total += v_sum(part);
        }
        g[t] = (float)total;
    }
    for (int64_t s = 0; s < S; s++) {
        float p[64], mean = 0, *da = row_at(&c->din[SOFTMIX_A], s);
        softmax(c, s, p);
        for (int64_t k = 0; k < K; k++) mean += p[k] * g[s * K + k];
        for (int64_t k = 0; k < K; k++) {
            float v = p[k] * (g[s * K + k] - mean);
            da[k] = c->acc[SOFTMIX_A] ? da[k] + v : v;
        }
    }
}

void KR_VEC(softmix_bwd)(const kr_call *c) {
    int64_t K = KR_SIZE(c, 'K'), E = KR_SIZE(c, 'E'), S = c->rows, tiles = (E + TILE - 1) / TILE;
    if (c->din[SOFTMIX_A].data) scores_bwd(c, c->scratch);
    if (!c->din[SOFTMIX_X].data) return;
#pragma omp parallel for num_threads(rows_threads(c, S * K * E)) schedule(static)
    for (int64_t t = 0; t < S * tiles; t++) {
        int64_t s = t / tiles, from = t % tiles * TILE, to = from + TILE < E ? from + TILE : E;
        const float *dy = row_of(&c->dout[SOFTMIX_Y], s, E);
        float p[64], *dx = row_at(&c->din[SOFTMIX_X], s);
        softmax(c, s, p);
        for (int64_t k = 0; k < K; k++)
            for (int64_t i = from; i < to; i += KR_VL) v_give(dx + k * E + i, p[k] * v_get(dy + i, to - i), c->acc[SOFTMIX_X], to - i);
    }
}
