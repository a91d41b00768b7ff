/* cross_entropy_test.c - what cross_entropy is checked on. */
#include "ops/op_test.h"

OP_TEST(cross_entropy, .range = "targets -1 V, x -40 40",
    .tol_bf16 = 4e-3, /* gradients of logits are rounded before they are summed, and some sums cancel: 3.4e-3 seen */
    .cases = {
        "*1 K1 V1",                                /* one of everything */
        "*3,4 K5 V3",                              /* some targets are -1 */
        "*7 K19 V37 z_loss=.1",                    /* tails */
        "*6 K40 V50 v_valid=33 z_loss=.01",        /* padding, and targets in it */
        "*6 K40 V50 v_valid=32 W@bf16",
        "*1 K8 V1030 z_loss=.5",                   /* one token, two slabs of the vocabulary */
        "*5 K4 V2100 v_valid=2065 W@bf16",
        "*4100 K1 V2",                             /* slabs of tokens, the last one short */
        "*9 K4 V1025 z_loss=.1",                   /* the next slab far above or below the last */
        "*2 K3 V900 v_valid=1",                    /* targets are padding: none is scored */
        "*300 K48 V70"})                           /* work for several threads */
