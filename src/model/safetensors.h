/* safetensors.h - the tensors of a model on disk, as Hugging Face writes them.
 *
 * A file is 8 bytes of header length, a JSON header {"name": {"dtype", "shape",
 * "data_offsets"}, ..., "__metadata__": {...}}, then the bytes of all tensors without
 * gaps.  A reader maps the file: opening a model of any size costs its header alone.
 * A model may be cut into shards, listed by model.safetensors.index.json.
 *
 * The format has no blocks of numbers (tensor/quant.h).  A matrix [N, K] of such stands as U8
 * [N, bytes of a row], and "__metadata__" holds its name with the type: {"a.weight": "q8_0"}.
 * Here it is [N, K] again, and `block` tells.
 *
 * Every byte of a file is checked before it is used.  Names hold no control characters. */
#ifndef KR_MODEL_SAFETENSORS_H
#define KR_MODEL_SAFETENSORS_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KR_ST_MAX_DIMS = 8 };

/* X(name, bits of one element): every dtype of the format. */
#define KR_ST_DTYPE_MAP(X)                                                                       \
    X(BOOL, 8) X(U8, 8) X(I8, 8) X(F8_E5M2, 8) X(F8_E4M3, 8) X(F8_E8M0, 8) X(I16, 16) X(U16, 16) \
    X(F16, 16) X(BF16, 16) X(I32, 32) X(U32, 32) X(F32, 32) X(F64, 64) X(I64, 64) X(U64, 64)     \
    X(C64, 64) X(F4, 4) X(F6_E2M3, 6) X(F6_E3M2, 6)
typedef enum kr_st_dtype {
#define X(name, bits) KR_ST_##name,
    KR_ST_DTYPE_MAP(X)
#undef X
    KR_ST_N_DTYPE
} kr_st_dtype;
const char *kr_st_dtype_text(kr_st_dtype t); /* "F32" */
/* The file's name for one of our dtypes. */
kr_st_dtype kr_st_dtype_of(kr_dtype t);

typedef struct kr_st_tensor {
    const char *name, *file;     /* the file it lies in, for messages */
    kr_st_dtype dtype;
    kr_dtype block;              /* KR_Q8_0, ...: U8 that holds these; KR_F32: what dtype says */
    int n_dims;                  /* 0: one number */
    int64_t dim[KR_ST_MAX_DIMS], count;
    const void *data;            /* in the map, not always aligned: read with kr_st_read */
    size_t n_bytes;
} kr_st_tensor;

/* --- reading ------------------------------------------------------------------ */

typedef struct kr_st kr_st;

/* A .safetensors file, an .index.json, or a folder that holds model.safetensors or
 * model.safetensors.index.json, or pytorch_model.bin or its index.  Shards lie beside their
 * index.  A PyTorch checkpoint (a zip) is known by its first bytes and read by torch.c. */
kr_status kr_st_open(kr_st **st, const char *path);
const char *kr_st_format(const kr_st *st); /* "safetensors", "pytorch", "gguf" */
void kr_st_close(kr_st *st); /* takes NULL; every tensor's data goes with it */

size_t kr_st_count(const kr_st *st);
const kr_st_tensor *kr_st_at(const kr_st *st, size_t i); /* in the order of names */
const kr_st_tensor *kr_st_find(const kr_st *st, const char *name); /* NULL if there is none */
/* The same, and a sentence (KR_ERR_MISSING, KR_ERR_SHAPE) unless it is there in this shape. */
kr_status kr_st_want(const kr_st_tensor **t, const kr_st *st, const char *name, int n_dims, const int64_t *dim);
/* A string of "__metadata__", from the first shard that has it; NULL if none does. */
const char *kr_st_metadata(const kr_st *st, const char *key);
/* The i-th pair of all shards together; false past the last. */
bool kr_st_metadata_at(const kr_st *st, size_t i, const char **key, const char **value);

/* Reads a tensor of just this shape into contiguous memory, converted.  Any of F32, F64,
 * BF16, F16 and blocks becomes any other (of blocks: whole ones); to KR_I32 goes any integer or bool whose values fit. */
kr_status kr_st_read(const kr_st *st, const char *name, int n_dims, const int64_t *dim, kr_dtype type, void *to);
kr_status kr_st_read_f32(const kr_st *st, const char *name, int n_dims, const int64_t *dim, float *to);
/* Is that in one of its mapped files? */
bool kr_st_maps(const kr_st *st, const void *data);
/* Elements that will not be read again soon: their memory is the system's. */
void kr_st_forget(const kr_st *st, const kr_st_tensor *t, int64_t first, int64_t count);
/* The same as kr_st_read for count elements from the first-th on, of a tensor already found. */
kr_status kr_st_read_part(const kr_st_tensor *t, int64_t first, int64_t count, kr_dtype type, void *to);

/* --- writing ------------------------------------------------------------------ */

/* Names the tensors first, then writes them all at once and atomically.  Sources are not
 * copied: they must stay where they are until the save. */
typedef struct kr_st_writer kr_st_writer;
kr_status kr_st_writer_new(kr_st_writer **w);
void kr_st_writer_free(kr_st_writer *w); /* takes NULL */
/* A contiguous tensor, stored as `as`: its own dtype, or another of F32, F64, BF16, F16
 * and the block types when it is one of these. */
kr_status kr_st_writer_add(kr_st_writer *w, const char *name, const kr_tensor *from, kr_dtype as);
/* Any dtype of the format, as it is: another file's tensor, say.  `file` is not used. */
kr_status kr_st_writer_add_raw(kr_st_writer *w, const kr_st_tensor *t);
kr_status kr_st_writer_metadata(kr_st_writer *w, const char *key, const char *value);
/* Can be asked again, for another path or when the values have changed. */
kr_status kr_st_writer_save(const kr_st_writer *w, const char *path);

#ifdef __cplusplus
}
#endif
#endif
