/* error.h - how a function inside Krait reports a failure.
 *
 * KR_FAIL records a sentence for the user and returns; KR_TRY passes a failure up.
 * The sentence is mandatory and says what was found and what was wanted. */
#ifndef KR_BASE_ERROR_H
#define KR_BASE_ERROR_H
#include "krait/status.h"

#ifdef __cplusplus
extern "C" {
#endif

kr_status kr_fail(kr_status st, const char *fmt, ...) KR_PRINTF(2, 3);
/* Puts "prefix: " before the sentence of a failure that is being passed up. */
kr_status kr_fail_in(kr_status st, const char *prefix);
__attribute__((noreturn)) void kr_panic(const char *file, int line, const char *what);

#ifdef __cplusplus
}
#endif

#define KR_FAIL(st, ...) return kr_fail((st), __VA_ARGS__)
#define KR_TRY(call)                          \
    do {                                      \
        kr_status kr_try_ = (call);           \
        if (kr_try_ != KR_OK) return kr_try_; \
    } while (0)

/* A broken promise inside the library, never a user's mistake. */
#define KR_ASSERT(e) ((e) ? (void)0 : kr_panic(__FILE__, __LINE__, #e))
#endif
