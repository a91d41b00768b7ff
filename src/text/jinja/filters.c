/* filters.c - filters and tests: each a row of a table. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"
#include "text/unicode.h"

typedef kr_j_run run;
typedef kr_j_value value;
typedef kr_j_args args;

static bool same(const char *name, size_t n, const char *other) { return strlen(other) == n && memcmp(name, other, n) == 0; }
static value first_of(const args *a) { return a->n ? a->at[0] : (value){0}; }

/* --- texts ------------------------------------------------------------------------------------- */

static value by_method(run *r, value v, const char *name, const args *a) {
    value t = kr_j_str(r, v);
    return r->st == KR_OK ? kr_j_method(r, t, name, strlen(name), a) : t;
}
static value f_trim(run *r, value v, const args *a) { return by_method(r, v, "strip", a->n_named ? &(args){.at = &a->named[0].value, .n = 1} : a); }
static value f_upper(run *r, value v, const args *a) { return by_method(r, v, "upper", a); }
static value f_lower(run *r, value v, const args *a) { return by_method(r, v, "lower", a); }
/* Words begin behind spaces, "-" and opening brackets: not as the method has it. */
static value f_title(run *r, value v, const args *a) {
    value t = kr_j_str(r, v);
    kr_str s = {0};
    for (size_t i = 0, n; i < t.n && r->st == KR_OK; i += n) {
        size_t end = i, space = 0;
        for (; end < t.n && !(space = kr_j_space(t.s + end, t.s + t.n)) && !memchr("-({[<", t.s[end], 5); end++) /* a letter */
            while (end + 1 < t.n && ((unsigned char)t.s[end + 1] & 0xC0) == 0x80) end++;
        if (end > i) kr_j_write(r, &s, by_method(r, kr_j_text(t.s + i, end - i), "capitalize", a));
        n = end - i;
        if (end < t.n) n += space ? space : 1, kr_j_write(r, &s, kr_j_text(t.s + end, space ? space : 1));
    }
    return kr_j_taken(r, &s);
}
static value f_capitalize(run *r, value v, const args *a) { return by_method(r, v, "capitalize", a); }
static value f_replace(run *r, value v, const args *a) { return by_method(r, v, "replace", a); }
static value f_string(run *r, value v, const args *a) { return (void)a, kr_j_str(r, v); }
static value f_safe(run *r, value v, const args *a) { return (void)r, (void)a, v; }

static value f_escape(run *r, value v, const args *a) {
    static const struct { char c; const char *to; } table[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}};
    kr_str s = {0};
    value t = kr_j_str(r, v);
    (void)a;
    for (size_t i = 0; i < t.n && r->st == KR_OK; i++) {
        value one = kr_j_text(t.s + i, 1);
        for (size_t k = 0; k < 5; k++)
            if (t.s[i] == table[k].c) one = kr_j_text(table[k].to, strlen(table[k].to));
        kr_j_write(r, &s, one);
    }
    return kr_j_taken(r, &s);
}

static value f_tojson(run *r, value v, const args *a) {
    static const char spaces[] = "                                                                ";
    kr_str s = {0};
    int64_t n;
    kr_j_json how = {.comma = kr_j_text(", ", 2), .colon = kr_j_text(": ", 2)};
    const value *ascii = kr_j_arg(r, a, 0, "ensure_ascii"), *indent = kr_j_arg(r, a, 1, "indent"), *pair = kr_j_arg(r, a, 2, "separators"), *sort = kr_j_arg(r, a, 3, "sort_keys");
    if (indent && indent->kind != KR_J_NONE) {
        bool text = indent->kind == KR_J_TEXT;
        if (!text && (!kr_j_whole(*indent, &n) || n < 0 || n > (int64_t)sizeof spaces - 1)) return kr_j_bad(r, KR_ERR_ARG, "tojson: an indent from 0 to 64, or a text, is wanted");
        how.indent = text ? *indent : kr_j_text(spaces, (size_t)n);
        how.comma.n = 1;
    }
    if (pair && pair->kind != KR_J_NONE) {
        if (pair->kind != KR_J_LIST || pair->list->n != 2 || pair->list->at[0].kind != KR_J_TEXT || pair->list->at[1].kind != KR_J_TEXT)
            return kr_j_bad(r, KR_ERR_ARG, "tojson: separators are two texts");
        how.comma = pair->list->at[0], how.colon = pair->list->at[1];
    }
    how.ascii = ascii && kr_j_true(*ascii), how.sort = sort && kr_j_true(*sort);
    kr_j_write_json(r, &s, v, &how, 0);
    return kr_j_taken(r, &s);
}

/* Every line behind the first; those without a letter only if `blank`. */
static value f_indent(run *r, value v, const args *a) {
    const value *width = kr_j_arg(r, a, 0, "width"), *first = kr_j_arg(r, a, 1, "first"), *blank = kr_j_arg(r, a, 2, "blank");
    int64_t n = 4;
    kr_str s = {0};
    if (width && width->kind != KR_J_TEXT && (!kr_j_whole(*width, &n) || n < 0 || n > 1000)) return kr_j_bad(r, KR_ERR_ARG, "indent: a width from 0 to 1000 is wanted");
    kr_j_write(r, &s, v);
    kr_j_write(r, &s, kr_j_text("\n", 1)); /* or an empty last line were lost */
    value l = by_method(r, kr_j_taken(r, &s), "splitlines", &(args){0});
    for (size_t i = 0; r->st == KR_OK && i < l.list->n; i++) {
        value line = l.list->at[i];
        if (i) kr_j_write(r, &s, kr_j_text("\n", 1));
        bool pad = i ? line.n || (blank && kr_j_true(*blank)) : first && kr_j_true(*first);
        if (pad && width && width->kind == KR_J_TEXT) kr_j_write(r, &s, *width);
        for (int64_t k = 0; pad && k < n && !(width && width->kind == KR_J_TEXT) && r->st == KR_OK; k++) kr_j_write(r, &s, kr_j_text(" ", 1));
        kr_j_write(r, &s, line);
    }
    return kr_j_taken(r, &s);
}

static value f_format(run *r, value v, const args *a) { return kr_j_format(r, v, a); }

static value f_center(run *r, value v, const args *a) {
    const value *width = kr_j_arg(r, a, 0, "width");
    int64_t n = 80;
    if (width && (!kr_j_whole(*width, &n) || n > INT32_MAX)) return kr_j_bad(r, KR_ERR_ARG, "center wants a width");
    value t = kr_j_str(r, v);
    return r->st == KR_OK ? kr_j_justified(r, t, n, " ", 'c') : t;
}

static value f_length(run *r, value v, const args *a) {
    (void)a;
    if (v.kind == KR_J_UNDEFINED) return kr_j_int(0);
    if (v.kind == KR_J_TEXT) return kr_j_step(r, v.n / 16), kr_j_int((int64_t)kr_j_letters(v));
    if (v.kind == KR_J_LIST) return kr_j_int((int64_t)v.list->n);
    if (v.kind == KR_J_DICT) return kr_j_int((int64_t)v.dict->n);
    return kr_j_bad(r, KR_ERR_ARG, "%s has no length", kr_j_kind_text(v));
}

/* At the last space that leaves room for the end; a few letters more than the length are let stand. */
static value f_truncate(run *r, value v, const args *a) {
    const value *length = kr_j_arg(r, a, 0, "length"), *kill = kr_j_arg(r, a, 1, "killwords"), *tail = kr_j_arg(r, a, 2, "end"), *spare = kr_j_arg(r, a, 3, "leeway");
    value end = tail ? *tail : kr_j_text("...", 3);
    int64_t n = 255, more = 5, has;
    kr_str s = {0};
    if ((length && !kr_j_whole(*length, &n)) || (spare && spare->kind != KR_J_NONE && !kr_j_whole(*spare, &more)) || end.kind != KR_J_TEXT)
        return kr_j_bad(r, KR_ERR_ARG, "truncate wants a length, an end and a leeway");
    if (!kr_j_step(r, (v.kind == KR_J_TEXT ? v.n : 0) / 16 + end.n / 16)) return v;
    if (n < (int64_t)kr_j_letters(end) || more < 0) return kr_j_bad(r, KR_ERR_ARG, "truncate: a length of %lld is shorter than its end", (long long)n);
    if (!kr_j_whole(f_length(r, v, &(args){0}), &has) || has <= n || has - n <= more) return v;
    if (v.kind != KR_J_TEXT) return kr_j_bad(r, KR_ERR_ARG, "truncate wants a text, not %s", kr_j_kind_text(v));
    v.n = kr_j_letter_at(v, (size_t)(n - (int64_t)kr_j_letters(end)));
    const char *space = kill && kr_j_true(*kill) ? NULL : memrchr(v.s, ' ', v.n);
    kr_j_write(r, &s, kr_j_text(v.s, space ? (size_t)(space - v.s) : v.n));
    kr_j_write(r, &s, end);
    return kr_j_taken(r, &s);
}

static bool is_word(uint32_t c) { return c == '_' || (kr_char_class_of(c) >= KR_CHAR_LOWER && kr_char_class_of(c) <= KR_CHAR_NUMBER); }

static value f_wordcount(run *r, value v, const args *a) {
    value t = kr_j_str(r, v);
    int64_t n = 0;
    bool before = false;
    int k;
    (void)a;
    if (!kr_j_step(r, t.n / 8)) return t;
    for (size_t i = 0; i < t.n; i += (size_t)k) {
        bool now = is_word(kr_utf8_get((const unsigned char *)t.s + i, &k));
        n += now && !before;
        before = now;
    }
    return kr_j_int(n);
}

static void put_quoted(run *r, kr_str *to, value v, bool query) {
    char hex[4];
    value t = kr_j_str(r, v);
    for (size_t i = 0; i < t.n && r->st == KR_OK; i++) {
        unsigned char c = (unsigned char)t.s[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_.-~", c)) || (c == '/' && !query);
        if (plain) hex[0] = (char)c, hex[1] = 0;
        else snprintf(hex, sizeof hex, query && c == ' ' ? "+" : "%%%02X", c);
        kr_j_write(r, to, kr_j_text(hex, strlen(hex)));
    }
}

/* A text for a path; a mapping, or pairs, for a query. */
static value f_urlencode(run *r, value v, const args *a) {
    kr_str s = {0};
    if (v.kind == KR_J_DICT) v = kr_j_method(r, v, "items", 5, &(args){0});
    if (r->st == KR_OK && v.kind != KR_J_LIST && v.kind != KR_J_UNDEFINED) put_quoted(r, &s, v, false);
    for (size_t i = 0; v.kind == KR_J_LIST && i < v.list->n && r->st == KR_OK; i++) {
        kr_j_list *pair = kr_j_items(r, v.list->at[i]);
        if (!pair || pair->n != 2) { kr_j_bad(r, KR_ERR_ARG, "urlencode wants a text, a mapping or pairs"); break; }
        if (i) kr_j_write(r, &s, kr_j_text("&", 1));
        put_quoted(r, &s, pair->at[0], true);
        kr_j_write(r, &s, kr_j_text("=", 1));
        put_quoted(r, &s, pair->at[1], true);
    }
    (void)a;
    return kr_j_taken(r, &s);
}

/* --- numbers --------------------------------------------------------------------------------------- */

static bool number_of(run *r, value v, double *x) {
    char s[64], *end;
    if (kr_j_number(v, x)) return true;
    if (v.kind != KR_J_TEXT || v.n == 0 || v.n >= sizeof s) return false;
    (void)r;
    memcpy(s, v.s, v.n);
    s[v.n] = 0;
    if (strpbrk(s, "xXpP")) return false;
    *x = strtod(s, &end);
    if (end == s) return false;
    while (kr_j_space(end, s + v.n)) end++;
    return *end == 0;
}

/* Digits of a base, spaces around them. */
static bool digits_of(value v, int64_t base, int64_t *i) {
    char s[80], *end;
    if (v.kind != KR_J_TEXT || v.n >= sizeof s) return false;
    memcpy(s, v.s, v.n);
    s[v.n] = 0;
    errno = 0;
    *i = strtoll(s, &end, (int)base);
    if (end == s || errno) return false;
    while (kr_j_space(end, s + v.n)) end++;
    return *end == 0;
}

static value f_int(run *r, value v, const args *a) {
    const value *other = kr_j_arg(r, a, 0, "default"), *base = kr_j_arg(r, a, 1, "base");
    int64_t i, b = 10;
    double x;
    if (kr_j_whole(v, &i)) return kr_j_int(i);
    if (base && (!kr_j_whole(*base, &b) || (b != 2 && b != 8 && b != 10 && b != 16))) return kr_j_bad(r, KR_ERR_ARG, "int: a base of 2, 8, 10 or 16 is wanted");
    if (digits_of(v, b, &i)) return kr_j_int(i); /* a double would lose some */
    if (!number_of(r, v, &x) || !(fabs(x) < 9e18)) return other ? *other : kr_j_int(0);
    return kr_j_int((int64_t)x);
}

static value f_float(run *r, value v, const args *a) {
    const value *other = kr_j_arg(r, a, 0, "default");
    double x;
    return number_of(r, v, &x) ? kr_j_real(x) : other ? *other : kr_j_real(0);
}

static value f_abs(run *r, value v, const args *a) {
    (void)a;
    int64_t i;
    if (kr_j_whole(v, &i) && i > INT64_MIN) return kr_j_int(i < 0 ? -i : i);
    return v.kind == KR_J_REAL ? kr_j_real(fabs(v.f)) : kr_j_bad(r, KR_ERR_ARG, "abs wants a number");
}

static value f_round(run *r, value v, const args *a) {
    const value *digits = kr_j_arg(r, a, 0, "precision"), *how = kr_j_arg(r, a, 1, "method");
    int64_t n = 0, i;
    double x;
    char s[400];
    if (!kr_j_number(v, &x) || (digits && !kr_j_whole(*digits, &n)) || n < 0 || n > 15) return kr_j_bad(r, KR_ERR_ARG, "round wants a number, and digits from 0 to 15");
    double by = pow(10, (double)n);
    if (how && kr_j_is(*how, "ceil")) return kr_j_real(ceil(x * by) / by);
    if (how && kr_j_is(*how, "floor")) return kr_j_real(floor(x * by) / by);
    if (kr_j_whole(v, &i)) return kr_j_int(i);
    snprintf(s, sizeof s, "%.*f", (int)n, x); /* rounds what the number is, not what x * by is */
    return kr_j_real(strtod(s, NULL));
}

/* --- lists ------------------------------------------------------------------------------------------ */

static value f_default(run *r, value v, const args *a) {
    const value *other = kr_j_arg(r, a, 0, "default_value"), *falsy = kr_j_arg(r, a, 1, "boolean");
    if (v.kind != KR_J_UNDEFINED && !(falsy && kr_j_true(*falsy) && !kr_j_true(v))) return v;
    return other ? *other : kr_j_text("", 0);
}

static value f_list(run *r, value v, const args *a) {
    kr_j_list *l = kr_j_items(r, v);
    value own = l && l->tuple ? kr_j_new_list(r) : (value){.kind = KR_J_LIST, .list = l};
    (void)a;
    if (!l || !own.kind) return (value){0};
    if (l->tuple) own.list->at = l->at, own.list->n = own.list->room = l->n;
    return own;
}

static value f_first(run *r, value v, const args *a) {
    kr_j_list *l = kr_j_items(r, v);
    return (void)a, l && l->n ? l->at[0] : (value){0};
}

static value f_last(run *r, value v, const args *a) {
    kr_j_list *l = kr_j_items(r, v);
    return (void)a, l && l->n ? l->at[l->n - 1] : (value){0};
}

static value f_reverse(run *r, value v, const args *a) {
    kr_j_list *l = kr_j_items(r, v);
    value out = kr_j_new_list(r);
    kr_str s = {0};
    (void)a;
    for (size_t i = l && r->st == KR_OK ? l->n : 0; i-- > 0;)
        if (v.kind == KR_J_TEXT) kr_j_write(r, &s, l->at[i]);
        else kr_j_push(r, out.list, l->at[i]);
    return v.kind == KR_J_TEXT ? kr_j_taken(r, &s) : out;
}

/* "a.b" of a value, or the i-th; `other` (may be NULL, or none) where there is none. */
static value part(run *r, value v, value path, const value *other) {
    int64_t i;
    if (other && other->kind == KR_J_NONE) other = NULL;
    if (kr_j_whole(path, &i) || path.kind != KR_J_TEXT) return v = kr_j_subscript(r, v, path), other && v.kind == KR_J_UNDEFINED ? *other : v;
    for (size_t at = 0; at <= path.n && r->st == KR_OK;) {
        size_t end = at;
        while (end < path.n && path.s[end] != '.') end++;
        value name = kr_j_text(path.s + at, end - at);
        v = kr_j_true(kr_j_method(r, name, "isdigit", 7, &(args){0})) && digits_of(name, 10, &i) ? kr_j_subscript(r, v, kr_j_int(i)) : kr_j_attribute(r, v, name.s, name.n);
        if (other && v.kind == KR_J_UNDEFINED) v = *other;
        at = end + 1;
    }
    return v;
}

static value f_join(run *r, value v, const args *a) {
    const value *by = kr_j_arg(r, a, 0, "d"), *path = kr_j_arg(r, a, 1, "attribute");
    kr_j_list *l = kr_j_items(r, v);
    kr_str s = {0};
    for (size_t i = 0; l && i < l->n && r->st == KR_OK; i++) {
        if (i && by) kr_j_write(r, &s, *by);
        kr_j_write(r, &s, path ? part(r, l->at[i], *path, NULL) : l->at[i]);
    }
    return kr_j_taken(r, &s);
}

static value f_items(run *r, value v, const args *a) {
    if (v.kind == KR_J_UNDEFINED) return kr_j_new_list(r);
    if (v.kind != KR_J_DICT) return kr_j_bad(r, KR_ERR_ARG, "items wants a mapping, not %s", kr_j_kind_text(v));
    return kr_j_method(r, v, "items", 5, a);
}

/* What an element is told from others by. */
static value key_of(run *r, value v, const value *path, const value *other, bool exact) {
    if (path && path->kind != KR_J_NONE) v = part(r, v, *path, other);
    return exact || v.kind != KR_J_TEXT ? v : by_method(r, v, "lower", &(args){0});
}

value kr_j_sorted(run *r, kr_j_list *l, const value *path, const value *other, bool exact, bool down) {
    value out = kr_j_new_list(r), keys = kr_j_new_list(r);
    for (size_t i = 0; l && i < l->n && r->st == KR_OK; i++) {
        value key = key_of(r, l->at[i], path, other, exact);
        kr_j_push(r, out.list, l->at[i]);
        kr_j_push(r, keys.list, key);
        for (size_t k = i; k > 0 && r->st == KR_OK && kr_j_step(r, 1); k--) {
            int c = kr_j_compare(r, keys.list->at[k - 1], key);
            if (down ? c >= 0 : c <= 0) break;
            value v = out.list->at[k - 1];
            out.list->at[k - 1] = out.list->at[k], out.list->at[k] = v;
            keys.list->at[k] = keys.list->at[k - 1], keys.list->at[k - 1] = key;
        }
    }
    return out;
}

static value f_sort(run *r, value v, const args *a) {
    const value *down = kr_j_arg(r, a, 0, "reverse"), *exact = kr_j_arg(r, a, 1, "case_sensitive"), *path = kr_j_arg(r, a, 2, "attribute");
    return kr_j_sorted(r, kr_j_items(r, v), path, NULL, exact && kr_j_true(*exact), down && kr_j_true(*down));
}

static value f_dictsort(run *r, value v, const args *a) {
    const value *exact = kr_j_arg(r, a, 0, "case_sensitive"), *by = kr_j_arg(r, a, 1, "by"), *down = kr_j_arg(r, a, 2, "reverse");
    value key = kr_j_int(by && kr_j_is(*by, "value"));
    if (v.kind != KR_J_DICT) return kr_j_bad(r, KR_ERR_ARG, "dictsort wants a mapping");
    value pairs = kr_j_method(r, v, "items", 5, &(args){0});
    return r->st == KR_OK ? kr_j_sorted(r, pairs.list, &key, NULL, exact && kr_j_true(*exact), down && kr_j_true(*down)) : pairs;
}

static value f_unique(run *r, value v, const args *a) {
    const value *exact = kr_j_arg(r, a, 0, "case_sensitive"), *path = kr_j_arg(r, a, 1, "attribute");
    kr_j_list *l = kr_j_items(r, v);
    value out = kr_j_new_list(r), seen = kr_j_new_list(r);
    for (size_t i = 0; l && i < l->n && r->st == KR_OK; i++) {
        value key = key_of(r, l->at[i], path, NULL, exact && kr_j_true(*exact));
        bool old = false;
        for (size_t k = 0; r->st == KR_OK && !old && k < seen.list->n && kr_j_step(r, 1); k++) old = kr_j_equal(r, key, seen.list->at[k]);
        if (old) continue;
        kr_j_push(r, seen.list, key);
        kr_j_push(r, out.list, l->at[i]);
    }
    return out;
}

/* Runs of elements that are alike in a part, each a tuple of that part (as the first has it) and a list. */
static value f_groupby(run *r, value v, const args *a) {
    const value *path = kr_j_arg(r, a, 0, "attribute"), *other = kr_j_arg(r, a, 1, "default"), *how = kr_j_arg(r, a, 2, "case_sensitive");
    bool exact = how && kr_j_true(*how);
    value out = kr_j_new_list(r), last = {0};
    if (!path || path->kind == KR_J_NONE) return kr_j_bad(r, KR_ERR_ARG, "groupby wants an attribute");
    value sorted = kr_j_sorted(r, kr_j_items(r, v), path, other, exact, false);
    for (size_t i = 0; r->st == KR_OK && i < sorted.list->n; i++) {
        value one = sorted.list->at[i], key = key_of(r, one, path, other, exact);
        if (!i || !kr_j_equal(r, key, last)) {
            value group = kr_j_pair_of(r, part(r, one, *path, other), kr_j_new_list(r));
            if (r->st == KR_OK) group.list->group = true;
            kr_j_push(r, out.list, group);
            last = key;
        }
        if (r->st == KR_OK) kr_j_push(r, out.list->at[out.list->n - 1].list->at[1].list, one);
    }
    return out;
}

/* Lists of n each, the last one filled up. */
static value f_batch(run *r, value v, const args *a) {
    const value *count = kr_j_arg(r, a, 0, "linecount"), *fill = kr_j_arg(r, a, 1, "fill_with");
    kr_j_list *l = kr_j_items(r, v);
    value out = kr_j_new_list(r), row = kr_j_new_list(r);
    int64_t n;
    if (!count || !kr_j_whole(*count, &n)) return kr_j_bad(r, KR_ERR_ARG, "batch wants a number of elements");
    for (size_t i = 0; l && i < l->n && r->st == KR_OK; i++) {
        if ((int64_t)row.list->n == n) kr_j_push(r, out.list, row), row = kr_j_new_list(r);
        if (r->st == KR_OK) kr_j_push(r, row.list, l->at[i]);
    }
    if (r->st != KR_OK || row.list->n == 0) return out;
    while (fill && fill->kind != KR_J_NONE && (int64_t)row.list->n < n && kr_j_step(r, 1)) kr_j_push(r, row.list, *fill);
    kr_j_push(r, out.list, row);
    return out;
}

/* n lists of lengths that differ by one at most. */
static value f_slice(run *r, value v, const args *a) {
    const value *count = kr_j_arg(r, a, 0, "slices"), *fill = kr_j_arg(r, a, 1, "fill_with");
    kr_j_list *l = kr_j_items(r, v);
    value out = kr_j_new_list(r);
    int64_t n;
    if (!count || !kr_j_whole(*count, &n) || n == 0) return kr_j_bad(r, KR_ERR_ARG, "slice wants a number of lists");
    for (int64_t k = 0, at = 0; l && k < n && kr_j_step(r, 1); k++) {
        value row = kr_j_new_list(r);
        bool longer = k < (int64_t)l->n % n;
        for (int64_t i = 0; i < (int64_t)l->n / n + longer && r->st == KR_OK; i++) kr_j_push(r, row.list, l->at[at++]);
        if (r->st == KR_OK && fill && fill->kind != KR_J_NONE && !longer) kr_j_push(r, row.list, *fill);
        kr_j_push(r, out.list, row);
    }
    return out;
}

/* Lists behind one. */
static value joined(run *r, kr_j_list *l, const value *path, value start) {
    value out = kr_j_new_list(r);
    for (size_t i = 0; r->st == KR_OK && i < start.list->n; i++) kr_j_push(r, out.list, start.list->at[i]);
    for (size_t k = 0; l && k < l->n && r->st == KR_OK; k++) {
        value one = path && path->kind != KR_J_NONE ? part(r, l->at[k], *path, NULL) : l->at[k];
        if (one.kind != KR_J_LIST) return kr_j_bad(r, KR_ERR_ARG, "sum wants lists behind a list");
        for (size_t i = 0; r->st == KR_OK && i < one.list->n; i++) kr_j_push(r, out.list, one.list->at[i]);
    }
    return out;
}

static value f_sum(run *r, value v, const args *a) {
    const value *path = kr_j_arg(r, a, 0, "attribute"), *start = kr_j_arg(r, a, 1, "start");
    kr_j_list *l = kr_j_items(r, v);
    int64_t all = 0, i;
    double real = 0, x;
    bool whole = true;
    if (start && start->kind == KR_J_LIST) return joined(r, l, path, *start);
    if (start && !kr_j_number(*start, &real)) return kr_j_bad(r, KR_ERR_ARG, "sum wants to start with a number or a list");
    if (start) whole = kr_j_whole(*start, &all);
    for (size_t k = 0; l && k < l->n && r->st == KR_OK; k++) {
        value one = path && path->kind != KR_J_NONE ? part(r, l->at[k], *path, NULL) : l->at[k];
        if (!kr_j_number(one, &x)) return kr_j_bad(r, KR_ERR_ARG, "sum wants numbers");
        whole = whole && kr_j_whole(one, &i) && !__builtin_add_overflow(all, i, &all);
        real += x;
    }
    return whole ? kr_j_int(all) : kr_j_real(real);
}

static value extreme(run *r, value v, const args *a, int sign) {
    const value *exact = kr_j_arg(r, a, 0, "case_sensitive"), *path = kr_j_arg(r, a, 1, "attribute");
    kr_j_list *l = kr_j_items(r, v);
    value best = {0}, best_key = {0};
    for (size_t i = 0; l && i < l->n && kr_j_step(r, 1); i++) {
        value key = key_of(r, l->at[i], path, NULL, exact && kr_j_true(*exact));
        if (!i || (r->st == KR_OK && sign * kr_j_compare(r, key, best_key) > 0)) best = l->at[i], best_key = key;
    }
    return best;
}
static value f_min(run *r, value v, const args *a) { return extreme(r, v, a, -1); }
static value f_max(run *r, value v, const args *a) { return extreme(r, v, a, 1); }

/* --- filters and tests over lists ---------------------------------------------------------------------- */

static args after(const args *a, size_t n) {
    return a->n > n ? (args){.at = a->at + n, .n = a->n - n, .named = a->named, .n_named = a->n_named} : (args){.named = a->named, .n_named = a->n_named};
}

static value f_map(run *r, value v, const args *a) {
    const value *path = kr_j_arg(r, a, 99, "attribute"), *other = kr_j_arg(r, a, 99, "default");
    value out = kr_j_new_list(r), name = first_of(a);
    kr_j_list *l = kr_j_true(v) ? kr_j_items(r, v) : NULL;
    args rest = after(a, 1);
    if (l && !path && (name.kind != KR_J_TEXT || !kr_j_filter_known(name.s, name.n))) return kr_j_bad(r, KR_ERR_ARG, "map wants a filter's name or attribute=");
    for (size_t i = 0; l && i < l->n && r->st == KR_OK; i++) {
        value x = path ? part(r, l->at[i], *path, other) : kr_j_filter(r, name.s, name.n, l->at[i], &rest);
        kr_j_push(r, out.list, x);
    }
    return out;
}

/* select, reject, selectattr, rejectattr: attribute, test, the test's arguments. */
static value choose(run *r, value v, const args *a, bool keep, bool attribute) {
    value out = kr_j_new_list(r);
    kr_j_list *l = kr_j_true(v) ? kr_j_items(r, v) : NULL;
    args named = after(a, attribute), rest = after(a, attribute + 1u);
    value test = first_of(&named);
    if (attribute && a->n == 0) return kr_j_bad(r, KR_ERR_ARG, "an attribute is wanted");
    if (named.n && (test.kind != KR_J_TEXT || !kr_j_test_known(test.s, test.n))) return kr_j_bad(r, KR_ERR_ARG, "the test is not known");
    for (size_t i = 0; l && i < l->n && r->st == KR_OK; i++) {
        value x = attribute ? part(r, l->at[i], a->at[0], NULL) : l->at[i];
        bool yes = r->st == KR_OK && (named.n ? kr_j_test(r, test.s, test.n, x, &rest) : kr_j_true(x));
        if (yes == keep) kr_j_push(r, out.list, l->at[i]);
    }
    return out;
}
static value f_select(run *r, value v, const args *a) { return choose(r, v, a, true, false); }
static value f_reject(run *r, value v, const args *a) { return choose(r, v, a, false, false); }
static value f_selectattr(run *r, value v, const args *a) { return choose(r, v, a, true, true); }
static value f_rejectattr(run *r, value v, const args *a) { return choose(r, v, a, false, true); }

/* --- the tables ------------------------------------------------------------------------------------------- */

static const struct { const char *name; value (*call)(run *r, value v, const args *a); } filters[] = {
    {"abs", f_abs}, {"batch", f_batch}, {"capitalize", f_capitalize}, {"center", f_center}, {"count", f_length}, {"d", f_default}, {"default", f_default},
    {"dictsort", f_dictsort}, {"e", f_escape}, {"escape", f_escape}, {"first", f_first}, {"float", f_float}, {"forceescape", f_escape}, {"format", f_format},
    {"groupby", f_groupby}, {"indent", f_indent}, {"int", f_int}, {"items", f_items}, {"join", f_join}, {"last", f_last}, {"length", f_length}, {"list", f_list},
    {"lower", f_lower}, {"map", f_map}, {"max", f_max}, {"min", f_min}, {"reject", f_reject}, {"rejectattr", f_rejectattr}, {"replace", f_replace},
    {"reverse", f_reverse}, {"round", f_round}, {"safe", f_safe}, {"select", f_select}, {"selectattr", f_selectattr}, {"slice", f_slice}, {"sort", f_sort},
    {"string", f_string}, {"sum", f_sum}, {"title", f_title}, {"tojson", f_tojson}, {"trim", f_trim}, {"truncate", f_truncate}, {"unique", f_unique},
    {"upper", f_upper}, {"urlencode", f_urlencode}, {"wordcount", f_wordcount}};

static int filter_at(const char *name, size_t n) {
    for (int i = 0; i < (int)(sizeof filters / sizeof *filters); i++)
        if (same(name, n, filters[i].name)) return i;
    return -1;
}

bool kr_j_filter_known(const char *name, size_t n) { return filter_at(name, n) >= 0; }

value kr_j_filter(run *r, const char *name, size_t n, value of, const args *a) {
    if (!kr_j_enter(r)) return (value){0};
    value v = filters[filter_at(name, n)].call(r, of, a);
    r->depth--;
    return v;
}

enum { T_DEFINED, T_UNDEFINED, T_NONE, T_STRING, T_MAPPING, T_ITERABLE, T_SEQUENCE, T_NUMBER, T_INTEGER, T_FLOAT, T_BOOLEAN, T_TRUE, T_FALSE, T_CALLABLE,
       T_ODD, T_EVEN, T_DIVISIBLE, T_SAME, T_EQ, T_NE, T_LT, T_LE, T_GT, T_GE, T_IN, T_LOWER, T_UPPER, T_FILTER, T_TEST };

static const struct { const char *name; int test; } tests[] = {
    {"defined", T_DEFINED}, {"undefined", T_UNDEFINED}, {"none", T_NONE}, {"string", T_STRING}, {"mapping", T_MAPPING}, {"iterable", T_ITERABLE},
    {"sequence", T_SEQUENCE}, {"number", T_NUMBER}, {"integer", T_INTEGER}, {"float", T_FLOAT}, {"boolean", T_BOOLEAN}, {"true", T_TRUE}, {"false", T_FALSE},
    {"callable", T_CALLABLE}, {"odd", T_ODD}, {"even", T_EVEN}, {"divisibleby", T_DIVISIBLE}, {"equalto", T_EQ}, {"eq", T_EQ}, {"sameas", T_SAME}, {"ne", T_NE},
    {"lt", T_LT}, {"lessthan", T_LT}, {"le", T_LE}, {"gt", T_GT}, {"greaterthan", T_GT}, {"ge", T_GE}, {"in", T_IN}, {"lower", T_LOWER}, {"upper", T_UPPER},
    {"filter", T_FILTER}, {"test", T_TEST}, {"==", T_EQ}, {"!=", T_NE}, {"<", T_LT}, {"<=", T_LE}, {">", T_GT}, {">=", T_GE}};

static int test_of(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (same(name, n, tests[i].name)) return tests[i].test;
    return -1;
}

bool kr_j_test_known(const char *name, size_t n) { return test_of(name, n) >= 0; }

static bool about_kind(int test, value v) {
    bool whole = v.kind == KR_J_INT, boolean = v.kind == KR_J_BOOL;
    switch (test) {
    case T_DEFINED: return v.kind != KR_J_UNDEFINED;
    case T_UNDEFINED: return v.kind == KR_J_UNDEFINED;
    case T_NONE: return v.kind == KR_J_NONE;
    case T_STRING: return v.kind == KR_J_TEXT;
    case T_MAPPING: return v.kind == KR_J_DICT;
    case T_ITERABLE: case T_SEQUENCE: return v.kind == KR_J_TEXT || v.kind == KR_J_LIST || v.kind == KR_J_DICT || v.kind == KR_J_UNDEFINED;
    case T_NUMBER: return whole || boolean || v.kind == KR_J_REAL;
    case T_INTEGER: return whole;
    case T_FLOAT: return v.kind == KR_J_REAL;
    case T_BOOLEAN: return boolean;
    case T_TRUE: return boolean && v.b;
    case T_FALSE: return boolean && !v.b;
    default: return v.kind == KR_J_MACRO || v.kind == KR_J_FUNCTION;
    }
}

static bool about_letters(run *r, value v, bool lower) {
    value t = kr_j_str(r, v);
    return r->st == KR_OK && kr_j_true(kr_j_method(r, t, lower ? "islower" : "isupper", 7, &(args){0}));
}

bool kr_j_test(run *r, const char *name, size_t n, value of, const args *a) {
    int test = test_of(name, n);
    int64_t i, by = 2;
    value x = first_of(a);
    if (test <= T_CALLABLE) return about_kind(test, of);
    if (test == T_LOWER || test == T_UPPER) return about_letters(r, of, test == T_LOWER);
    if (test == T_FILTER) return of.kind == KR_J_TEXT && kr_j_filter_known(of.s, of.n);
    if (test == T_TEST) return of.kind == KR_J_TEXT && kr_j_test_known(of.s, of.n);
    if (test >= T_DIVISIBLE && a->n != 1) return kr_j_bad(r, KR_ERR_ARG, "the test %.*s wants one value", (int)n, name), false;
    if (test <= T_DIVISIBLE) {
        if (!kr_j_whole(of, &i) || (test == T_DIVISIBLE && (!kr_j_whole(x, &by) || by == 0))) return kr_j_bad(r, KR_ERR_ARG, "the test %.*s wants integers", (int)n, name), false;
        return test == T_ODD ? i % 2 != 0 : by == -1 || i % by == 0;
    }
    if (test == T_SAME) return of.kind == x.kind && kr_j_equal(r, of, x);
    if (test == T_EQ || test == T_NE) return kr_j_equal(r, of, x) == (test == T_EQ);
    if (test == T_IN) {
        if (x.kind == KR_J_TEXT) return kr_j_step(r, x.n / 32) && of.kind == KR_J_TEXT && (of.n == 0 || memmem(x.s, x.n, of.s, of.n));
        if (x.kind == KR_J_DICT) return kr_j_get(r, x.dict, of) != NULL;
        kr_j_list *l = kr_j_items(r, x);
        for (size_t k = 0; l && k < l->n && kr_j_step(r, 1); k++)
            if (kr_j_equal(r, l->at[k], of)) return true;
        return false;
    }
    int c = kr_j_compare(r, of, x);
    return test == T_LT ? c < 0 : test == T_LE ? c <= 0 : test == T_GT ? c > 0 : c >= 0;
}
