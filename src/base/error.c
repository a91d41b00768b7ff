/* error.c - the per-thread sentence behind kr_error(). */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char message[1024];

kr_status kr_fail(kr_status st, const char *fmt, ...) {
    char text[sizeof message]; /* an argument may be kr_error() itself */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof message);
    return st;
}

kr_status kr_fail_in(kr_status st, const char *prefix) { return kr_fail(st, "%s: %s", prefix, message); }

const char *kr_error(void) { return message; }

const char *kr_status_text(kr_status st) {
    switch (st) {
#define X(name, value, text) case KR_##name: return text;
        KR_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

void kr_panic(const char *file, int line, const char *what) {
    fprintf(stderr, "krait: %s:%d: broken promise: %s\n", file, line, what);
    abort();
}
