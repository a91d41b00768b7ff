/* gather_test.c - what gather is checked on: repeats, steps that nothing picks, none at all. */
#include "ops/op_test.h"

OP_TEST(gather, .range = "idx -2 9", .cases = {
        "S1 L9 J1 D1",
        "S1 L1 J1 D1",
        "S2 L7 J5 D19",       /* fewer than there are; a tail */
        "S2 L5 J20 D33",      /* indices beyond L */
        "S3 L9 J40 D67",      /* many repeats */
        "S4 L30 J100 D300"})  /* several blocks of columns, several threads' worth */
