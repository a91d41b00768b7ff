/* json.c - JSON through jansson. */
#include "base/json.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

/* jansson calls a failed allocation a syntax error as often as not, and where its buffer of
 * a number cannot grow, an assertion fails.  So we remember it ourselves, and while a text
 * is being read we lend that buffer (its sizes are powers of two) some memory of our own. */
static _Thread_local struct {
    bool reading, starved;
    size_t used;
    _Alignas(16) char spare[4096];
} ours;

static void *take(size_t bytes) {
    void *p = kr_mem_new(bytes);
    if (p) return p;
    ours.starved = true;
    bool buffer = bytes >= 32 && bytes <= 1024 && (bytes & (bytes - 1)) == 0;
    if (!ours.reading || !buffer || bytes > sizeof ours.spare - ours.used) return NULL;
    ours.used += bytes;
    return ours.spare + ours.used - bytes;
}

static void give(void *p) {
    if ((char *)p < ours.spare || (char *)p >= ours.spare + sizeof ours.spare) kr_mem_free(p);
}

/* Before anything: a value made by jansson's own functions may be the first. */
__attribute__((constructor)) static void use_our_memory(void) { json_set_alloc_funcs(take, give); }

static void begin(void) {
    ours.reading = true;
    ours.starved = false;
    ours.used = 0;
}

static kr_status end(json_t *j, const char *what, const json_error_t *e, json_t **out) {
    ours.reading = false;
    if (ours.starved) {
        json_decref(j);
        KR_FAIL(KR_ERR_NOMEM, "%s: out of memory", what);
    }
    if (j) return *out = j, KR_OK;
    KR_FAIL(KR_ERR_FORMAT, "%s: line %d, column %d: %s", what, e->line, e->column, e->text);
}

/* Python's json module writes an infinity as a bare word, which is no JSON; where one stands outside of strings, the same
 * text with the object that Hugging Face writes for it today.  False: there is none. */
static bool spell_infinities(kr_str *to, const char *text, size_t n) {
    static const char word[] = "Infinity";
    bool quoted = false, any = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') quoted = !quoted;
        if (quoted && text[i] == '\\' && i + 1 < n) kr_str_append_char(to, text[i++]);
        size_t sign = text[i] == '-', len = sign + sizeof word - 1;
        if (!quoted && n - i >= len && memcmp(text + i + sign, word, sizeof word - 1) == 0) {
            kr_str_append(to, sign ? "{\"__float__\": \"-Infinity\"}" : "{\"__float__\": \"Infinity\"}");
            i += len - 1, any = true;
        } else kr_str_append_char(to, text[i]);
    }
    return any;
}

static json_t *read_text(const char *text, size_t n, json_error_t *e) {
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, e);
    if (j || ours.starved || !memmem(text, n, "Infinity", 8)) return j;
    kr_str s = {0};
    json_error_t other;
    if (spell_infinities(&s, text, n) && !s.failed) j = json_loadb(kr_str_text(&s), s.n, JSON_REJECT_DUPLICATES, &other);
    ours.starved |= s.failed;
    kr_str_free(&s);
    return j;
}

kr_status kr_json_load(json_t **out, const char *path) {
    json_error_t e;
    void *text;
    size_t n;
    KR_TRY(kr_file_read(&text, &n, path));
    begin();
    json_t *j = read_text(text, n, &e);
    kr_mem_free(text);
    return end(j, path, &e, out);
}

kr_status kr_json_parse(json_t **out, const char *text, size_t n_bytes, const char *what) {
    json_error_t e;
    begin();
    json_t *j = read_text(text, n_bytes, &e);
    return end(j, what, &e, out);
}
