/* options.h - the "train" object of a recipe. */
#ifndef KR_TRAIN_OPTIONS_H
#define KR_TRAIN_OPTIONS_H
#include "base/keys.h"

enum { KR_SCHEDULE_COSINE, KR_SCHEDULE_LINEAR, KR_SCHEDULE_CONSTANT, KR_SCHEDULE_WSD };

typedef struct kr_train_options {
    const char *out, *from, *from_only, *from_except, *sample_prompt, *device;
    int64_t steps, batch_size, seq_len, accumulate, warmup_steps, eval_every, eval_batches, checkpoint_every, keep_checkpoints,
        sample_every, sample_tok, log_every, seed, threads, remake_scans;
    double minutes, lr, min_lr, decay_fraction, beta1, beta2, eps, weight_decay, clip, dropout, embedding_dropout;
    int schedule, dtype;
    bool recompute, overwrite;
} kr_train_options;

extern const kr_key kr_train_keys[];
kr_status kr_train_options_read(kr_train_options *o, const json_t *object);

/* The learning rate of a step, from 0 to o->steps - 1: warm-up from 0, then the schedule
 * down to min_lr; while o->steps is 0 (not known yet) only the warm-up.  WSD holds lr and decays linearly over the last decay_fraction. */
double kr_train_lr(const kr_train_options *o, int64_t step);
#endif
