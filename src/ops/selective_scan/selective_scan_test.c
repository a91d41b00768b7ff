/* selective_scan_test.c - what selective_scan is checked on. */
#include "ops/op_test.h"

OP_TEST(selective_scan, .range = "dt -1 1, dt_bias -8 0, A -2 -.05, z -2 2, seq_idx 0 2", .cases = {
        "S1 L1 D1 G1 N1",                                   /* one of everything */
        "S1 L1 D1 G1 N1 -D -z -dt_bias -h0 -seq_idx -order", /* nothing optional */
        "S3 L1 D37 G1 N16 -seq_idx -order",                 /* a decoding step, lanes and a tail */
        "S2 L1 D6 G3 N19 -order",                           /* a step, groups, more states than lanes and a tail */
        "S2 L1 D96 G3 N16 -D -order", "S1 L1 D48 G2 N16 -order", /* a step in squares: groups of whole blocks, one that two share */
        "S2 L5 D6 G2 N5 -order",                            /* groups of a few channels */
        "S1 L6 D19 G19 N3 -dt_bias dt_softplus=0 -order",   /* B and C for every channel; plain dt */
        "S1 L67 D83 G1 N16 -seq_idx -order",                /* whole vectors, a tail; one step into the second chunk */
        "S2 L150 D40 G2 N4 -h0 -order",                     /* groups of 20: a block each, and a tail */
        "S1 L130 D150 G1 N2 -z -D -order",                  /* several blocks that share dB and dC */
        "S1 L66 D1050 G1 N1 -z -h0 -order",                 /* more tiles than a band has, summed by several threads */
        "S1 L1600 D3 G1 N2 -seq_idx -order",                /* long and thin: three segments of time */
        "S1 L1030 D17 G17 N1 -order",                       /* the same with resets and groups of one */
        "S2 L1540 D3 G1 N2 -dt_bias -z -D dt_softplus=0 -order", /* decays of both signs: only the resets bound the segments */
        "S1 L5 D20 G1 N256 -dt_bias -order",                /* many states */
        "S1 L9 D7 G1 N4 form=2 -order", "S1 L70 D3 G1 N2 form=3 -order", "S1 L4 D3 G1 N2 form=1 -order", /* the other forms */
        /* steps by a list: */
        "S2 L5 D6 G2 N5", "S1 L9 D7 G1 N4 form=2", "S1 L70 D3 G1 N2 form=3", /* with resets between steps */
        "S1 L67 D83 G1 N16 -seq_idx",                       /* a tail of channels, one of steps */
        "S1 L7 D19 G19 N3 -dt_bias dt_softplus=0",          /* B and C for every channel */
        "S1 L66 D1050 G1 N1 -z -h0",                        /* parts of dB that bands leave to each other */
        "S2 L1030 D3 G1 N2 -z -D",                          /* segments of time */
        "S2 L176 D64 G2 N16 -seq_idx", "S1 L544 D32 G1 N16 -seq_idx -h0", /* on a GPU: whole tiles; segments */
        "S2 L176 D64 G2 N16 -seq_idx -z", "S1 L96 D32 G1 N16 -seq_idx -z -order", /* without a gate, as in ss2d */
        "S3 L77 D40 G1 N16 -seq_idx -z",                    /* there: 16 bytes at a time, tails */
        "S1 L40 D8 G1 N40 -z", "S1 L19 D9 G1 N130"})        /* there: the kernels for more states */
