/* cmd_eval.c - krait eval: how well a model predicts files, or does a task. */
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "krait/eval.h"
#include "krait/train.h"

static const char help[] =
    "usage: krait eval MODEL FILE ...            (\"-\" reads stdin)\n"
    "       krait eval MODEL --task NAME FILE    (lambada, hellaswag, piqa, arc, winogrande)\n"
    "       krait eval MODEL [--data.KEY=VALUE ...]\n\n"
    "Scores each file as one document, with state carried from window to window; or a task,\n"
    "at any length: keys not given are those the model was trained with (its recipe.json).\n"
    "  krait eval model --data.length=16384\n"
    "  krait eval model --test                 (data.test_paths, or what test_fraction holds out)\n"
    "--task scores answers as EleutherAI's lm-evaluation-harness does: acc by log-likelihood, acc_norm by\n"
    "that per character, of lambada acc and perplexity of the last word.\n\n"
    "  --limit N    questions of --task at most (all)\n"
    "  --window N   tokens read at once (1024); the result is the same, memory grows with it\n"
    "  --context N  how many tokens back attention sees, of models that have some (as the config says, or 2048)\n"
    "  --rows N     held-out rows of the task (all; 256 of a task without an end)\n"
    "  --test       the examples kept for a last score, not those held out while training\n"
    "  --device W   cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "  --dtype T    how matrices are held: float32, bfloat16, q8_0, q6_k, q4_k, q4_0, on a CPU float16 (as the file has them)\n"
    "  --json       one JSON object a file\n";

static int report(const char *path, const kr_eval_result *r, bool json) {
    if (json) {
        fputs("{\"file\": ", stdout);
        print_json_text(path, (int64_t)strlen(path));
        printf(", \"n_tok\": %lld, \"n_bytes\": %lld, \"loss\": %.9g, \"perplexity\": %.9g, \"bits_per_byte\": %.9g, \"seconds\": %.4g}\n",
               (long long)r->n_tok, (long long)r->n_bytes, r->loss, r->perplexity, r->bits_per_byte, r->seconds);
    } else
        printf("%-32s %10lld tokens  loss %.4f  perplexity %.3f  bits/byte %.4f  %.0f tokens/s\n", path, (long long)r->n_tok, r->loss, r->perplexity,
               r->bits_per_byte, (double)r->n_tok / r->seconds);
    return 0;
}

/* --- tasks --------------------------------------------------------------------------------- */

static int report_task(const kr_eval_source_result *r, bool json) {
    printf(json ? "{\"data\": \"%s\", \"length\": %lld, \"rows\": %lld, \"n_scored\": %lld, \"loss\": %.9g, \"%s\": %.9g"
                : "%s  %lld steps, %lld rows, %lld answers  loss %.4f  %s %.4f",
           r->data, (long long)r->L, (long long)r->n_rows, (long long)r->n_scored, r->loss, r->metric_name, r->metric);
    for (int i = 0; i < r->n_more; i++)
        if (isfinite(r->more[i])) printf(json ? ", \"%s\": %.9g" : "  %s %.4f", r->more_name[i], r->more[i]);
    printf(json ? ", \"seconds\": %.4g}\n" : "  %.1f s\n", r->seconds);
    return 0;
}

/* The recipe of the model's own training with other data, or that data alone. */
static int eval_task(const char *model, const kr_model_options *where, const char *const *override, int n, double rows, bool test, bool json) {
    char path[4200], *recipe;
    kr_model *m;
    kr_eval_source_result r;
    snprintf(path, sizeof path, "%s/recipe.json", model);
    if (kr_recipe_read(&recipe, access(path, F_OK) == 0 ? path : NULL, override, n) != KR_OK) return fail();
    int code = 0;
    if (kr_model_open(&m, model, where) == KR_OK) {
        code = kr_eval_source(m, recipe, (int64_t)rows, test, &r) == KR_OK ? report_task(&r, json) : fail();
        kr_model_free(m);
    } else {
        code = fail();
    }
    kr_text_free(recipe);
    return code;
}

static void show(void *user, int64_t done, int64_t of) {
    if (*(bool *)user) fprintf(stderr, "%lld of %lld questions\033[K%s", (long long)done, (long long)of, done == of ? "\n" : "\r");
}

static int eval_questions(const char *model, const kr_model_options *where, const char *task, const char *path, int64_t limit, bool json) {
    bool terminal = isatty(2);
    kr_task_options o = {.limit = limit, .progress = show, .user = &terminal};
    kr_task_result r;
    kr_model *m;
    size_t n;
    char *text = read_all(path, &n);
    if (!text) return EXIT_FAILED;
    int code = kr_model_open(&m, model, where) == KR_OK ? 0 : fail();
    if (!code) {
        code = kr_eval_task(m, task, text, (int64_t)n, &o, &r) == KR_OK ? 0 : fail();
        kr_model_free(m);
    }
    free(text);
    if (code) return code;
    printf(json ? "{\"task\": \"%s\", \"n\": %lld, \"acc\": %.9g, \"acc_stderr\": %.9g" : "%s  %lld questions  acc %.4f +- %.4f", task, (long long)r.n, r.acc, r.acc_stderr);
    if (r.has_norm) printf(json ? ", \"acc_norm\": %.9g, \"acc_norm_stderr\": %.9g" : "  acc_norm %.4f +- %.4f", r.acc_norm, r.acc_norm_stderr);
    if (r.perplexity > 0) printf(json ? ", \"perplexity\": %.9g" : "  perplexity %.4f", r.perplexity);
    printf(json ? ", \"seconds\": %.4g}\n" : "  %.1f s\n", r.seconds);
    return 0;
}

/* Takes the --data.KEY=VALUE out of the arguments; how many they are. */
static int take_overrides(int *argc, char **argv, const char **override, int max) {
    int n = 0, kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], "--data.", 7) == 0 && n < max) override[n++] = argv[i] + 2;
        else argv[kept++] = argv[i];
    }
    *argc = kept;
    return n;
}

int cmd_eval(int argc, char **argv) {
    static const struct option options[] = {{"window", 1, NULL, 'w'}, {"context", 1, NULL, 'c'}, {"rows", 1, NULL, 'r'}, {"json", 0, NULL, 'j'},
                                            {"device", 1, NULL, 'D'}, {"dtype", 1, NULL, 'T'}, {"task", 1, NULL, 't'}, {"limit", 1, NULL, 'l'}, {"test", 0, NULL, 'e'}, {"help", 0, NULL, 'h'}, {0}};
    const char *override[64], *task = NULL;
    kr_model_options where = {0};
    double window = 1024, rows = 0, limit = 0, context = 0;
    bool json = false, test = false;
    int n_overrides = take_overrides(&argc, argv, override, 64);
    for (int c; (c = getopt_long(argc, argv, "w:jh", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'j') json = true;
        else if (c == 'e') test = true;
        else if (c == 'D') where.device = optarg;
        else if (c == 'c') {
            if (!number("eval", "context", optarg, 1, INT32_MAX, &context)) return EXIT_USAGE;
            where.context = (int64_t)context;
        } else if (c == 'T') where.dtype = optarg;
        else if (c == 't') task = optarg;
        else if (c == 'l') {
            if (!number("eval", "limit", optarg, 1, 1e9, &limit)) return EXIT_USAGE;
        }
        else if (c == 'r') {
            if (!number("eval", "rows", optarg, 1, 1e9, &rows)) return EXIT_USAGE;
        } else if (c != 'w') return misuse("eval", "wrong option");
        else if (!number("eval", "window", optarg, 1, 1e9, &window)) return EXIT_USAGE;
    }
    if (task && (argc - optind != 2 || n_overrides)) return misuse("eval", "--task wants a model and one file");
    if (task) return eval_questions(argv[optind], &where, task, argv[optind + 1], (int64_t)limit, json);
    if (argc - optind == 1) return eval_task(argv[optind], &where, override, n_overrides, rows, test, json);
    if (argc - optind < 2 || n_overrides || test) return misuse("eval", "want a model and at least one file, or a model and --data.KEY=VALUE");
    kr_model *m;
    if (kr_model_open(&m, argv[optind], &where) != KR_OK) return fail();
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
            warn_of_context(m, r.n_tok);
            total.n_tok += r.n_tok, total.n_bytes += r.n_bytes, total.seconds += r.seconds;
            total.loss += r.loss * (double)r.n_tok, total.bits_per_byte += r.bits_per_byte * (double)r.n_bytes;
        }
        free(text);
    }
    int n_files = argc - optind - 1;
    if (!code && n_files > 1) {
        total.loss /= (double)total.n_tok, total.bits_per_byte /= (double)total.n_bytes, total.perplexity = exp(total.loss);
        report("all", &total, json);
    }
    kr_model_free(m);
    return code;
}
