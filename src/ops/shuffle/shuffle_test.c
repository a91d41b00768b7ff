/* shuffle_test.c - what shuffle is checked on: one step, never, always, sometimes, more than a tile. */
#include "ops/op_test.h"

OP_TEST(shuffle, .range = "key -2000000000 2000000000", .cases = {"K4 n=1", "K4 n=7", "K4 n=300", "K4 n=300 p=.5", "K4 n=1000 p=0"})
