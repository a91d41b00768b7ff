/* decode_points.c - points in space as an array [points, 3]: OFF (the corners of its faces), XYZ.
 *
 *   OFF              # a comment       XYZ: a line a point, "x y z", and whatever follows it; lines that
 *   3 1 0                              begin with no number (a head, a comment) only before the first
 *   0 0 0
 *   1 0 0
 *   ... faces */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

typedef struct reader { const char *p, *end, *what; int64_t line; } reader;

/* The next line that is no comment and not empty, copied to `to` and ended by a zero byte; false: there is none. */
static bool next(reader *r, char *to, size_t room) {
    while (r->p < r->end) {
        const char *stop = memchr(r->p, '\n', (size_t)(r->end - r->p));
        size_t n = (size_t)((stop ? stop : r->end) - r->p);
        const char *from = r->p;
        r->p = stop ? stop + 1 : r->end, r->line++;
        while (n && (*from == ' ' || *from == '\t')) from++, n--;
        if (!n || *from == '#' || *from == '\r') continue;
        if (n >= room) n = room - 1; /* three numbers stand before that */
        memcpy(to, from, n);
        to[n] = 0;
        return true;
    }
    return false;
}

static bool three(const char *text, double x[3]) {
    for (int i = 0; i < 3; i++) {
        char *end;
        while (*text == ',' || *text == ' ' || *text == '\t') text++;
        x[i] = strtod(text, &end);
        if (end == text || !isfinite(x[i]) || fabs(x[i]) > 1e30) return false;
        text = end;
    }
    return true;
}

static kr_status no_point(const reader *r) { KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: no point, want three numbers", r->what, (long long)r->line); }

static kr_status read_points(kr_array *out, reader *r, int64_t n, char *line, size_t room, bool first) {
    KR_TRY(kr_array_new(out, false, 2, (const int64_t[]){n, 3}, r->what));
    for (int64_t i = 0; i < n; i++, first = false) {
        double x[3];
        if (!first && !next(r, line, room)) KR_FAIL(KR_ERR_FORMAT, "%s: %lld points, want %lld", r->what, (long long)i, (long long)n);
        if (!three(line, x)) return no_point(r);
        for (int k = 0; k < 3; k++) out->f32[3 * i + k] = (float)x[k];
    }
    return KR_OK;
}

static kr_status decode_off(kr_array *out, reader *r) {
    char line[400];
    double n[3];
    if (!next(r, line, sizeof line) || strncmp(line, "OFF", 3) != 0) KR_FAIL(KR_ERR_FORMAT, "%s: no OFF in its first line", r->what);
    const char *counts = line + 3; /* some files have them in the same line */
    while (*counts == ' ' || *counts == '\t' || *counts == '\r') counts++;
    if (!*counts) counts = next(r, line, sizeof line) ? line : "";
    if (!three(counts, n) || n[0] < 1 || n[0] > (double)(r->end - r->p) || n[0] != floor(n[0])) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: want how many points, faces and edges there are", r->what, (long long)r->line);
    return read_points(out, r, (int64_t)n[0], line, sizeof line, false);
}

static kr_status decode_xyz(kr_array *out, reader *r) {
    char line[400], first[400];
    double x[3];
    int64_t n = 0;
    do
        if (!next(r, first, sizeof first)) KR_FAIL(KR_ERR_FORMAT, "%s: no line of three numbers", r->what);
    while (!three(first, x));
    reader count = *r;
    for (n = 1; next(&count, line, sizeof line);) n++;
    return read_points(out, r, n, first, sizeof first, true);
}

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    reader r = {(const char *)p, (const char *)p + n, what, 0}, look = r;
    char first[4]; /* no number begins so: an OFF file by another name */
    bool off = kr_decode_ends(what, ".off") || (next(&look, first, sizeof first) && strcmp(first, "OFF") == 0);
    return off ? decode_off(out, &r) : decode_xyz(out, &r);
}

const kr_decoder kr_decoder_points = {.name = "points", .about = "points in space: OFF, XYZ", .endings = ".off .xyz", .array = decode};
