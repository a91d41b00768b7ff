/* round8_test.c - what round8 is checked on: scales that cut something off and such that do not. */
#include "ops/op_test.h"

OP_TEST(round8, .range = "s 0.006 0.01", .cases = {"*1 D1 Z1", "*2,3 D19 Z1", "*5 D67 Z1", "*40 D512 Z1"})
