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

/* --- Stockholm: lines of names and pieces, in any order --------------------------------------- */

typedef struct piece { span letters; int64_t next; } piece; /* next: the name's next one; -1: none */
typedef struct named { span name; int64_t line, first, last; } named;
typedef struct alignment { piece *piece; named *named; int64_t *place; int64_t n_pieces, n_names, n_places, piece_room, named_room; } alignment;

static kr_status grow(void **p, int64_t *room, int64_t want, size_t size) {
    if (want <= *room) return KR_OK;
    int64_t n = *room ? 2 * *room : 64;
    void *more = kr_mem_resize(*p, (size_t)n * size);
    if (!more) return KR_ERR_NOMEM;
    *p = more, *room = n;
    return KR_OK;
}

/* FNV-1a; where a name is, or would be, among the places, which are a power of two. */
static int64_t place_of(const alignment *a, span name) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * 0x100000001b3u;
    int64_t at = (int64_t)(h ^ h >> 32) & (a->n_places - 1);
    for (; a->place[at] > 0; at = (at + 1) & (a->n_places - 1)) {
        const span *s = &a->named[a->place[at] - 1].name;
        if (s->n == name.n && memcmp(s->p, name.p, name.n) == 0) break;
    }
    return at;
}

static kr_status more_places(alignment *a) {
    int64_t n = a->n_places ? 2 * a->n_places : 256, *place = kr_mem_array((size_t)n, sizeof *place);
    if (!place) return KR_ERR_NOMEM;
    kr_mem_free(a->place);
    a->place = place, a->n_places = n;
    for (int64_t i = 0; i < a->n_names; i++) place[place_of(a, a->named[i].name)] = i + 1;
    return KR_OK;
}

static kr_status add_piece(alignment *a, span name, span letters, int64_t line) {
    if (2 * a->n_names >= a->n_places) KR_TRY(more_places(a));
    KR_TRY(grow((void **)&a->piece, &a->piece_room, a->n_pieces + 1, sizeof *a->piece));
    KR_TRY(grow((void **)&a->named, &a->named_room, a->n_names + 1, sizeof *a->named));
    int64_t *place = &a->place[place_of(a, name)];
    if (!*place) {
        a->named[a->n_names] = (named){name, line, -1, -1};
        *place = ++a->n_names;
    }
    named *who = &a->named[*place - 1];
    *(who->first < 0 ? &who->first : &a->piece[who->last].next) = a->n_pieces;
    who->last = a->n_pieces;
    a->piece[a->n_pieces++] = (piece){letters, -1};
    return KR_OK;
}

static kr_status read_pieces(alignment *a, reader *r) {
    span s;
    while (next(r, &s) && !(s.n >= 2 && memcmp(s.p, "//", 2) == 0)) {
        size_t n = 0;
        if (!s.n || *s.p == '#') continue;
        while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t') n++;
        if (n == s.n) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: a name without letters", r->what, (long long)r->line);
        KR_TRY(add_piece(a, (span){s.p, n}, (span){s.p + n, s.n - n}, r->line));
    }
    return KR_OK;
}

/* A name's pieces stand in blocks; put together they are its sequence. */
static kr_status read_stockholm(kr_table *t, reader *r, kr_str *sequence) {
    alignment a = {0};
    kr_status st = read_pieces(&a, r);
    for (int64_t i = 0; i < a.n_names && st == KR_OK; i++) {
        kr_str_cut(sequence, 0);
        for (int64_t k = a.named[i].first; k >= 0; k = a.piece[k].next) add_letters(sequence, a.piece[k].letters);
        st = begin(t, a.named[i].name, a.named[i].line);
        if (st == KR_OK) kr_table_put(t, kr_str_text(sequence), sequence->n);
    }
    kr_mem_free(a.piece), kr_mem_free(a.named), kr_mem_free(a.place);
    return st;
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
