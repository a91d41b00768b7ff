/* timing.c - repeated timing. */
#include "base/timing.h"

#include <time.h>

#include "base/cpu.h"

enum { MAX_RUNS = 512 };

double kr_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

kr_bench_options kr_bench_defaults(const kr_bench_options *opt) {
    kr_bench_options o = opt ? *opt : (kr_bench_options){0};
    if (o.runs < 1) o.runs = 7;
    if (o.seconds <= 0) o.seconds = 0.2;
    if (o.n_threads < 1) o.n_threads = kr_cpu_threads();
    return o;
}

kr_bench_time kr_time_work(void (*work)(void *arg), void *arg, const kr_bench_options *opt) {
    double seconds[MAX_RUNS], start;
    int n = 0;
    work(arg);
    for (start = kr_now(); n < MAX_RUNS && (n < opt->runs || kr_now() - start < opt->seconds); n++) {
        double t0 = kr_now(), t;
        work(arg);
        t = kr_now() - t0;
        int i = n;
        for (; i > 0 && seconds[i - 1] > t; i--) seconds[i] = seconds[i - 1];
        seconds[i] = t;
    }
    return (kr_bench_time){seconds[0], n % 2 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2, n};
}
