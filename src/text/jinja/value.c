/* value.c - what templates compute with, as Python has it: truth, equality, order, text. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"
#include "text/unicode.h"

/* --- the run's bounds ------------------------------------------------------------------------ */

kr_j_value kr_j_bad(kr_j_run *r, kr_status st, const char *fmt, ...) {
    char what[1024];
    va_list ap;
    if (r->st == KR_OK) {
        va_start(ap, fmt);
        vsnprintf(what, sizeof what, fmt, ap);
        va_end(ap);
        r->st = kr_fail(st, "%s: line %d: %s", r->t->name, r->line, what);
    }
    return (kr_j_value){0};
}

bool kr_j_step(kr_j_run *r, size_t n) {
    if (r->st != KR_OK) return false;
    if (n > KR_J_MAX_STEPS || (r->n_steps += (int64_t)n) > KR_J_MAX_STEPS) return kr_j_bad(r, KR_ERR_NUMERIC, "the template takes more than %d steps", KR_J_MAX_STEPS), false;
    return true;
}

bool kr_j_enter(kr_j_run *r) {
    if (!kr_j_step(r, 1)) return false;
    if (r->depth >= KR_J_MAX_DEPTH) return kr_j_bad(r, KR_ERR_NUMERIC, "the template goes more than %d deep", KR_J_MAX_DEPTH), false;
    r->depth++;
    return true;
}

void *kr_j_new(kr_j_run *r, size_t bytes) {
    if (r->st != KR_OK) return NULL;
    if (bytes > KR_J_MAX_BYTES || (r->n_bytes += bytes + 16) > KR_J_MAX_BYTES) return kr_j_bad(r, KR_ERR_NUMERIC, "the template takes more than %d MB", KR_J_MAX_BYTES >> 20), NULL;
    void *p = kr_arena_new(&r->arena, bytes + !bytes);
    if (!p) r->st = KR_ERR_NOMEM;
    return p;
}

/* --- making ------------------------------------------------------------------------------------ */

kr_j_value kr_j_none(void) { return (kr_j_value){.kind = KR_J_NONE}; }
kr_j_value kr_j_bool(bool b) { return (kr_j_value){.kind = KR_J_BOOL, .b = b}; }
kr_j_value kr_j_int(int64_t i) { return (kr_j_value){.kind = KR_J_INT, .i = i}; }
kr_j_value kr_j_real(double f) { return (kr_j_value){.kind = KR_J_REAL, .f = f}; }
kr_j_value kr_j_text(const char *s, size_t n) { return (kr_j_value){.kind = KR_J_TEXT, .n = n, .s = s}; }

kr_j_value kr_j_copy(kr_j_run *r, const char *s, size_t n) {
    kr_j_step(r, n / 64);
    char *copy = kr_j_new(r, n);
    if (!copy) return (kr_j_value){0};
    if (n) memcpy(copy, s, n);
    return kr_j_text(copy, n);
}

kr_j_value kr_j_new_list(kr_j_run *r) {
    kr_j_list *l = kr_j_new(r, sizeof *l);
    return l ? (kr_j_value){.kind = KR_J_LIST, .list = l} : (kr_j_value){0};
}

kr_j_value kr_j_pair_of(kr_j_run *r, kr_j_value a, kr_j_value b) {
    kr_j_value l = kr_j_new_list(r);
    kr_j_push(r, l.list, a);
    kr_j_push(r, l.list, b);
    if (r->st == KR_OK) l.list->tuple = true;
    return l;
}

kr_j_value kr_j_new_dict(kr_j_run *r) {
    kr_j_dict *d = kr_j_new(r, sizeof *d);
    return d ? (kr_j_value){.kind = KR_J_DICT, .dict = d} : (kr_j_value){0};
}

/* Room for one more of `size` bytes. */
static void *grown(kr_j_run *r, void *at, size_t n, size_t *room, size_t size) {
    if (n < *room) return at;
    size_t more = *room ? 2 * *room : 8;
    void *to = kr_j_new(r, more * size);
    if (to && n) memcpy(to, at, n * size);
    if (to) *room = more;
    return to;
}

void kr_j_push(kr_j_run *r, kr_j_list *l, kr_j_value v) {
    if (!kr_j_step(r, 1) || !l) return;
    kr_j_value *at = grown(r, l->at, l->n, &l->room, sizeof v);
    if (at) l->at = at, l->at[l->n++] = v;
}

void kr_j_put(kr_j_run *r, kr_j_dict *d, kr_j_value key, kr_j_value v) {
    if (r->st != KR_OK || !d) return;
    kr_j_value *old = (kr_j_value *)(uintptr_t)kr_j_get(r, d, key);
    if (old) { *old = v; return; }
    kr_j_pair *at = grown(r, d->at, d->n, &d->room, sizeof *at);
    if (at) d->at = at, d->at[d->n++] = (kr_j_pair){key, v};
}

const kr_j_value *kr_j_get(kr_j_run *r, const kr_j_dict *d, kr_j_value key) {
    if (!d || !kr_j_step(r, d->n / 8)) return NULL;
    for (size_t i = 0; i < d->n; i++) {
        const kr_j_value *k = &d->at[i].key;
        if (k->kind == KR_J_TEXT && key.kind == KR_J_TEXT) {
            if (k->n == key.n && (k->s == key.s || (kr_j_step(r, key.n / 64) && memcmp(k->s, key.s, key.n) == 0))) return &d->at[i].value;
        } else if (kr_j_equal(r, *k, key)) return &d->at[i].value;
    }
    return NULL;
}

kr_j_value kr_j_from_json(kr_j_run *r, const json_t *j) {
    const char *key;
    const json_t *v;
    size_t i;
    kr_j_value out = kr_j_none();
    if (json_is_string(j)) return kr_j_text(json_string_value(j), json_string_length(j)); /* lives as long as the JSON */
    if (json_is_integer(j)) return kr_j_int(json_integer_value(j));
    if (json_is_real(j)) return kr_j_real(json_real_value(j));
    if (json_is_boolean(j)) return kr_j_bool(json_is_true(j));
    if (!json_is_object(j) && !json_is_array(j)) return out;
    if (!kr_j_enter(r)) return (kr_j_value){0};
    if (json_is_array(j)) {
        out = kr_j_new_list(r);
        json_array_foreach(j, i, v) {
            kr_j_value one = kr_j_from_json(r, v);
            if (r->st != KR_OK) break;
            kr_j_push(r, out.list, one);
        }
    } else {
        out = kr_j_new_dict(r);
        json_object_foreach((json_t *)(uintptr_t)j, key, v) {
            kr_j_value one = kr_j_from_json(r, v);
            if (r->st != KR_OK) break;
            kr_j_pair *at = grown(r, out.dict->at, out.dict->n, &out.dict->room, sizeof *at); /* keys are told apart already */
            if (at) out.dict->at = at, out.dict->at[out.dict->n++] = (kr_j_pair){kr_j_text(key, strlen(key)), one};
        }
    }
    r->depth--;
    return out;
}

/* --- asking -------------------------------------------------------------------------------------- */

bool kr_j_is(kr_j_value v, const char *text) { return v.kind == KR_J_TEXT && v.n == strlen(text) && memcmp(v.s, text, v.n) == 0; }

bool kr_j_true(kr_j_value v) {
    switch (v.kind) {
    case KR_J_UNDEFINED: case KR_J_NONE: return false;
    case KR_J_BOOL: return v.b;
    case KR_J_INT: return v.i != 0;
    case KR_J_REAL: return v.f != 0;
    case KR_J_TEXT: return v.n > 0;
    case KR_J_LIST: return v.list->n > 0;
    case KR_J_DICT: return v.dict->n > 0;
    default: return true;
    }
}

bool kr_j_whole(kr_j_value v, int64_t *i) {
    if (v.kind == KR_J_INT) return *i = v.i, true;
    if (v.kind == KR_J_BOOL) return *i = v.b, true;
    return false;
}

bool kr_j_number(kr_j_value v, double *x) {
    int64_t i;
    if (v.kind == KR_J_REAL) return *x = v.f, true;
    if (!kr_j_whole(v, &i)) return false;
    return *x = (double)i, true;
}

const char *kr_j_kind_text(kr_j_value v) {
    static const char *const names[] = {"undefined", "none", "a bool", "an integer", "a number", "a text", "a list", "a mapping", "a namespace", "a macro", "a loop", "a function"};
    return names[v.kind];
}

bool kr_j_equal(kr_j_run *r, kr_j_value a, kr_j_value b) {
    double x, y;
    int64_t i, k;
    if (kr_j_whole(a, &i) && kr_j_whole(b, &k)) return i == k;
    if (kr_j_number(a, &x) && kr_j_number(b, &y)) return x == y;
    if (a.kind != b.kind) return false;
    if (a.kind == KR_J_TEXT) return kr_j_step(r, a.n == b.n ? a.n / 64 : 0) && a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
    if (a.kind == KR_J_UNDEFINED || a.kind == KR_J_NONE) return true;
    if (a.kind == KR_J_FUNCTION) return a.i == b.i;
    if (a.kind != KR_J_LIST && a.kind != KR_J_DICT) return a.dict == b.dict;
    if (a.list == b.list) return true;
    bool same = a.kind == KR_J_LIST ? a.list->n == b.list->n && a.list->tuple == b.list->tuple : a.dict->n == b.dict->n;
    if (!same || !kr_j_enter(r)) return false;
    for (size_t n = 0; same && r->st == KR_OK && a.kind == KR_J_LIST && n < a.list->n; n++) same = kr_j_equal(r, a.list->at[n], b.list->at[n]);
    for (size_t n = 0; same && r->st == KR_OK && a.kind == KR_J_DICT && n < a.dict->n; n++) {
        const kr_j_value *other = kr_j_get(r, b.dict, a.dict->at[n].key);
        same = other && kr_j_equal(r, a.dict->at[n].value, *other);
    }
    r->depth--;
    return same;
}

/* By the first parts that differ; else the longer one is the greater. */
static int compare_lists(kr_j_run *r, const kr_j_list *a, const kr_j_list *b) {
    size_t i = 0;
    int c = 0;
    if (!kr_j_enter(r)) return 0;
    while (i < a->n && i < b->n && kr_j_step(r, 1) && kr_j_equal(r, a->at[i], b->at[i])) i++;
    if (i < a->n && i < b->n && r->st == KR_OK) c = kr_j_compare(r, a->at[i], b->at[i]);
    else c = (a->n > b->n) - (a->n < b->n);
    r->depth--;
    return c;
}

int kr_j_compare(kr_j_run *r, kr_j_value a, kr_j_value b) {
    double x, y;
    int64_t i, k;
    if (kr_j_whole(a, &i) && kr_j_whole(b, &k)) return (i > k) - (i < k);
    if (kr_j_number(a, &x) && kr_j_number(b, &y)) return (x > y) - (x < y);
    if (a.kind == KR_J_TEXT && b.kind == KR_J_TEXT) { /* bytes of UTF-8 stand in the order of letters */
        kr_j_step(r, (a.n < b.n ? a.n : b.n) / 64);
        int c = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);
        return c ? (c > 0) - (c < 0) : (a.n > b.n) - (a.n < b.n);
    }
    if (a.kind == KR_J_LIST && b.kind == KR_J_LIST && a.list->tuple == b.list->tuple) return compare_lists(r, a.list, b.list);
    kr_j_bad(r, KR_ERR_ARG, "%s and %s have no order", kr_j_kind_text(a), kr_j_kind_text(b));
    return 0;
}

kr_j_list *kr_j_items(kr_j_run *r, kr_j_value v) {
    if (v.kind == KR_J_LIST) return v.list;
    kr_j_value l = kr_j_new_list(r);
    if (!l.kind || v.kind == KR_J_UNDEFINED) return l.list;
    if (v.kind == KR_J_DICT)
        for (size_t i = 0; i < v.dict->n && r->st == KR_OK; i++) kr_j_push(r, l.list, v.dict->at[i].key);
    else if (v.kind == KR_J_TEXT)
        for (size_t i = 0; i < v.n && r->st == KR_OK;) {
            size_t k = i + 1;
            while (k < v.n && ((unsigned char)v.s[k] & 0xC0) == 0x80) k++;
            kr_j_push(r, l.list, kr_j_text(v.s + i, k - i));
            i = k;
        }
    else kr_j_bad(r, KR_ERR_ARG, "%s is nothing to go through", kr_j_kind_text(v));
    return r->st == KR_OK ? l.list : NULL;
}

size_t kr_j_letters(kr_j_value t) {
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++) n += ((unsigned char)t.s[i] & 0xC0) != 0x80;
    return n;
}

size_t kr_j_letter_at(kr_j_value t, size_t i) {
    size_t at = 0;
    for (; at < t.n; at++)
        if (((unsigned char)t.s[at] & 0xC0) != 0x80 && i-- == 0) break;
    return at;
}

void kr_j_slice_range(int64_t n, const int64_t *from, const int64_t *to, int64_t step, int64_t *first, int64_t *count) {
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    int64_t a = from ? (*from < 0 ? *from + n : *from) : step > 0 ? low : high;
    int64_t b = to ? (*to < 0 ? *to + n : *to) : step > 0 ? high : low;
    a = a < low ? low : a > high ? high : a, b = b < low ? low : b > high ? high : b;
    *first = a;
    uint64_t gap = step > 0 ? (b > a ? (uint64_t)(b - a) : 0) : a > b ? (uint64_t)(a - b) : 0, by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    *count = (int64_t)(gap / by + (gap % by != 0));
}

/* --- writing ---------------------------------------------------------------------------------------- */

static void put(kr_j_run *r, kr_str *to, const char *s, size_t n) {
    if (!kr_j_step(r, 1 + n / 64)) return;
    if ((r->n_bytes += n) > KR_J_MAX_BYTES) { kr_j_bad(r, KR_ERR_NUMERIC, "the template writes more than %d MB", KR_J_MAX_BYTES >> 20); return; }
    kr_str_append_n(to, s, n);
    if (to->failed && r->st == KR_OK) r->st = kr_str_status(to);
}
static void puts_to(kr_j_run *r, kr_str *to, const char *s) { put(r, to, s, strlen(s)); }

/* The shortest digits that give the number back, as Python prints them. */
static void put_real(kr_j_run *r, kr_str *to, double f, bool json) {
    char s[40], digits[40];
    if (isnan(f)) return puts_to(r, to, json ? "NaN" : "nan");
    if (isinf(f)) return puts_to(r, to, json ? (f > 0 ? "Infinity" : "-Infinity") : f > 0 ? "inf" : "-inf");
    int k = 1;
    do snprintf(s, sizeof s, "%.*e", k - 1, f);
    while (strtod(s, NULL) != f && ++k <= 17);
    int power = atoi(strchr(s, 'e') + 1);
    if (power < -4 || power >= 16) {
        char *e = strchr(s, 'e');
        snprintf(digits, sizeof digits, "%.*se%c%02d", (int)(e - s), s, power < 0 ? '-' : '+', abs(power));
    } else {
        snprintf(digits, sizeof digits, "%.*f", k - 1 - power > 0 ? k - 1 - power : 0, f);
        if (!strchr(digits, '.')) strcat(digits, ".0");
    }
    puts_to(r, to, digits);
}

static void put_plain(kr_j_run *r, kr_str *to, kr_j_value v) {
    char s[32];
    if (v.kind == KR_J_NONE) puts_to(r, to, "None");
    else if (v.kind == KR_J_BOOL) puts_to(r, to, v.b ? "True" : "False");
    else if (v.kind == KR_J_INT) snprintf(s, sizeof s, "%lld", (long long)v.i), puts_to(r, to, s);
    else if (v.kind == KR_J_REAL) put_real(r, to, v.f, false);
    else if (v.kind == KR_J_UNDEFINED) return;
    else kr_j_bad(r, KR_ERR_ARG, "%s cannot be written", kr_j_kind_text(v));
}

static void put_repr_text(kr_j_run *r, kr_str *to, kr_j_value v) {
    char quote = memchr(v.s, '\'', v.n) && !memchr(v.s, '"', v.n) ? '"' : '\'', hex[16];
    put(r, to, &quote, 1);
    int k;
    for (size_t i = 0; i < v.n && r->st == KR_OK; i += (size_t)k) {
        uint32_t c = kr_utf8_get((const unsigned char *)v.s + i, &k);
        char two[2] = {'\\', v.s[i]};
        if (two[1] == quote || c == '\\') put(r, to, two, 2);
        else if (c == '\n' || c == '\r' || c == '\t') two[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't', put(r, to, two, 2);
        else if (c != ' ' && (c < 32 || (c >= 127 && c < 0xa0) || c == 0xad || kr_char_class_of(c) == KR_CHAR_SPACE)) snprintf(hex, sizeof hex, c < 256 ? "\\x%02x" : "\\u%04x", c), puts_to(r, to, hex);
        else put(r, to, v.s + i, (size_t)k);
    }
    put(r, to, &quote, 1);
}

void kr_j_write_repr(kr_j_run *r, kr_str *to, kr_j_value v) {
    if (v.kind == KR_J_TEXT) { if (v.n) put_repr_text(r, to, v); else puts_to(r, to, "''"); return; }
    if (v.kind == KR_J_UNDEFINED) { puts_to(r, to, "Undefined"); return; }
    if (v.kind != KR_J_LIST && v.kind != KR_J_DICT) { put_plain(r, to, v); return; }
    if (!kr_j_enter(r)) return;
    bool tuple = v.kind == KR_J_LIST && v.list->tuple;
    puts_to(r, to, tuple ? "(" : v.kind == KR_J_LIST ? "[" : "{");
    for (size_t i = 0; r->st == KR_OK && i < (v.kind == KR_J_LIST ? v.list->n : v.dict->n); i++) {
        if (i) puts_to(r, to, ", ");
        if (v.kind == KR_J_DICT) kr_j_write_repr(r, to, v.dict->at[i].key), puts_to(r, to, ": ");
        kr_j_write_repr(r, to, v.kind == KR_J_LIST ? v.list->at[i] : v.dict->at[i].value);
    }
    puts_to(r, to, tuple ? (v.list->n == 1 ? ",)" : ")") : v.kind == KR_J_LIST ? "]" : "}");
    r->depth--;
}

void kr_j_write(kr_j_run *r, kr_str *to, kr_j_value v) {
    if (v.kind == KR_J_TEXT) put(r, to, v.s, v.n);
    else if (v.kind == KR_J_LIST || v.kind == KR_J_DICT) kr_j_write_repr(r, to, v);
    else put_plain(r, to, v);
}

static void put_json_text(kr_j_run *r, kr_str *to, kr_j_value v, bool ascii) {
    static const char marks[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    char hex[16];
    int k;
    puts_to(r, to, "\"");
    for (size_t i = 0; i < v.n && r->st == KR_OK; i += (size_t)k) {
        unsigned char c = (unsigned char)v.s[i];
        const char *mark = c ? strchr(marks, c) : NULL;
        k = 1;
        if (mark) snprintf(hex, sizeof hex, "\\%c", letters[mark - marks]), puts_to(r, to, hex);
        else if (c < 32) snprintf(hex, sizeof hex, "\\u%04x", c), puts_to(r, to, hex);
        else if (ascii && c >= 0x80 && kr_utf8_valid(v.s + i, v.n - i < 4 ? v.n - i : 4) > 0) {
            uint32_t cp = kr_utf8_get((const unsigned char *)v.s + i, &k);
            if (cp < 0x10000) snprintf(hex, sizeof hex, "\\u%04x", cp);
            else snprintf(hex, sizeof hex, "\\u%04x\\u%04x", 0xD800 + ((cp - 0x10000) >> 10), 0xDC00 + ((cp - 0x10000) & 0x3FF));
            puts_to(r, to, hex);
        } else put(r, to, v.s + i, 1);
    }
    puts_to(r, to, "\"");
}

static void put_line(kr_j_run *r, kr_str *to, const kr_j_json *how, int64_t depth) {
    if (how->indent.kind != KR_J_TEXT) return;
    puts_to(r, to, "\n");
    for (int64_t i = 0; i < depth && r->st == KR_OK; i++) kr_j_write(r, to, how->indent);
}

static void put_json_key(kr_j_run *r, kr_str *to, kr_j_value key, const kr_j_json *how) {
    if (key.kind == KR_J_TEXT) { put_json_text(r, to, key, how->ascii); return; }
    puts_to(r, to, "\"");
    kr_j_write_json(r, to, key, how, 0);
    puts_to(r, to, "\"");
}

static void put_json_parts(kr_j_run *r, kr_str *to, kr_j_value v, const kr_j_json *how, int64_t depth) {
    bool list = v.kind == KR_J_LIST;
    size_t n = list ? v.list->n : v.dict->n;
    kr_j_value pairs = {0}, by_key = kr_j_int(0);
    if (!list && how->sort) {
        pairs = kr_j_method(r, v, "items", 5, &(kr_j_args){0});
        if (r->st == KR_OK) pairs = kr_j_sorted(r, pairs.list, &by_key, NULL, true, false);
    }
    puts_to(r, to, list ? "[" : "{");
    for (size_t i = 0; r->st == KR_OK && i < n; i++) {
        kr_j_pair pair = list ? (kr_j_pair){.value = v.list->at[i]} : pairs.kind ? (kr_j_pair){pairs.list->at[i].list->at[0], pairs.list->at[i].list->at[1]} : v.dict->at[i];
        if (i) kr_j_write(r, to, how->comma);
        put_line(r, to, how, depth + 1);
        if (!list) put_json_key(r, to, pair.key, how), kr_j_write(r, to, how->colon);
        kr_j_write_json(r, to, pair.value, how, depth + 1);
    }
    if (n) put_line(r, to, how, depth);
    puts_to(r, to, list ? "]" : "}");
}

void kr_j_write_json(kr_j_run *r, kr_str *to, kr_j_value v, const kr_j_json *how, int64_t depth) {
    if (v.kind == KR_J_TEXT) { put_json_text(r, to, v, how->ascii); return; }
    if (v.kind == KR_J_NONE || v.kind == KR_J_BOOL) { puts_to(r, to, v.kind == KR_J_NONE ? "null" : v.b ? "true" : "false"); return; }
    if (v.kind == KR_J_REAL) { put_real(r, to, v.f, true); return; }
    if (v.kind == KR_J_INT) { put_plain(r, to, v); return; }
    if (v.kind != KR_J_LIST && v.kind != KR_J_DICT) { kr_j_bad(r, KR_ERR_ARG, "%s has no JSON", kr_j_kind_text(v)); return; }
    if (!kr_j_enter(r)) return;
    put_json_parts(r, to, v, how, depth);
    r->depth--;
}

kr_j_value kr_j_taken(kr_j_run *r, kr_str *s) {
    kr_j_value v = r->st == KR_OK ? kr_j_copy(r, kr_str_text(s), s->n) : (kr_j_value){0};
    if (s->failed && r->st == KR_OK) r->st = kr_str_status(s);
    kr_str_free(s);
    return v;
}

kr_j_value kr_j_str(kr_j_run *r, kr_j_value v) {
    kr_str s = {0};
    if (v.kind == KR_J_TEXT) return v;
    kr_j_write(r, &s, v);
    return kr_j_taken(r, &s);
}
