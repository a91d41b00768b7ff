/* attention_vec.c - attention for CPUs, by tiles (Dao 2023): no row of scores is ever whole.
 *
 * Forward takes a tile of queries of one head past the keys it sees, a tile at a time, with
 * the running maximum, sum and weighted values of each row.  Backward makes the tiles of
 * probabilities again from what forward saved, the log of each row's sum: a thread takes a
 * group of heads of one sequence, key tile by key tile, so nothing is added up between
 * threads, and the bits do not depend on their number. */
#include <omp.h>

#include "ops/attention/attention_tiles.h"
#include "ops/rows.h"

enum { ROWS = ATTENTION_ROWS, KEYS = ATTENTION_KEYS };
#define least kr_gemm_least
#define gemm KR_VEC(kr_gemm_one)

/* Keys and values that lie at even distances: of this call, or of a stretch of the cache. */
typedef struct stretch { const float *k, *v; int64_t ldk, ldv, n; } stretch;

/* At most KEYS from key j on, none past `last`. */
static stretch stretch_at(const kr_call *c, const attention_dims *d, int64_t s, int64_t g, int64_t j, int64_t last, int64_t n0) {
    const kr_tensor *k = &c->in[ATTENTION_K], *v = &c->in[ATTENTION_V];
    int64_t most = least(KEYS, last - j + 1);
    if (j >= 0)
        return (stretch){(const float *)k->data + (s * d->L + j) * k->pitch + g * d->P,
                         (const float *)v->data + (s * d->L + j) * v->pitch + g * d->P, k->pitch, v->pitch, most};
    const float *cache = c->in[ATTENTION_CACHE0].data;
    int64_t slot = (n0 + j) % d->C, per = d->C * d->P;
    return (stretch){cache + (s * 2 * d->G + g) * per + slot * d->P, cache + (s * 2 * d->G + d->G + g) * per + slot * d->P, d->P, d->P,
                     least(most, least(d->C - slot, -j))};
}

/* What each row of a tile of queries sees, and all of them together. */
typedef struct sight { attention_span of[ROWS], all; } sight;
static void look(const kr_call *c, const attention_dims *d, int64_t s, int64_t t0, int64_t n, int64_t n0, sight *a) {
    const kr_tensor *ids = &c->in[ATTENTION_SEQ_IDX];
    const int32_t *id = ids->data ? (const int32_t *)ids->data + s * d->L * ids->pitch : NULL;
    attention_span doc = attention_document(c, s, t0, !d->causal);
    a->all = (attention_span){INT64_MAX, INT64_MIN};
    for (int64_t i = 0; i < n; i++) {
        int64_t t = t0 + i;
        if (i && id && id[t * ids->pitch] != id[(t - 1) * ids->pitch]) doc = attention_document(c, s, t, !d->causal);
        a->of[i] = attention_sees(d, doc, t, n0);
        a->all.first = least(a->all.first, a->of[i].first);
        if (a->of[i].last > a->all.last) a->all.last = a->of[i].last;
    }
}
/* Of the n keys from j on, those that row i sees: [first, last). */
static attention_span part(const sight *a, int64_t i, int64_t j, int64_t n) {
    attention_span p = {a->of[i].first - j, a->of[i].last - j + 1};
    if (p.first < 0) p.first = 0;
    if (p.last > n) p.last = n;
    if (p.last < p.first) p.first = p.last = 0;
    return p;
}
static void clear(float *x, int64_t from, int64_t to) {
    if (to > from) memset(x + from, 0, (size_t)(to - from) * sizeof *x);
}

/* --- forward ------------------------------------------------------------------------ */

typedef struct running { float max, sum; } running;

/* Scores to weights exp(scale x - max), adding up their sum; y shrinks when the maximum grows. */
static void weigh(float *x, attention_span p, int64_t n, float scale, running *r, float *y, int64_t P) {
    clear(x, 0, p.first);
    clear(x, p.last, n);
    if (p.first == p.last) return;
    vf top = v_set(-INFINITY), sum = {0};
    int64_t i = p.first;
    for (; i + KR_VL <= p.last; i += KR_VL) {
        vf v = v_load(x + i) * scale;
        v_store(x + i, v);
        top = v_max(v, top);
    }
    float max = r->max, lanes[KR_VL];
    v_store(lanes, top);
    for (int k = 0; k < KR_VL; k++) max = lanes[k] > max ? lanes[k] : max;
    for (int64_t k = i; k < p.last; k++) {
        x[k] *= scale;
        max = x[k] > max ? x[k] : max;
    }
    if (max > r->max) {
        float shrink = expf(r->max - max);
        r->sum *= shrink;
        for (int64_t k = 0; k < P; k += KR_VL) v_put(y + k, v_get(y + k, P - k) * shrink, P - k);
        r->max = max;
    }
    for (i = p.first; i < p.last; i += KR_VL) {
        vf w = v_exp(v_get(x + i, p.last - i) - max);
        v_put(x + i, w, p.last - i);
        sum += v_keep(w, p.last - i);
    }
    r->sum += v_sum(sum);
}

static void tile_fwd(const kr_call *c, const attention_dims *d, int64_t s, int64_t h, int64_t t0, char *own) {
    const kr_tensor *tq = &c->in[ATTENTION_Q];
    const float *q = (const float *)tq->data + (s * d->L + t0) * tq->pitch + h * d->P;
    float *x = (float *)(own + attention_gemm_bytes(d)), *y = x + ROWS * KEYS, *saved = c->saved;
    int64_t n = least(ROWS, d->L - t0), n0 = attention_before(c, d, s), P = d->P;
    running r[ROWS];
    sight a;
    look(c, d, s, t0, n, n0, &a);
    for (int64_t i = 0; i < n; i++) r[i] = (running){-INFINITY, 0};
    clear(y, 0, n * P);
    stretch k;
    for (int64_t j = a.all.first; j <= a.all.last; j += k.n) {
        k = stretch_at(c, d, s, h / d->R, j, a.all.last, n0);
        gemm(&(kr_gemm){.m = n, .n = k.n, .k = P, .a = q, .lda = tq->pitch, .b = k.k, .ldb = k.ldk, .b_trans = true, .c = x, .ldc = KEYS}, own);
        for (int64_t i = 0; i < n; i++) weigh(x + i * KEYS, part(&a, i, j, k.n), k.n, (float)d->scale, &r[i], y + i * P, P);
        gemm(&(kr_gemm){.m = n, .n = P, .k = k.n, .a = x, .lda = KEYS, .b = k.v, .ldb = k.ldv, .c = y, .ldc = P, .acc = true}, own);
    }
    for (int64_t i = 0; i < n; i++) {
        float *to = (float *)c->out[ATTENTION_Y].data + ((s * d->L + t0 + i) * d->H + h) * P, inv = 1 / r[i].sum;
        for (int64_t k2 = 0; k2 < P; k2 += KR_VL) v_put(to + k2, v_get(y + i * P + k2, P - k2) * inv, P - k2);
        if (saved) saved[(s * d->H + h) * d->L + t0 + i] = r[i].max + logf(r[i].sum);
    }
}

/* The cache may lie where cache0 does, and is written when all was read. */
static void keep(const kr_call *c, const attention_dims *d, int64_t s) {
    int64_t T = 2 * d->G, n0 = attention_before(c, d, s), per = T * d->C * d->P;
    float *cache = c->out[ATTENTION_CACHE].data;
    const float *cache0 = c->in[ATTENTION_CACHE0].data;
    int32_t *n = c->out[ATTENTION_N].data;
    attention_rest rest = attention_remains(c, d, s, n0);
    if (cache && (!cache0 || rest.start < 0)) clear(cache, s * per, (s + 1) * per);
    else if (cache && cache != cache0) memcpy(cache + s * per, cache0 + s * per, (size_t)per * sizeof *cache);
    for (int64_t r = 0; cache && r < T; r++) {
        const kr_tensor *x = &c->in[r < d->G ? ATTENTION_K : ATTENTION_V];
        for (int64_t j = rest.from; j < d->L; j++)
            memcpy(cache + ((s * T + r) * d->C + (rest.start + j) % d->C) * d->P,
                   (const float *)x->data + (s * d->L + j) * x->pitch + r % d->G * d->P, (size_t)d->P * sizeof *cache);
    }
    if (n) n[s] = (int32_t)rest.n;
}

void KR_VEC(attention_fwd)(const kr_call *c) {
    attention_dims d = attention_dims_of(c);
    int64_t tiles = (d.L + ROWS - 1) / ROWS, per = (int64_t)attention_fwd_own(&d);
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic)
    for (int64_t k = 0; k < d.S * d.H * tiles; k++)
        tile_fwd(c, &d, k / tiles / d.H, k / tiles % d.H, (tiles - 1 - k % tiles) * ROWS, (char *)c->scratch + omp_get_thread_num() * per);
    for (int64_t s = 0; s < d.S; s++) keep(c, &d, s);
}

/* --- backward ----------------------------------------------------------------------- */

typedef struct bench {
    char *gemm;
    float *p, *ds, *dk, *dv, *dots;
} bench;

/* y . dy of every step, and dq cleared where it is not to be added to. */
static void head_begin(const kr_call *c, const attention_dims *d, int64_t s, int64_t h, float *dots) {
    const float *y = c->out[ATTENTION_Y].data, *dy = c->dout[ATTENTION_Y].data;
    const kr_tensor *dq = &c->din[ATTENTION_Q];
    for (int64_t t = 0; t < d->L; t++) {
        int64_t at = ((s * d->L + t) * d->H + h) * d->P;
        vf sum = {0};
        for (int64_t i = 0; dy && i < d->P; i += KR_VL) sum += v_get(y + at + i, d->P - i) * v_get(dy + at + i, d->P - i);
        dots[(s * d->H + h) * d->L + t] = v_sum(sum);
        if (dq->data && !c->acc[ATTENTION_Q]) clear((float *)dq->data + (s * d->L + t) * dq->pitch + h * d->P, 0, d->P);
    }
}

/* p = exp(scale x - lse);  ds = scale p (dp - y . dy), both zero where nothing is seen. */
static void weigh_bwd(float *p, float *ds, attention_span a, int64_t n, float scale, float lse, float dot) {
    clear(p, 0, a.first), clear(p, a.last, n);
    clear(ds, 0, a.first), clear(ds, a.last, n);
    for (int64_t i = a.first; i < a.last; i += KR_VL) {
        vf w = v_exp(v_get(p + i, a.last - i) * scale - lse);
        v_put(p + i, w, a.last - i);
        v_put(ds + i, scale * w * (v_get(ds + i, a.last - i) - dot), a.last - i);
    }
}

/* A tile of queries of one head against the n keys from j on. */
static void tile_bwd(const kr_call *c, const attention_dims *d, int64_t s, int64_t h, int64_t t0, int64_t j, const stretch *k, const bench *w) {
    const kr_tensor *tq = &c->in[ATTENTION_Q], *tdq = &c->din[ATTENTION_Q];
    const float *q = (const float *)tq->data + (s * d->L + t0) * tq->pitch + h * d->P;
    const float *dy = (const float *)c->dout[ATTENTION_Y].data + ((s * d->L + t0) * d->H + h) * d->P, *lse = c->saved;
    int64_t n = least(ROWS, d->L - t0), at = (s * d->H + h) * d->L + t0, P = d->P, HP = d->H * P;
    sight a;
    look(c, d, s, t0, n, attention_before(c, d, s), &a);
    if (a.all.first >= j + k->n || a.all.last < j) return;
    gemm(&(kr_gemm){.m = n, .n = k->n, .k = P, .a = q, .lda = tq->pitch, .b = k->k, .ldb = k->ldk, .b_trans = true, .c = w->p, .ldc = KEYS}, w->gemm);
    gemm(&(kr_gemm){.m = n, .n = k->n, .k = P, .a = dy, .lda = HP, .b = k->v, .ldb = k->ldv, .b_trans = true, .c = w->ds, .ldc = KEYS}, w->gemm);
    for (int64_t i = 0; i < n; i++)
        weigh_bwd(w->p + i * KEYS, w->ds + i * KEYS, part(&a, i, j, k->n), k->n, (float)d->scale, lse[at + i], w->dots[at + i]);
    if (tdq->data)
        gemm(&(kr_gemm){.m = n, .n = P, .k = k->n, .a = w->ds, .lda = KEYS, .b = k->k, .ldb = k->ldk,
                        .c = (float *)tdq->data + (s * d->L + t0) * tdq->pitch + h * P, .ldc = tdq->pitch, .acc = true}, w->gemm);
    if (j < 0) return;
    if (c->din[ATTENTION_K].data)
        gemm(&(kr_gemm){.m = k->n, .n = P, .k = n, .a = w->ds, .lda = KEYS, .a_trans = true, .b = q, .ldb = tq->pitch, .c = w->dk, .ldc = P, .acc = true}, w->gemm);
    if (c->din[ATTENTION_V].data)
        gemm(&(kr_gemm){.m = k->n, .n = P, .k = n, .a = w->p, .lda = KEYS, .a_trans = true, .b = dy, .ldb = HP, .c = w->dv, .ldc = P, .acc = true}, w->gemm);
}

/* n rows of dk or dv from step j on, with what comes through the cache. */
static void give(const kr_call *c, const attention_dims *d, int value, int64_t s, int64_t g, int64_t j, int64_t n, const attention_rest *rest, float *sum) {
    const kr_tensor *to = &c->din[ATTENTION_K + value];
    const float *dcache = c->dout[ATTENTION_CACHE].data;
    for (int64_t i = 0; to->data && i < n; i++) {
        if (dcache && j + i >= rest->from)
            row_give(sum + i * d->P, dcache + ((s * 2 * d->G + value * d->G + g) * d->C + (rest->start + j + i) % d->C) * d->P, true, d->P);
        row_give((float *)to->data + (s * d->L + j + i) * to->pitch + g * d->P, sum + i * d->P, c->acc[ATTENTION_K + value], d->P);
    }
}

static void group_bwd(const kr_call *c, const attention_dims *d, int64_t s, int64_t g, const bench *w) {
    int64_t n0 = attention_before(c, d, s), first = n0 < d->C ? -n0 : -d->C;
    attention_rest rest = attention_remains(c, d, s, n0);
    for (int64_t h = g * d->R; h < (g + 1) * d->R; h++) head_begin(c, d, s, h, w->dots);
    stretch k;
    for (int64_t j = first; j < d->L; j += k.n) {
        k = stretch_at(c, d, s, g, j, d->L - 1, n0);
        clear(w->dk, 0, KEYS * d->P), clear(w->dv, 0, KEYS * d->P);
        for (int64_t h = g * d->R; c->dout[ATTENTION_Y].data && h < (g + 1) * d->R; h++)
            for (int64_t t0 = d->causal && j > 0 ? j / ROWS * ROWS : 0; t0 < d->L; t0 += ROWS) tile_bwd(c, d, s, h, t0, j, &k, w);
        if (j < 0) continue;
        give(c, d, 0, s, g, j, k.n, &rest, w->dk);
        give(c, d, 1, s, g, j, k.n, &rest, w->dv);
    }
}

void KR_VEC(attention_bwd)(const kr_call *c) {
    attention_dims d = attention_dims_of(c);
    int64_t per = (int64_t)attention_bwd_own(&d);
#pragma omp parallel for num_threads(c->n_threads) schedule(dynamic)
    for (int64_t k = 0; k < d.S * d.G; k++) {
        char *own = (char *)c->scratch + attention_dots(&d) * (int64_t)sizeof(float) + omp_get_thread_num() * per;
        float *x = (float *)(own + attention_gemm_bytes(&d));
        bench w = {own, x, x + ROWS * KEYS, x + 2 * ROWS * KEYS, x + 2 * ROWS * KEYS + KEYS * d.P, c->scratch};
        group_bwd(c, &d, k / d.G, k % d.G, &w);
    }
}
