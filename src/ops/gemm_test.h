/* gemm_test.h - the kinds of CPU a product is tested for, and one run of it; for tests. */
#ifndef KR_OPS_GEMM_TEST_H
#define KR_OPS_GEMM_TEST_H
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "ops/gemm.h"

static const struct isa {
    kr_impl impl;
    void (*all)(const kr_gemm *g, void *scratch, int n_threads);
    void (*one)(const kr_gemm *g, void *scratch);
} isas[] = {
#if defined(__x86_64__)
    {KR_BASELINE, kr_gemm_all_baseline, kr_gemm_one_baseline},
    {KR_AVX2, kr_gemm_all_avx2, kr_gemm_one_avx2},
    {KR_AVX512, kr_gemm_all_avx512, kr_gemm_one_avx512},
#elif defined(__aarch64__)
    {KR_NEON, kr_gemm_all_neon, kr_gemm_one_neon},
#else
    {KR_BASELINE, kr_gemm_all_baseline, kr_gemm_one_baseline},
#endif
};
enum { N_ISA = sizeof isas / sizeof *isas };

/* n_threads 0: by the entry for one thread.  Scratch holds no zeros. */
static void run(const struct isa *isa, const kr_gemm *g, int n_threads) {
    size_t bytes = kr_gemm_scratch_for(g->b_type, g->m, g->n, g->k, n_threads ? n_threads : 1);
    void *scratch = NULL;
    if (posix_memalign(&scratch, 64, bytes ? bytes : 64)) abort();
    memset(scratch, 0x7f, bytes);
    if (n_threads) isa->all(g, scratch, n_threads);
    else isa->one(g, scratch);
    free(scratch);
}
#endif
