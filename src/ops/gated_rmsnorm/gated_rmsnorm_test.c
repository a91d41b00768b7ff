/* gated_rmsnorm_test.c - what gated_rmsnorm is checked on.
 *
 * A group of one column has y = +-w but for eps: a large one, or dx is all cancellation. */
#include "ops/op_test.h"

OP_TEST(gated_rmsnorm, .range = "w .5 1.5, z -3 3", .cases = {
        "*1 D1 eps=.5",                         /* one of everything */
        "*3,2 D19",                             /* a tail, two leading axes */
        "*5 D67 eps=.5",                        /* several whole vectors, then a tail; a large eps */
        "*3 D38 group_size=19",                 /* groups with a tail */
        "*2 D6 group_size=1 eps=.5",
        "*4 D21 -w",
        "*1 D1 norm_before_gate=1 eps=.5",
        "*3 D67 norm_before_gate=1 eps=.01",
        "*2 D57 group_size=19 norm_before_gate=1 -w",
        "*300 D66 group_size=33",               /* several blocks of rows, several threads' worth */
        "*300 D66 norm_before_gate=1",
        "*7 D1024 group_size=512",              /* whole runs of 512 columns, one and two a group */
        "*5 D1024 -w",
        "*1100 D4 group_size=2"})               /* blocks of more than 16 rows */
