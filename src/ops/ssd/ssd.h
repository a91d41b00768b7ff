/* ssd.h - the slots and options of ssd, in the order of its signature, and its chunking. */
#ifndef KR_OPS_SSD_H
#define KR_OPS_SSD_H
#include "ops/op.h"

enum { SSD_X, SSD_DT, SSD_A, SSD_B, SSD_C, SSD_D, SSD_DHP, SSD_DT_BIAS, SSD_H0, SSD_SEQ_IDX };
enum { SSD_Y, SSD_H };
typedef struct ssd_attr {
    int64_t dt_softplus;   /* 1: dt = softplus(dt + dt_bias) before the clamp */
    double dt_min, dt_max; /* the clamp */
    int64_t chunk_size;    /* 0: choose */
} ssd_attr;

/* The reference's backward keeps a state every SSD_STRIDE(L) steps, and redoes those between. */
static inline int64_t ssd_stride(int64_t L) {
    int64_t k = 1;
    while (k * k < L) k++;
    return k;
}

/* How the chunked kernels divide the work.  Nothing that touches results depends on the threads. */
enum {
    SSD_PAD = 16,   /* the widest vector: rows and columns of working arrays are padded to it */
    SSD_CHUNK = 64, /* steps of a chunk unless told */
    SSD_STRETCH = 512, /* steps, and most chunks, between the states that forward saves */
    SSD_MOST = 32,
    SSD_BLOCK = 16, /* most heads of a block in forward, and in backward */
    SSD_BWD_BLOCK = 4,
    SSD_FEW = 24    /* up to so many steps the recurrence is quicker than a chunk (measured: 16 to 32) */
};
typedef struct ssd_dims {
    int64_t S, L, H, P, G, N, R; /* R = H / G heads share a group */
    int64_t Q, n_chunks;         /* steps of a chunk; chunks of a sequence */
    int64_t Qp, Pp, Np;          /* padded */
    bool few;                    /* steps enough only for the recurrence */
    int64_t block, n_blocks;     /* heads of one group that a thread takes at once; blocks of a group */
    int64_t part, n_parts;       /* the same in backward; they do decide in what order dB and dC are summed */
    int64_t n_seq;               /* sequences under way at once in backward */
    int64_t stretch, n_stretches; /* chunks whose states backward holds at once */
} ssd_dims;

static inline int64_t ssd_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ssd_padded(int64_t n) { return (n + SSD_PAD - 1) / SSD_PAD * SSD_PAD; }

static inline ssd_dims ssd_dims_of(const kr_call *c) {
    ssd_dims d = {KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), KR_SIZE(c, 'H'), KR_SIZE(c, 'P'), KR_SIZE(c, 'G'), KR_SIZE(c, 'N')};
    int64_t chunk = ((const ssd_attr *)c->attr)->chunk_size;
    d.R = d.H / d.G;
    d.few = d.L <= SSD_FEW && (!chunk || chunk >= d.L);
    d.Q = ssd_min(d.L, chunk ? chunk : (int64_t)SSD_CHUNK);
    d.n_chunks = (d.L + d.Q - 1) / d.Q;
    d.Qp = ssd_padded(d.Q), d.Pp = ssd_padded(d.P), d.Np = ssd_padded(d.N);
    /* few enough that their states stay in cache and every thread finds work */
    int64_t fair = (d.S * d.H + 2 * c->n_threads - 1) / (2 * c->n_threads);
    d.n_blocks = (d.R + ssd_min(fair, SSD_BLOCK) - 1) / ssd_min(fair, SSD_BLOCK);
    d.block = (d.R + d.n_blocks - 1) / d.n_blocks;
    d.n_parts = (d.R + SSD_BWD_BLOCK - 1) / SSD_BWD_BLOCK;
    d.part = (d.R + d.n_parts - 1) / d.n_parts;
    d.n_seq = ssd_min(d.S, (2 * c->n_threads + d.G * d.n_parts - 1) / (d.G * d.n_parts));
    d.stretch = ssd_min(d.n_chunks, ssd_min(SSD_MOST, (SSD_STRETCH + d.Q - 1) / d.Q));
    d.n_stretches = (d.n_chunks + d.stretch - 1) / d.stretch;
    return d;
}

/* Floats of working memory for each thread. */
static inline int64_t ssd_group_floats(const ssd_dims *d) {
    return 2 * d->Qp * d->Np + d->Np * d->Qp + d->Qp * d->Qp;
}
static inline int64_t ssd_fwd_floats(const ssd_dims *d) {
    return ssd_group_floats(d) + d->block * d->Np * d->Pp + 3 * d->Qp * d->Pp + d->Qp * d->Qp + 8 * d->Qp;
}
static inline int64_t ssd_bwd_floats(const ssd_dims *d) {
    return ssd_group_floats(d) + 2 * d->Np * d->Qp + 7 * d->Qp * d->Pp + 2 * d->Qp * d->Qp + 12 * d->Qp +
           d->stretch * d->part * d->Pp * d->Np;
}
/* Shared by the threads of backward: gradients of states; sums over the heads of a part: dB, dC and
 * the gradient of C B' in one chunk; sums per chunk over its steps. */
static inline int64_t ssd_bwd_grads(const ssd_dims *d) { return d->n_seq * d->H * d->Pp * d->Np; }
static inline int64_t ssd_sums(const ssd_dims *d) { return 2 * d->Np * d->Qp + d->Qp * d->Qp; }
static inline int64_t ssd_bwd_sums(const ssd_dims *d) {
    return d->n_seq * d->stretch * d->G * d->n_parts * ssd_sums(d);
}
static inline int64_t ssd_bwd_parts(const ssd_dims *d) { return ssd_padded(d->S * d->n_chunks * d->H * (3 + d->P)); }
/* Floats that forward leaves for backward: states where stretches start. */
static inline int64_t ssd_saved(const ssd_dims *d) { return d->S * d->H * (d->n_stretches - 1) * d->Pp * d->Np; }
#endif
