/* pick_test.c - what pick is checked on: repeats, steps that nothing picks, indices outside. */
#include "ops/op_test.h"

OP_TEST(pick, .range = "idx -2 9", .cases = {
        "S1 L1 J1 D1",
        "S1 L9 J1 D3",
        "S2 L7 J5 D19",
        "S3 L9 J40 D67",          /* many repeats */
        "S2 L5 J20 D33",          /* indices beyond L */
        "S1 L1 J1 D1 into=1",
        "S2 L20 J20 D19 into=5",
        "S3 L40 J40 D67 into=9",
        "S2 L3 J3 D5 into=12",    /* steps that get nothing */
        "S4 L90 J100 D300",       /* several ranges of columns, several threads' worth */
        "S4 L100 J100 D300 into=30"})
