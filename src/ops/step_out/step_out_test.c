/* step_out_test.c - what step_out is checked on. */
#include "ops/op_test.h"

OP_TEST(step_out, .range = "q .1 2", .cases = {
        "S1 L1 K1 J1 N1",                        /* one of everything */
        "S2 L2 K32 J2 N20",                      /* rows of two sequences */
        "S9 L1 K256 J8 N53 groups=4",            /* groups of two warps each; a tail of columns */
        "S3 L1 K512 J24 N32 groups=8 -res",
        "S17 L1 K2048 J40 N48 -b",               /* weights that come while others are used */
        "S40 L1 K64 J3 N17 -q -w",               /* no scale, no weight */
        "S3 L1 K21 J6 N7 groups=3"})             /* no whole vectors */
