/* tree_scan_test.c - what tree_scan is checked on: chains, stars and forests come by chance. */
#include "ops/op_test.h"

OP_TEST(tree_scan, .range = "dt .05 .8, A -2 -.1, parent -1 L", .cases = {
        "S1 L1 D1 N1",
        "S2 L2 D3 N1",
        "S2 L9 D5 N3",
        "S1 L23 D19 N2 -D",
        "S2 L40 D7 N5",
        "S1 L17 D70 N2",       /* two blocks of channels */
        "S2 L5 D130 N1 -D"})
