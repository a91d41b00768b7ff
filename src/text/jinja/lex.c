/* lex.c - the tokens of a template: text between tags, and what stands in tags.
 *
 * Which spaces go: after "-%}" all, after "%}" one newline; before "{%-" all, before "{%" and
 * "{#" the spaces and tabs that alone stand before it on its line ("+" keeps them).  A newline
 * that ends the template goes, too: kr_jinja_parse leaves it out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"
#include "text/unicode.h"

#define BAD(...) KR_FAIL(KR_ERR_FORMAT, __VA_ARGS__)

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f); }

size_t kr_j_space(const char *p, const char *end) {
    int n = 1;
    if (p == end) return 0;
    if (!((unsigned char)*p & 0x80)) return is_space(*p);
    return kr_char_class_of(kr_utf8_get((const unsigned char *)p, &n)) == KR_CHAR_SPACE ? (size_t)n : 0;
}

size_t kr_j_space_before(const char *from, const char *p) {
    const char *letter = p;
    if (p == from) return 0;
    do letter--;
    while (letter > from && ((unsigned char)*letter & 0xC0) == 0x80);
    return kr_j_space(letter, p);
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool at(const kr_j_lexer *x, const char *p, const char *text) {
    size_t n = strlen(text);
    return (size_t)(x->end - p) >= n && memcmp(p, text, n) == 0;
}

static void skip_to(kr_j_lexer *x, const char *p) {
    for (; x->p < p; x->p++) x->line += *x->p == '\n';
}

static void skip_space(kr_j_lexer *x) {
    for (size_t n; (n = kr_j_space(x->p, x->end));) skip_to(x, x->p + n);
}

/* How much of the n bytes before a tag stays: "-" takes all space, a block what alone stands before it on its line. */
static size_t kept_before(const kr_j_lexer *x, const char *from, size_t n, char sign, bool block) {
    size_t k = n, space;
    if (sign == '-') {
        while ((space = kr_j_space_before(from, from + k))) k -= space;
        return k;
    }
    if (sign == '+' || !block) return n;
    while (k && from[k - 1] != '\n' && (space = kr_j_space_before(from, from + k))) k -= space;
    return (k ? from[k - 1] == '\n' : x->line_start) ? k : n;
}

/* Behind a tag's end: "-" takes all space, else a block takes one newline. */
static void end_of_tag(kr_j_lexer *x, bool all, bool newline) {
    const char *from = x->p;
    if (all) skip_space(x);
    else if (newline && x->p < x->end && *x->p == '\n') skip_to(x, x->p + 1);
    x->line_start = x->p > from && x->p[-1] == '\n';
}

/* A comment, to behind its end. */
static kr_status skip_comment(kr_j_lexer *x) {
    if (x->p < x->end && (*x->p == '-' || *x->p == '+')) x->p++;
    const char *end = memmem(x->p, (size_t)(x->end - x->p), "#}", 2);
    if (!end) BAD("%s: line %d: a comment has no end", x->name, x->line);
    bool all = end[-1] == '-' && end > x->p, keep = end[-1] == '+' && end > x->p;
    skip_to(x, end + 2);
    end_of_tag(x, all, !keep);
    return KR_OK;
}

/* {% raw %} or {% endraw %} at p: the signs within its ends (0: none), and what is behind it. */
typedef struct word_tag { char before, after; const char *end; } word_tag;

static bool read_word_tag(const kr_j_lexer *x, const char *p, const char *word, word_tag *w) {
    *w = (word_tag){0};
    if (!at(x, p, "{%")) return false;
    p += 2;
    if (p < x->end && (*p == '-' || *p == '+')) w->before = *p++;
    for (size_t n; (n = kr_j_space(p, x->end));) p += n;
    if (!at(x, p, word)) return false;
    p += strlen(word);
    for (size_t n; (n = kr_j_space(p, x->end));) p += n;
    if (p < x->end && (*p == '-' || *p == '+')) w->after = *p++;
    w->end = p + 2;
    return at(x, p, "%}");
}

/* The newline behind {% raw %} stays, unlike that of other tags. */
static kr_status raw_block(kr_j_lexer *x, const word_tag *raw, kr_j_token *t) {
    word_tag end;
    int line = x->line;
    const char *p;
    skip_to(x, raw->end);
    end_of_tag(x, raw->after == '-', false);
    for (p = x->p; (p = memmem(p, (size_t)(x->end - p), "{%", 2)); p++)
        if (read_word_tag(x, p, "endraw", &end)) break;
    if (!p) BAD("%s: line %d: {%% raw %%} has no {%% endraw %%}", x->name, line);
    *t = (kr_j_token){.kind = KR_J_T_DATA, .line = x->line, .text = x->p, .n = kept_before(x, x->p, (size_t)(p - x->p), end.before, true)};
    skip_to(x, end.end);
    end_of_tag(x, end.after == '-', end.after != '+');
    return KR_OK;
}

/* Text up to the next tag; then that tag is open. */
static kr_status next_data(kr_j_lexer *x, kr_j_token *t) {
    for (;;) {
        const char *from = x->p, *p = from;
        word_tag raw;
        bool tag;
        while ((p = memchr(p, '{', (size_t)(x->end - p))) && !at(x, p, "{{") && !at(x, p, "{%") && !at(x, p, "{#")) p++;
        tag = p != NULL;
        if (!tag) p = x->end;
        *t = (kr_j_token){.kind = KR_J_T_DATA, .line = x->line, .text = from, .n = (size_t)(p - from)};
        if (tag) t->n = kept_before(x, from, t->n, p + 2 < x->end ? p[2] : 0, p[1] != '{');
        if (t->n) return skip_to(x, p), x->line_start = false, KR_OK; /* the tag comes with the next call */
        skip_to(x, p);
        if (!tag) return t->kind = KR_J_T_END, KR_OK;
        if (p[1] == '#') {
            skip_to(x, p + 2);
            KR_TRY(skip_comment(x));
            continue;
        }
        if (p[1] == '%' && read_word_tag(x, p, "raw", &raw) && raw.after != '+') {
            KR_TRY(raw_block(x, &raw, t));
            if (t->n) return KR_OK;
            continue;
        }
        skip_to(x, p + 2);
        if (x->p < x->end && (*x->p == '-' || *x->p == '+')) x->p++;
        x->inside = true, x->in_print = p[1] == '{', x->brackets = 0;
        *t = (kr_j_token){.kind = x->in_print ? KR_J_T_OPEN_PRINT : KR_J_T_OPEN_TAG, .line = x->line};
        return KR_OK;
    }
}

/* --- inside of tags --------------------------------------------------------------------------- */

static int hex_of(char c) { return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* What stands behind a backslash, as Python reads it; what it does not know stays as it is. */
static const char *escape(kr_str *s, const char *p, const char *end) {
    static const char known[] = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    for (const char *k = known; *k; k += 2)
        if (*p == *k) return kr_str_append_char(s, k[1]), p + 1;
    if (*p == '\n') return p + 1;
    int digits = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
    uint32_t cp = 0;
    if (digits && end - p > digits) {
        int i = 1;
        for (; i <= digits && hex_of(p[i]) >= 0; i++) cp = cp * 16 + (uint32_t)hex_of(p[i]);
        if (i > digits && cp < 0x110000 && (cp < 0xD800 || cp > 0xDFFF)) return kr_utf8_put(s, cp), p + 1 + digits;
    }
    if (*p >= '0' && *p <= '7') {
        int i = 0;
        for (cp = 0; i < 3 && p < end && *p >= '0' && *p <= '7'; i++, p++) cp = cp * 8 + (uint32_t)(*p - '0');
        return kr_utf8_put(s, cp), p;
    }
    kr_str_append_char(s, '\\');
    kr_str_append_char(s, *p);
    return p + 1;
}

static kr_status text_token(kr_j_lexer *x, kr_j_token *t) {
    char quote = *x->p;
    const char *p = x->p + 1;
    kr_str s = {0};
    while (p < x->end && *p != quote) {
        if (*p == '\\' && p + 1 < x->end) p = escape(&s, p + 1, x->end);
        else kr_str_append_char(&s, *p++);
    }
    if (p == x->end) return kr_str_free(&s), kr_fail(KR_ERR_FORMAT, "%s: line %d: a text in quotes has no end", x->name, x->line);
    skip_to(x, p + 1);
    char *copy = s.failed ? NULL : kr_arena_new(x->arena, s.n + 1);
    if (copy && s.n) memcpy(copy, s.text, s.n);
    t->kind = KR_J_T_TEXT, t->text = copy, t->n = s.n;
    kr_str_free(&s);
    return copy ? KR_OK : KR_ERR_NOMEM;
}

static kr_status number_token(kr_j_lexer *x, kr_j_token *t) {
    char digits[64];
    enum { MOST = sizeof digits - 2 }; /* a round takes up to two */
    size_t n = 0;
    bool real = false, index = x->p[-1] == '.'; /* of a.0.1 */
    const char *p = x->p;
    for (; p < x->end && n < MOST; p++) {
        bool point = *p == '.' && !real && !index && p + 1 < x->end && is_digit(p[1]);
        bool power = !index && (*p == 'e' || *p == 'E') && n && p + 1 < x->end && (is_digit(p[1]) || ((p[1] == '+' || p[1] == '-') && p + 2 < x->end && is_digit(p[2])));
        if (!is_digit(*p) && *p != '_' && !point && !power) break;
        if (*p != '_') digits[n++] = *p;
        if (power) {
            real = true;
            digits[n++] = *++p;
        }
        real |= point;
    }
    digits[n] = 0;
    if (n >= MOST) BAD("%s: line %d: a number of too many digits", x->name, x->line);
    x->p = p;
    t->kind = real ? KR_J_T_REAL : KR_J_T_INT;
    t->f = strtod(digits, NULL);
    errno = 0;
    t->i = real ? 0 : strtoll(digits, NULL, 10);
    if (errno) BAD("%s: line %d: the number %s is too large", x->name, x->line, digits);
    return KR_OK;
}

static bool closes(kr_j_lexer *x, kr_j_token *t) {
    bool minus = *x->p == '-', plus = *x->p == '+' && !x->in_print;
    const char *p = x->p + (minus || plus);
    if (!at(x, p, x->in_print ? "}}" : "%}")) return false;
    x->p = p + 2;
    x->inside = false;
    end_of_tag(x, minus, !x->in_print && !plus);
    t->kind = KR_J_T_CLOSE;
    return true;
}

kr_status kr_j_next_token(kr_j_lexer *x, kr_j_token *t) {
    static const char *const two[] = {"**", "//", "==", "!=", "<=", ">=", NULL};
    if (!x->inside) return next_data(x, t);
    skip_space(x);
    *t = (kr_j_token){.line = x->line, .text = x->p, .n = 1, .kind = KR_J_T_SIGN};
    if (x->p == x->end) BAD("%s: line %d: a tag has no end", x->name, x->line);
    if (x->brackets == 0 && closes(x, t)) return KR_OK;
    char c = *x->p;
    if (c == '"' || c == '\'') return text_token(x, t);
    if (is_digit(c)) return number_token(x, t);
    if (is_letter(c)) {
        while (x->p < x->end && (is_letter(*x->p) || is_digit(*x->p))) x->p++;
        return t->kind = KR_J_T_NAME, t->n = (size_t)(x->p - t->text), KR_OK;
    }
    for (int i = 0; two[i]; i++)
        if (at(x, x->p, two[i])) return x->p += 2, t->n = 2, KR_OK;
    if (!memchr("+-*/%~()[]{}<>=|.,:;", c, 20) || !c) BAD("%s: line %d: '%c' (byte %d) has no place in a tag", x->name, x->line, c >= 32 && c < 127 ? c : '?', (unsigned char)c);
    if (strchr("([{", c)) x->brackets++;
    if (strchr(")]}", c) && x->brackets) x->brackets--;
    x->p++;
    return KR_OK;
}
