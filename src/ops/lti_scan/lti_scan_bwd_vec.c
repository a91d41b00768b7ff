/* lti_scan_bwd_vec.c - lti_scan for CPUs, backward.
 *
 * Chunks are taken from the last to the first: a chunk's states are made again from the one that
 * forward saved, then time runs back over them.  What the whole sequence is summed into - the
 * gradients of a, gain B and C - is one number per mode; only the last stroke turns those into
 * gradients of A, B and log_dt, in double. */
#include "ops/lti_scan/lti_scan_vec.h"

/* What one thread works with. */
typedef struct work {
    mode_lanes m, sum, chunk;     /* sums of a sequence; of one chunk, so that small terms meet small sums */
    float *h, *dh, *hs;           /* [2][N][lane]; [step + 1][2][N][lane] */
    float *u, *dy, *du, *zero, *dskip;
} work;
static work work_of(float *p, int64_t N) {
    int64_t n_modes = MODE_ARRAYS * N * LTI_LANES, states = 2 * N * LTI_LANES, steps = LTI_CHUNK * LTI_LANES;
    work w = {
        .m = mode_lanes_at(p, N), .sum = mode_lanes_at(p + n_modes, N), .chunk = mode_lanes_at(p + 2 * n_modes, N)};
    w.h = p + 3 * n_modes, w.dh = w.h + states, w.zero = w.dh + states, w.hs = w.zero + states;
    w.u = w.hs + (LTI_CHUNK + 1) * states, w.dy = w.u + steps, w.du = w.dy + steps, w.dskip = w.du + steps;
    return w;
}

static inline __attribute__((always_inline)) void back_tile(const work *w, int64_t N, bool complex, int64_t n,
                                                            const unsigned char *begins) {
    int64_t W = LTI_LANES, im = N * W;
    const mode_lanes *m = &w->m, *s = &w->chunk;
    float *dh = w->dh;
    for (int64_t t = n - 1; t >= 0; t--) {
        const float *h = w->hs + (t + 1) * 2 * im, *before = begins[t] ? w->zero : h - 2 * im;
        vf u[NV], dy[NV], du[NV];
        for (int v = 0; v < NV; v++) {
            u[v] = v_load(w->u + t * W + v * KR_VL), dy[v] = v_load(w->dy + t * W + v * KR_VL);
            du[v] = v_set(0);
        }
        for (int64_t j = 0; j < N; j++)
            for (int v = 0; v < NV; v++) {
                int64_t i = j * W + v * KR_VL;
                vf re = v_load(dh + i) + dy[v] * v_load(m->cre + i), are = v_load(m->are + i), was = v_load(before + i);
                v_store(s->cre + i, v_load(s->cre + i) + dy[v] * v_load(h + i));
                v_store(s->bre + i, v_load(s->bre + i) + re * u[v]);
                du[v] += re * v_load(m->bre + i);
                vf da = v_load(s->are + i) + re * was, back = are * re;
                if (complex) {
                    vf g = v_load(dh + im + i) - dy[v] * v_load(m->cim + i), aim = v_load(m->aim + i),
                       was_im = v_load(before + im + i);
                    v_store(s->cim + i, v_load(s->cim + i) - dy[v] * v_load(h + im + i));
                    v_store(s->bim + i, v_load(s->bim + i) + g * u[v]);
                    du[v] += g * v_load(m->bim + i);
                    da += g * was_im;
                    v_store(s->aim + i, v_load(s->aim + i) + (g * was - re * was_im));
                    back += aim * g;
                    v_store(dh + im + i, g + (are * g - aim * re));
                }
                v_store(s->are + i, da);
                v_store(dh + i, re + back);
            }
        for (int v = 0; v < NV; v++) v_store(w->du + t * W + v * KR_VL, du[v]);
        if (begins[t]) memset(dh, 0, (size_t)(2 * im) * sizeof *dh);
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
            n_modes = 3 * states;
    int64_t at = (s * D + first) * N, n_saved = (L - 1) / LTI_CHUNK, n_tiles = (D + LTI_LANES - 1) / LTI_LANES;
    bool complex = c->in[LTI_AIM].data;
    const float *dhre = c->dout[LTI_HRE].data, *dhim = c->dout[LTI_HIM].data;
    work w = work_of(mine, N);
    load_modes(c, first, n_channels, &w.m);
    to_lanes(w.dh, dhre ? dhre + at : NULL, n_channels, N, 0);
    to_lanes(w.dh + states / 2, dhim && complex ? dhim + at : NULL, n_channels, N, 0);
    memset(w.sum.are, 0, (size_t)n_modes * sizeof(float));
    memset(w.zero, 0, (size_t)states * sizeof(float));
    memset(w.dskip, 0, LTI_LANES * sizeof(float));
    for (int64_t k = n_saved; k >= 0; k--) {
        int64_t t0 = k * LTI_CHUNK, n = L - t0 < LTI_CHUNK ? L - t0 : LTI_CHUNK, row = s * L + t0;
        unsigned char begins[LTI_CHUNK];
        if (k > 0)
            memcpy(w.h, (const float *)c->saved + ((s * n_tiles + i_tile) * n_saved + k - 1) * states,
                   (size_t)states * sizeof(float));
        else load_h0(c, s, first, n_channels, w.h);
        memcpy(w.hs, w.h, (size_t)states * sizeof(float));
        memset(w.chunk.are, 0, (size_t)n_modes * sizeof(float));
        load_chunk(c, row, first, n_channels, n, &w);
        find_begins(c, s, t0, n, begins);
        if (complex) {
            scan_tile(&w.m, N, true, n, w.u, begins, w.h, NULL, w.hs + states);
            back_tile(&w, N, true, n, begins);
        } else {
            scan_tile(&w.m, N, false, n, w.u, begins, w.h, NULL, w.hs + states);
            back_tile(&w, N, false, n, begins);
        }
        for (int64_t i = 0; i < n_modes; i++) w.sum.are[i] += w.chunk.are[i];
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
