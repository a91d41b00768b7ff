/* groupnorm_test.c - what groupnorm is checked on. */
#include "ops/op_test.h"

OP_TEST(groupnorm, .cases = {
        "S1 L1 D1",
        "S1 L9 D1",
        "S1 L1 D6 groups=2",              /* layer normalisation of halves */
        "S2 L9 D5",                       /* instance normalisation */
        "S2 L7 D6 groups=1 -w -b",
        "S3 L5 D19 groups=1 eps=.1 -b",
        "S1 L80 D48 groups=6 -w",         /* more than one piece of steps */
        "S4 L130 D36 groups=12"})
