/* gguf.c - reading the container: header, keys and values, descriptions of tensors. */
#include "model/gguf.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32, MAX_NAME = 1024 };

typedef struct reader {
    const unsigned char *p, *end, *file;
    kr_arena *arena;
    kr_gguf *g;
    uint64_t alignment;
} reader;

static const unsigned char widths[KR_GGUF_N_KIND] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static const struct { uint32_t number; kr_dtype ours; } types[] = {{0, KR_F32}, {1, KR_F16}, {2, KR_Q4_0}, {8, KR_Q8_0}, {12, KR_Q4_K}, {14, KR_Q6_K}, {30, KR_BF16}};
enum { N_TYPES = sizeof types / sizeof *types };

int kr_gguf_type_of(kr_dtype t) {
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].ours == t) return (int)types[i].number;
    return -1;
}

bool kr_gguf_is(const void *file, size_t n) { return n >= 4 && memcmp(file, "GGUF", 4) == 0; }

/* --- pieces --------------------------------------------------------------------------------- */

static kr_status get(reader *r, void *to, size_t n, const char *what) {
    if ((size_t)(r->end - r->p) < n) KR_FAIL(KR_ERR_FORMAT, "%s: ends in the middle of %s", r->g->name, what);
    memcpy(to, r->p, n);
    r->p += n;
    return KR_OK;
}

static kr_status get_text(reader *r, const char **text, uint64_t *n, const char *what) {
    KR_TRY(get(r, n, sizeof *n, what));
    if (*n > (uint64_t)(r->end - r->p)) KR_FAIL(KR_ERR_FORMAT, "%s: %s is %llu bytes long, but the file ends before", r->g->name, what, (unsigned long long)*n);
    *text = (const char *)r->p;
    r->p += *n;
    return KR_OK;
}

/* A name goes into messages: short, and without control characters. */
static kr_status get_name(reader *r, const char **name, const char *what) {
    const char *text = NULL;
    uint64_t n = 0;
    KR_TRY(get_text(r, &text, &n, what));
    if (n == 0 || n > MAX_NAME) KR_FAIL(KR_ERR_FORMAT, "%s: %s is %llu bytes long, want 1 to %d", r->g->name, what, (unsigned long long)n, MAX_NAME);
    for (uint64_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) KR_FAIL(KR_ERR_FORMAT, "%s: %s holds a control character", r->g->name, what);
    char *copy = kr_arena_new(r->arena, n + 1);
    if (!copy) return KR_ERR_NOMEM;
    *name = memcpy(copy, text, n);
    return KR_OK;
}

/* --- values --------------------------------------------------------------------------------- */

static kr_status get_kind(reader *r, kr_gguf_kind *kind, const char *key) {
    uint32_t k = 0;
    KR_TRY(get(r, &k, sizeof k, key));
    if (k >= KR_GGUF_N_KIND) KR_FAIL(KR_ERR_FORMAT, "%s: %.200s: the value's type is %u, want one below %d", r->g->name, key, k, KR_GGUF_N_KIND);
    *kind = (kr_gguf_kind)k;
    return KR_OK;
}

static kr_status get_array(reader *r, kr_gguf_pair *v) {
    const char *text;
    uint64_t n = 0, left;
    KR_TRY(get_kind(r, &v->of, v->key));
    KR_TRY(get(r, &v->n, sizeof v->n, v->key));
    if (v->of == KR_GGUF_ARRAY) KR_FAIL(KR_ERR_FORMAT, "%s: %.200s: an array of arrays, which Krait does not read", r->g->name, v->key);
    v->data = r->p;
    left = (uint64_t)(r->end - r->p);
    if (v->of != KR_GGUF_TEXT) {
        if (v->n > left / widths[v->of]) KR_FAIL(KR_ERR_FORMAT, "%s: %.200s: %llu elements, but the file ends before", r->g->name, v->key, (unsigned long long)v->n);
        r->p += v->n * widths[v->of];
        return KR_OK;
    }
    for (uint64_t i = 0; i < v->n; i++) KR_TRY(get_text(r, &text, &n, v->key));
    return KR_OK;
}

static kr_status get_pair(reader *r, kr_gguf_pair *v) {
    const char *text = NULL;
    KR_TRY(get_name(r, &v->key, "a key"));
    KR_TRY(get_kind(r, &v->kind, v->key));
    if (v->kind == KR_GGUF_ARRAY) return get_array(r, v);
    if (v->kind == KR_GGUF_TEXT) {
        KR_TRY(get_text(r, &text, &v->n, v->key));
        v->data = (const unsigned char *)text;
        return KR_OK;
    }
    v->data = r->p;
    unsigned char skipped[8];
    return get(r, skipped, widths[v->kind], v->key);
}

static int by_key(const void *a, const void *b) { return strcmp(((const kr_gguf_pair *)a)->key, ((const kr_gguf_pair *)b)->key); }

static kr_status get_pairs(reader *r, uint64_t n) {
    kr_gguf *g = r->g;
    int64_t alignment = ALIGNMENT;
    if (n > (uint64_t)(r->end - r->p) / 14) KR_FAIL(KR_ERR_FORMAT, "%s: %llu keys do not fit in it", g->name, (unsigned long long)n);
    if (!(g->pair = kr_arena_new(r->arena, (n + 1) * sizeof *g->pair))) return KR_ERR_NOMEM;
    for (; g->n_pairs < n; g->n_pairs++) KR_TRY(get_pair(r, &g->pair[g->n_pairs]));
    qsort(g->pair, g->n_pairs, sizeof *g->pair, by_key);
    for (size_t i = 1; i < g->n_pairs; i++)
        if (strcmp(g->pair[i - 1].key, g->pair[i].key) == 0) KR_FAIL(KR_ERR_FORMAT, "%s: the key %.200s is there twice", g->name, g->pair[i].key);
    if (kr_gguf_find(g, "general.alignment") && !kr_gguf_int(g, "general.alignment", &alignment)) alignment = 0;
    if (alignment < 8 || alignment > 1 << 20 || (alignment & (alignment - 1)))
        KR_FAIL(KR_ERR_FORMAT, "%s: general.alignment is no power of two from 8 to 1048576", g->name);
    r->alignment = (uint64_t)alignment;
    return KR_OK;
}

/* --- tensors ----------------------------------------------------------------------------------- */

static kr_status get_type(reader *r, kr_gguf_tensor *t) {
    uint32_t type = 0;
    KR_TRY(get(r, &type, sizeof type, t->name));
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].number == type) return t->dtype = types[i].ours, KR_OK;
    KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s is of ggml's type %u, and Krait reads F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K", r->g->name, t->name, type);
}

/* The offset becomes a pointer once it is known where the data starts. */
static kr_status get_tensor(reader *r, kr_gguf_tensor *t, uint64_t *offset) {
    uint32_t n_dims = 0;
    size_t count;
    KR_TRY(get_name(r, &t->name, "a tensor's name"));
    KR_TRY(get(r, &n_dims, sizeof n_dims, t->name));
    if (n_dims < 1 || n_dims > 4) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s has %u sizes, want 1 to 4", r->g->name, t->name, n_dims);
    t->n_dims = (int)n_dims;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        uint64_t d = 0;
        KR_TRY(get(r, &d, sizeof d, t->name));
        if (d < 1 || d > INT64_MAX / 64) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: a size of its shape is %llu", r->g->name, t->name, (unsigned long long)d);
        t->dim[i] = (int64_t)d;
    }
    if (!kr_mul_size(&count, t->n_dims, t->dim) || count > INT64_MAX / 64)
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its shape holds more elements than memory could", r->g->name, t->name);
    KR_TRY(get_type(r, t));
    if (t->dim[t->n_dims - 1] % kr_dtype_block(t->dtype))
        KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: rows of %lld are no whole blocks of %s", r->g->name, t->name, (long long)t->dim[t->n_dims - 1], kr_dtype_text(t->dtype));
    t->count = (int64_t)count;
    t->n_bytes = kr_dtype_row_bytes(t->dtype, t->count);
    return get(r, offset, sizeof *offset, t->name);
}

static int by_name(const void *a, const void *b) { return strcmp(((const kr_gguf_tensor *)a)->name, ((const kr_gguf_tensor *)b)->name); }
static int by_data(const void *a, const void *b) {
    const char *p = ((const kr_gguf_tensor *)a)->data, *q = ((const kr_gguf_tensor *)b)->data;
    return p < q ? -1 : p > q;
}

static kr_status place_tensors(reader *r, const uint64_t *offset) {
    kr_gguf *g = r->g;
    uint64_t at = (uint64_t)(r->p - r->file), start = (at + r->alignment - 1) / r->alignment * r->alignment, all = (uint64_t)(r->end - r->file);
    uint64_t room = start < all ? all - start : 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        kr_gguf_tensor *t = &g->tensor[i];
        if (offset[i] % r->alignment) KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s starts at %llu, want a multiple of %llu", g->name, t->name, (unsigned long long)offset[i], (unsigned long long)r->alignment);
        if (offset[i] > room || t->n_bytes > room - offset[i])
            KR_FAIL(KR_ERR_FORMAT, "%s: tensor %.200s: its %zu bytes at %llu lie beyond the file's %llu of data", g->name, t->name, t->n_bytes, (unsigned long long)offset[i], (unsigned long long)room);
        t->data = r->file + start + offset[i];
    }
    qsort(g->tensor, g->n_tensors, sizeof *g->tensor, by_data);
    for (size_t i = 1; i < g->n_tensors; i++)
        if ((const char *)g->tensor[i - 1].data + g->tensor[i - 1].n_bytes > (const char *)g->tensor[i].data)
            KR_FAIL(KR_ERR_FORMAT, "%s: the tensors %.200s and %.200s lie over each other", g->name, g->tensor[i - 1].name, g->tensor[i].name);
    qsort(g->tensor, g->n_tensors, sizeof *g->tensor, by_name);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->tensor[i - 1].name, g->tensor[i].name) == 0) KR_FAIL(KR_ERR_FORMAT, "%s: the tensor %.200s is there twice", g->name, g->tensor[i].name);
    return KR_OK;
}

static kr_status get_tensors(reader *r, uint64_t n) {
    kr_gguf *g = r->g;
    if (n > (uint64_t)(r->end - r->p) / 33) KR_FAIL(KR_ERR_FORMAT, "%s: %llu tensors do not fit in it", g->name, (unsigned long long)n);
    uint64_t *offset = kr_arena_new(r->arena, (n + 1) * sizeof *offset);
    g->tensor = kr_arena_new(r->arena, (n + 1) * sizeof *g->tensor);
    if (!offset || !g->tensor) return KR_ERR_NOMEM;
    for (; g->n_tensors < n; g->n_tensors++) KR_TRY(get_tensor(r, &g->tensor[g->n_tensors], &offset[g->n_tensors]));
    return place_tensors(r, offset);
}

kr_status kr_gguf_read(kr_gguf *g, kr_arena *arena, const void *file, size_t n, const char *name) {
    reader r = {.p = file, .end = (const unsigned char *)file + n, .file = file, .arena = arena, .g = g, .alignment = ALIGNMENT};
    char magic[4];
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_pairs = 0;
    *g = (kr_gguf){.name = name};
    KR_TRY(get(&r, magic, sizeof magic, "its first four bytes"));
    if (memcmp(magic, "GGUF", 4) != 0) KR_FAIL(KR_ERR_FORMAT, "%s: no GGUF file", name);
    KR_TRY(get(&r, &version, sizeof version, "its version"));
    if (version >= 1 << 16 && version % (1 << 16) == 0) KR_FAIL(KR_ERR_FORMAT, "%s: GGUF for machines whose numbers begin with the high byte, which Krait does not read", name);
    if (version < 2 || version > 3) KR_FAIL(KR_ERR_FORMAT, "%s: GGUF of version %u, want 2 or 3", name, version);
    KR_TRY(get(&r, &n_tensors, sizeof n_tensors, "its counts"));
    KR_TRY(get(&r, &n_pairs, sizeof n_pairs, "its counts"));
    KR_TRY(get_pairs(&r, n_pairs));
    return get_tensors(&r, n_tensors);
}

/* --- asking --------------------------------------------------------------------------------------- */

const kr_gguf_pair *kr_gguf_find(const kr_gguf *g, const char *key) {
    kr_gguf_pair wanted = {.key = key};
    return g->n_pairs ? bsearch(&wanted, g->pair, g->n_pairs, sizeof *g->pair, by_key) : NULL;
}

bool kr_gguf_int(const kr_gguf *g, const char *key, int64_t *out) {
    const kr_gguf_pair *v = kr_gguf_find(g, key);
    uint64_t x = 0;
    if (!v || v->kind == KR_GGUF_TEXT || v->kind == KR_GGUF_ARRAY || v->kind == KR_GGUF_F32 || v->kind == KR_GGUF_F64) return false;
    memcpy(&x, v->data, widths[v->kind]);
    if (v->kind == KR_GGUF_I8) *out = (int8_t)x;
    else if (v->kind == KR_GGUF_I16) *out = (int16_t)x;
    else if (v->kind == KR_GGUF_I32) *out = (int32_t)x;
    else if (v->kind == KR_GGUF_BOOL) *out = x != 0;
    else if (v->kind == KR_GGUF_U64 && x > INT64_MAX) return false;
    else *out = (int64_t)x;
    return true;
}

bool kr_gguf_real(const kr_gguf *g, const char *key, double *out) {
    const kr_gguf_pair *v = kr_gguf_find(g, key);
    float f;
    if (!v || (v->kind != KR_GGUF_F32 && v->kind != KR_GGUF_F64)) return false;
    if (v->kind == KR_GGUF_F64) return memcpy(out, v->data, sizeof *out), true;
    memcpy(&f, v->data, sizeof f);
    *out = f;
    return true;
}

const char *kr_gguf_next_text(const unsigned char **p, size_t *n) {
    uint64_t bytes;
    memcpy(&bytes, *p, sizeof bytes);
    const char *text = (const char *)*p + sizeof bytes;
    *n = (size_t)bytes;
    *p += sizeof bytes + bytes;
    return text;
}
