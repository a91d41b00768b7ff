/* decode_npz.c - the first NumPy tensor of an NPZ archive: a ZIP of NPY files, stored or deflated.
 *
 * The members are found by their own headers, one behind the other, which NumPy writes whole
 * when it writes to a file; an archive that gives sizes behind the data is refused. */
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"
#include "data/npy.h"

enum { HEAD = 30, STORED = 0, DEFLATED = 8, RAW = -15 };

static bool is_zip(const uint8_t *p, size_t n) { return n >= 4 && memcmp(p, "PK\3\4", 4) == 0; }
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

static kr_status decode_member(kr_array *out, const uint8_t *p, size_t packed, size_t plain, size_t method, const char *what) {
    uint8_t *bytes;
    size_t n;
    if (method == STORED) return kr_npy_decode(out, p, packed, what);
    if (method != DEFLATED) KR_FAIL(KR_ERR_FORMAT, "%s: packed by method %zu, want 0 (stored) or 8 (deflated)", what, method);
    if (plain > KR_MOST_UNPACKED) KR_FAIL(KR_ERR_FORMAT, "%s: a member of %zu bytes, want at most %zu", what, plain, KR_MOST_UNPACKED);
    KR_TRY(kr_inflate(&bytes, &n, p, packed, RAW, plain, what));
    kr_status st = kr_npy_decode(out, bytes, n, what);
    kr_mem_free(bytes);
    return st;
}

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    for (size_t at = 0; n - at >= HEAD && is_zip(p + at, n - at);) {
        const uint8_t *h = p + at;
        size_t flags = u16(h + 6), method = u16(h + 8), packed = u32(h + 18), plain = u32(h + 22), name = u16(h + 26), extra = u16(h + 28);
        if (name + extra > n - at - HEAD) KR_FAIL(KR_ERR_FORMAT, "%s: cut off inside the header of a member", what);
        if (packed == 0xffffffff || plain == 0xffffffff) read_zip64(h + HEAD + name, extra, &plain, &packed);
        if (flags & 9) KR_FAIL(KR_ERR_FORMAT, "%s: a member is encrypted, or has its sizes behind it", what);
        at += HEAD + name + extra;
        if (packed > n - at) KR_FAIL(KR_ERR_FORMAT, "%s: a member of %zu bytes, and %zu are left", what, packed, n - at);
        if (name >= 4 && memcmp(h + HEAD + name - 4, ".npy", 4) == 0) return decode_member(out, p + at, packed, plain, method, what);
        at += packed;
    }
    KR_FAIL(KR_ERR_FORMAT, "%s: an archive without an NPY file", what);
}

const kr_decoder kr_decoder_npz = {.name = "npz", .about = "the first tensor of an NPZ archive", .endings = ".npz", .is = is_zip, .array = decode};
