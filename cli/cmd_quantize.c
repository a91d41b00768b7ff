/* cmd_quantize.c - krait quantize: a model whose matrices are rounded in blocks. */
#include <getopt.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: krait quantize MODEL OUT --format FORMAT\n\n"
    "Writes the model to the new folder OUT with its matrices rounded, so that it takes less memory\n"
    "and, as a CPU's speed is mostly that of reading weights, runs faster.  OUT is used like any\n"
    "model:  krait generate OUT, krait eval OUT FILE.\n\n"
    "  -f, --format FORMAT   how matrices are stored:\n\n"
    "      format     bits a weight   what it costs\n"
    "      q8_0             8.5       next to nothing: the format to take first\n"
    "      q6_k             6.6       very little\n"
    "      q4_k             4.5       a percent or so of the loss; half of q8_0's bytes\n"
    "      q4_0             4.5       more than q4_k; for rows that are no multiple of 256\n"
    "      bfloat16        16         three digits a weight; what most models are published in\n"
    "      float16         16         four digits a weight\n\n"
    "What is no matrix stays float32: decay rates, skip weights, biases, norms, convolutions; so do all\n"
    "states.  In q4_k and q4_0 the table of tokens and the head take 6.6 bits, as every token passes\n"
    "through them.  A matrix whose rows do not divide into blocks (of 256 numbers for q4_k and q6_k, else\n"
    "of 32) takes the next format that fits, at last float16.  Scales are those of the least squared\n"
    "error; no data is needed.  To see what a format costs on your text:\n\n"
    "  krait eval MODEL text.txt; krait eval OUT text.txt\n";

int cmd_quantize(int argc, char **argv) {
    static const struct option options[] = {{"format", 1, NULL, 'f'}, {"help", 0, NULL, 'h'}, {0}};
    const char *format = NULL;
    for (int c; (c = getopt_long(argc, argv, "f:h", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'f') format = strcmp(optarg, "bf16") == 0 ? "bfloat16" : strcmp(optarg, "f16") == 0 ? "float16" : optarg;
        else return misuse("quantize", "wrong option");
    }
    if (argc - optind != 2 || !format) return misuse("quantize", "want a model, a new folder and --format");
    return kr_model_convert(argv[optind], argv[optind + 1], format) == KR_OK ? 0 : fail();
}
