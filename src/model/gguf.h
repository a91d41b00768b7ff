/* gguf.h - GGUF, the one-file format of llama.cpp; for this folder only.
 *
 * A file is "GGUF", a version (2 or 3), two counts, that many keys with typed values, that
 * many descriptions of tensors, then the tensors' bytes, each aligned.  Sizes of a tensor
 * stand innermost first there, as everywhere else here.  Every byte is checked before it is
 * used; what we get points into the file. */
#ifndef KR_MODEL_GGUF_H
#define KR_MODEL_GGUF_H
#include "base/json.h"
#include "base/mem.h"
#include "model/model.h"
#include "model/safetensors.h"

typedef enum kr_gguf_kind {
    KR_GGUF_U8, KR_GGUF_I8, KR_GGUF_U16, KR_GGUF_I16, KR_GGUF_U32, KR_GGUF_I32, KR_GGUF_F32, KR_GGUF_BOOL, KR_GGUF_TEXT, KR_GGUF_ARRAY,
    KR_GGUF_U64, KR_GGUF_I64, KR_GGUF_F64, KR_GGUF_N_KIND
} kr_gguf_kind;

typedef struct kr_gguf_pair {
    const char *key;
    kr_gguf_kind kind, of;       /* of: what an array holds */
    uint64_t n;                  /* elements of an array, bytes of a text */
    const unsigned char *data;   /* of a text or an array: its first byte or element */
} kr_gguf_pair;

typedef struct kr_gguf_tensor {
    const char *name;
    kr_dtype dtype;
    int n_dims;
    int64_t dim[4], count;       /* row major, as ours */
    const void *data;
    size_t n_bytes;
} kr_gguf_tensor;

typedef struct kr_gguf {
    const char *name;            /* of the file, for messages */
    kr_gguf_pair *pair;          /* sorted by key */
    kr_gguf_tensor *tensor;      /* sorted by name */
    size_t n_pairs, n_tensors;
} kr_gguf;

/* --- gguf.c: the container ------------------------------------------------------------- */

bool kr_gguf_is(const void *file, size_t n_bytes);
/* Tables in the arena.  KR_ERR_FORMAT, KR_ERR_NOMEM. */
kr_status kr_gguf_read(kr_gguf *g, kr_arena *arena, const void *file, size_t n_bytes, const char *name);
const kr_gguf_pair *kr_gguf_find(const kr_gguf *g, const char *key); /* NULL if there is none */
/* A whole number, a real one or a bool; false (and *out as it was) if there is none so called. */
bool kr_gguf_int(const kr_gguf *g, const char *key, int64_t *out);
bool kr_gguf_real(const kr_gguf *g, const char *key, double *out);
/* The next text of an array of them, whose data *p walks. */
const char *kr_gguf_next_text(const unsigned char **p, size_t *n);
int kr_gguf_type_of(kr_dtype t); /* its number in the format */

/* --- gguf_model.c: llama.cpp's mamba and mamba2 ------------------------------------------ */

/* The file's tensors as Hugging Face's: names, shapes and A_log.  For safetensors.c. */
kr_status kr_gguf_tensors(kr_arena *arena, const void *file, size_t n_bytes, const char *name, kr_st_tensor **tensor, size_t *n_tensors);
/* The config (new reference; in Krait's dialect) and the tokenizer (NULL: none; why not read, in `reason`). */
kr_status kr_gguf_config(json_t **config, const char *path);
kr_status kr_gguf_tokenizer(kr_tokenizer **t, char *reason, size_t size, const char *path);
/* Ours and theirs: "mixer.in_proj.weight" and "ssm_in.weight". */
typedef struct kr_gguf_name { const char *ours, *theirs; } kr_gguf_name;
const kr_gguf_name *kr_gguf_names(bool two, bool of_layer); /* ended by NULL */

/* --- gguf_write.c -------------------------------------------------------------------------- */

kr_status kr_gguf_save(const kr_model *m, const char *path, kr_dtype dtype);
/* Why llama.cpp would not load it or answer otherwise; NULL if it answers the same. */
const char *kr_gguf_obstacle(const kr_model *m);
#endif
