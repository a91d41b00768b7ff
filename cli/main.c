/* main.c - krait: one program that trains, runs and measures Mamba models. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const command commands[] = {
    {"train", "train a model from a recipe: text or synthetic tasks, with checkpoints and resume", cmd_train},
    {"chat", "talk with a model, in a terminal or a script", cmd_chat},
    {"generate", "let a model write, token by token", cmd_generate},
    {"serve", "a model behind HTTP, as OpenAI's clients ask for it", cmd_serve},
    {"eval", "loss, perplexity and bits per byte of a model on files", cmd_eval},
    {"predict", "what a model says of files: classes, numbers, pictures of classes", cmd_predict},
    {"sample", "pictures from a diffusion model, in one PNG or a folder", cmd_sample},
    {"info", "what a model is, and the memory it takes to train and to run", cmd_info},
    {"convert", "a model as safetensors or GGUF, from PyTorch, state-spaces, llama.cpp; in another precision", cmd_convert},
    {"quantize", "a model in 4 to 9 bits a weight: smaller, and faster on a CPU", cmd_quantize},
    {"reduce", "an S4D model with smaller states, by balanced truncation, to be trained on", cmd_reduce},
    {"tokenize", "text to the token ids of a tokenizer.json, and back", cmd_tokenize},
    {"tokenizer", "learn a new vocabulary from texts", cmd_tokenizer},
    {"config", "explain the keys of recipes and models", cmd_config},
    {"inspect", "pictures of what a model does: hidden attention, states, scan orders", cmd_inspect},
    {"verify", "compare with what another implementation computed", cmd_verify},
    {"bench", "tokens per second, and each op against this machine's roof", cmd_bench},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void usage(FILE *to) {
    fprintf(to, "krait %s - selective state-space models in C\n\nusage: krait COMMAND [options]\n\n", kr_version());
    for (int i = 0; i < N_COMMANDS; i++) fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].about);
    fprintf(to,
            "\n`krait COMMAND --help` teaches a command.  A first run:\n\n"
            "  krait train --data.paths=book.txt --out=model --minutes=2\n"
            "  krait generate model --prompt \"It is a truth\"\n\n"
            "Environment: KRAIT_THREADS (CPU threads), KRAIT_ISA (baseline, avx2, avx2vnni,\n"
            "avx512, avx512vnni, neon: that and no more).\n");
}

/* Threads of libgomp wait for each other spinning, for milliseconds: on a busy machine the
 * spinning takes the time of the thread that is waited for.  A tenth of a millisecond loses
 * nothing on a calm machine.  libgomp reads its environment before main, so the program
 * starts itself once more, under its own path to keep its name. */
static void spin_less(char **argv) {
    char path[4096];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0 || setenv("GOMP_SPINCOUNT", "3000", 1) != 0) return;
    path[n] = 0;
    execv(path, argv); /* if that fails: as it was */
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!*name || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(*name ? stdout : stderr);
        return *name ? 0 : EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0) return printf("krait %s\n", kr_version()), 0;
    spin_less(argv);
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "krait: there is no command \"%s\"; `krait --help` lists them\n", name);
    return EXIT_USAGE;
}
