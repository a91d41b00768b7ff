/* safetensors.c - reading: header to a sorted table, table to tensors. */
#include "model/safetensors.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/gguf.h"
#include "model/torch.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian and so must be the machine");

enum { MAX_HEADER = 100000000, MAX_SHARDS = 10000 }; /* the first is the format's own limit */
static const char METADATA[] = "__metadata__";

typedef struct pair { const char *key, *value; } pair;

/* One file. */
typedef struct shard {
    const char *path, *name;  /* name: as the index gives it, or the path */
    const void *map;
    size_t map_bytes;
    kr_st_tensor *tensor;     /* sorted by name */
    size_t n_tensors;
    pair *meta;
    size_t n_meta;
} shard;

struct kr_st {
    kr_arena arena;           /* names and tables */
    const char *path;         /* as the caller gave it */
    shard *shard;
    size_t n_shards;
    kr_st_tensor *tensor;     /* the only shard's, or all that the index lists */
    size_t n_tensors;
};

/* --- dtypes ------------------------------------------------------------------- */

static const struct { const char *text; int bits; } dtypes[KR_ST_N_DTYPE] = {
#define X(name, bits) {#name, bits},
    KR_ST_DTYPE_MAP(X)
#undef X
};

const char *kr_st_dtype_text(kr_st_dtype t) { return dtypes[t].text; }

kr_st_dtype kr_st_dtype_of(kr_dtype t) {
    static const kr_st_dtype map[KR_N_DTYPE] = {[KR_F32] = KR_ST_F32, [KR_F64] = KR_ST_F64, [KR_BF16] = KR_ST_BF16,
                                                [KR_F16] = KR_ST_F16, [KR_I32] = KR_ST_I32, [KR_Q8_0] = KR_ST_U8,
                                                [KR_Q4_0] = KR_ST_U8, [KR_Q4_K] = KR_ST_U8, [KR_Q6_K] = KR_ST_U8};
    return map[t];
}

/* --- one entry of the header -------------------------------------------------- */

static int64_t int_of(const json_t *j) { /* -1 for what is no size */
    return json_is_integer(j) && json_integer_value(j) >= 0 ? json_integer_value(j) : -1;
}

static kr_status parse_dtype(kr_st_tensor *t, const json_t *entry) {
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    for (int i = 0; text && i < KR_ST_N_DTYPE; i++)
        if (strcmp(text, dtypes[i].text) == 0) {
            t->dtype = (kr_st_dtype)i;
            return KR_OK;
        }
    KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: dtype is %.40s, want one of the format's (F32, BF16, ...)", t->file, t->name,
            text ? text : "not a string");
}

static kr_status parse_shape(kr_st_tensor *t, const json_t *entry) {
    const json_t *shape = json_object_get(entry, "shape");
    size_t count, bits;
    if (!json_is_array(shape)) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: shape is not a list", t->file, t->name);
    if (json_array_size(shape) > KR_ST_MAX_DIMS)
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: shape has %zu sizes, want at most %d", t->file, t->name,
                json_array_size(shape), KR_ST_MAX_DIMS);
    t->n_dims = (int)json_array_size(shape);
    for (int i = 0; i < t->n_dims; i++) {
        t->dim[i] = int_of(json_array_get(shape, (size_t)i));
        if (t->dim[i] < 0) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: size %d of its shape is no size", t->file, t->name, i);
    }
    if (!kr_mul_size(&count, t->n_dims, t->dim) || count > INT64_MAX / 64)
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its shape holds more elements than memory could", t->file, t->name);
    bits = count * (size_t)dtypes[t->dtype].bits;
    if (bits % 8) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: %zu bits are not whole bytes", t->file, t->name, bits);
    t->count = (int64_t)count;
    t->n_bytes = bits / 8;
    return KR_OK;
}

static kr_status parse_offsets(kr_st_tensor *t, const json_t *entry, const char *data, size_t n_data) {
    const json_t *o = json_object_get(entry, "data_offsets");
    int64_t begin = int_of(json_array_get(o, 0)), end = int_of(json_array_get(o, 1));
    if (json_array_size(o) != 2 || begin < 0 || end < begin)
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: data_offsets are not [begin, end]", t->file, t->name);
    if ((uint64_t)end > n_data)
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its data ends at %lld, but the file holds %zu bytes of data", t->file, t->name,
                (long long)end, n_data);
    if ((uint64_t)(end - begin) != t->n_bytes)
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its data is %lld bytes, want %zu (%lld elements of %s)", t->file, t->name,
                (long long)(end - begin), t->n_bytes, (long long)t->count, dtypes[t->dtype].text);
    t->data = data + begin;
    return KR_OK;
}

/* A name goes into messages and paths of other programs: keep tricks out of them. */
static kr_status check_name(const char *name, const char *file) {
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) KR_FAIL(KR_ERR_FORMAT, "%s: a tensor's name holds a control character", file);
    return KR_OK;
}

static kr_status parse_tensor(kr_st *st, kr_st_tensor *t, const char *name, const json_t *entry, const char *data, size_t n_data) {
    KR_TRY(check_name(name, t->file));
    if (!(t->name = kr_arena_strdup(&st->arena, name))) return KR_ERR_NOMEM;
    if (!json_is_object(entry)) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s is not described by an object", t->file, t->name);
    KR_TRY(parse_dtype(t, entry));
    KR_TRY(parse_shape(t, entry));
    return parse_offsets(t, entry, data, n_data);
}

static kr_status parse_metadata(kr_st *st, shard *s, json_t *meta) {
    const char *key;
    json_t *value;
    if (json_is_null(meta)) return KR_OK; /* as Hugging Face's reader takes it */
    if (!json_is_object(meta)) KR_FAIL(KR_ERR_FORMAT, "%s: %s is not an object", s->name, METADATA);
    s->meta = kr_arena_new(&st->arena, json_object_size(meta) * sizeof *s->meta);
    if (!s->meta) return KR_ERR_NOMEM;
    json_object_foreach(meta, key, value) {
        if (!json_is_string(value)) KR_FAIL(KR_ERR_FORMAT, "%s: %s: %.200s is not a string", s->name, METADATA, key);
        pair *p = &s->meta[s->n_meta++];
        p->key = kr_arena_strdup(&st->arena, key);
        p->value = kr_arena_strdup(&st->arena, json_string_value(value));
        if (!p->key || !p->value) return KR_ERR_NOMEM;
    }
    return KR_OK;
}

/* --- one file ----------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const kr_st_tensor *)a)->name, ((const kr_st_tensor *)b)->name);
}

static int by_data(const void *a, const void *b) {
    const kr_st_tensor *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes); /* empty ones first */
}

/* Each byte of the data belongs to exactly one tensor, as the format demands. */
static kr_status check_layout(shard *s, const char *data, size_t n_data) {
    const char *at = data;
    qsort(s->tensor, s->n_tensors, sizeof *s->tensor, by_data);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const kr_st_tensor *t = &s->tensor[i];
        if ((const char *)t->data != at)
            KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its data begins at %lld, want %lld, where the one before ends", s->name,
                    t->name, (long long)((const char *)t->data - data), (long long)(at - data));
        at += t->n_bytes;
    }
    if (at != data + n_data)
        KR_FAIL(KR_ERR_FORMAT, "%s: the last tensor ends at %lld, but the file holds %zu bytes of data", s->name,
                (long long)(at - data), n_data);
    qsort(s->tensor, s->n_tensors, sizeof *s->tensor, by_name);
    return KR_OK;
}

static const kr_st_tensor *find(const kr_st_tensor *table, size_t n, const char *name) {
    kr_st_tensor key = {.name = name};
    return n ? bsearch(&key, table, n, sizeof *table, by_name) : NULL;
}

/* What the metadata calls blocks becomes a matrix of numbers again. */
static kr_status see_blocks(shard *s) {
    for (size_t i = 0; i < s->n_meta; i++) {
        int type = KR_Q6_K; /* of those that files have, the last */
        while (type > 0 && (kr_dtype_block((kr_dtype)type) == 1 || strcmp(kr_dtype_text((kr_dtype)type), s->meta[i].value) != 0)) type--;
        kr_st_tensor *t = type ? (kr_st_tensor *)(uintptr_t)find(s->tensor, s->n_tensors, s->meta[i].key) : NULL;
        if (!t) continue;
        int64_t n = kr_dtype_block((kr_dtype)type), bytes = (int64_t)kr_dtype_row_bytes((kr_dtype)type, n), last = t->n_dims ? t->dim[t->n_dims - 1] : 0;
        if (t->dtype != KR_ST_U8 || t->n_dims == 0 || last % bytes || t->count / bytes > INT64_MAX / 64 / n || last / bytes > INT64_MAX / 64 / n)
            KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s should hold blocks of %s, but is not U8 with rows of a multiple of %lld", s->name, t->name,
                    s->meta[i].value, (long long)bytes);
        if (t->block) continue;
        t->block = (kr_dtype)type;
        t->dim[t->n_dims - 1] = last / bytes * n;
        t->count = t->count / bytes * n;
    }
    return KR_OK;
}

static kr_status parse_header(kr_st *st, shard *s, json_t *root, const char *data, size_t n_data) {
    const char *key;
    json_t *value;
    if (!json_is_object(root)) KR_FAIL(KR_ERR_FORMAT, "%s: the header is not an object", s->name);
    s->tensor = kr_arena_new(&st->arena, (json_object_size(root) + 1) * sizeof *s->tensor);
    if (!s->tensor) return KR_ERR_NOMEM;
    json_object_foreach(root, key, value) {
        if (strcmp(key, METADATA) == 0) {
            KR_TRY(parse_metadata(st, s, value));
            continue;
        }
        kr_st_tensor *t = &s->tensor[s->n_tensors++];
        t->file = s->name;
        KR_TRY(parse_tensor(st, t, key, value, data, n_data));
    }
    KR_TRY(check_layout(s, data, n_data));
    return see_blocks(s);
}

/* What lies before the first tensor that is used where it lies: the vocabulary of a GGUF file is megabytes. */
static void leave_head(const shard *s) {
    size_t end = s->map_bytes;
    for (size_t i = 0; i < s->n_tensors; i++) {
        size_t at = (uintptr_t)s->tensor[i].data - (uintptr_t)s->map; /* beyond the map: made anew */
        if (at < end) end = at;
    }
    kr_file_forget(s->map, end);
}

/* name: how messages call the file. */
static kr_status open_shard(kr_st *st, shard *s, const char *path, const char *name) {
    uint64_t n_header;
    json_t *root;
    if (!(s->path = kr_arena_strdup(&st->arena, path)) || !(s->name = kr_arena_strdup(&st->arena, name))) return KR_ERR_NOMEM;
    KR_TRY(kr_file_map(&s->map, &s->map_bytes, path));
    if (s->map_bytes >= 4 && memcmp(s->map, "PK\3\4", 4) == 0) return kr_torch_read(&st->arena, s->map, s->map_bytes, s->name, &s->tensor, &s->n_tensors);
    if (kr_gguf_is(s->map, s->map_bytes)) {
        KR_TRY(kr_gguf_tensors(&st->arena, s->map, s->map_bytes, s->name, &s->tensor, &s->n_tensors));
        return leave_head(s), KR_OK;
    }
    if (s->map_bytes < sizeof n_header)
        KR_FAIL(KR_ERR_FORMAT, "%s: %zu bytes are no safetensors file: want 8 bytes of header length", name, s->map_bytes);
    memcpy(&n_header, s->map, sizeof n_header);
    if (n_header > MAX_HEADER || n_header > s->map_bytes - sizeof n_header)
        KR_FAIL(KR_ERR_FORMAT, "%s: no safetensors file: its header would be %llu bytes, want at most %zu", name,
                (unsigned long long)n_header,
                s->map_bytes - sizeof n_header < MAX_HEADER ? s->map_bytes - sizeof n_header : (size_t)MAX_HEADER);
    const char *header = (const char *)s->map + sizeof n_header;
    KR_TRY(kr_json_parse(&root, header, (size_t)n_header, name));
    kr_status status = parse_header(st, s, root, header + n_header, s->map_bytes - sizeof n_header - (size_t)n_header);
    json_decref(root);
    return status;
}

/* --- shards ------------------------------------------------------------------- */

/* The shard of a file, opened the first time it is named. */
static kr_status use_shard(kr_st *st, shard **out, const char *file, const char *index, const char *dir) {
    char path[PATH_MAX];
    for (size_t i = 0; i < st->n_shards; i++) {
        *out = &st->shard[i];
        if (strcmp((*out)->name, file) == 0) return KR_OK;
    }
    if (!kr_path_is_plain(file))
        KR_FAIL(KR_ERR_FORMAT, "%s: a shard is called \"%.200s\", want the name of a file beside the index", index, file);
    if (st->n_shards == MAX_SHARDS) KR_FAIL(KR_ERR_FORMAT, "%s: more than %d shards", index, MAX_SHARDS);
    KR_TRY(kr_path_join(path, sizeof path, dir, file));
    *out = &st->shard[st->n_shards++];
    return open_shard(st, *out, path, file);
}

static kr_status gather(kr_st *st, const json_t *map, const char *index, const char *dir) {
    const char *name;
    json_t *file;
    size_t n = json_object_size(map);
    st->shard = kr_arena_new(&st->arena, (n < MAX_SHARDS ? n : MAX_SHARDS) * sizeof *st->shard);
    st->tensor = kr_arena_new(&st->arena, n * sizeof *st->tensor);
    if (!st->shard || !st->tensor) return KR_ERR_NOMEM;
    json_object_foreach((json_t *)(uintptr_t)map, name, file) {
        shard *s = NULL;
        KR_TRY(check_name(name, index));
        if (!json_is_string(file)) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its file is not a string", index, name);
        KR_TRY(use_shard(st, &s, json_string_value(file), index, dir));
        const kr_st_tensor *t = find(s->tensor, s->n_tensors, name);
        if (!t) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s should be in %s, which does not hold it", index, name, s->name);
        st->tensor[st->n_tensors++] = *t;
    }
    if (n) qsort(st->tensor, n, sizeof *st->tensor, by_name);
    return KR_OK;
}

static kr_status open_index(kr_st *st, const char *path) {
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    json_t *root;
    KR_TRY(kr_path_join(dir, sizeof dir, "", path));
    dir[slash ? slash - path + 1 : 0] = 0;
    KR_TRY(kr_json_load(&root, path));
    const json_t *map = json_object_get(root, "weight_map");
    kr_status status = json_is_object(map) ? gather(st, map, path, dir)
                                           : kr_fail(KR_ERR_FORMAT, "%s: weight_map is missing or not an object", path);
    json_decref(root);
    return status;
}

static kr_status open_file(kr_st *st, const char *path) {
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (!(st->shard = kr_arena_new(&st->arena, sizeof *st->shard))) return KR_ERR_NOMEM;
    st->n_shards = 1;
    KR_TRY(open_shard(st, st->shard, path, path));
    st->tensor = st->shard->tensor;
    st->n_tensors = st->shard->n_tensors;
    return KR_OK;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static kr_status open_any(kr_st *st, const char *path) {
    char in[PATH_MAX];
    if (!kr_dir_exists(path)) return ends_with(path, ".json") ? open_index(st, path) : open_file(st, path);
    KR_TRY(kr_path_join(in, sizeof in, path, "model.safetensors"));
    if (kr_file_exists(in)) return open_file(st, in);
    KR_TRY(kr_path_join(in, sizeof in, path, "model.safetensors.index.json"));
    if (kr_file_exists(in)) return open_index(st, in);
    KR_TRY(kr_path_join(in, sizeof in, path, "pytorch_model.bin"));
    if (kr_file_exists(in)) return open_file(st, in);
    KR_TRY(kr_path_join(in, sizeof in, path, "pytorch_model.bin.index.json"));
    if (kr_file_exists(in)) return open_index(st, in);
    KR_FAIL(KR_ERR_MISSING, "%s: holds neither model.safetensors nor pytorch_model.bin, nor an index of shards of either", path);
}

kr_status kr_st_open(kr_st **out, const char *path) {
    *out = NULL;
    kr_st *st = kr_mem_new(sizeof *st);
    if (!st) return KR_ERR_NOMEM;
    kr_status status = (st->path = kr_arena_strdup(&st->arena, path)) ? open_any(st, path) : KR_ERR_NOMEM;
    if (status == KR_OK) *out = st;
    else kr_st_close(st);
    return status;
}

bool kr_st_maps(const kr_st *st, const void *data) {
    for (size_t i = 0; i < st->n_shards; i++)
        if ((uintptr_t)data - (uintptr_t)st->shard[i].map < st->shard[i].map_bytes) return true;
    return false;
}

void kr_st_close(kr_st *st) {
    if (!st) return;
    for (size_t i = 0; i < st->n_shards; i++) kr_file_unmap(st->shard[i].map, st->shard[i].map_bytes);
    kr_arena_clear(&st->arena);
    kr_mem_free(st);
}

/* --- asking ------------------------------------------------------------------- */

const char *kr_st_format(const kr_st *st) {
    const shard *s = st->shard;
    if (!st->n_shards || s->map_bytes < 4) return "safetensors";
    return kr_gguf_is(s->map, s->map_bytes) ? "gguf" : memcmp(s->map, "PK\3\4", 4) == 0 ? "pytorch" : "safetensors";
}

size_t kr_st_count(const kr_st *st) { return st->n_tensors; }

const kr_st_tensor *kr_st_at(const kr_st *st, size_t i) {
    KR_ASSERT(i < st->n_tensors);
    return &st->tensor[i];
}

const kr_st_tensor *kr_st_find(const kr_st *st, const char *name) { return find(st->tensor, st->n_tensors, name); }

const char *kr_st_metadata(const kr_st *st, const char *key) {
    for (size_t i = 0; i < st->n_shards; i++)
        for (size_t j = 0; j < st->shard[i].n_meta; j++)
            if (strcmp(st->shard[i].meta[j].key, key) == 0) return st->shard[i].meta[j].value;
    return NULL;
}

bool kr_st_metadata_at(const kr_st *st, size_t i, const char **key, const char **value) {
    for (size_t s = 0; s < st->n_shards; i -= st->shard[s++].n_meta) {
        if (i >= st->shard[s].n_meta) continue;
        *key = st->shard[s].meta[i].key;
        *value = st->shard[s].meta[i].value;
        return true;
    }
    return false;
}

static void print_shape(char *s, size_t size, int n_dims, const int64_t *dim) {
    size_t n = 0;
    s[0] = 0;
    for (int i = 0; i < n_dims && n < size; i++) n += (size_t)snprintf(s + n, size - n, "%s%lld", i ? ", " : "", (long long)dim[i]);
}

kr_status kr_st_want(const kr_st_tensor **out, const kr_st *st, const char *name, int n_dims, const int64_t *dim) {
    char is[192], want[192];
    const kr_st_tensor *t = *out = kr_st_find(st, name);
    if (t && t->n_dims == n_dims && (n_dims == 0 || memcmp(t->dim, dim, (size_t)n_dims * sizeof *dim) == 0)) return KR_OK;
    print_shape(want, sizeof want, n_dims, dim);
    if (!t) KR_FAIL(KR_ERR_MISSING, "%s: there is no tensor %.200s, want one of [%s]", st->path, name, want);
    print_shape(is, sizeof is, t->n_dims, t->dim);
    KR_FAIL(KR_ERR_SHAPE, "%s: tensor %.200s is [%s], want [%s]", t->file, name, is, want);
}
