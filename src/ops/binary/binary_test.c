/* binary_test.c - what binary is checked on. */
#include "ops/op_test.h"

OP_TEST(binary, .cases = {
        "*1 D1", "*3,2 D19", "*300 D67", "*2 D4099", /* kind 0: add */
        "*1 D1 kind=1", "*3,2 D19 kind=1", "*300 D67 kind=1", "*2 D4099 kind=1",
        "*1 D1 kind=2", "*5 D67 kind=2"})
