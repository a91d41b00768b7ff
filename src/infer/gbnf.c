/* gbnf.c - grammars as text: rules, alternatives, characters, repetitions.
 *
 * Groups, repetitions and characters of several bytes become rules of their own:
 *
 *     (a | b)   r ::= a | b          x*      r ::= x r |
 *     x{2,4}    x x r; r ::= x s |; s ::= x |             [a-é]   r ::= [a-\x7f] | \xc2 [\x80-\xbf] | ... */
#include <string.h>

#include "infer/grammar.h"

/* One alternative while it is read: items are gathered, then copied to their place. */
typedef struct items { kr_item *at; int32_t n, room; } items;

typedef struct parser {
    kr_rules *g;
    const char *text, *p, *end;
    char **name;           /* of each rule; NULL: made here */
    bool *defined;
    kr_table names;
    int32_t room_items, room_sets, room_alts, room_rules;
    kr_status status;
} parser;

static kr_status stop(parser *s, const char *what) {
    int line = 1;
    for (const char *c = s->text; c < s->p; c++) line += *c == '\n';
    if (s->status == KR_OK) s->status = kr_fail(KR_ERR_FORMAT, "grammar, line %d: %s", line, what);
    return s->status;
}

static bool grow(parser *s, void *array, int32_t *room, int32_t n, size_t size) {
    void **a = array;
    if (n < *room) return true;
    int32_t more = *room ? 2 * *room : 64;
    void *p = kr_mem_resize(*a, (size_t)more * size);
    if (!p) return s->status = KR_ERR_NOMEM, false;
    *a = p;
    *room = more;
    return true;
}

/* --- building blocks ----------------------------------------------------------------------- */

static int32_t new_rule(parser *s) {
    kr_rules *g = s->g;
    if (g->n >= KR_MAX_RULES) return stop(s, "too many rules"), -1;
    int32_t room = s->room_rules;
    if (g->n >= room) {
        if (!grow(s, &g->first, &room, g->n, sizeof *g->first)) return -1;
        room = s->room_rules;
        if (!grow(s, &g->n_alts, &room, g->n, sizeof *g->n_alts)) return -1;
        room = s->room_rules;
        if (!grow(s, &s->defined, &room, g->n, sizeof *s->defined)) return -1;
        if (!grow(s, &s->name, &s->room_rules, g->n, sizeof *s->name)) return -1;
    }
    g->first[g->n] = g->n_alts[g->n] = 0;
    s->name[g->n] = NULL;
    s->defined[g->n] = false;
    return g->n++;
}

static void add(parser *s, items *to, kr_item_kind kind, int32_t arg) {
    if (to->n >= KR_MAX_ITEMS) stop(s, "too long");
    if (s->status != KR_OK || !grow(s, &to->at, &to->room, to->n, sizeof *to->at)) return;
    to->at[to->n++] = (kr_item){kind, arg};
}

static void add_set(parser *s, items *to, const kr_byte_set *b) {
    kr_rules *g = s->g;
    if (g->n_sets >= KR_MAX_ITEMS) stop(s, "too many sets of characters");
    if (s->status != KR_OK || !grow(s, &g->set, &s->room_sets, g->n_sets, sizeof *g->set)) return;
    g->set[g->n_sets] = *b;
    add(s, to, KR_ITEM_SET, g->n_sets++);
}

static void set_range(kr_byte_set *b, int lo, int hi) {
    for (int i = lo; i <= hi; i++) b->bits[i >> 6] |= (uint64_t)1 << (i & 63);
}

/* Alternatives of one rule follow each other, so they are handed over together. */
static void define(parser *s, int32_t rule, const items *alts, int32_t n) {
    kr_rules *g = s->g;
    if (s->status != KR_OK) return;
    g->first[rule] = g->n_all_alts;
    g->n_alts[rule] = n;
    s->defined[rule] = true;
    for (int32_t a = 0; a < n; a++) {
        if (!grow(s, &g->alt, &s->room_alts, g->n_all_alts, sizeof *g->alt)) return;
        g->alt[g->n_all_alts++] = g->n_items;
        for (int32_t i = 0; i <= alts[a].n; i++) {
            if (g->n_items >= KR_MAX_ITEMS) {
                stop(s, "the grammar is too large");
                return;
            }
            if (!grow(s, &g->item, &s->room_items, g->n_items, sizeof *g->item)) return;
            g->item[g->n_items++] = i < alts[a].n ? alts[a].at[i] : (kr_item){KR_ITEM_END, 0};
        }
    }
}

static void free_items(items *x) {
    kr_mem_free(x->at);
    *x = (items){0};
}

/* --- characters ------------------------------------------------------------------------------ */

typedef struct range { uint32_t lo, hi; } range;
enum { MAX_RANGES = 1024, MAX_CHAR = 0x10FFFF };

static int encode(uint32_t c, unsigned char to[4]) {
    if (c < 0x80) return to[0] = (unsigned char)c, 1;
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6) to[i] = 0x80 | (c & 63);
    to[0] = (unsigned char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
    return n;
}

typedef struct alternatives { items *at; int32_t n, room; } alternatives;

static items *new_alternative(parser *s, alternatives *a) {
    if (!grow(s, &a->at, &a->room, a->n, sizeof *a->at)) return NULL;
    a->at[a->n] = (items){0};
    return &a->at[a->n++];
}
static void free_alternatives(alternatives *a) {
    for (int32_t i = 0; i < a->n; i++) free_items(&a->at[i]);
    kr_mem_free(a->at);
}

/* lo ... hi of one length in bytes: cut until every byte but the first few is a whole range. */
static void add_bytes(parser *s, alternatives *a, uint32_t lo, uint32_t hi) {
    unsigned char x[4], y[4];
    int n = encode(lo, x);
    for (int i = 1; i < n; i++) {
        uint32_t low = ((uint32_t)1 << (6 * i)) - 1;
        if ((lo & ~low) == (hi & ~low)) continue;
        if (lo & low) return add_bytes(s, a, lo, lo | low), add_bytes(s, a, (lo | low) + 1, hi);
        if ((hi & low) != low) return add_bytes(s, a, lo, (hi & ~low) - 1), add_bytes(s, a, hi & ~low, hi);
    }
    encode(hi, y);
    items *to = new_alternative(s, a);
    for (int i = 0; i < n && to; i++) {
        kr_byte_set b = {{0}};
        set_range(&b, x[i], y[i]);
        if (x[i] == y[i]) add(s, to, KR_ITEM_BYTE, x[i]);
        else add_set(s, to, &b);
    }
}

/* Sorted, without overlaps; surrogates are no characters. */
static int tidy(range *r, int n, bool negated) {
    range out[MAX_RANGES + 2];
    int k = 0;
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && r[j].lo < r[j - 1].lo; j--) {
            range t = r[j];
            r[j] = r[j - 1];
            r[j - 1] = t;
        }
    for (int i = 0; i < n; i++) {
        if (k > 0 && r[i].lo <= out[k - 1].hi + 1) out[k - 1].hi = r[i].hi > out[k - 1].hi ? r[i].hi : out[k - 1].hi;
        else out[k++] = r[i];
    }
    if (!negated) return memcpy(r, out, (size_t)k * sizeof *r), k;
    uint32_t from = 0;
    n = 0;
    for (int i = 0; i < k; i++) {
        if (out[i].lo > from) r[n++] = (range){from, out[i].lo - 1};
        from = out[i].hi + 1;
    }
    if (from <= MAX_CHAR) r[n++] = (range){from, MAX_CHAR};
    return n;
}

/* Characters as an item: a set if all are of one byte, else a rule. */
static void add_characters(parser *s, items *to, range *r, int n, bool negated) {
    static const range whole[] = {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, MAX_CHAR}};
    kr_byte_set ascii = {{0}};
    alternatives a = {0};
    bool any = false;
    n = tidy(r, n, negated);
    for (int i = 0; i < n && r[i].lo < 0x80; i++) set_range(&ascii, (int)r[i].lo, r[i].hi < 0x80 ? (int)r[i].hi : 0x7F), any = true;
    for (int k = 1; k < 5; k++)
        for (int i = 0; i < n && s->status == KR_OK; i++) {
            uint32_t lo = r[i].lo > whole[k].lo ? r[i].lo : whole[k].lo, hi = r[i].hi < whole[k].hi ? r[i].hi : whole[k].hi;
            if (lo <= hi) add_bytes(s, &a, lo, hi);
        }
    if (a.n == 0) {
        add_set(s, to, &ascii); /* of nothing, if there is nothing */
    } else {
        items *one = any ? new_alternative(s, &a) : NULL;
        if (one) add_set(s, one, &ascii);
        int32_t rule = new_rule(s);
        if (rule >= 0) define(s, rule, a.at, a.n), add(s, to, KR_ITEM_RULE, rule);
    }
    free_alternatives(&a);
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* One character of a literal or a class. */
static uint32_t read_char(parser *s) {
    static const char from[] = "nrt\\\"[]^-", to[] = "\n\r\t\\\"[]^-";
    const unsigned char *p = (const unsigned char *)s->p;
    size_t left = (size_t)(s->end - s->p);
    if (left == 0) return stop(s, "ends within a character"), 0;
    if (*p == '\\') {
        const char *known = left > 1 && p[1] ? strchr(from, p[1]) : NULL;
        int digits = left > 1 ? (p[1] == 'x' ? 2 : p[1] == 'u' ? 4 : p[1] == 'U' ? 8 : 0) : 0;
        uint32_t c = 0;
        if (known) return s->p += 2, (unsigned char)to[known - from];
        if (digits == 0 || left < (size_t)digits + 2) return stop(s, "an escape that is none"), 0;
        for (int i = 0; i < digits; i++) {
            if (hex(s->p[2 + i]) < 0) return stop(s, "an escape wants hexadecimal digits"), 0;
            c = c << 4 | (uint32_t)hex(s->p[2 + i]);
        }
        s->p += 2 + digits;
        if (c > MAX_CHAR || (c >= 0xD800 && c < 0xE000)) return stop(s, "an escape that is no character"), 0;
        return c;
    }
    size_t n = *p < 0x80 ? 1 : *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
    uint32_t c = n == 1 ? *p : n == 2 ? *p & 31 : n == 3 ? *p & 15 : *p & 7;
    if (n == 0 || n > left) return stop(s, "bytes that are no UTF-8"), 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return stop(s, "bytes that are no UTF-8"), 0;
        c = c << 6 | (p[i] & 63);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[n] || c > MAX_CHAR || (c >= 0xD800 && c < 0xE000)) return stop(s, "bytes that are no UTF-8"), 0;
    s->p += n;
    return c;
}

static void read_literal(parser *s, items *to) {
    for (s->p++; s->status == KR_OK && s->p < s->end && *s->p != '"';) {
        unsigned char b[4];
        int n = encode(read_char(s), b);
        for (int i = 0; i < n; i++) add(s, to, KR_ITEM_BYTE, b[i]);
    }
    if (s->p >= s->end) stop(s, "a literal has no end");
    else s->p++;
}

static void read_class(parser *s, items *to) {
    range r[MAX_RANGES + 2];
    int n = 0;
    bool negated = ++s->p < s->end && *s->p == '^';
    s->p += negated;
    while (s->status == KR_OK && s->p < s->end && *s->p != ']') {
        uint32_t lo = read_char(s), hi = lo;
        if (s->end - s->p > 1 && s->p[0] == '-' && s->p[1] != ']') s->p++, hi = read_char(s);
        if (s->status == KR_OK && (hi < lo || n == MAX_RANGES)) stop(s, hi < lo ? "a range of characters runs backwards" : "a class of too many ranges");
        if (s->status == KR_OK) r[n++] = (range){lo, hi};
    }
    if (s->p >= s->end) stop(s, "a class has no end");
    if (s->status != KR_OK) return;
    s->p++;
    add_characters(s, to, r, n, negated);
}

/* --- rules -------------------------------------------------------------------------------------- */

static void skip_space(parser *s, bool lines) {
    for (; s->p < s->end; s->p++) {
        if (*s->p == '#') while (s->p + 1 < s->end && s->p[1] != '\n' && s->p[1] != '\r') s->p++;
        else if (!(*s->p == ' ' || *s->p == '\t' || (lines && (*s->p == '\n' || *s->p == '\r')))) return;
    }
}

static bool name_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

static size_t name_length(const parser *s) {
    size_t n = 0;
    while (s->p + n < s->end && name_char(s->p[n])) n++;
    return n;
}

static uint32_t hash_bytes(const char *p, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h;
}

/* The rule of a name, made when it is first heard of. */
static int32_t rule_named(parser *s, const char *name, size_t n) {
    uint32_t mask = 2 * KR_MAX_RULES - 1, i = hash_bytes(name, n) & mask;
    for (; s->names.slot[i] >= 0; i = (i + 1) & mask) {
        const char *other = s->name[s->names.slot[i]];
        if (strlen(other) == n && memcmp(other, name, n) == 0) return s->names.slot[i];
    }
    int32_t r = new_rule(s);
    if (r < 0) return -1;
    char *copy = kr_mem_new(n + 1);
    if (!copy) return s->status = KR_ERR_NOMEM, -1;
    memcpy(copy, name, n);
    s->name[r] = copy;
    return s->names.slot[i] = r;
}

static void read_alternatives(parser *s, int32_t rule, int depth);

/* x{min,max}: the items since `start` again and again. */
static void repeat(parser *s, items *to, int32_t start, int64_t min, int64_t max) {
    items x = {0}, alt[2] = {{0}, {0}};
    if (s->status != KR_OK) return;
    if (to->n - start == 1) {
        add(s, &x, to->at[start].kind, to->at[start].arg);
    } else { /* several: a rule */
        int32_t r = new_rule(s);
        items all = {to->at + start, to->n - start, 0};
        if (r >= 0) define(s, r, &all, 1), add(s, &x, KR_ITEM_RULE, r);
    }
    to->n = start;
    for (int64_t i = 0; i < min && s->status == KR_OK; i++) add(s, to, x.at[0].kind, x.at[0].arg);
    int32_t next = -1;
    for (int64_t i = max < 0 ? 0 : min; (max < 0 ? i < 1 : i < max) && s->status == KR_OK; i++) { /* from the last one back */
        int32_t r = new_rule(s);
        alt[0].n = 0;
        add(s, &alt[0], x.at[0].kind, x.at[0].arg);
        if (max < 0) add(s, &alt[0], KR_ITEM_RULE, r);
        else if (next >= 0) add(s, &alt[0], KR_ITEM_RULE, next);
        if (r >= 0) define(s, next = r, alt, 2);
    }
    if (next >= 0) add(s, to, KR_ITEM_RULE, next);
    free_items(&x);
    free_items(&alt[0]);
}

static int64_t read_count(parser *s) {
    int64_t n = 0;
    skip_space(s, false);
    if (s->p >= s->end || *s->p < '0' || *s->p > '9') return stop(s, "a repetition wants {m}, {m,} or {m,n}"), 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
        n = 10 * n + (*s->p - '0');
        if (n > KR_MAX_REPEAT) return stop(s, "a repetition of more than 2000"), 0;
    }
    skip_space(s, false);
    return n;
}

static void read_repetition(parser *s, items *to, int32_t start) {
    char c = *s->p++;
    if (c == '*') return repeat(s, to, start, 0, -1);
    if (c == '+') return repeat(s, to, start, 1, -1);
    if (c == '?') return repeat(s, to, start, 0, 1);
    int64_t min = read_count(s), max = min;
    if (s->p < s->end && *s->p == ',') {
        s->p++;
        skip_space(s, false);
        max = s->p < s->end && *s->p == '}' ? -1 : read_count(s);
    }
    if (s->p >= s->end || *s->p != '}' || (max >= 0 && max < min)) {
        stop(s, "a repetition wants {m}, {m,} or {m,n}");
        return;
    }
    s->p++;
    repeat(s, to, start, min, max);
}

static void read_sequence(parser *s, items *to, int depth) {
    int32_t start = -1;
    while (s->status == KR_OK && s->p < s->end) {
        char c = *s->p;
        if (strchr("*+?{", c) && c) {
            if (start < 0) stop(s, "a repetition of nothing");
            else read_repetition(s, to, start);
            start = -1; /* x** repeats nothing more */
        } else {
            start = to->n;
            if (c == '"') read_literal(s, to);
            else if (c == '[') read_class(s, to);
            else if (c == '.') s->p++, add_characters(s, to, (range[MAX_RANGES + 2]){{0}}, 0, true);
            else if (c == '(') {
                int32_t r = new_rule(s);
                s->p++;
                skip_space(s, true);
                if (r >= 0) read_alternatives(s, r, depth + 1), add(s, to, KR_ITEM_RULE, r);
                if (s->p >= s->end || *s->p != ')') stop(s, "a group has no end");
                else s->p++;
            } else if (name_char(c)) {
                size_t n = name_length(s);
                int32_t r = rule_named(s, s->p, n);
                s->p += n;
                if (r >= 0) add(s, to, KR_ITEM_RULE, r);
            } else return;
        }
        skip_space(s, depth > 0);
    }
}

static void read_alternatives(parser *s, int32_t rule, int depth) {
    alternatives a = {0};
    if (depth > KR_MAX_NESTING) stop(s, "groups are nested too deep");
    while (s->status == KR_OK) {
        items *one = new_alternative(s, &a), mine = {0};
        if (!one) break;
        read_sequence(s, &mine, depth);
        a.at[a.n - 1] = mine;
        if (s->p >= s->end || *s->p != '|') break;
        s->p++;
        skip_space(s, true);
    }
    define(s, rule, a.at, a.n);
    free_alternatives(&a);
}

static void read_rule(parser *s) {
    size_t n = name_length(s);
    if (n == 0) {
        stop(s, "want a rule: name ::= ...");
        return;
    }
    int32_t r = rule_named(s, s->p, n);
    s->p += n;
    skip_space(s, false);
    if (s->end - s->p < 3 || memcmp(s->p, "::=", 3) != 0) {
        stop(s, "want ::= after the name of a rule");
        return;
    }
    s->p += 3;
    skip_space(s, true);
    if (r >= 0 && s->defined[r]) stop(s, "a rule is there twice");
    if (r >= 0) read_alternatives(s, r, 0);
    if (s->status == KR_OK && s->p < s->end && *s->p != '\n' && *s->p != '\r') stop(s, "want the end of the line, or what a rule is made of");
    skip_space(s, true);
}

static kr_status finish(parser *s) {
    kr_rules *g = s->g;
    g->root = -1;
    for (int32_t r = 0; r < g->n; r++) {
        if (!s->defined[r]) KR_FAIL(KR_ERR_FORMAT, "grammar: the rule \"%.60s\" is used and not there", s->name[r]);
        if (s->name[r] && strcmp(s->name[r], "root") == 0) g->root = r;
    }
    if (g->root < 0) KR_FAIL(KR_ERR_FORMAT, "grammar: there is no rule \"root\"");
    return kr_rules_check(g, s->name);
}

void kr_rules_free(kr_rules *g) {
    kr_mem_free(g->item);
    kr_mem_free(g->set);
    kr_mem_free(g->alt);
    kr_mem_free(g->first);
    kr_mem_free(g->n_alts);
    *g = (kr_rules){0};
}

kr_status kr_rules_parse(kr_rules *g, const char *text, size_t n) {
    parser s = {.g = g, .text = text, .p = text, .end = text + n};
    *g = (kr_rules){0};
    if (n > 1 << 20) KR_FAIL(KR_ERR_FORMAT, "the grammar has %zu bytes, want at most 1 MB", n);
    s.names.slot = kr_mem_array(2 * KR_MAX_RULES, sizeof *s.names.slot);
    if (!s.names.slot) return KR_ERR_NOMEM;
    memset(s.names.slot, -1, 2 * KR_MAX_RULES * sizeof *s.names.slot);
    skip_space(&s, true);
    while (s.status == KR_OK && s.p < s.end) read_rule(&s);
    if (s.status == KR_OK) s.status = finish(&s);
    for (int32_t r = 0; r < g->n; r++) kr_mem_free(s.name[r]);
    kr_mem_free(s.name);
    kr_mem_free(s.defined);
    kr_mem_free(s.names.slot);
    if (s.status != KR_OK) kr_rules_free(g);
    return s.status;
}
