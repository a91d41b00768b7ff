/* fim.c - spans of a sequence, moved to its end. */
#include "data/fim.h"

#include <math.h>

/* By the product of uniform numbers (Knuth). */
static int poisson(kr_rng *r, int most) {
    double p = 1, end = exp(-1);
    int n = -1;
    do p *= kr_rng_uniform(r), n++;
    while (p > end && n < most);
    return n;
}

void kr_fim_draw(kr_fim *f, kr_rng *r, int64_t n, double fraction) {
    int64_t all = (int64_t)(fraction * (double)n), hidden = 0, len[KR_FIM_SPANS], gap[KR_FIM_SPANS];
    f->n = poisson(r, KR_FIM_SPANS);
    if (f->n > all) f->n = (int)all;
    for (int k = 0; k < f->n; k++) hidden += len[k] = 1 + kr_rng_below(r, all / f->n);
    for (int k = 0; k < f->n; k++) { /* letters before each that are not hidden, in order */
        int64_t x = kr_rng_below(r, n - hidden + 1);
        int i = k;
        for (; i > 0 && gap[i - 1] > x; i--) gap[i] = gap[i - 1];
        gap[i] = x;
    }
    hidden = 0;
    for (int k = 0; k < f->n; k++) {
        f->from[k] = gap[k] + hidden;
        f->to[k] = f->from[k] + len[k];
        hidden += len[k];
    }
}

int64_t kr_fim_order(const kr_fim *f, int64_t n, int64_t *at, int64_t *head) {
    int64_t steps = 0, i = 0;
    for (int k = 0; k < f->n; k++) {
        while (i < f->from[k]) at[steps++] = i++;
        at[steps++] = ~(int64_t)k;
        i = f->to[k];
    }
    while (i < n) at[steps++] = i++;
    *head = steps;
    for (int k = 0; k < f->n; k++) {
        at[steps++] = ~(int64_t)k;
        for (i = f->from[k]; i < f->to[k]; i++) at[steps++] = i;
    }
    return steps;
}
