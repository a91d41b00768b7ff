/* format.c - "%5.2f" as Python has it, for the operator % and the filter format; texts in a width. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/jinja.h"
#include "text/unicode.h"

typedef kr_j_run run;
typedef kr_j_value value;
typedef kr_j_args args;

enum { MOST_DIGITS = 300 }; /* behind the point; Python knows no bound */

typedef struct spec { bool left, plus, space, other, zero; int64_t width, precision; char kind; } spec; /* precision -1: none */

/* What is still to be written; after %(name) that alone. */
typedef struct source { const value *at; size_t n, next; const value *map; value named; } source;

static value next_of(run *r, source *from) { return from->next < from->n ? from->at[from->next++] : kr_j_bad(r, KR_ERR_ARG, "the format wants more values"); }

static void pad(run *r, kr_str *to, const char *with, int64_t n) {
    for (; n > 0 && r->st == KR_OK; n--) kr_j_write(r, to, kr_j_text(with, 1));
}

/* --- what stands between % and the letter ---------------------------------------------------------- */

/* %(name): brackets in it are told apart. */
static void read_name(run *r, value t, size_t *i, source *from) {
    size_t start = ++*i;
    for (int deep = 1; *i < t.n && kr_j_step(r, 1); ++*i)
        if ((deep += (t.s[*i] == '(') - (t.s[*i] == ')')) == 0) break;
    if (*i >= t.n) { kr_j_bad(r, KR_ERR_ARG, "the format ends in a name"); return; }
    value name = kr_j_text(t.s + start, *i - start);
    const value *v = from->map && from->map->kind == KR_J_DICT ? kr_j_get(r, from->map->dict, name) : NULL;
    ++*i;
    if (!v) kr_j_bad(r, KR_ERR_ARG, "the format wants a value named %.*s", name.n > 80 ? 80 : (int)name.n, name.s);
    else from->named = *v, from->at = &from->named, from->n = 1, from->next = 0;
}

static int64_t read_number(run *r, value t, size_t *i, source *from) {
    int64_t n = 0;
    if (*i < t.n && t.s[*i] == '*') {
        value v = next_of(r, from);
        ++*i;
        if (r->st == KR_OK && (!kr_j_whole(v, &n) || n < INT32_MIN || n > INT32_MAX)) kr_j_bad(r, KR_ERR_ARG, "the format's * wants an integer");
        return n;
    }
    for (; *i < t.n && t.s[*i] >= '0' && t.s[*i] <= '9' && r->st == KR_OK; ++*i)
        if ((n = 10 * n + (t.s[*i] - '0')) > INT32_MAX) kr_j_bad(r, KR_ERR_ARG, "a format's width is too large");
    return n;
}

static spec read_spec(run *r, value t, size_t *i, source *from) {
    spec f = {.precision = -1};
    if (*i < t.n && t.s[*i] == '(') read_name(r, t, i, from);
    for (bool flag = true; *i < t.n && flag && r->st == KR_OK; *i += flag) {
        char c = t.s[*i];
        f.left |= c == '-', f.plus |= c == '+', f.space |= c == ' ', f.other |= c == '#', f.zero |= c == '0';
        flag = memchr("-+ #0", c, 5) != NULL;
    }
    f.width = read_number(r, t, i, from);
    if (f.width < 0) f.left = true, f.width = -f.width;
    if (*i < t.n && t.s[*i] == '.') {
        ++*i;
        f.precision = read_number(r, t, i, from);
        if (f.precision < 0) f.precision = 0;
    }
    if (*i < t.n && memchr("hlL", t.s[*i], 3)) ++*i;
    if (*i >= t.n) kr_j_bad(r, KR_ERR_ARG, "the format ends in a %%");
    else f.kind = t.s[(*i)++];
    return f;
}

/* --- values ---------------------------------------------------------------------------------------------- */

/* A sign or 0x first, then what fills the width, then the rest. */
static void put_number(run *r, kr_str *to, const spec *f, const char *start, value digits) {
    int64_t gap = f->width - (int64_t)strlen(start) - (int64_t)digits.n;
    if (!f->left && !f->zero) pad(r, to, " ", gap);
    kr_j_write(r, to, kr_j_text(start, strlen(start)));
    if (!f->left && f->zero) pad(r, to, "0", gap);
    kr_j_write(r, to, digits);
    if (f->left) pad(r, to, " ", gap);
}

static void put_whole(run *r, kr_str *to, const spec *f, value v) {
    char digits[400], start[4] = "";
    kr_str s = {0};
    int64_t i;
    bool decimal = strchr("diu", f->kind) != NULL, real = decimal && v.kind == KR_J_REAL && isfinite(v.f), minus = real && v.f <= -1;
    if (real) snprintf(digits, sizeof digits, "%.0f", trunc(fabs(v.f)));
    else if (kr_j_whole(v, &i)) {
        minus = i < 0;
        snprintf(digits, sizeof digits, decimal ? "%llu" : f->kind == 'o' ? "%llo" : f->kind == 'x' ? "%llx" : "%llX", minus ? 0 - (unsigned long long)i : (unsigned long long)i);
    } else { kr_j_bad(r, KR_ERR_ARG, "%%%c wants an integer, not %s", f->kind, kr_j_kind_text(v)); return; }
    strcat(start, minus ? "-" : f->plus ? "+" : f->space ? " " : "");
    if (f->other && !decimal) strcat(start, f->kind == 'o' ? "0o" : f->kind == 'x' ? "0x" : "0X");
    pad(r, &s, "0", f->precision - (int64_t)strlen(digits));
    kr_j_write(r, &s, kr_j_text(digits, strlen(digits)));
    put_number(r, to, f, start, kr_j_taken(r, &s));
}

static void put_real(run *r, kr_str *to, const spec *f, value v) {
    char how[16], digits[700];
    double x;
    if (!kr_j_number(v, &x)) { kr_j_bad(r, KR_ERR_ARG, "%%%c wants a number, not %s", f->kind, kr_j_kind_text(v)); return; }
    if (f->precision > MOST_DIGITS) { kr_j_bad(r, KR_ERR_ARG, "a format of more than %d digits", MOST_DIGITS); return; }
    snprintf(how, sizeof how, "%%%s.*%c", f->other ? "#" : "", f->kind);
    bool minus = signbit(x) && !isnan(x);
    kr_j_step(r, 16); /* hundreds of digits at most */
    int n = snprintf(digits, sizeof digits, how, f->precision < 0 ? 6 : (int)f->precision, minus ? -x : isnan(x) ? NAN : x);
    put_number(r, to, f, minus ? "-" : f->plus ? "+" : f->space ? " " : "", kr_j_text(digits, (size_t)n));
}

static value letter_of(run *r, value v) {
    kr_str s = {0};
    int64_t c;
    if (v.kind == KR_J_TEXT && v.n && v.n <= 4 && kr_j_letters(v) == 1) return v;
    if (!kr_j_whole(v, &c) || c < 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return kr_j_bad(r, KR_ERR_ARG, "%%c wants a letter, or its number");
    kr_utf8_put(&s, (uint32_t)c);
    return kr_j_taken(r, &s);
}

static void put_text(run *r, kr_str *to, const spec *f, value v) {
    kr_str s = {0};
    if (f->kind == 'r') kr_j_write_repr(r, &s, v), v = kr_j_taken(r, &s);
    else v = f->kind == 'c' ? letter_of(r, v) : kr_j_str(r, v);
    if (!kr_j_step(r, v.n / 16)) return;
    int64_t n = (int64_t)kr_j_letters(v);
    if (f->kind != 'c' && f->precision >= 0 && f->precision < n) v.n = kr_j_letter_at(v, (size_t)f->precision), n = f->precision;
    if (!f->left) pad(r, to, " ", f->width - n);
    kr_j_write(r, to, v);
    if (f->left) pad(r, to, " ", f->width - n);
}

static void put_one(run *r, kr_str *to, const spec *f, source *from) {
    if (!memchr("diuoxXeEfFgGcrs", f->kind, 15)) { kr_j_bad(r, KR_ERR_ARG, "a format with %%%c is not known", (unsigned char)f->kind < 0x80 && f->kind >= ' ' ? f->kind : '?'); return; }
    value v = next_of(r, from);
    if (r->st != KR_OK) return;
    if (strchr("crs", f->kind)) put_text(r, to, f, v);
    else if (strchr("diuoxX", f->kind)) put_whole(r, to, f, v);
    else put_real(r, to, f, v);
}

static value formatted(run *r, value t, source from) {
    kr_str s = {0};
    for (size_t i = 0; i < t.n && r->st == KR_OK;) {
        const char *p = memchr(t.s + i, '%', t.n - i);
        size_t end = p ? (size_t)(p - t.s) : t.n;
        kr_j_write(r, &s, kr_j_text(t.s + i, end - i));
        if ((i = end) == t.n) break;
        if (++i < t.n && t.s[i] == '%') { kr_j_write(r, &s, kr_j_text(t.s + i++, 1)); continue; }
        spec f = read_spec(r, t, &i, &from);
        if (r->st == KR_OK) put_one(r, &s, &f, &from);
    }
    if (r->st == KR_OK && from.next < from.n && !from.map) kr_j_bad(r, KR_ERR_ARG, "the format wants fewer values");
    return kr_j_taken(r, &s);
}

value kr_j_percent(run *r, value t, value with) {
    bool list = with.kind == KR_J_LIST, tuple = list && with.list->tuple;
    source from = {.at = &with, .n = 1, .map = with.kind == KR_J_DICT || (list && !tuple) ? &with : NULL};
    if (tuple) from.at = with.list->at, from.n = with.list->n;
    return formatted(r, t, from);
}

value kr_j_format(run *r, value v, const args *a) {
    value t = kr_j_str(r, v), named = {0};
    if (r->st != KR_OK) return t;
    if (a->n && a->n_named) return kr_j_bad(r, KR_ERR_ARG, "format wants values either by place or by name");
    if (!a->n_named) return formatted(r, t, (source){.at = a->at, .n = a->n});
    named = kr_j_new_dict(r);
    for (size_t i = 0; i < a->n_named && r->st == KR_OK; i++) kr_j_put(r, named.dict, a->named[i].key, a->named[i].value);
    return r->st == KR_OK ? kr_j_percent(r, t, named) : named;
}

/* --- in a width ---------------------------------------------------------------------------------------------- */

value kr_j_justified(run *r, value t, int64_t width, const char *with, char where) {
    kr_str s = {0};
    if (!kr_j_step(r, t.n / 16)) return (value){0};
    if (width < 0) width = 0;
    int64_t gap = width - (int64_t)kr_j_letters(t), left = where == 'l' ? 0 : where == 'r' ? gap : gap / 2 + (gap & width & 1);
    if (gap <= 0) return t;
    pad(r, &s, with, left);
    kr_j_write(r, &s, t);
    pad(r, &s, with, gap - left);
    return kr_j_taken(r, &s);
}
