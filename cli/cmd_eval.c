/* cmd_eval.c - krait eval: how well a model predicts files. */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: krait eval MODEL FILE ...            (\"-\" reads stdin)\n\n"
    "Scores each file as one document, with state carried from window to window.\n\n"
    "  --window N   tokens read at once (1024); the result is the same, memory grows with it\n"
    "  --json       one JSON object a file\n";

static int report(const char *path, const kr_eval_result *r, bool json) {
    if (json)
        printf("{\"file\": \"%s\", \"n_tok\": %lld, \"n_bytes\": %lld, \"loss\": %.9g, \"perplexity\": %.9g, \"bits_per_byte\": %.9g, \"seconds\": %.4g}\n", path,
               (long long)r->n_tok, (long long)r->n_bytes, r->loss, r->perplexity, r->bits_per_byte, r->seconds);
    else
        printf("%-32s %10lld tokens  loss %.4f  perplexity %.3f  bits/byte %.4f  %.0f tokens/s\n", path, (long long)r->n_tok, r->loss, r->perplexity,
               r->bits_per_byte, (double)r->n_tok / r->seconds);
    return 0;
}

int cmd_eval(int argc, char **argv) {
    static const struct option options[] = {{"window", 1, NULL, 'w'}, {"json", 0, NULL, 'j'}, {"help", 0, NULL, 'h'}, {0}};
    double window = 1024;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "w:jh", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'j') json = true;
        else if (c != 'w') return misuse("eval", "wrong option");
        else if (!number("eval", "window", optarg, 1, 1e9, &window)) return EXIT_USAGE;
    }
    if (argc - optind < 2) return misuse("eval", "want a model and at least one file");
    kr_model *m;
    if (kr_model_open(&m, argv[optind], NULL) != KR_OK) return fail();
    int code = 0;
    kr_eval_result total = {0};
    for (int i = optind + 1; i < argc && !code; i++) {
        size_t n;
        kr_eval_result r;
        char *text = read_all(argv[i], &n);
        if (!text) code = EXIT_FAILED;
        else if (kr_eval_text(m, text, (int64_t)n, (int64_t)window, &r) != KR_OK) fprintf(stderr, "krait: %s: %s\n", argv[i], kr_error()), code = EXIT_FAILED;
        else {
            report(argv[i], &r, json);
            total.n_tok += r.n_tok, total.n_bytes += r.n_bytes, total.seconds += r.seconds;
            total.loss += r.loss * (double)r.n_tok, total.bits_per_byte += r.bits_per_byte * (double)(r.n_bytes - 1);
        }
        free(text);
    }
    int n_files = argc - optind - 1;
    if (!code && n_files > 1) {
        total.loss /= (double)total.n_tok, total.bits_per_byte /= (double)(total.n_bytes - n_files), total.perplexity = exp(total.loss);
        report("all", &total, json);
    }
    kr_model_free(m);
    return code;
}
