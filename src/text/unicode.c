/* unicode.c - UTF-8, classes of characters, and NFC.
 *
 * NFC works on the stretches that hold a character which it may move or change, from the
 * character before to the next that it leaves alone; all else is copied. */
#include "text/unicode.h"

#include <string.h>

#include "base/mem.h"
#include "text/unicode_classes.h"
#include "text/unicode_nfc.h"
#include "text/unicode_punctuation.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* --- UTF-8 ---------------------------------------------------------------------------- */

uint32_t kr_utf8_get(const unsigned char *p, int *n) {
    if (p[0] < 0x80) return *n = 1, p[0];
    if (p[0] < 0xE0) return *n = 2, (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    if (p[0] < 0xF0) return *n = 3, (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    return *n = 4, (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

void kr_utf8_put(kr_str *to, uint32_t c) {
    char b[4];
    int n = 0;
    if (c < 0x80) b[n++] = (char)c;
    else if (c < 0x800) b[n++] = (char)(0xC0 | c >> 6), b[n++] = (char)(0x80 | (c & 0x3F));
    else if (c < 0x10000) b[n++] = (char)(0xE0 | c >> 12), b[n++] = (char)(0x80 | (c >> 6 & 0x3F)), b[n++] = (char)(0x80 | (c & 0x3F));
    else b[n++] = (char)(0xF0 | c >> 18), b[n++] = (char)(0x80 | (c >> 12 & 0x3F)), b[n++] = (char)(0x80 | (c >> 6 & 0x3F)), b[n++] = (char)(0x80 | (c & 0x3F));
    kr_str_append_n(to, b, (size_t)n);
}

/* The length of the character at p, or minus the length of the piece that is none: the
 * longest start of a character, at least one byte. */
static int char_at(const unsigned char *p, size_t n) {
    unsigned char c = p[0], lo = 0x80, hi = 0xBF;
    if (c < 0x80) return 1;
    int want = c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    if (!want) return -1;
    if (c == 0xE0) lo = 0xA0;
    if (c == 0xED) hi = 0x9F;
    if (c == 0xF0) lo = 0x90;
    if (c == 0xF4) hi = 0x8F;
    for (int i = 1; i < want; i++) {
        if ((size_t)i >= n || p[i] < lo || p[i] > hi) return -i;
        lo = 0x80, hi = 0xBF;
    }
    return want;
}

size_t kr_utf8_valid(const void *bytes, size_t n) {
    const unsigned char *p = bytes, *end = p + n;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), !(eight & 0x8080808080808080u))) {
            p += 8;
            continue;
        }
        int k = char_at(p, (size_t)(end - p));
        if (k < 0) break;
        p += k;
    }
    return (size_t)(p - (const unsigned char *)bytes);
}

int kr_utf8_open(const void *bytes, size_t n) {
    const unsigned char *end = (const unsigned char *)bytes + n;
    for (int k = 1; k <= 3 && (size_t)k <= n; k++) {
        if ((end[-k] & 0xC0) == 0x80) continue;
        int want = end[-k] >= 0xF0 ? 4 : end[-k] >= 0xE0 ? 3 : 2;
        return end[-k] >= 0xC2 && end[-k] < 0xF5 && want > k && char_at(end - k, (size_t)k) == -k ? k : 0;
    }
    return 0;
}

void kr_utf8_repair(kr_str *to, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    while (n > 0) {
        size_t good = kr_utf8_valid(p, n);
        kr_str_append_n(to, p, good);
        p += good, n -= good;
        if (!n) break;
        size_t bad = (size_t)-char_at(p, n);
        kr_str_append(to, "\xEF\xBF\xBD");
        p += bad, n -= bad;
    }
}

/* --- classes -------------------------------------------------------------------------- */

static inline unsigned entry(uint32_t cp) {
    unsigned digit = (unsigned char)class_block[class_index[cp >> 7]][cp & 127];
    return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

bool kr_char_is_punctuation(uint32_t c) {
    size_t low = 0, high = COUNT(punctuation);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > punctuation[mid].last) low = mid + 1;
        else if (c < punctuation[mid].first) high = mid;
        else return true;
    }
    return false;
}

kr_char_class kr_char_class_of(uint32_t cp) { return (kr_char_class)(entry(cp) & 7); }

/* --- NFC ------------------------------------------------------------------------------ */

enum { S_BASE = 0xAC00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, L_COUNT = 19, V_COUNT = 21, T_COUNT = 28, S_COUNT = 11172 };

static unsigned ccc_of(uint32_t c) {
    size_t lo = 0, hi = COUNT(ccc_runs);
    if (c < 0x300) return 0;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > ccc_runs[mid].last) lo = mid + 1;
        else hi = mid;
    }
    return lo < COUNT(ccc_runs) && c >= ccc_runs[lo].first ? ccc_runs[lo].ccc : 0;
}

static uint32_t composed(uint32_t a, uint32_t b) { /* 0: they do not compose */
    if (a - L_BASE < L_COUNT && b - V_BASE < V_COUNT) return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a - S_BASE < S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE && b < T_BASE + T_COUNT) return a + (b - T_BASE);
    size_t lo = 0, hi = COUNT(compositions);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (compositions[mid].first < a || (compositions[mid].first == a && compositions[mid].second < b)) lo = mid + 1;
        else hi = mid;
    }
    return lo < COUNT(compositions) && compositions[lo].first == a && compositions[lo].second == b ? compositions[lo].to : 0;
}

typedef struct point { uint32_t cp, ccc; } point;
typedef struct points { point *at; size_t n, room; bool failed; } points;

static void push(points *s, uint32_t cp) {
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        point *p = kr_mem_resize(s->at, room * sizeof *p);
        if (!p) s->failed = true;
        if (!p) return;
        s->at = p, s->room = room;
    }
    s->at[s->n++] = (point){cp, ccc_of(cp)};
}

static void decompose(points *s, uint32_t c) {
    size_t lo = 0, hi = COUNT(decompositions);
    if (c - S_BASE < S_COUNT) {
        push(s, L_BASE + (c - S_BASE) / (V_COUNT * T_COUNT));
        push(s, V_BASE + (c - S_BASE) % (V_COUNT * T_COUNT) / T_COUNT);
        if ((c - S_BASE) % T_COUNT) push(s, T_BASE + (c - S_BASE) % T_COUNT);
        return;
    }
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (decompositions[mid].from < c) lo = mid + 1;
        else hi = mid;
    }
    if (lo == COUNT(decompositions) || decompositions[lo].from != c) {
        push(s, c);
        return;
    }
    decompose(s, decompositions[lo].first); /* the second never decomposes further, the first at most twice */
    if (decompositions[lo].second) decompose(s, decompositions[lo].second);
}

/* Marks between starters by class, equal ones as they stood.  Passes over the run are at
 * most as many as there are classes, so a long run costs no square. */
static kr_status sort_marks(point *p, size_t n) {
    bool sorted = true;
    for (size_t i = 1; i < n; i++) sorted &= p[i - 1].ccc <= p[i].ccc;
    if (sorted) return KR_OK;
    if (n < 32) {
        for (size_t i = 1; i < n; i++)
            for (size_t j = i; j > 0 && p[j - 1].ccc > p[j].ccc; j--) {
                point x = p[j];
                p[j] = p[j - 1], p[j - 1] = x;
            }
        return KR_OK;
    }
    point *copy = kr_mem_array(n, sizeof *copy);
    if (!copy) return KR_ERR_NOMEM;
    memcpy(copy, p, n * sizeof *p);
    size_t at[257] = {0};
    for (size_t i = 0; i < n; i++) at[copy[i].ccc + 1]++;
    for (int c = 0; c < 256; c++) at[c + 1] += at[c];
    for (size_t i = 0; i < n; i++) p[at[copy[i].ccc]++] = copy[i];
    kr_mem_free(copy);
    return KR_OK;
}

static kr_status reorder(points *s) {
    for (size_t i = 0; i < s->n;) {
        size_t from = i;
        while (i < s->n && s->at[i].ccc) i++;
        if (i > from) KR_TRY(sort_marks(s->at + from, i - from));
        else i++;
    }
    return KR_OK;
}

static void compose(points *s) {
    size_t starter = s->n, to = 0; /* s->n: none yet */
    unsigned last = 0;             /* class of what was kept behind the starter */
    for (size_t i = 0; i < s->n; i++) {
        point x = s->at[i];
        bool open = starter < s->n && (to == starter + 1 || (last < x.ccc && last != 0));
        uint32_t c = open ? composed(s->at[starter].cp, x.cp) : 0;
        if (c) {
            s->at[starter].cp = c;
            continue;
        }
        if (x.ccc == 0) starter = to;
        last = x.ccc;
        s->at[to++] = x;
    }
    s->n = to;
}

bool kr_nfc_surely(const void *bytes, size_t n) {
    const unsigned char *p = bytes, *end = p + n;
    int k;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), !(eight & 0x8080808080808080u))) p += 8;
        else if (*p < 0xCC) p++; /* below U+0300 nothing moves */
        else if (entry(kr_utf8_get(p, &k)) & 8) return false;
        else p += k;
    }
    return true;
}

/* From `from`, the last character that stays before the first that may not, to `to`, the next that stays. */
static kr_status stretch(kr_str *to, points *s, const unsigned char *from, const unsigned char *end) {
    int k;
    for (s->n = 0; from < end; from += k) decompose(s, kr_utf8_get(from, &k));
    if (s->failed) return KR_ERR_NOMEM;
    KR_TRY(reorder(s));
    compose(s);
    for (size_t i = 0; i < s->n; i++) kr_utf8_put(to, s->at[i].cp);
    return KR_OK;
}

kr_status kr_nfc(kr_str *to, const void *bytes, size_t n) {
    const unsigned char *p = bytes, *end = p + n, *done = p, *before = p;
    points s = {0};
    kr_status st = KR_OK;
    for (int k; p < end && st == KR_OK;) {
        if (!(entry(kr_utf8_get(p, &k)) & 8)) {
            before = p, p += k;
            continue;
        }
        while (p < end && entry(kr_utf8_get(p, &k)) & 8) p += k;
        kr_str_append_n(to, done, (size_t)(before - done));
        st = stretch(to, &s, before, p);
        done = before = p;
    }
    kr_str_append_n(to, done, (size_t)(end - done));
    kr_mem_free(s.at);
    return st == KR_OK ? kr_str_status(to) : st;
}
