/* selective_scan_test.c - what selective_scan is checked on. */
#include "ops/op_test.h"

OP_TEST(selective_scan, .range = "dt -1 1, dt_bias -8 0, A -2 -.05, z -2 2, seq_idx 0 2", .cases = {
        "S1 L1 D1 G1 N1",                                   /* one of everything */
        "S1 L1 D1 G1 N1 -D -z -dt_bias -h0 -seq_idx",       /* nothing optional */
        "S3 L1 D37 G1 N16 -seq_idx",                        /* a decoding step, lanes and a tail */
        "S2 L1 D6 G3 N19",                                  /* a step, groups, more states than lanes and a tail */
        "S2 L1 D96 G3 N16 -D", "S1 L1 D48 G2 N16",          /* a step in squares: groups of whole blocks, one that two share */
        "S2 L5 D6 G2 N5",                                   /* groups of a few channels */
        "S1 L6 D19 G19 N3 -dt_bias dt_softplus=0",                  /* B and C for every channel; plain dt */
        "S1 L67 D83 G1 N16 -seq_idx",                       /* whole vectors, a tail; one step into the second chunk */
        "S2 L150 D40 G2 N4 -h0",                            /* groups of 20: a block each, and a tail */
        "S1 L130 D150 G1 N2 -z -D",                         /* several blocks that share dB and dC */
        "S1 L66 D1050 G1 N1 -z -h0",                        /* more tiles than a band has, summed by several threads */
        "S1 L1600 D3 G1 N2 -seq_idx",                       /* long and thin: three segments of time */
        "S1 L1030 D17 G17 N1",                              /* the same with resets and groups of one */
        "S2 L1540 D3 G1 N2 -dt_bias -z -D dt_softplus=0",   /* decays of both signs: only the resets bound the segments */
        "S1 L5 D20 G1 N256 -dt_bias",                       /* many states */
        "S1 L9 D7 G1 N4 form=2", "S1 L70 D3 G1 N2 form=3", "S1 L4 D3 G1 N2 form=1"}) /* the other forms */
