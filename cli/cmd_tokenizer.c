/* cmd_tokenizer.c - krait tokenizer train: a new vocabulary from texts. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "krait/tokenizer.h"

static const char help[] =
    "usage: krait tokenizer train TEXT ... -o tokenizer.json     (files, folders, - for stdin)\n\n"
    "Learns a byte-level BPE vocabulary and writes it as Hugging Face's tokenizer.json.\n\n"
    "  -o, --out FILE       where to write\n"
    "  -n, --vocab_size N   tokens in all (8192)\n"
    "      --special TOKEN  a special token, may be given again (one: <|endoftext|>; \"\" for none)\n"
    "      --split RULE     how texts are cut into words: gpt2 (GPT-NeoX's too), llama3, qwen2 (gpt2)\n"
    "      --nfc            normalise first, as GPT-NeoX does\n"
    "      --min_count N    leave pairs that occur less often (2)\n"
    "  -q, --quiet          say nothing while at it\n\n"
    "The same texts give the same file.  A model on it: krait train --tokenizer=tokenizer.json ...\n";

enum { MAX_SPECIAL = 1024 };

static void show(void *user, const char *what, int64_t done, int64_t of) {
    const char *end = *(bool *)user ? (done == of ? "\033[K\n" : "\033[K\r") : "\n";
    if (*(bool *)user || done == of) fprintf(stderr, "%s %lld of %lld%s", what, (long long)done, (long long)of, end);
}

static int train(const kr_tokenizer_options *o, const char *out, char **text, int n_texts, bool quiet) {
    kr_tokenizer *t;
    if (kr_tokenizer_train(&t, (const char *const *)text, n_texts, o) != KR_OK) return fail();
    bool ok = kr_tokenizer_save(t, out) == KR_OK;
    if (ok && !quiet) fprintf(stderr, "%s: %lld tokens\n", out, (long long)kr_tokenizer_size(t));
    if (ok && !quiet && kr_tokenizer_size(t) < o->vocab_size)
        fprintf(stderr, "the text has no more pairs that occur %lld times; --min_count 1 or more text gives more tokens\n", (long long)o->min_count);
    kr_tokenizer_free(t);
    return ok ? 0 : fail();
}

int cmd_tokenizer(int argc, char **argv) {
    static const struct option options[] = {{"out", 1, NULL, 'o'}, {"vocab_size", 1, NULL, 'n'}, {"vocab-size", 1, NULL, 'n'}, {"special", 1, NULL, 's'},
                                            {"split", 1, NULL, 'p'}, {"nfc", 0, NULL, 'c'}, {"min_count", 1, NULL, 'm'}, {"min-count", 1, NULL, 'm'},
                                            {"quiet", 0, NULL, 'q'}, {"help", 0, NULL, 'h'}, {0}};
    static const char *special[MAX_SPECIAL] = {"<|endoftext|>"};
    bool terminal = isatty(2), given = false, quiet = false;
    kr_tokenizer_options o = {.vocab_size = 8192, .min_count = 2, .special = special, .n_special = 1, .progress = show, .user = &terminal};
    const char *out = NULL;
    double x;
    for (int c; (c = getopt_long(argc, argv, "o:n:qh", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'o') out = optarg;
        else if (c == 'p') o.split = optarg;
        else if (c == 'c') o.nfc = true;
        else if (c == 'q') quiet = true, o.progress = NULL;
        else if (c == 's') {
            if (!given) o.n_special = 0;
            given = true;
            if (o.n_special == MAX_SPECIAL) return misuse("tokenizer", "more than %d special tokens", MAX_SPECIAL);
            if (*optarg) special[o.n_special++] = optarg;
        } else if (c == 'n' || c == 'm') {
            if (!number("tokenizer", c == 'n' ? "vocab_size" : "min_count", optarg, 1, 1 << 24, &x)) return EXIT_USAGE;
            *(c == 'n' ? &o.vocab_size : &o.min_count) = (int64_t)x;
        } else return misuse("tokenizer", "wrong option");
    }
    if (argc - optind < 1 || strcmp(argv[optind], "train") != 0) return misuse("tokenizer", "want `krait tokenizer train TEXT ... -o FILE`");
    if (argc - optind < 2) return misuse("tokenizer", "want texts to learn from");
    if (!out) return misuse("tokenizer", "want -o FILE");
    return train(&o, out, argv + optind + 1, argc - optind - 1, quiet);
}
