/* selective_scan_vec.c - selective_scan for CPUs, forward: lanes over channels, threads over
 * sequences and bands of tiles of channels (and segments of time, when those are few). */
#include "ops/selective_scan/selective_scan_vec.h"

kr_kernel selective_scan_fwd_ref_f32;
kr_kernel KR_VEC(selective_scan_step);

/* What one thread works with. */
typedef struct work {
    float *dt, *x, *y;            /* [block][step][lane] of one tile */
    float *total;                 /* [tile of the band][lane], sums of dt */
    float *gather;
    unsigned char *begins;
} work;

static work work_of(const scan_grid *g, float *p) {
    int64_t steps = SCAN_CHUNK * g->width;
    work w = {.dt = p, .x = p + steps, .y = p + 2 * steps, .total = p + 3 * steps};
    w.gather = w.total + SCAN_BAND * g->width;
    w.begins = (unsigned char *)(w.gather + 2 * g->N * SCAN_LANES);
    return w;
}

/* What all threads share. */
typedef struct common {
    float *A;                     /* [tile][block][N][lane] times log2 e */
    float *h, *products;          /* [sequence][segment][tile][block][N][lane] */
} common;

/* dt and x = dt u of some steps; adds their dt to total[block][lane], if given. */
static void load_chunk(const kr_call *c, const tile *k, const work *w, const scan_steps *e, float *total) {
    const float *bias = c->in[SCAN_DT_BIAS].data;
    for (int64_t t = 0; t < e->n; t++) {
        const float *u = in_row(c, SCAN_U, e->row[t]) + k->first, *dt = in_row(c, SCAN_DT, e->row[t]) + k->first;
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
static void store_chunk(const kr_call *c, const tile *k, const work *w, const scan_steps *e) {
    const float *skip = c->in[SCAN_D].data;
    bool stream = streams(c, &c->out[SCAN_Y], KR_SIZE(c, 'D'), k);
    for (int64_t t = 0; t < e->n; t++) {
        const float *u = in_row(c, SCAN_U, e->row[t]) + k->first;
        const float *z = c->in[SCAN_Z].data ? in_row(c, SCAN_Z, e->row[t]) + k->first : NULL;
        float *y = (float *)c->out[SCAN_Y].data + e->row[t] * KR_SIZE(c, 'D') + k->first;
        for (int64_t i = 0; i < k->n; i += KR_VL) {
            vf sum = v_load(w->y + (i / SCAN_LANES * SCAN_CHUNK + t) * SCAN_LANES + i % SCAN_LANES);
            if (skip) sum += load_lanes(skip + k->first, i, k->n) * load_lanes(u, i, k->n);
            if (z) sum *= v_silu(load_lanes(z, i, k->n));
            if (stream && i + KR_VL <= k->n) v_stream(y + i, sum);
            else store_lanes(y, i, k->n, sum);
        }
    }
}

/* One chunk of one tile. */
static void chunk_fwd(const kr_call *c, const scan_grid *g, const tile *k, const work *w, const scan_steps *of,
                      const float *A, float *h, float *total, bool outputs, ahead *next) {
    load_chunk(c, k, w, of, total);
    for (int64_t b = 0; b < k->n_blocks; b++) {
        int64_t at = b * SCAN_CHUNK * SCAN_LANES, states = b * g->N * SCAN_LANES;
        block e = {.n = of->n, .N = g->N, .row = of->row, .A = A + states, .dt = w->dt + at, .x = w->x + at,
                   .B = in_row(c, SCAN_B, 0) + k->group * g->N, .C = in_row(c, SCAN_C, 0) + k->group * g->N,
                   .B_pitch = c->in[SCAN_B].pitch, .C_pitch = c->in[SCAN_C].pitch,
                   .lane_group = k->lane_group, .gather = w->gather, .begins = w->begins, .ahead = next};
        if (!g->shared) scan_block(&e, h + states, w->y + at, NULL, NULL, false);
        else if (outputs) scan_block(&e, h + states, w->y + at, NULL, NULL, true);
        else scan_block(&e, h + states, NULL, NULL, NULL, true);
    }
    if (outputs) store_chunk(c, k, w, of);
}

/* Carries the states of a band over the steps [t0, t1).  With `outputs`, writes y; with `save`, the
 * states between chunks.  With `products`, those become the segment's whole decays instead:
 * exp(A sum of dt), zero if it forgets. */
static void run(const kr_call *c, const scan_grid *g, const band *b, int64_t t0, int64_t t1, const common *e,
                const work *w, bool outputs, bool save, bool products) {
    int64_t states = g->N * g->width;
    int64_t part = part_of(g, b->s, b->seg, 0) * states;
    float *h = e->h + part, *product = e->products + part;
    bool forgets = false;
    scan_steps now, after = chunk_of(c, b->s, t0, t1);
    memset(w->total, 0, (size_t)(SCAN_BAND * g->width) * sizeof(float));
    for (int64_t t = t0; t < t1; t += SCAN_CHUNK) {
        now = after;
        if (t + SCAN_CHUNK < t1) after = chunk_of(c, b->s, t + SCAN_CHUNK, t1);
        if (find_begins(c, &now, w->begins)) forgets = true;
        for (int64_t i = b->from; i < b->to; i++) {
            float *at = h + i * states, *total = w->total + (i - b->from) * g->width;
            bool last = i + 1 == b->to;
            tile k = tile_of(g, i), k_next = tile_of(g, last ? b->from : i + 1);
            ahead next = {.n = 0};
            if (!last || t + SCAN_CHUNK < t1) {
                next = ahead_of(c, &k_next, last ? &after : &now);
                if (outputs && !streams(c, &c->out[SCAN_Y], g->D, &k_next)) ahead_add(&next, &c->out[SCAN_Y], g->D, k_next.first);
            }
            if (save && t > 0)
                memcpy(saved_state(c, g, b->s, i, t), at, (size_t)states * sizeof *at);
            chunk_fwd(c, g, &k, w, &now, e->A + i * states, at, products ? total : NULL, outputs, &next);
        }
    }
    for (int64_t i = b->from; products && i < b->to; i++)
        for (int64_t j = 0; j < states; j += KR_VL) {
            const float *total = w->total + (i - b->from) * g->width;
            int64_t at = i * states + j, lane = j / (g->N * SCAN_LANES) * SCAN_LANES + j % SCAN_LANES;
            v_store(product + at, forgets ? v_set(0) : decay(v_load(e->A + at) * v_load(total + lane)));
        }
}

/* One segment of a band.  Its states in e->h: first what each segment ends with, coming from zero, then,
 * once linked, what it begins with.  A first pass does segment 0 wholly and sums the others up. */
static void segment(const kr_call *c, const scan_grid *g, const band *b, bool first, bool outputs, const common *e,
                    const work *w) {
    int64_t states = g->N * g->width, t0 = b->seg * g->seg, t1 = t0 + g->seg < g->L ? t0 + g->seg : g->L;
    bool whole = !first || b->seg == 0, last = b->seg == g->n_segs - 1;
    const float *h0 = c->in[SCAN_H0].data;
    float *h1 = c->out[SCAN_H].data;
    for (int64_t i = b->from; first && i < b->to; i++) {
        tile k = tile_of(g, i);
        float *h = e->h + part_of(g, b->s, b->seg, i) * states;
        if (b->seg == 0 && h0) to_lanes(h, h0 + (b->s * g->D + k.first) * g->N, k.n, k.n_blocks, g->N, 1);
        else memset(h, 0, (size_t)states * sizeof *h);
    }
    run(c, g, b, t0, t1, e, w, whole && outputs, whole && c->saved, !whole);
    for (int64_t i = b->from; whole && last && outputs && h1 && i < b->to; i++) {
        tile k = tile_of(g, i);
        from_lanes(h1 + (b->s * g->D + k.first) * g->N, e->h + part_of(g, b->s, b->seg, i) * states, k.n, g->N, false);
    }
}

/* h[seg] becomes the state at the beginning of segment seg: the scan of the pairs. */
static void link_segments(const scan_grid *g, int64_t s, int64_t i_tile, const common *e) {
    int64_t states = g->N * g->width, step = g->n_tiles * states, at = part_of(g, s, 0, i_tile) * states;
    float *h = e->h + at;
    const float *p = e->products + at;
    for (int64_t i = 0; i < states; i++) {
        float now = h[i];
        for (int64_t seg = 1; seg < g->n_segs; seg++) {
            float end = h[seg * step + i];
            h[seg * step + i] = now;
            now = p[seg * step + i] * now + end;
        }
    }
}

static void forward(const kr_call *c, bool outputs) {
    scan_grid g = scan_grid_of(c);
    int64_t states = g.N * g.width, parts = g.S * g.n_segs * g.n_tiles;
    common e = {.A = c->scratch};
    e.h = e.A + g.n_tiles * states, e.products = e.h + parts * states;
    float *threads = (float *)c->scratch + scan_fwd_shared_floats(&g);
    int64_t n_first = g.n_segs > 1 ? g.n_segs - 1 : 1; /* the last segment's sum is not needed */
    int64_t units = g.S * n_first * g.n_tiles;
#pragma omp parallel num_threads(c->n_threads)
    {
        int64_t id = omp_get_thread_num(), n = omp_get_num_threads(), from = units * id / n, to = units * (id + 1) / n;
        work w = work_of(&g, threads + id * scan_fwd_floats(&g));
        band b;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < g.n_tiles; i++) {
            tile k = tile_of(&g, i);
            to_lanes(e.A + i * states, (const float *)c->in[SCAN_A].data + k.first * g.N, k.n, k.n_blocks, g.N, LOG2E);
        }
        for (int64_t at = from; next_band(&g, n_first, &at, to, &b);) segment(c, &g, &b, true, outputs, &e, &w);
        v_stream_done();
        if (g.n_segs > 1) {
#pragma omp barrier
#pragma omp for schedule(static)
            for (int64_t i = 0; i < g.S * g.n_tiles; i++) link_segments(&g, i / g.n_tiles, i % g.n_tiles, &e);
            for (int64_t at = from; next_band(&g, n_first, &at, to, &b);) {
                b.seg++;
                segment(c, &g, &b, false, outputs, &e, &w);
            }
            v_stream_done();
        }
    }
}

void KR_VEC(selective_scan_fwd)(const kr_call *c) {
    bool fast = ((const selective_scan_attr *)c->attr)->form == SCAN_FAST;
    if (fast && KR_SIZE(c, 'L') == 1) KR_VEC(selective_scan_step)(c);
    else if (fast || c->saved) forward(c, fast); /* backward wants the saved states whatever the form */
    if (!fast) selective_scan_fwd_ref_f32(c);
}
