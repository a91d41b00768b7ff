/* conv1d_test.c - what conv1d is checked on. */
#include "ops/op_test.h"

OP_TEST(conv1d, .range = "seq_idx 0 2", .cases = {
        "S1 L1 D1 K2 J1",                    /* one of everything */
        "S2 L19 D19 K4 J3",                  /* a tail; runs of every length */
        "S3 L2 D5 K4 J3",                    /* fewer steps than carried inputs */
        "S2 L1 D33 K8 J7",                   /* one step, the most taps */
        "S3 L1 D1557 K4 J3",                 /* one step of four taps: whole vectors, a tail, several threads */
        "S2 L1 D37 K4 J3 -x0 -b silu=0",
        "S2 L40 D7 K8 J7 -seq_idx",          /* one run */
        "S1 L30 D7 K3 J2 -b -x0",
        "S2 L11 D6 K4 J3 -x0 -seq_idx",      /* as at the start of training */
        "S1 L2 D6 K5 J4 -x0",                /* zeros reach x1 */
        "S2 L23 D12 K4 J3 silu=0",
        "S1 L300 D60 K4 J3",                 /* units that meet inside a sequence */
        "S2 L259 D5 K2 J1 -seq_idx",
        "S1 L20 D1030 K4 J3 -b",             /* strips of channels, the last one short */
        "S2 L77 D132 K4 J3 -seq_idx",        /* one run, aligned: chunks and a tail, strips of channels */
        "S1 L66 D8 K4 J3 -x0 -seq_idx",      /* fewer steps in the last chunk than taps reach over */
        "S300 L3 D19 K4 J3"})                /* several short sequences a group */
