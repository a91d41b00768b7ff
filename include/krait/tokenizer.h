/* tokenizer.h - text to token ids and back, as the model's tokenizer.json says.
 *
 *     kr_tokenizer *t;
 *     kr_tokenizer_open(&t, "model");
 *     int64_t n = kr_tokenizer_encode(t, text, n_bytes, tok, cap);
 *
 * Read are Hugging Face's files of byte-level BPE (GPT-2, GPT-NeoX, Llama 3, Qwen 2, Falcon).  The
 * ids are those of the Python package `tokenizers`; bytes that are no UTF-8 are taken as
 * Python's bytes.decode(errors="replace") takes them, U+FFFD for each such piece. */
#ifndef KRAIT_TOKENIZER_H
#define KRAIT_TOKENIZER_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_tokenizer kr_tokenizer; /* never changes once open: threads may share it */

/* A tokenizer.json, or a folder with one.  KR_ERR_IO, KR_ERR_FORMAT (the sentence names what
 * is wrong or what Krait does not read), KR_ERR_NOMEM. */
KR_API kr_status kr_tokenizer_open(kr_tokenizer **out, const char *path);
KR_API void kr_tokenizer_free(kr_tokenizer *t);
/* Writes the file that it was opened from, as it was. */
KR_API kr_status kr_tokenizer_save(const kr_tokenizer *t, const char *path);
/* One more than the largest id. */
KR_API int64_t kr_tokenizer_size(const kr_tokenizer *t);
/* As kr_encode: how many ids the text has, of which at most cap are written; negative: a
 * kr_status.  Special tokens are found in the text; what the post-processor adds around a
 * text (a start of Llama 3's) is added. */
KR_API int64_t kr_tokenizer_encode(const kr_tokenizer *t, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap);
/* A text that goes on from one that was read: nothing is added around it. */
KR_API int64_t kr_tokenizer_encode_on(const kr_tokenizer *t, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap);
/* The bytes of a token, as kr_token_text. */
KR_API const char *kr_tokenizer_text(const kr_tokenizer *t, int32_t tok, int64_t *n_bytes);
/* The id of a token by its text ("<|endoftext|>"); -1: there is none. */
KR_API int32_t kr_tokenizer_find(const kr_tokenizer *t, const char *text);
KR_API bool kr_tokenizer_is_special(const kr_tokenizer *t, int32_t tok);

/* --- a new one ------------------------------------------------------------------------- */

typedef struct kr_tokenizer_options {
    int64_t vocab_size;      /* tokens in all; default 8192 */
    int64_t min_count;       /* pairs that occur less often are not merged; default 2 */
    const char *split;       /* pre-tokeniser: "gpt2" (default; GPT-NeoX's too), "llama3", "qwen2" */
    bool nfc;                /* normalise first, as GPT-NeoX does */
    const char *const *special; /* texts of special tokens; they get the first ids */
    int n_special;
    int n_threads;           /* default: all cores this process may use */
    /* Called now and then from the calling thread: done of `of` "texts", then "merges". */
    void (*progress)(void *user, const char *what, int64_t done, int64_t of);
    void *user;
} kr_tokenizer_options;

/* Learns a byte-level BPE vocabulary from files and folders ("-": standard input), the pair
 * that occurs most often first, of equals the one of smaller ids, as Hugging Face's trainer
 * does.  The same texts give the same file, on any number of threads.
 * KR_ERR_ARG, KR_ERR_IO, KR_ERR_NOMEM. */
KR_API kr_status kr_tokenizer_train(kr_tokenizer **out, const char *const *path, int n_paths, const kr_tokenizer_options *opt);

#ifdef __cplusplus
}
#endif
#endif
