/* linear_test.c - what linear is checked on. */
#include "ops/op_test.h"

OP_TEST(linear, .cases = {
        "*1 K1 N1 Z1",               /* one of everything */
        "*1 K300 N37 Z1",            /* a single row: the path of decoding */
        "*2,3 K19 N5 -b -s",         /* two leading axes, tails, no bias */
        "*33 K70 N131 -s",           /* several tiles and tails every way */
        "*40 K400 N66 W@bf16 -s",    /* bfloat16 weights, more than one block of K */
        "*5 K35 N400 W@bf16 -s",     /* a few rows; more than one block of N in dx */
        "*300 K8 N33 -s",            /* several blocks of rows, a small K */
        "*2100 K5 N3 -s",            /* the rows' blocks grow */
        "*3100 K131 N129 -s"})       /* so many that a GPU cuts dW's sums over rows in parts */
