/* sinkhorn_test.c - what sinkhorn is checked on: one expert, one row, few rounds and many, several blocks of rows.
 *
 * A row alone is not what it is among others: hence the leading axis of 1, which the checker takes rows from. */
#include "ops/op_test.h"

OP_TEST(sinkhorn, .range = "logits -4 4", .cases = {"*1 X1", "*1 X5", "*1,7 X4 rounds=1", "*1,19 X37", "*1,300 X64 rounds=3", "*1,500 X8 rounds=20"})
