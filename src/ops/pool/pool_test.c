/* pool_test.c - what pool is checked on: every kind with and without lengths, some of them
 * beyond L or below 1; more steps than one partial sum. */
#include "ops/op_test.h"

OP_TEST(pool, .range = "len -2 12", .cases = {
        "S1 L1 D1 -len", "S5 L7 D19", "S3 L9 D67 -len", "S4 L200 D67 -len", "S6 L100 D130", /* kind 0: mean */
        "S1 L1 D1 -len kind=1", "S5 L7 D19 kind=1", "S3 L9 D67 kind=1 -len", "S4 L200 D67 kind=1 -len",
        "S5 L7 D19 kind=2", "S3 L9 D67 kind=2 -len",
        "S5 L7 D19 kind=3", "S3 L130 D67 kind=3 -len",
        "S5 L7 D19 kind=4", "S3 L9 D67 kind=4 -len"})
