/* draws.h - what a model says of a held-out batch, as the mean over the ways of drawing it (kr_source_info.n_draws).
 *
 *   for (int64_t draw = d.n; draw-- > 0;) {
 *       fill b with b.draw = draw, b.place = d.place;  run g;  kr_draws_add(&d, g, &b);
 *   }
 *
 * The first draw comes last: its targets, and where things stand in it, are those that count afterwards. */
#ifndef KR_TRAIN_DRAWS_H
#define KR_TRAIN_DRAWS_H
#include "data/source.h"
#include "graph/graph.h"

typedef struct kr_draws {
    int64_t n;         /* draws of a batch */
    int64_t T, V;      /* answers of a row, scores of each */
    double *sum;       /* [S, T, V] */
    int32_t *place;    /* [S, T] for kr_batch.place; NULL: there is one draw */
} kr_draws;

/* g has "logits" if `i` has several draws.  kr_draws_close frees, whatever came of it. */
kr_status kr_draws_open(kr_draws *d, const kr_source_info *i, const kr_graph *g);
void kr_draws_close(kr_draws *d);
/* Adds what g has just said of b; after draw 0 the mean is in g's "logits", each where draw 0 has it. */
void kr_draws_add(kr_draws *d, const kr_graph *g, const kr_batch *b);
#endif
