/* binary_row_test.c - what binary_row is checked on. */
#include "ops/op_test.h"

OP_TEST(binary_row, .cases = {
        "*1 D1", "*3,2 D19", "*5 D67", "*300 D67", /* kind 0: add */
        "*1 D1 kind=1", "*3,2 D19 kind=1", "*300 D67 kind=1",
        "*1 D1 kind=2", "*300 D67 kind=2", "*1100 D3 kind=1"})
