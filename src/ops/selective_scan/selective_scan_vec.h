/* selective_scan_vec.h - what the fast forward and backward of selective_scan share.
 *
 * A tile is a few blocks of SCAN_LANES channels.  Inside a chunk everything per channel lies
 * as [block][step][lane] and everything per state as [block][N][lane], so that the inner
 * loops run over whole vectors; lanes past the last channel hold zeros and do no harm.
 *
 * The cost is the exp for every channel, state and step: decay() does 16 of them in 15
 * instructions.  All else is arranged so that nothing competes with it. */
#ifndef KR_OPS_SELECTIVE_SCAN_VEC_H
#define KR_OPS_SELECTIVE_SCAN_VEC_H
#include <omp.h>

#include "base/vec.h"
#include "ops/selective_scan/selective_scan.h"

enum { NV = SCAN_LANES / KR_VL }; /* vectors of a block */
#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f

/* 2^x to 1.3 ulp, for x clamped to [-126, 127]; NaN stays.  2^k (1 + q), k = round(x), q = 2^(x - k) - 1. */
static inline vf decay(vf x) {
    x = v_min(v_set(127.f), v_max(v_set(-126.f), x));
    vf shifted = x + 12583039.f; /* 1.5 * 2^23 + 127: the low bits are now 127 + k */
    vf r = x - (shifted - 12583039.f);
    vf q = v_set(1.5453163e-4f);
    q = q * r + 1.3390863e-3f;
    q = q * r + 9.6180830e-3f;
    q = q * r + 5.5503570e-2f;
    q = q * r + 2.4022651e-1f;
    q = q * r + 6.9314718e-1f;
    q = q * r;
    vf two_k = (vf)((vi)shifted << 23);
    return q * two_k + two_k;
}

/* Lanes [i, i + KR_VL) of p[0..n); zeros past n. */
static inline vf load_lanes(const float *p, int64_t i, int64_t n) {
    return i + KR_VL <= n ? v_load(p + i) : i < n ? v_load_n(p + i, n - i) : v_set(0);
}
static inline void store_lanes(float *p, int64_t i, int64_t n, vf v) {
    if (i + KR_VL <= n) v_store(p + i, v);
    else v_store_n(p + i, v, n - i);
}

/* The channels of one tile. */
typedef struct tile {
    int64_t first, n;             /* channels */
    int64_t group, n_groups;
    int64_t n_blocks;
    int32_t lane_group[SCAN_LANES]; /* offset of a lane's group in a row of B or C, if they differ */
} tile;
static inline tile tile_of(const scan_grid *g, int64_t i) {
    tile k = {0};
    if (g->shared) {
        int64_t in_group = g->n_tiles / g->G, from = i % in_group * g->width, left = g->per_group - from;
        k.group = i / in_group, k.n_groups = 1;
        k.first = k.group * g->per_group + from;
        k.n = left < g->width ? left : g->width;
    } else {
        int64_t step = SCAN_LANES / g->per_group;
        k.group = i * step;
        k.n_groups = g->G - k.group < step ? g->G - k.group : step;
        k.first = k.group * g->per_group;
        k.n = k.n_groups * g->per_group;
        for (int64_t l = 0; l < k.n; l++) k.lane_group[l] = (int32_t)(l / g->per_group * g->N);
    }
    k.n_blocks = (k.n + SCAN_LANES - 1) / SCAN_LANES;
    return k;
}

/* The tiles [from, to) of one sequence and segment, which a thread takes through time together: chunk
 * by chunk, so that whole rows are read and written once, in the order in which they lie. */
typedef struct band { int64_t s, seg, from, to; } band;
/* The next band of a thread's share [*at, end) of all [sequence][of n_segs segments][tile]. */
static inline bool next_band(const scan_grid *g, int64_t n_segs, int64_t *at, int64_t end, band *b) {
    if (*at >= end) return false;
    int64_t from = *at % g->n_tiles, to = (from / SCAN_BAND + 1) * SCAN_BAND;
    if (to > g->n_tiles) to = g->n_tiles;
    if (to - from > end - *at) to = from + (end - *at);
    *b = (band){*at / g->n_tiles / n_segs, *at / g->n_tiles % n_segs, from, to};
    *at += to - from;
    return true;
}
/* Where the states of a tile of a sequence and segment lie, and its sums. */
static inline int64_t part_of(const scan_grid *g, int64_t s, int64_t seg, int64_t i_tile) {
    return (s * g->n_segs + seg) * g->n_tiles + i_tile;
}

/* What forward saves for backward: a tile's states before the chunk at t0 > 0. */
static inline float *saved_state(const kr_call *c, const scan_grid *g, int64_t s, int64_t i_tile, int64_t t0) {
    int64_t chunk = s * (g->n_chunks - 1) + t0 / SCAN_CHUNK - 1;
    return (float *)c->saved + (chunk * g->n_tiles + i_tile) * g->N * g->width;
}

/* Some steps of one sequence, and their rows. */
typedef struct scan_steps {
    int64_t s, t, n;              /* the steps [t, t + n), at most SCAN_CHUNK */
    int64_t row[SCAN_CHUNK];
} scan_steps;
/* Those of the chunk at t, of steps below t1. */
static inline scan_steps chunk_of(const kr_call *c, int64_t s, int64_t t, int64_t t1) {
    scan_steps e = {.s = s, .t = t, .n = t1 - t < SCAN_CHUNK ? t1 - t : SCAN_CHUNK};
    for (int64_t i = 0; i < e.n; i++) e.row[i] = scan_row(c, s, t + i);
    return e;
}

/* The part of some tensors' rows that comes next, to fetch into L2 line by line while this one is run. */
typedef struct ahead {
    uintptr_t at[10], by[10];     /* row 0; the pitch */
    const int64_t *row, *end;     /* the row to fetch now, and those after it */
    int n, line, n_lines;         /* lines of a row */
} ahead;
static inline void ahead_add(ahead *f, const kr_tensor *x, int64_t pitch, int64_t column) {
    if (!x->data) return;
    f->at[f->n] = (uintptr_t)((const float *)x->data + column);
    f->by[f->n++] = (uintptr_t)pitch * sizeof(float);
}
static inline void ahead_step(ahead *f) {
    if (f->row == f->end) return;
    for (int i = 0; i < f->n; i++) __builtin_prefetch((const char *)f->at[i] + (uintptr_t)*f->row * f->by[i] + f->line * 64, 0, 2);
    if (++f->line < f->n_lines) return;
    f->line = 0, f->row++;
}
/* What forward reads of a tile over some steps. */
static inline ahead ahead_of(const kr_call *c, const tile *k, const scan_steps *e) {
    ahead f = {.row = e->row, .end = e->row + e->n, .n_lines = (int)k->n_blocks};
    ahead_add(&f, &c->in[SCAN_U], c->in[SCAN_U].pitch, k->first);
    ahead_add(&f, &c->in[SCAN_DT], c->in[SCAN_DT].pitch, k->first);
    ahead_add(&f, &c->in[SCAN_Z], c->in[SCAN_Z].pitch, k->first);
    return f;
}

/* One block of channels over the steps of one chunk. */
typedef struct block {
    int64_t n, N;                 /* steps, states */
    const int64_t *row;           /* [n] of the steps */
    const float *A, *dt, *x;      /* [N][lane] times log2 e; [n][lane], x = dt u */
    const float *B, *C;           /* of row 0 and the first group */
    int64_t B_pitch, C_pitch;
    const int32_t *lane_group;    /* for lanes that do not share B and C */
    float *gather;                /* [2][N][lane] */
    const unsigned char *begins;  /* [n] another sequence begins */
    ahead *ahead;
} block;

/* B or C of one step as [N][lane], when lanes are of several groups.  (Lanes past the last
 * channel get the first group's: it meets only zeros.) */
static inline const float *gather_row(const block *k, const float *restrict row, float *restrict to) {
    int32_t at[SCAN_LANES];
    memcpy(at, k->lane_group, sizeof at);
    for (int64_t n = 0; n < k->N; n++)
        for (int i = 0; i < SCAN_LANES; i++) to[n * SCAN_LANES + i] = row[at[i] + n];
    return to;
}
/* State n of B or C for vector v of the lanes. */
static inline vf coefficient(const float *row, int64_t n, int v, bool shared) {
    return shared ? v_set(row[n]) : v_load(row + n * SCAN_LANES + v * KR_VL);
}

/* Runs h[N][lane] over the chunk.  y, if wanted: [n][lane], C . h.  a and hs, if wanted:
 * [n][N][lane], every decay and every state. */
static inline __attribute__((always_inline)) void scan_block(const block *k, float *h, float *y, float *a, float *hs,
                                                             bool shared) {
    int64_t N = k->N, W = SCAN_LANES;
    for (int64_t t = 0; t < k->n; t++) {
        const float *B = k->B + k->row[t] * k->B_pitch, *C = k->C + k->row[t] * k->C_pitch;
        ahead_step(k->ahead);
        if (!shared) {
            B = gather_row(k, B, k->gather);
            if (y) C = gather_row(k, C, k->gather + N * W);
        }
        if (k->begins[t]) memset(h, 0, (size_t)(N * W) * sizeof *h);
        vf dt[NV], x[NV], sum[NV];
        for (int v = 0; v < NV; v++) {
            dt[v] = v_load(k->dt + t * W + v * KR_VL);
            x[v] = v_load(k->x + t * W + v * KR_VL);
            sum[v] = v_set(0);
        }
        for (int64_t n = 0; n < N; n++)
            for (int v = 0; v < NV; v++) {
                int64_t i = n * W + v * KR_VL;
                vf e = decay(dt[v] * v_load(k->A + i));
                vf now = e * v_load(h + i) + x[v] * coefficient(B, n, v, shared);
                v_store(h + i, now);
                if (y) sum[v] += now * coefficient(C, n, v, shared);
                if (a) v_store(a + t * N * W + i, e);
                if (hs) v_store(hs + t * N * W + i, now);
            }
        for (int v = 0; y && v < NV; v++) v_store(y + t * W + v * KR_VL, sum[v]);
    }
}

/* [n channels][N] <-> [block][N][lane] */
static inline void to_lanes(float *to, const float *from, int64_t n, int64_t n_blocks, int64_t N, float scale) {
    for (int64_t i = 0; i < n_blocks * SCAN_LANES; i++)
        for (int64_t j = 0; j < N; j++)
            to[(i / SCAN_LANES * N + j) * SCAN_LANES + i % SCAN_LANES] = i < n ? from[i * N + j] * scale : 0;
}
static inline void from_lanes(float *to, const float *from, int64_t n, int64_t N, bool acc) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < N; j++) {
            float v = from[(i / SCAN_LANES * N + j) * SCAN_LANES + i % SCAN_LANES];
            to[i * N + j] = acc ? to[i * N + j] + v : v;
        }
}

static inline const float *in_row(const kr_call *c, int slot, int64_t row) {
    return (const float *)c->in[slot].data + row * c->in[slot].pitch;
}
/* What is larger than a core's own cache is stored past it, where whole lines are set: that saves reading
 * them first.  (Small ones had better stay for whoever comes next.) */
static inline bool streams(const kr_call *c, const kr_tensor *x, int64_t pitch, const tile *k) {
    return x->data && KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D') >= SCAN_STREAM &&
           (uintptr_t)x->data % 64 == 0 && pitch % 16 == 0 && k->first % 16 == 0;
}
static inline vf step_size(const kr_call *c, vf raw) {
    return ((const selective_scan_attr *)c->attr)->dt_softplus ? v_softplus(raw) : raw;
}
/* begins[i] for some steps; true if there is any. */
static inline bool find_begins(const kr_call *c, const scan_steps *e, unsigned char *begins) {
    const kr_tensor *q = &c->in[SCAN_SEQ_IDX];
    const int32_t *id = q->data;
    bool any = false;
    for (int64_t t = 0; t < e->n; t++) {
        int64_t at = e->s * KR_SIZE(c, 'L') + e->t + t;
        begins[t] = id && e->t + t > 0 && id[at * q->pitch] != id[(at - 1) * q->pitch];
        any = any || begins[t];
    }
    return any;
}
#endif
