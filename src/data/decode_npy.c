/* decode_npy.c - NumPy's tensors: a dict in text, then the elements. */
#include <stdlib.h>
#include <string.h>

#include "data/decode.h"
#include "data/npy.h"
#include "tensor/tensor.h"

typedef struct header { char kind, order; size_t each; bool fortran; int n_dims; int64_t dim[KR_ARRAY_DIMS]; } header;

static bool is_npy(const uint8_t *p, size_t n) { return n >= 10 && memcmp(p, "\x93NUMPY", 6) == 0; }

/* The value of 'name' in the dict; NULL if it is not there. */
static const char *value_of(const char *dict, const char *name) {
    const char *p = strstr(dict, name);
    if (!p) return NULL;
    p += strlen(name);
    p += strspn(p, " '\":");
    return p;
}

static bool read_shape(const char *p, header *h) {
    if (!p || *p != '(') return false;
    for (p++;;) {
        p += strspn(p, " ,");
        if (*p == ')') return true;
        char *end;
        if (*p < '0' || *p > '9' || h->n_dims == KR_ARRAY_DIMS) return false;
        h->dim[h->n_dims++] = strtoll(p, &end, 10);
        p = end + (*end == 'L');
        if (*p != ',' && *p != ')') return false;
    }
}

static bool read_dict(const char *dict, header *h) {
    const char *descr = value_of(dict, "'descr'"), *fortran = value_of(dict, "'fortran_order'"), *shape = strstr(dict, "'shape'");
    if (!descr || !fortran || !shape) return false;
    h->order = descr[0];
    if (!h->order || !strchr("<>|=", h->order)) return false;
    h->kind = descr[1];
    if (!h->kind || !strchr("biuf", h->kind) || descr[2] < '1' || descr[2] > '8' || (descr[3] != '\'' && descr[3] != '"')) return false;
    h->each = (size_t)(descr[2] - '0');
    h->fortran = strncmp(fortran, "True", 4) == 0;
    shape = strchr(shape, '(');
    bool size_is_known = h->each == 1 || h->each == 2 || h->each == 4 || h->each == 8;
    return read_shape(shape, h) && size_is_known && !(h->kind == 'f' && h->each == 1) && !(h->kind == 'b' && h->each > 1);
}

static float element(const uint8_t *p, const header *h) {
    uint8_t b[8] = {0};
    for (size_t i = 0; i < h->each; i++) b[i] = p[h->order == '>' ? h->each - 1 - i : i];
    uint64_t v = 0;
    for (size_t i = 8; i-- > 0;) v = v << 8 | b[i];
    if (h->kind == 'f') {
        float f;
        double d;
        uint32_t w = (uint32_t)v;
        if (h->each == 2) return kr_from_f16((uint16_t)v);
        if (h->each == 4) return memcpy(&f, &w, 4), f;
        return memcpy(&d, &v, 8), (float)d;
    }
    if (h->kind == 'i') return (float)((int64_t)(v << (64 - 8 * h->each)) >> (64 - 8 * h->each));
    return (float)v;
}

/* Where element i of C order lies in a file of Fortran order. */
static int64_t fortran_at(const header *h, int64_t i) {
    int64_t stride = 1, at = 0, sub[KR_ARRAY_DIMS];
    for (int d = h->n_dims - 1; d >= 0; d--) sub[d] = i % h->dim[d], i /= h->dim[d];
    for (int d = 0; d < h->n_dims; d++) at += sub[d] * stride, stride *= h->dim[d];
    return at;
}

kr_status kr_npy_decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    header h = {0};
    char dict[2048];
    if (!is_npy(p, n)) KR_FAIL(KR_ERR_FORMAT, "%s: no NPY file: it does not begin with \\x93NUMPY", what);
    size_t size_bytes = p[6] == 1 ? 2 : 4, length = 0;
    if (n < 8 + size_bytes) KR_FAIL(KR_ERR_FORMAT, "%s: cut off inside its header", what);
    for (size_t i = 0; i < size_bytes; i++) length |= (size_t)p[8 + i] << 8 * i;
    size_t head = 8 + size_bytes;
    if (length > n - head || length >= sizeof dict) KR_FAIL(KR_ERR_FORMAT, "%s: its header says that it has %zu bytes", what, length);
    memcpy(dict, p + head, length);
    dict[length] = 0;
    head += length;
    if (!read_dict(dict, &h)) KR_FAIL(KR_ERR_FORMAT, "%s: its header is %.200s; want whole or real numbers of up to 8 bytes in up to %d axes", what, dict, KR_ARRAY_DIMS);
    int64_t count = 1;
    for (int i = 0; i < h.n_dims; i++)
        if (__builtin_mul_overflow(count, h.dim[i], &count) || count < 0) count = INT64_MAX;
    if ((uint64_t)count > (n - head) / h.each)
        KR_FAIL(KR_ERR_FORMAT, "%s: its shape asks for %lld elements of %zu bytes, and %zu bytes follow", what, (long long)count, h.each, n - head);
    bool bytes = h.each == 1 && h.kind != 'i';
    KR_TRY(kr_array_new(out, bytes, h.n_dims, h.dim, what));
    for (int64_t i = 0; i < count; i++) {
        int64_t at = h.fortran && h.n_dims > 1 ? fortran_at(&h, i) : i;
        if (bytes) out->u8[i] = p[head + (size_t)at];
        else out->f32[i] = element(p + head + (size_t)at * h.each, &h);
    }
    return KR_OK;
}

const kr_decoder kr_decoder_npy = {.name = "npy", .about = "a NumPy tensor", .endings = ".npy", .is = is_npy, .array = kr_npy_decode};
