/* dropout_test.c - what dropout is checked on: rows that are no multiple of a drawn block.
 *
 * A row alone is not what it is among others, as its place decides its mask: hence the
 * leading axis of 1, which is the one that the checker takes rows from. */
#include "ops/op_test.h"

OP_TEST(dropout, .range = "key -2000000000 2000000000", .cases = {
        "*1 D1 K4 p=.5", "*1 D1 K4", "*1,6 D19 K4 p=.25", "*1,5 D67 K4 p=.9", "*4 D64 K4", "*1,300 D67 K4 p=.1",
        "*1,2 D4099 K4 p=.5"})
