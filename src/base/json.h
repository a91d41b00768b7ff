/* json.h - JSON through jansson: loading with errors that name the file and the line.
 *
 * json_t and its functions are jansson's own; all its memory comes from base/mem.h. */
#ifndef KR_BASE_JSON_H
#define KR_BASE_JSON_H
#include <jansson.h>

#include "base/error.h"

/* The caller drops the value with json_decref.  KR_ERR_IO, KR_ERR_FORMAT, KR_ERR_NOMEM. */
kr_status kr_json_load(json_t **out, const char *path);
/* `what` names the text in errors. */
kr_status kr_json_parse(json_t **out, const char *text, size_t n_bytes, const char *what);
#endif
