/* linear.h - the slots of linear. */
#ifndef KR_OPS_LINEAR_H
#define KR_OPS_LINEAR_H
#include "ops/gemm.h"
#include "ops/op.h"

enum { LINEAR_X, LINEAR_W, LINEAR_B, LINEAR_S };
enum { LINEAR_Y };
/* Rows are summed into db in at most 32 blocks of a size that depends on nothing else. */
#define LINEAR_ROWS(rows) ((rows) > 32 * 64 ? ((rows) + 31) / 32 : 64)
#define LINEAR_BLOCKS(rows) (((rows) + LINEAR_ROWS(rows) - 1) / LINEAR_ROWS(rows))

/* The same product by OpenBLAS, when the build has it (KRAIT_BLAS) and the environment says
 * KRAIT_GEMM=blas: a cross-check of ours.  false: not done. */
#ifdef KR_WITH_BLAS
bool linear_blas(const kr_gemm *g, int n_threads);
#else
static inline bool linear_blas(const kr_gemm *g, int n_threads) {
    (void)g, (void)n_threads;
    return false;
}
#endif
#endif
