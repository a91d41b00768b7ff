/* lib_test.c - functions of a library that is opened late, and what is said of what is not there. */
#include "base/lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct { double (*cos)(double); double (*exp)(double); } table, empty;

static void finds_functions(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kr_lib_open(&table, sizeof table, "libm.so.6", "cos\0" "exp\0"), KR_OK);
        assert_true(table.cos(0) == 1 && table.exp(0) == 1);
    }
}

static void says_what_is_missing(void **state) {
    (void)state;
    assert_int_equal(kr_lib_open(&empty, sizeof empty, "libnowhere.so.1", "cos\0" "exp\0"), KR_ERR_MISSING);
    assert_non_null(strstr(kr_error(), "libnowhere.so.1"));
    assert_int_equal(kr_lib_open(&empty, sizeof empty, "libm.so.6", "cos\0" "no_such_function\0"), KR_ERR_MISSING);
    assert_non_null(strstr(kr_error(), "no_such_function"));
    assert_true(empty.cos == NULL && empty.exp == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_functions), cmocka_unit_test(says_what_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
