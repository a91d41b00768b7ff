/* lti_scan_vec.c - lti_scan for CPUs, forward: lanes over channels, threads over sequences and
 * tiles of channels.  A single step, as decoding takes it, has its lanes over modes instead. */
#include "ops/lti_scan/lti_scan_vec.h"

static void load_inputs(const kr_call *c, int64_t row, int64_t first, int64_t n_channels, int64_t n, float *u) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < LTI_LANES; i += KR_VL)
            v_store(u + t * LTI_LANES + i,
                    load_lanes(in_at(c, LTI_U, (row + t) * c->in[LTI_U].pitch + first), i, n_channels));
}

/* A chunk of n steps, mode after mode. */
static inline __attribute__((always_inline)) void scan_tile(const mode_lanes *m, int64_t N, const bool complex,
                                                            int64_t n, const float *u, const unsigned char *begins,
                                                            float *h, float *y) {
    for (int64_t lane = 0; lane < LTI_LANES; lane += KR_VL) {
        int64_t j = 0;
        for (; j + SCAN_MODES <= N; j += SCAN_MODES)
            scan_modes(m, N, complex, SCAN_MODES, j, lane, n, u, begins, h, y);
        for (; j < N; j++) scan_modes(m, N, complex, 1, j, lane, n, u, begins, h, y);
    }
}

static void tile_fwd(const kr_call *c, int64_t s, int64_t i_tile, float *mine) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), first = i_tile * LTI_LANES;
    int64_t n_channels = D - first < LTI_LANES ? D - first : LTI_LANES, states = 2 * N * LTI_LANES;
    bool complex = c->in[LTI_AIM].data;
    mode_lanes m = mode_lanes_at(mine, N);
    float *h = mine + MODE_ARRAYS * N * LTI_LANES, *u = h + states, *y = u + LTI_CHUNK * LTI_LANES;
    const float *skip = in_at(c, LTI_D, first);
    load_modes(c, first, n_channels, &m);
    load_h0(c, s, first, n_channels, h);
    for (int64_t t0 = 0; t0 < L; t0 += LTI_CHUNK) {
        int64_t n = L - t0 < LTI_CHUNK ? L - t0 : LTI_CHUNK, row = s * L + t0,
                n_tiles = (D + LTI_LANES - 1) / LTI_LANES;
        unsigned char begins[LTI_CHUNK];
        if (c->saved && t0 > 0)
            memcpy((float *)c->saved + ((s * n_tiles + i_tile) * ((L - 1) / LTI_CHUNK) + t0 / LTI_CHUNK - 1) * states,
                   h, (size_t)states * sizeof *h);
        load_inputs(c, row, first, n_channels, n, u);
        find_begins(c, s, t0, n, begins);
        if (complex) scan_tile(&m, N, true, n, u, begins, h, y);
        else scan_tile(&m, N, false, n, u, begins, h, y);
        for (int64_t t = 0; t < n; t++)
            for (int64_t i = 0; i < n_channels; i += KR_VL) {
                vf sum = v_load(y + t * LTI_LANES + i);
                if (skip) sum += load_lanes(skip, i, n_channels) * v_load(u + t * LTI_LANES + i);
                store_lanes((float *)c->out[LTI_Y].data + (row + t) * D + first, i, n_channels, sum);
            }
    }
    float *hre = c->out[LTI_HRE].data, *him = c->out[LTI_HIM].data;
    int64_t at = (s * D + first) * N;
    if (hre) from_lanes(hre + at, h, n_channels, N, false);
    if (him && complex) from_lanes(him + at, h + N * LTI_LANES, n_channels, N, false);
    else if (him) memset(him + at, 0, (size_t)(n_channels * N) * sizeof *him);
}

/* One channel of one step. */
static void step(const kr_call *c, int64_t s, int64_t d) {
    int64_t D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), disc = ((const lti_scan_attr *)c->attr)->disc,
            at = (s * D + d) * N;
    const float *Are = in_at(c, LTI_ARE, d * N), *Aim = in_at(c, LTI_AIM, d * N), *Bre = in_at(c, LTI_BRE, d * N);
    const float *Bim = in_at(c, LTI_BIM, d * N), *Cre = in_at(c, LTI_CRE, d * N), *Cim = in_at(c, LTI_CIM, d * N);
    const float *h0re = in_at(c, LTI_H0RE, at), *h0im = in_at(c, LTI_H0IM, at);
    float *hre = c->out[LTI_HRE].data, *him = c->out[LTI_HIM].data, u = *in_at(c, LTI_U, s * c->in[LTI_U].pitch + d);
    vf dt = v_exp(v_set(*in_at(c, LTI_LOG_DT, d))), sum = v_set(0), none = v_set(0);
    for (int64_t n = 0; n < N; n += KR_VL) {
        modes m = discretise(disc, Aim, dt, load_lanes(Are, n, N), Aim ? load_lanes(Aim, n, N) : none,
                             Bre ? load_lanes(Bre, n, N) : v_set(1), Bim ? load_lanes(Bim, n, N) : none);
        vf re = h0re ? load_lanes(h0re, n, N) : none, im = Aim && h0im ? load_lanes(h0im, n, N) : none;
        vf now = re + (m.bre * u + m.are * re - m.aim * im);
        im = Aim ? im + (m.bim * u + m.are * im + m.aim * re) : none;
        sum += load_lanes(Cre, n, N) * now;
        if (Cim) sum -= load_lanes(Cim, n, N) * im;
        if (hre) store_lanes(hre + at, n, N, now);
        if (him) store_lanes(him + at, n, N, im);
    }
    const float *skip = in_at(c, LTI_D, d);
    ((float *)c->out[LTI_Y].data)[s * D + d] = v_sum(sum) * (Aim ? 2 : 1) + (skip ? *skip * u : 0);
}

void KR_VEC(lti_scan_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), n_tiles = (D + LTI_LANES - 1) / LTI_LANES;
    if (KR_SIZE(c, 'L') == 1) {
        bool wide = S * D * KR_SIZE(c, 'N') >= 1 << 15; /* below, waking threads costs more than it saves */
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if (wide)
        for (int64_t i = 0; i < S * D; i++) step(c, i / D, i % D);
        return;
    }
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t i = 0; i < S * n_tiles; i++)
        tile_fwd(c, i / n_tiles, i % n_tiles,
                 (float *)c->scratch + omp_get_thread_num() * lti_fwd_floats(KR_SIZE(c, 'N')));
}
