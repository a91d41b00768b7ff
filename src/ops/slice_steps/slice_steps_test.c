/* slice_steps_test.c - what slice_steps is checked on: first, middle and last steps, all. */
#include "ops/op_test.h"

OP_TEST(slice_steps, .cases = {
        "S1 L1 D1", "S2 L7 D19 start=2 count=3", "S3 L9 D67 start=-1", "S3 L9 D33 start=-4 count=2", "S2 L5 D4 count=1",
        "S4 L100 D67 start=10 count=80"})
