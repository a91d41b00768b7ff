/* added.c - finding added and special tokens in a text.
 *
 * Few bytes start one, and fewer pairs of bytes do, so a text is passed over with a table
 * and only then compared. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static int by_start(const void *a, const void *b) {
    const kr_added_token *x = *(const kr_added_token *const *)a, *y = *(const kr_added_token *const *)b;
    int p = (unsigned char)x->text[0], q = (unsigned char)y->text[0];
    if (p != q) return p - q;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void allow(kr_finder *f, unsigned char a, unsigned char b) {
    unsigned pair = (unsigned)a << 8 | b;
    f->pair[pair >> 3] |= (uint8_t)(1u << (pair & 7));
}

kr_status kr_finder_make(kr_finder *f, kr_tokenizer *t, bool normalized) {
    f->token = kr_arena_new(&t->arena, ((size_t)t->n_added + 1) * sizeof *f->token);
    if (!f->token) return KR_ERR_NOMEM;
    for (int i = 0; i < t->n_added; i++)
        if (t->added[i].normalized == normalized && t->added[i].n) f->token[f->n++] = &t->added[i];
    qsort(f->token, (size_t)f->n, sizeof *f->token, by_start);
    for (int i = 0, c = 0; c < 256; c++) {
        f->from[c] = i;
        while (i < f->n && (unsigned char)f->token[i]->text[0] == c) i++;
        f->from[c + 1] = i;
    }
    for (int i = 0; i < f->n; i++) {
        const unsigned char *p = (const unsigned char *)f->token[i]->text;
        f->any[p[0]] = true;
        for (int b = 0; b < 256; b++)
            if (f->token[i]->n == 1 || p[1] == b) allow(f, p[0], (unsigned char)b);
    }
    return KR_OK;
}

bool kr_finder_next(const kr_finder *f, const unsigned char *p, const unsigned char *end, const kr_added_token **token, const unsigned char **at) {
    if (!f->n) return false;
    for (; p < end; p++) {
        if (!f->any[*p]) continue;
        if (end - p > 1) {
            unsigned pair = (unsigned)p[0] << 8 | p[1];
            if (!(f->pair[pair >> 3] >> (pair & 7) & 1)) continue;
        }
        for (int i = f->from[*p]; i < f->from[*p + 1]; i++) {
            const kr_added_token *a = f->token[i];
            if (a->n <= (size_t)(end - p) && memcmp(a->text, p, a->n) == 0) return *token = a, *at = p, true;
        }
    }
    return false;
}
