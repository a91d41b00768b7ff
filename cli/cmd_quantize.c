/* cmd_quantize.c - krait quantize: a model whose matrices are rounded in blocks. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: krait quantize MODEL OUT --format FORMAT\n"
    "       krait quantize MODEL OUT --format w8a8 --calibrate FILE\n\n"
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
    "      w8a8             8.5       q8_0, and what goes into a Mamba mixer's products and scan has fixed\n"
    "                                 scales of 8 bits, by Quamba's recipe; q8_0 finds scales as it runs\n\n"
    "  -c, --calibrate FILE  w8a8: a text like what the model will read, to see how large numbers get\n"
    "  --tokens N            ... so many tokens of it at most (16384)\n"
    "  --percentile P        ... of the scan's x: sizes above are cut off (99.999); 100 cuts none\n"
    "  --no-hadamard         ... out_proj's input is not rotated\n\n"
    "What is no matrix stays float32: decay rates, skip weights, biases, norms, convolutions; so do all\n"
    "states.  In q4_k and q4_0 the table of tokens and the head take 6.6 bits, as every token passes\n"
    "through them.  A matrix whose rows do not divide into blocks (of 256 numbers for q4_k and q6_k, else\n"
    "of 32) takes the next format that fits, at last float16.  Scales are those of the least squared\n"
    "error; no data is needed.  To see what a format costs on your text:\n\n"
    "  krait eval MODEL text.txt; krait eval OUT text.txt\n";

static int quantize_w8a8(const char *from, const char *to, const char *path, kr_w8a8_options *o) {
    size_t n;
    char *text = read_all(path, &n);
    if (!text) return EXIT_FAILED;
    o->text = text, o->n_bytes = (int64_t)n;
    int code = kr_model_quantize_w8a8(from, to, o) == KR_OK ? 0 : fail();
    free(text);
    return code;
}

int cmd_quantize(int argc, char **argv) {
    static const struct option options[] = {{"format", 1, NULL, 'f'}, {"calibrate", 1, NULL, 'c'}, {"tokens", 1, NULL, 't'}, {"percentile", 1, NULL, 'p'},
                                            {"no-hadamard", 0, NULL, 'n'}, {"help", 0, NULL, 'h'}, {0}};
    const char *format = NULL, *calibrate = NULL;
    kr_w8a8_options o = {.percentile = 99.999};
    double tokens = 0;
    for (int c; (c = getopt_long(argc, argv, "f:c:h", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'f') format = strcmp(optarg, "bf16") == 0 ? "bfloat16" : strcmp(optarg, "f16") == 0 ? "float16" : optarg;
        else if (c == 'c') calibrate = optarg;
        else if (c == 'n') o.no_hadamard = true;
        else if (c == 't') {
            if (!number("quantize", "tokens", optarg, 2, 1e6, &tokens)) return EXIT_USAGE;
        } else if (c == 'p') {
            if (!number("quantize", "percentile", optarg, 0, 100, &o.percentile)) return EXIT_USAGE;
        } else return misuse("quantize", "wrong option");
    }
    o.max_tok = (int64_t)tokens;
    if (argc - optind != 2 || !format) return misuse("quantize", "want a model, a new folder and --format");
    if (strcmp(format, "w8a8") == 0) {
        if (!calibrate) return misuse("quantize", "w8a8 wants --calibrate FILE, a text like what the model will read");
        return quantize_w8a8(argv[optind], argv[optind + 1], calibrate, &o);
    }
    if (calibrate) return misuse("quantize", "--calibrate is for --format w8a8; the other formats need no data");
    return kr_model_convert(argv[optind], argv[optind + 1], format) == KR_OK ? 0 : fail();
}
