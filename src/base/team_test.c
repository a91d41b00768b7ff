/* team_test.c - every item once, whoever does it, with helpers that sleep or come late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/team.h"

enum { MOST = 1000, THREADS = 5 };

typedef struct job {
    int seen[MOST];             /* each item is one thread's own */
    atomic_int inside[THREADS]; /* by who */
    atomic_int wrong;
    int n_threads;
} job;

static void nap(long ns) { nanosleep(&(struct timespec){0, ns}, NULL); }

static void mark(void *arg, int64_t i, int who) {
    job *j = arg;
    if (who < 0 || who >= j->n_threads || atomic_fetch_add(&j->inside[who], 1)) atomic_fetch_add(&j->wrong, 1);
    j->seen[i]++;
    atomic_fetch_sub(&j->inside[who], 1);
}

static void check(int n_threads, int64_t n) {
    job j = {.n_threads = n_threads};
    kr_team_each(n_threads, n, mark, &j);
    assert_int_equal(j.wrong, 0);
    for (int64_t i = 0; i < MOST; i++) assert_int_equal(j.seen[i], i < n);
}

static void each_once(void **state) {
    (void)state;
    for (int t = 1; t <= THREADS; t++)
        for (int64_t n = 0; n <= MOST; n = n * 3 + 1) check(t, n);
    for (int k = 0; k < 3000; k++) check(2 + k % 4, 1 + k % 17); /* close upon each other */
    for (int k = 0; k < 20; k++) {                               /* asleep in between */
        nap(1000000);
        check(3, 10);
    }
}

static void slow(void *arg, int64_t i, int who) {
    mark(arg, i, who);
    if (i % 7 == 0) nap(200000); /* longer than the caller watches for */
}

static void slow_helpers(void **state) {
    (void)state;
    for (int k = 0; k < 30; k++) {
        job j = {.n_threads = 3};
        kr_team_each(3, 23, slow, &j);
        for (int i = 0; i < 23; i++) assert_int_equal(j.seen[i], 1);
    }
}

static void outer(void *arg, int64_t i, int who) {
    job *j = (job *)arg + i, *inner = j;
    (void)who;
    inner->n_threads = 1; /* no team within a team */
    kr_team_each(4, 50, mark, inner);
}

static void nested(void **state) {
    (void)state;
    static job j[6];
    kr_team_each(3, 6, outer, j);
    for (int k = 0; k < 6; k++) {
        assert_int_equal(j[k].wrong, 0);
        for (int i = 0; i < 50; i++) assert_int_equal(j[k].seen[i], 1);
    }
}

#if defined(__linux__)
typedef struct places { atomic_int caller, lent, back; } places;

/* The thread may run on that core alone. */
static bool only_on(int core) {
    cpu_set_t set;
    return core >= 0 && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(core, &set);
}

static void lose_core(void *arg, int64_t i, int who) {
    places *p = arg;
    (void)i;
    if (who == 0) atomic_store(&p->caller, sched_getcpu());
    nap(who ? 3000000 : 1000); /* asleep or without a core: who waits cannot tell */
    if (who && only_on(p->caller)) atomic_store(&p->lent, 1);
}

static void look(void *arg, int64_t i, int who) {
    places *p = arg;
    (void)i;
    if (who == 0) atomic_store(&p->caller, sched_getcpu());
    nap(50000);
    if (who && !only_on(p->caller)) atomic_store(&p->back, 1);
}

/* A helper that is waited for gets the caller's core, and gives it back. */
static void lent_cores(void **state) {
    (void)state;
    places p = {.caller = -1};
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) < 2) skip();
    for (int k = 0; k < 500 && !p.lent; k++) kr_team_each(2, 2, lose_core, &p);
    assert_true(p.lent);
    for (int k = 0; k < 5000 && !p.back; k++) kr_team_each(2, 8, look, &p);
    assert_true(p.back);
}
#endif

static int failure;
static void *caller(void *arg) {
    (void)arg;
    for (int k = 0; k < 500; k++) {
        job j = {.n_threads = 3};
        kr_team_each(3, 40, mark, &j);
        for (int i = 0; i < 40; i++)
            if (j.seen[i] != 1) return arg ? arg : &failure;
    }
    return NULL;
}

static void two_callers(void **state) {
    (void)state;
    pthread_t t;
    void *failed;
    assert_int_equal(pthread_create(&t, NULL, caller, NULL), 0);
    assert_null(caller(NULL));
    pthread_join(t, &failed);
    assert_null(failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_once), cmocka_unit_test(slow_helpers), cmocka_unit_test(nested),
                                       cmocka_unit_test(two_callers),
#if defined(__linux__)
                                       cmocka_unit_test(lent_cores),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
