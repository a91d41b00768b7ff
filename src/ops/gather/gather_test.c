/* gather_test.c - what gather is checked on: repeats, steps that nothing picks, none at all; lists without repeats
 * and their inverses. */
#include "ops/op_test.h"

OP_TEST(gather, .range = "idx -2 9", .cases = {
        "S1 L9 J1 D1 -back",
        "S1 L1 J1 D1 -back",
        "S2 L7 J5 D19 -back",       /* fewer than there are; a tail */
        "S2 L5 J20 D33 -back",      /* indices beyond L */
        "S3 L9 J40 D67 -back",      /* many repeats */
        "S4 L30 J100 D300 -back",   /* several blocks of columns, several threads' worth */
        "S1 L1 J1 D1", "S2 L13 J9 D19", "S2 L5 J8 D32", "S3 L40 J40 D67", "S4 L70 J64 D304"})
