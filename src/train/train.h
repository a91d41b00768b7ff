/* train.h - a training run, for the files of this folder. */
#ifndef KR_TRAIN_TRAIN_H
#define KR_TRAIN_TRAIN_H
#include <signal.h>

#include "data/source.h"
#include "krait/train.h"
#include "model/diffusion.h"
#include "train/checkpoint.h"
#include "train/draws.h"
#include "train/metrics.h"
#include "train/options.h"

struct kr_train {
    json_t *recipe;              /* owns the texts of opt */
    kr_train_options opt;
    kr_train_hooks hooks;
    kr_source *source;
    const kr_source_info *info;
    kr_model *model;
    kr_graph *graph, *eval;
    bool eval_logits;            /* eval makes scores: the metric counts right answers */
    int32_t *targets;            /* of a batch, for that count */
    float *y, *scale;
    kr_draws draws;              /* of held-out rows */
    kr_diffusion *diffusion;     /* rows get noise; NULL: they do not */
    int n_threads;
    kr_train_state state;
    kr_metrics metrics;
    bool metrics_lost;           /* said so already */
    double lr, last_metric;
    double clock, mark, timed_from; /* seconds: since the last save, since the last line, of train.minutes */
    int64_t mark_tok, mark_step, timed_step, evaluated_step, saved_step;
    bool best_unsaved;
    volatile sig_atomic_t stop;
};
#endif
