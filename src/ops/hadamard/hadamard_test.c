/* hadamard_test.c - what hadamard is checked on: powers of two within and beyond a vector, Paley's matrices, alone and times powers. */
#include "ops/op_test.h"

OP_TEST(hadamard, .cases = {"*1 D1", "*3 D2", "*2,3 D4", "*5 D8", "*5 D16", "*3 D32", "*40 D512", "*2 D12", "*3 D20", "*2 D24", "*3 D96", "*5 D1536", "*2 D88"})
