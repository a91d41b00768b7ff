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

/* dialect_hybrid.c: families of several kinds of layers, into an empty object.  The family's own
 * name, or NULL if there is none so called. */
const char *kr_hybrid_find(const char *type);
kr_status kr_hybrid_read(const json_t *json, const char *where, const char *type, json_t *own);

/* attn_layer_idx, attn_cfg and d_intermediate of state-spaces, where they say something. */
kr_status kr_state_spaces_layers(const json_t *json, const char *where, json_t *own);

/* Where a dialect's files call weights otherwise, or keep in several what we have in one (rows
 * one above the other).  ours: the start of a name, in full or as it goes on behind "layers.N."; the
 * first row counts whose first of theirs is in the file.
 *
 * "*" in theirs counts experts: the pieces of the first, then those of the second, ...  "#" in ours is the
 * number b of a block that several layers share; in theirs the b-th layer for which the file has it, as "@" is
 * the only one. */
typedef struct kr_name_row { const char *ours, *theirs[3]; } kr_name_row;
/* NULL: the names are ours.  *stem: what theirs have for our "backbone.". */
const kr_name_row *kr_dialect_names(const char *dialect, const char **stem);
#endif
