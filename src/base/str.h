/* str.h - text that grows.
 *
 * Zero-initialised is empty.  The first allocation that fails sticks: later calls do
 * nothing, so text is built without checks and kr_str_status asked once at the end. */
#ifndef KR_BASE_STR_H
#define KR_BASE_STR_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_str {
    char *text;      /* ends with a zero byte; NULL while empty: kr_str_text never is */
    size_t n, room;
    bool failed;
} kr_str;

void kr_str_append(kr_str *s, const char *text);
void kr_str_append_n(kr_str *s, const void *bytes, size_t n);
void kr_str_append_char(kr_str *s, char c);
void kr_str_appendf(kr_str *s, const char *fmt, ...) KR_PRINTF(2, 3);
void kr_str_vappendf(kr_str *s, const char *fmt, va_list ap);
/* "text" in quotes, escaped as JSON wants it; bytes above 127 pass as they are. */
void kr_str_append_json(kr_str *s, const char *text);
/* Cuts back to n bytes (no more than there are); keeps the room and the failure. */
void kr_str_cut(kr_str *s, size_t n);

/* The text so far, "" if there is none.  Valid until the next call that grows it. */
const char *kr_str_text(const kr_str *s);
/* KR_ERR_NOMEM if anything was lost. */
kr_status kr_str_status(const kr_str *s);
/* Hands the text over (kr_mem_free it) and leaves s empty; NULL if anything was lost. */
char *kr_str_take(kr_str *s);
void kr_str_free(kr_str *s);

#ifdef __cplusplus
}
#endif
#endif
