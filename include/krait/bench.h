/* bench.h - how fast is it here?  Beside what the machine can do, never by itself.
 *
 *     kr_bench_machine m;
 *     kr_bench_measure_machine(&m, NULL);
 *     kr_bench_ops(&m, NULL, 0, NULL, print_row, NULL);
 *
 * Every time is of work repeated after a warm-up: the best run says what the code can do,
 * the median what it did.  Weights and tokens are drawn at random; nothing is read but the
 * config. */
#ifndef KRAIT_BENCH_H
#define KRAIT_BENCH_H
#include <stdbool.h>
#include <stdint.h>

#include "krait/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_bench_options {
    int runs;       /* timed at least this often; default 7 */
    double seconds; /* and for at least this long; default 0.2 */
    int n_threads;  /* default: all cores this process may use */
    const char *device; /* "cpu", "cuda", "cuda:N"; default "cpu" */
    const char *dtype;  /* "float32" or "bfloat16": matrices, and on a GPU activations; default float32.
                         * To infer also "q8_0", "q4_0", "q4_k" and "q6_k", on a CPU "float16" too */
    const char *state_dtype; /* of kr_bench_infer and kr_bench_decode; see kr_session_options */
    bool mapped, woven; /* as in kr_model_options; the engine's are woven unless mapped, and so are those of several sequences */
    int64_t remake_scans;    /* of kr_bench_train: as train.remake_scans */
} kr_bench_options;

typedef struct kr_bench_time {
    double best_s, median_s;
    int n_runs;
} kr_bench_time;

/* --- the machine and its roof ----------------------------------------------------------- */

typedef struct kr_bench_machine {
    char cpu[96];              /* or the GPU's name */
    const char *isa, *version; /* the instruction set that is used; Krait's version */
    int n_threads;
    double fma_flops;    /* a second: multiply-adds in registers, nothing else; all threads.  GPU: 0 */
    double gemm_flops;   /* a second: our product of two 1024 x 1024 matrices.  GPU: 8192 x 8192 */
    double stream_bytes; /* a second: a[i] = b[i] + s c[i] over three arrays of 64 MiB.  GPU: a copy */
} kr_bench_machine;
KR_API kr_status kr_bench_measure_machine(kr_bench_machine *out, const kr_bench_options *opt);

/* --- ops ---------------------------------------------------------------------------------- */

typedef struct kr_bench_op {
    const char *op, *sizes; /* "ssd", "S8 L1024 H8 ...": one letter an axis, as in its signature */
    bool backward;
    kr_bench_time time;
    double flops, bytes; /* of one call; flops 0: bytes are what counts.  Backward counts twice the flops */
    double roof;         /* share of the roof: the time that flops or bytes need at least, over the best */
    double speedup;      /* over the scalar reference, both on one thread, on smaller sizes.  GPU: 0 */
} kr_bench_op;
/* Calls row() for each op of the table (forward, then backward).  names: only these.
 * KR_ERR_ARG: a name that is not in the table. */
KR_API kr_status kr_bench_ops(const kr_bench_machine *m, const char *const *names, int n_names,
                              const kr_bench_options *opt, void (*row)(void *user, const kr_bench_op *r), void *user);

typedef struct kr_bench_length {
    const char *op, *sizes; /* of one sequence, apart from L */
    int64_t L;
    kr_bench_time forward, backward;
    int64_t tensor_bytes; /* inputs, outputs and their gradients */
    int64_t work_bytes;   /* what the op itself keeps: scratch and saved states */
} kr_bench_length;
/* The scans on one sequence of 1024, 4096, ... steps, up to `longest`. */
KR_API kr_status kr_bench_lengths(int64_t longest, const kr_bench_options *opt,
                                  void (*row)(void *user, const kr_bench_length *r), void *user);

/* --- models --------------------------------------------------------------------------------- */

/* Where the time of one step goes, by op.  what: "linear", "adamw", ... */
typedef struct kr_bench_part {
    const char *what;
    bool backward;
    double seconds, flops;
    int64_t calls;
} kr_bench_part;
enum { KR_BENCH_PARTS = 64 };

typedef struct kr_bench_train_result {
    int64_t S, L, n_params, bytes; /* bytes: weights, gradients, optimiser, activations, scratch */
    kr_bench_time step;            /* forward, backward, clipping, AdamW */
    double flops;                  /* of one step, counted as for ops */
    int n_parts;
    kr_bench_part part[KR_BENCH_PARTS];
} kr_bench_train_result;
/* A training step on batches of S rows of L tokens.  path: a config.json, a recipe.json
 * (its model), or a folder with either. */
KR_API kr_status kr_bench_train(kr_bench_train_result *out, const char *path, int64_t S, int64_t L, bool recompute,
                                const kr_bench_options *opt);

typedef struct kr_bench_forward_result {
    int64_t S, L, n_params, bytes; /* bytes: weights, inputs, activations, scratch */
    kr_bench_time batch;
    double flops;                  /* of one batch */
    int n_parts;
    kr_bench_part part[KR_BENCH_PARTS];
} kr_bench_forward_result;
/* A batch of S rows of L tokens through the model, forward alone, up to the head's answer (a language model's: of the
 * last token).  Here and in kr_bench_train an encoder that knows how long its rows are (a picture's) says L. */
KR_API kr_status kr_bench_forward(kr_bench_forward_result *out, const char *path, int64_t S, int64_t L, const kr_bench_options *opt);

typedef struct kr_bench_infer_result {
    int64_t n_params, state_bytes, prompt_tok;
    kr_bench_time prefill; /* of the whole prompt */
    kr_bench_time decode;  /* of one token, sampling included */
    int n_prefill, n_decode;
    kr_bench_part prefill_part[KR_BENCH_PARTS], decode_part[KR_BENCH_PARTS]; /* of one run of the graph */
} kr_bench_infer_result;
/* One session: a prompt, then token by token.  KR_ERR_ARG: the model cannot be decoded. */
KR_API kr_status kr_bench_infer(kr_bench_infer_result *out, const char *path, int64_t prompt_tok,
                                const kr_bench_options *opt);

enum { KR_BENCH_STREAMS = 3 };
KR_API extern const int kr_bench_streams[KR_BENCH_STREAMS]; /* 1, 4, 8 */
typedef struct kr_bench_engine_result {
    int64_t prompt_tok, state_bytes;
    double cold_s, hit_s, shared_s;  /* until the first token: of a new prompt, of a known one, of one that differs in its last token */
    int64_t shared_cached;           /* tokens of the latter that were not read again */
    double tok_per_s[KR_BENCH_STREAMS]; /* of so many streams at once, together */
} kr_bench_engine_result;
/* The engine of krait/engine.h: the best of opt->runs. */
KR_API kr_status kr_bench_engine(kr_bench_engine_result *out, const char *path, int64_t prompt_tok, const kr_bench_options *opt);

/* One stream with up to n_draft tokens guessed ahead and without, in one engine by turns: of a text that is as
 * repetitive as can be, and of one drawn out of 16 tokens, which looks repetitive and hardly ever is.  Guessed from
 * the text itself, or by the model at `draft` (NULL: none); its weights are drawn too, so of the first text it guesses
 * all, and of the second what two models drawn at random have in common. */
typedef struct kr_bench_drafts_result { double plain_tok_per_s[2], tok_per_s[2]; int64_t guessed[2], accepted[2], written; } kr_bench_drafts_result;
KR_API kr_status kr_bench_drafts(kr_bench_drafts_result *out, const char *path, const char *draft, int64_t n_draft, const kr_bench_options *opt);

typedef struct kr_bench_decode_result {
    kr_bench_time step;
    int64_t weight_bytes, state_bytes; /* a step reads the ones once, reads and writes the others */
    double read_bytes;                 /* a second: what the threads read from as much memory, measured just before
                                        * and after; 0 on a GPU */
    int n_parts;
    kr_bench_part part[KR_BENCH_PARTS];
} kr_bench_decode_result;
typedef struct kr_bench_prefill_result {
    kr_bench_time prefill;             /* of the whole prompt */
    double flops, gemm_flops;          /* of its products; those of a product of 1024 x 1024 a second, just before and after */
    int64_t weight_bytes;
} kr_bench_prefill_result;
/* One session that reads a prompt, on a CPU. */
KR_API kr_status kr_bench_prefill(kr_bench_prefill_result *out, const char *path, int64_t prompt_tok,
                                  const kr_bench_options *opt);
/* One step of decoding for S sequences at once: only the graph, no sampling. */
KR_API kr_status kr_bench_decode(kr_bench_decode_result *out, const char *path, int64_t S, const kr_bench_options *opt);

#ifdef __cplusplus
}
#endif
#endif
