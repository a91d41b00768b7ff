/* blas.cuh - dense products on a GPU: cuBLASLt where it can, a plain kernel of ours where it
 * cannot (rows that are not 16-byte aligned, or no cuBLASLt on this machine), and one for the
 * few rows of decoding, where B has only to be read.
 *
 * cuBLASLt is opened at run time.  Its algorithm for a shape is asked for once and kept.  Of
 * those it proposes the fastest is taken, but only if it gives the bits of the one that a fixed
 * rule names: the same call gives the same bits each time. */
#ifndef KR_CUDA_BLAS_CUH
#define KR_CUDA_BLAS_CUH
#include "cuda/kernel.cuh"

enum { KR_BLAS_WORKSPACE = 32 << 20 };

/* C[M, N] = or += A B (+ bias), row major, K summed in float32.  A is stored [M, K], or [K, M]
 * if a_t; B is stored [K, N], or [N, K] if b_t.  A and B have `type`. */
typedef struct kr_blas {
    int64_t M, N, K, lda, ldb, ldc;
    const void *A, *B;
    void *C;
    kr_dtype type, c_type;
    bool a_t, b_t, add;
    bool plain;             /* by our plain kernel: for slices of rows that would not be aligned by themselves */
    bool split_k;           /* K may be cut in parts: faster for a long K, but then the bits of a row hang on M */
    const float *bias;      /* [N]; NULL: none */
    void *bias_room;        /* N elements of c_type, for a bias and a C that is not float32 */
    void *workspace;        /* KR_BLAS_WORKSPACE bytes, or NULL */
} kr_blas;
void kr_blas_run(const kr_blas *g, void *stream);
/* Bytes of workspace that such a product deserves: none if it is small. */
static inline size_t kr_blas_workspace(int64_t M, int64_t N, int64_t K) {
    return 2.0 * (double)M * (double)N * (double)K < 1e8 ? 0 : KR_BLAS_WORKSPACE;
}

/* n elements from F32 to BF16 or F16, or back. */
void kr_cuda_cast(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n, void *stream);
#endif
