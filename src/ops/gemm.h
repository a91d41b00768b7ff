/* gemm.h - dense products for the ops that need them: C = A B (+ C) (+ bias).
 *
 * Included from *_vec.c files (KR_VEC gives the instruction set's own copy).  One number of
 * C has one definition, whatever the sizes, the thread count or the path taken:
 *
 *   k is cut into blocks of kr_gemm_step(k);  each block is summed from 0 in rising k by
 *   fused multiply-add (where the CPU has it);  the block sums are added in order to
 *   [c] + [bias].
 *
 * So results do not depend on n_threads, a row of C does not depend on m, and a column not
 * on n: a prompt fed at once or step by step gives the same bits.
 *
 * B may be in blocks (tensor/quant.h; b_trans, not a_trans, k whole blocks).  Then each row of A
 * is rounded to eight bits in groups of 32 numbers, d = max / 127 each; a group's products are
 * summed as integers, exactly; times the scales of both sides they are added to [c] + [bias] in
 * rising k, by fused multiply-adds.  With a_scale d is that for all, and larger numbers are cut to 127 d.
 * (gemm_blocks_vec.c) */
#ifndef KR_OPS_GEMM_H
#define KR_OPS_GEMM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

typedef struct kr_gemm {
    int64_t m, n, k;          /* any may be 0; k == 0 sums nothing */
    const float *a;           /* [m, k] with lda, or [k, m] when a_trans */
    const void *b;            /* [k, n] with ldb, or [n, k] when b_trans; of b_type */
    float *c;                 /* [m, n] with ldc */
    int64_t lda, ldb, ldc;
    bool a_trans, b_trans;
    kr_dtype b_type;          /* F32, BF16, F16 or blocks; ldb counts numbers */
    bool acc;                 /* add into c instead of setting it */
    bool plain;               /* B in blocks: do without a CPU's dot products of bytes, to check and measure that */
    float a_scale;            /* B in blocks: A's scale; 0: each group has its own.  Else not looked at */
    const float *bias;        /* [n], added to every row; NULL: none */
} kr_gemm;

/* Bytes of one number of B; none if it is in blocks. */
static inline int64_t kr_gemm_b_bytes(const kr_gemm *g) { return (int64_t)kr_dtype_bytes(g->b_type); }

/* Bytes of scratch (64-byte aligned) that a product of at most these sizes needs, the
 * same for every instruction set. */
size_t kr_gemm_scratch(int64_t m, int64_t n, int64_t k, int n_threads);
/* The same for B of any type. */
size_t kr_gemm_scratch_for(kr_dtype b, int64_t m, int64_t n, int64_t k, int n_threads);

/* kr_gemm_blocks: what the first two do where B is in blocks.
 * kr_gemm_few: columns [j0, j1) on the calling thread, without scratch; for b_trans and not a_trans, B not in blocks,
 * and made for so few rows that the weights' way from memory is what lasts. */
#define KR_GEMM_DECLARE(isa)                                                          \
    void kr_gemm_all_##isa(const kr_gemm *g, void *scratch, int n_threads); /* threaded */ \
    void kr_gemm_one_##isa(const kr_gemm *g, void *scratch);                /* on the calling thread */ \
    void kr_gemm_blocks_##isa(const kr_gemm *g, void *scratch, int n_threads); \
    void kr_gemm_few_##isa(const kr_gemm *g, int64_t j0, int64_t j1);
KR_GEMM_DECLARE(baseline) KR_GEMM_DECLARE(avx2) KR_GEMM_DECLARE(avx512) KR_GEMM_DECLARE(neon)

/* For B in blocks: numbers of k in a thread's panel, and its columns, at most. */
enum { KR_GEMM_QK = 1024, KR_GEMM_QN = 32 };
/* What stands for 32 numbers of a row of A beside their eight bits each: the scale, scale times
 * their sum, and what the integer sums of either 16 start from. */
typedef struct kr_gemm_group { float d, sum; int32_t base[2]; } kr_gemm_group;

/* Blocking, shared by gemm.c and gemm_vec.c: what one thread keeps packed at a time. */
enum {
    KR_GEMM_KC = 256, /* of k in one block, at most */
    KR_GEMM_KK = 4,   /* blocks of k of B; C is fetched from memory once for all of them */
    KR_GEMM_MC = 128, /* rows of A */
    KR_GEMM_NC = 768, /* columns of B */
    KR_GEMM_MR = 16,  /* rows of the tallest register tile, or more */
    KR_GEMM_FEW = 16, /* rows up to which kr_gemm_few is quicker */
    KR_GEMM_FLIP = 16, /* so few columns may change sides with the rows */
};
/* Even blocks: k = 300 is 160 + 140, not 256 + 44. */
static inline int64_t kr_gemm_step(int64_t k) {
    int64_t blocks = (k + KR_GEMM_KC - 1) / KR_GEMM_KC;
    return ((k + blocks - 1) / blocks + 15) / 16 * 16;
}
static inline int64_t kr_gemm_least(int64_t a, int64_t b) { return a < b ? a : b; }
/* Columns that a thread takes at once of a product of few rows: some 64 KB of weights, and so few that all threads have
 * some to take. */
static inline int64_t kr_gemm_few_columns(int64_t m, int64_t n, int64_t row_bytes, int n_threads) {
    int64_t fit = 65536 / row_bytes / 32 * 32, share = n / (2 * n_threads) / 32 * 32;
    if (share < fit) fit = share;
    return fit >= 32 ? fit : m == 1 && n < 256 ? 16 : 32;
}
/* Floats of packed A (all of k when the rows fit one tile) and of packed B, for one thread. */
static inline int64_t kr_gemm_a_floats(int64_t m, int64_t k) {
    int64_t block = kr_gemm_least(m, KR_GEMM_MC) * kr_gemm_least(k, KR_GEMM_KC);
    int64_t strip = kr_gemm_least(m, KR_GEMM_MR) * k;
    return ((block > strip ? block : strip) + 31) / 16 * 16; /* 16 more: a last store may be a whole vector */
}
static inline int64_t kr_gemm_b_floats(int64_t n, int64_t k) {
    return (kr_gemm_least(n, KR_GEMM_NC) + 15) / 16 * 16 * kr_gemm_least(k, KR_GEMM_KK * KR_GEMM_KC);
}
static inline int64_t kr_gemm_floats(int64_t m, int64_t n, int64_t k) {
    int64_t plain = kr_gemm_a_floats(m, k) + kr_gemm_b_floats(n, k);
    int64_t flipped = n > KR_GEMM_FLIP ? 0 : kr_gemm_a_floats(n, k) + kr_gemm_b_floats(m, k);
    return plain > flipped ? plain : flipped;
}
#endif
