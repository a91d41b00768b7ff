/* lstm_test.c - what lstm is checked on: one of everything, documents, states given, a vector and a tail. */
#include "ops/op_test.h"

OP_TEST(lstm, .range = "x -2 2, seq_idx 0 3", .cases = {
        "S1 L1 D4 H1", "S1 L1 D4 H1 -h0 -c0 -seq_idx", "S2 L9 D76 H19", "S3 L5 D132 H33 -h0 -seq_idx",
        "S1 L37 D20 H5 -c0", "S5 L23 D68 H17 -seq_idx", "S2 L6 D28 H7 W@bf16", "S40 L3 D36 H9 -h0 -c0", "S34 L4 D280 H70 -seq_idx"})
