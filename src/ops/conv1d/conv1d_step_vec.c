/* conv1d_step_vec.c - conv1d of four taps for one step (L = 1), as decoding takes it.
 *
 * The taps of a few channels are turned around in registers: there are no other steps for which
 * to keep them.  Sums are those of conv1d_vec.c, bit for bit. */
#include "base/team.h"
#include "base/vec.h"
#include "ops/conv1d/conv1d.h"
#include "ops/gemm_turn.h"

kr_kernel KR_VEC(conv1d_step);

enum { K = 4, J = K - 1, STRIP = 512 };

static inline vf get(const float *p, int64_t n) { return n >= KR_VL ? v_load(p) : v_load_n(p, n); }
static inline void put(float *p, vf v, int64_t n) {
    if (n >= KR_VL) v_store(p, v);
    else v_store_n(p, v, n);
}

/* t[k]: tap k of KR_VL channels, whose taps lie side by side. */
static inline void load_taps(const float *w, vf *t) {
    vf v[4];
    for (int r = 0; r < 4; r++) {
#define TAPS(lane) (w + (r + 4 * (lane)) * K)
#if defined(KR_V512_)
        __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(TAPS(0)));
        x = _mm512_insertf32x4(x, _mm_loadu_ps(TAPS(1)), 1);
        x = _mm512_insertf32x4(x, _mm_loadu_ps(TAPS(2)), 2);
        v[r] = (vf)_mm512_insertf32x4(x, _mm_loadu_ps(TAPS(3)), 3);
#elif defined(KR_V256_)
        v[r] = (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(TAPS(0))), _mm_loadu_ps(TAPS(1)), 1);
#else
        v[r] = v_load(TAPS(0));
#endif
#undef TAPS
    }
    turn_lanes(v, t);
}

/* Channels d .. d + n of sequence s, n <= KR_VL. */
static inline void channels(const kr_call *c, int64_t s, int64_t d, int64_t n, bool silu) {
    int64_t D = KR_SIZE(c, 'D');
    const float *w = (const float *)c->in[CONV1D_W].data + d * K, *b = c->in[CONV1D_B].data, *x0 = c->in[CONV1D_X0].data;
    float *x1 = c->out[CONV1D_X1].data, few[KR_VL * K] = {0};
    vf t[K], x[K] = {get((const float *)c->in[CONV1D_X].data + s * c->in[CONV1D_X].pitch + d, n)}; /* x[j]: j steps ago */
    for (int j = 1; j < K; j++) x[j] = x0 ? get(x0 + (s * J + J - j) * D + d, n) : (vf){0};
    if (n < KR_VL) memcpy(few, w, (size_t)n * K * sizeof *w);
    load_taps(n < KR_VL ? few : w, t);
    vf sum = b ? get(b + d, n) : (vf){0};
    for (int j = 0; j < K; j++) sum += t[K - 1 - j] * x[j];
    put((float *)c->out[CONV1D_Y].data + s * D + d, silu ? v_silu(sum) : sum, n);
    for (int j = 0; j < J && x1; j++) put(x1 + (s * J + J - 1 - j) * D + d, x[j], n);
}

static void strip(void *arg, int64_t i, int who) {
    const kr_call *c = arg;
    int64_t D = KR_SIZE(c, 'D'), n = (D + STRIP - 1) / STRIP, s = i / n, d = i % n * STRIP, end = d + STRIP < D ? d + STRIP : D;
    bool silu = ((const conv1d_attr *)c->attr)->silu;
    (void)who;
    for (; d + KR_VL <= end; d += KR_VL) channels(c, s, d, KR_VL, silu);
    if (d < end) channels(c, s, d, end - d, silu);
}

/* A microsecond of one sequence is not worth another thread. */
void KR_VEC(conv1d_step)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D');
    kr_team_each(S * D < 4096 ? 1 : c->n_threads, S * ((D + STRIP - 1) / STRIP), strip, (void *)c);
}
