/* gemm_blocks_row_vec.c - one row by weights in blocks, as decoding takes them.
 *
 * As gemm_blocks_vec.c does it, but what is turned around is multiplied at once, from registers:
 * for a single row the way through a panel in L1 would cost more than the products.  The sums are
 * those of gemm.h, bit for bit. */
#include <string.h>

#include "base/vec.h"
#include "ops/gemm.h"
#include "ops/gemm_dot.h"
#include "ops/gemm_turn.h"
#include "tensor/quant.h"

#define INLINE static inline __attribute__((always_inline))

/* Where KR_VL columns' blocks begin (a column past the end: the last again), how far behind the first
 * each is, and what to fetch meanwhile. */
typedef struct source { const uint8_t *row[KR_VL]; vi offset; const char *ahead; } source;

typedef struct single { const int8_t *x; const kr_gemm_group *a; int64_t groups; } single; /* the row, rounded */

INLINE void fetch(source *s, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(s->ahead + i, 0, 2);
    s->ahead += bytes;
}

/* Four bytes of each column. */
INLINE vi four_bytes(const source *s, int64_t at) {
#if defined(KR_V512_)
    return (vi)_mm512_i32gather_epi32((__m512i)s->offset, s->row[0] + at, 1);
#elif defined(KR_V256_)
    return (vi)_mm256_i32gather_epi32((const int *)(const void *)(s->row[0] + at), (__m256i)s->offset, 1);
#else
    vi v;
    for (int i = 0; i < KR_VL; i++) memcpy((char *)&v + 4 * i, s->row[i] + at, 4);
    return v;
#endif
}
INLINE vf low_half(vi h) { return from_upper(h << 16, false); }
INLINE vf high_half(vi h) { return from_upper(h & (int32_t)0xffff0000u, false); }

INLINE vi four_of(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
    return four - (vi){0};
}
/* s + the products of n words of weights with four numbers of x each. */
INLINE vi dots(vi s, const vi *w, const int8_t *x, const int n, const bool vnni) {
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) s = dot_low(s, w[i], four_of(x + 4 * i), vnni);
    return s;
}
INLINE vf scaled(vf sum, vi s, vf scale, float d) { return sum + __builtin_convertvector(s, vf) * (scale * d); }

INLINE vf row_q8_0(source *s, const single *r, const bool vnni, vf sum) {
    for (int64_t g = 0; g < r->groups; g++) {
        const int8_t *x = r->x + 32 * g;
        vi t[8], n = r->a[g].base[0] - (vi){0};
        fetch(s, KR_VL * 34);
        turn_eight(s->row, g * 34 + 2, t);
        if (!vnni) n = (vi){0};
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            n = vnni ? dot_low(n, t[i] ^ (int32_t)0x80808080u, four_of(x + 4 * i), true) : dot_signed(n, t[i], four_of(x + 4 * i));
        sum = scaled(sum, n, low_half(four_bytes(s, g * 34)), r->a[g].d);
    }
    return sum;
}

INLINE vf row_q4_0(source *s, const single *r, const bool vnni, vf sum) {
    for (int64_t g = 0; g < r->groups; g++) {
        vi t[4], w[8];
        fetch(s, KR_VL * 18);
        turn_four(s->row, g * 18 + 2, t);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) w[i] = t[i] & 0x0f0f0f0f, w[4 + i] = t[i] >> 4 & 0x0f0f0f0f;
        vi n = dots(r->a[g].base[0] - (vi){0}, w, r->x + 32 * g, 8, vnni);
        sum = scaled(sum, n, low_half(four_bytes(s, g * 18)), r->a[g].d);
    }
    return sum;
}

INLINE vf row_q4_k(source *s, const single *r, const bool vnni, vf sum) {
    for (int64_t g = 0; g < r->groups; g += 8) {
        int64_t at = g / 8 * 144;
        vi t[4], scale[2], min[2];
        turn_four(s->row, at, t);
        vf d = low_half(t[0]), dmin = high_half(t[0]);
        scale[0] = t[1] & 0x3f3f3f3f, min[0] = t[2] & 0x3f3f3f3f;
        scale[1] = (t[3] & 0x0f0f0f0f) | (t[1] >> 2 & 0x30303030), min[1] = (t[3] >> 4 & 0x0f0f0f0f) | (t[2] >> 2 & 0x30303030);
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; pair++) {
            vi q[8], w[8];
            fetch(s, KR_VL * 36);
            turn_eight(s->row, at + 16 + 32 * pair, q);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                int k = 2 * pair + half;
                const kr_gemm_group *a = &r->a[g + k];
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) w[i] = q[i] >> 4 * half & 0x0f0f0f0f;
                vi n = dots((vi){0}, w, r->x + 32 * (g + k), 8, vnni);
                vf sk = d * __builtin_convertvector(scale[k / 4] >> 8 * (k % 4) & 63, vf), mk = dmin * __builtin_convertvector(min[k / 4] >> 8 * (k % 4) & 63, vf);
                sum = scaled(sum, n, sk, a->d);
                sum -= mk * a->sum;
            }
        }
    }
    return sum;
}

INLINE vf row_q6_k(source *s, const single *r, const bool vnni, vf sum) {
    for (int64_t g = 0; g < r->groups; g += 8) {
        int64_t at = g / 8 * 210;
        vi scale[4];
        vf d = high_half(four_bytes(s, at + 206)); /* two bytes more would be past the last block */
        turn_four(s->row, at + 192, scale);
        for (int h = 0; h < 2; h++) {
            vi t[16], high[8];
            fetch(s, KR_VL * 105);
            turn_eight(s->row, at + 64 * h, t), turn_eight(s->row, at + 64 * h + 32, t + 8);
            turn_eight(s->row, at + 128 + 32 * h, high);
#pragma GCC unroll 8
            for (int half = 0; half < 8; half++) { /* of the groups g + 4 h .. + 3, 16 numbers each */
                const kr_gemm_group *a = &r->a[g + 4 * h + half / 2];
                int k = 8 * h + half;
                vi w[4];
#pragma GCC unroll 4
                for (int c = 0; c < 4; c++) {
                    int i = 4 * half + c;
                    w[c] = (t[i % 16] >> 4 * (i / 16) & 0x0f0f0f0f) | (high[i % 8] >> 2 * (i / 8) & 0x03030303) << 4;
                }
                vi n = dots(a->base[half % 2] - (vi){0}, w, r->x + 32 * (g + 4 * h) + 16 * half, 4, vnni);
                sum = scaled(sum, n, d * __builtin_convertvector(scale[k / 4] << (24 - 8 * (k % 4)) >> 24, vf), a->d);
            }
        }
    }
    return sum;
}

typedef vf row_kernel(source *s, const single *r, vf sum);
#define ROW(type, vnni) \
    static vf type##_##vnni(source *s, const single *r, vf sum) { return row_##type(s, r, vnni, sum); }
ROW(q8_0, 0) ROW(q4_0, 0) ROW(q4_k, 0) ROW(q6_k, 0)
#if defined(KR_V512_) || defined(KR_V256_)
ROW(q8_0, 1) ROW(q4_0, 1) ROW(q4_k, 1) ROW(q6_k, 1)
#define BOTH(type) vnni ? type##_1 : type##_0
#else
#define BOTH(type) type##_0
#endif

void KR_VEC(kr_gemm_blocks_row)(const kr_gemm *g, bool vnni, const int8_t *x, const kr_gemm_group *a, int64_t j0, int64_t j1) {
    int64_t ld = (int64_t)kr_dtype_row_bytes(g->b_type, g->ldb);
    single r = {x, a, g->k / 32};
    row_kernel *kernel = g->b_type == KR_Q8_0 ? BOTH(q8_0) : g->b_type == KR_Q4_0 ? BOTH(q4_0) : g->b_type == KR_Q4_K ? BOTH(q4_k) : BOTH(q6_k);
    (void)vnni;
    for (int64_t j = j0; j < j1; j += KR_VL) {
        int64_t n = kr_gemm_least(KR_VL, j1 - j);
        source s = {.ahead = (const char *)g->b + (j + KR_VL) * ld};
        for (int i = 0; i < KR_VL; i++) {
            int64_t offset = kr_gemm_least(i, n - 1) * ld;
            s.row[i] = (const uint8_t *)g->b + j * ld + offset;
            s.offset[i] = (int32_t)offset;
        }
        vf sum = g->acc ? v_load_n(g->c + j, n) : (vf){0};
        if (g->bias) sum += v_load_n(g->bias + j, n);
        v_store_n(g->c + j, kernel(&s, &r, sum), n);
    }
}
