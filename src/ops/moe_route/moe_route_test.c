/* moe_route_test.c - what moe_route is checked on: one expert, all of them, both gates with and
 * without a sum of one, a bias that changes the choice. */
#include "ops/op_test.h"

OP_TEST(moe_route, .range = "logits -4 4, bias -.5 .5", .cases = {
        "*1 X1 k=1", "*3 X4 k=2 -bias", "*2,3 X5 k=5 -bias", "*7 X37 k=3", "*5 X8 k=1 normalise=0 -bias",
        "*3 X19 k=4 normalise=0 scale=2.5", "*9 X16 k=2 gate=1", "*4 X67 k=8 gate=1 normalise=0 -bias",
        "*300 X64 k=6 gate=1 scale=.5", "*40 X19 k=3 bias_logits=1", "*40 X8 k=1 gate=1 normalise=0 bias_logits=1", "*300 X64 k=2"})
