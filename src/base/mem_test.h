/* mem_test.h - for tests: every allocation in turn fails, each time with a status in words
 * and without a leak. */
#ifndef KR_BASE_MEM_TEST_H
#define KR_BASE_MEM_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

/* Runs f with less and less failing until it succeeds; returns how many times that took.
 * f leaves no memory behind, whether it fails or not. */
static inline int until_it_works(kr_status (*f)(void *user), void *user) {
    for (int n = 1; n < 20000; n++) {
        int64_t live = kr_mem_get_stats().n_live;
        kr_mem_fail_at(n);
        kr_status st = f(user);
        kr_mem_fail_at(0);
        long long lost = kr_mem_get_stats().n_live - live;
        if (lost) fail_msg("allocation %d fails: %lld blocks are lost (%s)", n, lost, kr_error());
        if (st == KR_OK) return n;
        if (st != KR_ERR_NOMEM) fail_msg("allocation %d fails: status %d: %s", n, st, kr_error());
        if (!strstr(kr_error(), "memory")) fail_msg("allocation %d fails: said: %s", n, kr_error());
    }
    fail_msg("it never works");
    return 0;
}
#endif
