/* json_test.c - JSON that is refused says where, and memory is all given back. */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem_test.h"

static kr_status parse(json_t **j, const char *text) { return kr_json_parse(j, text, strlen(text), "config.json"); }

static void good_text(void **state) {
    (void)state;
    kr_mem_stats before = kr_mem_get_stats();
    json_t *j = NULL;
    assert_int_equal(parse(&j, "{\"d_model\": 9007199254740993, \"eps\": 1e-5, \"a\": [1, null, \"\\u00e9\"]}"), KR_OK);
    assert_true(json_integer_value(json_object_get(j, "d_model")) == 9007199254740993); /* no double in between */
    assert_true(json_real_value(json_object_get(j, "eps")) == 1e-5);
    assert_string_equal(json_string_value(json_array_get(json_object_get(j, "a"), 2)), "\xc3\xa9");
    assert_true(kr_mem_get_stats().n_live > before.n_live); /* the memory is ours */
    json_decref(j);
    assert_int_equal(kr_mem_get_stats().n_live, before.n_live);
}

static void bad_text(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "{", "{\"a\": 1,}", "[1 2]", "{\"a\": 1, \"a\": 2}", "{\"a\": 01}", "{\"a\": NaN}", "[1e999]",
        "[\"\xff\"]", "[\"\\ud800\"]", "{\"a\": 1} x", "[99999999999999999999]", "tru",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *j = NULL;
        kr_mem_stats before = kr_mem_get_stats();
        if (parse(&j, bad[i]) != KR_ERR_FORMAT) fail_msg("accepted: %s", bad[i]);
        assert_true(strncmp(kr_error(), "config.json: line ", 18) == 0);
        assert_int_equal(kr_mem_get_stats().n_live, before.n_live);
    }
    json_t *j;
    assert_int_equal(parse(&j, "{\n  \"a\": 1,\n  oops\n}"), KR_ERR_FORMAT);
    assert_non_null(strstr(kr_error(), "line 3, column "));
}

/* What Python's json module writes of an infinity. */
static void infinities(void **state) {
    (void)state;
    json_t *j;
    assert_int_equal(parse(&j, "{\"limit\": [0.0, Infinity, -Infinity], \"say\": \"Infinity \\\" Infinity\"}"), KR_OK);
    const json_t *limit = json_object_get(j, "limit");
    assert_string_equal(json_string_value(json_object_get(json_array_get(limit, 1), "__float__")), "Infinity");
    assert_string_equal(json_string_value(json_object_get(json_array_get(limit, 2), "__float__")), "-Infinity");
    assert_string_equal(json_string_value(json_object_get(j, "say")), "Infinity \" Infinity");
    json_decref(j);
    static const char *const bad[] = {"{\"a\": Infinit}", "{\"a\": --Infinity}", "{Infinity: 1}", "{\"a\": 1Infinity}", "[\"\\", "[Infinity", "\"Infinity"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(&j, bad[i]) != KR_ERR_FORMAT) fail_msg("accepted: %s", bad[i]);
    assert_int_equal(parse(&j, "{\"a\": Infinity,\n \"b\" 1}"), KR_ERR_FORMAT);
}

static void deep_text_does_not_overflow(void **state) {
    (void)state;
    enum { N = 200000 };
    char *text = kr_mem_new(N + 1);
    json_t *j = NULL;
    memset(text, '[', N);
    assert_int_equal(kr_json_parse(&j, text, N, "deep"), KR_ERR_FORMAT);
    kr_mem_free(text);
}

static void files(void **state) {
    (void)state;
    char path[] = "/tmp/krait_json_test_XXXXXX";
    json_t *j = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "[1, 2]", 6) == 6);
    close(fd);
    assert_int_equal(kr_json_load(&j, path), KR_OK);
    assert_int_equal(json_array_size(j), 2);
    json_decref(j);
    remove(path);
    assert_int_equal(kr_json_load(&j, path), KR_ERR_IO);
    assert_non_null(strstr(kr_error(), path));
    assert_non_null(strstr(kr_error(), "No such file"));
}

static kr_status parse_some(void *unused) {
    json_t *j;
    (void)unused;
    KR_TRY(parse(&j, "{\"a\": [1, 2.5, \"text\", {\"b\": true}]}"));
    json_decref(j);
    return KR_OK;
}

static void out_of_memory(void **state) {
    (void)state;
    assert_true(until_it_works(parse_some, NULL) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_text), cmocka_unit_test(bad_text), cmocka_unit_test(infinities),
        cmocka_unit_test(deep_text_does_not_overflow),
        cmocka_unit_test(files), cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
