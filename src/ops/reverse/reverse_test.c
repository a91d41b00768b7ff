/* reverse_test.c - what reverse is checked on: with and without lengths, some of them beyond L or below 1. */
#include "ops/op_test.h"

OP_TEST(reverse, .range = "len -2 12", .cases = {"S1 L1 D1", "S1 L1 D1 -len", "S5 L7 D19", "S7 L10 D8", "S3 L9 D67 -len", "S6 L40 D130", "S4 L64 D300 -len"})
