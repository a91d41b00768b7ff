/* slice_test.c - what slice is checked on: from the start, from the middle, to the end, all. */
#include "ops/op_test.h"

OP_TEST(slice, .cases = {
        "*1 A1", "*3,2 A19 start=3 width=7", "*5 A67 start=1", "*5 A67 width=40", "*4 A40 start=-5", "*4 A40 start=-5 width=2",
        "*300 A90 start=10 width=67"})
