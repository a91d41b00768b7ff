/* sample.c - from scores to a token.
 *
 *   p = softmax(logits);  p of tokens seen / repetition_penalty;  ^ (1 / temperature)
 *   then top_k, top_p and min_p, each on probabilities, and one draw.
 *
 * Everything is relative to the true maximum, whatever order the scores come in. */
#include <math.h>
#include <stdlib.h>

#include "infer/session.h"

/* Likeliest first; ties by id, so that the order does not depend on the sorting. */
static int by_probability(const void *a, const void *b) {
    const struct kr_choice *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

static float penalised(const kr_session *s, const float *logits, int64_t i) {
    float r = s->opt.repetition_penalty;
    return r > 0 && s->seen[i] ? logits[i] - logf(r) : logits[i]; /* p / r is a shift of the score */
}

static int32_t likeliest(const kr_session *s, const float *logits, int64_t V) {
    int64_t best = 0;
    for (int64_t i = 1; i < V; i++)
        if (penalised(s, logits, i) > penalised(s, logits, best)) best = i;
    return (int32_t)best;
}

/* How many of the sorted choices remain. */
static int64_t cut(const kr_session_options *o, const struct kr_choice *c, int64_t n, double total) {
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    if (o->min_p > 0)
        for (int64_t i = 1; i < n; i++)
            if (c[i].p < o->min_p * c[0].p) n = i;
    if (o->top_p > 0 && o->top_p < 1) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += c[i].p;
            if (sum >= o->top_p * total) return i + 1;
        }
    }
    return n;
}

int32_t kr_sample(kr_session *s, const float *logits, int64_t V) {
    const kr_session_options *o = &s->opt;
    struct kr_choice *c = s->choice;
    int32_t best = likeliest(s, logits, V);
    if (o->temperature <= 0 || o->top_k == 1) return best;
    double total = 0, max = penalised(s, logits, best);
    for (int64_t i = 0; i < V; i++) {
        c[i] = (struct kr_choice){(float)exp((penalised(s, logits, i) - max) / o->temperature), (int32_t)i};
        total += c[i].p;
    }
    qsort(c, (size_t)V, sizeof *c, by_probability);
    int64_t n = cut(o, c, V, total);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += c[i].p;
    double draw = kr_rng_uniform(&s->rng) * sum;
    for (int64_t i = 0; i < n; i++)
        if ((draw -= c[i].p) < 0) return c[i].id;
    return c[n - 1].id;
}
