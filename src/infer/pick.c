/* pick.c - one token out of scores: softmax, cuts, a draw.
 *
 * Scores become probabilities relative to the likeliest in one pass (pick_vec.c).  Most draws and cuts end among the
 * likeliest few of a large vocabulary, so choices are taken in bands of like probability, each found when it is
 * asked for, and put in order only where a cut goes through it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "infer/sampler.h"

enum { OCTAVES = 2, BANDS = 127 / OCTAVES + 1 }; /* of a band; down to the smallest normal float */

typedef struct band { int64_t end; double sum; bool sorted; } band; /* choices up to there; of their p */
typedef struct heap {
    const kr_sampler *s;
    kr_choice *c;
    int64_t n;      /* choices in all: tokens whose p is above 0 */
    double total;   /* of all p */
    int n_bands;    /* found, likeliest first */
    band band[BANDS];
} heap;

/* Likeliest first; ties by id, so that the order does not depend on the sorting. */
static int by_probability(const void *a, const void *b) {
    const kr_choice *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* p relative to the likeliest, in the scores' place; scores under `least` are no choices. */
static void fill(heap *h, kr_sampler *s, double max, double temperature, double least) {
    *h = (heap){.s = s, .c = s->choice};
    h->total = s->simd.weigh(s->score, s->V, (float)max, (float)(1 / temperature), (float)least, s->top, &h->n);
}

static int64_t begin_of(const heap *h, int b) { return b ? h->band[b - 1].end : 0; }

/* The next band, in order of ids. */
static void find_band(heap *h) {
    const kr_sampler *s = h->s;
    float high = h->n_bands ? ldexpf(1, -OCTAVES * h->n_bands) : INFINITY, low = h->n_bands == BANDS - 1 ? 0 : ldexpf(1, -OCTAVES * (h->n_bands + 1));
    band *b = &h->band[h->n_bands];
    int64_t n = begin_of(h, h->n_bands);
    double sum = 0;
    for (int64_t from = 0, k = 0; from < s->V; from += KR_PICK_STEP, k++) {
        if (!(s->top[k] >= low) || s->top[k] == 0) continue;
        for (int64_t i = from; i < from + KR_PICK_STEP && i < s->V; i++) {
            float p = s->score[i];
            if (!(p >= low && p < high && p > 0)) continue;
            h->c[n++] = (kr_choice){p, (int32_t)i};
            sum += p;
        }
    }
    *b = (band){.end = n, .sum = sum};
    h->n_bands++;
}

static bool has_band(heap *h, int b) {
    while (h->n_bands <= b && h->n_bands < BANDS && begin_of(h, h->n_bands) < h->n) find_band(h);
    return b < h->n_bands;
}

static void sort_band(heap *h, int b) {
    int64_t from = begin_of(h, b), n = h->band[b].end - from;
    if (!h->band[b].sorted && n > 1) qsort(h->c + from, (size_t)n, sizeof *h->c, by_probability);
    h->band[b].sorted = true;
}

/* The i-th likeliest. */
static kr_choice *nth(heap *h, int64_t i) {
    int b = 0;
    while (has_band(h, b) && h->band[b].end <= i) b++;
    sort_band(h, b);
    return &h->c[i];
}

static double sum_of(heap *h, int64_t n) {
    double sum = 0;
    if (n == h->n) return h->total;
    for (int b = 0; has_band(h, b) && begin_of(h, b) < n; b++) {
        if (h->band[b].end <= n) {
            sum += h->band[b].sum;
            continue;
        }
        sort_band(h, b);
        for (int64_t i = begin_of(h, b); i < n; i++) sum += h->c[i].p;
    }
    return sum;
}

/* --- cuts: how many of the likeliest stay --------------------------------------------------- */

/* The fewest of the n likeliest that together have so much. */
static int64_t cut_at(heap *h, int64_t n, double wanted) {
    double sum = 0;
    for (int b = 0; has_band(h, b) && begin_of(h, b) < n; b++) {
        if (h->band[b].end <= n && sum + h->band[b].sum < wanted) {
            sum += h->band[b].sum;
            continue;
        }
        sort_band(h, b);
        for (int64_t i = begin_of(h, b); i < h->band[b].end && i < n; i++)
            if ((sum += h->c[i].p) >= wanted) return i + 1;
    }
    return n;
}

static int64_t cut(heap *h, const kr_sampler_options *o, int64_t n) {
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    if (o->min_p > 0)
        for (int64_t i = 1; i < n; i++)
            if (nth(h, i)->p < o->min_p * nth(h, 0)->p) n = i;
    return o->top_p > 0 && o->top_p < 1 ? cut_at(h, n, o->top_p * h->total) : n;
}

/* Leaves those whose surprise is closest to the expected one, likeliest first. */
static void keep_typical(heap *h, kr_sampler *s) {
    double entropy = 0, wanted = s->opt.typical_p * h->total, total = 0;
    int64_t n = 0;
    for (int b = 0; has_band(h, b); b++) {}
    int64_t all = begin_of(h, h->n_bands);
    float *away = s->score; /* every p is in a choice by now */
    for (int64_t i = 0; i < all; i++) {
        double p = h->c[i].p / h->total;
        away[i] = p > 0 ? -logf((float)p) : 1e6f;
        entropy += p * (p > 0 ? away[i] : 0);
    }
    for (int64_t i = 0; i < all; i++) away[i] = fabsf(away[i] - (float)entropy);
    /* the largest distance that stays, by bisection: sorting by distance would need a copy */
    float low = 0, high = 1e3f;
    for (int step = 0; step < 36; step++) {
        float mid = (low + high) / 2;
        double sum = 0;
        for (int64_t i = 0; i < all; i++) sum += away[i] <= mid ? h->c[i].p : 0;
        if (sum >= wanted) high = mid;
        else low = mid;
    }
    for (int64_t i = 0; i < all; i++) {
        if (away[i] > high) continue;
        total += h->c[i].p;
        h->c[n++] = h->c[i];
    }
    if (n == 0) return; /* NaN; as it was, but for the order */
    h->n = n, h->total = total, h->n_bands = 1;
    h->band[0] = (band){.end = n, .sum = total};
    sort_band(h, 0);
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

/* Of the n likeliest but the first `from`.  Within a band any order draws as well as another. */
static kr_choice *draw(kr_sampler *s, heap *h, int64_t from, int64_t n) {
    kr_choice *last = NULL;
    double sum = sum_of(h, n);
    for (int64_t i = 0; i < from; i++) sum -= nth(h, i)->p;
    double left = kr_rng_uniform(&s->memory->rng) * sum;
    for (int b = 0; has_band(h, b) && begin_of(h, b) < n; b++) {
        int64_t i = begin_of(h, b), end = h->band[b].end;
        if (i < from || end > n) sort_band(h, b);
        else if (left >= h->band[b].sum && end < n) {
            left -= h->band[b].sum, last = &h->c[end - 1];
            continue;
        }
        for (i = i < from ? from : i; i < end && i < n; i++)
            if ((left -= (last = &h->c[i])->p) < 0) return last;
    }
    return last;
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
