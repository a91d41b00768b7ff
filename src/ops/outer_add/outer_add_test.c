/* outer_add_test.c - what outer_add is checked on. */
#include "ops/op_test.h"

OP_TEST(outer_add, .cases = {"S1 H1 P1 N1", "S2 H3 P5 N19", "S3 H5 P32 N16", "S1 H2 P3 N130"})
