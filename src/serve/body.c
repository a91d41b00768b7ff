/* body.c - a request's body as JSON, in memory that its bytes bound.
 *
 * A value takes up to a hundred bytes once it is read, and a prompt may be a list of millions of token ids.  So these
 * lists are read here, at four bytes each, and the text has [null,k] instead: the k-th of x->ids.  All other values are
 * counted before any is read. */
#include <stdio.h>
#include <string.h>

#include "serve/http.h"

enum { MOST_PARTS = 250000, MANY = 16 }; /* shorter lists, which are not worth it, and their mistakes are JSON's */

typedef struct scan { kr_exchange *x; const char *p, *end; char *to; int depth; bool prompt, no_memory; int64_t parts; } scan;

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The next id of a list, as JSON writes whole numbers; false: it is something else.  p ends at the comma or bracket. */
static bool next_id(const char **p, const char *end, int32_t *id) {
    int64_t x = 0;
    const char *q = *p;
    while (q < end && is_space(*q)) q++;
    const char *first = q;
    while (q < end && is_digit(*q) && q - first < 10) x = 10 * x + *q++ - '0';
    if (q == first || x > INT32_MAX || (*first == '0' && q - first > 1)) return false;
    while (q < end && is_space(*q)) q++;
    if (q == end || (*q != ',' && *q != ']')) return false;
    *p = q, *id = (int32_t)x;
    return true;
}

static bool add_ids(kr_exchange *x, kr_ids list) {
    kr_ids *more = x->n_ids & (x->n_ids - 1) ? x->ids : kr_mem_resize(x->ids, (size_t)(x->n_ids ? 2 * x->n_ids : 1) * sizeof *more);
    if (!more) return false;
    x->ids = more;
    x->ids[x->n_ids++] = list;
    return true;
}

/* At a bracket: takes a list of ids out; false: it is none, or a short one. */
static bool take_ids(scan *s) {
    const char *q = s->p + 1;
    kr_ids list = {0};
    int32_t id;
    for (; next_id(&q, s->end, &id); q++)
        if (list.n++, *q == ']') break;
    if (list.n < MANY || q == s->end || *q != ']') return false;
    const char *behind = q + 1;
    if ((list.tok = kr_mem_array((size_t)list.n, sizeof *list.tok))) {
        q = s->p + 1;
        for (int64_t i = 0; i < list.n; i++, q++) next_id(&q, s->end, &list.tok[i]);
    }
    if (!list.tok || !add_ids(s->x, list)) {
        kr_mem_free(list.tok);
        return s->no_memory = true, false;
    }
    s->to += sprintf(s->to, "[null,%lld]", (long long)s->x->n_ids - 1); /* shorter than the list was */
    s->p = behind;
    s->parts += 3;
    return true;
}

/* A text, and, where it names a member of the body, whether that holds prompts. */
static void pass_text(scan *s) {
    const char *first = s->p++;
    while (s->p < s->end && *s->p != '"') s->p += *s->p == '\\' && s->p + 1 < s->end ? 2 : 1;
    if (s->p < s->end) s->p++;
    size_t n = (size_t)(s->p - first);
    memmove(s->to, first, n);
    const char *text = s->to;
    s->to += n;
    s->parts++;
    const char *q = s->p;
    while (q < s->end && is_space(*q)) q++;
    if (s->depth == 1 && q < s->end && *q == ':')
        s->prompt = (n == 8 && memcmp(text, "\"prompt\"", n) == 0) || (n == 7 && memcmp(text, "\"input\"", n) == 0) || (n == 8 && memcmp(text, "\"tokens\"", n) == 0);
}

/* A number, or true, false, null, or what only looks like one. */
static void pass_word(scan *s) {
    for (; s->p < s->end && (is_digit(*s->p) || (*s->p | 32) >= 'a' || strchr("+-.", *s->p)) && !strchr("[]{}", *s->p); s->p++) *s->to++ = *s->p;
    s->parts++;
}

/* Takes lists of ids out of the body, in place, and counts what is left; false: refused. */
static bool compact(kr_exchange *x) {
    scan s = {.x = x, .p = x->body.text, .end = x->body.text + x->body.n, .to = x->body.text};
    while (s.p < s.end && s.parts <= MOST_PARTS && !s.no_memory) {
        char c = *s.p;
        if (c == '"') {
            pass_text(&s);
        } else if (c == '[' && s.prompt && s.depth <= 2 && take_ids(&s)) {
            continue;
        } else if (is_digit(c) || c == '-' || ((c | 32) >= 'a' && (c | 32) <= 'z')) {
            pass_word(&s);
        } else {
            if (c == '{' || c == '[') s.depth++, s.parts++;
            if (c == '}' || c == ']') s.depth--;
            if (c == ',' && s.depth == 1) s.prompt = false;
            *s.to++ = c;
            s.p++;
        }
    }
    if (s.no_memory) return kr_refuse_status(x, KR_ERR_NOMEM, NULL), false;
    if (s.parts > MOST_PARTS) {
        kr_refuse(x, 400, NULL, "too_many_values", "The request has more than %d values, not counting the ids in long lists of tokens.", MOST_PARTS);
        return false;
    }
    kr_str_cut(&x->body, (size_t)(s.to - x->body.text));
    return true;
}

json_t *kr_exchange_json(kr_exchange *x) {
    json_t *j;
    if (x->body.n == 0) {
        kr_refuse(x, 400, NULL, "empty_body", "The request has no body; it wants a JSON object.");
        return NULL;
    }
    if (!compact(x)) return NULL;
    if (kr_json_parse(&j, x->body.text, x->body.n, "the request's body") != KR_OK) {
        kr_refuse(x, 400, NULL, "invalid_json", "%s", kr_error());
        return NULL;
    }
    if (json_is_object(j)) return j;
    json_decref(j);
    kr_refuse(x, 400, NULL, "invalid_json", "The request's body is not a JSON object.");
    return NULL;
}

kr_ids *kr_exchange_ids(const kr_exchange *x, const json_t *list) {
    const json_t *k = json_array_get(list, 1);
    if (json_array_size(list) != 2 || !json_is_null(json_array_get(list, 0)) || !json_is_integer(k)) return NULL;
    json_int_t i = json_integer_value(k);
    return i >= 0 && i < x->n_ids && x->ids[i].tok ? &x->ids[i] : NULL; /* also where a client writes so itself: it is its own list */
}

void kr_exchange_drop_body(kr_exchange *x) {
    for (int64_t i = 0; i < x->n_ids; i++) kr_mem_free(x->ids[i].tok);
    kr_mem_free(x->ids);
    x->ids = NULL, x->n_ids = 0;
    kr_str_free(&x->body);
}
