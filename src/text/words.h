/* words.h - how often each word of a text occurs: what a new vocabulary is learnt from. */
#ifndef KR_TEXT_WORDS_H
#define KR_TEXT_WORDS_H
#include "base/str.h"
#include "text/tokenizer.h"

typedef struct kr_word { uint64_t at; int64_t count; uint32_t n, hash; } kr_word;

/* Zero-initialised is empty.  Word i is n bytes of `bytes` from `at` on. */
typedef struct kr_words {
    kr_str bytes;
    kr_word *word;
    size_t n, room;
    uint32_t *slot; /* hash to a word's index + 1 */
    size_t n_slots;
} kr_words;

/* Counts the words that the tokenizer's normaliser and pre-tokeniser cut a text into; its
 * added tokens are left out.  The counts do not depend on n_threads, the order of words may. */
kr_status kr_words_count(kr_words *w, const kr_tokenizer *t, const void *text, size_t n, int n_threads);
void kr_words_free(kr_words *w);
#endif
