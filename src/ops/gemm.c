/* gemm.c - how much scratch a dense product needs. */
#include "ops/gemm.h"

size_t kr_gemm_scratch(int64_t m, int64_t n, int64_t k, int n_threads) {
    if (m <= 0 || n <= 0 || k <= 0) return 0;
    return (size_t)n_threads * (size_t)kr_gemm_floats(m, n, k) * sizeof(float);
}
