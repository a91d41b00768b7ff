/* stops.h - text as it is shown: never half a character, never part of a stop string. */
#ifndef KR_INFER_STOPS_H
#define KR_INFER_STOPS_H
#include <stdint.h>

#include "base/str.h"

typedef struct kr_stops {
    char **stop;
    size_t *length;
    int64_t n;
    kr_str held; /* what may still become a stop string, or a character */
    const char *found;  /* the stop string that is there, once one is; NULL */
    kr_str beyond;      /* what came behind it, with the same bytes: whole characters */
} kr_stops;

/* Copies the strings.  KR_ERR_ARG: one is empty, or there are more than 64 or longer ones than 4096 bytes. */
kr_status kr_stops_open(kr_stops *s, const char *const *stop, int64_t n);
void kr_stops_close(kr_stops *s);
/* Adds bytes and appends to `out` what can be shown; true: a stop string is there, and `out`
 * has what was before it. */
bool kr_stops_put(kr_stops *s, const char *bytes, size_t n, kr_str *out);
/* The end of the text: the rest, as it is. */
void kr_stops_flush(kr_stops *s, kr_str *out);
#endif
