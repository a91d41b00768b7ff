/* cpu.h - what this processor can do, and which implementation of an op to run. */
#ifndef KR_BASE_CPU_H
#define KR_BASE_CPU_H
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Implementations of an op, slow to fast.  REF is the plain definition. */
typedef enum kr_impl { KR_REF, KR_BASELINE, KR_AVX2, KR_AVX512, KR_NEON, KR_CUDA, KR_N_IMPL } kr_impl;

const char *kr_impl_name(kr_impl i); /* "ref", "baseline", ... */
bool kr_cpu_has(kr_impl i);          /* can this machine run it?  (KR_CUDA: never here) */
/* The best this machine has, or the one KRAIT_ISA names if the machine can run it. */
kr_impl kr_cpu_best(void);
/* Threads to use: KRAIT_THREADS, else OMP_NUM_THREADS, else the cores this process may use. */
int kr_cpu_threads(void);

#ifdef __cplusplus
}
#endif
#endif
