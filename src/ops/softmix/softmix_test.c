/* softmix_test.c - what softmix is checked on: one candidate, more than a tile of E, scores far apart. */
#include "ops/op_test.h"

OP_TEST(softmix, .range = "a -6 6", .cases = {"*1 K1 E1", "*3 K2 E19", "*5 K4 E67", "*2 K8 E4100", "*1 K64 E33", "*4 K3 E5000"})
