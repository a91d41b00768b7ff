/* lti_scan_test.c - what lti_scan is checked on. */
#include "ops/op_test.h"

OP_TEST(lti_scan, .range = "log_dt -3 -.5, Are -2 -.1, Aim -4 4, seq_idx 0 2", .cases = {
        "S1 L1 D1 N1",                                                    /* one of everything */
        "S1 L1 D1 N1 -Aim -Bre -Bim -Cim -D -h0re -h0im -seq_idx",        /* real, nothing optional */
        "S2 L1 D37 N5 -seq_idx",                                          /* a decoding step, lanes and a tail */
        "S2 L9 D3 N4", "S2 L9 D3 N4 disc=1", "S1 L9 D3 N4 disc=2", "S1 L9 D3 N4 disc=3",
        "S1 L9 D3 N4 -Aim -Bim -Cim -h0im", "S1 L9 D3 N4 -Aim -Bim -Cim -h0im disc=1",
        "S1 L9 D3 N4 -Aim -Bim -Cim -h0im disc=2", "S1 L9 D3 N4 -Aim -Bim -Cim -h0im disc=3",
        "S2 L12 D19 N3 -Bre -Bim", "S2 L12 D19 N3 -Bre", "S2 L12 D19 N3 -Bim -Cim -h0im", /* B of one; parts absent */
        "S3 L150 D40 N3", "S2 L150 D33 N3 -Aim -Bim -Cim -h0im",          /* chunks, tiles, tails, sequences */
        "S1 L130 D5 N33 -h0re -D", "S1 L64 D16 N2 -seq_idx"})
