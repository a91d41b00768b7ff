/* suppress_test.c - what suppress is checked on: decays on both sides of alpha, all above it, step sizes cut. */
#include "ops/op_test.h"

OP_TEST(suppress, .range = "dt -3 2, A -3 -.1", .cases = {
        "S1 L1 H1 P1", "S1 L1 H1 P1 -D -dt_bias", "S2 L9 H3 P19", "S3 L67 H5 P33 -D alpha=.8", "S1 L300 H2 P130 -dt_bias",
        "S2 L9 H3 P19 alpha=0", "S2 L21 H7 P5 dt_min=.3 dt_max=.9", "S1 L1200 H3 P4"})
