/* ssd_test.c - what ssd is checked on: the edges of its chunks, lanes and groups. */
#include "ops/op_test.h"

/* dA and ddt_bias sum terms of both signs over all steps.  They cancel; the errors of the
 * states they are made of, stored in bfloat16, need not. */
OP_TEST(ssd, .range = "dt -3 1, A -4 -.2, seq_idx 0 3", .tol_param_bf16 = 8e-3, .cases = {
        "S1 L1 H1 P1 G1 N1",                                              /* one of everything */
        "S1 L1 H1 P1 G1 N1 -D -Dhp -dt_bias -h0 -seq_idx",                /* nothing optional */
        "S2 L1 H6 P19 G2 N37 -Dhp -seq_idx",                              /* a decoding step */
        "S1 L2 H2 P3 G1 N5 chunk_size=3 -seq_idx",                        /* around a chunk: below, */
        "S1 L3 H2 P3 G1 N5 chunk_size=3 -D -seq_idx",                     /* at, */
        "S1 L4 H2 P3 G1 N5 chunk_size=3 -D -Dhp -seq_idx",                /* one more, */
        "S1 L7 H2 P3 G2 N5 chunk_size=3 -h0 -seq_idx",
        "S1 L8 H2 P3 G1 N5 chunk_size=3 dt_softplus=0 dt_min=.2 dt_max=.7", /* clamped on both sides */
        "S2 L9 H4 P3 G2 N5 chunk_size=1 -dt_bias",                        /* a chunk of one */
        "S2 L41 H4 P5 G2 N19 chunk_size=8 dt_min=.1 dt_max=.9 -Dhp",      /* sequences packed in a row */
        "S1 L24 H5 P6 G1 N16 -dt_bias",                                   /* as many steps as the recurrence takes, */
        "S1 L25 H20 P6 G1 N16",                                           /* one more; many heads of one group */
        "S2 L103 H2 P3 G1 N5 chunk_size=1 -Dhp -seq_idx",                 /* backward in several stretches */
        "S1 L199 H2 P3 G2 N5 chunk_size=3 -D",
        "S1 L33 H3 P17 G1 N67 -seq_idx -D",                               /* whole vectors, then a tail */
        "S2 L200 H2 P8 G1 N16 -Dhp -seq_idx",                             /* several chunks, as chosen */
        "S1 L200 H2 P35 G1 N16 -Dhp -dt_bias",
        "S2 L150 H3 P64 G1 N64 -Dhp",                                     /* sizes that a GPU's tensor cores take, */
        "S1 L130 H4 P64 G2 N128 -Dhp -h0 -seq_idx",
        "S1 L70 H2 P128 G1 N72 -Dhp -D",
        "S1 L4170 H1 P64 G1 N8 -Dhp -dt_bias -seq_idx",                   /* ... in more than one segment, */
        "S1 L80 H3 P32 G1 N40 dt_max=.6",                                 /* and those of older ones */
        "S1 L260 H2 P16 G2 N32 chunk_size=256 -Dhp -h0 -seq_idx"}) /* a chunk larger than most choose */
