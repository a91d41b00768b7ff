/* decode_fasta.c - sequences with names: FASTA, A3M (its insertions in small letters stay),
 * FASTQ and Stockholm, as a table of name, about, sequence (and quality).
 *
 *   >name about        @name about        # STOCKHOLM 1.0
 *   ACGT               ACGT               name  AC.GT      (a name may come again: its
 *   ACGT               +                  name  TTAGG       pieces are one sequence)
 *                      IIII               //                                          */
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

typedef struct span { const char *p; size_t n; } span;
typedef struct reader { const char *p, *end, *what; int64_t line; } reader;

static bool next(reader *r, span *s) {
    if (r->p >= r->end) return false;
    const char *stop = memchr(r->p, '\n', (size_t)(r->end - r->p));
    *s = (span){r->p, (size_t)((stop ? stop : r->end) - r->p)};
    r->p = stop ? stop + 1 : r->end;
    r->line++;
    while (s->n && (s->p[s->n - 1] == '\r' || s->p[s->n - 1] == ' ' || s->p[s->n - 1] == '\t')) s->n--;
    return true;
}

static bool is_fasta(const uint8_t *p, size_t n) { return n > 1 && (p[0] == '>' || (n > 11 && memcmp(p, "# STOCKHOLM", 11) == 0)); }

static kr_status start(kr_table *t, bool quality) {
    static const char *const names[] = {"name", "about", "sequence", "quality"};
    KR_TRY(kr_table_start(t, quality ? 4 : 3));
    for (int i = 0; i < (quality ? 4 : 3); i++) kr_table_put(t, names[i], strlen(names[i]));
    return KR_OK;
}

/* A row from the line behind > or @. */
static kr_status begin(kr_table *t, span head, int64_t line) {
    size_t n = 0, skip;
    while (n < head.n && head.p[n] != ' ' && head.p[n] != '\t') n++;
    for (skip = n; skip < head.n && (head.p[skip] == ' ' || head.p[skip] == '\t');) skip++;
    KR_TRY(kr_table_row(t, line));
    kr_table_put(t, head.p, n);
    kr_table_put(t, head.p + skip, head.n - skip);
    return KR_OK;
}

static void add_letters(kr_str *to, span s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i]) kr_str_append_char(to, s.p[i]);
}

static kr_status read_fasta(kr_table *t, reader *r, kr_str *sequence) {
    span s;
    bool open = false;
    while (next(r, &s)) {
        if (!s.n || *s.p == ';') continue;
        if (*s.p != '>') {
            if (!open) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: letters before the first name; want a line that begins with >", r->what, (long long)r->line);
            add_letters(sequence, s);
            continue;
        }
        if (open) kr_table_put(t, kr_str_text(sequence), sequence->n);
        kr_str_cut(sequence, 0);
        open = true;
        KR_TRY(begin(t, (span){s.p + 1, s.n - 1}, r->line));
    }
    if (open) kr_table_put(t, kr_str_text(sequence), sequence->n);
    return KR_OK;
}

/* Four lines a read. */
static kr_status read_fastq(kr_table *t, reader *r) {
    span name, letters, plus, quality;
    while (next(r, &name)) {
        int64_t line = r->line;
        if (!name.n) continue;
        if (*name.p != '@' || !next(r, &letters) || !next(r, &plus) || !next(r, &quality) || !plus.n || *plus.p != '+' || letters.n != quality.n)
            KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: no read of FASTQ: want @name, letters, +, and as many qualities as letters", r->what, (long long)line);
        KR_TRY(begin(t, (span){name.p + 1, name.n - 1}, line));
        kr_table_put(t, letters.p, letters.n);
        kr_table_put(t, quality.p, quality.n);
    }
    return KR_OK;
}

/* The pieces of one name stand in blocks: the k-th line of a block belongs to the k-th name, and
 * says so.  Two passes over each name's lines keep memory flat. */
static kr_status read_stockholm(kr_table *t, reader *r, kr_str *sequence) {
    reader first = *r;
    span s;
    while (next(&first, &s)) {
        size_t n = 0;
        if (s.n >= 2 && memcmp(s.p, "//", 2) == 0) break;
        if (!s.n || *s.p == '#') continue;
        while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t') n++;
        if (n == s.n) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: a name without letters", r->what, (long long)first.line);
        bool seen = false;
        for (int64_t i = t->n_rows - 1; i >= 0 && i >= t->n_rows - 20000 && !seen; i--) {
            const char *name = kr_table_cell(t, i, 0);
            seen = strlen(name) == n && memcmp(name, s.p, n) == 0;
        }
        if (seen) break; /* the second block: all names are known */
        KR_TRY(begin(t, (span){s.p, n}, first.line));
        kr_str_cut(sequence, 0);
        reader again = first;
        span more = {s.p + n, s.n - n};
        add_letters(sequence, more);
        while (next(&again, &more) && !(more.n >= 2 && memcmp(more.p, "//", 2) == 0))
            if (more.n > n && memcmp(more.p, s.p, n) == 0 && (more.p[n] == ' ' || more.p[n] == '\t')) add_letters(sequence, (span){more.p + n, more.n - n});
        kr_table_put(t, kr_str_text(sequence), sequence->n);
    }
    return KR_OK;
}

static kr_status decode(kr_table *out, const uint8_t *p, size_t n, const char *what) {
    reader r = {(const char *)p, (const char *)p + n, what, 0};
    kr_str sequence = {0};
    char c = n ? (char)p[0] : 0;
    KR_TRY(start(out, c == '@'));
    kr_status st = c == '@' ? read_fastq(out, &r) : c == '#' ? read_stockholm(out, &r, &sequence) : read_fasta(out, &r, &sequence);
    if (st == KR_OK) st = kr_str_status(&sequence);
    if (st == KR_OK && !out->n_rows) st = kr_fail(KR_ERR_FORMAT, "%s: no sequence in it", what);
    kr_str_free(&sequence);
    return st;
}

const kr_decoder kr_decoder_fasta = {.name = "fasta", .about = "FASTA, A3M, FASTQ, Stockholm", .endings = ".fasta .fa .fna .faa .fastq .fq .a3m .sto .stockholm",
                                     .is = is_fasta, .table = decode};
