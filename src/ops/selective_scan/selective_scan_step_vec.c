/* selective_scan_step_vec.c - selective_scan for one step (L = 1), as decoding takes it.
 *
 * Lanes lie over the states of a channel, in the order that memory has them: turning A and h
 * around, as the long scan does, would cost more than the step itself. */
#include "base/team.h"
#include "ops/selective_scan/selective_scan_vec.h"

#define INLINE static inline __attribute__((always_inline))

#if defined(KR_V512_) || defined(KR_V256_)
/* Floats of A and of the state that are fetched meanwhile: pages are too short for the CPU to foresee that. */
enum { AHEAD = 1024, VECTORS = 16 / KR_VL };

/* v_sum of each of KR_VL vectors, in its order: 8 apart, 4 apart, 2, 1.  Of lanes of 128 bits; macros, as clang wants to
 * see the numbers of an intrinsic before it inlines. */
#if defined(KR_V512_)
#define SUM_LANES(a, b, low, high) \
    ((vf)_mm512_shuffle_f32x4((__m512)(a), (__m512)(b), low) + (vf)_mm512_shuffle_f32x4((__m512)(a), (__m512)(b), high))
#define SUM_IN_LANES(a, b, low, high) \
    ((vf)_mm512_shuffle_ps((__m512)(a), (__m512)(b), low) + (vf)_mm512_shuffle_ps((__m512)(a), (__m512)(b), high))
#else
#define SUM_LANES(a, b, low, high) \
    ((vf)_mm256_permute2f128_ps((__m256)(a), (__m256)(b), low) + (vf)_mm256_permute2f128_ps((__m256)(a), (__m256)(b), high))
#define SUM_IN_LANES(a, b, low, high) \
    ((vf)_mm256_shuffle_ps((__m256)(a), (__m256)(b), low) + (vf)_mm256_shuffle_ps((__m256)(a), (__m256)(b), high))
#endif
INLINE vf sum_each(const vf *v) {
    vf by[4], in[2]; /* by: of i, i + 4, i + 8, i + 12 */
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
#if defined(KR_V512_)
        vf a = SUM_LANES(v[i], v[i + 4], 0x44, 0xee), b = SUM_LANES(v[i + 8], v[i + 12], 0x44, 0xee);
        by[i] = SUM_LANES(a, b, 0x88, 0xdd);
#else
        by[i] = SUM_LANES(v[i], v[i + 4], 0x20, 0x31);
#endif
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) in[i] = SUM_IN_LANES(by[2 * i], by[2 * i + 1], 0x44, 0xee);
    return SUM_IN_LANES(in[0], in[1], 0x88, 0xdd);
}

/* C . h of 16 channels of a group, of 16 states each. */
static void square(const float *A, const float *h0, float *h1, const float *dt, const float *x, const float *B,
                   const float *C, float *sums) {
    vf b[VECTORS], c[VECTORS], sum[KR_VL];
    for (int v = 0; v < VECTORS; v++) b[v] = v_load(B + v * KR_VL), c[v] = v_load(C + v * KR_VL);
    for (int i = 0; i < 16; i++) {
        __builtin_prefetch(A + 16 * i + AHEAD);
        if (h0) __builtin_prefetch(h0 + 16 * i + AHEAD);
        vf of = {0};
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            int at = 16 * i + v * KR_VL;
            vf h = h0 ? v_load(h0 + at) : (vf){0};
            h = decay(v_set(dt[i] * LOG2E) * v_load(A + at)) * h + v_set(x[i]) * b[v];
            if (h1) v_store(h1 + at, h);
            of = v ? of + h * c[v] : h * c[v];
        }
        sum[i % KR_VL] = of;
        if ((i + 1) % KR_VL == 0) v_store(sums + i + 1 - KR_VL, sum_each(sum));
    }
}
#define SQUARE true
#else
static void square(const float *A, const float *h0, float *h1, const float *dt, const float *x, const float *B,
                   const float *C, float *sums) {
    (void)A, (void)h0, (void)h1, (void)dt, (void)x, (void)B, (void)C, (void)sums;
}
#define SQUARE false
#endif

static void step_block(const kr_call *c, int64_t s, int64_t first, int64_t n_channels) {
    int64_t D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), per_group = D / KR_SIZE(c, 'G');
    const float *A = (const float *)c->in[SCAN_A].data + first * N, *bias = c->in[SCAN_DT_BIAS].data;
    const float *h0 = c->in[SCAN_H0].data, *skip = c->in[SCAN_D].data, *B = in_row(c, SCAN_B, s),
                *C = in_row(c, SCAN_C, s);
    const float *z = c->in[SCAN_Z].data ? in_row(c, SCAN_Z, s) + first : NULL, *u = in_row(c, SCAN_U, s) + first;
    float *h1 = c->out[SCAN_H].data, *y = (float *)c->out[SCAN_Y].data + s * D + first;
    float dt[SCAN_LANES], x[SCAN_LANES], sums[SCAN_LANES];
    for (int64_t i = 0; i < n_channels; i += KR_VL) {
        vf raw = load_lanes(in_row(c, SCAN_DT, s) + first, i, n_channels);
        if (bias) raw += load_lanes(bias + first, i, n_channels);
        vf size = step_size(c, raw);
        v_store(dt + i, size);
        v_store(x + i, size * load_lanes(u, i, n_channels));
    }
    int64_t states = (s * D + first) * N, group = first / per_group;
    bool whole = SQUARE && N == 16 && n_channels == 16 && (first + 15) / per_group == group;
    if (whole) square(A, h0 ? h0 + states : NULL, h1 ? h1 + states : NULL, dt, x, B + group * N, C + group * N, sums);
    for (int64_t i = 0; i < n_channels && !whole; i++, A += N) {
        int64_t at = (s * D + first + i) * N, g = (first + i) / per_group * N;
        vf sum = v_set(0), rate = v_set(dt[i] * LOG2E), drive = v_set(x[i]);
        for (int64_t n = 0; n < N; n += KR_VL) {
            vf h = h0 ? load_lanes(h0 + at, n, N) : v_set(0);
            h = decay(rate * load_lanes(A, n, N)) * h + drive * load_lanes(B + g, n, N);
            sum += h * load_lanes(C + g, n, N);
            if (h1) store_lanes(h1 + at, n, N, h);
        }
        sums[i] = v_sum(sum);
    }
    for (int64_t i = 0; i < n_channels; i += KR_VL) {
        vf out = load_lanes(sums, i, n_channels);
        if (skip) out += load_lanes(skip + first, i, n_channels) * load_lanes(u, i, n_channels);
        if (z) out *= v_silu(load_lanes(z, i, n_channels));
        store_lanes(y, i, n_channels, out);
    }
}

enum { BLOCKS = 4 }; /* of SCAN_LANES channels that a thread takes at once */

static void item(void *arg, int64_t i, int who) {
    const kr_call *c = arg;
    int64_t D = KR_SIZE(c, 'D'), width = BLOCKS * SCAN_LANES, n = (D + width - 1) / width, first = i % n * width;
    (void)who;
    for (int64_t at = first; at < D && at < first + width; at += SCAN_LANES)
        step_block(c, i / n, at, D - at < SCAN_LANES ? D - at : SCAN_LANES);
}

void KR_VEC(selective_scan_step)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), width = BLOCKS * SCAN_LANES;
    kr_team_each(c->n_threads, S * ((D + width - 1) / width), item, (void *)c);
}
