/* selective_scan_vec.c - selective_scan for CPUs, forward: lanes over channels, threads over
 * sequences and tiles of channels (and segments of time, when those are few). */
#include "ops/selective_scan/selective_scan_vec.h"

kr_kernel selective_scan_fwd_ref_f32;
kr_kernel KR_VEC(selective_scan_step);

/* What one thread works with. */
typedef struct work {
    float *A, *h;                 /* [block][N][lane] */
    float *dt, *x, *y;            /* [block][step][lane] */
    float *gather;
    unsigned char *begins;
} work;

static work work_of(const scan_grid *g, float *p) {
    int64_t states = g->N * g->width, steps = SCAN_CHUNK * g->width;
    work w = {.A = p, .h = p + states, .dt = p + 2 * states};
    w.x = w.dt + steps, w.y = w.x + steps, w.gather = w.y + steps;
    w.begins = (unsigned char *)(w.gather + 2 * g->N * SCAN_LANES);
    return w;
}

/* dt and x = dt u of n rows; adds the steps' dt to total[block][lane], if given. */
static void load_chunk(const kr_call *c, const tile *k, const work *w, int64_t row, int64_t n, float *total) {
    const float *bias = c->in[SCAN_DT_BIAS].data;
    for (int64_t t = 0; t < n; t++) {
        const float *u = in_row(c, SCAN_U, row + t) + k->first, *dt = in_row(c, SCAN_DT, row + t) + k->first;
        for (int64_t i = 0; i < k->n_blocks * SCAN_LANES; i += KR_VL) {
            int64_t to = (i / SCAN_LANES * SCAN_CHUNK + t) * SCAN_LANES + i % SCAN_LANES;
            vf raw = load_lanes(dt, i, k->n);
            if (bias) raw += load_lanes(bias + k->first, i, k->n);
            vf size = step_size(c, raw);
            v_store(w->dt + to, size);
            v_store(w->x + to, size * load_lanes(u, i, k->n));
            if (total) v_store(total + i, v_load(total + i) + size);
        }
    }
}

/* y = (C . h + D u) silu(z) */
static void store_chunk(const kr_call *c, const tile *k, const work *w, int64_t row, int64_t n) {
    const float *skip = c->in[SCAN_D].data;
    for (int64_t t = 0; t < n; t++) {
        const float *u = in_row(c, SCAN_U, row + t) + k->first;
        const float *z = c->in[SCAN_Z].data ? in_row(c, SCAN_Z, row + t) + k->first : NULL;
        float *y = (float *)c->out[SCAN_Y].data + (row + t) * KR_SIZE(c, 'D') + k->first;
        for (int64_t i = 0; i < k->n; i += KR_VL) {
            vf sum = v_load(w->y + (i / SCAN_LANES * SCAN_CHUNK + t) * SCAN_LANES + i % SCAN_LANES);
            if (skip) sum += load_lanes(skip + k->first, i, k->n) * load_lanes(u, i, k->n);
            if (z) sum *= v_silu(load_lanes(z, i, k->n));
            store_lanes(y, i, k->n, sum);
        }
    }
}

/* Carries w->h over the steps [t0, t1) of sequence s.  With `outputs`, writes y; with `save`,
 * the states between chunks.  With `product`, that becomes the segment's whole decay instead:
 * exp(A sum of dt), zero if it forgets. */
static void run(const kr_call *c, const scan_grid *g, int64_t s, int64_t i_tile, int64_t t0, int64_t t1, const work *w,
                bool outputs, bool save, float *product) {
    tile k = tile_of(g, i_tile);
    int64_t N = g->N, states = N * g->width;
    float total[SCAN_MAX_WIDTH] = {0};
    bool forgets = false;
    for (int64_t t = t0; t < t1; t += SCAN_CHUNK) {
        int64_t n = t1 - t < SCAN_CHUNK ? t1 - t : SCAN_CHUNK, row = s * g->L + t;
        if (save && t > 0)
            memcpy((float *)c->saved + ((s * g->n_tiles + i_tile) * (g->n_chunks - 1) + t / SCAN_CHUNK - 1) * states,
                   w->h, (size_t)states * sizeof *w->h);
        load_chunk(c, &k, w, row, n, product ? total : NULL);
        if (find_begins(c, s, g->L, t, n, w->begins)) forgets = true;
        for (int64_t b = 0; b < k.n_blocks; b++) {
            int64_t at = b * SCAN_CHUNK * SCAN_LANES;
            float *h = w->h + b * N * SCAN_LANES;
            block e = {.n = n, .N = N, .A = w->A + b * N * SCAN_LANES, .dt = w->dt + at, .x = w->x + at,
                       .B = in_row(c, SCAN_B, row) + k.group * N, .C = in_row(c, SCAN_C, row) + k.group * N,
                       .B_pitch = c->in[SCAN_B].pitch, .C_pitch = c->in[SCAN_C].pitch, 
                       .lane_group = k.lane_group, .gather = w->gather, .begins = w->begins};
            if (t + SCAN_CHUNK < t1) {
                int64_t next = row + SCAN_CHUNK, channel = k.first + b * SCAN_LANES;
                e.ahead = ahead_of(c, next, channel, k.group);
                if (outputs) ahead_add(&e.ahead, c->out[SCAN_Y].data, g->D, next, channel);
            }
            if (!g->shared) scan_block(&e, h, w->y + at, NULL, NULL, false);
            else if (outputs) scan_block(&e, h, w->y + at, NULL, NULL, true);
            else scan_block(&e, h, NULL, NULL, NULL, true);
        }
        if (outputs) store_chunk(c, &k, w, row, n);
    }
    for (int64_t i = 0; product && i < states; i += KR_VL) {
        int64_t lane = i / (N * SCAN_LANES) * SCAN_LANES + i % SCAN_LANES;
        v_store(product + i, forgets ? v_set(0) : decay(v_load(w->A + i) * v_load(total + lane)));
    }
}

/* One segment of one tile.  ends[item][seg]: first each segment's state from zero, then, once
 * linked, its true beginning.  A first pass does segment 0 wholly and sums the others up. */
static void segment(const kr_call *c, const scan_grid *g, int64_t item, int64_t seg, bool first, bool outputs,
                    float *ends, float *products, float *mine) {
    int64_t s = item / g->n_tiles, states = g->N * g->width, at = (item * g->n_segs + seg) * states;
    int64_t t1 = (seg + 1) * g->seg < g->L ? (seg + 1) * g->seg : g->L;
    bool whole = !first || seg == 0, last = seg == g->n_segs - 1;
    tile k = tile_of(g, item % g->n_tiles);
    work w = work_of(g, mine);
    to_lanes(w.A, (const float *)c->in[SCAN_A].data + k.first * g->N, k.n, k.n_blocks, g->N, LOG2E);
    if (!first) memcpy(w.h, ends + at, (size_t)states * sizeof *w.h);
    else if (seg == 0 && c->in[SCAN_H0].data)
        to_lanes(w.h, (const float *)c->in[SCAN_H0].data + (s * g->D + k.first) * g->N, k.n, k.n_blocks, g->N, 1);
    else memset(w.h, 0, (size_t)states * sizeof *w.h);
    run(c, g, s, item % g->n_tiles, seg * g->seg, t1, &w, whole && outputs, whole && c->saved,
        whole ? NULL : products + at);
    if (first && g->n_segs > 1) memcpy(ends + at, w.h, (size_t)states * sizeof *w.h);
    float *h = c->out[SCAN_H].data;
    if (whole && last && outputs && h) from_lanes(h + (s * g->D + k.first) * g->N, w.h, k.n, g->N, false);
}

/* ends[seg] becomes the state at the beginning of segment seg: the scan of the pairs. */
static void link_segments(const scan_grid *g, int64_t item, float *ends, const float *products) {
    int64_t states = g->N * g->width;
    float *e = ends + item * g->n_segs * states;
    const float *p = products + item * g->n_segs * states;
    for (int64_t i = 0; i < states; i++) {
        float h = e[i];
        for (int64_t seg = 1; seg < g->n_segs; seg++) {
            float end = e[seg * states + i];
            e[seg * states + i] = h;
            h = p[seg * states + i] * h + end;
        }
    }
}

static void forward(const kr_call *c, bool outputs) {
    scan_grid g = scan_grid_of(c);
    int64_t items = g.S * g.n_tiles, per_thread = (int64_t)scan_fwd_floats(&g);
    float *ends = c->scratch, *products = ends + items * g.n_segs * g.N * g.width;
    float *threads = ends + scan_fwd_shared_floats(&g);
    int64_t n_first = g.n_segs > 1 ? g.n_segs - 1 : 1; /* the last segment's sum is not needed */
#pragma omp parallel num_threads(c->n_threads)
    {
        float *mine = threads + omp_get_thread_num() * per_thread;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < items * n_first; i++)
            segment(c, &g, i / n_first, i % n_first, true, outputs, ends, products, mine);
        if (g.n_segs > 1) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < items; i++) link_segments(&g, i, ends, products);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < items * n_first; i++)
                segment(c, &g, i / n_first, 1 + i % n_first, false, outputs, ends, products, mine);
        }
    }
}

void KR_VEC(selective_scan_fwd)(const kr_call *c) {
    bool fast = ((const selective_scan_attr *)c->attr)->form == SCAN_FAST;
    if (fast && KR_SIZE(c, 'L') == 1) KR_VEC(selective_scan_step)(c);
    else if (fast || c->saved) forward(c, fast); /* backward wants the saved states whatever the form */
    if (!fast) selective_scan_fwd_ref_f32(c);
}
