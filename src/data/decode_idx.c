/* decode_idx.c - IDX, the format of MNIST: two zero bytes, a type, the number of axes, their
 * sizes and then the elements, all big-endian. */
#include <string.h>

#include "data/decode.h"

static bool is_idx(const uint8_t *p, size_t n) {
    return n >= 4 && p[0] == 0 && p[1] == 0 && p[2] >= 8 && p[2] <= 14 && p[2] != 10 && p[3] >= 1 && p[3] <= KR_ARRAY_DIMS;
}

static uint64_t big_endian(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

static float element(const uint8_t *p, int type) {
    uint64_t v;
    uint32_t w;
    float f;
    double d;
    switch (type) {
    case 9: return (float)(int8_t)p[0];
    case 11: return (float)(int16_t)big_endian(p, 2);
    case 12: return (float)(int32_t)big_endian(p, 4);
    case 13: return w = (uint32_t)big_endian(p, 4), memcpy(&f, &w, 4), f;
    default: return v = big_endian(p, 8), memcpy(&d, &v, 8), (float)d;
    }
}

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    static const size_t bytes_of[] = {[8] = 1, [9] = 1, [11] = 2, [12] = 4, [13] = 4, [14] = 8};
    int64_t dim[KR_ARRAY_DIMS] = {0}, count = 1;
    if (!is_idx(p, n)) KR_FAIL(KR_ERR_FORMAT, "%s: no IDX file: it wants to begin with 0, 0, a type and up to %d axes", what, KR_ARRAY_DIMS);
    int type = p[2], n_dims = p[3];
    size_t head = 4 + 4 * (size_t)n_dims, each = bytes_of[type];
    if (n < head) KR_FAIL(KR_ERR_FORMAT, "%s: cut off inside its sizes", what);
    for (int i = 0; i < n_dims; i++) {
        dim[i] = (int64_t)big_endian(p + 4 + 4 * i, 4);
        if (__builtin_mul_overflow(count, dim[i], &count)) count = INT64_MAX;
    }
    if ((uint64_t)count != (n - head) / each || (n - head) % each)
        KR_FAIL(KR_ERR_FORMAT, "%s: its sizes ask for %lld elements of %zu bytes, and %zu bytes follow", what, (long long)count, each, n - head);
    KR_TRY(kr_array_new(out, type == 8, n_dims, dim, what));
    if (type == 8) memcpy(out->u8, p + head, (size_t)count);
    else
        for (int64_t i = 0; i < count; i++) out->f32[i] = element(p + head + (size_t)i * each, type);
    return KR_OK;
}

const kr_decoder kr_decoder_idx = {.name = "idx", .about = "tensors as MNIST has them", .endings = ".idx .idx1-ubyte .idx3-ubyte",
                                   .is = is_idx, .array = decode};
