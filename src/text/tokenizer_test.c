/* tokenizer_test.c - the ids of the Python package `tokenizers` (tests/data, made by bench/peers/tokenizer_golden.py),
 * splits, NFC, repair of UTF-8, and files that must be refused. */
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
#include "text/tokenizer.h"
#include "text/unicode.h"

#define DATA KRAIT_SOURCE_DIR "/tests/data/"

static size_t unhex(const char *hex, char *to) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned b;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &b), 1);
        to[i] = (char)b;
    }
    return n;
}

static void golden_ids(void **state) {
    (void)state;
    kr_tokenizer *t;
    json_t *golden, *c;
    size_t i;
    assert_int_equal(kr_tokenizer_open(&t, DATA), KR_OK);
    assert_int_equal(kr_json_load(&golden, DATA "tokenizer_golden.json"), KR_OK);
    assert_true(json_array_size(golden) > 10);
    json_array_foreach(golden, i, c) {
        char text[4096], want[4096];
        int32_t tok[4096];
        kr_str back = {0};
        size_t n = unhex(json_string_value(json_object_get(c, "hex")), text), n_want = unhex(json_string_value(json_object_get(c, "text")), want);
        const json_t *ids = json_object_get(c, "ids");
        int64_t n_tok = kr_tokenizer_encode(t, text, (int64_t)n, tok, 4096);
        assert_int_equal(n_tok, json_array_size(ids));
        assert_int_equal(kr_tokenizer_encode(t, text, (int64_t)n, NULL, 0), n_tok);
        for (int64_t k = 0, bytes; k < n_tok; k++) {
            assert_int_equal(tok[k], json_integer_value(json_array_get(ids, (size_t)k)));
            const char *piece = kr_tokenizer_text(t, tok[k], &bytes);
            kr_str_append_n(&back, piece, (size_t)bytes);
        }
        assert_int_equal(back.n, n_want);
        assert_memory_equal(kr_str_text(&back), want, n_want);
        kr_str_free(&back);
    }
    int32_t end = kr_tokenizer_find(t, "<|endoftext|>");
    assert_true(end >= 0 && kr_tokenizer_is_special(t, end) && !kr_tokenizer_is_special(t, end + 1));
    assert_int_equal(kr_tokenizer_find(t, "no such token"), -1);
    int32_t ids[8], on[8];
    t->before = &end, t->n_before = 1, t->after = &end, t->n_after = 1;
    int64_t whole = kr_tokenizer_encode(t, "snake", -1, ids, 8);
    assert_true(whole > 2 && ids[0] == end && ids[whole - 1] == end);
    assert_int_equal(kr_tokenizer_encode_on(t, "snake", -1, on, 8), whole - 2);
    assert_memory_equal(on, ids + 1, (size_t)(whole - 2) * sizeof *on);
    assert_null(kr_tokenizer_text(t, -1, NULL));
    assert_null(kr_tokenizer_text(t, (int32_t)kr_tokenizer_size(t), NULL));
    json_decref(golden);
    kr_tokenizer_free(t);
}

/* A word of a megabyte takes the heap, and is still merged as a short one. */
static void long_words(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    kr_tokenizer *t;
    char *text = kr_mem_new(N);
    int32_t *tok = kr_mem_array(N, sizeof *tok), few[64];
    assert_int_equal(kr_tokenizer_open(&t, DATA "tokenizer.json"), KR_OK);
    for (int i = 0; i < N; i++) text[i] = "snake"[i % 5];
    int64_t n = kr_tokenizer_encode(t, text, N - N % 5, tok, N), k = kr_tokenizer_encode(t, text, 40, few, 64);
    assert_true(n > 0 && k > 0 && k < 40);
    for (int64_t i = 0; i < k - 1; i++) assert_int_equal(tok[i], few[i]);
    kr_mem_free(text);
    kr_mem_free(tok);
    kr_tokenizer_free(t);
}

static void splits(void **state) {
    (void)state;
    static const struct { kr_split_rule rule; const char *text, *want; } cases[] = {
        {KR_SPLIT_GPT2, "I'll pay 1234  euros!!\n\n x", "I|'ll| pay| 1234| | euros|!!|\n\n| x"},
        {KR_SPLIT_LLAMA3, "I'LL pay 1234  euros!!\n\n x'\xC5\xBF", "I|'LL| pay| |123|4| | euros|!!\n\n| x|'\xC5\xBF"},
        {KR_SPLIT_QWEN2, "12 (a)\r\n\r\n  b", "1|2| (|a|)\r\n\r\n| | b"},
        {KR_SPLIT_FALCON, "I'll pay 1234567  ($12.50)  now!!\n\n x", "I|'|ll| pay| |123|456|7|  |($|12|.|50|)| | now|!!|\n\n| x"},
        {KR_SPLIT_FALCON, "a\u00b2\u00b34567 \u00bd \u0132a\u3001\uff0c\u0431", "a|\xc2|\xb2|\xc2|\xb3|456|7| \xc2|\xbd| \xc4|\xb2|a|\u3001\xef|\xbc|\x8c|\u0431"},
        {KR_SPLIT_FALCON, "x  (y) '\u20ac' 12", "x|  |(|y|)| |'|\u20ac|'| |12"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_str got = {0};
        const unsigned char *p = (const unsigned char *)cases[i].text, *end = p + strlen(cases[i].text);
        for (size_t n; p < end; p += n) {
            n = kr_split_next(cases[i].rule, p, end);
            assert_true(n > 0);
            if (got.n) kr_str_append_char(&got, '|');
            kr_str_append_n(&got, p, n);
        }
        assert_string_equal(kr_str_text(&got), cases[i].want);
        kr_str_free(&got);
    }
}

static void whole_characters(void **state) {
    (void)state;
    assert_int_equal(kr_utf8_whole("abc", 3), 3);
    assert_int_equal(kr_utf8_whole("ab\xE4\xBD", 4), 2);
    assert_int_equal(kr_utf8_whole("ab\xE4\xBD\xA0", 5), 5);
    assert_int_equal(kr_utf8_whole("\xF0\x9F\x90", 3), 0);
    assert_int_equal(kr_utf8_whole("a\xFF", 2), 2);      /* starts nothing */
    assert_int_equal(kr_utf8_whole("\xED\xA0", 2), 2);   /* nor does half of a surrogate */
    assert_int_equal(kr_utf8_whole("\x80\x80\x80\x80", 4), 4);
    assert_int_equal(kr_utf8_whole("", 0), 0);
}

static void refused(void **state) {
    (void)state;
    static const char *const files[][2] = {
        {"[]", "no JSON object"},
        {"{}", "pre_tokenizer"},
        {"{\"normalizer\":{\"type\":\"NFKC\"}}", "normalizer NFKC"},
        {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", "pre_tokenizer Whitespace"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"Unigram\"}}", "want one of type BPE"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\"}}", "model.vocab"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"added_tokens\":{\"a\":0},\"model\":{\"vocab\":{\"a\":0}}}", "added_tokens is no list"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"dropout\":0.1,\"vocab\":{\"a\":0}}}", "model.dropout is set"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"dropout\":0.0,\"vocab\":{\"a\":0}}}", "the byte 0x00"}, /* which is none */
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":-1}}}", "no number from 0"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":99999999999}}}", "no number from 0"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":0,\"b\":0}}}", "given twice"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":0}}}", "the byte 0x00"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0}}}", "end_of_word_suffix"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\"}]}}",
         "does not know the pattern x"},
    };
    char path[] = "/tmp/krait-tokenizer-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        kr_tokenizer *t = NULL;
        int64_t live = kr_mem_get_stats().n_live;
        assert_int_equal(kr_file_write(path, files[i][0], strlen(files[i][0])), KR_OK);
        assert_int_equal(kr_tokenizer_open(&t, path), KR_ERR_FORMAT);
        if (!strstr(kr_error(), files[i][1])) fail_msg("%s\nsays: %s\nwant: %s", files[i][0], kr_error(), files[i][1]);
        assert_null(t);
        assert_int_equal(kr_mem_get_stats().n_live, live);
    }
    close(fd);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_ids), cmocka_unit_test(long_words), cmocka_unit_test(splits),
                                       cmocka_unit_test(whole_characters), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
