/* decode.c - finding the decoder of a file, and what decoders share. */
#include "data/decode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "text/tokenizer.h"

#define FORMAT(name) extern const kr_decoder kr_decoder_##name;
#include "data/decode.def"
#undef FORMAT

const kr_decoder *const kr_decoders[] = {
#define FORMAT(name) &kr_decoder_##name,
#include "data/decode.def"
#undef FORMAT
    NULL};

/* --- arrays ------------------------------------------------------------------------------- */

kr_status kr_array_new(kr_array *a, bool bytes, int n_dims, const int64_t *dim, const char *what) {
    int64_t n = 1;
    *a = (kr_array){.n_dims = n_dims};
    if (n_dims < 0 || n_dims > KR_ARRAY_DIMS) KR_FAIL(KR_ERR_FORMAT, "%s: %d axes, want at most %d", what, n_dims, KR_ARRAY_DIMS);
    for (int i = 0; i < n_dims; i++) {
        if (dim[i] < 0 || __builtin_mul_overflow(n, dim[i] ? dim[i] : 1, &n) || n > INT64_MAX / 8) KR_FAIL(KR_ERR_FORMAT, "%s: axis %d is %lld, too large", what, i, (long long)dim[i]);
        a->dim[i] = dim[i];
    }
    for (int i = 0; i < n_dims; i++) n = dim[i] ? n : 0; /* no axis of what is empty may be too large, either */
    a->n = n;
    if (bytes) a->u8 = kr_mem_array((size_t)n + 1, 1);
    else a->f32 = kr_mem_array((size_t)n + 1, sizeof *a->f32);
    if (!a->u8 && !a->f32) return kr_fail_in(KR_ERR_NOMEM, what);
    return KR_OK;
}

void kr_array_free(kr_array *a) {
    kr_mem_free(a->u8);
    kr_mem_free(a->f32);
    *a = (kr_array){0};
}

/* --- tables ------------------------------------------------------------------------------- */

static struct kr_table_name *slot_of(const kr_table *t, const char *name) {
    for (uint32_t i = kr_bytes_hash(name, strlen(name));; i++) {
        struct kr_table_name *s = &t->slot[i & (uint32_t)(t->n_slots - 1)];
        if (!s->first || strcmp(kr_table_cell(t, -1, s->first - 1), name) == 0) return s;
    }
}

static kr_status index_names(kr_table *t) {
    for (t->n_slots = 16; t->n_slots < 2 * t->n_columns;) t->n_slots *= 2;
    if (!(t->slot = kr_mem_array((size_t)t->n_slots, sizeof *t->slot))) return KR_ERR_NOMEM;
    for (int64_t c = 0; c < t->n_columns; c++) {
        struct kr_table_name *s = slot_of(t, kr_table_cell(t, -1, c));
        if (!s->first) s->first = c + 1;
        else if (!s->second) s->second = c + 1;
    }
    return KR_OK;
}

int64_t kr_table_find(const kr_table *t, const char *name) { return slot_of(t, name)->first - 1; }

kr_status kr_table_only(const kr_table *t, const char *name, const char *path, int64_t *column) {
    const struct kr_table_name *s = slot_of(t, name);
    *column = s->first - 1;
    if (s->second) KR_FAIL(KR_ERR_FORMAT, "%s: columns %lld and %lld are both called \"%.100s\"", path, (long long)s->first, (long long)s->second, name);
    return KR_OK;
}

static kr_status grow(int64_t **p, int64_t *room, int64_t want) {
    if (want <= *room) return KR_OK;
    int64_t more = want + *room + 64;
    void *q = kr_mem_resize(*p, (size_t)more * sizeof **p);
    if (!q) return KR_ERR_NOMEM;
    *p = q, *room = more;
    return KR_OK;
}

/* Cells not put (yet) are the empty text at 0. */
static kr_status blank_row(kr_table *t, int64_t row) {
    KR_TRY(grow(&t->at, &t->cells_room, (row + 2) * t->n_columns + 1)); /* and one for a count, see put */
    memset(t->at + (row + 1) * t->n_columns, 0, (size_t)(t->n_columns + 1) * sizeof *t->at);
    return KR_OK;
}

kr_status kr_table_start(kr_table *t, int64_t n_columns) {
    *t = (kr_table){.n_columns = n_columns};
    kr_str_append_char(&t->text, 0);
    return blank_row(t, -1);
}

kr_status kr_table_row(kr_table *t, int64_t line) {
    KR_TRY(blank_row(t, t->n_rows));
    KR_TRY(grow(&t->line, &t->line_room, t->n_rows + 1));
    t->line[t->n_rows++] = line;
    return KR_OK;
}

/* The entry behind the last row counts the cells that were put into it. */
void kr_table_put(kr_table *t, const char *text, size_t n) {
    int64_t *row = t->at + t->n_rows * t->n_columns, *count = row + t->n_columns;
    if (*count >= t->n_columns) return;
    row[(*count)++] = (int64_t)t->text.n;
    kr_str_append_n(&t->text, text, strnlen(text, n));
    kr_str_append_char(&t->text, 0);
}

kr_status kr_table_end(kr_table *t, const char *what) {
    kr_status st = kr_str_status(&t->text);
    if (st == KR_OK) st = index_names(t);
    return st == KR_OK ? KR_OK : kr_fail_in(st, what);
}

void kr_table_free(kr_table *t) {
    kr_str_free(&t->text);
    kr_mem_free(t->at);
    kr_mem_free(t->line);
    kr_mem_free(t->slot);
    *t = (kr_table){0};
}

/* --- which decoder ------------------------------------------------------------------------- */

/* Where the ending of a name begins, ".gz" apart; its end in *end. */
static const char *ending_of(const char *name, const char **end) {
    const char *slash = strrchr(name, '/'), *from = slash ? slash + 1 : name;
    size_t n = strlen(from);
    if (n > 3 && strcasecmp(from + n - 3, ".gz") == 0) n -= 3;
    *end = from + n;
    for (const char *p = *end; p > from; p--)
        if (p[-1] == '.') return p - 1;
    return *end;
}

static bool has_ending(const kr_decoder *d, const char *name) {
    const char *end, *at = ending_of(name, &end);
    size_t n = (size_t)(end - at);
    for (const char *p = d->endings; n && *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && strncasecmp(p, at, n) == 0) return true;
        p += len + (p[len] == ' ');
    }
    return false;
}

static const kr_decoder *find(const uint8_t *p, size_t n, const char *name, bool table) {
    for (int i = 0; kr_decoders[i]; i++)
        if (!table == !!kr_decoders[i]->array && kr_decoders[i]->is && kr_decoders[i]->is(p, n)) return kr_decoders[i];
    for (int i = 0; kr_decoders[i]; i++)
        if (!table == !!kr_decoders[i]->array && has_ending(kr_decoders[i], name)) return kr_decoders[i];
    return NULL;
}

bool kr_decode_ends(const char *name, const char *ending) {
    const char *end, *at = ending_of(name, &end);
    return strlen(ending) == (size_t)(end - at) && strncasecmp(at, ending, (size_t)(end - at)) == 0;
}

bool kr_decode_is_table(const char *path) {
    for (int i = 0; kr_decoders[i]; i++)
        if (kr_decoders[i]->table && has_ending(kr_decoders[i], path)) return true;
    return false;
}

static kr_status unknown(const char *what, bool table) {
    kr_str s = {0};
    for (int i = 0; kr_decoders[i]; i++)
        if (!table == !!kr_decoders[i]->array) kr_str_appendf(&s, "%s%s", s.n ? ", " : "", kr_decoders[i]->endings);
    kr_status st = kr_fail(KR_ERR_FORMAT, "%s: neither its first bytes nor its ending say what it is; %s known: %s", what,
                           table ? "tables are" : "pictures, sound and tensors are", kr_str_text(&s));
    kr_str_free(&s);
    return st;
}

enum { GZIP = 31 };
static bool is_gzip(const uint8_t *p, size_t n) { return n > 2 && p[0] == 0x1f && p[1] == 0x8b; }

/* One NaN or infinity would make means and weights NaN, far from its file; so would the difference of two numbers near
 * the largest. */
static kr_status want_finite(const kr_array *a, const char *what) {
    for (int64_t i = 0; a->f32 && i < a->n; i++)
        if (!(fabsf(a->f32[i]) <= 1e30f)) KR_FAIL(KR_ERR_FORMAT, "%s: number %lld is %g, want finite ones up to 1e+30", what, (long long)i, (double)a->f32[i]);
    return KR_OK;
}

/* What is packed by gzip, unpacked; *plain is the caller's to free. */
static kr_status unpack(uint8_t **plain, const uint8_t **p, size_t *n, const char *what) {
    *plain = NULL;
    if (!is_gzip(*p, *n)) return KR_OK;
    KR_TRY(kr_inflate(plain, n, *p, *n, GZIP, KR_MOST_UNPACKED, what));
    *p = *plain;
    return KR_OK;
}

static kr_status decode_array(kr_array *out, const uint8_t *p, size_t n, const char *what, bool labels) {
    uint8_t *plain;
    *out = (kr_array){0};
    KR_TRY(unpack(&plain, &p, &n, what));
    const kr_decoder *d = find(p, n, what, false);
    kr_status st = d ? (labels && d->labels ? d->labels : d->array)(out, p, n, what) : unknown(what, false);
    if (st == KR_OK) st = want_finite(out, what);
    if (st != KR_OK) kr_array_free(out);
    kr_mem_free(plain);
    return st;
}

kr_status kr_decode_array_of(kr_array *out, const uint8_t *p, size_t n, const char *what) { return decode_array(out, p, n, what, false); }
kr_status kr_decode_labels_of(kr_array *out, const uint8_t *p, size_t n, const char *what) { return decode_array(out, p, n, what, true); }

kr_status kr_decode_table_of(kr_table *out, const uint8_t *p, size_t n, const char *what) {
    uint8_t *plain;
    *out = (kr_table){0};
    KR_TRY(unpack(&plain, &p, &n, what));
    const kr_decoder *d = find(p, n, what, true);
    kr_status st = d ? d->table(out, p, n, what) : unknown(what, true);
    if (st == KR_OK) st = kr_table_end(out, what);
    if (st != KR_OK) kr_table_free(out);
    kr_mem_free(plain);
    return st;
}

static kr_status decode_array_file(kr_array *out, const char *path, bool labels) {
    void *p;
    size_t n;
    KR_TRY(kr_file_read(&p, &n, path));
    kr_status st = decode_array(out, p, n, path, labels);
    kr_mem_free(p);
    return st;
}

kr_status kr_decode_array(kr_array *out, const char *path) { return decode_array_file(out, path, false); }
kr_status kr_decode_labels(kr_array *out, const char *path) { return decode_array_file(out, path, true); }

kr_status kr_decode_table(kr_table *out, const char *path) {
    void *p;
    size_t n;
    KR_TRY(kr_file_read(&p, &n, path));
    kr_status st = kr_decode_table_of(out, p, n, path);
    kr_mem_free(p);
    if (st == KR_OK && !out->n_rows) {
        kr_table_free(out);
        KR_FAIL(KR_ERR_FORMAT, "%s: a table of names without a row", path);
    }
    return st;
}
