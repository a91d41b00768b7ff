/* draws.c - see draws.h. */
#include "train/draws.h"

#include <string.h>

#include "base/mem.h"

kr_status kr_draws_open(kr_draws *d, const kr_source_info *i, const kr_graph *g) {
    *d = (kr_draws){.n = i->n_draws > 1 ? i->n_draws : 1, .T = i->n_targets};
    if (d->n == 1) return KR_OK;
    const kr_node *logits = kr_graph_find(g, "logits");
    if (!logits) KR_FAIL(KR_ERR_CONFIG, "data.draws is %lld, but the model says nothing of classes that a mean could be taken of", (long long)d->n);
    d->V = kr_node_dim(logits, -1);
    d->sum = kr_mem_array((size_t)(i->S * d->T * d->V), sizeof *d->sum);
    d->place = kr_mem_array((size_t)(i->S * d->T), sizeof *d->place);
    if (!d->sum || !d->place) return KR_ERR_NOMEM;
    memset(d->sum, 0, (size_t)(i->S * d->T * d->V) * sizeof *d->sum);
    return KR_OK;
}

void kr_draws_close(kr_draws *d) {
    kr_mem_free(d->sum);
    kr_mem_free(d->place);
    *d = (kr_draws){0};
}

void kr_draws_add(kr_draws *d, const kr_graph *g, const kr_batch *b) {
    if (d->n == 1) return;
    float *logits = kr_graph_data(g, "logits");
    int64_t T = d->T, V = d->V;
    for (int64_t i = 0; i < b->S * T; i++) {
        double *sum = d->sum + (i / T * T + d->place[i]) * V;
        for (int64_t v = 0; v < V; v++) sum[v] += logits[i * V + v];
    }
    if (b->draw > 0) return;
    for (int64_t i = 0; i < b->S * T * V; i++) logits[i] = (float)(d->sum[i] / (double)d->n), d->sum[i] = 0;
}
