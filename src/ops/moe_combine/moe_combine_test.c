/* moe_combine_test.c - what moe_combine is checked on. */
#include "ops/op_test.h"

OP_TEST(moe_combine, .cases = {"*1 K1 D1", "*2,3 K2 D19", "*5 K8 D67", "*3 K3 D1100", "*300 K2 D65"})
