/* corpus.c - loading documents and holding some of their bytes out. */
#include "data/corpus.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/source_kind.h"

void kr_corpus_free(kr_corpus *c) {
    kr_mem_free(c->bytes);
    kr_mem_free(c->ids);
    kr_mem_free(c->start);
    *c = (kr_corpus){0};
}

/* Room for more bytes and one more document. */
static kr_status grow(kr_corpus *c, int64_t more_bytes) {
    if (c->n_bytes + more_bytes > c->bytes_room) {
        int64_t room = c->n_bytes + more_bytes + c->bytes_room / 2;
        void *p = kr_mem_resize(c->bytes, (size_t)room);
        if (!p) return KR_ERR_NOMEM;
        c->bytes = p, c->bytes_room = room;
    }
    if (c->n_docs + 2 > c->docs_room) {
        int64_t room = 2 * c->docs_room + 64;
        void *p = kr_mem_resize(c->start, (size_t)room * sizeof *c->start);
        if (!p) return KR_ERR_NOMEM;
        c->start = p, c->docs_room = room;
        if (!c->n_docs) c->start[0] = 0;
    }
    return KR_OK;
}

static kr_status add_document(kr_corpus *c, const unsigned char *text, size_t n, int64_t end_byte) {
    if (!n) return KR_OK;
    KR_TRY(grow(c, (int64_t)n + (end_byte >= 0)));
    memcpy(c->bytes + c->n_bytes, text, n);
    c->n_bytes += (int64_t)n;
    if (end_byte >= 0) c->bytes[c->n_bytes++] = (unsigned char)end_byte;
    c->start[++c->n_docs] = c->n_bytes;
    return KR_OK;
}

static bool is_newline(unsigned char b) { return b == '\n' || b == '\r'; }

static kr_status add_text(kr_corpus *c, const unsigned char *text, size_t n, const char *separator, int64_t end_byte) {
    size_t len = separator ? strlen(separator) : 0;
    if (!len) return add_document(c, text, n, end_byte);
    for (bool first = true, last = false; !last; first = false) {
        const unsigned char *cut = n >= len ? memmem(text, n, separator, len) : NULL;
        size_t whole = cut ? (size_t)(cut - text) : n, skip = 0, keep;
        last = !cut;
        while (!first && skip < whole && is_newline(text[skip])) skip++;
        for (keep = whole; !last && keep > skip && is_newline(text[keep - 1]);) keep--;
        KR_TRY(add_document(c, text + skip, keep - skip, end_byte));
        if (!last) text += whole + len, n -= whole + len;
    }
    return KR_OK;
}

static kr_status add_file(kr_corpus *c, const char *path, const char *separator, int64_t end_byte) {
    void *text;
    size_t n;
    KR_TRY(kr_file_read(&text, &n, path));
    kr_status st = add_text(c, text, n, separator, end_byte);
    kr_mem_free(text);
    return st;
}

/* One entry of the list.  An empty file is refused if it was named, and passed over in a
 * folder or a pattern. */
static kr_status add_path(kr_corpus *c, const char *path, const char *separator, int64_t end_byte) {
    int64_t before = c->n_bytes;
    bool dir = kr_dir_exists(path), pattern = !dir && !kr_file_exists(path) && strpbrk(path, "*?[");
    kr_status st = KR_OK;
    if (dir || pattern) {
        kr_file_list list = {0};
        char full[4096];
        st = dir ? kr_dir_list(&list, path, KR_LIST_FILES | KR_LIST_DEEP) : kr_file_glob(&list, path);
        for (size_t i = 0; i < list.n && st == KR_OK; i++) {
            st = kr_path_join(full, sizeof full, dir ? path : "", list.name[i]);
            if (st == KR_OK && !kr_dir_exists(full)) st = add_file(c, full, separator, end_byte);
        }
        kr_file_list_free(&list);
    } else {
        st = add_file(c, path, separator, end_byte);
    }
    if (st == KR_OK && c->n_bytes == before)
        KR_FAIL(KR_ERR_CONFIG, "%s: %s", strcmp(path, "-") ? path : "standard input",
                dir       ? "this folder holds no file with text in it"
                : pattern ? "no file with text in it fits this pattern"
                          : "there is no text in it");
    return st;
}

kr_status kr_corpus_add(kr_corpus *c, const json_t *paths, const char *key, const char *separator, int64_t end_byte) {
    if (json_is_string(paths)) return add_path(c, json_string_value(paths), separator, end_byte);
    if (!json_array_size(paths))
        KR_FAIL(KR_ERR_CONFIG, "data.%s names no text: want files, folders, patterns or \"-\", "
                "as in \"data\": {\"%s\": [\"book.txt\"]}", key, key);
    for (size_t i = 0; i < json_array_size(paths); i++)
        KR_TRY(add_path(c, json_string_value(json_array_get(paths, i)), separator, end_byte));
    return KR_OK;
}

/* --- tokens -------------------------------------------------------------------------- */

/* One document behind those before; *room grows where a document has more tokens than bytes. */
static kr_status encode_document(kr_corpus *c, const kr_tokenizer *t, int64_t doc, int32_t end, int64_t *n, int64_t *room) {
    const char *text = (const char *)c->bytes + c->start[doc];
    int64_t n_bytes = c->start[doc + 1] - c->start[doc], got;
    for (;;) {
        got = kr_tokenizer_encode(t, text, n_bytes, c->ids + *n, *room - *n - 1);
        if (got < 0) return (kr_status)got;
        if (got < *room - *n) break;
        *room = *n + got + 2 + (c->n_bytes - c->start[doc]);
        void *p = kr_mem_resize(c->ids, (size_t)*room * sizeof *c->ids);
        if (!p) return KR_ERR_NOMEM;
        c->ids = p;
    }
    *n += got;
    if (end >= 0) c->ids[(*n)++] = end;
    return KR_OK;
}

kr_status kr_corpus_encode(kr_corpus *c, const kr_tokenizer *t, int32_t end) {
    int64_t n = 0, room = c->n_bytes + 2 * c->n_docs + 64;
    if (!(c->ids = kr_mem_array((size_t)room, sizeof *c->ids))) return KR_ERR_NOMEM;
    for (int64_t d = 0; d < c->n_docs; d++) {
        int64_t from = n;
        KR_TRY(encode_document(c, t, d, end, &n, &room));
        c->start[d] = from; /* the bytes of this document are not needed again */
    }
    c->start[c->n_docs] = c->n_bytes = n;
    kr_mem_free(c->bytes);
    c->bytes = NULL;
    void *less = kr_mem_resize(c->ids, (size_t)(n + 1) * sizeof *c->ids);
    if (less) c->ids = less;
    return KR_OK;
}

/* --- holding out --------------------------------------------------------------------- */

void kr_stream_free(kr_stream *s) {
    kr_mem_free(s->at);
    kr_mem_free(s->before);
    *s = (kr_stream){0};
}

static kr_status stream_new(kr_stream *s, int64_t n_docs) {
    s->at = kr_mem_array((size_t)n_docs + 1, sizeof *s->at);
    s->before = kr_mem_array((size_t)n_docs + 1, sizeof *s->before);
    return s->at && s->before ? KR_OK : KR_ERR_NOMEM;
}

static void stream_add(kr_stream *s, int64_t from, int64_t to) {
    if (from >= to) return;
    s->at[s->n_docs++] = from;
    s->n_bytes += to - from;
    s->before[s->n_docs] = s->n_bytes;
}

static void hold_out_tails(const kr_corpus *c, double fraction, kr_stream *train, kr_stream *eval) {
    for (int64_t i = 0; i < c->n_docs; i++) {
        int64_t from = c->start[i], to = c->start[i + 1];
        int64_t cut = to - (int64_t)((double)(to - from) * fraction + 0.5);
        for (int k = 0; k < 3 && cut < to && c->bytes && (c->bytes[cut] & 0xC0) == 0x80; k++) cut++; /* inside a character */
        stream_add(train, from, cut);
        stream_add(eval, cut, to);
    }
}

/* Takes documents in a fixed random order, passing over those that would be too much. */
static void hold_out_documents(const kr_corpus *c, double fraction, bool *out, int64_t *n_bytes) {
    int64_t want = (int64_t)((double)c->n_bytes * fraction + 0.5);
    *n_bytes = 0;
    for (int64_t i = 0; i < c->n_docs; i++) {
        int64_t d = kr_permute(kr_rng_stream("held out"), c->n_docs, i), n = c->start[d + 1] - c->start[d];
        if (*n_bytes + n > want) continue;
        out[d] = true, *n_bytes += n;
    }
}

kr_status kr_corpus_split(const kr_corpus *c, int64_t n_train, double fraction, kr_hold_out *how, kr_stream *train,
                          kr_stream *eval) {
    enum { MANY = 50 };
    KR_TRY(stream_new(train, c->n_docs));
    KR_TRY(stream_new(eval, c->n_docs));
    bool *out = kr_mem_array((size_t)c->n_docs + 1, sizeof *out), whole = n_train < c->n_docs;
    if (!out) return KR_ERR_NOMEM;
    for (int64_t i = n_train; i < c->n_docs; i++) out[i] = true;
    if (!whole && fraction > 0 && *how != KR_HOLD_OUT_TAIL && (*how == KR_HOLD_OUT_DOCUMENTS || c->n_docs >= MANY)) {
        int64_t got;
        hold_out_documents(c, fraction, out, &got);
        whole = *how == KR_HOLD_OUT_DOCUMENTS || (double)got >= 0.5 * fraction * (double)c->n_bytes;
    }
    *how = whole ? KR_HOLD_OUT_DOCUMENTS : KR_HOLD_OUT_TAIL;
    if (whole)
        for (int64_t i = 0; i < c->n_docs; i++) stream_add(out[i] ? eval : train, c->start[i], c->start[i + 1]);
    else
        hold_out_tails(c, fraction, train, eval);
    kr_mem_free(out);
    return KR_OK;
}
