/* learn.c - byte pair encoding, learnt: merge the commonest pair until there are enough tokens.
 *
 * All words stand in one line of symbols, one a byte at first.  A symbol that covers the bytes
 * [i, i + n) has its token at i and its length at both ends, so its neighbours are found
 * without links.  Each pair knows where it occurs; a merge visits just these places and
 * corrects the counts around them.  The heap's counts may be old: whoever comes off the top
 * with an old count goes back with its true one. */
#include "text/learn.h"

#include <string.h>

enum { NONE = -1 }; /* between words */
#define NOWHERE UINT32_MAX

typedef struct place { uint32_t at, next; } place; /* a list, oldest first */
typedef struct pair { int32_t left, right; int64_t count; uint32_t first, last, touched; bool merged; } pair;
typedef struct entry { int64_t count; uint32_t pair; } entry;

typedef struct learner {
    kr_learner *l;
    int32_t *token;      /* of the symbol that starts here */
    uint32_t *length;    /* of the symbol that starts or ends here */
    uint32_t *word;      /* of which word this is a byte */
    int64_t *count;      /* [n_words] */
    pair *pair;
    place *place;
    uint32_t *slot;      /* hash to pair + 1 */
    entry *heap;
    uint32_t *touched;   /* pairs with places that are new since the last merge */
    kr_word *text;       /* tokens' bytes, to find two that spell the same */
    kr_str bytes;
    uint32_t *text_slot;
    size_t n_symbols, n_pairs, pairs_room, n_slots, n_places, places_room, n_heap, heap_room, n_touched, touched_room, n_text_slots;
    uint32_t free_places, now;
} learner;

static kr_status grow(void *array, size_t *room, size_t size, size_t first) {
    void **p = array;
    size_t n = *room ? *room + *room / 2 : first;
    if (n > UINT32_MAX) KR_FAIL(KR_ERR_ARG, "the text has too many different words for one vocabulary");
    void *more = kr_mem_resize(*p, n * size);
    if (!more) return KR_ERR_NOMEM;
    *p = more, *room = n;
    return KR_OK;
}

/* --- the heap: the largest count first, then the smallest tokens ------------------------- */

static bool above(const learner *s, entry a, entry b) {
    const pair *p = &s->pair[a.pair], *q = &s->pair[b.pair];
    if (a.count != b.count) return a.count > b.count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static kr_status push(learner *s, entry x) {
    if (s->n_heap == s->heap_room) KR_TRY(grow(&s->heap, &s->heap_room, sizeof *s->heap, 4096));
    size_t i = s->n_heap++;
    for (; i > 0 && above(s, x, s->heap[(i - 1) / 2]); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = x;
    return KR_OK;
}

static entry pop(learner *s) {
    entry top = s->heap[0], x = s->heap[--s->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < s->n_heap; i = k) {
        if (k + 1 < s->n_heap && above(s, s->heap[k + 1], s->heap[k])) k++;
        if (!above(s, s->heap[k], x)) break;
        s->heap[i] = s->heap[k];
    }
    s->heap[i] = x;
    return top;
}

/* --- pairs and their places ---------------------------------------------------------------- */

static kr_status more_pair_slots(learner *s) {
    size_t n = s->n_slots ? 2 * s->n_slots : 8192;
    uint32_t *slot = kr_mem_array(n, sizeof *slot);
    if (!slot) return KR_ERR_NOMEM;
    for (size_t i = 0; i < s->n_pairs; i++) {
        size_t at = kr_pair_hash(s->pair[i].left, s->pair[i].right) & (n - 1);
        while (slot[at]) at = (at + 1) & (n - 1);
        slot[at] = (uint32_t)i + 1;
    }
    kr_mem_free(s->slot);
    s->slot = slot, s->n_slots = n;
    return KR_OK;
}

static kr_status find_pair(learner *s, int32_t left, int32_t right, uint32_t *out) {
    if (2 * (s->n_pairs + 1) > s->n_slots) KR_TRY(more_pair_slots(s));
    size_t i = kr_pair_hash(left, right) & (s->n_slots - 1);
    for (; s->slot[i]; i = (i + 1) & (s->n_slots - 1)) {
        const pair *p = &s->pair[s->slot[i] - 1];
        if (p->left == left && p->right == right) return *out = s->slot[i] - 1, KR_OK;
    }
    if (s->n_pairs == s->pairs_room) KR_TRY(grow(&s->pair, &s->pairs_room, sizeof *s->pair, 4096));
    s->pair[s->n_pairs] = (pair){left, right, 0, NOWHERE, NOWHERE, 0, false};
    s->slot[i] = (uint32_t)++s->n_pairs;
    *out = (uint32_t)s->n_pairs - 1;
    return KR_OK;
}

static kr_status new_place(learner *s, uint32_t *out) {
    if (s->free_places != NOWHERE) return *out = s->free_places, s->free_places = s->place[s->free_places].next, KR_OK;
    if (s->n_places == s->places_room) KR_TRY(grow(&s->place, &s->places_room, sizeof *s->place, s->n_symbols + 16));
    *out = (uint32_t)s->n_places++;
    return KR_OK;
}

static kr_status add_place(learner *s, int32_t left, int32_t right, uint32_t at) {
    uint32_t i, k;
    KR_TRY(find_pair(s, left, right, &i));
    KR_TRY(new_place(s, &k));
    pair *p = &s->pair[i];
    p->count += s->count[s->word[at]];
    s->place[k] = (place){at, NOWHERE};
    if (p->last == NOWHERE) p->first = k;
    else s->place[p->last].next = k;
    p->last = k;
    if (p->touched == s->now) return KR_OK;
    p->touched = s->now;
    if (s->n_touched == s->touched_room) KR_TRY(grow(&s->touched, &s->touched_room, sizeof *s->touched, 4096));
    s->touched[s->n_touched++] = i;
    return KR_OK;
}

static kr_status drop_place(learner *s, int32_t left, int32_t right, uint32_t at) { /* the place itself is passed over when met */
    uint32_t i;
    KR_TRY(find_pair(s, left, right, &i));
    s->pair[i].count -= s->count[s->word[at]];
    return KR_OK;
}

static kr_status push_touched(learner *s) {
    for (size_t i = 0; i < s->n_touched; i++)
        if (s->pair[s->touched[i]].count > 0) KR_TRY(push(s, (entry){s->pair[s->touched[i]].count, s->touched[i]}));
    s->n_touched = 0;
    s->now++;
    return KR_OK;
}

/* --- tokens by their bytes ------------------------------------------------------------------- */

static bool spells(const learner *s, int64_t token, const char *p, size_t n) {
    const kr_word *t = &s->text[token];
    return t->n == n && memcmp(s->bytes.text + t->at, p, n) == 0;
}

/* The token that spells left and right: two ways to the same bytes are one token. */
static kr_status token_of(learner *s, int32_t left, int32_t right, int32_t *to) {
    kr_word a = s->text[left], b = s->text[right];
    size_t at = s->bytes.n, n = (size_t)a.n + b.n;
    for (size_t i = 0; i < n; i++) kr_str_append_char(&s->bytes, s->bytes.text[i < a.n ? a.at + i : b.at + i - a.n]);
    KR_TRY(kr_str_status(&s->bytes));
    size_t i = kr_bytes_hash(s->bytes.text + at, n) & (s->n_text_slots - 1);
    for (; s->text_slot[i]; i = (i + 1) & (s->n_text_slots - 1))
        if (spells(s, s->text_slot[i] - 1, s->bytes.text + at, n)) return kr_str_cut(&s->bytes, at), *to = (int32_t)s->text_slot[i] - 1, KR_OK;
    *to = (int32_t)s->l->n_tokens++;
    s->text[*to] = (kr_word){at, 0, (uint32_t)n, 0};
    s->text_slot[i] = (uint32_t)*to + 1;
    return KR_OK;
}

/* --- learning ----------------------------------------------------------------------------------- */

static kr_status merge_at(learner *s, uint32_t at, kr_learned_merge m) {
    if (s->token[at] != m.left || s->token[at + s->length[at]] != m.right) return KR_OK; /* changed since */
    uint32_t right = at + s->length[at], end = right + s->length[right], left = at;
    left -= s->length[at - 1]; /* 0 between words */
    int32_t x = left < at ? s->token[left] : NONE, y = s->token[end];
    KR_TRY(drop_place(s, m.left, m.right, at));
    if (x != NONE) KR_TRY(drop_place(s, x, m.left, at));
    if (y != NONE) KR_TRY(drop_place(s, m.right, y, at));
    s->token[right] = NONE;
    s->token[at] = m.to;
    s->length[at] = s->length[end - 1] = end - at;
    if (x != NONE) KR_TRY(add_place(s, x, m.to, left));
    if (y != NONE) KR_TRY(add_place(s, m.to, y, at));
    return KR_OK;
}

static kr_status merge_pair(learner *s, uint32_t i, kr_learned_merge m) {
    uint32_t k = s->pair[i].first;
    s->pair[i].first = s->pair[i].last = NOWHERE;
    while (k != NOWHERE) {
        place p = s->place[k];
        s->place[k].next = s->free_places;
        s->free_places = k;
        KR_TRY(merge_at(s, p.at, m));
        k = p.next;
    }
    return KR_OK;
}

static kr_status learn(learner *s) {
    kr_learner *l = s->l;
    size_t room = 0;
    int64_t first = l->n_tokens;
    while (l->n_tokens < l->max_tokens && s->n_heap) {
        entry top = pop(s);
        pair *p = &s->pair[top.pair];
        if (p->count != top.count) {
            if (p->count > 0 && p->count < top.count) KR_TRY(push(s, (entry){p->count, top.pair}));
            continue; /* one that has grown was pushed when it did */
        }
        if (p->count < 1 || p->count < l->min_count) break;
        kr_learned_merge m = {p->left, p->right, 0};
        KR_TRY(token_of(s, m.left, m.right, &m.to));
        if (l->n_merges == room) KR_TRY(grow(&l->merge, &room, sizeof *l->merge, 4096));
        if (!p->merged) l->merge[l->n_merges++] = m; /* else its left or right came to be in a second way */
        p->merged = true;
        KR_TRY(merge_pair(s, top.pair, m));
        KR_TRY(push_touched(s));
        if (l->progress && l->n_merges % 64 == 0) l->progress(l->user, "merges", l->n_tokens - first, l->max_tokens - first);
    }
    if (l->progress) l->progress(l->user, "merges", l->n_tokens - first, l->n_tokens - first);
    return KR_OK;
}

/* The line of symbols: NONE, a word, NONE, a word, ... NONE. */
static kr_status lay_out(learner *s, const kr_words *w) {
    size_t n = 1, at = 1;
    for (size_t i = 0; i < w->n; i++) n += w->word[i].n + 1;
    if (n >= UINT32_MAX) KR_FAIL(KR_ERR_ARG, "the different words of the text have %zu bytes in all, want fewer than %u", n, UINT32_MAX);
    s->n_symbols = n;
    s->token = kr_mem_array(n, sizeof *s->token), s->length = kr_mem_array(n, sizeof *s->length), s->word = kr_mem_array(n, sizeof *s->word);
    s->count = kr_mem_array(w->n + 1, sizeof *s->count);
    if (!s->token || !s->length || !s->word || !s->count) return KR_ERR_NOMEM;
    s->token[0] = NONE;
    for (size_t i = 0; i < w->n; i++) {
        const kr_word *x = &w->word[i];
        s->count[i] = x->count;
        for (size_t k = 0; k < x->n; k++, at++)
            s->token[at] = s->l->byte[(unsigned char)w->bytes.text[x->at + k]], s->length[at] = 1, s->word[at] = (uint32_t)i;
        s->token[at++] = NONE;
    }
    for (size_t i = 1; i + 1 < n; i++)
        if (s->token[i] != NONE && s->token[i + 1] != NONE) KR_TRY(add_place(s, s->token[i], s->token[i + 1], (uint32_t)i));
    return push_touched(s);
}

static kr_status name_bytes(learner *s) {
    size_t n = 16;
    while (n < 2 * (size_t)s->l->max_tokens) n *= 2;
    s->n_text_slots = n;
    s->text = kr_mem_array((size_t)s->l->max_tokens, sizeof *s->text), s->text_slot = kr_mem_array(n, sizeof *s->text_slot);
    if (!s->text || !s->text_slot) return KR_ERR_NOMEM;
    for (int b = 0; b < 256; b++) {
        char c = (char)b;
        s->text[s->l->byte[b]] = (kr_word){s->bytes.n, 0, 1, 0};
        kr_str_append_char(&s->bytes, c);
    }
    return kr_str_status(&s->bytes);
}

kr_status kr_learn(kr_learner *l, const kr_words *w) {
    learner s = {.l = l, .free_places = NOWHERE, .now = 1};
    kr_status st = name_bytes(&s);
    if (st == KR_OK) st = lay_out(&s, w);
    if (st == KR_OK) st = learn(&s);
    void *all[] = {s.token, s.length, s.word, s.count, s.pair, s.place, s.slot, s.heap, s.touched, s.text, s.text_slot};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kr_mem_free(all[i]);
    kr_str_free(&s.bytes);
    return st;
}
