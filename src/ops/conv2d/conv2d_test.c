/* conv2d_test.c - what conv2d is checked on. */
#include "ops/op_test.h"

OP_TEST(conv2d, .cases = {
        "S1 L1 D1 K1",
        "S1 L1 D3 K9",                          /* nothing but the middle tap counts */
        "S2 L12 D5 K9 width=4",
        "S2 L35 D19 K9 width=7 -b",             /* odd sides, a tail */
        "S1 L35 D6 K25 width=5 stride=2",
        "S2 L30 D17 K4 width=6 stride=2",       /* windows side by side */
        "S1 L33 D4 K4 width=3 stride=2",        /* ... and the last over the edge */
        "S1 L9 D7 K49 width=3",                 /* windows larger than the picture */
        "S1 L8 D2 K9",                          /* one row */
        "S1 L24 D5 K9 width=6 stride=3 -b",
        "S1 L40 D3 K225 width=8",               /* the most taps */
        "S3 L300 D35 K9 width=15"})             /* several blocks of rows, several threads' worth */
