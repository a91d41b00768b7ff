/* png.c - a PNG writer for drawings: each row less the one above it, then deflate with fixed codes (RFC 1951)
 * whose only matches are runs of one byte and of one pixel. */
#include "base/png.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* Bits go to bytes from the lowest on. */
typedef struct bits { uint8_t *to; size_t n; uint64_t held; int n_held; } bits;
static void put_bits(bits *b, unsigned v, int n) {
    b->held |= (uint64_t)v << b->n_held;
    for (b->n_held += n; b->n_held >= 8; b->n_held -= 8, b->held >>= 8) b->to[b->n++] = (uint8_t)b->held;
}
/* A Huffman code stands with its highest bit first. */
static void put_code(bits *b, unsigned code, int n) {
    unsigned turned = 0;
    for (int i = 0; i < n; i++) turned |= (code >> i & 1) << (n - 1 - i);
    put_bits(b, turned, n);
}
static void put_symbol(bits *b, int s) {
    if (s < 144) put_code(b, 0x30 + (unsigned)s, 8);
    else if (s < 256) put_code(b, 0x190 + (unsigned)s - 144, 9);
    else if (s < 280) put_code(b, (unsigned)s - 256, 7);
    else put_code(b, 0xc0 + (unsigned)s - 280, 8);
}
/* 3 to 258 bytes that are those `distance` before, 1 or 3. */
static void put_match(bits *b, int length, int distance) {
    static const short base[] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const signed char extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    int k = 28;
    while (base[k] > length) k--;
    put_symbol(b, 257 + k);
    put_bits(b, (unsigned)(length - base[k]), extra[k]);
    put_code(b, (unsigned)distance - 1, 5);
}

static size_t same(const uint8_t *x, size_t at, size_t n, size_t distance) {
    size_t k = 0;
    if (at < distance) return 0;
    while (k < 258 && at + k < n && x[at + k] == x[at + k - distance]) k++;
    return k;
}

/* zlib's format; `to` has room for 9 bits a byte and 64 bytes. */
static size_t deflated(uint8_t *to, const uint8_t *x, size_t n) {
    bits b = {.to = to};
    uint32_t lo = 1, hi = 0;
    to[0] = 0x78, to[1] = 0x01, b.n = 2;
    put_bits(&b, 3, 3); /* the last block; fixed codes */
    for (size_t i = 0; i < n;) {
        size_t one = same(x, i, n, 1), three = same(x, i, n, 3), k = one >= three ? one : three;
        if (k < 3) {
            put_symbol(&b, x[i++]);
            continue;
        }
        put_match(&b, (int)k, one >= three ? 1 : 3);
        i += k;
    }
    put_symbol(&b, 256);
    put_bits(&b, 0, 7); /* to a whole byte */
    for (size_t i = 0; i < n; i++) lo = (lo + x[i]) % 65521, hi = (hi + lo) % 65521;
    uint32_t sum = hi << 16 | lo;
    for (int k = 3; k >= 0; k--) to[b.n++] = (uint8_t)(sum >> 8 * k);
    return b.n;
}

static uint8_t *put_u32(uint8_t *to, uint32_t v) {
    for (int k = 3; k >= 0; k--) *to++ = (uint8_t)(v >> 8 * k);
    return to;
}

static uint32_t crc(const uint8_t *x, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c ^= x[i];
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

/* data may already lie in its place. */
static uint8_t *put_chunk(uint8_t *to, const char *type, const uint8_t *data, size_t n) {
    put_u32(to, (uint32_t)n);
    memcpy(to + 4, type, 4);
    if (n && data != to + 8) memcpy(to + 8, data, n);
    return put_u32(to + 8 + n, crc(to + 4, n + 4));
}

kr_status kr_png_save(const char *path, int64_t w, int64_t h, const uint8_t *rgb) {
    if (w < 1 || h < 1 || w > 1 << 16 || h > 1 << 16) KR_FAIL(KR_ERR_ARG, "%s: a picture of %lld x %lld pixels, want 1 to 65536 each way", path, (long long)w, (long long)h);
    size_t row = (size_t)w * 3 + 1, n = row * (size_t)h;
    uint8_t *rows = kr_mem_new(n), *file = rows ? kr_mem_new(n + n / 8 + 256) : NULL, *to = file;
    if (!file) {
        kr_mem_free(rows);
        return KR_ERR_NOMEM;
    }
    for (int64_t j = 0; j < h; j++) {
        uint8_t *r = rows + (size_t)j * row;
        r[0] = 2; /* less the row above */
        for (int64_t i = 0; i < 3 * w; i++) r[i + 1] = (uint8_t)(rgb[j * 3 * w + i] - (j ? rgb[(j - 1) * 3 * w + i] : 0));
    }
    uint8_t head[13] = {0};
    put_u32(put_u32(head, (uint32_t)w), (uint32_t)h);
    head[8] = 8, head[9] = 2; /* 8 bits, RGB */
    memcpy(to, "\x89PNG\r\n\x1a\n", 8);
    to = put_chunk(to + 8, "IHDR", head, sizeof head);
    size_t packed = deflated(to + 8, rows, n);
    to = put_chunk(to, "IDAT", to + 8, packed);
    to = put_chunk(to, "IEND", NULL, 0);
    kr_status st = kr_file_write(path, file, (size_t)(to - file));
    kr_mem_free(rows);
    kr_mem_free(file);
    return st;
}
