/* stops.c - holding back what may become a stop string or is half a character. */
#include "infer/stops.h"

#include <string.h>

#include "base/mem.h"
#include "krait.h"
#include "text/unicode.h"

kr_status kr_stops_open(kr_stops *s, const char *const *stop, int64_t n) {
    *s = (kr_stops){0};
    if (n < 0 || n > 64) KR_FAIL(KR_ERR_ARG, "%lld stop strings, want at most 64", (long long)n);
    s->stop = kr_mem_array((size_t)n + 1, sizeof *s->stop);
    s->length = kr_mem_array((size_t)n + 1, sizeof *s->length);
    kr_status st = s->stop && s->length ? KR_OK : KR_ERR_NOMEM;
    for (int64_t i = 0; i < n && st == KR_OK; i++) {
        size_t length = strlen(stop[i]);
        if (length == 0 || length > 4096) st = kr_fail(KR_ERR_ARG, "a stop string has %zu bytes, want 1 to 4096", length);
        else if (!(s->stop[i] = kr_mem_strdup(stop[i]))) st = KR_ERR_NOMEM;
        else s->length[s->n++] = length;
    }
    if (st != KR_OK) kr_stops_close(s);
    return st;
}

void kr_stops_close(kr_stops *s) {
    for (int64_t i = 0; i < s->n; i++) kr_mem_free(s->stop[i]);
    kr_mem_free(s->stop);
    kr_mem_free(s->length);
    kr_str_free(&s->held);
    kr_str_free(&s->beyond);
    *s = (kr_stops){0};
}

/* How many of the last bytes begin a stop string. */
static size_t begun(const kr_stops *s) {
    size_t most = 0;
    for (int64_t i = 0; i < s->n; i++)
        for (size_t k = s->length[i] - 1 < s->held.n ? s->length[i] - 1 : s->held.n; k > most; k--)
            if (memcmp(s->held.text + s->held.n - k, s->stop[i], k) == 0) most = k;
    return most;
}

static void cut_front(kr_str *s, size_t n) {
    memmove(s->text, s->text + n, s->n - n);
    kr_str_cut(s, s->n - n);
}

bool kr_stops_put(kr_stops *s, const char *bytes, size_t n, kr_str *out) {
    const char *first = NULL;
    int64_t which = 0;
    kr_str_append_n(&s->held, bytes, n);
    if (s->held.failed) out->failed = true; /* text is lost, so `out` is not all */
    if (s->held.n == 0) return false;
    for (int64_t i = 0; i < s->n; i++) {
        const char *at = memmem(s->held.text, s->held.n, s->stop[i], s->length[i]);
        if (at && (!first || at < first)) first = at, which = i;
    }
    if (first) {
        const char *behind = first + s->length[which];
        kr_str_append_n(out, s->held.text, (size_t)(first - s->held.text));
        s->found = s->stop[which];
        kr_str_append_n(&s->beyond, behind, kr_utf8_valid(behind, (size_t)(s->held.text + s->held.n - behind)));
        if (s->beyond.failed) out->failed = true;
        kr_str_cut(&s->held, 0);
        return true;
    }
    size_t keep = begun(s), half = s->held.n - (size_t)kr_utf8_whole(s->held.text, (int64_t)s->held.n), show = s->held.n - (keep > half ? keep : half);
    show = (size_t)kr_utf8_whole(s->held.text, (int64_t)show); /* a stop string may begin within a character */
    kr_str_append_n(out, s->held.text, show);
    cut_front(&s->held, show);
    return false;
}

void kr_stops_flush(kr_stops *s, kr_str *out) {
    if (s->held.failed) out->failed = true;
    kr_str_append_n(out, kr_str_text(&s->held), s->held.n);
    kr_str_cut(&s->held, 0);
}
