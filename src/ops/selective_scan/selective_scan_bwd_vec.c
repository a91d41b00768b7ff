/* selective_scan_bwd_vec.c - selective_scan for CPUs, backward.
 *
 * Chunks are taken from the last to the first.  From the state that forward saved, a chunk's
 * decays and states are made again, into scratch of one chunk's size; then time runs back
 * over them.  dh is the gradient of the state between two steps.
 *
 * dB and dC are sums over the channels of a group: the lanes of all blocks of a tile first,
 * then the tiles two by two, in an order that does not depend on who does it.  dA, dD and
 * dt_bias are sums over time and sequences. */
#include "ops/selective_scan/selective_scan_vec.h"

/* What one thread works with. */
typedef struct work {
    float *h;                                   /* [block][N][lane] of one tile */
    float *chunk_dA;                            /* [N][lane]: small terms meet small sums */
    float *dt, *u, *x, *dy, *y, *du, *ddt;      /* [block][step][lane]; y before the gate, dy after it */
    float *a, *hs;                              /* [step][N][lane], of one block; hs[t + 1] follows step t */
    float *dB, *dC;                             /* [step][N][lane], of all blocks */
    float *gather, *zero;                       /* [2][N][lane]; [N][lane] */
    float *total;                               /* [tile of the band][lane], sums of dt */
    float *parts;                               /* [2][tile of the band][step][N], of dB and dC */
    unsigned char *begins;
} work;

static float *take(float **p, int64_t n) {
    float *q = *p;
    *p += n;
    return q;
}
static work work_of(const scan_grid *g, float *p) {
    int64_t states = g->N * g->width, steps = SCAN_CHUNK * g->width, wide = g->N * SCAN_LANES;
    work w = {.h = take(&p, states)};
    w.dt = take(&p, steps), w.u = take(&p, steps), w.x = take(&p, steps), w.dy = take(&p, steps);
    w.y = take(&p, steps), w.du = take(&p, steps), w.ddt = take(&p, steps);
    w.a = take(&p, SCAN_CHUNK * wide), w.hs = take(&p, (SCAN_CHUNK + 1) * wide);
    w.dB = take(&p, SCAN_CHUNK * wide), w.dC = take(&p, SCAN_CHUNK * wide);
    w.gather = take(&p, 2 * wide), w.zero = take(&p, wide), w.chunk_dA = take(&p, wide);
    w.total = take(&p, SCAN_BAND * g->width), w.parts = take(&p, 2 * SCAN_BAND * SCAN_CHUNK * g->N);
    w.begins = (unsigned char *)p;
    return w;
}

/* What all threads share. */
typedef struct common {
    int64_t n_threads;
    float *parts[2];                            /* [tile][row][N] of dB and dC that bands have left over */
    float *A;                                   /* [tile][block][N][lane] times log2 e */
    float *dA, *dskip, *dbias;                  /* [sequence][segment][tile][...] */
    float *dh, *products;                       /* [sequence][segment][tile][block][N][lane] */
} common;
static common common_of(const scan_grid *g, int n_threads, float *p) {
    int64_t parts = g->S * g->n_segs * g->n_tiles, states = g->N * g->width, rows = scan_bwd_sum_floats(g, n_threads);
    common e = {.parts = {take(&p, rows), take(&p, rows)}, .A = take(&p, g->n_tiles * states)};
    e.dA = take(&p, parts * states), e.dskip = take(&p, parts * g->width), e.dbias = take(&p, parts * g->width);
    e.dh = take(&p, parts * states), e.products = take(&p, parts * states);
    if (!rows) e.parts[0] = e.parts[1] = NULL;
    return e;
}

static int64_t lane_at(int64_t i, int64_t t) { return (i / SCAN_LANES * SCAN_CHUNK + t) * SCAN_LANES + i % SCAN_LANES; }

static void load_chunk(const kr_call *c, const tile *k, const work *w, const scan_steps *e, float *total) {
    const float *bias = c->in[SCAN_DT_BIAS].data, *dout = c->dout[SCAN_Y].data;
    for (int64_t t = 0; t < e->n; t++) {
        const float *u = in_row(c, SCAN_U, e->row[t]) + k->first, *dt = in_row(c, SCAN_DT, e->row[t]) + k->first;
        const float *z = c->in[SCAN_Z].data ? in_row(c, SCAN_Z, e->row[t]) + k->first : NULL;
        const float *dy = dout ? dout + e->row[t] * KR_SIZE(c, 'D') + k->first : NULL;
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
static bool streams_back(const kr_call *c, int slot, const tile *k) {
    return !c->acc[slot] && streams(c, &c->din[slot], c->din[slot].pitch, k);
}
static void put_row(const kr_call *c, int slot, float *row, int64_t i, int64_t n, vf v, bool stream) {
    if (stream && i + KR_VL <= n) v_stream(row + i, v);
    else put(c, slot, row, i, n, v);
}

/* du, ddt and dz of some steps; the sums of dD and dt_bias go on. */
static void store_chunk(const kr_call *c, const tile *k, const work *w, const scan_steps *e, float *to_skip, float *to_bias) {
    const float *bias = c->in[SCAN_DT_BIAS].data, *skip = c->in[SCAN_D].data, *dout = c->dout[SCAN_Y].data;
    bool softplus = ((const selective_scan_attr *)c->attr)->dt_softplus;
    bool stream_u = streams_back(c, SCAN_U, k), stream_dt = streams_back(c, SCAN_DT, k);
    bool stream_z = streams_back(c, SCAN_Z, k);
    float dskip[SCAN_MAX_WIDTH] = {0}, dbias[SCAN_MAX_WIDTH] = {0};
    for (int64_t t = 0; t < e->n; t++) {
        int64_t row = e->row[t];
        float *du = din_row(c, SCAN_U, row, k->first), *ddt = din_row(c, SCAN_DT, row, k->first);
        float *dz = din_row(c, SCAN_Z, row, k->first);
        for (int64_t i = 0; i < k->n; i += KR_VL) {
            int64_t at = lane_at(i, t);
            vf u = v_load(w->u + at), dy = v_load(w->dy + at), d = v_load(w->ddt + at), y = v_load(w->y + at);
            vf s = skip ? load_lanes(skip + k->first, i, k->n) : v_set(0);
            if (softplus) {
                vf raw = load_lanes(in_row(c, SCAN_DT, row) + k->first, i, k->n);
                d *= v_sigmoid(bias ? raw + load_lanes(bias + k->first, i, k->n) : raw);
            }
            v_store(dskip + i, v_load(dskip + i) + dy * u);
            v_store(dbias + i, v_load(dbias + i) + d);
            if (du) put_row(c, SCAN_U, du, i, k->n, v_load(w->du + at) + s * dy, stream_u);
            if (ddt) put_row(c, SCAN_DT, ddt, i, k->n, d, stream_dt);
            if (!dz) continue;
            vf z = load_lanes(in_row(c, SCAN_Z, row) + k->first, i, k->n), sig = v_sigmoid(z);
            vf g = dout ? load_lanes(dout + row * KR_SIZE(c, 'D') + k->first, i, k->n) : v_set(0);
            put_row(c, SCAN_Z, dz, i, k->n, g * (y + s * u) * sig * (1.f + z * (1.f - sig)), stream_z);
        }
    }
    for (int64_t i = 0; i < k->n; i++) to_skip[i] += dskip[i], to_bias[i] += dbias[i];
}

/* Back over one block of one chunk: dh and dA go on, du and ddt are set, dB and dC are set by
 * the first block of a tile and added to by the others. */
static inline __attribute__((always_inline)) void back_block(const block *k, const work *w, int64_t at, float *dh,
                                                             float *dA, bool shared, bool first) {
    int64_t N = k->N, W = SCAN_LANES;
    for (int64_t t = k->n - 1; t >= 0; t--) {
        const float *B = k->B + k->row[t] * k->B_pitch, *C = k->C + k->row[t] * k->C_pitch;
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
        const float *C = k->C + k->row[t] * k->C_pitch;
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

/* dB or dC of some steps and one tile, from the sums of its blocks: to part[step][N], or into din if no other
 * tile has more to add. */
static void sum_lanes(const kr_call *c, const scan_grid *g, int slot, const tile *k, const float *lanes, float *part,
                      const scan_steps *e) {
    int64_t N = g->N, n = e->n;
    if (!c->din[slot].data) return;
    for (int64_t i = 0; g->shared && i < n * N; i++) {
        vf sum = v_load(lanes + i * SCAN_LANES);
        for (int v = 1; v < NV; v++) sum += v_load(lanes + i * SCAN_LANES + v * KR_VL);
        part[i] = v_sum(sum);
    }
    for (int64_t t = 0; !g->shared && t < n; t++, lanes += N * SCAN_LANES) {
        float *to = din_row(c, slot, e->row[t], k->group * N);
        for (int64_t i = 0; i < k->n_groups; i++)
            for (int64_t j = 0; j < N; j++) {
                float sum = 0;
                for (int64_t l = i * g->per_group; l < (i + 1) * g->per_group; l++) sum += lanes[j * SCAN_LANES + l];
                to[i * N + j] = c->acc[slot] ? to[i * N + j] + sum : sum;
            }
    }
}

/* Whether the tiles [from, to) of a sequence and segment, tile 0 of which is unit `first`, are in one band. */
static bool together(const scan_grid *g, const common *e, int64_t first, int64_t from, int64_t to) {
    int64_t units = g->S * (g->n_segs > 1 ? g->n_segs - 1 : 1) * g->n_tiles, n = e->n_threads;
    int64_t a = ((first + from + 1) * n - 1) / units, b = ((first + to) * n - 1) / units; /* whose share */
    return a == b && from / SCAN_BAND == (to - 1) / SCAN_BAND;
}
static int64_t first_unit(const scan_grid *g, int64_t s, int64_t seg) {
    if (g->n_segs == 1) return s * g->n_tiles;
    return (s * (g->n_segs - 1) + (seg < g->n_segs - 1 ? seg : seg - 1)) * g->n_tiles; /* the last comes first */
}

/* Adds up the parts of each group's tiles, two by two: those sums that lie in one band, while it has them
 * in the cache (gone[i]: i's part is in another's), or all others, from parts of all tiles. */
static void fold(const scan_grid *g, const common *e, const band *b, float *parts, int64_t step, int64_t n,
                 bool *gone) {
    int64_t in_group = g->n_tiles / g->G, unit = first_unit(g, b->s, b->seg);
    for (int64_t first = b->from / in_group * in_group; first < b->to; first += in_group)
        for (int64_t width = 1; width < in_group; width *= 2)
            for (int64_t i = first; i + width < first + in_group; i += 2 * width) {
                int64_t end = i + 2 * width < first + in_group ? i + 2 * width : first + in_group;
                if (together(g, e, unit, i, end) != (gone != NULL) || i < b->from || i >= b->to) continue;
                float *to = parts + (i - b->from) * step, *from = to + width * step;
                for (int64_t j = 0; j < n; j++) to[j] += from[j];
                if (gone) gone[i + width - b->from] = true;
            }
}

/* A group's sums go into din. */
static void put_rows(const kr_call *c, int slot, int64_t N, int64_t group, const float *part, const scan_steps *e) {
    for (int64_t t = 0; t < e->n; t++, part += N) {
        float *to = din_row(c, slot, e->row[t], group * N);
        for (int64_t j = 0; j < N; j++) to[j] = c->acc[slot] ? to[j] + part[j] : part[j];
    }
}

/* dB and dC of a band's chunk: its groups are done, parts of others are left for finish_chunk. */
static void finish_band(const kr_call *c, const scan_grid *g, const common *e, const band *b, const work *w, const scan_steps *of) {
    int64_t in_group = g->n_tiles / g->G, step = SCAN_CHUNK * g->N, unit = first_unit(g, b->s, b->seg);
    int64_t first = of->s * g->L + of->t, n = of->n;
    for (int slot = SCAN_B; slot <= SCAN_C; slot++) {
        float *parts = w->parts + (slot - SCAN_B) * SCAN_BAND * step;
        bool gone[SCAN_BAND] = {false};
        if (!c->din[slot].data) continue;
        fold(g, e, b, parts, step, n * g->N, gone);
        for (int64_t i = b->from; i < b->to; i++) {
            const float *part = parts + (i - b->from) * step;
            if (gone[i - b->from]) continue;
            if (i % in_group == 0 && together(g, e, unit, i, i + in_group))
                put_rows(c, slot, g->N, i / in_group, part, of);
            else
                memcpy(e->parts[slot - SCAN_B] + (i * g->S * g->L + first) * g->N, part,
                       (size_t)(n * g->N) * sizeof *part);
        }
    }
}

/* dB and dC of the groups that no band had wholly. */
static void finish_chunk(const kr_call *c, const scan_grid *g, const common *e, int64_t s, int64_t t) {
    int64_t in_group = g->n_tiles / g->G, step = g->S * g->L * g->N;
    scan_steps of = chunk_of(c, s, t, g->L);
    band all = {.s = s, .seg = t / g->seg, .from = 0, .to = g->n_tiles};
    for (int slot = SCAN_B; slot <= SCAN_C; slot++) {
        float *parts = e->parts[slot - SCAN_B] + (s * g->L + t) * g->N;
        if (!c->din[slot].data) continue;
        fold(g, e, &all, parts, step, of.n * g->N, NULL);
        for (int64_t i = 0; i < g->n_tiles; i += in_group)
            if (!together(g, e, first_unit(g, s, all.seg), i, i + in_group))
                put_rows(c, slot, g->N, i / in_group, parts + i * step, &of);
    }
}

static block block_of(const kr_call *c, const scan_grid *g, const tile *k, const work *w, const float *A, int64_t b,
                      const scan_steps *of, ahead *next) {
    int64_t at = b * SCAN_CHUNK * SCAN_LANES, N = g->N;
    return (block){.n = of->n, .N = N, .row = of->row, .A = A + b * N * SCAN_LANES, .dt = w->dt + at, .x = w->x + at,
                   .B = in_row(c, SCAN_B, 0) + k->group * N, .C = in_row(c, SCAN_C, 0) + k->group * N,
                   .B_pitch = c->in[SCAN_B].pitch, .C_pitch = c->in[SCAN_C].pitch,
                   .lane_group = k->lane_group, .gather = w->gather, .begins = w->begins, .ahead = next};
}

/* What backward reads and writes of a tile over some steps. */
static ahead ahead_back(const kr_call *c, const tile *k, const scan_steps *e) {
    ahead f = ahead_of(c, k, e);
    ahead_add(&f, &c->dout[SCAN_Y], KR_SIZE(c, 'D'), k->first);
    static const int grads[] = {SCAN_U, SCAN_DT, SCAN_Z};
    for (int i = 0; i < 3; i++)
        if (!streams_back(c, grads[i], k)) ahead_add(&f, &c->din[grads[i]], c->din[grads[i]].pitch, k->first);
    return f;
}

/* One chunk of one tile, whose first state is in w->h; `part` is where its states and sums lie, dB its
 * place in w->parts. */
static void chunk_bwd(const kr_call *c, const scan_grid *g, const common *e, int64_t i_tile, int64_t part,
                      const work *w, float *dB, const scan_steps *of, ahead *next) {
    tile k = tile_of(g, i_tile);
    int64_t states = g->N * SCAN_LANES, all = g->N * g->width;
    load_chunk(c, &k, w, of, NULL);
    for (int64_t b = 0; b < k.n_blocks; b++) {
        block e_b = block_of(c, g, &k, w, e->A + i_tile * all, b, of, next);
        float *h = w->h + b * states, *dh = e->dh + part * all + b * states, *dA = w->chunk_dA;
        float *to_A = e->dA + part * all + b * states;
        int64_t at = b * SCAN_CHUNK * SCAN_LANES;
        memcpy(w->hs, h, (size_t)states * sizeof *h);
        memset(dA, 0, (size_t)states * sizeof *dA);
        if (g->shared) scan_block(&e_b, h, w->y + at, w->a, w->hs + states, true);
        else scan_block(&e_b, h, w->y + at, w->a, w->hs + states, false);
        if (!g->shared) back_block(&e_b, w, at, dh, dA, false, true);
        else if (b == 0) back_block(&e_b, w, at, dh, dA, true, true);
        else back_block(&e_b, w, at, dh, dA, true, false);
        for (int64_t i = 0; i < states; i++) to_A[i] += dA[i];
    }
    sum_lanes(c, g, SCAN_B, &k, w->dB, dB, of);
    sum_lanes(c, g, SCAN_C, &k, w->dC, dB + SCAN_BAND * SCAN_CHUNK * g->N, of);
    store_chunk(c, &k, w, of, e->dskip + part * g->width, e->dbias + part * g->width);
}

/* The states before the chunk at t0: saved by forward, or h0. */
static void load_states(const kr_call *c, const scan_grid *g, int64_t s, int64_t i_tile, int64_t t0, float *h) {
    int64_t states = g->N * g->width;
    tile k = tile_of(g, i_tile);
    if (t0 > 0) memcpy(h, saved_state(c, g, s, i_tile, t0), (size_t)states * sizeof *h);
    else if (c->in[SCAN_H0].data)
        to_lanes(h, (const float *)c->in[SCAN_H0].data + (s * g->D + k.first) * g->N, k.n, k.n_blocks, g->N, 1);
    else memset(h, 0, (size_t)states * sizeof *h);
}

/* dh of a band over the steps [t0, t1), and their whole decays. */
static void sum_up(const kr_call *c, const scan_grid *g, const common *e, const band *b, int64_t t0, int64_t t1,
                   const work *w) {
    int64_t states = g->N * g->width, part = part_of(g, b->s, b->seg, b->from);
    bool forgets = false;
    memset(w->total, 0, (size_t)(SCAN_BAND * g->width) * sizeof(float));
    for (int64_t t = (t1 - 1) / SCAN_CHUNK * SCAN_CHUNK; t >= t0; t -= SCAN_CHUNK) {
        scan_steps of = chunk_of(c, b->s, t, t1);
        if (find_begins(c, &of, w->begins)) forgets = true;
        for (int64_t i = 0; i < b->to - b->from; i++) {
            tile k = tile_of(g, b->from + i);
            load_chunk(c, &k, w, &of, w->total + i * g->width);
            for (int64_t j = 0; j < k.n_blocks; j++) {
                block e_b = block_of(c, g, &k, w, e->A + (b->from + i) * states, j, &of, NULL);
                back_state(&e_b, w->dy + j * SCAN_CHUNK * SCAN_LANES,
                           e->dh + (part + i) * states + j * g->N * SCAN_LANES, g->shared);
            }
        }
    }
    for (int64_t i = 0; i < b->to - b->from; i++)
        for (int64_t j = 0; j < states; j += KR_VL) {
            int64_t lane = i * g->width + j / (g->N * SCAN_LANES) * SCAN_LANES + j % SCAN_LANES;
            vf rate = v_load(e->A + (b->from + i) * states + j);
            v_store(e->products + (part + i) * states + j, forgets ? v_set(0) : decay(rate * v_load(w->total + lane)));
        }
}

/* A band back over the steps [t0, t1). */
static void run(const kr_call *c, const scan_grid *g, const common *e, const band *b, int64_t t0, int64_t t1,
                const work *w) {
    int64_t t = (t1 - 1) / SCAN_CHUNK * SCAN_CHUNK;
    scan_steps now, after = chunk_of(c, b->s, t, t1);
    for (; t >= t0; t -= SCAN_CHUNK) {
        now = after;
        if (t > t0) after = chunk_of(c, b->s, t - SCAN_CHUNK, t);
        find_begins(c, &now, w->begins);
        for (int64_t i = b->from; i < b->to; i++) {
            bool last = i + 1 == b->to;
            tile k_next = tile_of(g, last ? b->from : i + 1);
            ahead next = {.n = 0};
            if (!last || t > t0) next = ahead_back(c, &k_next, last ? &after : &now);
            load_states(c, g, b->s, i, t, w->h);
            chunk_bwd(c, g, e, i, part_of(g, b->s, b->seg, i), w, w->parts + (i - b->from) * SCAN_CHUNK * g->N, &now, &next);
        }
        if (g->shared) finish_band(c, g, e, b, w, &now);
    }
}

/* One segment of a band: wholly if what comes after it is known, else only summed up.  e->dh is first
 * what each segment gives to the one before it, with nothing behind it, then, once linked, what it
 * is given. */
static void segment(const kr_call *c, const scan_grid *g, const common *e, const band *b, bool first, const work *w) {
    int64_t states = g->N * g->width, t0 = b->seg * g->seg, t1 = t0 + g->seg < g->L ? t0 + g->seg : g->L;
    int64_t part = part_of(g, b->s, b->seg, b->from), n = b->to - b->from;
    bool last = b->seg == g->n_segs - 1;
    const float *dh1 = c->dout[SCAN_H].data;
    float *dh0 = c->din[SCAN_H0].data;
    for (int64_t i = 0; first && i < n; i++) {
        tile k = tile_of(g, b->from + i);
        float *dh = e->dh + (part + i) * states;
        if (last && dh1) to_lanes(dh, dh1 + (b->s * g->D + k.first) * g->N, k.n, k.n_blocks, g->N, 1);
        else memset(dh, 0, (size_t)states * sizeof *dh);
    }
    memset(w->zero, 0, (size_t)(g->N * SCAN_LANES) * sizeof(float));
    if (first && !last) {
        sum_up(c, g, e, b, t0, t1, w);
        return;
    }
    memset(e->dA + part * states, 0, (size_t)(n * states) * sizeof(float));
    memset(e->dskip + part * g->width, 0, (size_t)(n * g->width) * sizeof(float));
    memset(e->dbias + part * g->width, 0, (size_t)(n * g->width) * sizeof(float));
    run(c, g, e, b, t0, t1, w);
    for (int64_t i = 0; b->seg == 0 && dh0 && i < n; i++) {
        tile k = tile_of(g, b->from + i);
        from_lanes(dh0 + (b->s * g->D + k.first) * g->N, e->dh + (part + i) * states, k.n, g->N, c->acc[SCAN_H0]);
    }
}

/* dh[seg] becomes dh at the end of segment seg. */
static void link_segments(const scan_grid *g, int64_t s, int64_t i_tile, const common *e) {
    int64_t states = g->N * g->width, step = g->n_tiles * states, at = part_of(g, s, 0, i_tile) * states;
    float *dh = e->dh + at;
    const float *p = e->products + at;
    for (int64_t i = 0; i < states; i++) {
        float now = dh[(g->n_segs - 1) * step + i];
        for (int64_t seg = g->n_segs - 2; seg >= 0; seg--) {
            float before = dh[seg * step + i];
            dh[seg * step + i] = now;
            now = p[seg * step + i] * now + before;
        }
    }
}

/* The parts of dA, dD and dt_bias of one tile, over sequences and segments. */
static void sum_tile(const kr_call *c, const scan_grid *g, const common *e, int64_t i_tile) {
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

void KR_VEC(selective_scan_bwd)(const kr_call *c) {
    scan_grid g = scan_grid_of(c);
    common e = common_of(&g, c->n_threads, c->scratch);
    float *threads = (float *)c->scratch + scan_bwd_shared_floats(&g, c->n_threads);
    int64_t n_first = g.n_segs > 1 ? g.n_segs - 1 : 1; /* nothing waits for the first segment's sum */
    int64_t units = g.S * n_first * g.n_tiles, states = g.N * g.width;
#pragma omp parallel num_threads(c->n_threads)
    {
        int64_t id = omp_get_thread_num(), n = omp_get_num_threads(), from = units * id / n, to = units * (id + 1) / n;
        work w = work_of(&g, threads + id * scan_bwd_floats(&g));
        band b;
#pragma omp single
        e.n_threads = n;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < g.n_tiles; i++) {
            tile k = tile_of(&g, i);
            to_lanes(e.A + i * states, (const float *)c->in[SCAN_A].data + k.first * g.N, k.n, k.n_blocks, g.N, LOG2E);
        }
        for (int64_t at = from; next_band(&g, n_first, &at, to, &b);) {
            b.seg += g.n_segs - n_first;
            segment(c, &g, &e, &b, true, &w);
        }
        v_stream_done();
#pragma omp barrier
        if (g.n_segs > 1) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < g.S * g.n_tiles; i++) link_segments(&g, i / g.n_tiles, i % g.n_tiles, &e);
            for (int64_t at = from; next_band(&g, n_first, &at, to, &b);) segment(c, &g, &e, &b, false, &w);
            v_stream_done();
#pragma omp barrier
        }
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < g.n_tiles; i++) sum_tile(c, &g, &e, i);
        if (e.parts[0]) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < g.S * g.n_chunks; i++)
                finish_chunk(c, &g, &e, i / g.n_chunks, i % g.n_chunks * SCAN_CHUNK);
        }
    }
}
