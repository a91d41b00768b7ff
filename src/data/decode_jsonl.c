/* decode_jsonl.c - JSON lines: an object a line; columns are the keys of the first.
 *
 * Texts are taken as they are, everything else as JSON writes it; a key that is not there is
 * an empty cell. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "data/decode.h"

static kr_status add_row(kr_table *t, const json_t *object, int64_t line, const char *what) {
    const char *name;
    json_t *v;
    if (!t->n_columns) {
        if (!json_object_size(object)) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: an object without keys", what, (long long)line);
        KR_TRY(kr_table_start(t, (int64_t)json_object_size(object)));
        json_object_foreach((json_t *)object, name, v) kr_table_put(t, name, strlen(name));
    }
    KR_TRY(kr_table_row(t, line));
    for (int64_t i = 0; i < t->n_columns; i++) {
        KR_TRY(kr_str_status(&t->text));
        v = json_object_get(object, kr_table_cell(t, -1, i));
        bool dumped = v && !json_is_string(v) && !json_is_null(v);
        char *other = dumped ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        if (dumped && !other) KR_FAIL(KR_ERR_NOMEM, "%s: line %lld: out of memory", what, (long long)line);
        const char *text = json_is_string(v) ? json_string_value(v) : other ? other : "";
        kr_table_put(t, text, strlen(text));
        kr_mem_free(other);
    }
    return KR_OK;
}

/* Rows that leave most keys out must not become a table far larger than the file. */
static kr_status room_for(const kr_table *t, size_t n, int64_t line, const char *what) {
    int64_t most = 4 * (int64_t)n + (1 << 16);
    if (t->n_columns && t->n_rows + 1 > most / t->n_columns)
        KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: %lld keys in the first line make a table of more than %lld cells, nearly all empty", what, (long long)line, (long long)t->n_columns, (long long)most);
    return KR_OK;
}

static kr_status decode(kr_table *out, const uint8_t *p, size_t n, const char *what) {
    const char *at = (const char *)p, *end = at + n;
    for (int64_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at), blank = 0;
        while (blank < len && (at[blank] == ' ' || at[blank] == '\t' || at[blank] == '\r')) blank++;
        json_t *v = NULL;
        kr_status st = blank < len ? kr_json_parse(&v, at, len, what) : KR_OK;
        if (st == KR_OK && v && !json_is_object(v)) st = kr_fail(KR_ERR_FORMAT, "%s: line %lld is no JSON object", what, (long long)line);
        else if (st == KR_ERR_FORMAT) st = kr_fail(KR_ERR_FORMAT, "%s: line %lld is no JSON object", what, (long long)line);
        if (st == KR_OK && v) st = room_for(out, n, line, what);
        if (st == KR_OK && v) st = add_row(out, v, line, what);
        json_decref(v);
        KR_TRY(st);
        at = stop ? stop + 1 : end;
    }
    if (!out->n_columns) KR_FAIL(KR_ERR_FORMAT, "%s: no line in it", what);
    return KR_OK;
}

const kr_decoder kr_decoder_jsonl = {.name = "jsonl", .about = "an object a line", .endings = ".jsonl .ndjson", .table = decode};
