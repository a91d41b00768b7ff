/* words.c - counting words: blocks of a text go to threads, each with a table of its own.
 *
 * A text is cut into blocks before a space that follows a letter, where every pre-tokeniser
 * cuts too, so what is counted does not depend on the blocks. */
#include "text/words.h"

#include <string.h>

#include "text/unicode.h"

enum { BLOCK = 1 << 20 };

typedef struct span { const unsigned char *p; size_t n; } span;
typedef struct spans { span *s; size_t n, room; } spans;

/* --- one table ------------------------------------------------------------------------- */

static kr_status more_slots(kr_words *w) {
    size_t n = w->n_slots ? 2 * w->n_slots : 4096;
    uint32_t *slot = kr_mem_array(n, sizeof *slot);
    if (!slot) return KR_ERR_NOMEM;
    for (size_t i = 0; i < w->n; i++) {
        size_t at = w->word[i].hash & (n - 1);
        while (slot[at]) at = (at + 1) & (n - 1);
        slot[at] = (uint32_t)i + 1;
    }
    kr_mem_free(w->slot);
    w->slot = slot, w->n_slots = n;
    return KR_OK;
}

static kr_status more_words(kr_words *w) {
    if (w->n == UINT32_MAX - 1) KR_FAIL(KR_ERR_ARG, "the text has more than %u different words", UINT32_MAX - 1);
    size_t room = w->room ? 2 * w->room : 1024;
    kr_word *word = kr_mem_resize(w->word, room * sizeof *word);
    if (!word) return KR_ERR_NOMEM;
    w->word = word, w->room = room;
    return KR_OK;
}

static kr_status add(kr_words *w, const void *p, uint32_t n, uint32_t hash, int64_t count) {
    if (2 * (w->n + 1) > w->n_slots) KR_TRY(more_slots(w));
    size_t i = hash & (w->n_slots - 1);
    for (; w->slot[i]; i = (i + 1) & (w->n_slots - 1)) {
        kr_word *have = &w->word[w->slot[i] - 1];
        if (have->hash == hash && have->n == n && memcmp(w->bytes.text + have->at, p, n) == 0) return have->count += count, KR_OK;
    }
    if (w->n == w->room) KR_TRY(more_words(w));
    w->word[w->n] = (kr_word){w->bytes.n, count, n, hash};
    w->slot[i] = (uint32_t)++w->n;
    kr_str_append_n(&w->bytes, p, n);
    return kr_str_status(&w->bytes);
}

void kr_words_free(kr_words *w) {
    kr_str_free(&w->bytes);
    kr_mem_free(w->word);
    kr_mem_free(w->slot);
    *w = (kr_words){0};
}

/* --- blocks ------------------------------------------------------------------------------ */

static kr_status add_span(spans *to, const unsigned char *p, size_t n) {
    if (to->n == to->room) {
        size_t room = to->room ? 2 * to->room : 64;
        span *s = kr_mem_resize(to->s, room * sizeof *s);
        if (!s) return KR_ERR_NOMEM;
        to->s = s, to->room = room;
    }
    to->s[to->n++] = (span){p, n};
    return KR_OK;
}

static bool is_letter(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static kr_status cut(spans *to, const unsigned char *p, const unsigned char *end) {
    while (p < end) {
        const unsigned char *at = end - p > BLOCK ? p + BLOCK : end;
        while (at < end && !(*at == ' ' && is_letter(at[-1]))) at++;
        KR_TRY(add_span(to, p, (size_t)(at - p)));
        p = at;
    }
    return KR_OK;
}

static kr_status cut_around_added(spans *to, const kr_tokenizer *t, const unsigned char *p, const unsigned char *end) {
    const kr_added_token *a;
    const unsigned char *at;
    while (kr_finder_next(&t->raw, p, end, &a, &at)) {
        KR_TRY(cut(to, p, at));
        p = at + a->n;
    }
    return cut(to, p, end);
}

static kr_status count_block(kr_words *w, const kr_tokenizer *t, span s, kr_str *repaired, kr_str *normal) {
    if (kr_utf8_valid(s.p, s.n) < s.n) {
        kr_str_cut(repaired, 0);
        kr_utf8_repair(repaired, s.p, s.n);
        KR_TRY(kr_str_status(repaired));
        s = (span){(const unsigned char *)repaired->text, repaired->n};
    }
    if (t->nfc && !kr_nfc_surely(s.p, s.n)) {
        kr_str_cut(normal, 0);
        KR_TRY(kr_nfc(normal, s.p, s.n));
        s = (span){(const unsigned char *)normal->text, normal->n};
    }
    for (const unsigned char *p = s.p, *end = p + s.n; p < end;) {
        size_t n = kr_split_next(t->split, p, end);
        if (n > UINT32_MAX / 4) KR_FAIL(KR_ERR_ARG, "a word of %zu bytes is longer than a vocabulary is learnt from", n);
        KR_TRY(add(w, p, (uint32_t)n, kr_bytes_hash(p, n), 1));
        p += n;
    }
    return KR_OK;
}

static kr_status count_blocks(kr_words *part, const kr_tokenizer *t, const spans *s, int n_threads) {
    kr_status st = KR_OK;
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
    for (int k = 0; k < n_threads; k++) { /* every n_threads-th block, whatever threads there are */
        kr_str repaired = {0}, normal = {0};
        kr_status mine = KR_OK;
        for (size_t i = (size_t)k; i < s->n && mine == KR_OK; i += (size_t)n_threads) mine = count_block(&part[k], t, s->s[i], &repaired, &normal);
        kr_str_free(&repaired);
        kr_str_free(&normal);
        if (mine != KR_OK) {
#pragma omp critical(kr_words)
            st = mine;
        }
    }
    if (st == KR_ERR_NOMEM) KR_FAIL(st, "out of memory while counting words"); /* its own sentence is another thread's */
    if (st != KR_OK) KR_FAIL(st, "a word of the text is longer than a vocabulary is learnt from");
    return KR_OK;
}

static kr_status join(kr_words *w, const kr_words *part) {
    for (size_t i = 0; i < part->n; i++) {
        const kr_word *x = &part->word[i];
        KR_TRY(add(w, part->bytes.text + x->at, x->n, x->hash, x->count));
    }
    return KR_OK;
}

kr_status kr_words_count(kr_words *w, const kr_tokenizer *t, const void *text, size_t n, int n_threads) {
    spans s = {0};
    kr_words *part = kr_mem_array((size_t)n_threads, sizeof *part);
    kr_status st = part ? cut_around_added(&s, t, text, (const unsigned char *)text + n) : KR_ERR_NOMEM;
    if (st == KR_OK) st = count_blocks(part, t, &s, n_threads);
    for (int i = 0; part && i < n_threads; i++) {
        if (st == KR_OK) st = join(w, &part[i]);
        kr_words_free(&part[i]);
    }
    kr_mem_free(part);
    kr_mem_free(s.s);
    return st;
}
