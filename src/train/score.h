/* score.h - how good answers are, summed over batches.
 *
 *   bits_per_byte  perplexity                    of texts
 *   accuracy  f1  mcc  auroc                     of classes; f1: mean over the classes that are there;
 *                                                auroc: of two; of several questions of yes or no the mean over them
 *   dice  iou                                    of classes of pixels: of the last class if there are two,
 *                                                else the mean over classes
 *   hr@K  ndcg@K  mrr                            of ids: does the right one stand among the K best?
 *   mse  mae  rmse  r2                           of numbers
 *
 * Higher is better but for perplexity, bits and errors. */
#ifndef KR_TRAIN_SCORE_H
#define KR_TRAIN_SCORE_H
#include "data/source.h"
#include "graph/graph.h"

typedef struct kr_score {
    double nll, hits, n;        /* of steps, rows or numbers that count */
    double bytes;               /* of the answers, if a step is not a byte */
    double loss, batches;       /* "loss" of the graph, where there is nothing finer */
    double square, absolute, sum, sum_square; /* of errors; of the numbers asked for */
    int64_t n_classes, *confusion; /* [right, said] */
    float *margin;              /* of two classes: score of the second over the first, for each answer */
    unsigned char *positive;    /* is it the second? */
    int32_t *question;          /* and which one it is about, if there are several */
    int64_t n_margin, margin_room, n_questions;
    bool ranked;
    double reciprocal;          /* sum of 1 / rank */
    int64_t *at_rank, deepest;  /* how many right ones have rank 1 ... deepest, the largest K asked for */
    kr_status status;           /* no memory */
} kr_score;

/* Which sums `info`'s metrics want.  kr_score_close frees. */
kr_status kr_score_open(kr_score *s, const kr_source_info *info);
void kr_score_close(kr_score *s);

/* Adds the batch that g has just run.  "logits" or "nll" of n answers whose targets are not -1, or
 * "prediction" against b->y, times b->scale, in the first b->n_rows rows; else the "loss". */
void kr_score_add(kr_score *s, const kr_graph *g, const kr_batch *b, int64_t n);
double kr_score_loss(const kr_score *s); /* NaN: nothing was scored */
/* By name; NaN if nothing was scored or it was not asked for. */
double kr_score_metric(const kr_score *s, const char *metric);
bool kr_metric_is_better(const char *metric, double a, double b); /* a than b; whatever is a number is better than NaN */
#endif
