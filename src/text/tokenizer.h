/* tokenizer.h - the inside of a tokenizer, for the files of this folder.
 *
 * Tokens are kept as the bytes they stand for, not in the letters that files spell bytes
 * with.  Nothing changes after opening, but one byte a token: whether merging its own bytes
 * gives it back, found out when first asked, the same for whoever asks. */
#ifndef KR_TEXT_TOKENIZER_H
#define KR_TEXT_TOKENIZER_H
#include <stdatomic.h>

#include "base/mem.h"
#include "base/str.h"
#include "krait/tokenizer.h"
#include "text/split.h"

typedef struct kr_added_token {
    const char *text;       /* in NFC if it is looked for in normalised text */
    size_t n;
    int32_t id;
    bool lstrip, rstrip, normalized, special;
} kr_added_token;

/* Tokens to find in a text: the longest of those that start first. */
typedef struct kr_finder {
    const kr_added_token **token; /* by first byte, then the longest first */
    int n, from[257];
    uint8_t pair[8192];           /* a bit for each two bytes that may start one */
    bool any[256];
} kr_finder;

typedef struct kr_token { const char *text; uint32_t n; } kr_token; /* NULL: no such id */
typedef struct kr_merge { uint64_t pair; uint32_t rank; int32_t to; } kr_merge; /* pair ~0: empty */

struct kr_tokenizer {
    kr_arena arena;
    char *json;             /* the file itself, to be written beside a model */
    size_t json_bytes;
    bool nfc, prefix_space, ignore_merges;
    kr_split_rule split;
    kr_token *token;
    int64_t n_tokens;
    _Atomic unsigned char *whole; /* [n_tokens] 0: not asked yet, 1: yes, 2: no */
    int32_t byte[256];      /* the tokens of single bytes */
    int32_t *slot;          /* hash of a token's bytes to its id, -1: empty */
    kr_merge *merge;        /* hash of a pair */
    uint32_t slot_mask, merge_mask;
    kr_added_token *added;
    int n_added;
    kr_finder raw, normalized;
    int32_t *before, *after; /* what the post-processor puts around a text */
    int n_before, n_after;
};

/* hash.c: what a token is, and what two make. */
int32_t kr_tokens_find(const kr_tokenizer *t, const void *bytes, size_t n); /* -1: none */
const kr_merge *kr_merges_find(const kr_tokenizer *t, int32_t left, int32_t right);
uint32_t kr_bytes_hash(const void *bytes, size_t n);
uint32_t kr_pair_hash(uint64_t pair);
/* added.c */
kr_status kr_finder_make(kr_finder *f, kr_tokenizer *t, bool normalized);
/* The first match in [p, end); false: none. */
bool kr_finder_next(const kr_finder *f, const unsigned char *p, const unsigned char *end, const kr_added_token **token, const unsigned char **at);
/* tokenizer.c: from the text of a tokenizer.json; `name` is its name in messages. */
kr_status kr_tokenizer_open_text(kr_tokenizer **out, const char *json, size_t n, const char *name);
/* tokenizer_json.c */
/* Appends the letters that files spell bytes with. */
void kr_spell_bytes(kr_str *to, const void *bytes, size_t n);
kr_status kr_tokenizer_parse(kr_tokenizer *t, const char *path);
#endif
