/* safetensors_read.c - from a tensor in a file to numbers in memory.
 *
 * Data in a map need not be aligned, so it passes through a small buffer that is. */
#include <string.h>

#include "base/file.h"
#include "model/safetensors.h"

enum { STEP = 2048 }; /* elements at a time */

static int float_dtype(const kr_st_tensor *t) { /* -1: not one that kr_convert takes */
    if (t->block) return t->block;
    switch (t->dtype) {
    case KR_ST_F32: return KR_F32;
    case KR_ST_F64: return KR_F64;
    case KR_ST_BF16: return KR_BF16;
    case KR_ST_F16: return KR_F16;
    default: return -1;
    }
}

static size_t int_bytes(kr_st_dtype t) { /* 0: no integer */
    switch (t) {
    case KR_ST_BOOL: case KR_ST_U8: case KR_ST_I8: return 1;
    case KR_ST_I16: case KR_ST_U16: return 2;
    case KR_ST_I32: case KR_ST_U32: return 4;
    case KR_ST_I64: case KR_ST_U64: return 8;
    default: return 0;
    }
}

/* Element i of an integer tensor; a U64 beyond int64 comes out negative, which never fits either. */
static int64_t get_int(const unsigned char *p, kr_st_dtype t, size_t width) {
    uint64_t x = 0;
    memcpy(&x, p, width);
    switch (t) {
    case KR_ST_BOOL: return x != 0;
    case KR_ST_I8: return (int8_t)x;
    case KR_ST_I16: return (int16_t)x;
    case KR_ST_I32: return (int32_t)x;
    case KR_ST_U64: return x > INT64_MAX ? INT64_MAX : (int64_t)x;
    default: return (int64_t)x;
    }
}

static kr_status read_ints(const kr_st_tensor *t, int64_t first, int64_t count, int32_t *to) {
    size_t width = int_bytes(t->dtype);
    const unsigned char *from = (const unsigned char *)t->data + (size_t)first * width;
    for (int64_t i = 0; i < count; i++, from += width) {
        int64_t x = get_int(from, t->dtype, width);
        if (x != (int32_t)x)
            KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: element %lld is %lld, want one that fits int32", t->file, t->name,
                    (long long)(first + i), (long long)x);
        to[i] = (int32_t)x;
    }
    return KR_OK;
}

static void read_floats(const kr_st_tensor *t, kr_dtype from, int64_t first, int64_t count, kr_dtype type, char *to) {
    double aligned[STEP];
    const char *data = (const char *)t->data + kr_dtype_row_bytes(from, first);
    if (from == type) {
        if (count) memcpy(to, data, kr_dtype_row_bytes(from, count));
        return;
    }
    for (int64_t i = 0; i < count; i += STEP) {
        int64_t n = count - i < STEP ? count - i : STEP;
        memcpy(aligned, data + kr_dtype_row_bytes(from, i), kr_dtype_row_bytes(from, n));
        kr_convert(to + kr_dtype_row_bytes(type, i), type, aligned, from, n);
    }
}

kr_status kr_st_read_part(const kr_st_tensor *t, int64_t first, int64_t count, kr_dtype type, void *to) {
    int from = float_dtype(t);
    if (first < 0 || count < 0 || first > t->count || count > t->count - first)
        KR_FAIL(KR_ERR_ARG, "%s: tensor %.200s: %lld elements from %lld on are wanted, it has %lld", t->file, t->name,
                (long long)count, (long long)first, (long long)t->count);
    if (type == KR_I32 && !t->block && int_bytes(t->dtype)) return read_ints(t, first, count, to);
    if (type == KR_I32 || from < 0)
        KR_FAIL(KR_ERR_DTYPE, "%s: tensor %.200s is %s, which cannot be read as %s", t->file, t->name,
                kr_st_dtype_text(t->dtype), kr_dtype_text(type));
    int64_t ours = kr_dtype_block(type), theirs = kr_dtype_block((kr_dtype)from);
    if (first % theirs || count % theirs || count % ours)
        KR_FAIL(KR_ERR_ARG, "%s: tensor %.200s: %lld elements from %lld on are no whole blocks of %s", t->file, t->name, (long long)count,
                (long long)first, kr_dtype_text(theirs > 1 ? (kr_dtype)from : type));
    read_floats(t, (kr_dtype)from, first, count, type, to);
    return KR_OK;
}

void kr_st_forget(const kr_st *st, const kr_st_tensor *t, int64_t first, int64_t count) {
    int from = float_dtype(t);
    if (from < 0 || !kr_st_maps(st, t->data)) return;
    kr_file_forget((const char *)t->data + kr_dtype_row_bytes((kr_dtype)from, first), kr_dtype_row_bytes((kr_dtype)from, count));
}

kr_status kr_st_read(const kr_st *st, const char *name, int n_dims, const int64_t *dim, kr_dtype type, void *to) {
    const kr_st_tensor *t;
    KR_TRY(kr_st_want(&t, st, name, n_dims, dim));
    return kr_st_read_part(t, 0, t->count, type, to);
}

kr_status kr_st_read_f32(const kr_st *st, const char *name, int n_dims, const int64_t *dim, float *to) {
    return kr_st_read(st, name, n_dims, dim, KR_F32, to);
}
