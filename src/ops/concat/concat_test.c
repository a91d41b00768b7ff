/* concat_test.c - what concat is checked on. */
#include "ops/op_test.h"

OP_TEST(concat, .cases = {"*1 A1 B1", "*3,2 A19 B4", "*5 A67 B35", "*300 A30 B67"})
