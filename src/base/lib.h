/* lib.h - libraries that few need, opened by who first does: nobody else waits for them or holds their memory.
 *
 *     #define CALLS(_) _(open_virtual) _(readf_float) _(close)
 *     #define FIELD(f) __typeof__(sf_##f) *f;
 *     #define NAME(f) "sf_" #f "\0"
 *     static struct { CALLS(FIELD) } sf;
 *     KR_TRY(kr_lib_open(&sf, sizeof sf, KR_LIB_SNDFILE, CALLS(NAME)));  ...  sf.close(s);
 *
 * KR_LIB_X is the name that the build found the library under, with the version of its interface. */
#ifndef KR_BASE_LIB_H
#define KR_BASE_LIB_H
#include <stddef.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills a table of pointers, zero at first, with the functions of `names`, a zero byte behind each.  Any thread may call it, any
 * number of times.  KR_ERR_MISSING says what is not there. */
kr_status kr_lib_open(void *table, size_t bytes, const char *file, const char *names);

#ifdef __cplusplus
}
#endif
#endif
