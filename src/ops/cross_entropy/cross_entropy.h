/* cross_entropy.h - the slots and options of cross_entropy, in the order of its signature. */
#ifndef KR_OPS_CROSS_ENTROPY_H
#define KR_OPS_CROSS_ENTROPY_H
#include "ops/op.h"

enum { CROSS_ENTROPY_X, CROSS_ENTROPY_W, CROSS_ENTROPY_TARGETS };
enum { CROSS_ENTROPY_LOSS, CROSS_ENTROPY_NLL, CROSS_ENTROPY_LSE };
typedef struct cross_entropy_attr {
    double z_loss;
    int64_t v_valid;
} cross_entropy_attr;

static inline int64_t cross_entropy_columns(const kr_call *c) {
    int64_t v_valid = ((const cross_entropy_attr *)c->attr)->v_valid;
    return v_valid ? v_valid : KR_SIZE(c, 'V');
}
/* Row r's target, or -1 when it is not scored. */
static inline int64_t cross_entropy_target(const kr_call *c, int64_t r) {
    const kr_tensor *t = &c->in[CROSS_ENTROPY_TARGETS];
    int64_t id = ((const int32_t *)t->data)[r * t->pitch];
    return id >= 0 && id < cross_entropy_columns(c) ? id : -1;
}

#ifndef __cplusplus /* how the CPU's kernels cut the work */
/* Logits exist a slab at a time: at most `rows` tokens by `columns` of the vocabulary, 2 MiB.
 * Sums run slab by slab, so the sizes are fixed by V alone: not by threads, and not by the
 * number of tokens, which then do not feel each other. */
enum { CROSS_ENTROPY_COLUMNS = 1024, CROSS_ENTROPY_ROWS = 2048, CROSS_ENTROPY_SLAB = 512 * 1024 };
typedef struct cross_entropy_slab {
    int64_t rows, columns;
    int64_t ld; /* columns in whole vectors */
} cross_entropy_slab;
static inline cross_entropy_slab cross_entropy_slabs(const kr_call *c) {
    int64_t V = cross_entropy_columns(c);
    cross_entropy_slab s = {.columns = V < CROSS_ENTROPY_COLUMNS ? V : CROSS_ENTROPY_COLUMNS};
    s.ld = (s.columns + 15) / 16 * 16;
    s.rows = CROSS_ENTROPY_SLAB / s.ld < CROSS_ENTROPY_ROWS ? CROSS_ENTROPY_SLAB / s.ld : CROSS_ENTROPY_ROWS;
    return s;
}
/* Floats of scratch before the products' own: the slab, and some numbers for every token. */
enum { CROSS_ENTROPY_PER_TOKEN = 3 };
static inline int64_t cross_entropy_floats(const kr_call *c) {
    cross_entropy_slab s = cross_entropy_slabs(c);
    int64_t rows = c->rows < s.rows ? c->rows : s.rows;
    return rows * s.ld + (CROSS_ENTROPY_PER_TOKEN * c->rows + 15) / 16 * 16;
}
#endif
#endif
