/* binary.c - sum, product or difference of two tensors of one shape. */
#include "ops/binary/binary.h"

KR_REF_DECLARE(binary_fwd);
KR_REF_DECLARE(binary_bwd);
KR_VEC_DECLARE(binary_fwd);
KR_VEC_DECLARE(binary_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(binary_attr, kind, 0, "0: a + b, 1: a b, 2: a - b"),
    KR_ATTR_END,
};

static kr_status binary_plan(kr_call *c) {
    int64_t kind = ((const binary_attr *)c->attr)->kind;
    if (kind < 0 || kind >= KR_N_BINARY)
        KR_FAIL(KR_ERR_ARG, "binary: kind is %lld, want 0 to %d", (long long)kind, KR_N_BINARY - 1);
    return KR_OK;
}

const kr_op kr_op_binary = {
    .name = "binary",
    .sig = "a:*D b:*D -> y:*D",
    .about = "sum, product or difference, element by element (kind)",
    .attr_bytes = sizeof(binary_attr),
    .attrs = attrs,
    .plan = binary_plan,
    .fwd = {[KR_REF] = binary_fwd_ref_f32, KR_VEC_IMPLS(binary_fwd)},
    .bwd = {[KR_REF] = binary_bwd_ref_f32, KR_VEC_IMPLS(binary_bwd)},
    .fwd_f64 = binary_fwd_ref_f64,
    .bwd_f64 = binary_bwd_ref_f64,
    .bwd_in = 1 << BINARY_A | 1 << BINARY_B, /* the product's; the others read neither */
};
