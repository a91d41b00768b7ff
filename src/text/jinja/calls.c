/* calls.c - functions that templates call, and methods of texts and mappings. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "text/jinja/jinja.h"
#include "text/unicode.h"

typedef kr_j_run run;
typedef kr_j_value value;
typedef kr_j_args args;

const value *kr_j_arg(run *r, const args *a, size_t i, const char *name) {
    (void)r;
    if (i < a->n) return &a->at[i];
    for (size_t k = 0; name && k < a->n_named; k++)
        if (kr_j_is(a->named[k].key, name)) return &a->named[k].value;
    return NULL;
}

static value wants(run *r, const char *what, const char *want) { return kr_j_bad(r, KR_ERR_ARG, "%s wants %s", what, want); }

/* --- functions --------------------------------------------------------------------------------- */

static value range(run *r, value f, const args *a) {
    int64_t x[3] = {0, 0, 1}, first, count;
    (void)f;
    if (a->n < 1 || a->n > 3) return wants(r, "range", "one to three integers");
    for (size_t i = 0; i < a->n; i++)
        if (!kr_j_whole(a->at[i], &x[i])) return wants(r, "range", "integers");
    if (a->n == 1) x[1] = x[0], x[0] = 0;
    if (x[2] == 0) return wants(r, "range", "a step that is not 0");
    value l = kr_j_new_list(r);
    first = x[0];
    uint64_t gap = x[2] > 0 ? (x[1] > x[0] ? (uint64_t)x[1] - (uint64_t)x[0] : 0) : x[0] > x[1] ? (uint64_t)x[0] - (uint64_t)x[1] : 0;
    uint64_t by = x[2] > 0 ? (uint64_t)x[2] : 0 - (uint64_t)x[2], n = gap / by + (gap % by != 0);
    if (n > KR_J_MAX_RANGE) return kr_j_bad(r, KR_ERR_NUMERIC, "a range of more than %d", KR_J_MAX_RANGE);
    count = (int64_t)n;
    for (int64_t i = 0; i < count && r->st == KR_OK; i++) kr_j_push(r, l.list, kr_j_int((int64_t)((uint64_t)first + (uint64_t)i * (uint64_t)x[2])));
    return l;
}

static value make_mapping(run *r, value f, const args *a) {
    value d = kr_j_new_dict(r);
    const kr_j_value *of = a->n ? &a->at[0] : NULL;
    if (!d.kind) return d;
    if (a->n > 1 || (of && of->kind != KR_J_DICT && of->kind != KR_J_LIST)) return wants(r, "dict", "a mapping, or a list of pairs, and names");
    for (size_t i = 0; of && of->kind == KR_J_DICT && i < of->dict->n; i++) kr_j_put(r, d.dict, of->dict->at[i].key, of->dict->at[i].value);
    for (size_t i = 0; of && of->kind == KR_J_LIST && i < of->list->n && kr_j_step(r, 1); i++) {
        value pair = of->list->at[i];
        if (pair.kind != KR_J_LIST || pair.list->n != 2 || pair.list->at[0].kind == KR_J_LIST || pair.list->at[0].kind == KR_J_DICT) return wants(r, "dict", "a mapping, or a list of pairs, and names");
        kr_j_put(r, d.dict, pair.list->at[0], pair.list->at[1]);
    }
    for (size_t i = 0; i < a->n_named; i++) kr_j_put(r, d.dict, a->named[i].key, a->named[i].value);
    if (f.i) d.kind = KR_J_NAMESPACE;
    return d;
}

static value raise(run *r, value f, const args *a) {
    const value *v = kr_j_arg(r, a, 0, "message");
    (void)f;
    value text = v ? kr_j_str(r, *v) : kr_j_text("", 0);
    if (r->st == KR_OK) r->st = kr_fail(KR_ERR_ARG, "the chat template refuses: %.*s", text.n > 500 ? 500 : (int)text.n, text.n ? text.s : "");
    return (value){0};
}

static value date(run *r, value f, const args *a) {
    char format[128], text[512];
    time_t now = time(NULL);
    struct tm tm;
    (void)f;
    if (a->n != 1 || a->at[0].kind != KR_J_TEXT || a->at[0].n >= sizeof format) return wants(r, "strftime_now", "a short text");
    memcpy(format, a->at[0].s, a->at[0].n);
    format[a->at[0].n] = 0;
    localtime_r(&now, &tm);
    size_t n = *format ? strftime(text, sizeof text, format, &tm) : 0;
    return kr_j_copy(r, text, n);
}

static const struct { const char *name; value (*call)(run *r, value f, const args *a); } functions[] = {
    {"dict", make_mapping}, {"namespace", make_mapping}, {"range", range}, {"raise_exception", raise}, {"strftime_now", date}};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

value kr_j_global(const char *name, size_t n) {
    for (int i = 0; i < N_FUNCTIONS; i++)
        if (strlen(functions[i].name) == n && memcmp(functions[i].name, name, n) == 0) return (value){.kind = KR_J_FUNCTION, .i = i};
    return (value){0};
}

value kr_j_function(run *r, value f, const args *a) { return functions[f.i].call(r, f, a); }

/* --- methods -------------------------------------------------------------------------------------- */

static const char *const of_texts[] = {"capitalize", "center", "count", "endswith", "find", "format", "index", "isalpha", "isdigit", "islower", "isspace", "isupper", "join", "ljust",
                                       "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rjust", "rpartition", "rsplit", "rstrip", "split",
                                       "splitlines", "startswith", "strip", "title", "upper", "zfill", NULL};
static const char *const of_mappings[] = {"copy", "get", "items", "keys", "values", NULL};
static const char *const of_lists[] = {"copy", "count", "index", NULL};

bool kr_j_has_method(value of, const char *name, size_t n) {
    const char *const *m = of.kind == KR_J_TEXT ? of_texts : of.kind == KR_J_DICT ? of_mappings : of.kind == KR_J_LIST ? of_lists : NULL;
    for (; m && *m; m++)
        if (strlen(*m) == n && memcmp(*m, name, n) == 0) return true;
    return false;
}

/* Is the letter of n bytes one of the set, or a space? */
static bool in_set(run *r, const char *letter, size_t n, const value *set) {
    if (!kr_j_step(r, 1 + (set ? set->n / 64 : 0))) return false;
    return set ? memmem(set->s, set->n, letter, n) != NULL : kr_j_space(letter, letter + n) > 0;
}

/* Without the letters of the set (spaces) at either end. */
static value strip(run *r, value t, const value *set, bool left, bool right) {
    if (set && set->kind == KR_J_NONE) set = NULL;
    if (set && set->kind != KR_J_TEXT) return wants(r, "strip", "a text");
    for (size_t k = 1; left && t.n; t.s += k, t.n -= k, k = 1) {
        while (k < t.n && ((unsigned char)t.s[k] & 0xC0) == 0x80) k++;
        if (!in_set(r, t.s, k, set)) break;
    }
    for (size_t k = 1; right && t.n; t.n -= k, k = 1) {
        while (k < t.n && ((unsigned char)t.s[t.n - k] & 0xC0) == 0x80) k++;
        if (!in_set(r, t.s + t.n - k, k, set)) break;
    }
    return t;
}

static const char *find(value t, size_t from, value what) {
    if (what.n == 0) return t.s + from;
    return memmem(t.s + from, t.n - from, what.s, what.n);
}

static const char *find_last(run *r, value t, value what) {
    if (what.n > t.n || !kr_j_step(r, t.n / 16)) return NULL;
    if (what.n == 0) return t.s + t.n;
    for (size_t i = t.n - what.n + 1; i-- > 0;) /* to compare costs the more the longer it is */
        if (t.s[i] == *what.s && t.s[i + what.n - 1] == what.s[what.n - 1]) {
            if (!kr_j_step(r, 1 + what.n / 64)) return NULL;
            if (memcmp(t.s + i, what.s, what.n) == 0) return t.s + i;
        }
    return NULL;
}

/* Without the spaces at its end. */
static value stripped_end(run *r, value t) {
    for (size_t k; (k = kr_j_space_before(t.s, t.s + t.n)) && kr_j_step(r, 1);) t.n -= k;
    return t;
}

static value split(run *r, value t, const args *a) {
    const value *by = kr_j_arg(r, a, 0, "sep"), *most = kr_j_arg(r, a, 1, "maxsplit");
    int64_t max = -1;
    value l = kr_j_new_list(r);
    size_t i = 0;
    if (most && !kr_j_whole(*most, &max)) return wants(r, "split", "a number of splits");
    if (by && by->kind == KR_J_NONE) by = NULL;
    if (by && (by->kind != KR_J_TEXT || by->n == 0)) return wants(r, "split", "a text to split at");
    const char *stop = t.s + t.n;
    while (!by && r->st == KR_OK) { /* at runs of spaces */
        for (size_t k; (k = kr_j_space(t.s + i, stop));) i += k;
        if (i == t.n) break;
        size_t end = i;
        if (max >= 0 && max-- == 0) {
            kr_j_push(r, l.list, kr_j_text(t.s + i, t.n - i));
            break;
        }
        for (; end < t.n && !kr_j_space(t.s + end, stop); end++) /* a letter */
            while (end + 1 < t.n && ((unsigned char)t.s[end + 1] & 0xC0) == 0x80) end++;
        kr_j_push(r, l.list, kr_j_text(t.s + i, end - i));
        i = end;
    }
    for (const char *p; by && r->st == KR_OK; i = (size_t)(p - t.s) + by->n) {
        kr_j_step(r, 1);
        p = max >= 0 && max-- == 0 ? NULL : find(t, i, *by);
        if (!p) { kr_j_push(r, l.list, kr_j_text(t.s + i, t.n - i)); break; }
        kr_j_push(r, l.list, kr_j_text(t.s + i, (size_t)(p - t.s) - i));
    }
    kr_j_step(r, t.n / 32);
    return l;
}

static value rsplit(run *r, value t, const args *a) {
    const value *by = kr_j_arg(r, a, 0, "sep"), *most = kr_j_arg(r, a, 1, "maxsplit");
    int64_t max;
    if (by && by->kind == KR_J_NONE) by = NULL;
    if (!most || (by && (by->kind != KR_J_TEXT || by->n == 0)) || (kr_j_whole(*most, &max) && max < 0)) return split(r, t, a);
    if (!kr_j_whole(*most, &max)) return wants(r, "rsplit", "a number of splits");
    value back = kr_j_new_list(r), l = kr_j_new_list(r);
    for (const char *p, *from; r->st == KR_OK; t.n = (size_t)(p - t.s)) {
        if (!by) t = stripped_end(r, t);
        if (!by && t.n == 0) break;
        p = by && max > 0 ? find_last(r, t, *by) : NULL;
        from = p ? p + by->n : t.s;
        if (!by && max > 0) { /* a word, letter by letter */
            for (from = t.s + t.n; from > t.s && !kr_j_space_before(t.s, from) && kr_j_step(r, 1);)
                do from--;
                while (from > t.s && ((unsigned char)*from & 0xC0) == 0x80);
            p = from > t.s ? from : NULL;
        }
        kr_j_push(r, back.list, kr_j_text(from, (size_t)(t.s + t.n - from)));
        if (!p) break;
        max--;
    }
    for (size_t i = r->st == KR_OK ? back.list->n : 0; i-- > 0;) kr_j_push(r, l.list, back.list->at[i]);
    return l;
}

static value partition(run *r, value t, const args *a, bool last) {
    const value *by = kr_j_arg(r, a, 0, "sep");
    value l = kr_j_new_list(r), none = kr_j_text("", 0);
    if (!by || by->kind != KR_J_TEXT || by->n == 0) return wants(r, "partition", "a text to part at");
    const char *p = last ? find_last(r, t, *by) : find(t, 0, *by);
    size_t at = p ? (size_t)(p - t.s) : last ? 0 : t.n, end = p ? at + by->n : at;
    if (!p && last) kr_j_push(r, l.list, none), kr_j_push(r, l.list, none), kr_j_push(r, l.list, t);
    else {
        kr_j_push(r, l.list, kr_j_text(t.s, at));
        kr_j_push(r, l.list, kr_j_text(t.s + at, end - at));
        kr_j_push(r, l.list, kr_j_text(t.s + end, t.n - end));
    }
    if (r->st == KR_OK) l.list->tuple = true;
    return l;
}

/* Bytes of what ends a line at p; 0: nothing there does. */
static size_t line_end(const char *p, const char *end) {
    size_t n = kr_j_space(p, end);
    if (n == 1) return *p == ' ' || *p == '\t' || *p == 0x1f ? 0 : *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1;
    return n == 2 && memcmp(p, "\xc2\x85", 2) == 0 ? 2 : n == 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0) ? 3 : 0;
}

static value lines(run *r, value t, const args *a) {
    value l = kr_j_new_list(r);
    const value *keep = kr_j_arg(r, a, 0, "keepends");
    kr_j_step(r, t.n / 8);
    for (size_t i = 0, ending = 0, end; i < t.n && r->st == KR_OK; i = end + ending) {
        for (end = i; end < t.n && !(ending = line_end(t.s + end, t.s + t.n)); end++) /* a letter */
            while (end + 1 < t.n && ((unsigned char)t.s[end + 1] & 0xC0) == 0x80) end++;
        if (end == t.n) ending = 0;
        kr_j_push(r, l.list, kr_j_text(t.s + i, end - i + (keep && kr_j_true(*keep) ? ending : 0)));
    }
    return l;
}

/* The other case of a letter of Latin, Greek and Cyrillic; else the letter itself. */
static uint32_t recased(uint32_t c, bool up) {
    if ((c >= 0x100 && c < 0x130) || (c >= 0x14A && c < 0x178) || (c >= 0x460 && c < 0x482) || (c >= 0x48A && c < 0x4C0) || (c >= 0x4D0 && c < 0x530)) return up ? c & ~1u : c | 1u;
    if ((c >= 0x139 && c < 0x149) || (c >= 0x179 && c < 0x17F)) return up ? c - !(c & 1) : c + (c & 1);
    static const struct { uint32_t first, last, to; } rows[] = {{'a', 'z', 'A'}, {0xE0, 0xF6, 0xC0}, {0xF8, 0xFE, 0xD8}, {0x3B1, 0x3C1, 0x391}, {0x3C3, 0x3CB, 0x3A3},
                                                                {0x430, 0x44F, 0x410}, {0x450, 0x45F, 0x400}, {0x3AD, 0x3AF, 0x388}, {0x3CC, 0x3CC, 0x38C}, {0x3CD, 0x3CE, 0x38E}, {0xFF, 0xFF, 0x178}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t n = rows[i].last - rows[i].first, from = up ? rows[i].first : rows[i].to;
        if (c >= from && c <= from + n) return c - from + (up ? rows[i].to : rows[i].first);
    }
    return up && c == 0x3C2 ? 0x3A3 : up && c == 0x3AC ? 0x386 : !up && c == 0x386 ? 0x3AC : c;
}

/* u(pper), l(ower), t(itle), c(apitalize). */
static value recase(run *r, value t, char how) {
    kr_str s = {0};
    bool inside = false;
    int k;
    kr_j_step(r, t.n / 4);
    for (size_t i = 0; r->st == KR_OK && i < t.n; i += (size_t)k) {
        uint32_t c = kr_utf8_get((const unsigned char *)t.s + i, &k);
        bool up = how == 'u' || (how == 't' && !inside) || (how == 'c' && i == 0);
        if (c == 0xDF && up) kr_str_append(&s, how == 'u' ? "SS" : "Ss");
        else kr_utf8_put(&s, recased(c, up));
        inside = recased(c, true) != c || recased(c, false) != c;
    }
    return kr_j_taken(r, &s);
}

static value replace(run *r, value t, const args *a) {
    const value *old = kr_j_arg(r, a, 0, "old"), *new = kr_j_arg(r, a, 1, "new"), *most = kr_j_arg(r, a, 2, "count");
    int64_t max = -1;
    kr_str s = {0};
    if (!old || !new || old->kind != KR_J_TEXT || new->kind != KR_J_TEXT) return wants(r, "replace", "two texts");
    if (most && most->kind != KR_J_NONE && !kr_j_whole(*most, &max)) return wants(r, "replace", "a count");
    size_t i = 0;
    for (const char *p; r->st == KR_OK && max != 0 && i <= t.n && (p = find(t, i, *old)); max -= max > 0) {
        kr_j_write(r, &s, kr_j_text(t.s + i, (size_t)(p - t.s) - i));
        kr_j_write(r, &s, *new);
        i = (size_t)(p - t.s) + old->n;
        if (old->n == 0) { /* before each letter, and at the end */
            if (i == t.n) { i++; break; }
            do kr_j_write(r, &s, kr_j_text(t.s + i, 1));
            while (++i < t.n && ((unsigned char)t.s[i] & 0xC0) == 0x80);
        }
    }
    if (i < t.n) kr_j_write(r, &s, kr_j_text(t.s + i, t.n - i));
    return kr_j_taken(r, &s);
}

static bool ends(run *r, value t, value with, bool start) {
    if (with.kind == KR_J_LIST) {
        for (size_t i = 0; i < with.list->n && kr_j_step(r, 1 + t.n / 64); i++)
            if (with.list->at[i].kind == KR_J_TEXT && ends(r, t, with.list->at[i], start)) return true;
        return false;
    }
    if (with.kind != KR_J_TEXT) return kr_j_true(wants(r, start ? "startswith" : "endswith", "a text"));
    return with.n <= t.n && (with.n == 0 || memcmp(start ? t.s : t.s + t.n - with.n, with.s, with.n) == 0);
}

static bool all_of(run *r, value t, bool (*is)(uint32_t c)) {
    int n;
    if (!kr_j_step(r, t.n / 8)) return false;
    for (size_t i = 0; i < t.n; i += (size_t)n)
        if (!is(kr_utf8_get((const unsigned char *)t.s + i, &n))) return false;
    return t.n > 0;
}
static bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }
static bool is_alpha(uint32_t c) { return kr_char_class_of(c) >= KR_CHAR_LOWER && kr_char_class_of(c) <= KR_CHAR_LETTER; }
static bool is_space(uint32_t c) { return kr_char_class_of(c) == KR_CHAR_SPACE || (c >= 0x1c && c <= 0x1f); }
static bool not_lower(uint32_t c) { return kr_char_class_of(c) != KR_CHAR_LOWER; }
static bool not_upper(uint32_t c) { return kr_char_class_of(c) != KR_CHAR_UPPER; }

/* t[from:to] of the arguments number i and i + 1, or t; the letters before it in *first. */
static bool stretch(run *r, value *t, const args *a, size_t i, int64_t *first) {
    int64_t x[2], n, count;
    bool given[2] = {0};
    *first = 0;
    if (a->n > i + 2) return kr_j_true(wants(r, "the method", "a text, and from where to where"));
    for (size_t k = 0; k < 2 && i + k < a->n; k++)
        if (a->at[i + k].kind != KR_J_NONE && !(given[k] = kr_j_whole(a->at[i + k], &x[k]))) return kr_j_true(wants(r, "the method", "places as integers"));
    if (!given[0] && !given[1]) return true;
    if (!kr_j_step(r, t->n / 16)) return false;
    for (int k = 0; k < 2; k++) /* far outside is outside, without the last places of 64 bits */
        if (given[k]) x[k] = x[k] > (int64_t)1 << 40 ? (int64_t)1 << 40 : x[k] < -((int64_t)1 << 40) ? -((int64_t)1 << 40) : x[k];
    n = (int64_t)kr_j_letters(*t);
    kr_j_slice_range(n, given[0] ? &x[0] : NULL, given[1] ? &x[1] : NULL, 1, first, &count);
    size_t from = kr_j_letter_at(*t, (size_t)*first), to = kr_j_letter_at(*t, (size_t)(*first + count));
    *t = kr_j_text(t->s + from, to - from);
    return true;
}

static value join(run *r, value by, const args *a) {
    kr_str s = {0};
    const value *of = kr_j_arg(r, a, 0, NULL);
    kr_j_list *l = of ? kr_j_items(r, *of) : NULL;
    if (!l) return wants(r, "join", "a list");
    for (size_t i = 0; i < l->n && r->st == KR_OK; i++) {
        if (i) kr_j_write(r, &s, by);
        if (l->at[i].kind != KR_J_TEXT) wants(r, "join", "texts");
        kr_j_write(r, &s, l->at[i]);
    }
    return kr_j_taken(r, &s);
}

/* center, ljust, rjust, zfill: nothing but ASCII fills. */
static value justified(run *r, value t, const char *name, const args *a) {
    const value *width = kr_j_arg(r, a, 0, NULL), *with = kr_j_arg(r, a, 1, NULL);
    int64_t n;
    if (!width || !kr_j_whole(*width, &n) || n > INT32_MAX) return wants(r, name, "a width");
    if (n < 0) n = 0;
    if (with && (*name == 'z' || with->kind != KR_J_TEXT || with->n != 1)) return wants(r, name, "one letter to fill with");
    if (*name != 'z') return kr_j_justified(r, t, n, with ? with->s : " ", *name);
    bool sign = t.n && (*t.s == '-' || *t.s == '+');
    value digits = kr_j_justified(r, kr_j_text(t.s + sign, t.n - sign), n - sign, "0", 'r');
    kr_str s = {0};
    if (!sign || r->st != KR_OK) return digits;
    kr_j_write(r, &s, kr_j_text(t.s, 1));
    kr_j_write(r, &s, digits);
    return kr_j_taken(r, &s);
}

/* "%s" is format.c's; here "{}" and "{0}" alone. */
static value format(run *r, value t, const args *a) {
    kr_str s = {0};
    size_t next = 0;
    for (size_t i = 0; i < t.n && r->st == KR_OK; i++) {
        char c = t.s[i];
        if ((c == '{' || c == '}') && i + 1 < t.n && t.s[i + 1] == c) kr_j_write(r, &s, kr_j_text(t.s + i++, 1));
        else if (c == '{') {
            size_t from = ++i;
            while (i < t.n && t.s[i] != '}') i++;
            value key = kr_j_text(t.s + from, i - from);
            const value *v = key.n == 0 ? kr_j_arg(r, a, next++, NULL) : key.n == 1 && is_digit((unsigned char)*key.s) ? kr_j_arg(r, a, (size_t)(*key.s - '0'), NULL) : NULL;
            for (size_t k = 0; !v && k < a->n_named; k++)
                if (kr_j_equal(r, a->named[k].key, key)) v = &a->named[k].value;
            if (!v) wants(r, "format", "an argument for each {}, without width or type");
            else kr_j_write(r, &s, *v);
        } else kr_j_write(r, &s, kr_j_text(t.s + i, 1));
    }
    return kr_j_taken(r, &s);
}

/* find, rfind, index, count: places are letters. */
static value places(run *r, value t, const char *name, const args *a) {
    const value *what = kr_j_arg(r, a, 0, "sub");
    int64_t n = 0, first;
    if (!what || what->kind != KR_J_TEXT) return wants(r, name, "a text");
    if (!stretch(r, &t, a, 1, &first) || !kr_j_step(r, t.n / 16)) return (value){0};
    if (*name == 'c') {
        if (what->n == 0) return kr_j_int((int64_t)kr_j_letters(t) + 1);
        for (const char *p = find(t, 0, *what); p && kr_j_step(r, 1); p = find(t, (size_t)(p - t.s) + what->n, *what)) n++;
        return kr_j_int(n);
    }
    const char *p = *name == 'r' ? find_last(r, t, *what) : find(t, 0, *what);
    if (!p && *name == 'i') return kr_j_bad(r, KR_ERR_ARG, "index: the text is not there");
    return kr_j_int(p ? first + (int64_t)kr_j_letters(kr_j_text(t.s, (size_t)(p - t.s))) : -1);
}

static value text_method(run *r, value t, const char *name, const args *a) {
    const value *x = a->n ? &a->at[0] : NULL;
    int64_t first;
    if (!kr_j_step(r, t.n / 64)) return (value){0}; /* most methods look at all of it */
#define IS(m) (strcmp(name, m) == 0)
    if (IS("strip")) return strip(r, t, x, true, true);
    if (IS("lstrip")) return strip(r, t, x, true, false);
    if (IS("rstrip")) return strip(r, t, x, false, true);
    if (IS("split")) return split(r, t, a);
    if (IS("rsplit")) return rsplit(r, t, a);
    if (IS("splitlines")) return lines(r, t, a);
    if (IS("partition") || IS("rpartition")) return partition(r, t, a, *name == 'r');
    if (IS("replace")) return replace(r, t, a);
    if (IS("upper") || IS("lower") || IS("title") || IS("capitalize")) return recase(r, t, *name);
    if (IS("startswith") || IS("endswith")) return !x ? wants(r, name, "a text") : kr_j_bool(stretch(r, &t, a, 1, &first) && ends(r, t, *x, *name == 's'));
    if (IS("removeprefix") || IS("removesuffix")) {
        if (!x || x->kind != KR_J_TEXT) return wants(r, name, "a text");
        bool prefix = IS("removeprefix");
        if (!ends(r, t, *x, prefix)) return t;
        return kr_j_text(t.s + (prefix ? x->n : 0), t.n - x->n);
    }
    if (IS("join")) return join(r, t, a);
    if (IS("format")) return format(r, t, a);
    if (IS("center") || IS("ljust") || IS("rjust") || IS("zfill")) return justified(r, t, name, a);
    if (IS("isdigit")) return kr_j_bool(all_of(r, t, is_digit));
    if (IS("isalpha")) return kr_j_bool(all_of(r, t, is_alpha));
    if (IS("isspace")) return kr_j_bool(all_of(r, t, is_space));
    if (IS("isupper")) return kr_j_bool(all_of(r, t, not_lower) && !all_of(r, t, not_upper));
    if (IS("islower")) return kr_j_bool(all_of(r, t, not_upper) && !all_of(r, t, not_lower));
    return places(r, t, name, a);
#undef IS
}

static value mapping_method(run *r, value d, const char *name, const args *a) {
    if (*name == 'g') {
        const value *key = kr_j_arg(r, a, 0, "key"), *other = kr_j_arg(r, a, 1, "default"), *v = key ? kr_j_get(r, d.dict, *key) : NULL;
        if (!key) return wants(r, "get", "a key");
        return v ? *v : other ? *other : kr_j_none();
    }
    if (name[0] == 'c') return d;
    value l = kr_j_new_list(r);
    for (size_t i = 0; i < d.dict->n && r->st == KR_OK; i++) {
        if (*name == 'k') kr_j_push(r, l.list, d.dict->at[i].key);
        else if (*name == 'v') kr_j_push(r, l.list, d.dict->at[i].value);
        else {
            value pair = kr_j_pair_of(r, d.dict->at[i].key, d.dict->at[i].value);
            kr_j_push(r, l.list, pair);
        }
    }
    return l;
}

static value list_method(run *r, value l, const char *name, const args *a) {
    if (strcmp(name, "copy") == 0) return l;
    int64_t n = 0;
    if (a->n != 1) return wants(r, name, "one value");
    for (size_t i = 0; i < l.list->n && kr_j_step(r, 1); i++) {
        bool same = kr_j_equal(r, l.list->at[i], a->at[0]);
        if (same && *name == 'i') return kr_j_int((int64_t)i);
        n += same;
    }
    return *name == 'i' ? kr_j_bad(r, KR_ERR_ARG, "index: the value is not there") : kr_j_int(n);
}

value kr_j_method(run *r, value of, const char *name, size_t n, const args *a) {
    char copy[32];
    snprintf(copy, sizeof copy, "%.*s", n > 31 ? 31 : (int)n, name);
    return of.kind == KR_J_TEXT ? text_method(r, of, copy, a) : of.kind == KR_J_DICT ? mapping_method(r, of, copy, a) : list_method(r, of, copy, a);
}
