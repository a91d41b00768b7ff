/* rmsnorm_test.c - what rmsnorm is checked on. */
#include "ops/op_test.h"

OP_TEST(rmsnorm, .range = "w .5 1.5", .cases = {
        "*1 D1 eps=.5",    /* one of everything; a tiny eps would cancel dx away */
        "*3,2 D19",        /* a tail, two leading axes */
        "*5 D67 eps=.5",   /* several whole vectors, then a tail; a large eps */
        "*4 D8 -w",        /* no weight */
        "*300 D67",        /* several blocks of rows, several threads' worth */
        "*1100 D3"})       /* blocks of more than 16 rows */
