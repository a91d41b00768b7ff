/* mse_test.c - what mse is checked on. */
#include "ops/op_test.h"

OP_TEST(mse, .cases = {"*1 D1", "*3,2 D19", "*5 D67", "*300 D67", "*1100 D3", "*1 D9001"})
