/* trapezoid_test.c - what trapezoid is checked on: one step, several documents, rates at their floor. */
#include "ops/op_test.h"

OP_TEST(trapezoid, .range = "A -3 3, trap -3 3, dt -4 1", .cases = {
        "S1 L1 H1 -seq_idx", "S2 L9 H19", "S3 L67 H5 -seq_idx", "S2 L150 H33", "S2 L9 H19 A_floor=.4 -seq_idx"})
