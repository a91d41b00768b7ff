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

typedef struct kr_token { uint32_t at, n; } kr_token;            /* in `texts`; at 0: no such id */
typedef struct kr_merge { int32_t left, right, to; } kr_merge;   /* to -1: it is said again further on */

/* Slots of a hash table hold an index, plus one, and above it as many bits of the hash as there is room for, by which most of what
 * is not there is known at once.  0: empty. */
enum { KR_INDEX_BITS = 25, KR_MOST_INDEX = (1 << KR_INDEX_BITS) - 2 };
static inline uint32_t kr_slot_make(uint32_t hash, uint32_t index) { return hash >> KR_INDEX_BITS << KR_INDEX_BITS | (index + 1); }
static inline bool kr_slot_may_be(uint32_t slot, uint32_t hash) { return (slot ^ hash) >> KR_INDEX_BITS == 0; }
static inline uint32_t kr_slot_index(uint32_t slot) { return (slot & ((1u << KR_INDEX_BITS) - 1)) - 1; }

/* A file's text is megabytes that are wanted only when the tokenizer is written, so who has a file open anyway keeps it. */
typedef struct kr_json_lender {
    void *from;
    kr_status (*write)(void *from, kr_str *to);
    void (*give_back)(void *from);
} kr_json_lender;

struct kr_tokenizer {
    kr_arena arena;
    char *json;             /* the file itself, to be written beside a model; NULL: a lender has it */
    size_t json_bytes;
    kr_json_lender lender;
    bool nfc, prefix_space, ignore_merges;
    kr_split_rule split;
    kr_token *token;
    char *texts;            /* a zero byte behind each */
    int64_t n_tokens;
    _Atomic unsigned char *whole; /* [n_tokens] 0: not asked yet, 1: yes, 2: no */
    int32_t byte[256];      /* the tokens of single bytes */
    uint32_t *slot;         /* hash of a token's bytes to its id */
    kr_merge *merge;        /* by rank */
    uint32_t *merge_slot;   /* hash of a pair to its rank */
    uint32_t n_merges, slot_mask, merge_mask;
    kr_added_token *added;
    int n_added;
    kr_finder raw, normalized;
    int32_t *before, *after; /* what the post-processor puts around a text */
    int n_before, n_after;
};

static inline const char *kr_token_bytes(const kr_tokenizer *t, int32_t id) { return t->texts + t->token[id].at; }
static inline uint32_t kr_merge_rank(const kr_tokenizer *t, const kr_merge *m) { return (uint32_t)(m - t->merge); }

/* hash.c: what a token is, and what two make. */
int32_t kr_tokens_find(const kr_tokenizer *t, const void *bytes, size_t n); /* -1: none */
const kr_merge *kr_merges_find(const kr_tokenizer *t, int32_t left, int32_t right);
uint32_t kr_bytes_hash(const void *bytes, size_t n);
uint32_t kr_pair_hash(int32_t left, int32_t right);
/* added.c */
kr_status kr_finder_make(kr_finder *f, kr_tokenizer *t, bool normalized);
/* The first match in [p, end); false: none. */
bool kr_finder_next(const kr_finder *f, const unsigned char *p, const unsigned char *end, const kr_added_token **token, const unsigned char **at);
/* tokenizer.c: from the text of a tokenizer.json; `name` is its name in messages. */
kr_status kr_tokenizer_open_text(kr_tokenizer **out, const char *json, size_t n, const char *name);
/* ... which is not kept: the lender, which is given back even if this fails, can write it again. */
kr_status kr_tokenizer_open_lent(kr_tokenizer **out, const char *json, size_t n, const char *name, const kr_json_lender *lender);
/* Appends the text. */
kr_status kr_tokenizer_write(const kr_tokenizer *t, kr_str *to);
/* tokenizer_json.c */
/* Appends the letters that files spell bytes with. */
void kr_spell_bytes(kr_str *to, const void *bytes, size_t n);
kr_status kr_tokenizer_parse(kr_tokenizer *t, const char *json, size_t n, const char *path);
#endif
