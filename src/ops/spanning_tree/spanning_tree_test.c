/* spanning_tree_test.c - what spanning_tree is checked on; tests/check_tree.c has the tree's weight. */
#include "ops/op_test.h"

OP_TEST(spanning_tree, .cases = {"S1 L1 D1", "S2 L5 D19", "S2 L12 D3 width=4", "S1 L12 D7 width=1", "S3 L35 D33 width=7", "S2 L600 D20 width=30"})
