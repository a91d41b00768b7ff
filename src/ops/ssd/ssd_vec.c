/* ssd_vec.c - ssd forward for CPUs, by chunks of Q steps (Dao & Gu 2024, section 6).
 *
 * With X_j = dt_j x_j, and decays from cum, the running sum of dt A within the chunk:
 *
 *   Y_i = sum_{j <= i} (C_i . B_j) exp(cum_i - cum_j) X_j  +  exp(cum_i) C_i h  +  D x_i
 *   h   = exp(cum_last) h + sum_j exp(cum_last - cum_j) X_j B_j'
 *
 * are three products a head: [Q,Q,P] (half of it), [Q,P,N] and [N,P,Q].  C B' is made once
 * for all heads of a group.
 *
 * A thread takes a block of a group's heads through all chunks of a sequence, so their
 * states (kept as [N, P]) stay in its cache and none is ever written but the last; there are
 * no barriers.  Scratch does not grow with L, backward gets a state every SSD_STRETCH
 * steps, and no sum depends on who computes it.  A few steps only (decoding: one) go by the recurrence, which
 * reads and writes the state once and in place. */
#include "base/team.h"
#include "ops/ssd/ssd_chunk.h"

/* What one thread works in. */
typedef struct bench {
    group_work group;
    float *states;        /* [N, P] for each head of the block */
    float *x, *x_out, *y; /* [Q, P]: x; dt x decayed to the chunk's end; y */
    float *m;             /* [Q, Q]: C B' under its decays, times dt */
    decays decay;
    ahead ahead;
} bench;

static bench bench_at(const ssd_dims *z, float *at) {
    bench w = {0};
    w.group = group_place(z, &at);
    w.states = take(&at, z->block * z->Np * z->Pp);
    w.x = take(&at, z->Qp * z->Pp);
    w.x_out = take(&at, z->Qp * z->Pp);
    w.y = take(&at, z->Qp * z->Pp);
    w.m = take(&at, z->Qp * z->Qp);
    decays_place(&w.decay, at, z->Qp);
    return w;
}

/* m = C B' under its decays, times dt, as far as the product with x reads. */
static void mask_scores(const ssd_dims *z, const bench *w, int64_t q) {
    decay_matrix(&w->decay, q, w->m, z->Qp);
    for (int64_t i = 0; i < ssd_padded(q); i++)
        for (int64_t j = 0; j < tile_end(i, q); j += KR_VL) {
            float *m = w->m + i * z->Qp + j;
            v_store(m, v_load(m) * v_load(w->group.CB + i * z->Qp + j) * v_load(w->decay.dt + j));
        }
}

/* y = w + D x, from padded rows to the output. */
static void write_y(const kr_call *c, const ssd_dims *z, const bench *w, const span *k, int64_t h) {
    const float *Dhp = IN(SSD_DHP) ? IN(SSD_DHP) + h * z->P : NULL;
    float D = IN(SSD_D) ? IN(SSD_D)[h] : 0;
    for (int64_t i = 0; i < k->q; i++) {
        float *y = (float *)c->out[SSD_Y].data + ((k->row + i) * z->H + h) * z->P;
        const float *from = w->y + i * z->Pp, *x = w->x + i * z->Pp;
        for (int64_t p = 0; p < z->P; p += KR_VL) {
            int64_t n = ssd_min(z->P - p, KR_VL);
            vf d = Dhp ? v_load_n(Dhp + p, n) + D : v_set(D);
            v_store_n(y + p, v_load(from + p) + v_load(x + p) * d, n);
        }
    }
}

/* One head through one chunk.  state [N, P] moves from its start to its end. */
static void head_chunk(const kr_call *c, const ssd_dims *z, bench *w, const span *k, int64_t h, float *state) {
    int64_t q = k->q, P = z->Pp;
    const decays *d = &w->decay;
    decays_fill(c, k, h, &w->decay);
    fetch_x(c, z, k, h, w->x);
    scale_rows(w->x_out, w->x, P, d->dt_out, k->qp);
    mask_scores(z, w, q);
    multiply(&(product){k->qp, P, z->N, {w->group.C, z->Np}, {state, P}, {w->y, P}, .ahead = &w->ahead});
    multiply(&(product){k->qp, P, q, {w->m, z->Qp}, {w->x, P}, {w->y, P}, .from = w->y, .keep_rows = d->in,
                        .shape = TILE_A_LOWER, .ahead = &w->ahead});
    write_y(c, z, w, k, h);
    multiply(&(product){z->Np, P, q, {w->group.B, z->Np}, {w->x_out, P}, {state, P}, .a_trans = true,
                        .from = d->all != 0 ? state : NULL, .keep = d->all, .ahead = &w->ahead});
}

static void store_state(const kr_call *c, const ssd_dims *z, int64_t sh, const float *state) {
    float *to = (float *)c->out[SSD_H].data + sh * z->P * z->N;
    for (int64_t p = 0; p < z->P; p++)
        for (int64_t n = 0; n < z->N; n++) to[p * z->N + n] = state[n * z->Pp + p];
}

static ahead next_chunk(const kr_call *c, const ssd_dims *z, const heads *b, int64_t i) {
    if (i >= z->n_chunks) return (ahead){0};
    span k = span_at(z, b->s, i);
    ahead f = {.rows = k.q};
    ahead_heads(&f, z, IN(SSD_X), c->in[SSD_X].pitch, &k, b->h0, b->h1);
    ahead_group(&f, z, &c->in[SSD_B], &k, b->g);
    ahead_group(&f, z, &c->in[SSD_C], &k, b->g);
    ahead_heads(&f, z, c->out[SSD_Y].data, z->H * z->P, &k, b->h0, b->h1);
    return f;
}

/* A block of heads through a sequence. */
static void heads_forward(const kr_call *c, const ssd_dims *z, bench *w, const heads *b) {
    int64_t size = z->Np * z->Pp, s = b->s, h0 = b->h0, h1 = b->h1;
    for (int64_t h = h0; h < h1; h++) fetch_state(z, IN(SSD_H0), s * z->H + h, w->states + (h - h0) * size);
    for (int64_t i = 0; i < z->n_chunks; i++) {
        span k = span_at(z, s, i);
        bool save = c->saved && i > 0 && i % z->stretch == 0;
        w->ahead = next_chunk(c, z, b, i + 1);
        group_fill(c, z, &k, b->g, &w->group);
        for (int64_t h = h0; h < h1; h++) {
            float *state = w->states + (h - h0) * size;
            if (save) memcpy(saved_state(c, z, s, h, i / z->stretch), state, (size_t)size * sizeof *state);
            head_chunk(c, z, w, &k, h, state);
        }
    }
    for (int64_t h = h0; h < h1 && c->out[SSD_H].data; h++)
        store_state(c, z, s * z->H + h, w->states + (h - h0) * size);
}

/* --- a few steps: the recurrence itself ------------------------------------------------- */

/* What all rows of a head share in one step. */
typedef struct step {
    int64_t N;
    float a, dt;
    const float *B, *C;
} step;

enum { NEXT = 2048, FURTHER = 8192 }; /* floats on in the states: into L1 what is next, into L2 what follows */

/* `rows` rows of a state: to = a from + dt x B', y = to C.  from NULL: zero. */
static inline __attribute__((always_inline)) void step_rows(const step *k, const int rows, const float *x,
                                                            const float *from, float *to, float *y) {
    vf sum[4], x_dt[4];
    for (int p = 0; p < rows; p++) sum[p] = (vf){0}, x_dt[p] = v_set(x[p] * k->dt);
    for (int64_t n = 0; n < k->N; n += KR_VL) {
        int64_t lanes = k->N - n;
        bool whole = lanes >= KR_VL;
        vf b = whole ? v_load(k->B + n) : v_load_n(k->B + n, lanes);
        vf c = whole ? v_load(k->C + n) : v_load_n(k->C + n, lanes);
#pragma GCC unroll 4
        for (int p = 0; p < rows; p++) {
            int64_t i = p * k->N + n;
            __builtin_prefetch(to + i + NEXT, 1), __builtin_prefetch(to + i + FURTHER, 1, 2);
            vf h = b * x_dt[p];
            if (from) h += (whole ? v_load(from + i) : v_load_n(from + i, lanes)) * k->a;
            if (whole) v_store(to + i, h);
            else v_store_n(to + i, h, lanes);
            sum[p] += h * c;
        }
    }
    for (int p = 0; p < rows; p++) y[p] = v_sum(sum[p]);
}

/* Head h of sequence s, one step after the other, its state where the caller wants it. */
static void head_steps(const kr_call *c, const ssd_dims *z, int64_t s, int64_t h, float *spare) {
    const ssd_attr *attr = c->attr;
    int64_t P = z->P, N = z->N, at = (s * z->H + h) * P * N;
    float *to = c->out[SSD_H].data ? (float *)c->out[SSD_H].data + at : spare, D = IN(SSD_D) ? IN(SSD_D)[h] : 0;
    const float *from = IN(SSD_H0) ? IN(SSD_H0) + at : NULL, *Dhp = IN(SSD_DHP) ? IN(SSD_DHP) + h * P : NULL;
    for (int64_t t = 0; t < z->L; t++, from = to) {
        span one = {s, t, 1, 1, s * z->L + t};
        float raw = IN(SSD_DT)[one.row * c->in[SSD_DT].pitch + h] + (IN(SSD_DT_BIAS) ? IN(SSD_DT_BIAS)[h] : 0);
        const float *x = IN(SSD_X) + one.row * c->in[SSD_X].pitch + h * P;
        float *y = (float *)c->out[SSD_Y].data + (one.row * z->H + h) * P;
        int64_t group = h / z->R * N, p = 0;
        step k = {.N = N, .B = IN(SSD_B) + one.row * c->in[SSD_B].pitch + group};
        int32_t start;
        k.C = IN(SSD_C) + one.row * c->in[SSD_C].pitch + group;
        k.dt = clamped(attr, free_dt(attr, v_set(raw)))[0];
        k.a = decay_exp(v_set(k.dt * IN(SSD_A)[h]), -60)[0];
        find_starts(c, &one, &start);
        if (start == 0) from = NULL;
        for (; p + 4 <= P; p += 4) step_rows(&k, 4, x + p, from ? from + p * N : NULL, to + p * N, y + p);
        for (; p < P; p++) step_rows(&k, 1, x + p, from ? from + p * N : NULL, to + p * N, y + p);
        for (p = 0; p < P; p++) y[p] += x[p] * (Dhp ? Dhp[p] + D : D);
    }
}

typedef struct job { const kr_call *c; ssd_dims z; } job;

static void item(void *arg, int64_t i, int who) {
    const job *j = arg;
    const ssd_dims *z = &j->z;
    float *mine = (float *)j->c->scratch + who * ssd_fwd_floats(z);
    if (z->few) {
        head_steps(j->c, z, i / z->H, i % z->H, mine);
    } else {
        bench w = bench_at(z, mine);
        heads b = heads_at(z, z->block, z->n_blocks, i);
        heads_forward(j->c, z, &w, &b);
    }
}

void KR_VEC(ssd_fwd)(const kr_call *c) {
    job j = {c, ssd_dims_of(c)};
    kr_team_each(c->n_threads, j.z.few ? j.z.S * j.z.H : j.z.S * j.z.G * j.z.n_blocks, item, &j);
}
