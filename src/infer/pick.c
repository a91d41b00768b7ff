/* pick.c - one token out of scores: softmax, cuts, a draw.
 *
 * Most cuts want the likeliest few of a large vocabulary in order, so choices are put into
 * buckets of like probability and only the buckets that are looked into are sorted. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "infer/sampler.h"

enum { BUCKETS = 256, PER_NAT = 8 };

typedef struct heap {
    kr_choice *c;
    int64_t n, n_sorted, start[BUCKETS + 1]; /* of each bucket */
    int bucket;                              /* the next to be sorted */
    double total;                            /* of all p */
} heap;

/* Likeliest first; ties by id, so that the order does not depend on the sorting. */
static int by_probability(const void *a, const void *b) {
    const kr_choice *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int bucket_of(float below) { return below < (float)(BUCKETS - 1) / PER_NAT ? (int)(below * PER_NAT) : BUCKETS - 1; }

/* p relative to the likeliest; scores under `least` are no choices. */
static void fill(heap *h, const kr_sampler *s, double max, double temperature, double least) {
    float slope = (float)(1 / temperature), top = (float)max, low = (float)least;
    int64_t at[BUCKETS] = {0};
    *h = (heap){.c = s->choice};
    for (int64_t i = 0; i < s->V; i++)
        if (s->score[i] >= low && s->score[i] > -INFINITY) at[bucket_of((top - s->score[i]) * slope)]++;
    for (int b = 0; b < BUCKETS; b++) {
        h->start[b + 1] = h->start[b] + at[b];
        at[b] = h->start[b];
    }
    h->n = h->start[BUCKETS];
    for (int64_t i = 0; i < s->V; i++) {
        if (!(s->score[i] >= low && s->score[i] > -INFINITY)) continue;
        float below = (top - s->score[i]) * slope, p = expf(-below);
        h->c[at[bucket_of(below)]++] = (kr_choice){p, (int32_t)i};
        h->total += p;
    }
}

/* The i-th likeliest. */
static kr_choice *nth(heap *h, int64_t i) {
    while (h->n_sorted <= i) {
        int64_t from = h->start[h->bucket], n = h->start[h->bucket + 1] - from;
        if (n > 1) qsort(h->c + from, (size_t)n, sizeof *h->c, by_probability);
        h->n_sorted += n;
        h->bucket++;
    }
    return &h->c[i];
}

static double sum_of(heap *h, int64_t n) {
    double sum = 0;
    if (n == h->n) return h->total;
    for (int64_t i = 0; i < n; i++) sum += nth(h, i)->p;
    return sum;
}

/* --- cuts: how many of the likeliest stay --------------------------------------------------- */

static int64_t cut(heap *h, const kr_sampler_options *o, int64_t n) {
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    if (o->min_p > 0)
        for (int64_t i = 1; i < n; i++)
            if (nth(h, i)->p < o->min_p * nth(h, 0)->p) n = i;
    if (o->top_p > 0 && o->top_p < 1) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            if ((sum += nth(h, i)->p) >= o->top_p * h->total) return i + 1;
    }
    return n;
}

/* Leaves those whose surprise is closest to the expected one, likeliest first. */
static void keep_typical(heap *h, kr_sampler *s) {
    float *away = s->score; /* the scores are p by now */
    double entropy = 0, wanted = s->opt.typical_p * h->total, total = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < h->n; i++) {
        double p = h->c[i].p / h->total;
        away[i] = p > 0 ? -logf((float)p) : 1e6f;
        entropy += p * (p > 0 ? away[i] : 0);
    }
    for (int64_t i = 0; i < h->n; i++) away[i] = fabsf(away[i] - (float)entropy);
    /* the largest distance that stays, by bisection: sorting by distance would need a copy */
    float low = 0, high = 1e3f;
    for (int step = 0; step < 36; step++) {
        float mid = (low + high) / 2;
        double sum = 0;
        for (int64_t i = 0; i < h->n; i++) sum += away[i] <= mid ? h->c[i].p : 0;
        if (sum >= wanted) high = mid;
        else low = mid;
    }
    for (int64_t i = 0; i < h->n; i++) {
        if (away[i] > high) continue;
        total += h->c[i].p;
        h->c[n++] = h->c[i];
    }
    if (n == 0) return;
    qsort(h->c, (size_t)n, sizeof *h->c, by_probability);
    h->n = h->n_sorted = n;
    h->total = total;
}

/* The standard deviation of the scores that are not forbidden. */
static double spread(const kr_sampler *s) {
    double sum = 0, squares = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < s->V; i++)
        if (s->score[i] > -INFINITY) sum += s->score[i], n++;
    for (int64_t i = 0; i < s->V; i++)
        if (s->score[i] > -INFINITY) squares += (s->score[i] - sum / (double)n) * (s->score[i] - sum / (double)n);
    return sqrt(squares / (double)n);
}

/* The first that stays: XTC drops the top choices, but for the last that is likely enough. */
static int64_t skip_top(kr_sampler *s, heap *h, int64_t n) {
    const kr_sampler_options *o = &s->opt;
    if (o->xtc_probability <= 0 || kr_rng_uniform(&s->memory->rng) >= o->xtc_probability) return 0;
    double sum = sum_of(h, n);
    int64_t likely = 0;
    while (likely < n && nth(h, likely)->p >= o->xtc_threshold * sum) likely++;
    return likely > 1 ? likely - 1 : 0;
}

/* --- draws ------------------------------------------------------------------------------------ */

static kr_choice *draw(kr_sampler *s, heap *h, int64_t from, int64_t n) {
    double sum = sum_of(h, n);
    for (int64_t i = 0; i < from; i++) sum -= nth(h, i)->p;
    double left = kr_rng_uniform(&s->memory->rng) * sum;
    for (int64_t i = from; i < n; i++)
        if ((left -= nth(h, i)->p) < 0) return nth(h, i);
    return nth(h, n - 1);
}

/* Surprise is kept to tau bits: what surprises more than mu is cut, and mu learns. */
static int32_t mirostat(kr_sampler *s, heap *h) {
    const kr_sampler_options *o = &s->opt;
    float *mu = &s->memory->mu;
    int64_t n = 1;
    if (*mu == 0) *mu = 2 * o->mirostat_tau;
    while (n < h->n && -log2(nth(h, n)->p / h->total) <= *mu) n++;
    const kr_choice *c = draw(s, h, 0, n);
    *mu -= (o->mirostat_eta > 0 ? o->mirostat_eta : 0.1f) * (float)(-log2(c->p / sum_of(h, n)) - o->mirostat_tau);
    if (*mu == 0) *mu = 1e-6f;
    return c->id;
}

int32_t kr_sampler_pick(kr_sampler *s, double max) {
    const kr_sampler_options *o = &s->opt;
    heap h;
    fill(&h, s, max, o->temperature > 0 ? o->temperature : 1, o->top_n_sigma > 0 ? max - o->top_n_sigma * spread(s) : -INFINITY);
    if (o->mirostat_tau > 0) return mirostat(s, &h);
    if (o->typical_p > 0 && o->typical_p < 1) keep_typical(&h, s);
    int64_t n = cut(&h, o, h.n), from = skip_top(s, &h, n);
    return draw(s, &h, from, n)->id;
}
