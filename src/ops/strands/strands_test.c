/* strands_test.c - what strands is checked on: with and without lengths, some beyond L or below 1; ids outside the map. */
#include "ops/op_test.h"

OP_TEST(strands, .range = "ids -1 9, map 0 V, len -2 12", .cases = {"S1 L1 V1", "S1 L1 V8 -len", "S5 L7 V8", "S7 L10 V4", "S3 L9 V8 -len"})
