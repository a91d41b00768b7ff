/* lti_scan_bwd_vec.c - lti_scan for CPUs, backward.
 *
 * Chunks are taken from the last to the first, and in a chunk mode after mode: its states are made
 * again from the one that forward saved, then time runs back over them, all within L1 and registers.
 * What the whole sequence is summed into - the gradients of a, gain B and C - is one number per mode,
 * a chunk's part by itself first, so that small terms meet small sums; only the last stroke turns
 * those into gradients of A, B and log_dt, in double. */
#include "ops/lti_scan/lti_scan_vec.h"

/* What one thread works with. */
typedef struct work {
    mode_lanes m, sum;
    float *h, *dh;                /* [2][N][lane] */
    float *u, *dy, *du, *dskip;   /* [step][lane] */
    float *hs;                    /* [step + 1][mode][2][lane], of the modes taken at once */
} work;
static work work_of(float *p, int64_t N) {
    int64_t n_modes = MODE_ARRAYS * N * LTI_LANES, states = 2 * N * LTI_LANES, steps = LTI_CHUNK * LTI_LANES;
    work w = {.m = mode_lanes_at(p, N), .sum = mode_lanes_at(p + n_modes, N)};
    w.h = p + 2 * n_modes, w.dh = w.h + states;
    w.u = w.dh + states, w.dy = w.u + steps, w.du = w.dy + steps, w.dskip = w.du + steps, w.hs = w.dskip + LTI_LANES;
    return w;
}

/* The states of `few` modes from j on before and after every step, one vector of lanes, to w->hs. */
static inline __attribute__((always_inline)) void redo_modes(const work *w, int64_t N, const bool complex,
                                                             const int few, int64_t j, int64_t lane, int64_t n,
                                                             const unsigned char *begins) {
    int64_t W = LTI_LANES, half = N * W, i = j * W + lane;
    const mode_lanes *m = &w->m;
    float *hs = w->hs;
    vf re[SCAN_MODES], im[SCAN_MODES];
#pragma GCC unroll 4
    for (int q = 0; q < few; q++) {
        re[q] = v_load(w->h + i + q * W), im[q] = complex ? v_load(w->h + half + i + q * W) : v_set(0);
        v_store(hs + 2 * q * KR_VL, re[q]), v_store(hs + (2 * q + 1) * KR_VL, im[q]);
    }
    for (int64_t t = 0; t < n; t++) {
        vf x = v_load(w->u + t * W + lane);
        hs += 2 * few * KR_VL;
        if (begins[t])
#pragma GCC unroll 4
            for (int q = 0; q < few; q++) re[q] = im[q] = v_set(0);
#pragma GCC unroll 4
        for (int q = 0; q < few; q++) {
            int64_t at = i + q * W;
            vf add = v_load(m->bre + at) * x + v_load(m->are + at) * re[q];
            if (complex) {
                vf add_im = v_load(m->bim + at) * x + v_load(m->are + at) * im[q];
                add -= v_load(m->aim + at) * im[q];
                im[q] += add_im + v_load(m->aim + at) * re[q];
                v_store(hs + (2 * q + 1) * KR_VL, im[q]);
            }
            re[q] += add;
            v_store(hs + 2 * q * KR_VL, re[q]);
        }
    }
}

/* Time back over them: their sums and dh move on, du gathers over all modes. */
static inline __attribute__((always_inline)) void back_modes(const work *w, int64_t N, const bool complex,
                                                             const int few, int64_t j, int64_t lane, int64_t n,
                                                             const unsigned char *begins, const float *hs,
                                                             int64_t step) {
    int64_t W = LTI_LANES, half = N * W, i = j * W + lane;
    const mode_lanes *m = &w->m, *to = &w->sum;
    vf re[BACK_MODES], im[BACK_MODES], sum[BACK_MODES][MODE_ARRAYS];
#pragma GCC unroll 4
    for (int q = 0; q < few; q++) {
        re[q] = v_load(w->dh + i + q * W), im[q] = complex ? v_load(w->dh + half + i + q * W) : v_set(0);
#pragma GCC unroll 8
        for (int k = 0; k < MODE_ARRAYS; k++) sum[q][k] = v_set(0);
    }
    for (int64_t t = n - 1; t >= 0; t--) {
        const float *h = hs + (t + 1) * step;
        vf u = v_load(w->u + t * W + lane), dy = v_load(w->dy + t * W + lane);
        vf du = j ? v_load(w->du + t * W + lane) : v_set(0);
        vi same = (vi){0} - !begins[t]; /* else the state before was not this sequence's */
#pragma GCC unroll 4
        for (int q = 0; q < few; q++) {
            int64_t at = i + q * W;
            vf now = v_load(h + 2 * q * KR_VL), was = (vf)((vi)v_load(h - step + 2 * q * KR_VL) & same);
            vf g = re[q] + dy * v_load(m->cre + at), are = v_load(m->are + at), back = are * g;
            sum[q][4] += dy * now;
            sum[q][2] += g * u;
            sum[q][0] += g * was;
            du += g * v_load(m->bre + at);
            if (complex) {
                vf now_im = v_load(h + (2 * q + 1) * KR_VL), aim = v_load(m->aim + at);
                vf was_im = (vf)((vi)v_load(h - step + (2 * q + 1) * KR_VL) & same);
                vf g_im = im[q] - dy * v_load(m->cim + at);
                sum[q][5] -= dy * now_im;
                sum[q][3] += g_im * u;
                sum[q][0] += g_im * was_im;
                sum[q][1] += g_im * was - g * was_im;
                du += g_im * v_load(m->bim + at);
                back += aim * g_im;
                im[q] = (vf)((vi)(g_im + (are * g_im - aim * g)) & same);
            }
            re[q] = (vf)((vi)(g + back) & same);
        }
        v_store(w->du + t * W + lane, du);
    }
    float *sums[MODE_ARRAYS] = {to->are, to->aim, to->bre, to->bim, to->cre, to->cim};
#pragma GCC unroll 4
    for (int q = 0; q < few; q++) {
        int64_t at = i + q * W;
        v_store(w->dh + at, re[q]);
        if (complex) v_store(w->dh + half + at, im[q]);
#pragma GCC unroll 8
        for (int k = 0; k < MODE_ARRAYS; k++) v_store(sums[k] + at, v_load(sums[k] + at) + sum[q][k]);
    }
}

static inline __attribute__((always_inline)) void back_tile(const work *w, int64_t N, const bool complex, int64_t n,
                                                            const unsigned char *begins) {
    for (int64_t lane = 0; lane < LTI_LANES; lane += KR_VL) {
        int64_t j = 0;
        for (; j + SCAN_MODES <= N; j += SCAN_MODES) { /* more at once than time back has registers for */
            redo_modes(w, N, complex, SCAN_MODES, j, lane, n, begins);
            for (int q = 0; q < SCAN_MODES; q += BACK_MODES)
                back_modes(w, N, complex, BACK_MODES, j + q, lane, n, begins, w->hs + 2 * q * KR_VL,
                           2 * SCAN_MODES * KR_VL);
        }
        for (; j < N; j++) {
            redo_modes(w, N, complex, 1, j, lane, n, begins);
            back_modes(w, N, complex, 1, j, lane, n, begins, w->hs, 2 * KR_VL);
        }
    }
}

static void load_chunk(const kr_call *c, int64_t row, int64_t first, int64_t n_channels, int64_t n, const work *w) {
    const float *dy = c->dout[LTI_Y].data;
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < LTI_LANES; i += KR_VL) {
            v_store(w->u + t * LTI_LANES + i,
                    load_lanes(in_at(c, LTI_U, (row + t) * c->in[LTI_U].pitch + first), i, n_channels));
            v_store(w->dy + t * LTI_LANES + i,
                    dy ? load_lanes(dy + (row + t) * KR_SIZE(c, 'D') + first, i, n_channels) : v_set(0));
        }
}

static void store_chunk(const kr_call *c, int64_t row, int64_t first, int64_t n_channels, int64_t n, const work *w) {
    const float *skip = in_at(c, LTI_D, first);
    float *du = c->din[LTI_U].data;
    float dskip[LTI_LANES] = {0};
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < n_channels; i += KR_VL) {
            vf dy = v_load(w->dy + t * LTI_LANES + i), sum = v_load(w->du + t * LTI_LANES + i);
            float *to = du ? du + (row + t) * c->din[LTI_U].pitch + first : NULL;
            v_store(dskip + i, v_load(dskip + i) + dy * v_load(w->u + t * LTI_LANES + i));
            if (skip) sum += dy * load_lanes(skip, i, n_channels);
            if (to && c->acc[LTI_U]) sum += load_lanes(to, i, n_channels);
            if (to) store_lanes(to, i, n_channels, sum);
        }
    for (int64_t i = 0; i < n_channels; i++) w->dskip[i] += dskip[i];
}

/* One tile of one sequence; its sums go to `part`. */
static void tile_bwd(const kr_call *c, int64_t s, int64_t i_tile, float *mine, float *part) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), first = i_tile * LTI_LANES;
    int64_t n_channels = D - first < LTI_LANES ? D - first : LTI_LANES, states = 2 * N * LTI_LANES,
            n_modes = MODE_ARRAYS * N * LTI_LANES;
    int64_t at = (s * D + first) * N, n_saved = (L - 1) / LTI_CHUNK, n_tiles = (D + LTI_LANES - 1) / LTI_LANES;
    bool complex = c->in[LTI_AIM].data;
    const float *dhre = c->dout[LTI_HRE].data, *dhim = c->dout[LTI_HIM].data;
    work w = work_of(mine, N);
    load_modes(c, first, n_channels, &w.m);
    to_lanes(w.dh, dhre ? dhre + at : NULL, n_channels, N, 0);
    to_lanes(w.dh + states / 2, dhim && complex ? dhim + at : NULL, n_channels, N, 0);
    memset(w.sum.are, 0, (size_t)n_modes * sizeof(float));
    memset(w.dskip, 0, LTI_LANES * sizeof(float));
    for (int64_t k = n_saved; k >= 0; k--) {
        int64_t t0 = k * LTI_CHUNK, n = L - t0 < LTI_CHUNK ? L - t0 : LTI_CHUNK, row = s * L + t0;
        unsigned char begins[LTI_CHUNK];
        if (k > 0)
            memcpy(w.h, (const float *)c->saved + ((s * n_tiles + i_tile) * n_saved + k - 1) * states,
                   (size_t)states * sizeof(float));
        else load_h0(c, s, first, n_channels, w.h);
        load_chunk(c, row, first, n_channels, n, &w);
        find_begins(c, s, t0, n, begins);
        if (complex) back_tile(&w, N, true, n, begins);
        else back_tile(&w, N, false, n, begins);
        store_chunk(c, row, first, n_channels, n, &w);
    }
    memcpy(part, w.sum.are, (size_t)n_modes * sizeof(float));
    memcpy(part + n_modes, w.dskip, LTI_LANES * sizeof(float));
    float *dh0re = c->din[LTI_H0RE].data, *dh0im = c->din[LTI_H0IM].data;
    if (!complex) memset(w.dh + states / 2, 0, (size_t)(states / 2) * sizeof(float));
    if (dh0re) from_lanes(dh0re + at, w.dh, n_channels, N, c->acc[LTI_H0RE]);
    if (dh0im) from_lanes(dh0im + at, w.dh + states / 2, n_channels, N, c->acc[LTI_H0IM]);
}

static void put(const kr_call *c, int slot, int64_t i, double v) {
    float *p = c->din[slot].data;
    if (p) p[i] = (float)(c->acc[slot] ? p[i] + v : v);
}

/* From the gradients of a, b = gain B and k C to those of the inputs, for one channel. */
static void channel_bwd(const kr_call *c, int64_t d, const float *part, int64_t part_floats) {
    int64_t S = KR_SIZE(c, 'S'), N = KR_SIZE(c, 'N'), W = LTI_LANES, lane = d % W;
    double twice = c->in[LTI_AIM].data ? 2 : 1, log_dt = *in_at(c, LTI_LOG_DT, d), dlog_dt = 0, dskip = 0;
    for (int64_t s = 0; s < S; s++) dskip += part[s * part_floats + MODE_ARRAYS * N * W + lane];
    for (int64_t n = 0; n < N; n++) {
        double g[MODE_ARRAYS] = {0}, dt;
        for (int64_t s = 0; s < S; s++)
            for (int k = 0; k < MODE_ARRAYS; k++) g[k] += part[s * part_floats + (k * N + n) * W + lane];
        const float *Aim = in_at(c, LTI_AIM, d * N + n), *Bre = in_at(c, LTI_BRE, d * N + n),
                    *Bim = in_at(c, LTI_BIM, d * N + n);
        lti_complex A = {*in_at(c, LTI_ARE, d * N + n), Aim ? *Aim : 0}, conj_B = {Bre ? *Bre : 1, Bim ? -*Bim : 0}, dA;
        lti_complex da = {g[0], g[1]}, db = {g[2], g[3]};
        int64_t disc = ((const lti_scan_attr *)c->attr)->disc;
        lti_complex gain = lti_discretise(disc, log_dt, A).gain, dB = lti_mul(db, (lti_complex){gain.re, -gain.im});
        lti_discretise_bwd(disc, log_dt, A, da, lti_mul(db, conj_B), &dt, &dA);
        dlog_dt += dt;
        put(c, LTI_ARE, d * N + n, dA.re), put(c, LTI_AIM, d * N + n, dA.im);
        put(c, LTI_BRE, d * N + n, dB.re), put(c, LTI_BIM, d * N + n, dB.im);
        put(c, LTI_CRE, d * N + n, twice * g[4]), put(c, LTI_CIM, d * N + n, twice * g[5]);
    }
    put(c, LTI_LOG_DT, d, dlog_dt);
    put(c, LTI_D, d, dskip);
}

void KR_VEC(lti_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), n_tiles = (D + LTI_LANES - 1) / LTI_LANES;
    int64_t part_floats = lti_part_floats(N);
    float *parts = c->scratch, *threads = parts + S * n_tiles * part_floats; /* [tile][sequence] */
#pragma omp parallel num_threads(c->n_threads)
    {
        float *mine = threads + omp_get_thread_num() * lti_bwd_floats(N);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < S * n_tiles; i++)
            tile_bwd(c, i / n_tiles, i % n_tiles, mine, parts + (i % n_tiles * S + i / n_tiles) * part_floats);
#pragma omp for schedule(static)
        for (int64_t d = 0; d < D; d++) channel_bwd(c, d, parts + d / LTI_LANES * S * part_floats, part_floats);
    }
}
