/* decode_words.c - lines of words: the first, and what stands behind it, as a table of two columns.
 *
 *   CCO ethanol        .smi     smiles, name
 *   7 12 40 3          .txt     user, items: who, and what they took in turn */
#include <string.h>

#include "base/mem.h"
#include "data/words.h"

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool kr_words_are(const uint8_t *p, size_t n, const char *what) {
    bool spaces = false;
    if (!kr_decode_ends(what, ".txt")) return false;
    for (size_t i = 0; i < n && p[i] != '\n' && p[i] != '\r'; i++) {
        if (strchr(",;\t", p[i])) return false; /* zero bytes too */
        spaces = spaces || p[i] == ' ';
    }
    return spaces;
}

kr_status kr_words_decode(kr_table *out, const uint8_t *p, size_t n, const char *what) {
    const char *at = (const char *)p, *end = at + n;
    bool smiles = kr_decode_ends(what, ".smi");
    KR_TRY(kr_table_start(out, 2));
    kr_table_put(out, smiles ? "smiles" : "user", 8);
    kr_table_put(out, smiles ? "name" : "items", 8);
    for (int64_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *from = at, *last = stop ? stop : end, *word;
        at = stop ? stop + 1 : end;
        while (from < last && blank(*from)) from++;
        while (last > from && blank(last[-1])) last--;
        if (from == last) continue;
        for (word = from; word < last && !blank(*word);) word++;
        KR_TRY(kr_table_row(out, line));
        kr_table_put(out, from, (size_t)(word - from));
        while (word < last && blank(*word)) word++;
        kr_table_put(out, word, (size_t)(last - word));
    }
    if (!out->n_rows) KR_FAIL(KR_ERR_FORMAT, "%s: no line in it", what);
    return KR_OK;
}

const kr_decoder kr_decoder_words = {.name = "words", .about = "lines of words: SMILES and a name; a user and items", .endings = ".smi", .table = kr_words_decode};
