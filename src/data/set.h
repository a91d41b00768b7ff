/* set.h - examples in memory with their answers, and which of them are held out: what sources
 * of labelled files share.
 *
 * An example is a run of elements (bytes, floats or ids) with a class, or numbers, to answer.
 * It is in one of three parts: to train on, to score while training (EVAL), and to score once
 * at the end (TEST).  Which one says the list of paths it came from; from those to train on,
 * fractions can be held out, whole examples drawn by split_seed or the last ones.
 *
 * Training takes every example once an epoch, in an order of its own for each epoch. */
#ifndef KR_DATA_SET_H
#define KR_DATA_SET_H
#include "base/file.h"
#include "data/decode.h"
#include "data/source_kind.h"

typedef struct kr_set_keys {
    const json_t *paths, *eval_paths, *test_paths;
    double eval_fraction, test_fraction;
    int64_t split_seed, fold;
    int hold_out;
} kr_set_keys;

enum { KR_HOLD_OUT_RANDOM, KR_HOLD_OUT_LAST };
/* The keys of a source whose own struct has them as its member `set`. */
#define KR_SET_KEY(type, field, kind, def, min, max, choices, help) {#field, kind, offsetof(type, set.field), def, min, max, NULL, choices, help}
#define KR_SET_KEYS(type)                                                                                                  \
    KR_SET_KEY(type, paths, KR_KEY_LIST, 0, 0, 0, NULL, "files, folders (with all below) and patterns to train on"),        \
    KR_SET_KEY(type, eval_paths, KR_KEY_LIST, 0, 0, 0, NULL, "score on these while training, instead of holding out"),      \
    KR_SET_KEY(type, test_paths, KR_KEY_LIST, 0, 0, 0, NULL, "score on these once, at the end"),                            \
    KR_SET_KEY(type, eval_fraction, KR_KEY_REAL, 0.1, 0, 0.9, NULL, "share of the examples to hold out, if there are no eval_paths"), \
    KR_SET_KEY(type, test_fraction, KR_KEY_REAL, 0, 0, 0.9, NULL, "share to hold out for the score at the end"),             \
    KR_SET_KEY(type, split_seed, KR_KEY_INT, 0, 0, 9e15, NULL, "of the draw of what is held out; the run's own seed does not matter"), \
    KR_SET_KEY(type, fold, KR_KEY_INT, 0, 0, 1e6, NULL, "which share of this size is held out, from 0: for cross-validation"),    \
    KR_SET_KEY(type, hold_out, KR_KEY_CHOICE, 0, 0, 0, "random|last", "which examples: drawn, or the last ones as they stand")

struct kr_set {
    int64_t n, room;
    int each;                   /* bytes of an element */
    unsigned char *data;
    size_t n_bytes, bytes_room;
    size_t *start;              /* [n + 1] byte where an example begins */
    int32_t *label;             /* [n] class; -1: not known */
    float *y;                   /* [n, y_width] */
    int64_t y_width;
    unsigned char *part;        /* [n] a kr_split */
    bool *joins;                /* [n] held out or not with the example before it, as a tile of the same picture */
    int32_t *file;              /* [n] index into files */
    int64_t *row;               /* [n] which one of that file; -1: it is the file */
    kr_file_list files, classes;
    bool classes_fixed;         /* given; others are not known */
    int32_t *class_slot;        /* [class_slots] by name: class + 1; 0: free */
    size_t class_slots;         /* 0: not in order */
    int64_t *index[KR_N_SPLIT], n_in[KR_N_SPLIT]; /* the examples of each part */
};

void kr_set_free(kr_set *set);
/* Adds an example of `n` elements from the last file begun; returns where to copy them, NULL: no
 * memory.  y: y_width numbers, or NULL. */
void *kr_set_add(kr_set *set, size_t n, kr_split part, int64_t row, int32_t label, const float *y);
static inline int64_t kr_set_length(const kr_set *set, int64_t i) { return (int64_t)((set->start[i + 1] - set->start[i]) / (size_t)set->each); }
static inline const void *kr_set_data(const kr_set *set, int64_t i) { return set->data + set->start[i]; }
/* The class of this name, made if it is new; -1 if classes are given and it is none, -2: no memory. */
int32_t kr_set_class(kr_set *set, const char *name);
/* The class that a path names: "cat" of train/cat/7.png, or of cat_7.png; -1: it names none, or none of those given. */
enum { KR_SET_BY_FOLDER, KR_SET_BY_NAME };
int32_t kr_set_class_of_path(kr_set *set, const char *path, int by);
/* Classes in order: by number if all are, else by name. */
kr_status kr_set_sort_classes(kr_set *set);
/* Who this example is: "scans/7.png" or "train.csv:12". */
void kr_set_name(const kr_set *set, int64_t i, char *to, size_t size);

/* What is added from here on comes from this file, or folder. */
kr_status kr_set_begin(kr_set *set, const char *path);
/* Calls f for every file that the list of paths names, in order; `key` is theirs in messages. */
typedef kr_status kr_set_file(void *user, kr_set *set, const char *path, kr_split part);
kr_status kr_set_each_file(kr_set *set, const json_t *paths, const char *key, kr_split part, kr_set_file *f, void *user);
/* The same for paths, eval_paths and test_paths; while predicting, paths alone, as EVAL. */
kr_status kr_set_load(const kr_source *s, kr_set *set, const kr_set_keys *k, kr_set_file *f, void *user);
/* Once all are there: holds out, and says in s->info how many there are. */
kr_status kr_set_split(kr_source *s, kr_set *set, const kr_set_keys *k);
/* The example in row `row` of a batch; -1: a held-out pass is over before. */
int64_t kr_set_at(const kr_source *s, const kr_set *set, kr_split split, int64_t step, int64_t row);
/* `who` and `label` of a kind whose sources set s->set. */
bool kr_set_who(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size);
const char *kr_set_label(const kr_source *s, int64_t i);

/* --- what was learnt from the examples to train on, beside the weights -------------------- */

/* Numbers or texts of s->fitted (given while predicting), and into s->learnt. */
kr_status kr_fitted_reals(const kr_source *s, const char *key, double *to, int64_t n);
kr_status kr_fitted_classes(const kr_source *s, kr_set *set);
kr_status kr_learnt_reals(kr_source *s, const char *key, const double *from, int64_t n);
kr_status kr_learnt_classes(kr_source *s, const kr_set *set);
/* Takes over a reference; KR_ERR_NOMEM if v is NULL. */
kr_status kr_learnt(kr_source *s, const char *key, json_t *v);
#endif
