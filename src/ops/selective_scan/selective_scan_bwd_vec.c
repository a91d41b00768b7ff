/* selective_scan_bwd_vec.c - selective_scan for CPUs, backward.
 *
 * Chunks are taken from the last to the first.  From the state that forward saved, a chunk's
 * decays and states are made again, into scratch of one chunk's size; then time runs back
 * over them.  dh is the gradient of the state between two steps.
 *
 * dB and dC are sums over the channels of a group: the lanes of all blocks of a tile first,
 * then the tiles, in a fixed order.  dA, dD and dt_bias are sums over time and sequences. */
#include "ops/selective_scan/selective_scan_vec.h"

/* What one thread works with. */
typedef struct work {
    float *A, *h, *dh, *dA;                     /* [block][N][lane] */
    float *chunk_dA;                            /* [N][lane]: small terms meet small sums */
    float *dt, *u, *x, *dy, *y, *du, *ddt;      /* [block][step][lane]; y before the gate, dy after it */
    float *a, *hs;                              /* [step][N][lane], of one block; hs[t + 1] follows step t */
    float *dB, *dC;                             /* [step][N][lane], of all blocks */
    float *gather, *zero;                       /* [2][N][lane]; [N][lane] */
    float *dskip, *dbias;                       /* [block][lane] */
    unsigned char *begins;
} work;

static float *take(float **p, int64_t n) {
    float *q = *p;
    *p += n;
    return q;
}
static work work_of(const scan_grid *g, float *p) {
    int64_t states = g->N * g->width, steps = SCAN_CHUNK * g->width, wide = g->N * SCAN_LANES;
    work w = {.A = take(&p, states), .h = take(&p, states), .dh = take(&p, states), .dA = take(&p, states)};
    w.dt = take(&p, steps), w.u = take(&p, steps), w.x = take(&p, steps), w.dy = take(&p, steps);
    w.y = take(&p, steps), w.du = take(&p, steps), w.ddt = take(&p, steps);
    w.a = take(&p, SCAN_CHUNK * wide), w.hs = take(&p, (SCAN_CHUNK + 1) * wide);
    w.dB = take(&p, SCAN_CHUNK * wide), w.dC = take(&p, SCAN_CHUNK * wide);
    w.gather = take(&p, 2 * wide), w.zero = take(&p, wide), w.chunk_dA = take(&p, wide);
    w.dskip = take(&p, g->width), w.dbias = take(&p, g->width);
    w.begins = (unsigned char *)p;
    return w;
}

/* What all threads share. */
typedef struct sums {
    float *dB, *dC;                             /* [tile][row][N]; NULL: straight into din */
    float *dA, *dskip, *dbias;                  /* [sequence and segment][tile][...] */
    float *ends, *products;                     /* [item][segment][block][N][lane] */
} sums;
static sums sums_of(const scan_grid *g, float *p) {
    int64_t parts = g->S * g->n_segs * g->n_tiles, states = g->N * g->width, rows = scan_bwd_sum_floats(g);
    sums e = {.dB = take(&p, rows), .dC = take(&p, rows), .dA = take(&p, parts * states)};
    e.dskip = take(&p, parts * g->width), e.dbias = take(&p, parts * g->width);
    e.ends = take(&p, parts * states), e.products = take(&p, parts * states);
    if (!rows) e.dB = e.dC = NULL;
    return e;
}

static int64_t lane_at(int64_t i, int64_t t) { return (i / SCAN_LANES * SCAN_CHUNK + t) * SCAN_LANES + i % SCAN_LANES; }

static void load_chunk(const kr_call *c, const tile *k, const work *w, int64_t row, int64_t n, float *total) {
    const float *bias = c->in[SCAN_DT_BIAS].data, *dout = c->dout[SCAN_Y].data;
    for (int64_t t = 0; t < n; t++) {
        const float *u = in_row(c, SCAN_U, row + t) + k->first, *dt = in_row(c, SCAN_DT, row + t) + k->first;
        const float *z = c->in[SCAN_Z].data ? in_row(c, SCAN_Z, row + t) + k->first : NULL;
        const float *dy = dout ? dout + (row + t) * KR_SIZE(c, 'D') + k->first : NULL;
        for (int64_t i = 0; i < k->n_blocks * SCAN_LANES; i += KR_VL) {
            int64_t to = lane_at(i, t);
            vf raw = load_lanes(dt, i, k->n), uv = load_lanes(u, i, k->n), g = dy ? load_lanes(dy, i, k->n) : v_set(0);
            if (bias) raw += load_lanes(bias + k->first, i, k->n);
            if (z) g *= v_silu(load_lanes(z, i, k->n));
            vf size = step_size(c, raw);
            v_store(w->dt + to, size);
            v_store(w->u + to, uv);
            v_store(w->x + to, size * uv);
            v_store(w->dy + to, g);
            if (total) v_store(total + i, v_load(total + i) + size);
        }
    }
}

static float *din_row(const kr_call *c, int slot, int64_t row, int64_t first) {
    return c->din[slot].data ? (float *)c->din[slot].data + row * c->din[slot].pitch + first : NULL;
}
static void put(const kr_call *c, int slot, float *row, int64_t i, int64_t n, vf v) {
    store_lanes(row, i, n, c->acc[slot] ? load_lanes(row, i, n) + v : v);
}

/* du, ddt and dz of n rows; the sums of dD and dt_bias go on. */
static void store_chunk(const kr_call *c, const tile *k, const work *w, int64_t row, int64_t n) {
    const float *bias = c->in[SCAN_DT_BIAS].data, *skip = c->in[SCAN_D].data, *dout = c->dout[SCAN_Y].data;
    bool softplus = ((const selective_scan_attr *)c->attr)->dt_softplus;
    float dskip[SCAN_MAX_WIDTH] = {0}, dbias[SCAN_MAX_WIDTH] = {0};
    for (int64_t t = 0; t < n; t++) {
        float *du = din_row(c, SCAN_U, row + t, k->first), *ddt = din_row(c, SCAN_DT, row + t, k->first);
        float *dz = din_row(c, SCAN_Z, row + t, k->first);
        for (int64_t i = 0; i < k->n; i += KR_VL) {
            int64_t at = lane_at(i, t);
            vf u = v_load(w->u + at), dy = v_load(w->dy + at), d = v_load(w->ddt + at), y = v_load(w->y + at);
            vf s = skip ? load_lanes(skip + k->first, i, k->n) : v_set(0);
            if (softplus) {
                vf raw = load_lanes(in_row(c, SCAN_DT, row + t) + k->first, i, k->n);
                d *= v_sigmoid(bias ? raw + load_lanes(bias + k->first, i, k->n) : raw);
            }
            v_store(dskip + i, v_load(dskip + i) + dy * u);
            v_store(dbias + i, v_load(dbias + i) + d);
            if (du) put(c, SCAN_U, du, i, k->n, v_load(w->du + at) + s * dy);
            if (ddt) put(c, SCAN_DT, ddt, i, k->n, d);
            if (!dz) continue;
            vf z = load_lanes(in_row(c, SCAN_Z, row + t) + k->first, i, k->n), sig = v_sigmoid(z);
            vf g = dout ? load_lanes(dout + (row + t) * KR_SIZE(c, 'D') + k->first, i, k->n) : v_set(0);
            put(c, SCAN_Z, dz, i, k->n, g * (y + s * u) * sig * (1.f + z * (1.f - sig)));
        }
    }
    for (int64_t i = 0; i < k->n; i++) w->dskip[i] += dskip[i], w->dbias[i] += dbias[i];
}

/* Back over one block of one chunk: dh and dA go on, du and ddt are set, dB and dC are set by
 * the first block of a tile and added to by the others. */
static inline __attribute__((always_inline)) void back_block(const block *k, const work *w, int64_t at, float *dh,
                                                             float *dA, bool shared, bool first) {
    int64_t N = k->N, W = SCAN_LANES;
    for (int64_t t = k->n - 1; t >= 0; t--) {
        const float *B = k->B + t * k->B_pitch, *C = k->C + t * k->C_pitch;
        const float *a = w->a + t * N * W, *h = w->hs + (t + 1) * N * W, *before = k->begins[t] ? w->zero : h - N * W;
        float *dB = w->dB + t * N * W, *dC = w->dC + t * N * W;
        if (!shared) B = gather_row(k, B, k->gather), C = gather_row(k, C, k->gather + N * W);
        vf dt[NV], x[NV], dy[NV], by_input[NV], by_decay[NV];
        for (int v = 0; v < NV; v++) {
            int64_t i = at + t * W + v * KR_VL;
            dt[v] = v_load(w->dt + i), x[v] = v_load(w->x + i), dy[v] = v_load(w->dy + i);
            by_input[v] = by_decay[v] = v_set(0);
        }
        for (int64_t n = 0; n < N; n++)
            for (int v = 0; v < NV; v++) {
                int64_t i = n * W + v * KR_VL;
                vf g = v_load(dh + i) + dy[v] * coefficient(C, n, v, shared);
                vf from_c = dy[v] * v_load(h + i), from_b = g * x[v];
                v_store(dC + i, first ? from_c : v_load(dC + i) + from_c);
                v_store(dB + i, first ? from_b : v_load(dB + i) + from_b);
                by_input[v] += g * coefficient(B, n, v, shared);
                g *= v_load(a + i);
                vf p = g * v_load(before + i); /* d / d(dt A) */
                v_store(dA + i, v_load(dA + i) + p * dt[v]);
                by_decay[v] += p * v_load(k->A + i);
                v_store(dh + i, g);
            }
        for (int v = 0; v < NV; v++) {
            int64_t i = at + t * W + v * KR_VL;
            v_store(w->du + i, by_input[v] * dt[v]);
            v_store(w->ddt + i, by_input[v] * v_load(w->u + i) + by_decay[v] * LN2); /* A is stored times log2 e */
        }
        if (k->begins[t]) memset(dh, 0, (size_t)(N * W) * sizeof *dh);
    }
}

/* The same for dh alone. */
static void back_state(const block *k, const float *dys, float *dh, bool shared) {
    int64_t N = k->N, W = SCAN_LANES;
    for (int64_t t = k->n - 1; t >= 0; t--) {
        const float *C = k->C + t * k->C_pitch;
        if (!shared) C = gather_row(k, C, k->gather);
        for (int64_t n = 0; n < N; n++)
            for (int v = 0; v < NV; v++) {
                int64_t i = n * W + v * KR_VL, at = t * W + v * KR_VL;
                vf g = v_load(dh + i) + v_load(dys + at) * coefficient(C, n, v, shared);
                v_store(dh + i, g * decay(v_load(k->dt + at) * v_load(k->A + i)));
            }
        if (k->begins[t]) memset(dh, 0, (size_t)(N * W) * sizeof *dh);
    }
}

/* dB or dC of n rows from the sums of a tile's blocks. */
static void store_coefficients(const kr_call *c, const scan_grid *g, int slot, int64_t i_tile, const float *lanes,
                               float *parts, int64_t row, int64_t n) {
    tile k = tile_of(g, i_tile);
    int64_t N = g->N;
    if (!c->din[slot].data) return;
    for (int64_t t = 0; t < n; t++, lanes += N * SCAN_LANES) {
        float *to = parts ? parts + (i_tile * g->S * g->L + row + t) * N : din_row(c, slot, row + t, k.group * N);
        bool acc = !parts && c->acc[slot];
        for (int64_t j = 0; g->shared && j < N; j++) {
            vf sum = v_load(lanes + j * SCAN_LANES);
            for (int v = 1; v < NV; v++) sum += v_load(lanes + j * SCAN_LANES + v * KR_VL);
            to[j] = acc ? to[j] + v_sum(sum) : v_sum(sum);
        }
        for (int64_t i = 0; !g->shared && i < k.n_groups; i++)
            for (int64_t j = 0; j < N; j++) {
                float sum = 0;
                for (int64_t l = i * g->per_group; l < (i + 1) * g->per_group; l++) sum += lanes[j * SCAN_LANES + l];
                to[i * N + j] = acc ? to[i * N + j] + sum : sum;
            }
    }
}

static block block_of(const kr_call *c, const scan_grid *g, const tile *k, const work *w, int64_t b, int64_t row,
                      int64_t n) {
    int64_t at = b * SCAN_CHUNK * SCAN_LANES, N = g->N;
    return (block){.n = n, .N = N, .A = w->A + b * N * SCAN_LANES, .dt = w->dt + at, .x = w->x + at,
                   .B = in_row(c, SCAN_B, row) + k->group * N, .C = in_row(c, SCAN_C, row) + k->group * N,
                   .B_pitch = c->in[SCAN_B].pitch, .C_pitch = c->in[SCAN_C].pitch, 
                       .lane_group = k->lane_group, .gather = w->gather, .begins = w->begins};
}

/* What a block reads and writes of the chunk before the one at row. */
static ahead ahead_back(const kr_call *c, int64_t row, int64_t channel, int64_t group) {
    ahead f = ahead_of(c, row - SCAN_CHUNK, channel, group);
    ahead_add(&f, c->dout[SCAN_Y].data, KR_SIZE(c, 'D'), row - SCAN_CHUNK, channel);
    for (int slot = SCAN_U; slot <= SCAN_DT; slot++)
        ahead_add(&f, c->din[slot].data, c->din[slot].pitch, row - SCAN_CHUNK, channel);
    ahead_add(&f, c->din[SCAN_Z].data, c->din[SCAN_Z].pitch, row - SCAN_CHUNK, channel);
    return f;
}

/* One chunk of one tile, whose first state is in w->h. */
static void chunk_bwd(const kr_call *c, const scan_grid *g, const sums *e, int64_t i_tile, const work *w, int64_t row,
                      int64_t n) {
    tile k = tile_of(g, i_tile);
    int64_t states = g->N * SCAN_LANES;
    load_chunk(c, &k, w, row, n, NULL);
    for (int64_t b = 0; b < k.n_blocks; b++) {
        block e_b = block_of(c, g, &k, w, b, row, n);
        float *h = w->h + b * states, *dh = w->dh + b * states, *dA = w->chunk_dA;
        if (row % g->L >= SCAN_CHUNK) e_b.ahead = ahead_back(c, row, k.first + b * SCAN_LANES, k.group);
        int64_t at = b * SCAN_CHUNK * SCAN_LANES;
        memcpy(w->hs, h, (size_t)states * sizeof *h);
        memset(dA, 0, (size_t)states * sizeof *dA);
        if (g->shared) scan_block(&e_b, h, w->y + at, w->a, w->hs + states, true);
        else scan_block(&e_b, h, w->y + at, w->a, w->hs + states, false);
        if (!g->shared) back_block(&e_b, w, at, dh, dA, false, true);
        else if (b == 0) back_block(&e_b, w, at, dh, dA, true, true);
        else back_block(&e_b, w, at, dh, dA, true, false);
        for (int64_t i = 0; i < states; i++) w->dA[b * states + i] += dA[i];
    }
    store_coefficients(c, g, SCAN_B, i_tile, w->dB, e->dB, row, n);
    store_coefficients(c, g, SCAN_C, i_tile, w->dC, e->dC, row, n);
    store_chunk(c, &k, w, row, n);
}

/* The states before the chunk at t0: saved by forward, or h0. */
static void load_states(const kr_call *c, const scan_grid *g, int64_t s, int64_t i_tile, int64_t t0, float *h) {
    int64_t states = g->N * g->width, at = (s * g->n_tiles + i_tile) * (g->n_chunks - 1) + t0 / SCAN_CHUNK - 1;
    tile k = tile_of(g, i_tile);
    if (t0 > 0) memcpy(h, (const float *)c->saved + at * states, (size_t)states * sizeof *h);
    else if (c->in[SCAN_H0].data)
        to_lanes(h, (const float *)c->in[SCAN_H0].data + (s * g->D + k.first) * g->N, k.n, k.n_blocks, g->N, 1);
    else memset(h, 0, (size_t)states * sizeof *h);
}

/* dh over a segment that begins with none, into w->dh, and the segment's whole decay. */
static void sum_up(const kr_call *c, const scan_grid *g, int64_t s, int64_t i_tile, int64_t t0, int64_t t1,
                   const work *w, float *product) {
    tile k = tile_of(g, i_tile);
    int64_t states = g->N * SCAN_LANES;
    float total[SCAN_MAX_WIDTH] = {0};
    bool forgets = false;
    for (int64_t t = (t1 - 1) / SCAN_CHUNK * SCAN_CHUNK; t >= t0; t -= SCAN_CHUNK) {
        int64_t n = t1 - t < SCAN_CHUNK ? t1 - t : SCAN_CHUNK, row = s * g->L + t;
        load_chunk(c, &k, w, row, n, total);
        if (find_begins(c, s, g->L, t, n, w->begins)) forgets = true;
        for (int64_t b = 0; b < k.n_blocks; b++) {
            block e = block_of(c, g, &k, w, b, row, n);
            back_state(&e, w->dy + b * SCAN_CHUNK * SCAN_LANES, w->dh + b * states, g->shared);
        }
    }
    for (int64_t i = 0; i < g->N * g->width; i += KR_VL) {
        int64_t lane = i / states * SCAN_LANES + i % SCAN_LANES;
        v_store(product + i, forgets ? v_set(0) : decay(v_load(w->A + i) * v_load(total + lane)));
    }
}

/* One segment of one tile: wholly if what comes after it is known, else only summed up. */
static void segment(const kr_call *c, const scan_grid *g, const sums *e, int64_t item, int64_t seg, bool first,
                    float *mine) {
    int64_t s = item / g->n_tiles, i_tile = item % g->n_tiles, states = g->N * g->width, at = item * g->n_segs + seg;
    int64_t t0 = seg * g->seg, t1 = (seg + 1) * g->seg < g->L ? (seg + 1) * g->seg : g->L;
    bool last = seg == g->n_segs - 1;
    size_t bytes = (size_t)states * sizeof(float);
    tile k = tile_of(g, i_tile);
    work w = work_of(g, mine);
    to_lanes(w.A, (const float *)c->in[SCAN_A].data + k.first * g->N, k.n, k.n_blocks, g->N, LOG2E);
    memset(w.zero, 0, (size_t)(g->N * SCAN_LANES) * sizeof(float));
    if (!first) memcpy(w.dh, e->ends + at * states, bytes);
    else if (last && c->dout[SCAN_H].data)
        to_lanes(w.dh, (const float *)c->dout[SCAN_H].data + (s * g->D + k.first) * g->N, k.n, k.n_blocks, g->N, 1);
    else memset(w.dh, 0, bytes);
    if (first && !last) sum_up(c, g, s, i_tile, t0, t1, &w, e->products + at * states);
    else {
        memset(w.dA, 0, bytes);
        memset(w.dskip, 0, 2 * (size_t)g->width * sizeof(float)); /* and dbias, which follows it */
        for (int64_t t = (t1 - 1) / SCAN_CHUNK * SCAN_CHUNK; t >= t0; t -= SCAN_CHUNK) {
            int64_t n = t1 - t < SCAN_CHUNK ? t1 - t : SCAN_CHUNK;
            load_states(c, g, s, i_tile, t, w.h);
            find_begins(c, s, g->L, t, n, w.begins);
            chunk_bwd(c, g, e, i_tile, &w, s * g->L + t, n);
        }
        int64_t part = (s * g->n_segs + seg) * g->n_tiles + i_tile;
        memcpy(e->dA + part * states, w.dA, bytes);
        memcpy(e->dskip + part * g->width, w.dskip, (size_t)g->width * sizeof(float));
        memcpy(e->dbias + part * g->width, w.dbias, (size_t)g->width * sizeof(float));
        float *dh0 = c->din[SCAN_H0].data;
        if (seg == 0 && dh0) from_lanes(dh0 + (s * g->D + k.first) * g->N, w.dh, k.n, g->N, c->acc[SCAN_H0]);
    }
    if (first && g->n_segs > 1) memcpy(e->ends + at * states, w.dh, bytes);
}

/* ends[seg] becomes dh at the end of segment seg. */
static void link_segments(const scan_grid *g, int64_t item, const sums *e) {
    int64_t states = g->N * g->width;
    float *ends = e->ends + item * g->n_segs * states, *p = e->products + item * g->n_segs * states;
    for (int64_t i = 0; i < states; i++) {
        float dh = ends[(g->n_segs - 1) * states + i];
        for (int64_t seg = g->n_segs - 2; seg >= 0; seg--) {
            float before = ends[seg * states + i];
            ends[seg * states + i] = dh;
            dh = p[seg * states + i] * dh + before;
        }
    }
}

/* The parts of dA, dD and dt_bias of one tile, over sequences and segments. */
static void sum_tile(const kr_call *c, const scan_grid *g, const sums *e, int64_t i_tile) {
    int64_t states = g->N * g->width, step = g->n_tiles * states;
    tile k = tile_of(g, i_tile);
    float *dA = e->dA + i_tile * states, *dskip = e->dskip + i_tile * g->width, *dbias = e->dbias + i_tile * g->width;
    for (int64_t part = 1; part < g->S * g->n_segs; part++) {
        for (int64_t i = 0; i < states; i++) dA[i] += dA[part * step + i];
        for (int64_t i = 0; i < g->width; i++) {
            dskip[i] += dskip[part * g->n_tiles * g->width + i];
            dbias[i] += dbias[part * g->n_tiles * g->width + i];
        }
    }
    float *to_A = c->din[SCAN_A].data, *to_skip = c->din[SCAN_D].data, *to_bias = c->din[SCAN_DT_BIAS].data;
    if (to_A) from_lanes(to_A + k.first * g->N, dA, k.n, g->N, c->acc[SCAN_A]);
    for (int64_t i = 0; i < k.n; i += KR_VL) {
        if (to_skip) put(c, SCAN_D, to_skip + k.first, i, k.n, v_load(dskip + i));
        if (to_bias) put(c, SCAN_DT_BIAS, to_bias + k.first, i, k.n, v_load(dbias + i));
    }
}

/* One row of dB or dC over the tiles of each group. */
static void sum_row(const kr_call *c, const scan_grid *g, int slot, const float *parts, int64_t row) {
    int64_t in_group = g->n_tiles / g->G, step = g->S * g->L * g->N;
    float *to = din_row(c, slot, row, 0);
    if (!to) return;
    for (int64_t i = 0; i < g->G; i++, to += g->N)
        for (int64_t j = 0; j < g->N; j++) {
            float sum = c->acc[slot] ? to[j] : 0;
            for (int64_t k = i * in_group; k < (i + 1) * in_group; k++) sum += parts[k * step + row * g->N + j];
            to[j] = sum;
        }
}

void KR_VEC(selective_scan_bwd)(const kr_call *c) {
    scan_grid g = scan_grid_of(c);
    sums e = sums_of(&g, c->scratch);
    float *threads = (float *)c->scratch + scan_bwd_shared_floats(&g);
    int64_t items = g.S * g.n_tiles, per_thread = scan_bwd_floats(&g), rows = g.S * g.L;
    int64_t n_first = g.n_segs > 1 ? g.n_segs - 1 : 1; /* nothing waits for the first segment's sum */
#pragma omp parallel num_threads(c->n_threads)
    {
        float *mine = threads + omp_get_thread_num() * per_thread;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < items * n_first; i++)
            segment(c, &g, &e, i / n_first, g.n_segs - n_first + i % n_first, true, mine);
        if (g.n_segs > 1) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < items; i++) link_segments(&g, i, &e);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < items * n_first; i++) segment(c, &g, &e, i / n_first, i % n_first, false, mine);
        }
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < g.n_tiles; i++) sum_tile(c, &g, &e, i);
        if (e.dB) {
#pragma omp for schedule(static)
            for (int64_t row = 0; row < rows; row++) {
                sum_row(c, &g, SCAN_B, e.dB, row);
                sum_row(c, &g, SCAN_C, e.dC, row);
            }
        }
    }
}
