/* step_in_test.c - what step_in is checked on. */
#include "ops/op_test.h"

OP_TEST(step_in, .range = "q .1 2", .cases = {
        "S1 L1 K1 J1 N1 D1 T4 U3",                     /* one of everything */
        "S2 L1 K32 J2 N20 D16 T4 U3 conv_at=4",        /* a step of 32 along K; columns before */
        "S3 L1 K96 J5 N53 D32 T4 U3 conv_at=16",       /* three of them, a tail of columns behind */
        "S9 L1 K256 J16 N40 D8 T4 U3 conv_at=30 -b",   /* more rows than one product takes; all warps */
        "S17 L1 K2048 J40 N48 D48 T4 U3 -cb",          /* weights that come while others are used */
        "S40 L1 K64 J3 N17 D5 T4 U3 conv_at=12 -q",    /* no scale */
        "S3 L1 K19 J2 N7 D3 T4 U3 conv_at=2"})         /* no whole vectors */
