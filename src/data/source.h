/* source.h - where training examples come from: a stream of batches, by number.
 *
 * A source is opened from the "data" object of a recipe and then answers one question:
 * what is batch number `step` of this split?  The answer is a pure function of the seed,
 * the split and the number, so there is nothing to save for a resume, and threads, order
 * and earlier calls do not matter.  kr_source_batch allocates nothing and may be called
 * from several threads at once.
 *
 *   text               files, folders, globs or stdin, as bytes or tokens: predict the next one
 *   copying, selective_copying, induction_heads, mqar, associative_recall, adding, parity
 *                      synthetic tasks with known answers, fresh rows at every step
 *
 * targets[s, l] is what the model must answer after reading ids[s, 0..l]; -1 is not
 * scored.  So text has targets[l] = ids[l + 1].
 *
 * seq_idx[s, l] counts the documents of a row from 0; state must not pass from one to the
 * next, and no target lies in another document than its input.
 *
 * Batch `step` holds rows step * S .. step * S + S - 1 of the split's row sequence (not so
 * in "carry" mode), so the same rows come by in the same order whatever S is.
 *
 * EVAL does not depend on the seed: runs with different seeds are scored on the same rows.
 * Its batches 0 .. info.eval_batches - 1 are one full pass, each held-out byte scored once;
 * then they repeat.  The rows are in a fixed shuffled order, so that a few batches are a
 * fair sample of them all. */
#ifndef KR_DATA_SOURCE_H
#define KR_DATA_SOURCE_H
#include "base/keys.h"
#include "krait/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kr_split { KR_SPLIT_TRAIN, KR_SPLIT_EVAL } kr_split;

typedef struct kr_batch {      /* all arrays belong to the caller, sized for info.S and info.L */
    int64_t S, L;
    int32_t *ids, *targets;    /* [S, L]; NULL for real-valued tasks */
    int32_t *seq_idx;          /* [S, L]; NULL if not wanted */
    float *x, *y;              /* [S, L, x_width], [S, y_width]; NULL for token tasks */
} kr_batch;

typedef struct kr_source_options {
    const json_t *data;        /* "data" of a recipe; NULL: text needs paths, so not NULL there */
    int64_t S;                 /* rows of a batch */
    int64_t L;                 /* steps of a row; 0: data.length */
    uint64_t seed;
} kr_source_options;

typedef struct kr_source_info {
    const char *kind;          /* "text", "mqar", ... */
    char about[200];           /* one line for the log */
    int64_t S, L;
    int64_t vocab_size;        /* 0: not a token task */
    int64_t x_width, y_width;  /* 0: a token task */
    bool text;                 /* ids are the bytes of a text, or its tokens */
    const kr_tokenizer *tokenizer; /* of those tokens; NULL: bytes */
    int32_t end_id;            /* the token that ends a document; -1: none */
    bool carries;              /* rows continue those of the step before: see kr_source_resets */
    int64_t n_train_bytes, n_eval_bytes, n_train_docs, n_eval_docs; /* of a text, else 0 */
    int64_t train_batches;     /* batches to see every byte once; 0: no such thing */
    int64_t eval_batches;      /* a full pass over EVAL; 0: nothing is held out */
    const char *metric;        /* "bits_per_byte", "accuracy" of scored steps, or "mse" */
} kr_source_info;

typedef struct kr_source kr_source;

/* KR_ERR_CONFIG names the key, KR_ERR_IO the file. */
kr_status kr_source_open(kr_source **out, const kr_source_options *opt);
const kr_source_info *kr_source_get_info(const kr_source *s);
/* Fills the arrays of `out`; out->S and out->L must be the source's.  step >= 0. */
kr_status kr_source_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *out);
/* Does `row` of batch `step` start without a past?  If not, its past is the same row of
 * batch step - 1.  Always true unless info.carries. */
bool kr_source_resets(const kr_source *s, kr_split split, int64_t step, int64_t row);
void kr_source_close(kr_source *s); /* NULL is fine */

/* The i-th kind of source with its keys, for help; false past the last. */
bool kr_source_describe(int i, const char **name, const char **about, const kr_key **keys);

#ifdef __cplusplus
}
#endif
#endif
