/* cpu.c - processor features, asked once. */
#include "base/cpu.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/vnni.h"

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

/* What KRAIT_ISA names, if this machine can run it; KR_N_IMPL: nothing. */
static kr_impl wanted(bool *vnni) {
    const char *want = getenv("KRAIT_ISA");
    for (int i = 0; want && i < KR_N_IMPL; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(want, names[i], n) != 0 || !kr_cpu_has((kr_impl)i)) continue;
        *vnni = strcmp(want + n, "vnni") == 0;
        if (!want[n] || (*vnni && (i == KR_AVX2 || i == KR_AVX512))) return (kr_impl)i;
    }
    *vnni = true;
    return KR_N_IMPL;
}

kr_impl kr_cpu_best(void) {
    bool vnni;
    kr_impl want = wanted(&vnni);
    if (want != KR_N_IMPL) return want;
    for (int i = KR_NEON; i > KR_BASELINE; i--)
        if (kr_cpu_has((kr_impl)i)) return (kr_impl)i;
    return KR_BASELINE;
}

bool kr_cpu_allows_vnni(void) {
    static atomic_int known; /* 0: not asked yet */
    int is = atomic_load_explicit(&known, memory_order_relaxed);
    bool vnni = is == 1;
    if (is == 0) {
        wanted(&vnni);
        atomic_store_explicit(&known, vnni ? 1 : 2, memory_order_relaxed);
    }
    return vnni;
}

int kr_cpu_threads(void) {
    const char *s = getenv("KRAIT_THREADS");
    int n = s ? atoi(s) : 0;
    return n > 0 ? n : omp_get_max_threads();
}
