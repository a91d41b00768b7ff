/* expert_linear_test.c - what expert_linear is checked on: experts that nobody chose, rows that
 * chose one twice or none, more rows of an expert than one product takes. */
#include "ops/op_test.h"

OP_TEST(expert_linear, .range = "idx -1 X", .cases = {
        "*1 X1 K1 N1 D1", "*1 X8 K2 N33 D70", "*2,3 X4 K2 N19 D5", "*40 X5 K3 N67 D130", "*33 X3 K1 N131 D66 W@bf16",
        "*7 X16 K2 N65 D300 W@bf16", "*700 X2 K2 N17 D9"})
