/* options.c - the keys of training, and the schedules. */
#include "train/options.h"

#include <math.h>

#define INT(field, def, min, help) KR_KEY_INT(kr_train_options, field, def, min, 1e15, help)
#define REAL(field, def, max, help) KR_KEY_REAL(kr_train_options, field, def, 0, max, help)
#define BOOL(field, def, help) KR_KEY_BOOL(kr_train_options, field, def, help)

const kr_key kr_train_keys[] = {
    KR_KEY_TEXT(kr_train_options, out, "model", "folder for the model, checkpoints, metrics.jsonl and loss.svg"),
    KR_KEY_TEXT(kr_train_options, from, "", "a model whose parameters the run starts from, by name; empty: all are drawn"),
    KR_KEY_TEXT(kr_train_options, from_only, "", "ends of names, with commas between: only such parameters are taken from it; empty: all"),
    KR_KEY_TEXT(kr_train_options, from_except, "", "ends of names: such parameters are drawn after all"),
    BOOL(overwrite, false, "start anew in a folder that holds a run already"),
    INT(steps, 1000, 1, "optimiser steps"),
    REAL(minutes, 0, 1e9, "if above 0: the first steps are timed and `steps` is set to fill this time"),
    INT(batch_size, 8, 1, "rows S of a batch"),
    INT(seq_len, 0, 0, "steps L of a row; 0: data.length"),
    INT(accumulate, 1, 1, "batches whose gradients make one optimiser step"),
    REAL(lr, 1e-3, 1e3, "peak learning rate"),
    REAL(min_lr, 1e-5, 1e3, "learning rate at the end of the schedule"),
    INT(warmup_steps, 100, 0, "steps of linear warm-up from 0"),
    KR_KEY_CHOICE(kr_train_options, schedule, "cosine|linear|constant|wsd", "what the learning rate does after warm-up"),
    REAL(decay_fraction, 0.2, 1, "wsd: share of the steps over which lr decays at the end"),
    REAL(beta1, 0.9, 1, "AdamW: decay of the first moment"),
    REAL(beta2, 0.95, 1, "AdamW: decay of the second moment"),
    REAL(eps, 1e-8, 1, "AdamW: added to the root of the second moment"),
    REAL(weight_decay, 0.1, 10, "AdamW: decay of matrices; never of A_log, D, dt_bias, norms, biases"),
    REAL(clip, 1, 1e9, "largest norm of all gradients together; 0: no clipping"),
    REAL(dropout, 0, 0.99, "share of each mixer's output dropped while training"),
    REAL(embedding_dropout, 0, 0.99, "share of the encoder's output dropped while training"),
    KR_KEY_CHOICE(kr_train_options, dtype, "float32|bfloat16", "how matrices are stored, and on a GPU activations; the optimiser stays float32"),
    KR_KEY_TEXT(kr_train_options, device, "cpu", "where to run: cpu, cuda, or cuda:N for that GPU"),
    BOOL(recompute, false, "keep only the inputs of layers and recompute them in backward: less memory, about a third more time"),
    INT(remake_scans, 0, 0, "so many layers, from the last on, make their scan again in backward: half of what they keep; 7 % more time if all do"),
    INT(eval_every, 200, 0, "steps between evaluations on held-out data; 0: only at the end"),
    INT(eval_batches, 8, 1, "batches of an evaluation"),
    INT(checkpoint_every, 500, 0, "steps between checkpoints; 0: only at the end"),
    INT(keep_checkpoints, 2, 1, "checkpoints kept; the best one is kept besides"),
    INT(sample_every, 0, 0, "steps between samples of the model's writing; 0: none"),
    INT(sample_tok, 200, 1, "length of a sample in tokens"),
    KR_KEY_TEXT(kr_train_options, sample_prompt, "\n", "what a sample starts from"),
    INT(log_every, 10, 1, "steps between lines of progress and of metrics.jsonl"),
    INT(seed, 1, 0, "of initialisation, data order and dropout"),
    INT(threads, 0, 0, "CPU threads; 0: all this process may use; the result is the same for any number"),
    KR_KEY_END};

kr_status kr_train_options_read(kr_train_options *o, const json_t *object) {
    KR_TRY(kr_keys_read(kr_train_keys, object, "train", o));
    if (o->min_lr > o->lr) KR_FAIL(KR_ERR_CONFIG, "train.min_lr %g is above train.lr %g", o->min_lr, o->lr);
    if (!*o->out) KR_FAIL(KR_ERR_CONFIG, "train.out is empty, want a folder");
    return KR_OK;
}

double kr_train_lr(const kr_train_options *o, int64_t step) {
    double warm = (double)o->warmup_steps, t = (double)step, end = (double)o->steps;
    if (end > 0 && warm > end / 2) warm = end / 2; /* short runs */
    if (t + 1 < warm) return o->lr * (t + 1) / warm;
    if (end == 0) return o->lr;
    double p = end > warm ? (t - warm) / (end - warm) : 1, drop = o->lr - o->min_lr; /* progress from 0 to 1 */
    if (p < 0) p = 0;
    switch (o->schedule) {
    case KR_SCHEDULE_COSINE: return o->min_lr + drop * 0.5 * (1 + cos(3.14159265358979323846 * p));
    case KR_SCHEDULE_LINEAR: return o->lr - drop * p;
    case KR_SCHEDULE_WSD: {
        double left = o->decay_fraction > 0 ? (1 - t / end) / o->decay_fraction : 1;
        return left >= 1 ? o->lr : o->min_lr + drop * left;
    }
    default: return o->lr;
    }
}
