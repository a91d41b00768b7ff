/* scale_heads_test.c - what scale_heads is checked on. */
#include "ops/op_test.h"

OP_TEST(scale_heads, .cases = {"S1 L1 H1 P1", "S2 L9 H3 P19", "S3 L67 H5 P32", "S1 L300 H2 P130"})
