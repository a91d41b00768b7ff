/* rank_mix_test.c - what rank_mix is checked on. */
#include "ops/op_test.h"

OP_TEST(rank_mix, .cases = {"S1 L1 R1 H1 P1 N1", "S2 L5 R2 H3 P19 N8", "S1 L7 R4 H2 P64 N33", "S2 L40 R3 H5 P6 N10", "S1 L3 R16 H2 P5 N20"})
