/* cpu.c - processor features, asked once. */
#include "base/cpu.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[KR_N_IMPL] = {"ref", "baseline", "avx2", "avx512", "neon", "cuda"};

const char *kr_impl_name(kr_impl i) { return names[i]; }

bool kr_cpu_has(kr_impl i) {
    switch (i) {
    case KR_REF:
    case KR_BASELINE: return true;
#if defined(__x86_64__)
    case KR_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case KR_AVX512:
        return kr_cpu_has(KR_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case KR_NEON: return true;
#endif
    default: return false;
    }
}

kr_impl kr_cpu_best(void) {
    const char *want = getenv("KRAIT_ISA");
    if (want)
        for (int i = 0; i < KR_N_IMPL; i++)
            if (strcmp(want, names[i]) == 0 && kr_cpu_has((kr_impl)i)) return (kr_impl)i;
    for (int i = KR_NEON; i > KR_BASELINE; i--)
        if (kr_cpu_has((kr_impl)i)) return (kr_impl)i;
    return KR_BASELINE;
}

int kr_cpu_threads(void) {
    const char *s = getenv("KRAIT_THREADS");
    int n = s ? atoi(s) : 0;
    return n > 0 ? n : omp_get_max_threads();
}
