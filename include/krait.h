/* krait.h - selective state-space models from C: open, encode, feed, sample.
 *
 *     kr_model *m; kr_session *s; int32_t tok[512];
 *     if (kr_model_open(&m, "model", NULL) < 0) die(kr_error());
 *     if (kr_session_new(&s, m, NULL) < 0) die(kr_error());
 *     int64_t n = kr_encode(m, "The krait is", -1, tok, 512);
 *     kr_session_feed(s, tok, n);
 *     for (int32_t t; (t = kr_session_sample(s)) != KR_END; kr_session_feed(s, &t, 1))
 *         fputs(kr_token_text(m, t, NULL), stdout);
 *
 * Everywhere in Krait:
 *   - [S, L, V] is a shape: row major, last axis contiguous.  S sequences, L steps,
 *     V vocabulary, M model width, H heads, P head width, G groups, N state size;
 *   - a kr_status is KR_OK (0) or negative, and kr_error() then says why in words;
 *   - *out is set only on KR_OK; every _free takes NULL;
 *   - an options struct that is all zero asks for the defaults; NULL is all zero;
 *   - names end in _bytes, _s (seconds) or _tok where the unit is not plain; n_ starts a
 *     count;
 *   - a kr_model never changes once open, so threads may share it; any other object
 *     belongs to one thread at a time;
 *   - the library never prints, never exits and installs no signal handlers. */
#ifndef KRAIT_H
#define KRAIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "krait/status.h"

#ifdef __cplusplus
extern "C" {
#endif

KR_API const char *kr_version(void); /* "0.1.0" */

/* --- models ------------------------------------------------------------------------ */

typedef struct kr_model kr_model; /* weights and what to do with them */

typedef struct kr_model_options {
    const char *dtype; /* how matrices are held: "float32", "bfloat16", "q8_0", "q6_k", "q4_k", "q4_0" (scales and states stay
                          float32), on a CPU also "float16".  Default: on a CPU, and where they are in blocks, as the file has
                          them, else float32.  On a GPU activations are bfloat16 beside anything but float32 */
    const char *device; /* "cpu", "cuda", "cuda:N": where it runs; default "cpu".  On a GPU bfloat16
                           holds for activations too, and sessions of one model share one thread */
    bool mapped; /* on a CPU: weights in blocks stay in the file's map, too, where other processes share them and nothing is
                    read before it is used; products take up to twice as long */
    bool woven; /* on a CPU: weights in 16 and 32 bits are read, too, and arranged for products of few rows: for several
                   sequences at once, or long use */
    int64_t context; /* how many steps back attention sees while decoding, of hybrids; default: what the config says (cache_len, 2048) */
} kr_model_options;

/* Opens a folder with config.json and model.safetensors or pytorch_model.bin (or shards of either), as Hugging Face
 * and state-spaces publish them and kr_train writes them, or a GGUF file of llama.cpp's mamba or mamba2.  On a CPU
 * weights stay in the file, which is mapped: it must not be shortened while the model is open; but those in blocks are
 * read, and arranged as products take them, and so are small ones.
 * KR_ERR_IO, KR_ERR_FORMAT, KR_ERR_CONFIG, KR_ERR_NOMEM. */
KR_API kr_status kr_model_open(kr_model **out, const char *path, const kr_model_options *opt);
/* Writes a model that kr_model_open takes as config.json, model.safetensors and tokenizer.json in
 * Hugging Face's words, or, if `to` ends in ".gguf", as one such file; matrices as `dtype` ("float32",
 * "bfloat16", "float16", or rounded in blocks: "q8_0", "q6_k", "q4_k", "q4_0"), each file whole or
 * not at all.  KR_ERR_CONFIG: `to` is there already, or no GGUF says what the model is. */
KR_API kr_status kr_model_convert(const char *from, const char *to, const char *dtype);
/* Weights as q8_0, and inputs of a Mamba mixer's products in eight bits with fixed scales, by the recipe of Quamba
 * (docs/quantization.md): the model of `from` reads the text to see how large they get.  `to` is a new folder. */
typedef struct kr_w8a8_options {
    const char *text;   /* to calibrate with: like what will be read */
    int64_t n_bytes;    /* -1: up to the NUL */
    int64_t max_tok;    /* of it, at most; 0: 16384 */
    double percentile;  /* of the sizes of the scan's x: what is larger is cut off; 100: nothing is */
    bool no_hadamard;   /* out_proj's input is not rotated */
} kr_w8a8_options;
KR_API kr_status kr_model_quantize_w8a8(const char *from, const char *to, const kr_w8a8_options *opt);
/* Why llama.cpp would refuse the model as GGUF or answer otherwise; NULL: it answers the same. */
KR_API const char *kr_model_gguf_obstacle(const kr_model *m);
KR_API void kr_model_free(kr_model *m); /* after its sessions */
KR_API int64_t kr_model_vocab_size(const kr_model *m);

/* What a model is and takes, in bytes, for a batch of S rows of L steps. */
typedef struct kr_model_info {
    const char *dialect;    /* of its config: "mamba2", "state-spaces", "krait", ... */
    const char *encoder, *order, *mixer, *head;
    int64_t d_model, n_layer, vocab_size, n_params;
    bool causal;            /* can be run step by step */
    int64_t weights_bytes;
    int64_t state_bytes;    /* of one sequence while decoding; does not grow */
    int64_t S, L;           /* what the rest is for */
    int64_t gradients_bytes, optimizer_bytes;
    int64_t train_activations_bytes, train_saved_bytes, train_gradients_bytes, train_scratch_bytes; /* by kind; scratch of one op */
    int64_t train_block_bytes, train_inputs_bytes;                             /* as really taken; the block holds all of these */
    int64_t infer_block_bytes;
    int64_t context;        /* see kr_model_context; state_bytes is with it ... */
    int64_t context_bytes;  /* ... and one step more of it is so many bytes more */
    char format[16];        /* of the weights: "safetensors", "pytorch", "gguf"; "" if there are none beside the config */
    int64_t n_tensors, stored_bytes; /* in them */
    struct { const char *dtype; int64_t n_tensors, n_bytes; } stored[8]; /* by type, the most bytes first; dtype NULL ends */
} kr_model_info;
/* From a folder, a GGUF file, or from the text of a config.json; takes no memory for the model itself.
 * `context` as of kr_model_options; `recompute` keeps only the inputs of layers while training. */
KR_API kr_status kr_model_describe_file(kr_model_info *info, const char *path, int64_t S, int64_t L, int64_t context, bool recompute);

/* How many steps back its attention sees while decoding: what is further back counts by the scans' states alone.  0: there is no
 * attention, or one of a window that the model was trained with. */
KR_API int64_t kr_model_context(const kr_model *m);

/* The i-th parameter: its name, its shape (n_dims sizes in dim[6]) and whether weight decay
 * applies; false past the last. */
KR_API bool kr_model_param(const kr_model *m, int64_t i, const char **name, int *n_dims, int64_t dim[6], bool *decays);

/* --- text and tokens ------------------------------------------------------------------- */

/* Text to token ids.  n_bytes < 0: up to the zero byte.  Returns how many ids the text has
 * and writes at most cap of them, so a second call can make room.  Negative: a kr_status
 * (KR_ERR_MISSING: the model has no tokenizer that Krait reads). */
KR_API int64_t kr_encode(const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap);
/* The same for a text that goes on from one that was read: no start token stands before it. */
KR_API int64_t kr_encode_on(const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap);
/* How many of n bytes are whole UTF-8 characters; up to 3 behind them may be the start of one
 * that the next token ends.  Shows text while it is written without cutting characters. */
KR_API int64_t kr_utf8_whole(const char *bytes, int64_t n);
/* The bytes of one token, zero terminated, *n_bytes of them (may be NULL); lives as long as
 * the model.  NULL for an id without text. */
KR_API const char *kr_token_text(const kr_model *m, int32_t tok, int64_t *n_bytes);

/* --- sessions: one sequence being read and continued ----------------------------------- */

typedef struct kr_session kr_session;

struct kr_sampler_options;   /* krait/infer.h */
typedef struct kr_session_options {
    float temperature;    /* 0: always the likeliest token */
    int64_t top_k;        /* of the likeliest; 0: all */
    float top_p;          /* smallest set of at least this probability; 0: all */
    float min_p;          /* at least this share of the likeliest one's probability; 0: all */
    float repetition_penalty; /* probabilities of tokens seen before are divided by this; 0 or 1: off */
    uint64_t seed;        /* same seed, same text, on any number of threads */
    int64_t prefill_tok;  /* tokens read at once; default 512 */
    int n_threads;        /* default: all cores this process may use */
    const struct kr_sampler_options *sampler; /* all there is to choose; if set, the six above are not read */
    const char *state_dtype; /* how SSM states are stored on a GPU: "float32" (default), "bfloat16", "float16" */
} kr_session_options;

/* All memory a session ever needs is taken here; no later call can run out. */
KR_API kr_status kr_session_new(kr_session **out, const kr_model *m, const kr_session_options *opt);
KR_API void kr_session_free(kr_session *s);

/* Reads n tokens, at any length, in memory that does not grow.
 * KR_ERR_ARG: an id outside [0, V). */
KR_API kr_status kr_session_feed(kr_session *s, const int32_t *tok, int64_t n);
/* The next token by the session's options, or KR_END after the model's own end of text.
 * Reads at least one token before. */
KR_API int32_t kr_session_sample(kr_session *s);
enum { KR_END = -1 };
/* Scores of the next token, float [V]; valid until the next feed. */
KR_API const float *kr_session_logits(const kr_session *s);
KR_API int64_t kr_session_n_tok(const kr_session *s); /* fed so far */
/* Back to the start, as new. */
KR_API void kr_session_reset(kr_session *s);
/* The whole state (and the position of the sampler) to a file and back: the sequence goes
 * on bit for bit.  A file of another model is refused (KR_ERR_FORMAT). */
KR_API kr_status kr_session_save(const kr_session *s, const char *path);
KR_API kr_status kr_session_load(kr_session *s, const char *path);
KR_API int64_t kr_session_state_bytes(const kr_session *s); /* constant */

/* --- evaluation ---------------------------------------------------------------------------- */

typedef struct kr_eval_result {
    int64_t n_tok, n_bytes;  /* scored */
    double loss;             /* mean negative log likelihood, nats per token */
    double perplexity, bits_per_byte, seconds;
} kr_eval_result;
/* Scores a text (bytes in memory) as one document, in windows of L with carried state. */
KR_API kr_status kr_eval_text(const kr_model *m, const char *text, int64_t n_bytes, int64_t L, kr_eval_result *out);

#ifdef __cplusplus
}
#endif
#endif
