/* unicode.h - UTF-8, the classes of characters that tokenizers ask for, and NFC.
 *
 * The versions of Unicode are those of the Hugging Face package `tokenizers`: 16 for classes, 9 for NFC. */
#ifndef KR_TEXT_UNICODE_H
#define KR_TEXT_UNICODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef enum kr_char_class { KR_CHAR_OTHER, KR_CHAR_LOWER, KR_CHAR_UPPER, KR_CHAR_LETTER, KR_CHAR_NUMBER, KR_CHAR_MARK, KR_CHAR_SPACE } kr_char_class;

/* cp below 0x110000. */
kr_char_class kr_char_class_of(uint32_t cp);
bool kr_char_is_punctuation(uint32_t cp);
/* The character at p of valid UTF-8, and its length in *n. */
uint32_t kr_utf8_get(const unsigned char *p, int *n);
void kr_utf8_put(kr_str *to, uint32_t cp);
/* How many of the n bytes are valid UTF-8 from the start on. */
size_t kr_utf8_valid(const void *bytes, size_t n);
/* How many bytes at the end start a character that more bytes could complete: 0 to 3. */
int kr_utf8_open(const void *bytes, size_t n);
/* Appends the bytes with U+FFFD for each piece that is no UTF-8, cut as Python's errors="replace" cuts. */
void kr_utf8_repair(kr_str *to, const void *bytes, size_t n);
/* Is valid UTF-8 in NFC already?  True may be answered only if it is. */
bool kr_nfc_surely(const void *bytes, size_t n);
/* Appends the NFC of valid UTF-8.  KR_ERR_NOMEM. */
kr_status kr_nfc(kr_str *to, const void *bytes, size_t n);
#endif
