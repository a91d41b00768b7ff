/* layernorm_test.c - what layernorm is checked on.
 *
 * With D = 1 dx is 0 in exact arithmetic; a weight would leave the rounding of dy w there. */
#include "ops/op_test.h"

OP_TEST(layernorm, .range = "w .5 1.5", .cases = {
        "*1 D1 -w",        /* one of everything */
        "*1 D2 eps=.5",     /* two columns are +-1 but for eps */
        "*3,2 D19",        /* a tail, two leading axes */
        "*5 D67 eps=.5",   /* several whole vectors, then a tail; a large eps */
        "*4 D8 -w",
        "*4 D21 -b",
        "*3 D33 -w -b",
        "*300 D67",        /* several blocks of rows, several threads' worth */
        "*1100 D3"})       /* blocks of more than 16 rows */
