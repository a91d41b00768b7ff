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
 *   image, ...         files with an answer to each: see set.h and docs/data.md
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
#include "graph/graph.h"
#include "krait/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* TEST is scored once, when training is over; few sources have one. */
typedef enum kr_split { KR_SPLIT_TRAIN, KR_SPLIT_EVAL, KR_SPLIT_TEST, KR_N_SPLIT } kr_split;

typedef struct kr_batch {      /* all arrays belong to the caller, sized for info.S and info.L */
    int64_t S, L;
    int64_t draw;              /* in: which of info.n_draws ways of drawing the rows of EVAL or TEST */
    int32_t *ids;              /* [S, L] of token tasks, else NULL */
    float *x;                  /* [S, L, x_width] of the others */
    int32_t *targets;          /* [S, n_targets], held out [S, n_held_targets], where a class or token is to be told */
    float *y;                  /* [S, y_width] where numbers are */
    float *scale;              /* [S, y_width] what an error of each is to be multiplied by, 0: not scored; NULL if not wanted */
    float *weight;             /* [S, y_width] 1: count an error of it, 0: do not, it is not known; NULL if not wanted */
    int32_t *classes;          /* [S] what a row is, where that is no answer but may be told to the model; NULL if not wanted */
    int32_t *edge_from, *edge_to; /* [S, n_edges] steps that edges join, of graphs; -1: no edge; NULL if not wanted */
    float *e;                  /* [S, n_edges, edge_width] what is known of them; NULL if not wanted */
    const kr_graph *ties;      /* its inputs tie.0, tie.1, ... are filled, too: drawn orders of a graph's nodes (order "ties"); NULL if not wanted */
    int32_t *seq_idx;          /* [S, L]; NULL if not wanted */
    int32_t *positions;        /* [S, L] where a step stands, if not where it comes; NULL if not wanted */
    int32_t *place;            /* [S, n_targets] where in the row of draw 0 an answer of this draw stands; NULL if not wanted */
    int32_t *len;              /* [S] steps of a row that are no padding; NULL if not wanted */
    int64_t n_rows;            /* out: rows that are examples; those behind them pad the last batch of a pass */
} kr_batch;

typedef struct kr_source_options {
    const json_t *data;        /* "data" of a recipe; NULL: text needs paths, so not NULL there */
    int64_t S;                 /* rows of a batch */
    int64_t L;                 /* steps of a row; 0: data.length */
    uint64_t seed;
    const json_t *fitted;      /* what kr_source_learnt gave when the model was trained; NULL: learn it now */
    bool predict;              /* data.paths are files without answers: EVAL, in their order; wants `fitted` */
} kr_source_options;

typedef struct kr_source_info {
    const char *kind;          /* "text", "mqar", ... */
    char about[200];           /* one line for the log */
    int64_t S, L;
    int64_t vocab_size;        /* 0: not a token task */
    int64_t x_width, y_width;  /* numbers of a step, and of an answer; 0: ids go in, classes or ids come out */
    int64_t n_edges, edge_width; /* of a row that is a graph, else 0 */
    int64_t n_targets;         /* classes or ids to tell in a row: L, or 1 for the whole of it; 0: numbers */
    int64_t n_held_targets;    /* and in a row that is held out, if that is another number: 1, behind its last step */
    bool causal;               /* answers are later steps of the row, so a model must not see these */
    int64_t H, W;              /* of the cells that a row is, where they are a picture; else 0 */
    int64_t n_draws;           /* a score is the mean over so many draws of a held-out row; 0 is 1 */
    bool yes_or_no;            /* targets answer questions of their own, 1 or 0 each */
    int64_t n_classes;         /* 0: targets are ids of the vocabulary */
    int64_t n_row_classes;     /* kinds of kr_batch.classes; 0: rows have none */
    const json_t *encoder, *condition, *head; /* what a model of these data wants to know: keys for its parts; may be NULL */
    bool positions;            /* steps have positions of their own */
    bool text;                 /* ids are the bytes of a text, or its tokens */
    const kr_tokenizer *tokenizer; /* of those tokens; NULL: bytes */
    int32_t end_id;            /* the token that ends a document; -1: none */
    bool carries;              /* rows continue those of the step before: see kr_source_resets */
    int64_t n_train_bytes, n_eval_bytes, n_train_docs, n_eval_docs; /* of a text, else 0 */
    int64_t train_batches;     /* batches to see every byte once; 0: no such thing */
    int64_t eval_batches;      /* a full pass over EVAL; 0: nothing is held out */
    int64_t test_batches;      /* and over TEST; 0: there is none */
    int64_t n_train, n_eval, n_test; /* examples; 0 where rows have no number */
    const char *metric;        /* what a model is chosen by: see train/score.h */
    const char *more_metrics;  /* others, "f1 mcc"; may be NULL */
} kr_source_info;

static inline int64_t kr_source_held_targets(const kr_source_info *i) { return i->n_held_targets ? i->n_held_targets : i->n_targets; }

typedef struct kr_source kr_source;

/* KR_ERR_CONFIG names the key, KR_ERR_IO the file. */
kr_status kr_source_open(kr_source **out, const kr_source_options *opt);
const kr_source_info *kr_source_get_info(const kr_source *s);
/* Fills the arrays of `out`; out->S and out->L must be the source's.  step >= 0. */
kr_status kr_source_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *out);
/* Does `row` of batch `step` start without a past?  If not, its past is the same row of
 * batch step - 1.  Always true unless info.carries. */
bool kr_source_resets(const kr_source *s, kr_split split, int64_t step, int64_t row);
/* What preparing other data in the same way needs (means, names of classes); NULL: nothing.  The source's. */
const json_t *kr_source_learnt(const kr_source *s);
/* Who a row is, "scans/7.png" or "train.csv:12"; false: it pads the batch, or has no name. */
bool kr_source_name(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size);
/* What a model said of the steps of a row, as cells of the file; returns how many these are. */
int64_t kr_source_cells(const kr_source *s, kr_split split, int64_t step, int64_t row, const int32_t *said, int32_t *cells);
/* The name of class i, or of number i of an answer; NULL: it has none. */
const char *kr_source_label(const kr_source *s, int64_t i);
/* A model's numbers for a row, in the units of the file. */
void kr_source_restore(const kr_source *s, kr_split split, int64_t step, int64_t row, float *y);
void kr_source_close(kr_source *s); /* NULL is fine */

/* The i-th kind of source with its keys, for help; false past the last. */
bool kr_source_describe(int i, const char **name, const char **about, const kr_key **keys);

#ifdef __cplusplus
}
#endif
#endif
