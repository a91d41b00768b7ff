/* str.c - text that grows by doubling. */
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Room for n more bytes and the zero behind them. */
static bool reserve(kr_str *s, size_t n) {
    if (s->failed) return false;
    if (s->room - s->n > n) return true; /* room counts the zero, so it is > s->n once there is any */
    size_t want = s->room < 64 ? 64 : s->room;
    while (want - s->n <= n && want <= SIZE_MAX / 2) want *= 2;
    char *text = want - s->n > n ? kr_mem_resize(s->text, want) : NULL;
    if (!text) {
        s->failed = true;
        return false;
    }
    s->text = text;
    s->room = want;
    return true;
}

void kr_str_append_n(kr_str *s, const void *bytes, size_t n) {
    if (!reserve(s, n)) return;
    if (n) memcpy(s->text + s->n, bytes, n);
    s->n += n;
    s->text[s->n] = 0;
}

void kr_str_append(kr_str *s, const char *text) { kr_str_append_n(s, text, strlen(text)); }

void kr_str_append_char(kr_str *s, char c) { kr_str_append_n(s, &c, 1); }

void kr_str_vappendf(kr_str *s, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0) s->failed = true;
    else if (reserve(s, (size_t)n)) {
        vsnprintf(s->text + s->n, (size_t)n + 1, fmt, again);
        s->n += (size_t)n;
    }
    va_end(again);
}

void kr_str_appendf(kr_str *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    kr_str_vappendf(s, fmt, ap);
    va_end(ap);
}

void kr_str_append_json(kr_str *s, const char *text) {
    kr_str_append_char(s, '"');
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') kr_str_appendf(s, "\\%c", c);
        else if (c == '\n') kr_str_append(s, "\\n");
        else if (c == '\t') kr_str_append(s, "\\t");
        else if (c < 0x20 || c == 0x7f) kr_str_appendf(s, "\\u%04x", c);
        else kr_str_append_char(s, *p);
    }
    kr_str_append_char(s, '"');
}

void kr_str_cut(kr_str *s, size_t n) {
    if (n >= s->n) return;
    s->n = n;
    s->text[n] = 0;
}

const char *kr_str_text(const kr_str *s) { return s->text ? s->text : ""; }

kr_status kr_str_status(const kr_str *s) {
    if (s->failed) KR_FAIL(KR_ERR_NOMEM, "out of memory: a text of more than %zu bytes", s->n);
    return KR_OK;
}

char *kr_str_take(kr_str *s) {
    if (!s->failed && !s->text) reserve(s, 0); /* "" is a text too: fresh memory is zero */
    char *text = s->failed ? NULL : s->text;
    if (s->failed) kr_mem_free(s->text);
    *s = (kr_str){0};
    return text;
}

void kr_str_free(kr_str *s) {
    kr_mem_free(s->text);
    *s = (kr_str){0};
}
