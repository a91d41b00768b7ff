/* dropout_vec.c - dropout for CPUs: tiles of a row, the mask drawn for 64 elements at a time. */
#include "ops/dropout/dropout.h"
#include "ops/rows.h"

enum { BLOCKS = 16, DRAWN = 4 * BLOCKS };

/* kr_philox for BLOCKS indices from `index` on, written so that the compiler runs them in lanes. */
static void draw(const dropout_draw *d, uint64_t index, uint32_t out[DRAWN]) {
    uint32_t c0[BLOCKS], c1[BLOCKS], c2[BLOCKS], c3[BLOCKS], k0 = (uint32_t)d->seed, k1 = (uint32_t)(d->seed >> 32);
    for (int i = 0; i < BLOCKS; i++) {
        c0[i] = (uint32_t)(index + (uint64_t)i), c1[i] = (uint32_t)((index + (uint64_t)i) >> 32);
        c2[i] = (uint32_t)d->stream, c3[i] = (uint32_t)(d->stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0, c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1, c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < BLOCKS; i++) out[4 * i] = c0[i], out[4 * i + 1] = c1[i], out[4 * i + 2] = c2[i], out[4 * i + 3] = c3[i];
}

/* n elements, the first of them number e: to = or += from times its factor. */
static void mask(const dropout_draw *d, int64_t e, const float *from, float *to, bool add, int64_t n) {
    uint32_t words[DRAWN];
    float scale = (float)d->scale;
    for (int64_t i = 0, m; i < n; i += m) {
        int64_t skip = (e + i) % DRAWN;
        m = DRAWN - skip < n - i ? DRAWN - skip : n - i;
        draw(d, (uint64_t)(e + i - skip) / 4, words);
        for (int64_t j = 0; j < m; j++) {
            float v = words[skip + j] >= d->threshold ? from[i + j] * scale : 0;
            to[i + j] = add ? to[i + j] + v : v;
        }
    }
}

void KR_VEC(dropout_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const kr_tensor *tx = &c->in[DROPOUT_X];
    dropout_draw d = dropout_draws(c);
    rows_tiles tiles = rows_cut(c->rows, D, tx->pitch == D);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *x = row_at(tx, t.row) + t.col;
        float *y = row_of(&c->out[DROPOUT_Y], t.row, D) + t.col;
        if (d.threshold) mask(&d, t.row * D + t.col, x, y, false, t.n);
        else memcpy(y, x, (size_t)t.n * sizeof *y);
    }
}

void KR_VEC(dropout_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const kr_tensor *tdx = &c->din[DROPOUT_X];
    dropout_draw d = dropout_draws(c);
    if (!tdx->data) return;
    rows_tiles tiles = rows_cut(c->rows, D, tdx->pitch == D);
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < tiles.n; k++) {
        rows_tile t = rows_get(&tiles, k);
        const float *dy = row_of(&c->dout[DROPOUT_Y], t.row, D) + t.col;
        float *dx = row_at(tdx, t.row) + t.col;
        if (d.threshold) mask(&d, t.row * D + t.col, dy, dx, c->acc[DROPOUT_X], t.n);
        else row_give(dx, dy, c->acc[DROPOUT_X], t.n);
    }
}
