/* moe_balance_test.c - what moe_balance is checked on: one expert, experts that nobody chose. */
#include "ops/op_test.h"

OP_TEST(moe_balance, .range = "logits -4 4, idx 0 X", .cases = {
        "*1 X1 K1 T1", "*3 X4 K2 -base", "*2,3 X5 K5 weight=.01 T1", "*7 X37 K3 T1", "*40 X19 K1 weight=3 -base", "*300 X64 K6 T1", "*1100 X7 K2 T1"})
