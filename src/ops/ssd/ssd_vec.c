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
 * no barriers.  Scratch does not grow with L, nothing is saved for backward, and no sum
 * depends on who computes it. */
#include "ops/ssd/ssd_chunk.h"

/* What one thread works in. */
typedef struct bench {
    group_work group;
    float *states;        /* [N, P] for each head of the block */
    float *x, *x_out, *y; /* [Q, P]: x; dt x decayed to the chunk's end; y */
    float *m;             /* [Q, Q]: C B' under its decays, times dt */
    decays decay;
} bench;

static bench bench_at(const ssd_dims *z, float *at) {
    bench w;
    w.group = group_place(z, &at);
    w.states = take(&at, z->block * z->Np * z->Pp);
    w.x = take(&at, z->Qp * z->Pp);
    w.x_out = take(&at, z->Qp * z->Pp);
    w.y = take(&at, z->Qp * z->Pp);
    w.m = take(&at, z->Qp * z->Qp);
    decays_place(&w.decay, at, z->Qp);
    return w;
}

/* Row i of m for the columns that the product reads: see tile_end. */
static void mask_scores(const ssd_dims *z, const decays *d, const float *CB, int64_t q, float *m) {
    vf lane = lane_numbers();
    for (int64_t i = 0; i < ssd_padded(q); i++)
        for (int64_t j = 0; j < tile_end(i, q); j += KR_VL)
            v_store(m + i * z->Qp + j, v_load(CB + i * z->Qp + j) * v_load(d->dt + j) * decay_row(d, i, j, lane));
}

/* y = w + D x, from padded rows to the output. */
static void write_y(const kr_call *c, const ssd_dims *z, bench *w, int64_t row, int64_t q, int64_t h) {
    const float *Dhp = IN(SSD_DHP) ? IN(SSD_DHP) + h * z->P : NULL;
    float D = IN(SSD_D) ? IN(SSD_D)[h] : 0;
    for (int64_t i = 0; i < q; i++) {
        float *y = (float *)c->out[SSD_Y].data + ((row + i) * z->H + h) * z->P;
        const float *from = w->y + i * z->Pp, *x = w->x + i * z->Pp;
        int64_t p = 0;
        for (; p + KR_VL <= z->P; p += KR_VL)
            v_store(y + p, v_load(from + p) + v_load(x + p) * (Dhp ? v_load(Dhp + p) + D : v_set(D)));
        for (; p < z->P; p++) y[p] = from[p] + x[p] * (Dhp ? Dhp[p] + D : D);
    }
}

/* One head through one chunk.  state [N, P] moves from its start to its end. */
static void head_chunk(const kr_call *c, const ssd_dims *z, bench *w, int64_t s, int64_t t0, int64_t h,
                       float *state) {
    int64_t q = ssd_min(z->Q, z->L - t0), qp = ssd_padded(q), row = s * z->L + t0, P = z->Pp;
    const decays *d = &w->decay;
    decays_fill(c, z, s, t0, q, h, &w->decay);
    copy_padded(w->x, P, IN(SSD_X) + row * c->in[SSD_X].pitch + h * z->P, c->in[SSD_X].pitch, q, z->P);
    scale_rows(w->x_out, w->x, P, d->dt_out, qp);
    mask_scores(z, d, w->group.CB, q, w->m);
    tile_multiply(&(tile_product){.m = qp, .n = P, .k = z->N, .a = w->group.C, .lda = z->Np, .b = state, .ldb = P, .c = w->y, .ldc = P});
    scale_rows(w->y, w->y, P, d->in, qp);
    tile_multiply(&(tile_product){.m = qp, .n = P, .k = q, .a = w->m, .lda = z->Qp, .b = w->x, .ldb = P, .c = w->y, .ldc = P,
                                  .from = w->y, .keep = 1, .shape = TILE_A_LOWER});
    write_y(c, z, w, row, q, h);
    tile_multiply(&(tile_product){.m = z->Np, .n = P, .k = q, .a = w->group.B, .lda = z->Np, .a_trans = true, .b = w->x_out, .ldb = P,
                                  .c = state, .ldc = P, .from = d->all != 0 ? state : NULL, .keep = d->all});
}

/* The state between the caller's [P, N] and our padded [N, P]. */
static void load_state(const kr_call *c, const ssd_dims *z, int64_t sh, float *state) {
    const float *from = IN(SSD_H0) ? IN(SSD_H0) + sh * z->P * z->N : NULL;
    memset(state, 0, (size_t)(z->Np * z->Pp) * sizeof *state);
    for (int64_t p = 0; from && p < z->P; p++)
        for (int64_t n = 0; n < z->N; n++) state[n * z->Pp + p] = from[p * z->N + n];
}
static void store_state(const kr_call *c, const ssd_dims *z, int64_t sh, const float *state) {
    float *to = (float *)c->out[SSD_H].data + sh * z->P * z->N;
    for (int64_t p = 0; p < z->P; p++)
        for (int64_t n = 0; n < z->N; n++) to[p * z->N + n] = state[n * z->Pp + p];
}

/* Heads h0 .. h1-1, all of one group, through a sequence. */
static void block_forward(const kr_call *c, const ssd_dims *z, bench *w, int64_t s, int64_t h0, int64_t h1) {
    int64_t size = z->Np * z->Pp;
    for (int64_t h = h0; h < h1; h++) load_state(c, z, s * z->H + h, w->states + (h - h0) * size);
    for (int64_t t = 0; t < z->L; t += z->Q) {
        group_fill(c, z, s, t, ssd_min(z->Q, z->L - t), h0 / z->R, &w->group);
        for (int64_t h = h0; h < h1; h++) head_chunk(c, z, w, s, t, h, w->states + (h - h0) * size);
    }
    for (int64_t h = h0; h < h1 && c->out[SSD_H].data; h++)
        store_state(c, z, s * z->H + h, w->states + (h - h0) * size);
}

void KR_VEC(ssd_fwd)(const kr_call *c) {
    ssd_dims z = ssd_dims_of(c);
    float *scratch = c->scratch;
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic)
    for (int64_t i = 0; i < z.S * z.G * z.n_blocks; i++) {
        bench w = bench_at(&z, scratch + omp_get_thread_num() * ssd_fwd_floats(&z));
        int64_t g = i / z.n_blocks % z.G, h0 = g * z.R + i % z.n_blocks * z.block;
        block_forward(c, &z, &w, i / (z.n_blocks * z.G), h0, ssd_min(h0 + z.block, (g + 1) * z.R));
    }
}
