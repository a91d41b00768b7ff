/* rope_test.c - what rope is checked on: both pairings, some or all numbers, positions that go on. */
#include "ops/op_test.h"

OP_TEST(rope, .range = "n0 0 5000, seq_idx 0 3", .cases = {
        "S1 L1 H1 P1", "S1 L1 H1 P2 -n0 -seq_idx",
        "S2 L5 H3 P19", "S2 L5 H3 P19 interleaved=1 -seq_idx",
        "S1 L7 H2 P16 dims=6 -n0", "S1 L7 H2 P16 dims=6 interleaved=1 theta=500000",
        "S2 L33 H4 P64 -n0 -seq_idx", "S2 L33 H4 P64 interleaved=1 -n0 -seq_idx", "S1 L300 H3 P70 dims=68 theta=100 -seq_idx"})
