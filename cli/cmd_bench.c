/* cmd_bench.c - krait bench. */
#include "cli.h"

int cmd_bench(int argc, char **argv) {
    (void)argc, (void)argv;
    return misuse("bench", "is not there yet");
}
