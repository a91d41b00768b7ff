/* corpus.h - documents in memory, and which of their bytes are held out. */
#ifndef KR_DATA_CORPUS_H
#define KR_DATA_CORPUS_H
#include "base/json.h"
#include "krait/tokenizer.h"

/* Documents one after the other: document i is bytes[start[i] .. start[i + 1]).  None is
 * empty.  Zero-initialised is empty. */
typedef struct kr_corpus {
    unsigned char *bytes;
    int32_t *ids;       /* instead of bytes, once encoded: start and n_bytes then count tokens */
    int64_t *start;
    int64_t n_docs, n_bytes, docs_room, bytes_room;
} kr_corpus;

/* Adds what `paths` (a string or an array of strings; `key` in messages) names: a file, a
 * folder with all below it in sorted order, a pattern, or "-", standard input.  A file is a
 * document; with a separator it is cut there, and newlines around a separator go with it.
 * end_byte >= 0 is put after every document. */
kr_status kr_corpus_add(kr_corpus *c, const json_t *paths, const char *key, const char *separator, int64_t end_byte);
/* Turns every document into tokens, each followed by the token `end` (-1: none). */
kr_status kr_corpus_encode(kr_corpus *c, const kr_tokenizer *t, int32_t end);
void kr_corpus_free(kr_corpus *c);

/* Pieces of documents that belong to one split, seen as one long string of bytes:
 * piece i is bytes[at[i]...], and `before[i]` bytes come before it (n_docs + 1 entries). */
typedef struct kr_stream {
    int64_t n_docs, n_bytes;
    int64_t *at, *before;
} kr_stream;

typedef enum kr_hold_out { KR_HOLD_OUT_AUTO, KR_HOLD_OUT_TAIL, KR_HOLD_OUT_DOCUMENTS } kr_hold_out;

/* Streams of the documents before n_train (train) and from there on (eval); if there are
 * none of the latter, `fraction` of the bytes is held out:
 *   TAIL       the end of every document, cut between UTF-8 characters;
 *   DOCUMENTS  whole documents, the same ones whatever the seed;
 *   AUTO       DOCUMENTS where there are at least 50 of them and enough of them fit,
 *              else TAIL.
 * *how becomes what was done.  The caller frees both streams, also after a failure. */
kr_status kr_corpus_split(const kr_corpus *c, int64_t n_train, double fraction, kr_hold_out *how, kr_stream *train,
                          kr_stream *eval);
void kr_stream_free(kr_stream *s);
#endif
