/* tokenizer.c - opening a tokenizer, and asking it about its tokens. */
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "text/unicode.h"

static kr_status open_path(kr_tokenizer *t, const char *path) {
    char file[4096];
    if (kr_dir_exists(path)) KR_TRY(kr_path_join(file, sizeof file, path, "tokenizer.json"));
    else if (strlen(path) >= sizeof file) KR_FAIL(KR_ERR_ARG, "the path of a tokenizer is too long");
    else strcpy(file, path);
    void *text;
    KR_TRY(kr_file_read(&text, &t->json_bytes, file));
    t->json = text;
    return kr_tokenizer_parse(t, t->json, t->json_bytes, file);
}

kr_status kr_tokenizer_open(kr_tokenizer **out, const char *path) {
    kr_tokenizer *t = kr_mem_new(sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    kr_status st = open_path(t, path);
    if (st != KR_OK) kr_tokenizer_free(t);
    else *out = t;
    return st;
}

kr_status kr_tokenizer_open_text(kr_tokenizer **out, const char *json, size_t n, const char *name) {
    kr_tokenizer *t = kr_mem_new(sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    kr_status st = (t->json = kr_mem_new(n + 1)) ? KR_OK : KR_ERR_NOMEM;
    if (st == KR_OK) {
        memcpy(t->json, json, n);
        t->json_bytes = n;
        st = kr_tokenizer_parse(t, json, n, name);
    }
    if (st != KR_OK) kr_tokenizer_free(t);
    else *out = t;
    return st;
}

kr_status kr_tokenizer_open_lent(kr_tokenizer **out, const char *json, size_t n, const char *name, const kr_json_lender *lender) {
    kr_tokenizer *t = kr_mem_new(sizeof *t);
    if (!t) {
        lender->give_back(lender->from);
        return KR_ERR_NOMEM;
    }
    t->lender = *lender;
    kr_status st = kr_tokenizer_parse(t, json, n, name);
    if (st != KR_OK) kr_tokenizer_free(t);
    else *out = t;
    return st;
}

kr_status kr_tokenizer_write(const kr_tokenizer *t, kr_str *to) {
    if (!t->json) return t->lender.write(t->lender.from, to);
    kr_str_append_n(to, t->json, t->json_bytes);
    return kr_str_status(to);
}

kr_status kr_tokenizer_save(const kr_tokenizer *t, const char *path) {
    kr_str s = {0};
    if (t->json) return kr_file_write(path, t->json, t->json_bytes);
    kr_status st = kr_tokenizer_write(t, &s);
    if (st == KR_OK) st = kr_file_write(path, kr_str_text(&s), s.n);
    kr_str_free(&s);
    return st;
}

void kr_tokenizer_free(kr_tokenizer *t) {
    if (!t) return;
    kr_arena_clear(&t->arena);
    kr_mem_free(t->json);
    if (t->lender.from) t->lender.give_back(t->lender.from);
    kr_mem_free(t);
}

int64_t kr_tokenizer_size(const kr_tokenizer *t) { return t->n_tokens; }

const char *kr_tokenizer_text(const kr_tokenizer *t, int32_t tok, int64_t *n_bytes) {
    if (tok < 0 || tok >= t->n_tokens || !t->token[tok].at) return NULL;
    if (n_bytes) *n_bytes = t->token[tok].n;
    return kr_token_bytes(t, tok);
}

int32_t kr_tokenizer_find(const kr_tokenizer *t, const char *text) {
    for (int i = 0; i < t->n_added; i++)
        if (strcmp(t->added[i].text, text) == 0) return t->added[i].id;
    return *text ? kr_tokens_find(t, text, strlen(text)) : -1;
}

bool kr_tokenizer_is_special(const kr_tokenizer *t, int32_t tok) {
    for (int i = 0; i < t->n_added; i++)
        if (t->added[i].id == tok) return t->added[i].special;
    return false;
}

int64_t kr_utf8_whole(const char *bytes, int64_t n) { return n - kr_utf8_open(bytes, (size_t)n); }
