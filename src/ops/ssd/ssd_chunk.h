/* ssd_chunk.h - what forward and backward of ssd's *_vec.c share: sizes, the decays inside
 * one chunk, and padded copies.
 *
 * Decays.  exp(cum_i - cum_j), cum the running sum of dt A within the chunk, is needed for
 * every pair i >= j.  Two large float sums would cancel: at |cum| = 200 their difference is
 * off by 1e-5.  The sum is taken in double and kept as two floats, hi + lo; hi_i - hi_j and
 * lo_i - lo_j are then right to the last bit of the difference itself, in float vectors.
 *
 * A decay below exp(-60) counts as zero, and so does one below exp(-30) that is a factor of
 * another: beside float's 6e-8 that is nothing, and products with it would be subnormal, which
 * costs a hundred times the time.
 *
 * Sequences.  from[i] is the step of the chunk where row i's sequence starts, or -1 if it
 * started before: i sees the steps j >= from[i], and the incoming state only if -1. */
#ifndef KR_OPS_SSD_CHUNK_H
#define KR_OPS_SSD_CHUNK_H
#include <math.h>
#include <omp.h>

#include "ops/ssd/ssd.h"
#include "ops/ssd/ssd_tile.h"

#define IN(slot) ((const float *)c->in[slot].data)
#define DIN(slot) ((float *)c->din[slot].data)

/* The steps of one chunk: q of them (qp padded) from step t of sequence s on, rows row .. row + q - 1. */
typedef struct span { int64_t s, t, q, qp, row; } span;
static inline span span_at(const ssd_dims *z, int64_t s, int64_t chunk) {
    int64_t t = chunk * z->Q, q = ssd_min(z->Q, z->L - t);
    return (span){s, t, q, ssd_padded(q), s * z->L + t};
}

/* `block` heads of one group, which has n of such blocks: the i-th of all, of sequence s. */
typedef struct heads { int64_t s, g, h0, h1; } heads;
static inline heads heads_at(const ssd_dims *z, int64_t block, int64_t n, int64_t i) {
    int64_t g = i / n % z->G, h0 = g * z->R + i % n * block;
    return (heads){i / (n * z->G), g, h0, ssd_min(h0 + block, (g + 1) * z->R)};
}

/* Where forward saves head h's state before stretch i > 0. */
static inline float *saved_state(const kr_call *c, const ssd_dims *z, int64_t s, int64_t h, int64_t i) {
    return (float *)c->saved + ((s * z->H + h) * (z->n_stretches - 1) + i - 1) * z->Pp * z->Np;
}

/* to [rows padded, cols padded] = from [rows, cols]; the padding is zero. */
static inline void copy_padded(float *to, int64_t ldt, const float *from, int64_t ldf, int64_t rows, int64_t cols) {
    int64_t whole = cols - cols % KR_VL, width = ssd_padded(cols);
    for (int64_t r = 0; r < rows; r++) {
        float *a = to + r * ldt;
        const float *b = from + r * ldf;
        for (int64_t i = 0; i < whole; i += KR_VL) v_store(a + i, v_load(b + i));
        for (int64_t i = whole; i < width; i++) a[i] = i < cols ? b[i] : 0;
    }
    for (int64_t r = rows; r < ssd_padded(rows); r++) memset(to + r * ldt, 0, (size_t)width * sizeof *to);
}

/* to [cols, ldt] = from [rows, cols] transposed, by squares of four; both padded. */
static inline void transpose_padded(float *to, int64_t ldt, const float *from, int64_t ldf, int64_t rows,
                                    int64_t cols) {
    typedef float v4 __attribute__((vector_size(16)));
    for (int64_t r = 0; r < rows; r += 4)
        for (int64_t i = 0; i < cols; i += 4) {
            v4 a[4], b[4];
            for (int k = 0; k < 4; k++) memcpy(&a[k], from + (r + k) * ldf + i, sizeof a[k]);
            for (int k = 0; k < 2; k++) {
                b[k] = __builtin_shufflevector(a[k], a[k + 2], 0, 4, 1, 5);
                b[k + 2] = __builtin_shufflevector(a[k], a[k + 2], 2, 6, 3, 7);
            }
            for (int k = 0; k < 2; k++) {
                a[2 * k] = __builtin_shufflevector(b[2 * k], b[2 * k + 1], 0, 4, 1, 5);
                a[2 * k + 1] = __builtin_shufflevector(b[2 * k], b[2 * k + 1], 2, 6, 3, 7);
            }
            for (int k = 0; k < 4; k++) memcpy(to + (i + k) * ldt + r, &a[k], sizeof a[k]);
        }
}

/* to[i] = from[i] by[i], rows of n; they may be the same. */
static inline void scale_rows(float *to, const float *from, int64_t n, const float *by, int64_t rows) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = i * n; k < (i + 1) * n; k += KR_VL) v_store(to + k, v_load(from + k) * by[i]);
}

/* The same for columns: to[i][k] = from[i][k] by[k]. */
static inline void scale_columns(float *to, const float *from, int64_t ld, int64_t rows, int64_t cols,
                                 const float *by) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < cols; k += KR_VL) v_store(to + i * ld + k, v_load(from + i * ld + k) * v_load(by + k));
}

/* One head's dt and decays in one chunk; arrays of Qp, zero behind its q steps. */
typedef struct decays {
    float *raw, *dt;           /* before softplus and clamp (bias added); after */
    float *hi, *lo;            /* cum = hi + lo */
    float *in, *out;           /* exp(cum_i): from the state before to step i; exp(cum_last - cum_j) */
    float *dt_out;             /* dt out */
    int32_t *from;
    float all;                 /* from the state before to the state after: exp(cum_last) */
} decays;
enum { N_DECAYS = 8 };

static inline float *decays_place(decays *d, float *at, int64_t Qp) {
    float **part[] = {&d->raw, &d->dt, &d->hi, &d->lo, &d->in, &d->out, &d->dt_out};
    for (int i = 0; i < N_DECAYS - 1; i++, at += Qp) *part[i] = at;
    d->from = (int32_t *)at;
    return at + Qp;
}

static inline void find_starts(const kr_call *c, const span *k, int32_t *from) {
    const kr_tensor *seq = &c->in[SSD_SEQ_IDX];
    const int32_t *idx = seq->data ? (const int32_t *)seq->data + k->row * seq->pitch : NULL;
    int32_t start = -1;
    for (int64_t i = 0; i < k->qp; i++) {
        if (idx && i < k->q && k->t + i > 0 && idx[i * seq->pitch] != idx[(i - 1) * seq->pitch]) start = (int32_t)i;
        from[i] = start;
    }
}

/* dt before the clamp, and after. */
static inline vf free_dt(const ssd_attr *attr, vf raw) { return attr->dt_softplus ? v_softplus(raw) : raw; }
static inline vf clamped(const ssd_attr *attr, vf dt) {
    return v_min(v_max(dt, v_set((float)attr->dt_min)), v_set((float)attr->dt_max));
}

static inline vf decay_exp(vf x, float least) { return v_select(x < least, (vf){0}, v_exp(x)); }

/* Fills d for head h. */
static inline void decays_fill(const kr_call *c, const span *k, int64_t h, decays *d) {
    const ssd_attr *attr = c->attr;
    int64_t pitch = c->in[SSD_DT].pitch, q = k->q, qp = k->qp;
    const float *given = IN(SSD_DT) + k->row * pitch + h;
    float bias = IN(SSD_DT_BIAS) ? IN(SSD_DT_BIAS)[h] : 0;
    for (int64_t i = 0; i < qp; i++) d->raw[i] = i < q ? given[i * pitch] + bias : 0;
    for (int64_t i = 0; i < qp; i += KR_VL) v_store(d->dt + i, clamped(attr, free_dt(attr, v_load(d->raw + i))));
    double cum = 0, A = IN(SSD_A)[h];
    for (int64_t i = 0; i < qp; i++) {
        if (i >= q) d->dt[i] = 0;
        cum += d->dt[i] * A;
        d->hi[i] = (float)cum;
        d->lo[i] = (float)(cum - d->hi[i]);
    }
    find_starts(c, k, d->from);
    float hi = d->hi[q - 1], lo = d->lo[q - 1];
    for (int64_t i = 0; i < qp; i += KR_VL) {
        vf hi_i = v_load(d->hi + i), lo_i = v_load(d->lo + i);
        v_store(d->in + i, decay_exp(hi_i + lo_i, -60));
        v_store(d->out + i, decay_exp((hi - hi_i) + (lo - lo_i), -60));
    }
    int32_t last = d->from[q - 1];
    d->all = last < 0 ? d->in[q - 1] : 0;
    for (int64_t i = 0; i < qp; i++) {
        if (d->from[i] >= 0) d->in[i] = 0;
        if (i < last || i >= q) d->out[i] = 0;
        d->dt_out[i] = d->dt[i] * d->out[i];
    }
}

/* Columns of row i that a product with a lower matrix of q rows may touch: whole tiles. */
static inline int64_t tile_end(int64_t i, int64_t q) {
    const int64_t width = TILE_V * KR_VL;
    return ssd_min((i + width) / width * width, ssd_padded(q));
}

static inline vf lane_numbers(void) {
    vf v = {0};
    for (int i = 0; i < KR_VL; i++) v[i] = (float)i;
    return v;
}

/* E [Q, Q]: exp(cum_i - cum_j) where i sees j, else zero; written as far as tile_end.
 * Left of a block of SSD_PAD rows that starts at r it is exp(cum_i - cum_r) exp(cum_r - cum_j),
 * a column times a row; only blocks on the diagonal take an exp for every element. */
static inline void decay_matrix(const decays *d, int64_t q, float *E, int64_t ld) {
    vf lane = lane_numbers();
    for (int64_t r = 0; r < ssd_padded(q); r += SSD_PAD) {
        float down[SSD_PAD];
        for (int64_t k = 0; k < SSD_PAD; k += KR_VL) {
            vf v = decay_exp((v_load(d->hi + r + k) - d->hi[r]) + (v_load(d->lo + r + k) - d->lo[r]), -30);
            v_store(down + k, v);
        }
        for (int64_t k = 0; k < SSD_PAD; k++) /* a sequence that starts after r sees nothing left of it */
            if (d->from[r + k] != d->from[r]) down[k] = 0;
        for (int64_t j = 0; j < r; j += KR_VL) {
            vf v = decay_exp((d->hi[r] - v_load(d->hi + j)) + (d->lo[r] - v_load(d->lo + j)), -30);
            v = v_select(lane + (float)j >= (float)d->from[r], v, (vf){0});
            for (int64_t k = 0; k < SSD_PAD; k++) v_store(E + (r + k) * ld + j, v * down[k]);
        }
        for (int64_t i = r; i < r + SSD_PAD; i++)
            for (int64_t j = r; j < tile_end(i, q); j += KR_VL) {
                vf step = lane + (float)j, v = {0};
                if (j <= i) v = decay_exp((d->hi[i] - v_load(d->hi + j)) + (d->lo[i] - v_load(d->lo + j)), -60);
                v_store(E + i * ld + j, v_select((step <= (float)i) & (step >= (float)d->from[i]), v, (vf){0}));
            }
    }
}

/* Scratch is floats in rows of 64 bytes. */
static inline float *take(float **at, int64_t n) {
    float *p = *at;
    *at += ssd_padded(n);
    return p;
}

/* What the heads of a group share in one chunk: padded copies of B and C, B transposed,
 * and C B' on and below the diagonal. */
typedef struct group_work { float *B, *C, *Bt, *CB; } group_work; /* [Q, N] twice, [N, Q], [Q, Q] */

static inline group_work group_place(const ssd_dims *z, float **at) {
    group_work w;
    w.B = take(at, z->Qp * z->Np);
    w.C = take(at, z->Qp * z->Np);
    w.Bt = take(at, z->Np * z->Qp);
    w.CB = take(at, z->Qp * z->Qp);
    return w;
}

/* to = rows of B or C. */
static inline void fetch_group(const kr_call *c, const ssd_dims *z, int slot, const span *k, int64_t g, float *to) {
    int64_t pitch = c->in[slot].pitch;
    copy_padded(to, z->Np, IN(slot) + k->row * pitch + g * z->N, pitch, k->q, z->N);
}
static inline void group_fill(const kr_call *c, const ssd_dims *z, const span *k, int64_t g, const group_work *w) {
    fetch_group(c, z, SSD_B, k, g, w->B);
    fetch_group(c, z, SSD_C, k, g, w->C);
    transpose_padded(w->Bt, z->Qp, w->B, z->Np, k->qp, z->Np);
    multiply(&(product){k->qp, k->qp, z->N, {w->C, z->Np}, {w->Bt, z->Qp}, {w->CB, z->Qp}, .shape = TILE_C_LOWER});
}
static inline void fetch_x(const kr_call *c, const ssd_dims *z, const span *k, int64_t h, float *x) {
    int64_t pitch = c->in[SSD_X].pitch;
    copy_padded(x, z->Pp, IN(SSD_X) + k->row * pitch + h * z->P, pitch, k->q, z->P);
}

/* Rows of B or C of the chunk k, to fetch ahead; and of x and what lies like it. */
static inline void ahead_group(ahead *f, const ssd_dims *z, const kr_tensor *t, const span *k, int64_t g) {
    if (t->data) ahead_add(f, (const float *)t->data + k->row * t->pitch + g * z->N, t->pitch, z->N);
}
static inline void ahead_heads(ahead *f, const ssd_dims *z, const float *at, int64_t pitch, const span *k, int64_t h0,
                               int64_t h1) {
    if (at) ahead_add(f, at + k->row * pitch + h0 * z->P, pitch, (h1 - h0) * z->P);
}

/* to [N, P] padded = head sh of a caller's [.., P, N] states; zero if there are none. */
static inline void fetch_state(const ssd_dims *z, const float *from, int64_t sh, float *to) {
    memset(to, 0, (size_t)(z->Np * z->Pp) * sizeof *to);
    if (!from) return;
    from += sh * z->P * z->N;
    for (int64_t p = 0; p < z->P; p++)
        for (int64_t n = 0; n < z->N; n++) to[n * z->Pp + p] = from[p * z->N + n];
}
#endif
