/* attention_tiles.h - how attention's kernels for CPUs cut their work, and the memory that takes. */
#ifndef KR_OPS_ATTENTION_TILES_H
#define KR_OPS_ATTENTION_TILES_H
#include "ops/attention/attention.h"
#include "ops/gemm.h"

enum { ATTENTION_ROWS = 64, ATTENTION_KEYS = 128 }; /* queries and keys of a tile */

static inline size_t attention_gemm_bytes(const attention_dims *d) {
    int64_t B = ATTENTION_ROWS, J = ATTENTION_KEYS;
    size_t scores = kr_gemm_scratch(B, J, d->P, 1), values = kr_gemm_scratch(B, d->P, J, 1), keys = kr_gemm_scratch(J, d->P, B, 1);
    size_t most = scores > values ? scores : values;
    return ((most > keys ? most : keys) + 63) / 64 * 64;
}
static inline int64_t attention_whole(int64_t floats) { return (floats + 15) / 16 * 16; }
/* A thread's: scores, sums of values; scores, their gradients, those of keys and values. */
static inline size_t attention_fwd_own(const attention_dims *d) {
    return attention_gemm_bytes(d) + (size_t)attention_whole(ATTENTION_ROWS * (ATTENTION_KEYS + d->P)) * sizeof(float);
}
static inline size_t attention_bwd_own(const attention_dims *d) {
    return attention_gemm_bytes(d) + (size_t)attention_whole(2 * ATTENTION_ROWS * ATTENTION_KEYS + 2 * ATTENTION_KEYS * d->P) * sizeof(float);
}
static inline size_t attention_fwd_bytes(const attention_dims *d, int n_threads) { return (size_t)n_threads * attention_fwd_own(d); }
/* Besides, y . dy of every step. */
static inline int64_t attention_dots(const attention_dims *d) { return attention_whole(d->S * d->H * d->L); }
static inline size_t attention_bwd_bytes(const attention_dims *d, int n_threads) {
    return (size_t)attention_dots(d) * sizeof(float) + (size_t)n_threads * attention_bwd_own(d);
}
#endif
