/* binary_row.c - sum, product or difference of every row with one vector. */
#include "ops/binary_row/binary_row.h"

#include "ops/rows.h"

KR_REF_DECLARE(binary_row_fwd);
KR_REF_DECLARE(binary_row_bwd);
KR_VEC_DECLARE(binary_row_fwd);
KR_VEC_DECLARE(binary_row_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(binary_row_attr, kind, 0, "0: a + b, 1: a b, 2: a - b"),
    KR_ATTR_END,
};

static kr_status binary_row_plan(kr_call *c) {
    int64_t kind = ((const binary_row_attr *)c->attr)->kind;
    if (kind < 0 || kind >= KR_N_BINARY_ROW)
        KR_FAIL(KR_ERR_ARG, "binary_row: kind is %lld, want 0 to %d", (long long)kind, KR_N_BINARY_ROW - 1);
    c->bwd_scratch = rows_part_bytes(c->rows, KR_SIZE(c, 'D')); /* db */
    return KR_OK;
}

const kr_op kr_op_binary_row = {
    .name = "binary_row",
    .sig = "a:*D b:D@f -> y:*D",
    .about = "sum, product or difference of every row with one vector (kind)",
    .attr_bytes = sizeof(binary_row_attr),
    .attrs = attrs,
    .plan = binary_row_plan,
    .fwd = {[KR_REF] = binary_row_fwd_ref_f32, KR_VEC_IMPLS(binary_row_fwd)},
    .bwd = {[KR_REF] = binary_row_bwd_ref_f32, KR_VEC_IMPLS(binary_row_bwd)},
    .fwd_f64 = binary_row_fwd_ref_f64,
    .bwd_f64 = binary_row_bwd_ref_f64,
    .bwd_in = 1 << BINARY_ROW_A | 1 << BINARY_ROW_B, /* the product's; the others read neither */
};
