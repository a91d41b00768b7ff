/* json.c - JSON through jansson. */
#include "base/json.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

static _Thread_local bool starved; /* jansson calls a failed allocation a syntax error as often as not */

static void *take(size_t bytes) {
    void *p = kr_mem_new(bytes);
    if (!p) starved = true;
    return p;
}

static void use_our_memory(void) {
    json_set_alloc_funcs(take, kr_mem_free);
    starved = false;
}

static kr_status refused(const char *what, const json_error_t *e) {
    if (starved || json_error_code(e) == json_error_out_of_memory) KR_FAIL(KR_ERR_NOMEM, "%s: out of memory", what);
    if (json_error_code(e) == json_error_cannot_open_file) KR_FAIL(KR_ERR_IO, "%s: %s", what, strerror(errno));
    KR_FAIL(KR_ERR_FORMAT, "%s: line %d, column %d: %s", what, e->line, e->column, e->text);
}

kr_status kr_json_load(json_t **out, const char *path) {
    json_error_t e;
    use_our_memory();
    json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!j) return refused(path, &e);
    *out = j;
    return KR_OK;
}

kr_status kr_json_parse(json_t **out, const char *text, size_t n_bytes, const char *what) {
    json_error_t e;
    use_our_memory();
    json_t *j = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &e);
    if (!j) return refused(what, &e);
    *out = j;
    return KR_OK;
}
