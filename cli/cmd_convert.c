/* cmd_convert.c - krait convert: a model as Hugging Face lays it out or as GGUF, from whatever Krait reads. */
#include <getopt.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: krait convert MODEL OUT             (OUT: a new folder, or a new file NAME.gguf)\n\n"
    "Reads a folder of Hugging Face, state-spaces or Krait (safetensors or pytorch_model.bin, whole\n"
    "or in shards) or a GGUF file of llama.cpp's mamba or mamba2, and writes config.json,\n"
    "model.safetensors and tokenizer.json to the new folder OUT, or one GGUF file.\n\n"
    "  --dtype TYPE   float32, bfloat16, float16, q8_0, q6_k, q4_k or q4_0: how matrices are stored (float32)\n";

/* A GGUF file is likely meant for llama.cpp too. */
static void note(const char *out) {
    kr_model *m;
    size_t n = strlen(out);
    if (n < 5 || strcmp(out + n - 5, ".gguf") != 0 || kr_model_open(&m, out, &(kr_model_options){.mapped = true}) != KR_OK) return;
    const char *why = kr_model_gguf_obstacle(m);
    if (why) fprintf(stderr, "krait: note: Krait runs %s as the original; llama.cpp will not: %s\n", out, why);
    kr_model_free(m);
}

int cmd_convert(int argc, char **argv) {
    static const struct option options[] = {{"dtype", 1, NULL, 'T'}, {"help", 0, NULL, 'h'}, {0}};
    const char *dtype = "float32";
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'T') dtype = optarg;
        else return misuse("convert", "wrong option");
    }
    if (argc - optind != 2) return misuse("convert", "want a model and a new folder");
    if (kr_model_convert(argv[optind], argv[optind + 1], dtype) != KR_OK) return fail();
    note(argv[optind + 1]);
    return 0;
}
