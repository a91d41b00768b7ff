/* score.c - counting right answers. */
#include "train/score.h"

#include <math.h>
#include <string.h>

static void add_logits(kr_score *s, const float *x, int32_t target, int64_t V) {
    int64_t best = 0;
    double sum = 0;
    for (int64_t v = 1; v < V; v++)
        if (x[v] > x[best]) best = v;
    for (int64_t v = 0; v < V; v++) sum += exp((double)x[v] - x[best]);
    s->nll += log(sum) + x[best] - x[target];
    s->hits += best == target;
}

void kr_score_add(kr_score *s, const kr_graph *g, const int32_t *targets, int64_t n, int64_t V) {
    const float *nll = kr_graph_data(g, "nll"), *logits = kr_graph_data(g, "logits");
    if (!nll && !logits) {
        s->nll += *(float *)kr_graph_data(g, "loss"), s->n++;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (targets[i] < 0) continue;
        s->n++;
        if (nll) s->nll += nll[i];
        else add_logits(s, logits + i * V, targets[i], V);
    }
}

double kr_score_loss(const kr_score *s) { return s->n > 0 ? s->nll / s->n : NAN; }

double kr_score_metric(const kr_score *s, const char *metric) {
    if (strcmp(metric, "accuracy") == 0) return s->n > 0 ? s->hits / s->n : NAN;
    if (strcmp(metric, "bits_per_byte") == 0) return s->bytes > 0 ? s->nll / s->bytes / log(2) : kr_score_loss(s) / log(2);
    return kr_score_loss(s);
}
