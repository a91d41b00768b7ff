/* words.h - lines of words, for the decoder of tables. */
#ifndef KR_DATA_WORDS_H
#define KR_DATA_WORDS_H
#include "data/decode.h"

/* Is this .txt no table, but lines of words?  The first line has spaces, and none of , ; tab. */
bool kr_words_are(const uint8_t *p, size_t n, const char *what);
kr_status kr_words_decode(kr_table *out, const uint8_t *p, size_t n, const char *what);
#endif
