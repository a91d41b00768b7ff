/* linear_blas.c - linear's products through OpenBLAS, to check ours against. */
#ifdef KR_WITH_BLAS
#include <cblas.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ops/linear/linear.h"

bool linear_blas(const kr_gemm *g, int n_threads) {
    const char *wanted = getenv("KRAIT_GEMM");
    if (!wanted || strcmp(wanted, "blas") != 0 || g->b_type != KR_F32) return false;
    const int64_t size[] = {g->m, g->n, g->k, g->lda, g->ldb, g->ldc};
    for (int i = 0; i < 6; i++)
        if (size[i] <= 0 || size[i] > INT_MAX) return false;
    for (int64_t i = 0; g->bias && i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            float *c = g->c + i * g->ldc + j;
            *c = (g->acc ? *c : 0) + g->bias[j];
        }
    openblas_set_num_threads(n_threads);
    cblas_sgemm(CblasRowMajor, g->a_trans ? CblasTrans : CblasNoTrans, g->b_trans ? CblasTrans : CblasNoTrans, (int)g->m,
                (int)g->n, (int)g->k, 1, g->a, (int)g->lda, g->b, (int)g->ldb, g->acc || g->bias ? 1 : 0, g->c,
                (int)g->ldc);
    return true;
}
#else
typedef int linear_blas_unused; /* a file must hold something */
#endif
