/* fuzz_state.c - kept states of any bytes: a saved session, and a tree and a checkpoint of the prefix cache's
 * folder.  Each is refused with a sentence, or such that one can go on from it.
 *
 * The first line says which of them.  Sums are put right, and a session is its header as a line, then its
 * data, zeros at the end left out, or few inputs would get past the lengths. */
#include "fuzz_case.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sum.h"
#include "infer/prefix_file.h"
#include "infer/session.h"

enum { V = 5, GRAIN = 4, SERIAL = 1 };
static const char sign[] = "0123456789abcdef0123456789abcdef";
const long fuzz_inputs = 20000;
const char *const fuzz_words[] = {"krtree\r\n", "krcach\r\n", "session\n", "tree\n", "state\n", "krait-session", "\"position\":\"", "\"stop\":\"", "\"turn\":\"open\"", "sampler.count",
                                  "\"I32\"", "\"shape\":[", "\1\0\0\0\0\0\0", "\377\377\377\377\377\377\377\377", " 18446744073709551615", " nan", " -1", NULL};

static kr_layout layout;

/* Of a model that has a scan, the inputs before it, and a count of steps. */
static void set_up(void) {
    static kr_layout_state states[] = {{.name = "ssm", .dtype = KR_F32, .n_dims = 2, .dim = {2, 3}, .at = 0, .bytes = 24},
                                       {.name = "conv", .dtype = KR_F32, .n_dims = 1, .dim = {2}, .at = 24, .bytes = 8},
                                       {.name = "steps", .dtype = KR_I32, .n_dims = 1, .dim = {1}, .at = 32, .bytes = 4}};
    if (layout.n) return;
    layout = (kr_layout){.n_owners = 1, .n = 3, .state = states, .bytes = 36, .V = V};
    fuzz_folder();
}

static kr_prefix_file *folder(void) {
    kr_prefix_file *f;
    FUZZ_MUST(kr_prefix_file_open(&f, &(kr_prefix_file_options){.dir = fuzz_root, .sign = sign, .layout = &layout, .budget = 1 << 20}) == KR_OK);
    return f;
}

/* --- seeds ---------------------------------------------------------------------------------------- */

static kr_snapshot *some_state(int64_t n_tok) {
    kr_snapshot *s;
    FUZZ_MUST(kr_snapshot_new(&s, &layout, true, true) == KR_OK);
    memset(s->states, 0, layout.bytes);
    for (int i = 0; i < V; i++) s->logits[i] = (float)i;
    s->n_tok = n_tok;
    FUZZ_MUST(kr_snapshot_set_stop(s, "END", "\n") == KR_OK);
    return s;
}

static void write_all(void) {
    static const int32_t tok[] = {1, 2, 3, 4, 0, 1, 2, 3, 4};
    kr_prefix p;
    kr_tree x;
    kr_snapshot *s = some_state(9);
    FUZZ_MUST(kr_snapshot_save(s, fuzz_at("session")) == KR_OK);
    kr_snapshot_free(s);
    FUZZ_MUST(kr_prefix_open(&p, GRAIN, 1 << 20) == KR_OK);
    FUZZ_MUST(kr_prefix_add(&p, tok, 4, 9, false, some_state(4)) == KR_OK && kr_prefix_add(&p, tok, 9, 9, false, some_state(9)) == KR_OK);
    FUZZ_MUST(kr_prefix_picture(&p, &x) == KR_OK);
    kr_prefix_file *f = folder();
    FUZZ_MUST(kr_prefix_file_save(f, &x, GRAIN) == KR_OK);
    kr_prefix_file_close(f);
    kr_tree_free(&x);
    kr_prefix_close(&p);
}

/* As an input has them. */
static size_t read_seed(int i, uint8_t *to, size_t room) {
    static const char *const head[] = {"session\n", "tree\n", "state\n"};
    char name[3][64] = {"session"};
    void *data;
    size_t n, k = strlen(head[i]), skip = i == 0 ? 8 : 0; /* a session's length of the header */
    snprintf(name[1], sizeof name[1], "%s/tree", sign);
    snprintf(name[2], sizeof name[2], "%s/%d.state", sign, SERIAL);
    FUZZ_MUST(kr_file_read(&data, &n, fuzz_at(name[i])) == KR_OK);
    while (i == 0 && n && !((char *)data)[n - 1]) n--; /* comes back in try_session */
    FUZZ_MUST(n + 10 < room);
    memcpy(to, head[i], k);
    if (i == 0) {
        uint64_t n_header;
        memcpy(&n_header, data, 8);
        memcpy(to + k, (char *)data + 8, n_header), k += n_header;
        to[k++] = '\n', skip += n_header;
    }
    memcpy(to + k, (char *)data + skip, n - skip);
    kr_mem_free(data);
    return k + n - skip;
}

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    static uint8_t seed[3][1 << 14];
    static size_t n[3];
    if (i > 2) return 0;
    if (!n[0]) {
        set_up();
        write_all();
        for (int k = 0; k < 3; k++) n[k] = read_seed(k, seed[k], sizeof seed[k]);
    }
    FUZZ_MUST(n[i] <= room);
    memcpy(to, seed[i], n[i]);
    return n[i];
}

/* --- files ------------------------------------------------------------------------------------------- */

static void put(const char *name, const uint8_t *data, size_t n) {
    FILE *f = fopen(fuzz_at(name), "wb");
    FUZZ_MUST(f && (!n || fwrite(data, n, 1, f) == 1) && fclose(f) == 0);
}

static void use(const kr_snapshot *s) {
    double sum = 0;
    FUZZ_MUST(s->n_tok >= 0 && kr_snapshot_check(s) == KR_OK);
    for (int i = 0; i < V; i++) sum += s->logits[i] > 0;
    for (int i = 0; s->memory && i < V; i++) FUZZ_MUST(s->memory->count[i] >= 0);
    FUZZ_MUST(sum <= V);
}

static void try_session(const uint8_t *data, size_t n) {
    enum { WHOLE = 36 + 4 * (V + V + KR_DRY_RANGE) };
    static uint8_t whole[(1 << 16) + WHOLE];
    const uint8_t *end = memchr(data, '\n', n);
    uint64_t n_header = end ? (uint64_t)(end - data) : n;
    size_t n_data = n - n_header - (end != NULL), n_whole = 8 + n_header + (n_data > WHOLE ? n_data : WHOLE);
    kr_snapshot *s = NULL;
    memset(whole, 0, n_whole);
    memcpy(whole, &n_header, 8);
    memcpy(whole + 8, data, n_header);
    if (n_data) memcpy(whole + 8 + n_header, end + 1, n_data);
    put("session", whole, n_whole);
    kr_status st = kr_snapshot_read(&s, &layout, fuzz_at("session"));
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && strstr(kr_error(), fuzz_root)));
    if (st == KR_OK) use(s), kr_snapshot_free(s);
}

static void try_tree(const uint8_t *data, size_t n) {
    static const int32_t tok[] = {1, 2, 3, 4, 0, 1, 2, 3, 4};
    char name[64];
    kr_prefix p;
    kr_tree x;
    snprintf(name, sizeof name, "%s/tree", sign);
    put(name, data, n);
    kr_prefix_file *f = folder();
    FUZZ_MUST(kr_prefix_open(&p, GRAIN, 1 << 20) == KR_OK);
    FUZZ_MUST(kr_prefix_file_load(f, &p) == KR_OK);
    kr_prefix_hit hit = kr_prefix_find(&p, tok, 9, true, -1);
    if (hit.state) use(hit.state), kr_snapshot_free(hit.state);
    (void)!kr_prefix_add(&p, tok, 8, 9, true, some_state(8));
    if (kr_prefix_picture(&p, &x) == KR_OK) kr_tree_free(&x);
    kr_prefix_close(&p);
    kr_prefix_file_close(f);
}

static void try_state(const uint8_t *data, size_t n) {
    char name[64];
    snprintf(name, sizeof name, "%s/%d.state", sign, SERIAL);
    put(name, data, n);
    kr_prefix_file *f = folder();
    if (kr_file_exists(fuzz_at(name))) { /* opening removes what has another size */
        kr_snapshot *s = kr_prefix_file_fetch(f, SERIAL, 4);
        if (s) use(s);
        kr_snapshot_free(s);
    }
    kr_prefix_file_close(f);
}

static bool is(const char *word, const uint8_t *data, size_t len) { return strlen(word) == len && memcmp(word, data, len) == 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static _Alignas(8) uint8_t fixed[1 << 16];
    const uint8_t *end = n ? memchr(data, '\n', n < 10 ? n : 10) : NULL;
    if (!end || n > sizeof fixed) return 0;
    set_up();
    int64_t live = kr_mem_get_stats().n_live;
    size_t len = (size_t)(end - data), left = n - len - 1;
    memcpy(fixed, end + 1, left);
    if (is("session", data, len)) try_session(fixed, left);
    else if (is("tree", data, len)) {
        kr_tree_head *h = (void *)fixed;
        if (left >= sizeof *h) h->sum = kr_sum(h + 1, left - sizeof *h);
        try_tree(fixed, left);
    } else if (is("state", data, len)) {
        kr_state_head *h = (void *)fixed;
        if (left >= sizeof *h) h->sum = kr_sum(h + 1, left - sizeof *h);
        try_state(fixed, left);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
