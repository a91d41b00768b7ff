/* op_test.h - how an op states its test cases; tests/check_ops.c runs them all.
 *
 * A case is words: "S2" gives the axis S its size, "*3,2" the leading axes, "eps=.5" an
 * option, "-w" leaves an optional input out, "W@bf16" stores a weight in bfloat16
 * (the double reference gets the same rounded values as doubles).  Optional inputs are
 * there otherwise.
 *
 * `range` is "name lo hi, ..." for inputs not drawn from [-1, 1]; a bound may be an axis
 * letter: "ids 0 V" draws integers in [0, V).  An input
 * named seq_idx is drawn sorted along its last axis, as packed sequences are; one named order as a
 * permutation; one named back as the inverse of idx, which then has no repeats. */
#ifndef KR_OPS_OP_TEST_H
#define KR_OPS_OP_TEST_H
#include "ops/op.h"

typedef struct kr_op_test {
    const kr_op *op;
    const char *range;
    double tol_fwd, tol_bwd;  /* relative RMS against double; 0: 1e-5.  Looser needs a reason on its line */
    double tol_bf16;          /* the same where activations are bfloat16; 0: 3e-3 */
    double tol_param_bf16;    /* of gradients of float32 inputs beside bfloat16 ones, on a GPU; 0: 3e-3, as all there */
    const char *cases[40];
} kr_op_test;

#define OP_TEST(op_name, ...) extern const kr_op kr_op_##op_name; const kr_op_test kr_test_##op_name = {.op = &kr_op_##op_name, __VA_ARGS__};
#endif
