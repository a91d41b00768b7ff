/* str_test.c - growable text. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void grows(void **state) {
    (void)state;
    kr_str s = {0};
    assert_string_equal(kr_str_text(&s), "");
    for (int i = 0; i < 1000; i++) kr_str_appendf(&s, "%03d,", i);
    assert_int_equal(kr_str_status(&s), KR_OK);
    assert_int_equal(s.n, 4000);
    assert_memory_equal(s.text + 3996, "999,", 5);
    kr_str_cut(&s, 3);
    assert_string_equal(kr_str_text(&s), "000");
    kr_str_append_n(&s, "a\0b", 3);
    assert_int_equal(s.n, 6);
    kr_str_free(&s);
    assert_int_equal(s.n, 0);
}

/* Every length around the first few rooms: the zero behind the text always fits. */
static void ends_with_zero(void **state) {
    (void)state;
    for (size_t n = 0; n < 300; n++) {
        kr_str s = {0};
        for (size_t i = 0; i < n; i++) kr_str_append_char(&s, 'x');
        assert_int_equal(strlen(kr_str_text(&s)), n);
        kr_str_appendf(&s, "%*s", (int)n, "");
        assert_int_equal(strlen(kr_str_text(&s)), 2 * n);
        kr_str_free(&s);
    }
}

static void escapes_json(void **state) {
    (void)state;
    kr_str s = {0};
    kr_str_append_json(&s, "a\"b\\c\n\t\x01\x7fé");
    assert_string_equal(kr_str_text(&s), "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\xc3\xa9\"");
    kr_str_free(&s);
}

static void takes(void **state) {
    (void)state;
    kr_str s = {0};
    char *empty = kr_str_take(&s);
    assert_string_equal(empty, "");
    kr_str_append(&s, "hello");
    char *text = kr_str_take(&s);
    assert_string_equal(text, "hello");
    assert_int_equal(s.room, 0);
    kr_mem_free(empty);
    kr_mem_free(text);
}

static void failure_sticks(void **state) {
    (void)state;
    int64_t live = kr_mem_get_stats().n_live;
    kr_str s = {0};
    kr_str_append(&s, "kept");
    kr_mem_fail_at(1);
    for (int i = 0; i < 100; i++) kr_str_append(&s, "0123456789");
    kr_mem_fail_at(0);
    kr_str_append(&s, "late");
    assert_int_equal(kr_str_status(&s), KR_ERR_NOMEM);
    assert_int_equal(s.n, 4 + 50); /* the first room held so much */
    assert_null(kr_str_take(&s));
    assert_int_equal(kr_mem_get_stats().n_live, live);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),        cmocka_unit_test(ends_with_zero), cmocka_unit_test(escapes_json),
        cmocka_unit_test(takes),        cmocka_unit_test(failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
