/* zip.c - see zip.h. */
#include "data/zip.h"

#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

enum { HEAD = 30, STORED = 0, DEFLATED = 8, RAW = -15 };

bool kr_zip_is(const uint8_t *p, size_t n) { return n >= 4 && memcmp(p, "PK\3\4", 4) == 0; }
static size_t u16(const uint8_t *p) { return (size_t)p[0] | (size_t)p[1] << 8; }
static size_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }

/* Sizes of 4 GB and more, and NumPy's of any size, stand in an extra field (ZIP64). */
static void read_zip64(const uint8_t *extra, size_t n, size_t *plain, size_t *packed) {
    for (size_t at = 0; at + 4 <= n;) {
        size_t id = u16(extra + at), len = u16(extra + at + 2);
        if (len > n - at - 4) return;
        if (id == 1 && len >= 16) {
            *plain = u32(extra + at + 4) | u32(extra + at + 8) << 32;
            *packed = u32(extra + at + 12) | u32(extra + at + 16) << 32;
        }
        at += 4 + len;
    }
}

kr_status kr_zip_next(kr_zip *z, kr_zip_member *m, bool *more) {
    const uint8_t *h = z->p + z->at;
    *more = z->n - z->at >= HEAD && kr_zip_is(h, z->n - z->at);
    if (!*more) return KR_OK;
    size_t flags = u16(h + 6), name = u16(h + 26), extra = u16(h + 28);
    *m = (kr_zip_member){.name = (const char *)h + HEAD, .n_name = name, .n_packed = u32(h + 18), .n_plain = u32(h + 22), .method = u16(h + 8)};
    if (name + extra > z->n - z->at - HEAD) KR_FAIL(KR_ERR_FORMAT, "%s: cut off inside the header of a member", z->what);
    if (m->n_packed == 0xffffffff || m->n_plain == 0xffffffff) read_zip64(h + HEAD + name, extra, &m->n_plain, &m->n_packed);
    if (flags & 9) KR_FAIL(KR_ERR_FORMAT, "%s: a member is encrypted, or has its sizes behind it", z->what);
    z->at += HEAD + name + extra;
    if (m->n_packed > z->n - z->at) KR_FAIL(KR_ERR_FORMAT, "%s: a member of %zu bytes, and %zu are left", z->what, m->n_packed, z->n - z->at);
    m->packed = z->p + z->at;
    z->at += m->n_packed;
    return KR_OK;
}

kr_status kr_zip_unpack(const kr_zip_member *m, uint8_t **out, size_t *n, const char *what) {
    if (m->method == DEFLATED) {
        if (m->n_plain > KR_MOST_UNPACKED) KR_FAIL(KR_ERR_FORMAT, "%s: a member of %zu bytes, want at most %zu", what, m->n_plain, KR_MOST_UNPACKED);
        uint8_t *plain;
        KR_TRY(kr_inflate(&plain, n, m->packed, m->n_packed, RAW, m->n_plain, what));
        if (!(*out = kr_mem_resize(plain, *n + 1))) return kr_mem_free(plain), KR_ERR_NOMEM;
    } else {
        if (m->method != STORED) KR_FAIL(KR_ERR_FORMAT, "%s: packed by method %zu, want 0 (stored) or 8 (deflated)", what, m->method);
        if (!(*out = kr_mem_array(m->n_packed + 1, 1))) return KR_ERR_NOMEM;
        memcpy(*out, m->packed, *n = m->n_packed);
    }
    (*out)[*n] = 0;
    return KR_OK;
}

bool kr_zip_name_ends(const kr_zip_member *m, const char *end) {
    size_t n = strlen(end);
    return m->n_name >= n && memcmp(m->name + m->n_name - n, end, n) == 0;
}
