/* mem_test.c - allocation, its counts, its failures on demand, and the arena. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static bool is_zero(const void *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((const char *)p)[i]) return false;
    return true;
}

static void blocks_are_zero_and_aligned(void **state) {
    (void)state;
    for (size_t n = 0; n < 300; n += 7) {
        char *p = kr_mem_new(n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_true(is_zero(p, n));
        memset(p, 1, n);
        kr_mem_free(p);
    }
    kr_mem_free(NULL);
}

static void counts_are_exact(void **state) {
    (void)state;
    kr_mem_stats a = kr_mem_get_stats();
    void *p = kr_mem_new(1000), *q = kr_mem_new(24);
    kr_mem_stats b = kr_mem_get_stats();
    assert_int_equal(b.n_allocs - a.n_allocs, 2);
    assert_int_equal(b.n_live - a.n_live, 2);
    assert_int_equal(b.live_bytes - a.live_bytes, 1024);
    assert_true(b.peak_bytes >= b.live_bytes);
    kr_mem_free(p);
    kr_mem_free(q);
    b = kr_mem_get_stats();
    assert_true(b.n_live == a.n_live && b.live_bytes == a.live_bytes);
}

static void resizing_keeps_what_fits(void **state) {
    (void)state;
    char *p = kr_mem_strdup("hello"), *q = kr_mem_resize(p, 100);
    assert_string_equal(q, "hello");
    q = kr_mem_resize(q, 2);
    assert_memory_equal(q, "he", 2);
    kr_mem_fail_at(1);
    assert_null(kr_mem_resize(q, 4));
    kr_mem_fail_at(0);
    assert_memory_equal(q, "he", 2); /* the old block stays */
    kr_mem_free(q);
    q = kr_mem_resize(NULL, 8);
    assert_non_null(q);
    kr_mem_free(q);
}

static void failing_on_demand(void **state) {
    (void)state;
    kr_mem_stats a = kr_mem_get_stats();
    kr_mem_fail_at(3);
    void *p = kr_mem_new(1), *q = kr_mem_new(1);
    assert_true(p && q);
    assert_null(kr_mem_new(1));
    assert_null(kr_mem_new(1)); /* and all after it */
    assert_non_null(strstr(kr_error(), "out of memory"));
    kr_mem_fail_at(0);
    kr_mem_free(p);
    kr_mem_free(q);
    assert_int_equal(kr_mem_get_stats().n_live, a.n_live);
}

static void impossible_sizes(void **state) {
    (void)state;
    size_t n;
    assert_null(kr_mem_new(SIZE_MAX));
    assert_null(kr_mem_new(SIZE_MAX - 100));
    assert_null(kr_mem_array(SIZE_MAX / 2, 3));
    assert_true(kr_mul_size(&n, 3, (int64_t[]){3, 5, 7}) && n == 105);
    assert_true(kr_mul_size(&n, 0, NULL) && n == 1);
    assert_true(kr_mul_size(&n, 2, (int64_t[]){0, INT64_MAX}) && n == 0);
    assert_false(kr_mul_size(&n, 2, (int64_t[]){2, -1}));
    assert_false(kr_mul_size(&n, 3, (int64_t[]){INT64_MAX, 2, 2}));
}

static void arenas(void **state) {
    (void)state;
    kr_mem_stats before = kr_mem_get_stats();
    kr_arena a = {0};
    for (size_t n = 0; n < 60000; n = n * 2 + 5) { /* small ones share a block, large ones get their own */
        char *p = kr_arena_new(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_true(is_zero(p, n));
        memset(p, 0xff, n);
    }
    for (int i = 0; i < 1000; i++) assert_true(is_zero(kr_arena_new(&a, 40), 40));
    assert_string_equal(kr_arena_strdup(&a, "word"), "word");
    assert_true(kr_mem_get_stats().n_live - before.n_live < 20);
    kr_mem_fail_at(1);
    assert_null(kr_arena_new(&a, 100000));
    assert_null(kr_arena_new(&a, SIZE_MAX));
    kr_mem_fail_at(0);
    assert_null(kr_arena_new(&a, SIZE_MAX)); /* must not wrap to nothing */
    assert_null(kr_arena_new(&a, SIZE_MAX - 20));
    kr_arena_clear(&a);
    assert_int_equal(kr_mem_get_stats().n_live, before.n_live);
    kr_arena_clear(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zero_and_aligned), cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(resizing_keeps_what_fits),    cmocka_unit_test(failing_on_demand),
        cmocka_unit_test(impossible_sizes),            cmocka_unit_test(arenas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
