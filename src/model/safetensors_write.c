/* safetensors_write.c - a header, then every tensor, converted in bounded memory.
 *
 * Tensors lie as Hugging Face lays them: widest elements first, then by name, behind a
 * header padded to 8 bytes, so that each is aligned in a map. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/safetensors.h"

enum { STEP = 8192, STEPS = 32 }; /* elements that a thread converts at once; and such at a time */

typedef struct entry {
    kr_st_tensor t;    /* as it will stand in the file; data is the source */
    kr_dtype from, as; /* both of no meaning when raw */
    bool raw;
} entry;

typedef struct pair { char *key, *value; } pair;

struct kr_st_writer {
    kr_arena arena; /* names and strings */
    entry *entry;   /* sorted by name */
    size_t n, room;
    pair *meta;
    size_t n_meta, meta_room;
};

kr_status kr_st_writer_new(kr_st_writer **w) {
    *w = kr_mem_new(sizeof **w);
    return *w ? KR_OK : KR_ERR_NOMEM;
}

void kr_st_writer_free(kr_st_writer *w) {
    if (!w) return;
    kr_mem_free(w->entry);
    kr_mem_free(w->meta);
    kr_arena_clear(&w->arena);
    kr_mem_free(w);
}

/* Room for one more of `size` bytes. */
static bool grow(void **p, size_t n, size_t *room, size_t size) {
    if (n < *room) return true;
    size_t want = *room ? 2 * *room : 64;
    void *q = kr_mem_resize(*p, want * size);
    if (!q) return false;
    *p = q;
    *room = want;
    return true;
}

/* Where a name is or belongs. */
static size_t place(const kr_st_writer *w, const char *name) {
    size_t lo = 0, hi = w->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(w->entry[mid].t.name, name) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static kr_status insert(kr_st_writer *w, entry e) {
    size_t i = place(w, e.t.name);
    for (const char *p = e.t.name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) KR_FAIL(KR_ERR_ARG, "a tensor's name holds a control character");
    if (strcmp(e.t.name, "__metadata__") == 0) KR_FAIL(KR_ERR_ARG, "no tensor may be called __metadata__");
    if (i < w->n && strcmp(w->entry[i].t.name, e.t.name) == 0) KR_FAIL(KR_ERR_ARG, "tensor %.200s is named twice", e.t.name);
    if (!(e.t.name = kr_arena_strdup(&w->arena, e.t.name))) return KR_ERR_NOMEM;
    if (!grow((void **)&w->entry, w->n, &w->room, sizeof e)) return KR_ERR_NOMEM;
    memmove(w->entry + i + 1, w->entry + i, (w->n - i) * sizeof e);
    w->entry[i] = e;
    w->n++;
    return KR_OK;
}

kr_status kr_st_writer_add(kr_st_writer *w, const char *name, const kr_tensor *from, kr_dtype as) {
    entry e = {.t = {.name = name, .dtype = kr_st_dtype_of(as), .n_dims = from->n_dims, .data = from->data}, .from = from->dtype, .as = as};
    int64_t width = from->n_dims ? from->dim[from->n_dims - 1] : 1, block = kr_dtype_block(as);
    size_t count;
    if (from->dtype != as && (from->dtype == KR_I32 || as == KR_I32))
        KR_FAIL(KR_ERR_DTYPE, "tensor %.200s is %s, which cannot be stored as %s", name, kr_dtype_text(from->dtype), kr_dtype_text(as));
    if (!kr_mul_size(&count, from->n_dims, from->dim) || count > INT64_MAX / 8)
        KR_FAIL(KR_ERR_SHAPE, "tensor %.200s has no possible shape", name);
    if (width % block) KR_FAIL(KR_ERR_SHAPE, "tensor %.200s has rows of %lld, want a multiple of %lld to store it as %s", name, (long long)width, (long long)block, kr_dtype_text(as));
    if (block > 1) e.t.block = as;
    memcpy(e.t.dim, from->dim, (size_t)from->n_dims * sizeof *from->dim);
    e.t.count = (int64_t)count;
    e.t.n_bytes = kr_dtype_row_bytes(as, e.t.count);
    return insert(w, e);
}

kr_status kr_st_writer_add_raw(kr_st_writer *w, const kr_st_tensor *t) { return insert(w, (entry){.t = *t, .raw = true}); }

kr_status kr_st_writer_metadata(kr_st_writer *w, const char *key, const char *value) {
    pair p = {kr_arena_strdup(&w->arena, key), kr_arena_strdup(&w->arena, value)};
    if (!p.key || !p.value) return KR_ERR_NOMEM;
    for (size_t i = 0; i < w->n_meta; i++)
        if (strcmp(w->meta[i].key, key) == 0) {
            w->meta[i] = p;
            return KR_OK;
        }
    if (!grow((void **)&w->meta, w->n_meta, &w->meta_room, sizeof p)) return KR_ERR_NOMEM;
    w->meta[w->n_meta++] = p;
    return KR_OK;
}

/* --- saving ------------------------------------------------------------------- */

static size_t width_of(const entry *e) { return e->t.block ? 1 : e->t.count ? e->t.n_bytes / (size_t)e->t.count : 8; }

static int by_width(const void *a, const void *b) {
    const entry *x = *(const entry *const *)a, *y = *(const entry *const *)b;
    size_t p = width_of(x), q = width_of(y);
    return p != q ? (p > q ? -1 : 1) : strcmp(x->t.name, y->t.name);
}

/* As the file has it: blocks are bytes. */
static int64_t file_dim(const kr_st_tensor *t, int d) {
    return t->block && d == t->n_dims - 1 ? (int64_t)kr_dtype_row_bytes(t->block, t->dim[d]) : t->dim[d];
}

/* The metadata with the names of what is in blocks. */
static void print_metadata(const kr_st_writer *w, kr_str *s) {
    bool any = false;
    for (size_t i = 0; i < w->n_meta + w->n; i++) {
        const kr_st_tensor *t = i < w->n_meta ? NULL : &w->entry[i - w->n_meta].t;
        if (t && !t->block) continue;
        kr_str_append(s, any ? "," : "\"__metadata__\":{");
        kr_str_append_json(s, t ? t->name : w->meta[i].key);
        kr_str_append_char(s, ':');
        kr_str_append_json(s, t ? kr_dtype_text(t->block) : w->meta[i].value);
        any = true;
    }
    if (any) kr_str_append(s, w->n ? "}," : "}");
}

static void print_header(const kr_st_writer *w, const entry *const *order, kr_str *s) {
    size_t at = 0;
    kr_str_append_char(s, '{');
    print_metadata(w, s);
    for (size_t i = 0; i < w->n; i++) {
        const kr_st_tensor *t = &order[i]->t;
        if (i) kr_str_append_char(s, ',');
        kr_str_append_json(s, t->name);
        kr_str_appendf(s, ":{\"dtype\":\"%s\",\"shape\":[", kr_st_dtype_text(t->dtype));
        for (int d = 0; d < t->n_dims; d++) kr_str_appendf(s, "%s%lld", d ? "," : "", (long long)file_dim(t, d));
        kr_str_appendf(s, "],\"data_offsets\":[%zu,%zu]}", at, at + t->n_bytes);
        at += t->n_bytes;
    }
    kr_str_append_char(s, '}');
    while (s->n % 8 && !s->failed) kr_str_append_char(s, ' ');
}

static kr_status put_tensor(kr_file_writer *f, const entry *e, double *buffer) {
    if (e->raw || e->from == e->as) return kr_file_writer_write(f, e->t.data, e->t.n_bytes);
    for (int64_t i = 0; i < e->t.count; i += STEP * STEPS) {
        int64_t n = e->t.count - i < STEP * STEPS ? e->t.count - i : STEP * STEPS;
#pragma omp parallel for num_threads(n <= STEP ? 1 : kr_cpu_threads()) schedule(dynamic)
        for (int64_t at = 0; at < n; at += STEP)
            kr_convert((char *)buffer + kr_dtype_row_bytes(e->as, at), e->as, (const char *)e->t.data + kr_dtype_row_bytes(e->from, i + at), e->from,
                       n - at < STEP ? n - at : STEP);
        KR_TRY(kr_file_writer_write(f, buffer, kr_dtype_row_bytes(e->as, n)));
    }
    return KR_OK;
}

static kr_status put_all(const entry *const *order, size_t n, const kr_str *header, double *buffer, const char *path) {
    kr_file_writer *f;
    uint64_t n_header = header->n;
    KR_TRY(kr_file_writer_open(&f, path));
    kr_status status = kr_file_writer_write(f, &n_header, sizeof n_header);
    if (status == KR_OK) status = kr_file_writer_write(f, header->text, header->n);
    for (size_t i = 0; status == KR_OK && i < n; i++) status = put_tensor(f, order[i], buffer);
    if (status == KR_OK) return kr_file_writer_commit(f);
    kr_file_writer_abort(f);
    return status;
}

kr_status kr_st_writer_save(const kr_st_writer *w, const char *path) {
    kr_str header = {0};
    const entry **order = kr_mem_array(w->n + 1, sizeof *order);
    double *buffer = kr_mem_array(STEP * STEPS, sizeof *buffer);
    kr_status status = order && buffer ? KR_OK : KR_ERR_NOMEM;
    if (status == KR_OK) {
        for (size_t i = 0; i < w->n; i++) order[i] = &w->entry[i];
        qsort(order, w->n, sizeof *order, by_width);
        print_header(w, order, &header);
        status = kr_str_status(&header);
    }
    if (status == KR_OK && header.n > 100000000)
        status = kr_fail(KR_ERR_ARG, "%s: its header is %zu bytes, the format takes at most 100000000", path, header.n);
    if (status == KR_OK) status = put_all(order, w->n, &header, buffer, path);
    kr_str_free(&header);
    kr_mem_free(buffer);
    kr_mem_free(order);
    return status;
}
