/* cmd_train.c - krait train: live progress over the library's training loop. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "krait/train.h"

static const char help[] =
    "usage: krait train [RECIPE] [--KEY=VALUE ...]      start a run\n"
    "       krait train --resume DIR [--KEY=VALUE ...]  continue one, bit for bit\n\n"
    "RECIPE is a recipe.json, a folder that holds one, or the name of one in recipes/.\n"
    "Every key can be set or changed on the command line; `krait config` lists them all.\n\n"
    "  krait train --data.paths=book.txt --out=model --minutes=5\n"
    "  krait train recipes/quickstart --lr=2e-3 --mixer.type=mamba1 --steps=2000\n"
    "  cat *.txt | krait train --data.paths=- --batch_size=16\n"
    "  krait train --resume model --steps=5000\n\n"
    "The folder train.out gets config.json and model.safetensors (as Hugging Face lays them\n"
    "out), metrics.jsonl, loss.svg, recipe.json and checkpoints/.  Ctrl-C finishes the step,\n"
    "saves and exits with 130; nothing that was saved is ever half written.\n\n"
    "The keys of train (all sections: krait config):\n";

static kr_train *running;
static bool live; /* stderr is a terminal: one line is drawn over and over */
static int line_width;

static void stop_running(void) {
    if (running) kr_train_stop(running);
}

static void end_line(void) {
    if (live && line_width) fprintf(stderr, "\r%*s\r", line_width, "");
    line_width = 0;
}

static void progress(void *user, const kr_train_progress *p) {
    (void)user;
    char rate[32], eta[32], line[256], steps[24] = "?", bits[40] = "";
    if (p->steps) snprintf(steps, sizeof steps, "%lld", (long long)p->steps);
    if (!isnan(p->bits)) snprintf(bits, sizeof bits, "  %.3f bits/token", p->bits);
    int n = snprintf(line, sizeof line, "step %lld/%s  loss %.4f%s  |grad| %.2f  lr %.2e  %s tok/s  left %s", (long long)p->step, steps,
                     p->loss, bits, p->grad_norm, p->lr, human_count(p->tokens_per_s, rate), p->steps ? human_time(p->eta_s, eta) : "?");
    if (!live) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    fprintf(stderr, "\r%s%*s", line, line_width > n ? line_width - n : 0, "");
    line_width = n;
}

static void eval(void *user, const kr_train_eval *e) {
    (void)user;
    end_line();
    fprintf(stderr, "step %lld  %s loss %.4f  %s %.4f%s%s\n", (long long)e->step, e->test ? "test" : "held-out", e->loss, e->metric_name, e->metric, e->more, e->best ? "  (best)" : "");
}

static void message(void *user, const char *sentence) {
    (void)user;
    end_line();
    fprintf(stderr, "krait: %s\n", sentence);
}

typedef struct sampling { int64_t n; char prompt[1024]; } sampling;

static void sample(void *user, const kr_model *m, int64_t step) {
    const sampling *o = user;
    kr_session *s;
    kr_session_options opt = {.temperature = 0.8f, .top_p = 0.95f, .seed = (uint64_t)step, .prefill_tok = 32};
    int32_t prompt[1024];
    int64_t n = kr_encode(m, o->prompt, -1, prompt, 1024);
    if (n < 1 || n > 1024 || kr_session_new(&s, m, &opt) != KR_OK) return;
    end_line();
    fprintf(stderr, "--- at step %lld it writes ---\n%s", (long long)step, o->prompt);
    kr_status st = kr_session_feed(s, prompt, n);
    for (int64_t i = 0; i < o->n && st == KR_OK; i++) {
        int64_t bytes;
        int32_t t = kr_session_sample(s);
        const char *text = kr_token_text(m, t, &bytes);
        if (!text) break;
        fwrite(text, 1, (size_t)bytes, stderr);
        st = kr_session_feed(s, &t, 1);
    }
    fprintf(stderr, "\n---\n");
    kr_session_free(s);
}

/* A path, or the name of a recipe of the source tree or the installation. */
static void find_recipe(const char *given, char *to, size_t size) {
    static const char *const roots[] = {"recipes", KRAIT_RECIPES, "/usr/share/krait/recipes"};
    snprintf(to, size, "%s", given);
    for (int i = 0; i < 3 && access(to, F_OK) != 0; i++) snprintf(to, size, "%s/%s", roots[i], given);
    if (access(to, F_OK) != 0) snprintf(to, size, "%s", given); /* the error names what was asked for */
}

typedef struct arguments {
    char recipe[4096];
    bool has_recipe, resume;
    const char *override[256];
    char joined[256][512]; /* "--key value" as "key=value" */
    int n;
} arguments;

static int parse(int argc, char **argv, arguments *a) {
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        if (strcmp(s, "--resume") == 0 && i + 1 < argc) {
            a->resume = a->has_recipe = true;
            snprintf(a->recipe, sizeof a->recipe, "%s", argv[++i]);
        } else if (strncmp(s, "--resume=", 9) == 0) {
            a->resume = a->has_recipe = true;
            snprintf(a->recipe, sizeof a->recipe, "%s", s + 9);
        } else if (strncmp(s, "--", 2) == 0 && a->n < 256) {
            a->override[a->n] = s + 2;
            if (!strchr(s, '=')) {
                if (i + 1 >= argc || strlen(s) + strlen(argv[i + 1]) > 500) return misuse("train", "%s wants a value", s);
                snprintf(a->joined[a->n], sizeof a->joined[0], "%s=%s", s + 2, argv[++i]);
                a->override[a->n] = a->joined[a->n];
            }
            a->n++;
        } else if (s[0] != '-' && !a->has_recipe) {
            a->has_recipe = true;
            find_recipe(s, a->recipe, sizeof a->recipe);
        } else {
            return misuse("train", "\"%s\" is one recipe too many, or no --KEY=VALUE", s);
        }
    }
    return 0;
}

static void introduce(const kr_train *t, bool resume) {
    kr_train_summary s;
    char params[32], memory[32];
    kr_train_get_summary(t, &s);
    fprintf(stderr, "data    %s\nmodel   %s parameters\nmemory  %s (weights, gradients, optimiser, activations)\nout     %s/\n", s.data,
            human_count((double)s.n_params, params), human_bytes(s.params_bytes + s.train_bytes + s.block_bytes, memory), s.out);
    if (resume) fprintf(stderr, "resumed after step %lld\n", (long long)s.step);
}

static int run(const char *recipe, bool resume) {
    sampling how = {.n = 200, .prompt = "\n"};
    kr_train_hooks hooks = {.user = &how, .progress = progress, .eval = eval, .sample = sample, .message = message};
    kr_train *t;
    if (kr_train_new(&t, recipe, resume, &hooks) != KR_OK) return fail();
    kr_train_sampling(t, &how.n, how.prompt, sizeof how.prompt);
    running = t;
    live = isatty(2);
    watch_interrupts(stop_running);
    introduce(t, resume);
    kr_status st = kr_train_run(t);
    end_line();
    kr_train_summary s;
    kr_train_get_summary(t, &s);
    int code = 0;
    if (st == KR_ERR_STOPPED) fprintf(stderr, "%s: krait train --resume %s\n", kr_error(), s.out), code = EXIT_STOPPED;
    else if (st != KR_OK) code = fail();
    else fprintf(stderr, "done    %lld steps; best %s %.4f; the model is in %s/\n", (long long)s.step, s.metric_name, s.best_metric, s.out);
    kr_train_free(t);
    return code;
}

static int teach(void) {
    kr_recipe_key_info k;
    fputs(help, stdout);
    for (int i = 0; kr_recipe_key(i, &k); i++)
        if (strcmp(k.section, "train") == 0) printf("  --%-18s %s (%s)\n", k.name, k.help, k.def);
    return 0;
}

int cmd_train(int argc, char **argv) {
    static arguments a;
    char *recipe, out[sizeof a.recipe + 16];
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return teach();
    int wrong = parse(argc, argv, &a);
    if (wrong) return wrong;
    if (a.resume && a.n < 256) { /* the folder may have been moved since */
        snprintf(out, sizeof out, "train.out=%s", a.recipe);
        a.override[a.n++] = out;
    }
    if (kr_recipe_read(&recipe, a.has_recipe ? a.recipe : NULL, a.override, a.n) != KR_OK) return fail();
    int code = run(recipe, a.resume);
    kr_text_free(recipe);
    return code;
}
