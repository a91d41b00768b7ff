/* to_float_test.c - what to_float is checked on: tails, several tiles, one row and many. */
#include "ops/op_test.h"

OP_TEST(to_float, .cases = {"*1 D1", "*3,2 D19", "*300 D64", "*2 D4099", "*1 D20000"})
