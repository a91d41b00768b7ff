/* ssd_bwd_vec.c - ssd backward for CPUs, by chunks.
 *
 * With h the state at the start of a chunk, and g the gradient of the state at its end, which comes
 * back through time by  g := exp(cum_last) g + sum_i exp(cum_i) dy_i C_i' :
 *
 *   E_ij  = exp(cum_i - cum_j)     M = C B' o E     dM_ij = dy_i . X_j     (X = dt x, j <= i)
 *   dX_j  = sum_i M_ij dy_i + out_j g B_j           out_j = exp(cum_last - cum_j)
 *   dB    = (sum_heads dM o E)' C + sum_heads out X g        dC = (sum_heads dM o E) B + sum_heads in dy h
 *
 * The gradient of a log decay dt A at step k gathers what crosses it: W = dM o M over all
 * i >= k > j, dy_i from the state for i >= k, X_j into the state for j < k, and <g, h> across
 * the chunk.  Each is summed as it stands; the shorter way, through differences of row and
 * column sums, cancels.
 *
 * A thread takes a part of a group's heads back through time, one stretch of chunks at a call: the
 * states of a stretch are redone from the one that forward saved, and together with g they stay in
 * its cache.  Then the parts' sums over heads are added, in their order, chunk by chunk.  What is
 * summed over steps (dA, dD, ddt_bias) is left as one number a chunk, and added up at the end.
 * Parts are the same for any number of threads, and so are the bits. */
#include "ops/ssd/ssd_chunk.h"

/* Sums over the heads of a part, in one chunk. */
typedef struct sums { float *dbt, *dct, *dcb; } sums; /* [N, Q] twice, [Q, Q] */

/* What one thread works in. */
typedef struct bench {
    group_work group;
    float *ct;                 /* [N, Q]: C transposed */
    float *x, *xt, *xt_out;    /* x as [Q, P] and as [P, Q]; the latter times dt out */
    float *dy, *dyt_in, *dy_in; /* [Q, P]; as [P, Q] and as [Q, P] times in */
    float *dx;                 /* [Q, P]: of X = dt x */
    float *m, *dm;             /* [Q, Q] */
    float *t;                  /* [N, Q], or [Q, N] */
    float *col, *dla;          /* [Q]; the gradient of the log decays dt A */
    float *into, *from;        /* [Q]: what X_j gives the state, what y_i takes from it */
    float *h;                  /* [chunk of the stretch, head of the part]: states */
    decays decay;
    ahead ahead;
} bench;

static bench bench_at(const ssd_dims *z, float *at) {
    int64_t qp = z->Qp * z->Pp, qq = z->Qp * z->Qp, qn = z->Qp * z->Np;
    bench w = {0};
    w.group = group_place(z, &at);
    w.ct = take(&at, qn);
    w.x = take(&at, qp), w.xt = take(&at, qp), w.xt_out = take(&at, qp);
    w.dy = take(&at, qp), w.dyt_in = take(&at, qp), w.dy_in = take(&at, qp), w.dx = take(&at, qp);
    w.m = take(&at, qq), w.dm = take(&at, qq);
    w.t = take(&at, qn);
    w.col = take(&at, z->Qp), w.dla = take(&at, z->Qp), w.into = take(&at, z->Qp), w.from = take(&at, z->Qp);
    w.h = take(&at, z->stretch * z->part * z->Np * z->Pp);
    decays_place(&w.decay, at, z->Qp);
    return w;
}

/* Everything that threads share. */
typedef struct plan {
    ssd_dims z;
    int64_t size;              /* of a state: [N, P], padded */
    int64_t s0, n_seq;         /* the sequences under way */
    int64_t first, n;          /* the chunks of the stretch under way */
    float *g;                  /* [seq, H] */
    float *sums;               /* [seq, chunk of the stretch, G, part]: see sums */
    float *part;               /* [S, chunk, H, 3 + P]: dA, ddt_bias, dD, dDhp of each chunk */
    float *benches;
} plan;

static plan plan_at(const kr_call *c) {
    plan k = {.z = ssd_dims_of(c)};
    float *at = c->scratch;
    k.size = k.z.Pp * k.z.Np;
    k.g = take(&at, ssd_bwd_grads(&k.z));
    k.sums = take(&at, ssd_bwd_sums(&k.z));
    k.part = take(&at, ssd_bwd_parts(&k.z));
    k.benches = at;
    return k;
}
static bench my_bench(const plan *k) {
    return bench_at(&k->z, k->benches + omp_get_thread_num() * ssd_bwd_floats(&k->z));
}
/* Of the s-th sequence under way, in the i-th chunk of the stretch. */
static sums sums_of(const plan *k, int64_t s, int64_t i, int64_t g, int64_t part) {
    const ssd_dims *z = &k->z;
    float *at = k->sums + (((s * z->stretch + i) * z->G + g) * z->n_parts + part) * ssd_sums(z);
    return (sums){at, at + z->Np * z->Qp, at + 2 * z->Np * z->Qp};
}

static void fetch_dy(const kr_call *c, const ssd_dims *z, const span *k, int64_t h, float *dy) {
    const float *given = c->dout[SSD_Y].data;
    if (given) copy_padded(dy, z->Pp, given + (k->row * z->H + h) * z->P, z->H * z->P, k->q, z->P);
    else memset(dy, 0, (size_t)(k->qp * z->Pp) * sizeof *dy);
}

/* --- through time ----------------------------------------------------------------------- */

/* to = head h's state after the chunk, from = before.  w holds B of the chunk. */
static void state_forward(const kr_call *c, const ssd_dims *z, bench *w, const span *k, int64_t h, const float *from,
                          float *to) {
    const decays *d = &w->decay;
    decays_fill(c, k, h, &w->decay);
    fetch_x(c, z, k, h, w->x);
    scale_rows(w->x, w->x, z->Pp, d->dt_out, k->q);
    multiply(&(product){z->Np, z->Pp, k->q, {w->group.B, z->Np}, {w->x, z->Pp}, {to, z->Pp}, .a_trans = true,
                        .from = d->all != 0 ? from : NULL, .keep = d->all, .ahead = &w->ahead});
}

/* What state_forward reads of a chunk; or all that head_chunk reads and writes. */
static ahead next_chunk(const kr_call *c, const plan *pl, const heads *b, int64_t i, bool all) {
    const ssd_dims *z = &pl->z;
    if (i < 0) return (ahead){0};
    span k = span_at(z, pl->s0 + b->s, pl->first + i);
    ahead f = {.rows = k.q};
    ahead_heads(&f, z, IN(SSD_X), c->in[SSD_X].pitch, &k, b->h0, b->h1);
    ahead_group(&f, z, &c->in[SSD_B], &k, b->g);
    if (!all) return f;
    ahead_heads(&f, z, c->dout[SSD_Y].data, z->H * z->P, &k, b->h0, b->h1);
    ahead_group(&f, z, &c->in[SSD_C], &k, b->g);
    ahead_heads(&f, z, DIN(SSD_X), c->din[SSD_X].pitch, &k, b->h0, b->h1);
    return f;
}

/* The states before all chunks of the stretch. */
static void redo_states(const kr_call *c, const plan *pl, bench *w, const heads *b) {
    const ssd_dims *z = &pl->z;
    int64_t s = pl->s0 + b->s, of_chunk = z->part * pl->size;
    for (int64_t h = b->h0; h < b->h1; h++) {
        float *to = w->h + (h - b->h0) * pl->size;
        if (pl->first == 0) fetch_state(z, IN(SSD_H0), s * z->H + h, to);
        else memcpy(to, saved_state(c, z, s, h, pl->first / z->stretch), (size_t)pl->size * sizeof *to);
    }
    for (int64_t i = 0; i + 1 < pl->n; i++) {
        span k = span_at(z, s, pl->first + i);
        w->ahead = next_chunk(c, pl, b, i + 1, i + 2 == pl->n);
        fetch_group(c, z, SSD_B, &k, b->g, w->group.B);
        for (int64_t h = b->h0; h < b->h1; h++) {
            float *from = w->h + i * of_chunk + (h - b->h0) * pl->size;
            state_forward(c, z, w, &k, h, from, from + of_chunk);
        }
    }
}

static void first_grads(const kr_call *c, const plan *k) {
    for (int64_t i = 0; i < k->n_seq * k->z.H; i++)
        fetch_state(&k->z, c->dout[SSD_H].data, k->s0 * k->z.H + i, k->g + i * k->size);
}
static void write_dh0(const kr_call *c, const plan *k) {
    const ssd_dims *z = &k->z;
    if (!DIN(SSD_H0)) return;
    for (int64_t i = 0; i < k->n_seq * z->H; i++) {
        const float *from = k->g + i * k->size;
        float *to = DIN(SSD_H0) + (k->s0 * z->H + i) * z->P * z->N;
        for (int64_t p = 0; p < z->P; p++)
            for (int64_t n = 0; n < z->N; n++)
                to[p * z->N + n] = (c->acc[SSD_H0] ? to[p * z->N + n] : 0) + from[n * z->Pp + p];
    }
}

/* --- one chunk -------------------------------------------------------------------------- */

/* From dm = dy x': m = C B' o E, dcb += dt dm o E, and dla[k] = the sum of W over
 * i >= k > j.  Rows go upwards: col[j] gathers W_ij of the rows so far. */
static void score_gradients(const ssd_dims *z, bench *w, int64_t q, float *sum) {
    const decays *d = &w->decay;
    vf lane = lane_numbers();
    decay_matrix(d, q, w->m, z->Qp);
    memset(w->col, 0, (size_t)z->Qp * sizeof *w->col);
    for (int64_t i = ssd_padded(q) - 1; i >= 0; i--) {
        const float *cb = w->group.CB + i * z->Qp, *dm = w->dm + i * z->Qp;
        float *m = w->m + i * z->Qp, *dcb = sum + i * z->Qp;
        vf crossing = {0};
        for (int64_t j = 0; j < tile_end(i, q); j += KR_VL) {
            vf e = v_load(m + j), score = v_load(cb + j) * e;
            vf grad = v_load(dm + j) * v_load(d->dt + j), col = v_load(w->col + j) + grad * score;
            v_store(m + j, score);
            v_store(dcb + j, v_load(dcb + j) + grad * e);
            v_store(w->col + j, col);
            crossing += v_select(lane + (float)j < (float)i, col, (vf){0});
        }
        w->dla[i] = v_sum(crossing);
    }
}

/* dx, so far g B_j, is decayed to step j; into[j] = X_j . dx_j. */
static void state_to_dx(const ssd_dims *z, bench *w, int64_t q) {
    for (int64_t j = 0; j < q; j++) {
        vf sum = {0};
        for (int64_t p = 0; p < z->Pp; p += KR_VL) {
            vf v = v_load(w->dx + j * z->Pp + p) * w->decay.out[j];
            v_store(w->dx + j * z->Pp + p, v);
            sum += v * v_load(w->x + j * z->Pp + p);
        }
        w->into[j] = v_sum(sum) * w->decay.dt[j];
    }
}

/* dC' += t = in dy h, transposed; from[i] = t_i . C_i, the part of y_i that came from the
 * state, times dy_i. */
static void state_to_dc(const ssd_dims *z, bench *w, int64_t q, float *dct) {
    for (int64_t i = 0; i < ssd_padded(q); i += KR_VL) {
        vf sum = {0};
        for (int64_t n = 0; n < z->N; n++) {
            vf t = v_load(w->t + n * z->Qp + i);
            v_store(dct + n * z->Qp + i, v_load(dct + n * z->Qp + i) + t);
            sum += t * v_load(w->ct + n * z->Qp + i);
        }
        v_store(w->from + i, sum);
    }
}

static float dot(const float *a, const float *b, int64_t n) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += KR_VL) sum += v_load(a + i) * v_load(b + i);
    return v_sum(sum);
}

/* What leads from the clamped dt to the given one: the slope of softplus, 0 where clamped. */
static void dt_slopes(const kr_call *c, const span *k, const decays *d, float *slope) {
    const ssd_attr *attr = c->attr;
    for (int64_t i = 0; i < k->qp; i += KR_VL) {
        vf raw = v_load(d->raw + i), dt = free_dt(attr, raw);
        vi inside = (dt >= (float)attr->dt_min) & (dt <= (float)attr->dt_max);
        v_store(slope + i, v_select(inside, attr->dt_softplus ? v_sigmoid(raw) : v_set(1), (vf){0}));
    }
}

/* ddt, and dA, ddt_bias of this chunk to part[0], [1]. */
static void write_dt(const kr_call *c, const ssd_dims *z, bench *w, const span *k, int64_t h, float *part) {
    const decays *d = &w->decay;
    double dA = 0, dbias = 0;
    dt_slopes(c, k, d, w->col);
    for (int64_t j = 0; j < k->q; j++) {
        float ddt = dot(w->dx + j * z->Pp, w->x + j * z->Pp, z->Pp) + w->dla[j] * IN(SSD_A)[h];
        ddt *= w->col[j];
        dA += w->dla[j] * d->dt[j];
        dbias += ddt;
        if (!DIN(SSD_DT)) continue;
        float *to = DIN(SSD_DT) + (k->row + j) * c->din[SSD_DT].pitch + h;
        *to = (c->acc[SSD_DT] ? *to : 0) + ddt;
    }
    part[0] = (float)dA, part[1] = (float)dbias;
}

/* dx, and dD, dDhp of this chunk to part[2], [3 ..]. */
static void write_x(const kr_call *c, const ssd_dims *z, bench *w, const span *k, int64_t h, float *part) {
    const float *dt = w->decay.dt, D = IN(SSD_D) ? IN(SSD_D)[h] : 0;
    double dD = 0;
    for (int64_t p = 0; p < z->P; p += KR_VL) {
        int64_t n = ssd_min(z->P - p, KR_VL), pitch = c->din[SSD_X].pitch;
        vf d = IN(SSD_DHP) ? v_load_n(IN(SSD_DHP) + h * z->P + p, n) + D : v_set(D), sum = {0};
        float *to = DIN(SSD_X) ? DIN(SSD_X) + k->row * pitch + h * z->P + p : NULL;
        for (int64_t j = 0; j < k->q; j++) {
            vf dy = v_load(w->dy + j * z->Pp + p);
            sum += dy * v_load(w->x + j * z->Pp + p);
            if (!to) continue;
            vf dx = v_load(w->dx + j * z->Pp + p) * dt[j] + dy * d;
            if (c->acc[SSD_X]) dx += v_load_n(to + j * pitch, n);
            v_store_n(to + j * pitch, dx, n);
        }
        v_store_n(part + 3 + p, sum, n);
        dD += v_sum(sum);
    }
    part[2] = (float)dD;
}

/* One head in one chunk; the sums of its part grow, and grad moves from the chunk's end to its start. */
static void head_chunk(const kr_call *c, const ssd_dims *z, bench *w, const span *k, int64_t h, const sums *sum,
                       float *state, float *grad, float *part) {
    int64_t q = k->q, qp = k->qp, P = z->Pp, N = z->Np, Q = z->Qp;
    const decays *d = &w->decay;
    ahead *next = &w->ahead;
    decays_fill(c, k, h, &w->decay);
    fetch_x(c, z, k, h, w->x);
    fetch_dy(c, z, k, h, w->dy);
    transpose_padded(w->dyt_in, Q, w->dy, P, qp, P);
    scale_columns(w->dyt_in, w->dyt_in, Q, P, qp, d->in);
    transpose_padded(w->xt, Q, w->x, P, qp, P);
    scale_columns(w->xt_out, w->xt, Q, P, qp, d->dt_out);

    multiply(&(product){qp, qp, P, {w->dy, P}, {w->xt, Q}, {w->dm, Q}, .shape = TILE_C_LOWER, .ahead = next});
    score_gradients(z, w, q, sum->dcb);
    multiply(&(product){qp, P, N, {w->group.B, N}, {grad, P}, {w->dx, P}, .ahead = next});
    state_to_dx(z, w, q);
    multiply(&(product){qp, P, q, {w->m, Q}, {w->dy, P}, {w->dx, P}, .a_trans = true, .from = w->dx, .keep = 1,
                        .shape = TILE_A_UPPER, .ahead = next});
    multiply(&(product){N, qp, P, {state, P}, {w->dyt_in, Q}, {w->t, Q}, .ahead = next});
    state_to_dc(z, w, q, sum->dct);
    multiply(&(product){N, qp, P, {grad, P}, {w->xt_out, Q}, {sum->dbt, Q}, .from = sum->dbt, .keep = 1,
                        .ahead = next});

    double across = d->all != 0 ? d->all * dot(state, grad, N * P) : 0, before = 0, after = 0;
    for (int64_t i = 0; i < q; i++) {
        w->dla[i] += (float)(across + before);
        before += w->into[i];
    }
    for (int64_t i = q - 1; i >= 0; i--) {
        after += w->from[i];
        w->dla[i] += (float)after;
    }
    write_dt(c, z, w, k, h, part);
    write_x(c, z, w, k, h, part);
    scale_rows(w->dy_in, w->dy, P, d->in, q);
    multiply(&(product){N, P, q, {w->group.C, N}, {w->dy_in, P}, {grad, P}, .a_trans = true,
                        .from = d->all != 0 ? grad : NULL, .keep = d->all, .ahead = next});
}

/* dB or dC from padded rows. */
static void write_group(const kr_call *c, const ssd_dims *z, int slot, const span *k, int64_t g, const float *from) {
    if (!DIN(slot)) return;
    for (int64_t i = 0; i < k->q; i++) {
        float *to = DIN(slot) + (k->row + i) * c->din[slot].pitch + g * z->N;
        for (int64_t n = 0; n < z->N; n += KR_VL) {
            int64_t lanes = ssd_min(z->N - n, KR_VL);
            vf v = v_load(from + i * z->Np + n);
            v_store_n(to + n, c->acc[slot] ? v + v_load_n(to + n, lanes) : v, lanes);
        }
    }
}

/* The heads of a part through a stretch. */
static void part_stretch(const kr_call *c, const plan *pl, bench *w, int64_t item) {
    const ssd_dims *z = &pl->z;
    heads b = heads_at(z, z->part, z->n_parts, item);
    redo_states(c, pl, w, &b);
    for (int64_t i = pl->n - 1; i >= 0; i--) {
        span k = span_at(z, pl->s0 + b.s, pl->first + i);
        sums sum = sums_of(pl, b.s, i, b.g, item % z->n_parts);
        w->ahead = next_chunk(c, pl, &b, i - 1, true);
        group_fill(c, z, &k, b.g, &w->group);
        transpose_padded(w->ct, z->Qp, w->group.C, z->Np, k.qp, z->Np);
        memset(sum.dbt, 0, (size_t)ssd_sums(z) * sizeof(float));
        for (int64_t h = b.h0; h < b.h1; h++)
            head_chunk(c, z, w, &k, h, &sum, w->h + (i * z->part + h - b.h0) * pl->size,
                       pl->g + (b.s * z->H + h) * pl->size,
                       pl->part + ((k.s * z->n_chunks + pl->first + i) * z->H + h) * (3 + z->P));
    }
}

/* dB and dC of a group in the i-th chunk of the stretch, from its parts' sums. */
static void group_chunk(const kr_call *c, const plan *pl, bench *w, int64_t s, int64_t i, int64_t g) {
    const ssd_dims *z = &pl->z;
    int64_t N = z->Np, Q = z->Qp;
    span k = span_at(z, pl->s0 + s, pl->first + i);
    sums sum = sums_of(pl, s, i, g, 0);
    for (int64_t part = 1; part < z->n_parts; part++) {
        const float *more = sums_of(pl, s, i, g, part).dbt;
        for (int64_t j = 0; j < ssd_sums(z); j += KR_VL) v_store(sum.dbt + j, v_load(sum.dbt + j) + v_load(more + j));
    }
    fetch_group(c, z, SSD_B, &k, g, w->group.B);
    fetch_group(c, z, SSD_C, &k, g, w->group.C);
    transpose_padded(w->t, N, sum.dct, Q, N, k.qp);
    multiply(&(product){k.qp, N, k.q, {sum.dcb, Q}, {w->group.B, N}, {w->t, N}, .from = w->t, .keep = 1,
                        .shape = TILE_A_LOWER});
    write_group(c, z, SSD_C, &k, g, w->t);
    transpose_padded(w->t, N, sum.dbt, Q, N, k.qp);
    multiply(&(product){k.qp, N, k.q, {sum.dcb, Q}, {w->group.C, N}, {w->t, N}, .a_trans = true, .from = w->t,
                        .keep = 1, .shape = TILE_A_UPPER});
    write_group(c, z, SSD_B, &k, g, w->t);
}

/* --- the whole -------------------------------------------------------------------------- */

static void add_part(const kr_call *c, const plan *k, int slot, int64_t i, int64_t h, int64_t at) {
    const ssd_dims *z = &k->z;
    double sum = c->acc[slot] ? DIN(slot)[i] : 0;
    for (int64_t n = 0; n < z->S * z->n_chunks; n++) sum += k->part[(n * z->H + h) * (3 + z->P) + at];
    DIN(slot)[i] = (float)sum;
}

void KR_VEC(ssd_bwd)(const kr_call *c) {
    plan k = plan_at(c);
    const ssd_dims *z = &k.z;
    for (; k.s0 < z->S; k.s0 += z->n_seq) {
        k.n_seq = ssd_min(z->n_seq, z->S - k.s0);
        first_grads(c, &k);
        for (k.first = (z->n_stretches - 1) * z->stretch; k.first >= 0; k.first -= z->stretch) {
            k.n = ssd_min(z->stretch, z->n_chunks - k.first);
#pragma omp parallel num_threads(c->n_threads)
            {
                bench w = my_bench(&k);
#pragma omp for schedule(dynamic)
                for (int64_t i = 0; i < k.n_seq * z->G * z->n_parts; i++) part_stretch(c, &k, &w, i);
#pragma omp for schedule(dynamic)
                for (int64_t i = 0; i < k.n_seq * k.n * z->G; i++)
                    group_chunk(c, &k, &w, i / (k.n * z->G), i / z->G % k.n, i % z->G);
            }
        }
        write_dh0(c, &k);
    }
    for (int64_t h = 0; h < z->H; h++) {
        if (DIN(SSD_A)) add_part(c, &k, SSD_A, h, h, 0);
        if (DIN(SSD_DT_BIAS)) add_part(c, &k, SSD_DT_BIAS, h, h, 1);
        if (DIN(SSD_D)) add_part(c, &k, SSD_D, h, h, 2);
        for (int64_t p = 0; DIN(SSD_DHP) && p < z->P; p++) add_part(c, &k, SSD_DHP, h * z->P + p, h, 3 + p);
    }
}
