/* gemm.h - dense products for the ops that need them: C = A B (+ C) (+ bias).
 *
 * Included from *_vec.c files (KR_VEC gives the instruction set's own copy).  Results do
 * not depend on the number of threads, and a row of C does not depend on m. */
#ifndef KR_OPS_GEMM_H
#define KR_OPS_GEMM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kr_gemm {
    int64_t m, n, k;
    const float *a;           /* [m, k] with lda, or [k, m] when a_trans */
    const void *b;            /* [k, n] with ldb, or [n, k] when b_trans; float or bfloat16 */
    float *c;                 /* [m, n] with ldc */
    int64_t lda, ldb, ldc;
    bool a_trans, b_trans, b_bf16;
    bool acc;                 /* add into c instead of setting it */
    const float *bias;        /* [n], added to every row; NULL: none */
} kr_gemm;

/* Bytes of scratch (64-byte aligned) that a product of at most these sizes needs, the
 * same for every instruction set. */
size_t kr_gemm_scratch(int64_t m, int64_t n, int64_t k, int n_threads);

#define KR_GEMM_DECLARE(isa)                                                          \
    void kr_gemm_all_##isa(const kr_gemm *g, void *scratch, int n_threads); /* threaded */ \
    void kr_gemm_one_##isa(const kr_gemm *g, void *scratch);                /* on the calling thread */
KR_GEMM_DECLARE(baseline) KR_GEMM_DECLARE(avx2) KR_GEMM_DECLARE(avx512) KR_GEMM_DECLARE(neon)
#endif
