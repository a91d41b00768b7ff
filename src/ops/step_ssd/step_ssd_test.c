/* step_ssd_test.c - what step_ssd is checked on. */
#include "ops/op_test.h"

OP_TEST(step_ssd, .range = "A -4 -.1, dt -1 1", .cases = {
        "S1 L1 H1 P1 G1 N1",                     /* one of everything */
        "S3 L1 H4 P16 G2 N128",                  /* a round of 8 states a thread; shared groups */
        "S2 L1 H2 P64 G1 N64",                   /* two rounds */
        "S5 L1 H3 P64 G3 N128 dt_min=.5 dt_max=.9", /* four */
        "S2 L1 H2 P64 G1 N256 -w -D",            /* eight */
        "S2 L1 H3 P19 G1 N21 -dt_bias dt_softplus=0"}) /* no whole vectors */
