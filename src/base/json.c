/* json.c - JSON through jansson. */
#include "base/json.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

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
    if (json_error_code(e) == json_error_cannot_open_file) KR_FAIL(KR_ERR_IO, "%s: %s", what, strerror(errno));
    KR_FAIL(KR_ERR_FORMAT, "%s: line %d, column %d: %s", what, e->line, e->column, e->text);
}

kr_status kr_json_load(json_t **out, const char *path) {
    json_error_t e;
    begin();
    json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    return end(j, path, &e, out);
}

kr_status kr_json_parse(json_t **out, const char *text, size_t n_bytes, const char *what) {
    json_error_t e;
    begin();
    json_t *j = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &e);
    return end(j, what, &e, out);
}
