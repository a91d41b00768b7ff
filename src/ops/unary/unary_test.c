/* unary_test.c - what unary is checked on: each function, with tails and several tiles. */
#include "ops/op_test.h"

OP_TEST(unary, .range = "x -6 6", .cases = {
        "*1 D1", "*3,2 D19", "*300 D67", "*2 D4099", "*1 D20000", /* kind 0: silu */
        "*3 D67 kind=1", "*40 D500 kind=1",
        "*3 D67 kind=2", "*3 D67 kind=3", "*3 D67 kind=4", "*3 D67 kind=5", "*3 D67 kind=6", "*3 D67 kind=7",
        "*3 D67 kind=8", "*3 D67 kind=9", "*3 D67 kind=10 alpha=-2.5", "*1 D1 kind=10", "*3 D67 kind=11 alpha=7.5"})
