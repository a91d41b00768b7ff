/* error_test.c - the sentence behind a status. */
#include "base/error.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static kr_status inner(int n) { KR_FAIL(KR_ERR_SHAPE, "n is %d, want 3", n); }
static kr_status outer(int n) {
    if (n != 3) KR_TRY(inner(n));
    return KR_OK;
}

static void sentences(void **state) {
    (void)state;
    assert_int_equal(outer(3), KR_OK);
    assert_int_equal(outer(4), KR_ERR_SHAPE);
    assert_string_equal(kr_error(), "n is 4, want 3");
    assert_int_equal(kr_fail_in(KR_ERR_SHAPE, "config.json"), KR_ERR_SHAPE);
    assert_string_equal(kr_error(), "config.json: n is 4, want 3");
    kr_fail(KR_ERR_IO, "again: %s", kr_error()); /* its own sentence as an argument */
    assert_string_equal(kr_error(), "again: config.json: n is 4, want 3");
}

static void long_sentences_are_cut(void **state) {
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    kr_fail(KR_ERR_ARG, "%s", text);
    assert_true(strlen(kr_error()) > 500 && strlen(kr_error()) < sizeof text - 1);
    for (int i = 0; i < 50; i++) kr_fail_in(KR_ERR_ARG, "prefix");
    assert_true(strncmp(kr_error(), "prefix: prefix: ", 16) == 0);
}

static void each_thread_has_its_own(void **state) {
    (void)state;
    int right = 0, n = 0;
    kr_fail(KR_ERR_ARG, "main");
#pragma omp parallel num_threads(3) reduction(+ : right, n)
    {
        char want[16] = {"thread a"};
        int me = omp_get_thread_num();
        n++;
        want[7] = (char)('a' + me);
        kr_fail(KR_ERR_ARG, "thread %c", 'a' + me);
#pragma omp barrier
        right += strcmp(kr_error(), want) == 0;
    }
    assert_int_equal(right, n);
}

static void every_status_has_a_text(void **state) {
    (void)state;
#define X(name, value, text)             \
    assert_int_equal(KR_##name, value);  \
    assert_string_equal(kr_status_text(KR_##name), text);
    KR_STATUS_MAP(X)
#undef X
    assert_string_equal(kr_status_text((kr_status)-99), "unknown status");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences),
        cmocka_unit_test(long_sentences_are_cut),
        cmocka_unit_test(each_thread_has_its_own),
        cmocka_unit_test(every_status_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
