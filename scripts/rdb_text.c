/* rdb_text.c - writes the character vectors of an R lazy-load file as text files.
 *
 *     rdb_text Rdata.rdb FOLDER       needs zlib: cc -O2 rdb_text.c -lz
 *
 * The file is a row of records: 4 bytes of length, big end first, then a zlib stream of
 * that many bytes, which is an R object in XDR form.  A character vector (type 16) is a
 * count and then strings (type 9), each with flags and a length; one string is one line.
 * Objects of other types are passed over.  A text is named after its first line:
 * "SENSE AND SENSIBILITY" becomes sense-and-sensibility.txt. */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { STRINGS = 16, STRING = 9, MAX_RECORD = 1 << 28 };

static void stop(const char *what, const char *why) {
    fprintf(stderr, "rdb_text: %s: %s\n", what, why);
    exit(1);
}

static void *room(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) stop("memory", "there is not enough");
    return p;
}

static uint32_t be32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned char *read_all(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    long size;
    if (!f) stop(path, strerror(errno));
    if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) stop(path, strerror(errno));
    unsigned char *p = room((size_t)size);
    *n = fread(p, 1, (size_t)size, f);
    if (*n != (size_t)size) stop(path, "cannot be read to its end");
    fclose(f);
    return p;
}

/* The name of a text: letters and digits of its first line, small, words joined by '-'. */
static void name_text(char *name, size_t room_bytes, const unsigned char *line, size_t n) {
    size_t used = 0;
    for (size_t i = 0; i < n && used + 6 < room_bytes; i++) {
        if (isalnum(line[i])) name[used++] = (char)tolower(line[i]);
        else if (used && name[used - 1] != '-') name[used++] = '-';
    }
    while (used && name[used - 1] == '-') used--;
    strcpy(name + used, used ? ".txt" : "text.txt");
}

static void write_strings(const unsigned char *p, const unsigned char *end, const char *folder) {
    char name[80] = "", path[4096];
    FILE *f = NULL;
    uint32_t count = be32(p);
    for (p += 4; count; count--) {
        if (end - p < 8 || (be32(p) & 255) != STRING) stop("strings", "the record is damaged");
        uint32_t n = be32(p + 4) == UINT32_MAX ? 0 : be32(p + 4); /* -1: a missing value */
        p += 8;
        if ((size_t)(end - p) < n) stop("strings", "the record is cut short");
        if (!f && n) { /* lines before the title, if any, are empty */
            name_text(name, sizeof name, p, n);
            if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) stop(folder, "too long a path");
            if (!(f = fopen(path, "wb"))) stop(path, strerror(errno));
        }
        if (f && (fwrite(p, 1, n, f) != n || putc('\n', f) == EOF)) stop(path, strerror(errno));
        p += n;
    }
    if (f && fclose(f)) stop(path, strerror(errno));
    if (f) puts(path);
}

/* A record's head: "X\n", three version numbers, and in version 3 the name of an encoding. */
static void read_record(const unsigned char *p, size_t n, const char *folder) {
    const unsigned char *end = p + n;
    if (n < 14 || memcmp(p, "X\n", 2)) return;
    uint32_t version = be32(p + 2), skip = 0;
    p += 14;
    if (version == 3) {
        if (end - p < 4) return;
        skip = be32(p), p += 4;
    }
    if ((size_t)(end - p) < (size_t)skip + 8) return;
    p += skip;
    if ((be32(p) & 255) == STRINGS) write_strings(p + 4, end, folder);
}

int main(int argc, char **argv) {
    size_t n, at = 0;
    if (argc != 3) stop("usage", "rdb_text Rdata.rdb FOLDER");
    unsigned char *file = read_all(argv[1], &n);
    while (n - at > 4) {
        uint32_t size = be32(file + at);
        if (size > MAX_RECORD) stop(argv[1], "this is not an R lazy-load file compressed with zlib");
        unsigned char *raw = room(size);
        z_stream z = {.next_in = file + at + 4, .avail_in = (uInt)(n - at - 4), .next_out = raw, .avail_out = size};
        if (inflateInit(&z) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END || z.avail_out)
            stop(argv[1], "this is not an R lazy-load file compressed with zlib");
        at = n - z.avail_in;
        inflateEnd(&z);
        read_record(raw, size, argv[2]);
        free(raw);
    }
    free(file);
    return 0;
}
