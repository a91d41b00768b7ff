/* score.h - how good answers are: the loss and the metric of a source, summed over batches. */
#ifndef KR_TRAIN_SCORE_H
#define KR_TRAIN_SCORE_H
#include "graph/graph.h"

/* n steps, or n batches of numbers; bytes: of the answers, if a step is not a byte. */
typedef struct kr_score { double nll, hits, n, bytes; } kr_score;

/* Adds the batch that g has just run: "logits" (the one way to count hits) or "nll" of n
 * steps whose targets are not -1, or of numbers (V 0) the "loss". */
void kr_score_add(kr_score *s, const kr_graph *g, const int32_t *targets, int64_t n, int64_t V);
double kr_score_loss(const kr_score *s); /* NaN: nothing was scored */
/* "accuracy", "bits_per_byte" or "mse". */
double kr_score_metric(const kr_score *s, const char *metric);
#endif
