/* gemm.c - how much scratch a dense product needs. */
#include "ops/gemm.h"

#include "tensor/weave.h"

size_t kr_gemm_scratch(int64_t m, int64_t n, int64_t k, int n_threads) {
    if (m <= 0 || n <= 0 || k <= 0) return 0;
    return (size_t)n_threads * (size_t)kr_gemm_floats(m, n, k) * sizeof(float);
}

size_t kr_gemm_scratch_for(kr_dtype b, int64_t m, int64_t n, int64_t k, int n_threads) {
    if (kr_dtype_block(b) == 1) return kr_gemm_scratch(m, n, k, n_threads);
    size_t row = (size_t)k * (kr_unwoven(b) == KR_Q8_0 ? 2 : 1) + (size_t)(k / 32) * sizeof(kr_gemm_group);
    size_t panel = KR_GEMM_QN * (KR_GEMM_QK + (KR_GEMM_QK / 16 + KR_GEMM_QK / 32) * sizeof(float));
    return m <= 0 ? 0 : ((size_t)m * row + 127) / 64 * 64 + 64 + (size_t)n_threads * panel;
}
