/* strands.c - see strands.h. */
#include "parts/strands.h"

#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/slice_steps/slice_steps.h"

int64_t kr_rows(const kr_build *b) { return b->complement ? b->S / 2 : b->S; }

/* The vectors of one strand, [rows, L, M], as it is read. */
static kr_node *strand(kr_build *b, kr_node *x, int which) {
    int64_t L = kr_node_dim(x, 1);
    slice_steps_attr part = {.start = which * L, .count = L};
    return KR_APPLY(b->g, slice_steps, &part, kr_reshape(b->g, x, 3, KR_DIMS(b->S / 2, 2 * L, kr_node_dim(x, 2))));
}

kr_node *kr_pooled(kr_build *b, int kind, bool lengths, kr_node *x) {
    pool_attr a = {.kind = kind};
    kr_node *len = b->len ? b->len : lengths ? kr_input(b->g, "len", KR_I32, 1, KR_DIMS(b->S)) : NULL;
    if (!b->complement) return KR_APPLY(b->g, pool, &a, x, len);
    kr_node *one = KR_APPLY(b->g, pool, &a, strand(b, x, 0), len), *other = KR_APPLY(b->g, pool, &a, strand(b, x, 1), len);
    return kr_scale(b, kr_add(b, one, other), 0.5);
}

kr_node *kr_beside(kr_build *b, kr_node *x) {
    kr_node *other = KR_APPLY(b->g, reverse, NULL, strand(b, x, 1), b->len);
    return KR_APPLY(b->g, concat, NULL, strand(b, x, 0), other);
}
