/* inflate.c - unpacking; the one door to zlib. */
#include "base/mem.h"
#include "data/decode.h"

#ifdef KR_WITH_ZLIB
#include <zlib.h>

/* Gzip may have members one behind the other; whatever follows the last one is not looked at. */
static kr_status unpack(z_stream *z, uint8_t **out, size_t *n_out, int window_bits, size_t most, const char *what) {
    size_t room = 0, n = 0;
    for (int r = Z_OK;;) {
        if (n == room) {
            size_t more = room ? 2 * room : 1 << 16;
            if (more > most + 1) more = most + 1; /* one byte too many tells */
            uint8_t *q = kr_mem_resize(*out, more + 1);
            if (!q) return kr_fail_in(KR_ERR_NOMEM, what);
            *out = q, room = more;
        }
        size_t step = room - n < 1 << 30 ? room - n : 1 << 30;
        z->next_out = *out + n, z->avail_out = (unsigned)step;
        r = inflate(z, Z_NO_FLUSH);
        n += step - z->avail_out;
        if (n > most) KR_FAIL(KR_ERR_FORMAT, "%s: unpacks to more than %zu bytes", what, most);
        if (r == Z_STREAM_END) {
            bool more = window_bits > 15 && z->avail_in > 2 && z->next_in[0] == 0x1f && z->next_in[1] == 0x8b;
            if (!more) break;
            if (inflateReset(z) != Z_OK) KR_FAIL(KR_ERR_FORMAT, "%s: its packed bytes are damaged", what);
        } else if (r != Z_OK) {
            KR_FAIL(KR_ERR_FORMAT, "%s: its packed bytes are %s", what, r == Z_BUF_ERROR ? "cut off" : "damaged");
        }
    }
    (*out)[n] = 0; /* text can be used as it is */
    *n_out = n;
    return KR_OK;
}

kr_status kr_inflate(uint8_t **out, size_t *n_out, const uint8_t *p, size_t n, int window_bits, size_t most, const char *what) {
    z_stream z = {.next_in = (uint8_t *)p, .avail_in = (unsigned)n};
    *out = NULL;
    if (n > UINT32_MAX) KR_FAIL(KR_ERR_FORMAT, "%s: more than 4 GB packed; unpack it first", what);
    if (inflateInit2(&z, window_bits) != Z_OK) return kr_fail(KR_ERR_NOMEM, "%s: out of memory to unpack it", what);
    kr_status st = unpack(&z, out, n_out, window_bits, most, what);
    inflateEnd(&z);
    if (st != KR_OK) kr_mem_free(*out), *out = NULL;
    return st;
}
#else
kr_status kr_inflate(uint8_t **out, size_t *n_out, const uint8_t *p, size_t n, int window_bits, size_t most, const char *what) {
    (void)p, (void)n, (void)window_bits, (void)most;
    *out = NULL, *n_out = 0;
    KR_FAIL(KR_ERR_MISSING, "%s: it is packed, and this build has no zlib; install zlib1g-dev and build again, or unpack it", what);
}
#endif
