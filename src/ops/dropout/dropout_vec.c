/* dropout_vec.c - dropout for CPUs: tiles of a row, the mask drawn for 64 elements at a time. */
#include "ops/dropout/dropout.h"
#include "ops/rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef uint32_t vu __attribute__((vector_size(KR_VL * sizeof(uint32_t))));
typedef uint64_t vq __attribute__((vector_size(KR_VL * sizeof(uint32_t))));
enum { DRAWN = 64 };

/* The full products of the even words.  The compiler does not find this instruction: it
 * multiplies all 64 bits, at three times the cost. */
static inline vq mul_even(vq a, vq b) {
#if defined(__x86_64__) && KR_VL == 16
    return (vq)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__x86_64__) && KR_VL == 8
    return (vq)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return (vq)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}
static inline void mul_words(vu a, uint32_t b, vu *high, vu *low) {
    vq m = (vq)((vu){0} + b), even = mul_even((vq)a, m), odd = mul_even((vq)a >> 32, m), lower = (vq){0} + 0xffffffffu;
    *high = (vu)(even >> 32 | (odd & ~lower));
    *low = (vu)((even & lower) | odd << 32);
}

/* The words of elements 64 g to 64 g + 63: kr_philox in lanes. */
static void draw(const dropout_draw *d, uint64_t g, uint32_t words[DRAWN]) {
    for (int from = 0; from < 16; from += KR_VL) {
        vu c0, c1 = (vu){0} + (uint32_t)(g * 16 >> 32), c2 = (vu){0} + (uint32_t)d->stream, h0, l0, h1, l1;
        vu c3 = (vu){0} + (uint32_t)(d->stream >> 32);
        uint32_t k0 = (uint32_t)d->seed, k1 = (uint32_t)(d->seed >> 32);
        for (int i = 0; i < KR_VL; i++) c0[i] = (uint32_t)(g * 16) + (uint32_t)(from + i);
        for (int round = 0; round < 10; round++) {
            mul_words(c0, 0xD2511F53u, &h0, &l0);
            mul_words(c2, 0xCD9E8D57u, &h1, &l1);
            c0 = h1 ^ c1 ^ k0, c2 = h0 ^ c3 ^ k1;
            c1 = l1, c3 = l0;
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        memcpy(words + from, &c0, sizeof c0);
        memcpy(words + 16 + from, &c1, sizeof c1);
        memcpy(words + 32 + from, &c2, sizeof c2);
        memcpy(words + 48 + from, &c3, sizeof c3);
    }
}

/* n elements, the first of them number e: to = or += from times its factor. */
static void mask(const dropout_draw *d, int64_t e, const float *from, float *to, bool add, int64_t n) {
    uint32_t words[DRAWN + KR_VL] = {0}; /* the last vector may reach beyond what is drawn */
    float scale = (float)d->scale;
    for (int64_t i = 0, m; i < n; i += m) {
        int64_t skip = (e + i) % DRAWN;
        m = DRAWN - skip < n - i ? DRAWN - skip : n - i;
        draw(d, (uint64_t)(e + i) / DRAWN, words);
        for (int64_t j = 0; j < m; j += KR_VL) {
            vu w;
            memcpy(&w, words + skip + j, sizeof w);
            vf v = v_select((vi)(w >= d->threshold), v_get(from + i + j, m - j) * scale, (vf){0});
            v_give(to + i + j, v, add, m - j);
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
