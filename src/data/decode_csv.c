/* decode_csv.c - tables of text as RFC 4180 has them: commas, semicolons or tabs between cells,
 * quotes around cells that hold such a thing, doubled within.
 *
 * The separator is whichever of the three the first line has most of.  The first line names
 * the columns unless one of its cells is a number; then they are called 1, 2, ... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"
#include "data/words.h"

typedef struct reader {
    const char *p, *end, *what;
    char separator;
    int64_t line;      /* where the reader stands, from 1 */
    kr_str cell;
} reader;

static char separator_of(const char *p, const char *end) {
    static const char kinds[] = ",;\t";
    int count[3] = {0}, best = 0;
    bool quoted = false;
    for (; p < end && (quoted || (*p != '\n' && *p != '\r')); p++) {
        if (*p == '"') quoted = !quoted;
        for (int i = 0; i < 3 && !quoted; i++) count[i] += *p == kinds[i];
    }
    for (int i = 1; i < 3; i++)
        if (count[i] > count[best]) best = i;
    return kinds[best];
}

/* One cell into r->cell; *last: the line ends behind it. */
static kr_status read_cell(reader *r, bool *last) {
    int64_t from = r->line;
    kr_str_cut(&r->cell, 0);
    if (r->p < r->end && *r->p == '"') {
        for (r->p++;; r->p++) {
            if (r->p == r->end) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: a quote that is never closed", r->what, (long long)from);
            if (*r->p == '\n') r->line++;
            if (*r->p == '"' && (r->p + 1 == r->end || r->p[1] != '"')) break;
            r->p += *r->p == '"';
            kr_str_append_char(&r->cell, *r->p);
        }
        r->p++;
    }
    while (r->p < r->end && *r->p != r->separator && *r->p != '\n' && *r->p != '\r') kr_str_append_char(&r->cell, *r->p++);
    *last = r->p == r->end || *r->p != r->separator;
    if (!*last) r->p++;
    return KR_OK;
}

static void next_line(reader *r) {
    if (r->p < r->end && *r->p == '\r') r->p++;
    if (r->p < r->end && *r->p == '\n') r->p++;
    r->line++;
}

static bool is_number(const char *s) {
    char *end;
    strtod(s, &end);
    return end > s && *end == 0;
}

/* Goes over the first line: how many cells, and is it names? */
static kr_status look(reader r, int64_t *n, bool *names) {
    *n = 0, *names = true;
    kr_status st = KR_OK;
    r.cell = (kr_str){0};
    for (bool last = false; !last && st == KR_OK; ++*n) {
        st = read_cell(&r, &last);
        *names = *names && !is_number(kr_str_text(&r.cell));
    }
    kr_str_free(&r.cell);
    return st;
}

static void number_columns(kr_table *t) {
    char name[24];
    for (int64_t i = 0; i < t->n_columns; i++) {
        int n = snprintf(name, sizeof name, "%lld", (long long)i + 1);
        kr_table_put(t, name, (size_t)n);
    }
}

static kr_status read_rows(kr_table *t, reader *r, bool names) {
    for (bool first = names; r->p < r->end || first; first = false) {
        int64_t from = r->line, n = 0;
        if (*r->p == '\n' || *r->p == '\r') { /* an empty line is no row */
            next_line(r);
            continue;
        }
        if (!first) KR_TRY(kr_table_row(t, from));
        for (bool last = false; !last; n++) {
            KR_TRY(read_cell(r, &last));
            kr_table_put(t, kr_str_text(&r->cell), r->cell.n);
        }
        if (n != t->n_columns)
            KR_FAIL(KR_ERR_FORMAT, "%s: line %lld has %lld cell%s, want %lld as in the first line", r->what, (long long)from, (long long)n, n == 1 ? "" : "s",
                    (long long)t->n_columns);
        next_line(r);
    }
    return kr_str_status(&r->cell);
}

static kr_status decode(kr_table *out, const uint8_t *p, size_t n, const char *what) {
    if (kr_words_are(p, n, what)) return kr_words_decode(out, p, n, what);
    reader r = {.p = (const char *)p, .end = (const char *)p + n, .what = what, .line = 1};
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) r.p += 3; /* a byte order mark */
    while (r.p < r.end && (*r.p == '\n' || *r.p == '\r')) next_line(&r);
    if (r.p == r.end) KR_FAIL(KR_ERR_FORMAT, "%s: a table without a line", what);
    r.separator = separator_of(r.p, r.end);
    int64_t columns;
    bool names;
    KR_TRY(look(r, &columns, &names));
    KR_TRY(kr_table_start(out, columns));
    if (!names) number_columns(out);
    kr_status st = read_rows(out, &r, names);
    kr_str_free(&r.cell);
    return st;
}

const kr_decoder kr_decoder_csv = {.name = "csv", .about = "tables", .endings = ".csv .tsv .txt", .table = decode};
