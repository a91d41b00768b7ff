/* glu_test.c - what glu is checked on: each function, with tails and several tiles. */
#include "ops/op_test.h"

OP_TEST(glu, .range = "gate -6 6", .cases = {
        "*1 D1", "*3,2 D19", "*300 D67", "*2 D4099", "*1 D20000", /* kind 0: silu */
        "*3 D67 kind=1", "*40 D500 kind=1", "*3 D67 kind=2", "*3 D67 kind=3", "*3 D67 kind=4", "*1 D1 kind=4"})
