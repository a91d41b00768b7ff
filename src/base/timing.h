/* timing.h - how long work takes: warmed up, repeated, best and median. */
#ifndef KR_BASE_TIMING_H
#define KR_BASE_TIMING_H
#include "krait/bench.h"

double kr_now(void); /* seconds of a clock that only goes forward */
/* opt with its defaults filled in; NULL: all of them. */
kr_bench_options kr_bench_defaults(const kr_bench_options *opt);
kr_bench_time kr_time_work(void (*work)(void *arg), void *arg, const kr_bench_options *opt);
#endif
