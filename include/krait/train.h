/* train.h - training: one JSON recipe in, a model folder out, nothing lost on the way.
 *
 *     char *recipe; kr_train *t;
 *     kr_recipe_read(&recipe, "recipes/quickstart", overrides, n);
 *     if (kr_train_new(&t, recipe, false, &hooks) < 0) die(kr_error());
 *     kr_status st = kr_train_run(t);
 *
 * A recipe is {"name", "about", "model": {...}, "data": {...}, "train": {...}}; every key
 * has a default and a line of help (kr_recipe_key). */
#ifndef KRAIT_TRAIN_H
#define KRAIT_TRAIN_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- recipes ------------------------------------------------------------------------------ */

/* Reads a recipe (a file, or a folder with recipe.json; NULL: an empty one) and applies
 * overrides "train.lr=1e-3" ("lr=1e-3" where only one section has that key).  *json is
 * new text; free it with kr_text_free.  Unknown keys are refused with the nearest named. */
KR_API kr_status kr_recipe_read(char **json, const char *path, const char *const *overrides, int n_overrides);
KR_API void kr_text_free(char *text);

typedef struct kr_recipe_key_info { const char *section, *name, *help; char def[96], type[96]; } kr_recipe_key_info;
/* The i-th key of all recipes: section "train", "model", "model.mixer.mamba2",
 * "data.text", ...; false past the last. */
KR_API bool kr_recipe_key(int i, kr_recipe_key_info *out);

/* --- running ------------------------------------------------------------------------------- */

typedef struct kr_train kr_train;

typedef struct kr_train_progress {
    int64_t step, steps;       /* done, and in all */
    double loss, lr, grad_norm;
    double bits;               /* loss in bits a token (a byte, for byte models); NaN for mse */
    double tokens_per_s, seconds, eta_s;
    int64_t n_tok;             /* seen in all */
} kr_train_progress;

typedef struct kr_train_eval {
    int64_t step, n_tok;
    double loss, metric;       /* metric as the source names it */
    const char *metric_name;   /* "bits_per_byte", "accuracy", "mse" */
    bool best;                 /* the best so far */
    bool test;                 /* of data.test_paths or test_fraction, once at the end */
    const char *more;          /* other metrics, "  f1 0.9731  mcc 0.9702"; may be "" */
} kr_train_eval;

/* Any may be NULL.  Called on the thread of kr_train_run. */
typedef struct kr_train_hooks {
    void *user;
    void (*progress)(void *user, const kr_train_progress *p);
    void (*eval)(void *user, const kr_train_eval *e);
    void (*sample)(void *user, const kr_model *m, int64_t step); /* a text model may write now */
    void (*message)(void *user, const char *sentence);           /* worth saying, not fatal */
} kr_train_hooks;

/* Opens the data, builds the model and takes all memory.  resume: continue from the last
 * checkpoint in train.out, bit for bit as if never stopped (KR_ERR_MISSING: there is none).
 * Otherwise train.out must not hold a run already (KR_ERR_CONFIG), unless train.overwrite. */
KR_API kr_status kr_train_new(kr_train **out, const char *recipe_json, bool resume, const kr_train_hooks *hooks);
KR_API void kr_train_free(kr_train *t);
/* Trains to the end and saves.  KR_ERR_STOPPED after kr_train_stop (saved, can be resumed);
 * KR_ERR_NUMERIC: the sentence names the step and the tensor; KR_ERR_IO: could not save. */
KR_API kr_status kr_train_run(kr_train *t);
/* Finish the step, save, return.  May be called from a signal handler or another thread. */
KR_API void kr_train_stop(kr_train *t);

typedef struct kr_train_summary {
    const char *out, *data, *metric_name;
    int64_t n_params, step, steps, params_bytes, train_bytes, block_bytes;
    double best_metric, last_metric; /* best: NaN before the first that is a number */
    bool text;                 /* bytes in, bytes out: it can write */
} kr_train_summary;
KR_API void kr_train_get_summary(const kr_train *t, kr_train_summary *out);
/* How long a sample is to be and what it starts from, as the recipe says. */
KR_API void kr_train_sampling(const kr_train *t, int64_t *n_tok, char *prompt, size_t prompt_size);
KR_API const kr_model *kr_train_model(const kr_train *t); /* changes with every step */

/* --- scoring a model on a task ---------------------------------------------------------------- */

enum { KR_MORE_METRICS = 8 };
typedef struct kr_eval_source_result {
    char data[200];            /* the task in one line */
    int64_t L, n_rows, n_scored; /* steps of a row, rows, answers asked for in them */
    double loss, metric;       /* metric as the source names it */
    char metric_name[24];
    double seconds;
    int n_more;                /* other metrics of the same answers; NaN: not for these */
    char more_name[KR_MORE_METRICS][16];
    double more[KR_MORE_METRICS];
} kr_eval_source_result;
/* Scores the first `rows` held-out rows (or a few more, to fill the last batch; 0: all, or 256 of a
 * task without an end), or with `test` those of data.test_paths or test_fraction, of a recipe's
 * task, at its data.length, whatever the model was trained at.  A model that can go step by
 * step takes memory that does not grow with the length, but for the ids themselves. */
KR_API kr_status kr_eval_source(const kr_model *m, const char *recipe_json, int64_t rows, bool test, kr_eval_source_result *out);

#ifdef __cplusplus
}
#endif
#endif
