/* split.c - the regular expressions of pre-tokenisers, as scanners.
 *
 * All of them try, in this order: a contraction, letters, numbers, other characters, white
 * space.  "\s+(?!\S)|\s+" leaves the last of several spaces to the word that follows. */
#include "text/split.h"

#include <string.h>

#include "text/unicode.h"

static const char *const regexes[] = {
    [KR_SPLIT_GPT2] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    [KR_SPLIT_LLAMA3] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    [KR_SPLIT_QWEN2] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};
enum { N_RULES = sizeof regexes / sizeof *regexes };

bool kr_split_find(const char *regex, kr_split_rule *rule) {
    for (int i = KR_SPLIT_GPT2; i < N_RULES; i++)
        if (strcmp(regex, regexes[i]) == 0) return *rule = (kr_split_rule)i, true;
    return false;
}

const char *kr_split_regex(kr_split_rule rule) { return (int)rule < (int)N_RULES ? regexes[rule] : NULL; }

typedef enum kind { LETTER, NUMBER, OTHER, SPACE, END } kind;

static inline kind kind_at(const unsigned char *p, const unsigned char *end, int *n) {
    static const unsigned char ascii[128] = { /* one more than the kind; 0: other */
        ['\t'] = SPACE + 1, ['\n'] = SPACE + 1, ['\v'] = SPACE + 1, ['\f'] = SPACE + 1, ['\r'] = SPACE + 1, [' '] = SPACE + 1,
#define TEN(c) [c] = NUMBER + 1, [c + 1] = NUMBER + 1, [c + 2] = NUMBER + 1, [c + 3] = NUMBER + 1, [c + 4] = NUMBER + 1
        TEN('0'), TEN('5'),
#undef TEN
#define TEN(c) [c] = LETTER + 1, [c + 1] = LETTER + 1, [c + 2] = LETTER + 1, [c + 3] = LETTER + 1, [c + 4] = LETTER + 1, \
               [c + 5] = LETTER + 1, [c + 6] = LETTER + 1, [c + 7] = LETTER + 1, [c + 8] = LETTER + 1, [c + 9] = LETTER + 1
        TEN('a'), TEN('k'), ['u'] = LETTER + 1, ['v'] = LETTER + 1, ['w'] = LETTER + 1, ['x'] = LETTER + 1, ['y'] = LETTER + 1, ['z'] = LETTER + 1,
        TEN('A'), TEN('K'), ['U'] = LETTER + 1, ['V'] = LETTER + 1, ['W'] = LETTER + 1, ['X'] = LETTER + 1, ['Y'] = LETTER + 1, ['Z'] = LETTER + 1,
#undef TEN
    };
    static const unsigned char kinds[] = {[KR_CHAR_OTHER] = OTHER, [KR_CHAR_LOWER] = LETTER, [KR_CHAR_UPPER] = LETTER, [KR_CHAR_LETTER] = LETTER,
                                          [KR_CHAR_NUMBER] = NUMBER, [KR_CHAR_MARK] = OTHER, [KR_CHAR_SPACE] = SPACE};
    if (p >= end) return *n = 0, END;
    if (*p < 128) return *n = 1, ascii[*p] ? (kind)(ascii[*p] - 1) : OTHER;
    return (kind)kinds[kr_char_class_of(kr_utf8_get(p, n))];
}

static const unsigned char *run_of(kind k, const unsigned char *p, const unsigned char *end) {
    int n;
    while (kind_at(p, end, &n) == k) p += n;
    return p;
}

/* 's 't 're 've 'm 'll 'd: its length, or 0.  Without case, the long s is an s as well. */
static size_t contraction(const unsigned char *p, const unsigned char *end, bool any_case) {
    size_t n = (size_t)(end - p);
    if (n < 2 || *p != '\'') return 0;
    if (any_case && n > 2 && p[1] == 0xC5 && p[2] == 0xBF) return 3;
    unsigned char a = p[1], b = n > 2 ? p[2] : 0;
    if (any_case) a |= a >= 'A' && a <= 'Z' ? 32 : 0, b |= b >= 'A' && b <= 'Z' ? 32 : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space from p on: to the last newline if newlines end a piece, else all but the last
 * character, which goes with what follows. */
static size_t space(const unsigned char *p, const unsigned char *end, bool lines) {
    const unsigned char *at = p, *last = p, *line = NULL;
    for (int n; kind_at(at, end, &n) == SPACE; at += n) {
        last = at;
        if (*at == '\n' || *at == '\r') line = at + 1;
    }
    if (lines && line) return (size_t)(line - p);
    return (size_t)((at == end || last == p ? at : last) - p);
}

static size_t next_gpt2(const unsigned char *p, const unsigned char *end) {
    int n;
    size_t c = contraction(p, end, false);
    if (c) return c;
    const unsigned char *q = p + (*p == ' ');
    kind k = kind_at(q, end, &n);
    if (k == LETTER || k == NUMBER || k == OTHER) return (size_t)(run_of(k, q + n, end) - p);
    return space(p, end, false);
}

static size_t next_lines(const unsigned char *p, const unsigned char *end, int digits) {
    int n, m;
    size_t c = contraction(p, end, true);
    if (c) return c;
    kind k = kind_at(p, end, &n);
    if (k == LETTER) return (size_t)(run_of(LETTER, p + n, end) - p);
    if (k == NUMBER) {
        const unsigned char *q = p;
        for (; digits-- > 0 && kind_at(q, end, &n) == NUMBER; q += n) {}
        return (size_t)(q - p);
    }
    if (*p != '\r' && *p != '\n' && kind_at(p + n, end, &m) == LETTER) return (size_t)(run_of(LETTER, p + n, end) - p);
    const unsigned char *q = p + (*p == ' ');
    if (kind_at(q, end, &m) == OTHER) {
        q = run_of(OTHER, q, end);
        while (q < end && (*q == '\r' || *q == '\n')) q++;
        return (size_t)(q - p);
    }
    return space(p, end, true);
}

/* --- Falcon -------------------------------------------------------------------------------
 *
 * Four rules after each other: runs of punctuation are cut out, the rest as GPT-2 does; then come runs of
 * numbers, but by then bytes are spelt as letters, so ten more bytes count as numbers wherever they
 * are, within characters too; of digits, threes are cut out. */

enum { PUNCTUATION = END + 1 };

static int falcon_kind(const unsigned char *p, const unsigned char *end, int *n) {
    kind k = kind_at(p, end, n);
    return k == OTHER && kr_char_is_punctuation(kr_utf8_get(p, n)) ? PUNCTUATION : (int)k;
}

static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static bool spells_number(unsigned char c) { return is_digit(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0xBC && c <= 0xBE); }

static size_t falcon_space(const unsigned char *p, const unsigned char *end) {
    const unsigned char *q = run_of(SPACE, p, end);
    int n;
    return falcon_kind(q, end, &n) == PUNCTUATION ? (size_t)(q - p) : space(p, end, false);
}

static size_t next_falcon(const unsigned char *p, const unsigned char *end) {
    const unsigned char *at = p, *q = p; /* the character, and the byte, to look at */
    int n, k;
    while ((*at & 0xC0) == 0x80) at--;
    k = falcon_kind(at, end, &n);
    if (k == SPACE) {
        int next = *p == ' ' ? falcon_kind(p + 1, end, &n) : SPACE;
        if (next == SPACE || next == PUNCTUATION || next == END) return falcon_space(p, end);
        k = next, at = q = p + 1;
    }
    bool number = q == p && spells_number(*p);
    for (; falcon_kind(at, end, &n) == k; at += n)
        for (; q < at + n; q++) {
            bool three = number && is_digit(*q) && end - q >= 3 && is_digit(q[1]) && is_digit(q[2]);
            if (three) return q == p ? 3 : (size_t)(q - p);
            if (spells_number(*q) != number && q > p) return (size_t)(q - p);
        }
    return (size_t)(q - p);
}

size_t kr_split_next(kr_split_rule rule, const unsigned char *p, const unsigned char *end) {
    switch (rule) {
    case KR_SPLIT_GPT2: return next_gpt2(p, end);
    case KR_SPLIT_LLAMA3: return next_lines(p, end, 3);
    case KR_SPLIT_FALCON: return next_falcon(p, end);
    case KR_SPLIT_QWEN2: return next_lines(p, end, 1);
    default: return (size_t)(end - p);
    }
}
