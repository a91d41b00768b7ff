/* tokenizer.h - text to token ids and back, as the model's tokenizer.json says.
 *
 *     kr_tokenizer *t;
 *     kr_tokenizer_open(&t, "model");
 *     int64_t n = kr_tokenizer_encode(t, text, n_bytes, tok, cap);
 *
 * Read are Hugging Face's files of byte-level BPE (GPT-2, GPT-NeoX, Llama 3, Qwen 2).  The
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
/* The bytes of a token, as kr_token_text. */
KR_API const char *kr_tokenizer_text(const kr_tokenizer *t, int32_t tok, int64_t *n_bytes);
/* The id of a token by its text ("<|endoftext|>"); -1: there is none. */
KR_API int32_t kr_tokenizer_find(const kr_tokenizer *t, const char *text);
KR_API bool kr_tokenizer_is_special(const kr_tokenizer *t, int32_t tok);

#ifdef __cplusplus
}
#endif
#endif
