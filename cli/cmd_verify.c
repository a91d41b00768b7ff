/* cmd_verify.c - krait verify: our numbers against another implementation's. */
#include <string.h>

#include "cli.h"
#include "krait/verify.h"

static const char help[] =
    "usage: krait verify [-v] [--device cuda] DIR ...\n\n"
    "Each folder holds a model (config.json, model.safetensors; or name a GGUF file in it) and what another\n"
    "implementation computed from it: expected.safetensors (input_ids, logits, loss,\n"
    "greedy_prompt, greedy_continuation) and, if there, expected_grads.safetensors.\n"
    "--device cuda (or cuda:N) computes on a GPU.  Prints the largest error of each; -v prints every gradient, not only the worst.\n"
    "Exit code 1 if one is beyond tolerance.\n";

typedef struct tally { bool verbose; int n_grads; kr_verify_row worst; char name[200]; } tally;

static void print(const kr_verify_row *r) {
    printf("  %-4s  %-52s %10.3g  (%s, at most %g)\n", r->passed ? "ok" : "FAIL", r->what, r->error, r->measure, r->tolerance);
}

static void row(void *user, const kr_verify_row *r) {
    tally *t = user;
    bool gradient = strncmp(r->what, "gradient of ", 12) == 0;
    if (gradient) {
        if (t->n_grads++ == 0 || !(r->error <= t->worst.error)) {
            t->worst = *r;
            snprintf(t->name, sizeof t->name, "%s", r->what);
            t->worst.what = t->name;
        }
        if (!t->verbose && r->passed) return;
    }
    print(r);
}

int cmd_verify(int argc, char **argv) {
    int n_bad = 0, n_dirs = 0;
    const char *device = NULL;
    tally t = {0};
    for (int i = 1; i < argc; i++) {
        int failed;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(help, stdout), 0;
        if (strcmp(argv[i], "-v") == 0) {
            t.verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
            device = argv[++i];
            continue;
        }
        if (argv[i][0] == '-') return misuse("verify", "there is no option %s", argv[i]);
        printf("%s\n", argv[i]);
        n_dirs++;
        t.n_grads = 0;
        if (kr_verify(argv[i], device, row, &t, &failed) != KR_OK) return fail();
        if (t.n_grads && !t.verbose) printf("  worst of %d gradients:\n", t.n_grads), print(&t.worst);
        n_bad += failed;
    }
    if (!n_dirs) return misuse("verify", "name a folder");
    return n_bad ? EXIT_NO : 0;
}
