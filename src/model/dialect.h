/* dialect.h - other people's config.json, as Krait's own and back; for this folder only. */
#ifndef KR_MODEL_DIALECT_H
#define KR_MODEL_DIALECT_H
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

/* Sets *own (new reference) to the same model in Krait's dialect and *dialect to its name. */
kr_status kr_dialect_read(const json_t *json, const char *where, json_t **own, const char **dialect);
/* Krait's dialect in Hugging Face's words; *out is NULL where those cannot say the same. */
kr_status kr_dialect_write(const json_t *own, json_t **out);
#endif
