/* embedding_test.c - what embedding is checked on: ids that repeat, and ids off both ends. */
#include "ops/op_test.h"

OP_TEST(embedding, .range = "ids -2 12", .cases = {
        "S1 L1 V12 D1",           /* one of everything */
        "S2 L5 V9 D19",           /* ids beyond V; a tail */
        "S3 L40 V10 D67",         /* many repeats */
        "S2 L7 V12 D33 W@bf16",
        "S4 L300 V11 D67",        /* several threads' worth */
        "S1 L600 V3 D200"})
