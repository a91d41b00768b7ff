/* add_rmsnorm_test.c - what add_rmsnorm is checked on. */
#include "ops/op_test.h"

OP_TEST(add_rmsnorm, .range = "w .5 1.5", .cases = {
        "*1 D1",            /* one of everything */
        "*3,2 D19",         /* a tail, two leading axes */
        "*5 D67 eps=.5",    /* several whole vectors, then a tail; a large eps */
        "*4 D8 -res",       /* the first norm of a stream */
        "*4 D21 -w",
        "*3 D33 -w -res",
        "*300 D67",         /* several blocks of rows, several threads' worth */
        "*1100 D3"})        /* blocks of more than 16 rows */
