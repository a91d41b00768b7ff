/* decode_npz.c - the first NumPy tensor of an NPZ archive: a ZIP of NPY files, stored or deflated. */
#include "base/mem.h"
#include "data/decode.h"
#include "data/npy.h"
#include "data/zip.h"

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    kr_zip z = {.p = p, .n = n, .what = what};
    kr_zip_member m;
    uint8_t *bytes;
    size_t n_bytes;
    for (bool more = true; more;) {
        KR_TRY(kr_zip_next(&z, &m, &more));
        if (!more || !kr_zip_name_ends(&m, ".npy")) continue;
        KR_TRY(kr_zip_unpack(&m, &bytes, &n_bytes, what));
        kr_status st = kr_npy_decode(out, bytes, n_bytes, what);
        kr_mem_free(bytes);
        return st;
    }
    KR_FAIL(KR_ERR_FORMAT, "%s: an archive without an NPY file", what);
}

const kr_decoder kr_decoder_npz = {.name = "npz", .about = "the first tensor of an NPZ archive", .endings = ".npz", .is = kr_zip_is, .array = decode};
