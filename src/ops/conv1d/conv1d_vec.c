/* conv1d_vec.c - conv1d for CPUs: lanes over channels, threads over groups of steps and
 * strips of channels.
 *
 * A strip's taps lie transposed in local memory; a step of a strip is then a few rows of x
 * times a few rows of taps.  Which rows those are (x, x0, or zeros where a tap does not
 * count) is settled once a step, so the inner loops know nothing of it. */
#include "base/vec.h"
#include "ops/conv1d/conv1d.h"

kr_kernel KR_VEC(conv1d_step);

enum {
    STRIP = 512, /* channels */
    AHEAD = 4,   /* steps to fetch early: what comes next lies a row away, where no hardware looks */
};

#define INLINE static inline __attribute__((always_inline)) /* so that K and n become constants */

/* w[j] multiplies the input j steps ago; zeros fill up the last vector.  Aligned, for a vector
 * that lies in two cache lines costs two. */
typedef struct taps { _Alignas(64) float w[CONV1D_MAX_K][STRIP], b[STRIP]; } taps;

static const float zeros[STRIP];

static inline int64_t min_i(int64_t a, int64_t b) { return a < b ? a : b; }
static inline vf load(const float *p, int64_t n) { return n >= KR_VL ? v_load(p) : v_load_n(p, n); }
static inline void store(float *p, vf v, int64_t n) {
    if (n >= KR_VL) v_store(p, v);
    else v_store_n(p, v, n);
}

INLINE void transpose(const float *w, int64_t n, taps *t, int K) {
    for (int j = 0; j < K; j++) {
        for (int64_t d = 0; d < n; d++) t->w[j][d] = w[d * K + K - 1 - j];
        for (int64_t d = n; d % KR_VL; d++) t->w[j][d] = 0;
    }
}

static void load_taps(const kr_call *c, int64_t d0, int64_t n, taps *t) {
    int K = (int)KR_SIZE(c, 'K');
    const float *w = (const float *)c->in[CONV1D_W].data + d0 * K, *b = c->in[CONV1D_B].data;
    if (K == 4) transpose(w, n, t, 4);
    else transpose(w, n, t, K);
    for (int64_t d = 0; d < n || d % KR_VL; d++) t->b[d] = b && d < n ? b[d0 + d] : 0;
}

/* Step i of sequence s of x, or of x0 when i < 0; NULL if that is absent. */
static float *step(const kr_call *c, const kr_tensor *slot, int64_t s, int64_t i) {
    int64_t D = KR_SIZE(c, 'D'), L = KR_SIZE(c, 'L'), J = KR_SIZE(c, 'J');
    const kr_tensor *x = &slot[CONV1D_X], *x0 = &slot[CONV1D_X0];
    if (i >= 0) return x->data ? (float *)x->data + (s * L + i) * x->pitch : NULL;
    return x0->data ? (float *)x0->data + (s * J + J + i) * D : NULL;
}

/* rows[j]: the strip of the input j steps before t. */
static void find_rows(const kr_call *c, int64_t s, int64_t t, int64_t d0, const float **rows) {
    int64_t K = KR_SIZE(c, 'K'), reach = conv1d_reach(c, s, t);
    for (int64_t j = 0; j < K; j++) {
        const float *x = j <= reach ? step(c, c->in, s, t - j) : NULL;
        rows[j] = x ? x + d0 : zeros;
    }
}

/* The sum before the SiLU of the n <= KR_VL channels from i on. */
INLINE vf tap_sum(const taps *t, const float *const *rows, int64_t i, int64_t n, int K) {
    vf sum = v_load(t->b + i);
    for (int j = 0; j < K; j++) sum += v_load(t->w[j] + i) * load(rows[j] + i, n);
    return sum;
}

/* Below some 20 us of work, as in decoding, a team of threads costs more than it brings. */
static int team(const kr_call *c, int64_t n_parts) {
    int64_t work = KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D');
    return work < 16384 ? 1 : (int)min_i(c->n_threads, n_parts);
}

/* --- forward ------------------------------------------------------------------------ */

INLINE void lanes_fwd(float *y, const taps *t, const float *const *rows, int64_t i, int64_t n, bool silu, int K) {
    vf v = tap_sum(t, rows, i, n, K);
    store(y + i, silu ? v_silu(v) : v, n);
}

INLINE void strip_fwd(float *y, const taps *t, const float *const *rows, const float *soon, int64_t n, bool silu,
                      int K) {
    int64_t i = 0;
    for (; i + KR_VL <= n; i += KR_VL) {
        __builtin_prefetch(soon + i);
        lanes_fwd(y, t, rows, i, KR_VL, silu, K);
    }
    if (i < n) lanes_fwd(y, t, rows, i, n - i, silu, K);
}

static void units_fwd(const kr_call *c, conv1d_split g, int64_t group, int64_t d0, int64_t n) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), end = min_i(g.n_units, (group + 1) * g.per_group);
    int K = (int)KR_SIZE(c, 'K');
    bool silu = ((const conv1d_attr *)c->attr)->silu;
    const float *rows[CONV1D_MAX_K];
    taps taps_;
    load_taps(c, d0, n, &taps_);
    for (int64_t u = group * g.per_group; u < end; u++) {
        int64_t s = u / g.per_sequence, t0 = u % g.per_sequence * CONV1D_STEPS;
        for (int64_t t = t0; t < min_i(L, t0 + CONV1D_STEPS); t++) {
            float *y = (float *)c->out[CONV1D_Y].data + (s * L + t) * D + d0;
            find_rows(c, s, t, d0, rows);
            const float *soon = step(c, c->in, s, min_i(t + AHEAD, L - 1)) + d0;
            if (K == 4) strip_fwd(y, &taps_, rows, soon, n, silu, 4);
            else strip_fwd(y, &taps_, rows, soon, n, silu, K);
        }
    }
}

/* The last J inputs, oldest first: so x1 may lie where x0 does. */
static void carry(const kr_call *c, int64_t s) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J'), reach = conv1d_reach(c, s, L - 1);
    for (int64_t j = J - 1; j >= 0; j--) {
        float *x1 = (float *)c->out[CONV1D_X1].data + (s * J + J - 1 - j) * D;
        const float *x = j <= reach ? step(c, c->in, s, L - 1 - j) : NULL;
        if (x) memmove(x1, x, (size_t)D * sizeof *x);
        else memset(x1, 0, (size_t)D * sizeof *x1);
    }
}

void KR_VEC(conv1d_fwd)(const kr_call *c) {
    if (KR_SIZE(c, 'L') == 1 && KR_SIZE(c, 'K') == 4) {
        KR_VEC(conv1d_step)(c);
        return;
    }
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), n_strips = (D + STRIP - 1) / STRIP;
    conv1d_split g = conv1d_groups(c);
#pragma omp parallel num_threads(team(c, g.n_groups * n_strips))
    {
#pragma omp for collapse(2) schedule(static)
        for (int64_t group = 0; group < g.n_groups; group++)
            for (int64_t d = 0; d < n_strips; d++) units_fwd(c, g, group, d * STRIP, min_i(STRIP, D - d * STRIP));
        if (c->out[CONV1D_X1].data) {
#pragma omp for schedule(static)
            for (int64_t s = 0; s < S; s++) carry(c, s);
        }
    }
}

/* --- backward -----------------------------------------------------------------------
 * Steps go downwards.  The gradient g before the SiLU of a step and of the J steps after
 * it lie in a ring, so dx of that step is their sum under the taps; a unit first remakes
 * the J steps after its end, and the first unit goes on into the steps of x0. */

typedef struct strip_bwd {
    const kr_call *c;
    int64_t d0, n;
    bool silu;
    taps taps, sum;                          /* sum: shares of dw and db */
    _Alignas(64) float g[CONV1D_MAX_K][STRIP]; /* of step t at t % K */
    int64_t reach[CONV1D_MAX_K];
} strip_bwd;

/* Makes g of one step, and adds its share to the sums. */
INLINE void lanes_g(strip_bwd *b, const float *dy, const float *const *rows, float *g, int64_t i, int64_t n, bool add,
                    int K) {
    vf d = load(dy + i, n);
    if (b->silu) {
        vf v = tap_sum(&b->taps, rows, i, n, K), p = v_sigmoid(v);
        d *= p * (1.f + v * (1.f - p));
    }
    v_store(g + i, d);
    if (!add) return;
    v_store(b->sum.b + i, v_load(b->sum.b + i) + d);
    for (int j = 0; j < K; j++) v_store(b->sum.w[j] + i, v_load(b->sum.w[j] + i) + d * load(rows[j] + i, n));
}

INLINE void strip_g(strip_bwd *b, const float *dy, const float *const *rows, const float *const *soon, float *g,
                    bool add, int K) {
    int64_t i = 0;
    for (; i + KR_VL <= b->n; i += KR_VL) {
        __builtin_prefetch(soon[0] + i);
        __builtin_prefetch(soon[1] + i);
        lanes_g(b, dy, rows, g, i, KR_VL, add, K);
    }
    if (i < b->n) lanes_g(b, dy, rows, g, i, b->n - i, add, K);
}

/* dx = sum_j w[j] gs[j] (+ dx1) (+ dx) */
INLINE void lanes_dx(const taps *t, float *dx, const float *const *gs, const float *dx1, int64_t i, int64_t n,
                     bool acc, int K) {
    vf v = load(dx1 + i, n);
    if (acc) v += load(dx + i, n);
    for (int j = 0; j < K; j++) v += v_load(t->w[j] + i) * v_load(gs[j] + i);
    store(dx + i, v, n);
}

INLINE void strip_dx(const taps *t, float *dx, const float *const *gs, const float *dx1, int64_t n, bool acc, int K) {
    int64_t i = 0;
    for (; i + KR_VL <= n; i += KR_VL) lanes_dx(t, dx, gs, dx1, i, KR_VL, acc, K);
    if (i < n) lanes_dx(t, dx, gs, dx1, i, n - i, acc, K);
}

static void step_g(strip_bwd *b, int64_t s, int64_t t, bool add) {
    const kr_call *c = b->c;
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), early = t > AHEAD ? t - AHEAD : 0;
    int K = (int)KR_SIZE(c, 'K');
    const float *dy = (const float *)c->dout[CONV1D_Y].data + s * L * D + b->d0;
    const float *rows[CONV1D_MAX_K], *soon[2] = {step(c, c->in, s, early) + b->d0, dy + early * D};
    float *g = b->g[t % K];
    find_rows(c, s, t, b->d0, rows);
    b->reach[t % K] = conv1d_reach(c, s, t);
    if (K == 4 && add) strip_g(b, dy + t * D, rows, soon, g, true, 4);
    else strip_g(b, dy + t * D, rows, soon, g, add, K);
}

static void step_dx(strip_bwd *b, int64_t s, int64_t t) {
    const kr_call *c = b->c;
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J'), back = L - 1 - t;
    int K = (int)KR_SIZE(c, 'K');
    float *dx = step(c, c->din, s, t);
    const float *gs[CONV1D_MAX_K], *dy = c->dout[CONV1D_Y].data, *dx1 = c->dout[CONV1D_X1].data;
    bool acc = c->acc[t < 0 ? CONV1D_X0 : CONV1D_X];
    if (!dx) return;
    for (int64_t j = 0; j < K; j++) {
        int64_t u = t + j;
        gs[j] = dy && u >= 0 && u < L && j <= b->reach[u % K] ? b->g[u % K] : zeros;
    }
    bool carried = dx1 && back < J && back <= conv1d_reach(c, s, L - 1);
    dx1 = carried ? dx1 + (s * J + J - 1 - back) * D + b->d0 : zeros;
    if (K == 4) strip_dx(&b->taps, dx + b->d0, gs, dx1, b->n, acc, 4);
    else strip_dx(&b->taps, dx + b->d0, gs, dx1, b->n, acc, K);
}

static void units_bwd(const kr_call *c, conv1d_split g, int64_t group, int64_t d0, int64_t n) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), J = KR_SIZE(c, 'J');
    int64_t end = min_i(g.n_units, (group + 1) * g.per_group);
    bool given = c->dout[CONV1D_Y].data, sums = given && (c->din[CONV1D_W].data || c->din[CONV1D_B].data);
    strip_bwd b = {.c = c, .d0 = d0, .n = n, .silu = ((const conv1d_attr *)c->attr)->silu};
    load_taps(c, d0, n, &b.taps);
    for (int64_t u = group * g.per_group; u < end; u++) {
        int64_t s = u / g.per_sequence, t0 = u % g.per_sequence * CONV1D_STEPS, t1 = min_i(L, t0 + CONV1D_STEPS);
        for (int64_t t = min_i(L, t1 + J) - 1; t >= (t0 ? t0 : -J); t--) {
            if (given && t >= 0) step_g(&b, s, t, sums && t < t1);
            if (t < t1) step_dx(&b, s, t);
        }
    }
    float *part = (float *)c->scratch + group * (J + 2) * D + d0;
    for (int64_t j = 0; j <= J; j++) memcpy(part + j * D, b.sum.w[j], (size_t)n * sizeof(float));
    memcpy(part + (J + 1) * D, b.sum.b, (size_t)n * sizeof(float));
}

static void add_groups(const kr_call *c, int64_t n_groups, int64_t d) {
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    for (int64_t j = 0; j <= K; j++) {
        int i = j < K ? CONV1D_W : CONV1D_B;
        float *to = c->din[i].data, sum = 0;
        if (!to) continue;
        to += j < K ? d * K + K - 1 - j : d;
        if (c->acc[i]) sum = *to;
        for (int64_t g = 0; g < n_groups; g++) sum += ((const float *)c->scratch)[(g * (K + 1) + j) * D + d];
        *to = sum;
    }
}

void KR_VEC(conv1d_bwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), n_strips = (D + STRIP - 1) / STRIP;
    conv1d_split g = conv1d_groups(c);
#pragma omp parallel num_threads(team(c, g.n_groups * n_strips))
    {
#pragma omp for collapse(2) schedule(static)
        for (int64_t group = 0; group < g.n_groups; group++)
            for (int64_t d = 0; d < n_strips; d++) units_bwd(c, g, group, d * STRIP, min_i(STRIP, D - d * STRIP));
#pragma omp for schedule(static)
        for (int64_t d = 0; d < D; d++) add_groups(c, g.n_groups, d);
    }
}
