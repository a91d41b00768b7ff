/* checkpoint.h - a training run on disk, so that nothing is lost.
 *
 *     OUT/checkpoints/000001500/  config.json model.safetensors optimizer.safetensors trainer.json
 *
 * A checkpoint is written under another name and renamed when every byte is on the disk,
 * so a folder with such a name is whole.  Each is also a model folder by itself. */
#ifndef KR_TRAIN_CHECKPOINT_H
#define KR_TRAIN_CHECKPOINT_H
#include "model/model.h"

typedef struct kr_train_state {
    int64_t step, steps, n_tok; /* done; in all (train.minutes sets it); tokens seen */
    int64_t best_step;          /* -1: none evaluated yet */
    double best_metric, seconds;
} kr_train_state;

/* g: the training graph, whose carried states belong to the checkpoint (NULL: none). */
kr_status kr_checkpoint_save(const char *out, const kr_model *m, kr_graph *g, const kr_train_state *s);
/* The last step of which there is a checkpoint; -1: none. */
kr_status kr_checkpoint_last(const char *out, int64_t *step);
/* The shape of a run: read before its graphs are made. */
kr_status kr_checkpoint_load_state(const char *out, int64_t step, kr_train_state *s);
/* Weights, moments and states. */
kr_status kr_checkpoint_load(const char *out, int64_t step, kr_model *m, kr_graph *g);
/* Removes all but the last `keep` and the best, and what a crash left half written. */
kr_status kr_checkpoint_prune(const char *out, int64_t keep, int64_t best_step);
#endif
