/* source_text_test.c - text sources: what is loaded, what is held out, and that the rows of
 * each mode cover the bytes they promise. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem_test.h"
#include "data/corpus.h"
#include "data/source.h"

static char dir[] = "/tmp/krait_text_XXXXXX";

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) && !chdir(dir) ? 0 : -1;
}
static int remove_dir(void **state) {
    (void)state;
    return chdir("/") || kr_dir_remove(dir) != KR_OK;
}

static void write_text(const char *path, const char *text) {
    assert_int_equal(kr_file_write(path, text, strlen(text)), KR_OK);
}

/* n documents of various lengths in one file, cut by "|": every byte is `'A' + its number % 50`
 * (so never '|'), and the numbers run through all documents. */
static int64_t write_documents(const char *path, int n) {
    char *text = kr_mem_new(100000);
    int64_t used = 0, bytes = 0;
    for (int d = 0; d < n; d++) {
        int len = 1 + d * d % 37;
        for (int i = 0; i < len; i++) text[used++] = (char)('A' + bytes++ % 50);
        if (d < n - 1) text[used++] = '|';
    }
    text[used] = 0;
    write_text(path, text);
    kr_mem_free(text);
    return bytes;
}

static kr_status open_text(kr_source **s, const char *text, int64_t S, int64_t L, uint64_t seed) {
    json_t *j = NULL;
    if (kr_json_parse(&j, text, strlen(text), "test") != KR_OK) fail_msg("%s", kr_error());
    kr_status st = kr_source_open(s, &(kr_source_options){.data = j, .S = S, .L = L, .seed = seed});
    json_decref(j);
    return st;
}

typedef struct fixture {
    kr_source *s;
    const kr_source_info *i;
    kr_batch b;
} fixture;

static fixture setup(const char *text, int64_t S, int64_t L, uint64_t seed) {
    fixture f = {0};
    if (open_text(&f.s, text, S, L, seed) != KR_OK) fail_msg("%s: %s", text, kr_error());
    f.i = kr_source_get_info(f.s);
    size_t n = (size_t)(S * f.i->L);
    f.b = (kr_batch){.S = S, .L = f.i->L, .ids = kr_mem_array(n, 4), .targets = kr_mem_array(n, 4),
                     .seq_idx = kr_mem_array(n, 4)};
    return f;
}
static void teardown(fixture *f) {
    kr_source_close(f->s);
    kr_mem_free(f->b.ids), kr_mem_free(f->b.targets), kr_mem_free(f->b.seq_idx);
}

/* Within a document the test bytes count up, so a row can be checked by itself. */
static void check_rows(const fixture *f, bool counting) {
    for (int64_t s = 0; s < f->b.S; s++) {
        const int32_t *ids = f->b.ids + s * f->b.L, *targets = f->b.targets + s * f->b.L;
        const int32_t *idx = f->b.seq_idx + s * f->b.L;
        assert_int_equal(idx[0], 0);
        for (int64_t l = 0; l < f->b.L; l++) {
            if (counting && targets[l] != -1) assert_int_equal(targets[l], 'A' + (ids[l] - 'A' + 1) % 50);
            if (l + 1 == f->b.L || !ids[l + 1]) continue; /* 0 is padding: no test byte is 0 */
            assert_in_range(idx[l + 1] - idx[l], 0, 1);
            if (targets[l] != -1) {
                assert_int_equal(targets[l], ids[l + 1]);
                assert_int_equal(idx[l], idx[l + 1]);
            }
        }
    }
}

/* --- loading ------------------------------------------------------------------------- */

static void load(kr_corpus *c, const char *paths, const char *separator, int64_t end_byte) {
    json_t *j = NULL;
    assert_int_equal(kr_json_parse(&j, paths, strlen(paths), "test"), KR_OK);
    if (kr_corpus_add(c, j, "paths", separator, end_byte) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
}

static void check_documents(kr_corpus *c, const char *const *want, int n) {
    assert_int_equal(c->n_docs, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(c->start[i + 1] - c->start[i], strlen(want[i]));
        assert_memory_equal(c->bytes + c->start[i], want[i], strlen(want[i]));
    }
    kr_corpus_free(c);
}

static void test_paths(void **state) {
    (void)state;
    kr_corpus c = {0};
    assert_int_equal(kr_dir_make("books/old"), KR_OK);
    write_text("books/b.txt", "bb"), write_text("books/a.txt", "a"), write_text("books/old/c.md", "ccc");
    write_text("books/empty.txt", "");
    load(&c, "[\"books\"]", NULL, -1);
    check_documents(&c, (const char *[]){"a", "bb", "ccc"}, 3);
    load(&c, "[\"books/*.txt\"]", NULL, -1);
    check_documents(&c, (const char *[]){"a", "bb"}, 2);
    load(&c, "[\"books/old/c.md\", \"books/a.txt\"]", NULL, -1);
    check_documents(&c, (const char *[]){"ccc", "a"}, 2);
    load(&c, "[\"books/*.txt\"]", NULL, '.');
    check_documents(&c, (const char *[]){"a.", "bb."}, 2);
}

static void test_stdin(void **state) {
    (void)state;
    kr_corpus c = {0};
    int keep = dup(0);
    write_text("in.txt", "one\n\n\ntwo\n");
    assert_non_null(freopen("in.txt", "r", stdin));
    load(&c, "[\"-\"]", "\n\n", -1);
    check_documents(&c, (const char *[]){"one", "two\n"}, 2);
    dup2(keep, 0), close(keep);
}

static void test_separator(void **state) {
    (void)state;
    kr_corpus c = {0};
    write_text("tales.txt", "one\n<|end|>\ntwo\r\n<|end|>\n\n<|end|>three\n<|end|>\n");
    load(&c, "[\"tales.txt\"]", "<|end|>", -1);
    check_documents(&c, (const char *[]){"one", "two", "three"}, 3);
    write_text("lines.txt", "\n\none\n|\ntwo\n"); /* newlines that touch no separator stay */
    load(&c, "[\"lines.txt\"]", "|", -1);
    check_documents(&c, (const char *[]){"\n\none", "two\n"}, 2);
    load(&c, "[\"tales.txt\"]", "", -1);
    check_documents(&c, (const char *[]){"one\n<|end|>\ntwo\r\n<|end|>\n\n<|end|>three\n<|end|>\n"}, 1);
    load(&c, "[\"tales.txt\"]", "nowhere", -1);
    check_documents(&c, (const char *[]){"one\n<|end|>\ntwo\r\n<|end|>\n\n<|end|>three\n<|end|>\n"}, 1);
}

/* --- holding out --------------------------------------------------------------------- */

/* Both streams together are all bytes, once each. */
static void check_split(const kr_corpus *c, double fraction, kr_hold_out ask, kr_hold_out want) {
    kr_stream st[2] = {{0}, {0}};
    char *seen = kr_mem_new((size_t)c->n_bytes);
    assert_int_equal(kr_corpus_split(c, c->n_docs, fraction, &ask, &st[0], &st[1]), KR_OK);
    assert_int_equal(ask, want);
    for (int k = 0; k < 2; k++)
        for (int64_t d = 0; d < st[k].n_docs; d++)
            for (int64_t i = 0; i < st[k].before[d + 1] - st[k].before[d]; i++) seen[st[k].at[d] + i]++;
    for (int64_t i = 0; i < c->n_bytes; i++) assert_int_equal(seen[i], 1);
    assert_int_equal(st[0].n_bytes + st[1].n_bytes, c->n_bytes);
    assert_true((double)st[1].n_bytes > 0.8 * fraction * (double)c->n_bytes - 1);
    assert_true((double)st[1].n_bytes < 1.2 * fraction * (double)c->n_bytes + 1);
    for (int64_t d = 0; want == KR_HOLD_OUT_TAIL && d < st[1].n_docs; d++)
        assert_true((c->bytes[st[1].at[d]] & 0xC0) != 0x80);
    kr_mem_free(seen);
    kr_stream_free(&st[0]), kr_stream_free(&st[1]);
}

static void test_hold_out(void **state) {
    (void)state;
    kr_corpus c = {0};
    write_documents("many.txt", 400);
    load(&c, "[\"many.txt\"]", "|", -1);
    check_split(&c, 0.05, KR_HOLD_OUT_AUTO, KR_HOLD_OUT_DOCUMENTS);
    check_split(&c, 0.3, KR_HOLD_OUT_DOCUMENTS, KR_HOLD_OUT_DOCUMENTS);
    check_split(&c, 0.5, KR_HOLD_OUT_TAIL, KR_HOLD_OUT_TAIL);
    check_split(&c, 0, KR_HOLD_OUT_AUTO, KR_HOLD_OUT_TAIL);
    kr_corpus_free(&c);
    load(&c, "[\"many.txt\"]", NULL, -1);
    check_split(&c, 0.05, KR_HOLD_OUT_AUTO, KR_HOLD_OUT_TAIL);
    kr_corpus_free(&c);
    write_text("greek.txt", "\xce\xb1\xce\xb2\xce\xb3\xce\xb4\xce\xb5\xce\xb6\xce\xb7\xce\xb8\xce\xb9\xce\xba");
    load(&c, "[\"greek.txt\"]", NULL, -1);
    for (int i = 1; i < 10; i++) check_split(&c, i / 20., KR_HOLD_OUT_AUTO, KR_HOLD_OUT_TAIL);
    kr_corpus_free(&c);
}

static void test_eval_paths(void **state) {
    (void)state;
    write_text("train.txt", "aaaaaaaaaaaaaaaaaaaa"), write_text("held.txt", "bcdefgh");
    fixture f = setup("{\"paths\": \"train.txt\", \"eval_paths\": \"held.txt\"}", 2, 4, 0);
    assert_int_equal(f.i->n_train_bytes, 20);
    assert_int_equal(f.i->n_eval_bytes, 7);
    assert_int_equal(f.i->eval_batches, 1);
    assert_int_equal(kr_source_batch(f.s, KR_SPLIT_EVAL, 0, &f.b), KR_OK);
    check_rows(&f, false);
    int scored = 0;
    for (int i = 0; i < 8; i++) scored += f.b.targets[i] != -1;
    assert_int_equal(scored, 6);
    assert_non_null(strstr(f.i->about, "from eval_paths"));
    teardown(&f);
}

/* --- modes --------------------------------------------------------------------------- */

/* The numbers (id, target) in one pass over a split: how often each byte value was an
 * input and a target that was scored, against the bytes themselves. */
static void count_pass(fixture *f, kr_split split, int64_t from, int64_t to, int64_t *as_target, bool counting) {
    memset(as_target, 0, 256 * sizeof *as_target);
    for (int64_t step = from; step < to; step++) {
        assert_int_equal(kr_source_batch(f->s, split, step, &f->b), KR_OK);
        check_rows(f, counting);
        for (int64_t i = 0; i < f->b.S * f->b.L; i++)
            if (f->b.targets[i] != -1) as_target[f->b.targets[i]]++;
    }
}

/* Every byte but the first of a document is a target exactly once. */
static void expect_pass(const char *path, const char *separator, int64_t *want) {
    kr_corpus c = {0};
    char paths[64];
    snprintf(paths, sizeof paths, "[\"%s\"]", path);
    load(&c, paths, separator, -1);
    memset(want, 0, 256 * sizeof *want);
    for (int64_t d = 0; d < c.n_docs; d++)
        for (int64_t i = c.start[d] + 1; i < c.start[d + 1]; i++) want[c.bytes[i]]++;
    kr_corpus_free(&c);
}

static void test_packed(void **state) {
    (void)state;
    const struct { int docs; int64_t S, L; } cases[] = {{60, 1, 16}, {60, 1, 1}, {7, 1, 5}, {1, 1, 1}, {60, 1, 64}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int64_t got[256], want[256], n = write_documents("p.txt", cases[k].docs);
        if (n < 2) write_text("p.txt", "AB");
        fixture f = setup("{\"paths\": \"p.txt\", \"mode\": \"packed\", \"separator\": \"|\", \"eval_fraction\": 0}",
                          cases[k].S, cases[k].L, 3);
        expect_pass("p.txt", "|", want);
        for (int64_t epoch = 0; epoch < 5; epoch++) { /* S is 1, so epochs are whole batches */
            count_pass(&f, KR_SPLIT_TRAIN, epoch * f.i->train_batches, (epoch + 1) * f.i->train_batches, got, true);
            assert_memory_equal(got, want, sizeof got);
        }
        assert_int_equal(kr_source_batch(f.s, KR_SPLIT_EVAL, 0, &f.b), KR_ERR_MISSING);
        teardown(&f);
    }
}

/* Batches that lie across epochs give the same rows as rows asked for one by one. */
static void test_packed_epochs(void **state) {
    (void)state;
    write_documents("p.txt", 9);
    const char *text = "{\"paths\": \"p.txt\", \"mode\": \"packed\", \"separator\": \"|\"}";
    fixture one = setup(text, 1, 8, 3), many = setup(text, 70, 8, 3), other = setup(text, 70, 8, 4);
    for (int64_t step = 3; step >= 0; step--) {
        assert_int_equal(kr_source_batch(many.s, KR_SPLIT_TRAIN, step, &many.b), KR_OK);
        assert_int_equal(kr_source_batch(other.s, KR_SPLIT_TRAIN, step, &other.b), KR_OK);
        assert_memory_not_equal(many.b.ids, other.b.ids, 70 * 8 * 4);
        for (int64_t i = 0; i < 70; i++) {
            assert_int_equal(kr_source_batch(one.s, KR_SPLIT_TRAIN, step * 70 + i, &one.b), KR_OK);
            assert_memory_equal(one.b.ids, many.b.ids + i * 8, 32);
            assert_memory_equal(one.b.targets, many.b.targets + i * 8, 32);
            assert_memory_equal(one.b.seq_idx, many.b.seq_idx + i * 8, 32);
        }
    }
    teardown(&one), teardown(&many), teardown(&other);
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, 32); }

/* Each epoch has its own order of rows (one document: the same rows), and of documents
 * (other rows); every row is whole. */
static void test_packed_orders(void **state) {
    (void)state;
    for (int docs = 1; docs <= 60; docs += 59) {
        enum { ROWS = 160 };
        static int32_t rows[2][ROWS][8];
        write_documents("p.txt", 60);
        const char *text = docs == 1 ? "{\"paths\": \"p.txt\", \"mode\": \"packed\", \"eval_fraction\": 0.1}"
                                     : "{\"paths\": \"p.txt\", \"mode\": \"packed\", \"eval_fraction\": 0.1,"
                                       " \"separator\": \"|\"}";
        fixture f = setup(text, 1, 8, 3);
        int64_t n = f.i->train_batches;
        assert_in_range(n, 100, ROWS);
        assert_int_not_equal(f.i->n_train_bytes % 8, 0);
        for (int64_t step = 0; step < 2 * n; step++) {
            assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, step, &f.b), KR_OK);
            memcpy(rows[step / n][step % n], f.b.ids, 32);
            for (int l = 0; l < 8; l++) assert_true(f.b.ids[l] >= 'A');
        }
        assert_memory_not_equal(rows[0], rows[1], (size_t)n * 32);
        for (int e = 0; e < 2; e++) qsort(rows[e], (size_t)n, 32, by_bytes);
        assert_int_equal(memcmp(rows[0], rows[1], (size_t)n * 32) == 0, docs == 1);
        teardown(&f);
    }
}

/* Every window is drawn, the first and the last too. */
static void test_random_range(void **state) {
    (void)state;
    write_text("r.txt", "ABCDEFGHIJ");
    fixture f = setup("{\"paths\": \"r.txt\", \"eval_fraction\": 0}", 64, 8, 3);
    int count[3] = {0};
    assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, 0, &f.b), KR_OK);
    for (int i = 0; i < 64; i++) count[f.b.ids[i * 8] - 'A']++;
    for (int k = 0; k < 3; k++) assert_in_range(count[k], 10, 34);
    teardown(&f);
}

static void test_random(void **state) {
    (void)state;
    write_documents("r.txt", 40);
    fixture f = setup("{\"paths\": \"r.txt\", \"separator\": \"|\"}", 16, 24, 3);
    fixture g = setup("{\"paths\": \"r.txt\", \"separator\": \"|\"}", 16, 24, 3);
    int64_t n_allocs = kr_mem_get_stats().n_allocs;
    for (int64_t step = 0; step < 50; step++) {
        assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, step, &f.b), KR_OK);
        check_rows(&f, true);
        assert_true(kr_source_resets(f.s, KR_SPLIT_TRAIN, step, 1));
    }
    assert_int_equal(kr_source_batch(g.s, KR_SPLIT_TRAIN, 49, &g.b), KR_OK);
    assert_memory_equal(f.b.ids, g.b.ids, 16 * 24 * 4);
    f.b.seq_idx = (kr_mem_free(f.b.seq_idx), NULL);
    assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, 49, &f.b), KR_OK);
    assert_memory_equal(f.b.ids, g.b.ids, 16 * 24 * 4);
    assert_int_equal(kr_mem_get_stats().n_allocs, n_allocs);
    teardown(&f), teardown(&g);
}

/* A full pass over what is held out scores each byte once, whatever S, L and the mode. */
static void test_eval(void **state) {
    (void)state;
    const char *const modes[] = {"random", "packed", "carry"};
    write_documents("e.txt", 60), write_documents("t.txt", 200);
    for (int m = 0; m < 3; m++)
        for (int64_t S = 1; S < 40; S = S * 3 + 2)
            for (int64_t L = 1; L < 50; L = L * 2 + 1) {
                char text[200];
                int64_t got[256], want[256];
                snprintf(text, sizeof text, "{\"paths\": \"t.txt\", \"eval_paths\": \"e.txt\", \"separator\": \"|\","
                         " \"mode\": \"%s\"}", modes[m]);
                fixture f = setup(text, S, L, 3);
                expect_pass("e.txt", "|", want);
                for (int pass = 0; pass < 2; pass++) {
                    int64_t n = f.i->eval_batches;
                    count_pass(&f, KR_SPLIT_EVAL, pass * n, (pass + 1) * n, got, true);
                    assert_memory_equal(got, want, sizeof got);
                }
                teardown(&f);
            }
}

/* Each row goes on where it ended; the bytes of all rows of a pass are the text. */
static void test_carry(void **state) {
    (void)state;
    char *text = kr_mem_new(1001);
    for (int i = 0; i < 1000; i++) text[i] = (char)('A' + i % 50);
    text[400] = '|'; /* two documents: 400 and 599 bytes */
    write_text("c.txt", text);
    for (int64_t S = 1; S <= 7; S += 3) {
        fixture f = setup("{\"paths\": \"c.txt\", \"mode\": \"carry\", \"separator\": \"|\", \"eval_fraction\": 0}",
                          S, 20, 3);
        assert_true(f.i->carries);
        int64_t n = f.i->train_batches, stretch = (999 + S - 1) / S;
        for (int64_t step = 0; step < 3 * n; step++) {
            assert_int_equal(kr_source_batch(f.s, KR_SPLIT_TRAIN, step, &f.b), KR_OK);
            for (int64_t s = 0; s < S; s++) {
                int64_t from = s * stretch + step % n * 20;
                for (int64_t l = 0; l < 20; l++) {
                    int64_t at = from + l;
                    if (at >= (s + 1) * stretch || at >= 999) {
                        assert_int_equal(f.b.targets[s * 20 + l], -1);
                        continue;
                    }
                    assert_int_equal(f.b.ids[s * 20 + l], text[at + (at >= 400)]);
                    assert_int_equal(f.b.seq_idx[s * 20 + l], at >= 400 && from < 400);
                    int32_t next = at == 399 || at == 998 ? -1 : text[at + 1 + (at + 1 >= 400)];
                    assert_int_equal(f.b.targets[s * 20 + l], next);
                }
                assert_int_equal(kr_source_resets(f.s, KR_SPLIT_TRAIN, step, s), step % n == 0 || from == 400);
            }
        }
        assert_true(kr_source_resets(f.s, KR_SPLIT_EVAL, 1, 0));
        teardown(&f);
    }
    kr_mem_free(text);
}

/* --- refusals ------------------------------------------------------------------------ */

static void test_refusals(void **state) {
    (void)state;
    const struct { const char *text, *say; kr_status st; } cases[] = {
        {"{}", "data.paths names no text", KR_ERR_CONFIG},
        {"{\"paths\": []}", "data.paths names no text", KR_ERR_CONFIG},
        {"{\"paths\": \"absent.txt\"}", "absent.txt", KR_ERR_IO},
        {"{\"paths\": \"none*.txt\"}", "none*.txt: no file with text in it fits this pattern", KR_ERR_CONFIG},
        {"{\"paths\": \"empty.txt\"}", "empty.txt: there is no text in it", KR_ERR_CONFIG},
        {"{\"paths\": \"hollow\"}", "hollow: this folder holds no file", KR_ERR_CONFIG},
        {"{\"paths\": \"small.txt\"}", "small.txt: 10 bytes to train on, want at least 16 (one row)", KR_ERR_CONFIG},
        {"{\"paths\": \"small.txt\", \"length\": 8, \"mode\": \"carry\"}", "at least 16 (a stretch", KR_ERR_CONFIG},
        {"{\"paths\": \"small.txt\", \"length\": 4}", "1 bytes are held out", KR_ERR_CONFIG},
        {"{\"paths\": [\"small.txt\", \"small.txt\"], \"length\": 30}", "and the other paths", KR_ERR_CONFIG},
        {"{\"paths\": \"small.txt\", \"eval_fraction\": 1}", "want 0 to 0.9", KR_ERR_CONFIG},
        {"{\"paths\": \"small.txt\", \"eval_paths\": []}", "data.eval_paths names no text", KR_ERR_CONFIG},
        {"{\"path\": \"small.txt\"}", "did you mean \"paths\"", KR_ERR_CONFIG},
    };
    write_text("empty.txt", ""), write_text("small.txt", "0123456789a");
    assert_int_equal(kr_dir_make("hollow"), KR_OK);
    int64_t n_live = kr_mem_get_stats().n_live;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_source *s = NULL;
        int64_t L = strstr(cases[i].text, "length") ? 0 : 16;
        kr_status st = open_text(&s, cases[i].text, 2, L, 0);
        if (st != cases[i].st || !strstr(kr_error(), cases[i].say))
            fail_msg("%s: %d: said: %s", cases[i].text, st, kr_error());
    }
    assert_int_equal(kr_mem_get_stats().n_live, n_live);
}

static kr_status open_packed(void *data) {
    kr_source *s;
    KR_TRY(kr_source_open(&s, &(kr_source_options){.data = data, .S = 2, .L = 8}));
    kr_source_close(s);
    return KR_OK;
}

static void test_no_memory(void **state) {
    (void)state;
    write_documents("m.txt", 60);
    const char *text = "{\"paths\": \"m.txt\", \"mode\": \"packed\", \"separator\": \"|\"}";
    json_t *j = NULL;
    assert_int_equal(kr_json_parse(&j, text, strlen(text), "test"), KR_OK);
    assert_true(until_it_works(open_packed, j) > 10);
    json_decref(j);
}

/* Put together again, beginning, middle and end are the piece; all rows of both modes, all lengths of pieces. */
static void test_fim(void **state) {
    (void)state;
    int64_t pieces = 0;
    write_documents("fim.txt", 60);
    for (int packed = 0; packed < 2; packed++) {
        char plain[200], fim[200];
        snprintf(plain, sizeof plain, "{\"kind\": \"text\", \"paths\": \"fim.txt\", \"separator\": \"|\", \"mode\": \"%s\"}", packed ? "packed" : "random");
        snprintf(fim, sizeof fim, "{\"kind\": \"text\", \"paths\": \"fim.txt\", \"separator\": \"|\", \"mode\": \"%s\", \"fim\": 1}", packed ? "packed" : "random");
        fixture a = setup(plain, 4, 40, 3), b = setup(fim, 4, 40, 3);
        for (int64_t step = 0; step < 20; step++) {
            assert_int_equal(kr_source_batch(a.s, KR_SPLIT_TRAIN, step, &a.b), KR_OK);
            assert_int_equal(kr_source_batch(b.s, KR_SPLIT_TRAIN, step, &b.b), KR_OK);
            for (int64_t from = 0, to; from < 4 * 40; from = to) {
                const int32_t *p = a.b.ids + from, *f = b.b.ids + from, *t = b.b.targets + from;
                for (to = from + 1; to % 40 && a.b.seq_idx[to] == a.b.seq_idx[from]; to++) {}
                int64_t n = to - from, x[4] = {0}, at = 0;
                if (n < 8 || p[0] == 0) { /* too short, or padding */
                    assert_memory_equal(p, f, (size_t)n * sizeof *p);
                    continue;
                }
                for (int64_t i = 0; i < n; i++)
                    if (f[i] >= 0xfc) x[f[i] - 0xfc] = i, at++;
                assert_true(at == 4 && x[0] == 0 && x[1] > 0 && x[2] > x[1] && x[3] == n - 1);
                int64_t begins = x[1] - 1, middle = x[3] - x[2] - 1;
                for (int64_t i = 0; i < n - 4; i++)
                    assert_int_equal(p[i], i < begins ? f[1 + i] : i < begins + middle ? f[x[2] + 1 + i - begins] : f[x[1] + 1 + i - begins - middle]);
                for (int64_t i = 0; i < n; i++) assert_int_equal(t[i], i + 1 == n || i + 1 == x[1] || i + 1 == x[2] ? -1 : f[i + 1]);
                pieces++;
            }
        }
        assert_int_equal(kr_source_batch(a.s, KR_SPLIT_EVAL, 0, &a.b), KR_OK); /* what is held out is read as it stands */
        assert_int_equal(kr_source_batch(b.s, KR_SPLIT_EVAL, 0, &b.b), KR_OK);
        assert_memory_equal(a.b.ids, b.b.ids, 4 * 40 * sizeof *a.b.ids);
        teardown(&a), teardown(&b);
    }
    assert_true(pieces > 100);
    kr_source *s;
    assert_int_equal(open_text(&s, "{\"kind\": \"text\", \"paths\": \"fim.txt\", \"mode\": \"carry\", \"fim\": 1}", 2, 16, 1), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "data.fim with data.mode \"carry\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_stdin),
        cmocka_unit_test(test_separator),
        cmocka_unit_test(test_hold_out),
        cmocka_unit_test(test_eval_paths),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_packed_epochs),
        cmocka_unit_test(test_packed_orders),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_range),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_carry),
        cmocka_unit_test(test_fim),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
