/* encode.c - text to ids: added tokens, NFC, the pre-tokeniser, then merges of byte pairs.
 *
 * Most words of a text are one token; whether a token's own bytes merge back into it is
 * found out once and remembered.  Other words are merged by looking for the lowest rank
 * again and again, long ones (a hostile megabyte of one letter) with a heap instead. */
#include <string.h>

#include "base/str.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum { SHORT = 48 };

typedef struct sink {
    const kr_tokenizer *t;
    int32_t *tok;
    int64_t n, cap;
    kr_str normal, spaced; /* copies of pieces that had to change */
    void *memory;          /* of long words */
    size_t memory_bytes;
} sink;

static inline void put(sink *s, int32_t id) {
    if (s->n < s->cap) s->tok[s->n] = id;
    s->n++;
}

/* --- merging -------------------------------------------------------------------------- */

/* Merges ids in place; how many are left. */
static int merge_short(const kr_tokenizer *t, int32_t *id, int n) {
    uint32_t rank[SHORT];
    int32_t to[SHORT];
    for (int i = 0; i + 1 < n; i++) {
        const kr_merge *m = kr_merges_find(t, id[i], id[i + 1]);
        rank[i] = m ? kr_merge_rank(t, m) : UINT32_MAX, to[i] = m ? m->to : 0;
    }
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == UINT32_MAX) break;
        id[best] = to[best];
        n--;
        for (int i = best + 1; i < n; i++) id[i] = id[i + 1], rank[i] = rank[i + 1], to[i] = to[i + 1];
        for (int i = best > 0 ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const kr_merge *m = kr_merges_find(t, id[i], id[i + 1]);
            rank[i] = m ? kr_merge_rank(t, m) : UINT32_MAX, to[i] = m ? m->to : 0;
        }
    }
    return n;
}

typedef struct symbol { int32_t id, next, prev; } symbol; /* id -1: merged into the one before */
typedef struct candidate { uint32_t rank; int32_t at, left, right; } candidate;
typedef struct heap { candidate *c; size_t n; } heap;

static bool before(const candidate *a, const candidate *b) { return a->rank != b->rank ? a->rank < b->rank : a->at < b->at; }

static void heap_push(heap *h, candidate x) {
    size_t i = h->n++;
    for (; i > 0 && before(&x, &h->c[(i - 1) / 2]); i = (i - 1) / 2) h->c[i] = h->c[(i - 1) / 2];
    h->c[i] = x;
}

static candidate heap_pop(heap *h) {
    candidate top = h->c[0], x = h->c[--h->n];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < h->n; i = k) {
        if (k + 1 < h->n && before(&h->c[k + 1], &h->c[k])) k++;
        if (!before(&h->c[k], &x)) break;
        h->c[i] = h->c[k];
    }
    h->c[i] = x;
    return top;
}

static void consider(const kr_tokenizer *t, heap *h, const symbol *s, int32_t at) {
    if (at < 0 || s[at].next < 0) return;
    const kr_merge *m = kr_merges_find(t, s[at].id, s[s[at].next].id);
    if (m) heap_push(h, (candidate){kr_merge_rank(t, m), at, s[at].id, s[s[at].next].id});
}

/* Every merge takes one candidate off the heap and puts two on at most, so it never holds
 * more than twice the symbols. */
static kr_status merge_long(sink *out, const unsigned char *p, size_t n) {
    const kr_tokenizer *t = out->t;
    size_t bytes = n * (sizeof(symbol) + 2 * sizeof(candidate));
    if (n > INT32_MAX / 2) KR_FAIL(KR_ERR_ARG, "a word of %zu bytes is longer than a tokenizer takes (%d)", n, INT32_MAX / 2);
    if (bytes > out->memory_bytes) {
        void *memory = kr_mem_resize(out->memory, bytes);
        if (!memory) return KR_ERR_NOMEM;
        out->memory = memory, out->memory_bytes = bytes;
    }
    heap h = {out->memory, 0};
    symbol *s = (symbol *)(h.c + 2 * n);
    for (size_t i = 0; i < n; i++) s[i] = (symbol){t->byte[p[i]], i + 1 < n ? (int32_t)i + 1 : -1, (int32_t)i - 1};
    for (size_t i = 0; i < n; i++) consider(t, &h, s, (int32_t)i);
    while (h.n) {
        candidate c = heap_pop(&h);
        int32_t next = s[c.at].next;
        if (s[c.at].id != c.left || next < 0 || s[next].id != c.right) continue; /* one of the two has changed since */
        s[c.at].id = kr_merges_find(t, c.left, c.right)->to;
        s[c.at].next = s[next].next;
        s[next].id = -1;
        if (s[c.at].next >= 0) s[s[c.at].next].prev = c.at;
        consider(t, &h, s, s[c.at].prev);
        consider(t, &h, s, c.at);
    }
    for (int32_t i = 0; i >= 0; i = s[i].next) put(out, s[i].id);
    return KR_OK;
}

/* --- one word --------------------------------------------------------------------------- */

static int merge_bytes(const kr_tokenizer *t, const unsigned char *p, size_t n, int32_t id[SHORT]) {
    for (size_t i = 0; i < n; i++) id[i] = t->byte[p[i]];
    return merge_short(t, id, (int)n);
}

/* Does the word, which is the token `id`, merge into it? */
static bool is_whole(const kr_tokenizer *t, int32_t id, const unsigned char *p, size_t n) {
    int32_t ids[SHORT];
    unsigned char known = atomic_load_explicit(&t->whole[id], memory_order_relaxed);
    if (known) return known == 1;
    if (n > SHORT) return false;
    bool is = merge_bytes(t, p, n, ids) == 1;
    atomic_store_explicit(&t->whole[id], is ? 1 : 2, memory_order_relaxed);
    return is;
}

static kr_status encode_word(sink *s, const unsigned char *p, size_t n) {
    const kr_tokenizer *t = s->t;
    int32_t ids[SHORT];
    if (n == 1) return put(s, t->byte[*p]), KR_OK;
    int32_t id = kr_tokens_find(t, p, n);
    if (id >= 0 && (t->ignore_merges || is_whole(t, id, p, n))) return put(s, id), KR_OK;
    if (n > SHORT) return merge_long(s, p, n);
    int k = merge_bytes(t, p, n, ids);
    for (int i = 0; i < k; i++) put(s, ids[i]);
    return KR_OK;
}

/* --- pieces --------------------------------------------------------------------------- */

static kr_status encode_words(sink *s, const unsigned char *p, const unsigned char *end) {
    if (s->t->prefix_space && p < end && *p != ' ') {
        kr_str_cut(&s->spaced, 0);
        kr_str_append_char(&s->spaced, ' ');
        kr_str_append_n(&s->spaced, p, (size_t)(end - p));
        KR_TRY(kr_str_status(&s->spaced));
        p = (const unsigned char *)s->spaced.text, end = p + s->spaced.n;
    }
    while (p < end) {
        size_t n = kr_split_next(s->t->split, p, end);
        KR_TRY(encode_word(s, p, n));
        p += n;
    }
    return KR_OK;
}

static const unsigned char *spaces_before(const unsigned char *from, const unsigned char *at) {
    while (at > from) {
        const unsigned char *p = at - 1;
        int n;
        while (p > from && (*p & 0xC0) == 0x80) p--;
        if (kr_char_class_of(kr_utf8_get(p, &n)) != KR_CHAR_SPACE) break;
        at = p;
    }
    return at;
}

static const unsigned char *spaces_after(const unsigned char *at, const unsigned char *end) {
    for (int n; at < end && kr_char_class_of(kr_utf8_get(at, &n)) == KR_CHAR_SPACE; at += n) {}
    return at;
}

static kr_status encode_normal(sink *s, const unsigned char *p, const unsigned char *end);

/* Cuts at the tokens that f finds and gives the rest to the next stage.  A token that takes
 * the spaces behind it may take the start of the next one's. */
static kr_status encode_around(sink *s, const kr_finder *f, const unsigned char *p, const unsigned char *end,
                               kr_status (*rest)(sink *, const unsigned char *, const unsigned char *)) {
    const kr_added_token *a;
    const unsigned char *at, *done = p, *search = p;
    while (kr_finder_next(f, search, end, &a, &at)) {
        const unsigned char *from = at, *to = search = at + a->n;
        if (a->lstrip) from = spaces_before(p, at);
        if (a->rstrip) to = spaces_after(to, end);
        if (from < done) from = done;
        if (done < from) KR_TRY(rest(s, done, from));
        put(s, a->id);
        done = to;
    }
    return done < end ? rest(s, done, end) : KR_OK;
}

static kr_status encode_normal(sink *s, const unsigned char *p, const unsigned char *end) {
    if (s->t->nfc && !kr_nfc_surely(p, (size_t)(end - p))) {
        kr_str_cut(&s->normal, 0);
        KR_TRY(kr_nfc(&s->normal, p, (size_t)(end - p)));
        p = (const unsigned char *)s->normal.text, end = p + s->normal.n;
    }
    return encode_around(s, &s->t->normalized, p, end, encode_words);
}

static int64_t encode(const kr_tokenizer *t, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap, bool whole) {
    size_t n = n_bytes < 0 ? strlen(text) : (size_t)n_bytes;
    sink s = {.t = t, .tok = tok, .cap = cap};
    kr_str repaired = {0};
    kr_status st = KR_OK;
    if (kr_utf8_valid(text, n) < n) {
        kr_utf8_repair(&repaired, text, n);
        st = kr_str_status(&repaired);
        text = repaired.text, n = repaired.n;
    }
    for (int i = 0; whole && i < t->n_before; i++) put(&s, t->before[i]);
    const unsigned char *p = (const unsigned char *)text;
    if (st == KR_OK) st = encode_around(&s, &t->raw, p, p + n, encode_normal);
    for (int i = 0; whole && i < t->n_after; i++) put(&s, t->after[i]);
    kr_str_free(&repaired);
    kr_str_free(&s.normal);
    kr_str_free(&s.spaced);
    kr_mem_free(s.memory);
    return st == KR_OK ? s.n : st;
}

int64_t kr_tokenizer_encode(const kr_tokenizer *t, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap) { return encode(t, text, n_bytes, tok, cap, true); }
int64_t kr_tokenizer_encode_on(const kr_tokenizer *t, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap) { return encode(t, text, n_bytes, tok, cap, false); }
