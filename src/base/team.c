/* team.c - one door that all go through.
 *
 * The door is one number: which job, whether it is open, and how many helpers are inside.
 * A helper enters by raising that number while the job is open; the caller, when no item is
 * left to begin, closes it and waits for those inside.  So who comes late finds it closed
 * and was never waited for, and what a job is made of changes only while nobody is inside. */
#include "base/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

#include "base/timing.h"

enum { MOST = 256 };                 /* threads */
#define OPEN ((uint64_t)1 << 15)
#define INSIDE (OPEN - 1)
#define JOB(door) ((door) >> 16)

static const double watch_s = 50e-6; /* so long before sleeping: some pieces of work */
static const double lend_s = 150e-6; /* longer than an item takes */

typedef struct range { _Alignas(64) atomic_llong next; int64_t end; } range;

static struct {
    _Alignas(64) atomic_ullong door;
    _Alignas(64) atomic_int asleep;  /* helpers */
    atomic_bool waiting;             /* the caller sleeps */
    atomic_flag taken;
    atomic_int core, caller;         /* where the caller runs, and as which thread */
    int n_helpers;                   /* that run; the rest is the caller's to change, the door closed */
    int n_threads;
    kr_team_work *work;
    void *arg;
    range items[MOST];
    atomic_int inside[MOST];         /* the thread of each helper that is */
    atomic_bool lent[MOST];
} team = {.taken = ATOMIC_FLAG_INIT};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* only around sleep */
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER, left = PTHREAD_COND_INITIALIZER;

static void rest(void) {
#if defined(__SSE2__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static void do_items(int who) {
    for (int k = 0; k < team.n_threads; k++) {
        range *r = &team.items[(who + k) % team.n_threads];
        while (atomic_load_explicit(&r->next, memory_order_relaxed) < r->end) {
            int64_t i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
            if (i < r->end) team.work(team.arg, i, who);
        }
    }
}

/* --- cores ---------------------------------------------------------------------------- */

/* Beside another busy program Linux wakes a helper on the core of the caller, who woke it: they take turns there and are no
 * faster than one.  So a helper keeps off that core, and shares one with the other program.  There it loses the core in the midst of an item for
 * some milliseconds; who waits for it then lends it his own. */
#if defined(__linux__)
static int self(void) {
    static _Thread_local int id;
    return id ? id : (id = gettid());
}

static void tell_core(void) {
    atomic_store_explicit(&team.caller, self(), memory_order_relaxed);
    atomic_store_explicit(&team.core, sched_getcpu(), memory_order_relaxed);
}

static void keep_off(int who) {
    cpu_set_t may;
    int core = atomic_load_explicit(&team.core, memory_order_relaxed);
    bool lent = atomic_load_explicit(&team.lent[who], memory_order_relaxed);
    if (!lent && sched_getcpu() != core) return;
    atomic_store(&team.lent[who], false);
    if (core < 0 || core >= CPU_SETSIZE || sched_getaffinity(atomic_load(&team.caller), sizeof may, &may)) return;
    if (CPU_COUNT(&may) > 1) CPU_CLR(core, &may);
    else if (!lent) return; /* there is no other */
    sched_setaffinity(0, sizeof may, &may);
}

static void lend_core(void) {
    cpu_set_t mine;
    int core = sched_getcpu();
    if (core < 0 || core >= CPU_SETSIZE) return;
    CPU_ZERO(&mine);
    CPU_SET(core, &mine);
    for (int who = 1; who < team.n_threads; who++) {
        int thread = atomic_load(&team.inside[who]);
        if (thread && !sched_setaffinity(thread, sizeof mine, &mine)) atomic_store(&team.lent[who], true); /* if he is gone by now: at his next job */
    }
}
#else
static int self(void) { return 1; }
static void tell_core(void) {}
static void keep_off(int who) { (void)who; }
static void lend_core(void) {}
#endif

/* --- a helper ------------------------------------------------------------------------- */

/* Until there is a job other than `last`. */
static uint64_t next_door(uint64_t last) {
    uint64_t door;
    double start = kr_now();
    for (int i = 0; JOB(door = atomic_load(&team.door)) == last; i++) {
        rest();
        if (i % 64 == 63 && kr_now() - start > watch_s) break;
    }
    if (JOB(door) != last) return door;
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&team.asleep, 1);
    while (JOB(door = atomic_load(&team.door)) == last) pthread_cond_wait(&opened, &lock);
    atomic_fetch_sub(&team.asleep, 1);
    pthread_mutex_unlock(&lock);
    return door;
}

static void leave(void) {
    uint64_t door = atomic_fetch_sub(&team.door, 1) - 1;
    if (door & (OPEN | INSIDE) || !atomic_load(&team.waiting)) return;
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&left);
    pthread_mutex_unlock(&lock);
}

static void *help(void *arg) {
    int who = (int)(intptr_t)arg;
    for (unsigned long long door, last = 0;; last = JOB(door)) {
        door = next_door(last);
        keep_off(who);
        while (door & OPEN && !atomic_compare_exchange_weak(&team.door, &door, door + 1)) {}
        if (!(door & OPEN)) continue;
        if (who < team.n_threads) {
            atomic_store(&team.inside[who], self());
            do_items(who);
            atomic_store(&team.inside[who], 0);
        }
        leave();
        keep_off(who);
    }
    return NULL;
}

/* --- the caller ----------------------------------------------------------------------- */

static void hire(int n) {
    pthread_attr_t detached;
    if (team.n_helpers >= n || pthread_attr_init(&detached)) return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (pthread_t t; team.n_helpers < n; team.n_helpers++) /* who cannot be had does not help */
        if (pthread_create(&t, &detached, help, (void *)(intptr_t)(team.n_helpers + 1))) break;
    pthread_attr_destroy(&detached);
}

static void open_door(void) {
    atomic_store(&team.door, (JOB(atomic_load(&team.door)) + 1) << 16 | OPEN);
    if (atomic_load(&team.asleep) == 0) return;
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}

static void close_door(void) {
    atomic_fetch_and(&team.door, ~(unsigned long long)OPEN);
    double start = kr_now();
    for (int i = 0; atomic_load(&team.door) & INSIDE; i++) {
        rest();
        if (i % 64 == 63 && kr_now() - start > lend_s) break;
    }
    if (!(atomic_load(&team.door) & INSIDE)) return;
    lend_core();
    pthread_mutex_lock(&lock); /* a helper lost its core in the midst of an item */
    atomic_store(&team.waiting, true);
    while (atomic_load(&team.door) & INSIDE) pthread_cond_wait(&left, &lock);
    atomic_store(&team.waiting, false);
    pthread_mutex_unlock(&lock);
}

void kr_team_each(int n_threads, int64_t n_items, kr_team_work *work, void *arg) {
    if (n_threads > MOST) n_threads = MOST;
    if (n_threads > n_items) n_threads = (int)n_items;
    if (n_threads < 2 || atomic_flag_test_and_set(&team.taken)) {
        for (int64_t i = 0; i < n_items; i++) work(arg, i, 0);
        return;
    }
    hire(n_threads - 1);
    team.n_threads = n_threads, team.work = work, team.arg = arg;
    for (int64_t t = 0; t < n_threads; t++) {
        atomic_store_explicit(&team.items[t].next, n_items * t / n_threads, memory_order_relaxed);
        team.items[t].end = n_items * (t + 1) / n_threads;
    }
    tell_core();
    open_door();
    do_items(0);
    close_door();
    atomic_flag_clear(&team.taken);
}
