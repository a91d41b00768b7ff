/* learn_test.c - a vocabulary learnt as the Python package `tokenizers` learns it (tests/data/tokenizer.json was
 * trained on the texts below by bench/peers/tokenizer_golden.py), on any number of threads, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#define DATA KRAIT_SOURCE_DIR "/tests/data/"

static char dir[] = "/tmp/krait-train-XXXXXX";
static char name[4][64];

static int set_up(void **state) {
    (void)state;
    static const char *const texts[] = {
        "The krait is a small snake with bands; it sleeps by day and hunts at night. ", "int main(void) { return 0; }\n",
        "don't we've I'll 1234567 3.14\r\n\r\n\t x",
        "Gr\u00f6\u00dfe caf\u00e9 na\u00efve \u03a9\u03bc\u03ad\u03b3\u03b1 \u043f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d\u4e16\u754c "
        "\u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4 \U0001f40d\U0001f469\u200d\U0001f467"};
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 4; i++) {
        snprintf(name[i], sizeof name[i], "%s/%d.txt", dir, i);
        assert_int_equal(kr_file_write(name[i], texts[i], strlen(texts[i])), KR_OK);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return kr_dir_remove(dir) == KR_OK ? 0 : -1;
}

static const char *const end_token[] = {"<|endoftext|>"};

static kr_status train_small(kr_tokenizer **t, int n_threads) {
    const char *path[16];
    for (int i = 0; i < 16; i++) path[i] = name[i % 4];
    kr_tokenizer_options o = {.vocab_size = 420, .min_count = 1, .nfc = true, .special = end_token, .n_special = 1, .n_threads = n_threads};
    return kr_tokenizer_train(t, path, 16, &o);
}

static void as_hugging_face(void **state) {
    (void)state;
    kr_tokenizer *t;
    json_t *got, *want;
    assert_int_equal(train_small(&t, 2), KR_OK);
    assert_int_equal(kr_tokenizer_size(t), 420);
    assert_int_equal(kr_json_parse(&got, t->json, t->json_bytes, "trained"), KR_OK);
    assert_int_equal(kr_json_load(&want, DATA "tokenizer.json"), KR_OK);
    json_t *a = json_object_get(got, "model"), *b = json_object_get(want, "model"), *pair;
    size_t i;
    assert_true(json_equal(json_object_get(a, "vocab"), json_object_get(b, "vocab")));
    assert_int_equal(json_array_size(json_object_get(a, "merges")), json_array_size(json_object_get(b, "merges")));
    json_array_foreach(json_object_get(b, "merges"), i, pair) {
        char both[256];
        snprintf(both, sizeof both, "%s %s", json_string_value(json_array_get(pair, 0)), json_string_value(json_array_get(pair, 1)));
        assert_string_equal(json_string_value(json_array_get(json_object_get(a, "merges"), i)), both);
    }
    json_decref(got);
    json_decref(want);
    kr_tokenizer_free(t);
}

/* Several blocks, bytes that are no UTF-8, a special token in the text, words of one letter again and again. */
static void threads_agree(void **state) {
    (void)state;
    enum { N = 5 << 20 };
    char path[80], *text = kr_mem_new(N);
    uint32_t r = 1;
    size_t n = 0, one_bytes = 0;
    char *one = NULL;
    while (n + 64 < N) {
        r = r * 1664525 + 1013904223;
        for (uint32_t k = r >> 29, x = r >> 8 & 255; k <= 7; k++) text[n++] = (char)('a' + (x * (k + 3)) % 26);
        memset(text + n, 'b', r >> 20 & 7), n += r >> 20 & 7;
        text[n++] = (r & 1023) == 5 ? (char)0xFF : ' ';
        if ((r >> 4 & 4095) == 7) memcpy(text + n, "<|endoftext|>", 13), n += 13;
    }
    snprintf(path, sizeof path, "%s/words.txt", dir);
    assert_int_equal(kr_file_write(path, text, n), KR_OK);
    kr_mem_free(text);
    for (int threads = 1; threads <= 3; threads++) {
        kr_tokenizer *t;
        const char *list[] = {path};
        kr_tokenizer_options o = {.vocab_size = 1000, .split = "llama3", .special = end_token, .n_special = 1, .n_threads = threads};
        assert_int_equal(kr_tokenizer_train(&t, list, 1, &o), KR_OK);
        assert_int_equal(kr_tokenizer_find(t, "<|endoftext|>"), 0);
        assert_int_equal(kr_tokenizer_find(t, "endo"), -1); /* what is special teaches nothing */
        assert_true(kr_tokenizer_find(t, "bbbb") > 0);
        if (one) {
            assert_int_equal(t->json_bytes, one_bytes);
            assert_memory_equal(t->json, one, one_bytes);
        } else one = kr_mem_strdup(t->json), one_bytes = t->json_bytes;
        kr_tokenizer_free(t);
    }
    kr_mem_free(one);
}

static void refused(void **state) {
    (void)state;
    static const char *const twice[] = {"<a>", "<a>"}, *const letter[] = {"a"}, *const spelled[] = {"<a>", "\xc4\xa0"};
    static const struct { kr_tokenizer_options o; const char *path, *want; } cases[] = {
        {{.vocab_size = 200}, NULL, "vocab_size is 200"},
        {{.split = "gpt5"}, NULL, "gpt5"},
        {{.special = twice, .n_special = 2}, NULL, "given twice"},
        {{.special = letter, .n_special = 1}, NULL, "single letter"},
        {{.special = spelled, .n_special = 2}, NULL, "\"\xc4\xa0\" is how a file spells"},
        {{0}, "/nowhere/text", "/nowhere/text"},
        {{0}, "/dev/null", "no text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_tokenizer *t = NULL;
        const char *list[] = {cases[i].path ? cases[i].path : name[0]};
        int64_t live = kr_mem_get_stats().n_live;
        assert_true(kr_tokenizer_train(&t, list, 1, &cases[i].o) < 0);
        if (!strstr(kr_error(), cases[i].want) && strcmp(list[0], "/dev/null") != 0) fail_msg("says: %s\nwant: %s", kr_error(), cases[i].want);
        assert_null(t);
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
}

static void without_memory(void **state) {
    (void)state;
    int64_t live = kr_mem_get_stats().n_live;
    kr_status st = KR_ERR_NOMEM;
    for (int64_t at = 1; st != KR_OK; at += at / 8 + 1) {
        kr_tokenizer *t = NULL;
        kr_mem_fail_at(at);
        st = train_small(&t, 1);
        kr_mem_fail_at(0);
        assert_true(st == KR_OK || st == KR_ERR_NOMEM);
        kr_tokenizer_free(t);
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_hugging_face), cmocka_unit_test(threads_agree), cmocka_unit_test(refused),
                                       cmocka_unit_test(without_memory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
