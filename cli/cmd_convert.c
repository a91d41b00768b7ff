/* cmd_convert.c - krait convert: a model as Hugging Face lays it out, from whatever Krait reads. */
#include <getopt.h>

#include "cli.h"

static const char help[] =
    "usage: krait convert MODEL OUT\n\n"
    "Reads a folder of Hugging Face, state-spaces or Krait (safetensors or pytorch_model.bin, whole\n"
    "or in shards) and writes config.json, model.safetensors and tokenizer.json to the new folder OUT.\n\n"
    "  --dtype TYPE   float32, bfloat16 or float16: how matrices are stored (float32)\n";

int cmd_convert(int argc, char **argv) {
    static const struct option options[] = {{"dtype", 1, NULL, 'T'}, {"help", 0, NULL, 'h'}, {0}};
    const char *dtype = "float32";
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'T') dtype = optarg;
        else return misuse("convert", "wrong option");
    }
    if (argc - optind != 2) return misuse("convert", "want a model and a new folder");
    return kr_model_convert(argv[optind], argv[optind + 1], dtype) == KR_OK ? 0 : fail();
}
