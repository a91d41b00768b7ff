/* zip.h - the members of a ZIP archive, one behind the other, as their own headers have them.
 *
 * An archive that gives sizes behind the data is refused, as is an encrypted one. */
#ifndef KR_DATA_ZIP_H
#define KR_DATA_ZIP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct kr_zip { const uint8_t *p; size_t n, at; const char *what; } kr_zip; /* at 0: before the first */
typedef struct kr_zip_member { const char *name; size_t n_name; const uint8_t *packed; size_t n_packed, n_plain, method; } kr_zip_member; /* the name has no zero byte behind it */

bool kr_zip_is(const uint8_t *p, size_t n);
/* *more: there was one.  KR_ERR_FORMAT names `what`. */
kr_status kr_zip_next(kr_zip *z, kr_zip_member *m, bool *more);
/* The bytes of a member and a zero byte behind them; the caller frees. */
kr_status kr_zip_unpack(const kr_zip_member *m, uint8_t **out, size_t *n, const char *what);
bool kr_zip_name_ends(const kr_zip_member *m, const char *end);
#endif
