/* suppressed_scan_test.c - what suppressed_scan is checked on: decays on both sides of alpha, all above, all below. */
#include "ops/op_test.h"

OP_TEST(suppressed_scan, .range = "dt -1 1, dt_bias -4 1, A -2 -.05, seq_idx 0 2", .cases = {
        "S1 L1 D1 G1 N1", "S1 L1 D1 G1 N1 -D -dt_bias -h0 -seq_idx", "S3 L1 D37 G1 N16 -seq_idx", /* a decoding step */
        "S2 L5 D6 G2 N5", "S2 L7 D19 G19 N3 -dt_bias", "S1 L67 D83 G1 N16 -seq_idx alpha=.8", /* a tile and a tail; chunks and a tail */
        "S2 L33 D300 G2 N4 -h0 alpha=.3", "S1 L64 D130 G1 N2 -D alpha=0", "S2 L40 D70 G1 N3 alpha=1", "S1 L130 D150 G1 N7"})
