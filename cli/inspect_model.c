/* inspect_model.c - krait inspect attention and krait inspect states. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "krait/inspect.h"

static const char help[] =
    "usage: krait inspect attention MODEL TEXT [-o FILE.png|.svg]\n"
    "       krait inspect states MODEL TEXT [-o FILE.png|.svg]\n\n"
    "attention: a scan is linear in its input, so it has a matrix as attention has: y_i = sum alpha_ij x_j. It is\n"
    "computed from what the model's own scans were given, and checked: it must give what they gave.  Blue is\n"
    "negative, orange positive, the root of alpha over the largest.\n"
    "states: how large they are and how many directions they use over time, and after how many steps half of a\n"
    "number is left.\n\n"
    "TEXT is a file if there is one of that name (- reads stdin).  Models without a tokenizer take numbers: \"3 1 4 1 5\".\n\n"
    "  --steps N    the first N tokens (64)\n"
    "  --layer N    only this layer, from 0\n"
    "  --head N     only this head (of Mamba-2 and attention) or channel (of Mamba-1 and S4D)\n"
    "  --groups N   otherwise: heads or channels in so many groups, their mean (8)\n"
    "  --json       one line of JSON for each layer and group; of attention with --head: the matrix\n"
    "  -o FILE      the picture\n";

typedef struct options {
    bool attention, json;
    int64_t steps;
    kr_inspect_draw how;
    const char *out;
} options;

/* Heads [from, to) of group k of n. */
static int64_t n_groups(const options *o, const kr_inspect_scan *s) {
    int64_t n = o->how.groups ? o->how.groups : 8;
    return o->how.head >= 0 ? 1 : n < s->n_heads ? n : s->n_heads;
}
static void heads_of(const options *o, const kr_inspect_scan *s, int64_t k, int64_t *from, int64_t *to) {
    *from = o->how.head >= 0 ? o->how.head : s->n_heads * k / n_groups(o, s);
    *to = o->how.head >= 0 ? o->how.head + 1 : s->n_heads * (k + 1) / n_groups(o, s);
}

static kr_status print_matrix(const kr_inspect *x, int i, const kr_inspect_scan *s, int64_t head) {
    int64_t L = kr_inspect_steps(x);
    double *alpha = malloc((size_t)(L * L) * sizeof *alpha);
    kr_status st = alpha ? kr_inspect_alpha(x, i, head, head + 1, alpha) : KR_ERR_NOMEM;
    if (st == KR_OK) printf("{\"layer\": %lld, \"op\": \"%s\", \"head\": %lld, \"alpha\": [", (long long)s->layer, s->op, (long long)head);
    for (int64_t e = 0; e < L * L && st == KR_OK; e++) printf("%s%s%.6g", e ? ", " : "", e % L ? "" : "[", alpha[e]), e % L == L - 1 ? printf("]") : 0;
    if (st == KR_OK) printf("]}\n");
    free(alpha);
    return st;
}

static kr_status say_attention(const options *o, const kr_inspect *x, int i, const kr_inspect_scan *s) {
    double error;
    if (o->json && o->how.head >= 0) return print_matrix(x, i, s, o->how.head);
    kr_status st = kr_inspect_check(x, i, &error);
    if (st != KR_OK) return st;
    if (o->json) printf("{\"layer\": %lld, \"op\": \"%s\", \"matrices\": %lld, \"error\": %.3g}\n", (long long)s->layer, s->op, (long long)s->n_heads, error);
    else printf("layer %-3lld %-15s %5lld matrices   they give y to %.1e\n", (long long)s->layer, s->op, (long long)s->n_heads, error);
    return KR_OK;
}

static void print_states(const kr_inspect_scan *s, const char *what, int64_t from, int64_t to, const kr_inspect_states *v) {
    printf("{\"layer\": %lld, \"op\": \"%s\", \"%s\": [%lld, %lld], \"half_life\": [%.4g, %.4g, %.4g], \"settled\": %lld, \"most_rank\": %g, \"time\": [", (long long)s->layer,
           s->op, what, (long long)from, (long long)to, v->half_life[0], v->half_life[1], v->half_life[2], (long long)v->settled, v->most_rank);
    for (int64_t k = 0; k < v->n_times; k++) printf("%s%lld", k ? ", " : "", (long long)v->time[k]);
    printf("], \"norm\": [");
    for (int64_t k = 0; k < v->n_times; k++) printf("%s%.5g", k ? ", " : "", v->norm[k]);
    printf("], \"rank\": [");
    for (int64_t k = 0; k < v->n_times; k++) printf("%s%.4g", k ? ", " : "", v->rank[k]);
    printf("]}\n");
}

static kr_status say_states(const options *o, const kr_inspect *x, int i, const kr_inspect_scan *s) {
    const char *what = s->headdim > 1 ? "heads" : "channels";
    if (s->d_state == 0) return KR_OK; /* attention */
    if (!o->json) printf("layer %lld %s\n  %-10s %9s %9s %9s %14s %8s   half-lives in steps, 10 50 90 %%\n", (long long)s->layer, s->op, what, "norm", "largest", "settled", "rank at end", "of");
    for (int64_t k = 0; k < n_groups(o, s); k++) {
        int64_t from, to;
        kr_inspect_states v;
        heads_of(o, s, k, &from, &to);
        kr_status st = kr_inspect_get_states(x, i, from, to, &v);
        if (st != KR_OK) return st;
        if (o->json) {
            print_states(s, what, from, to, &v);
            continue;
        }
        double most = 0;
        for (int64_t t = 0; t < v.n_times; t++) most = v.norm[t] > most ? v.norm[t] : most;
        char name[40];
        snprintf(name, sizeof name, to == from + 1 ? "%lld" : "%lld-%lld", (long long)from, (long long)to - 1);
        printf("  %-10s %9.3g %9.3g %9lld %14.2f %8g   %.3g  %.3g  %.3g\n", name, v.norm[v.n_times - 1], most, (long long)v.settled, v.rank[v.n_times - 1], v.most_rank, v.half_life[0],
               v.half_life[1], v.half_life[2]);
    }
    return KR_OK;
}

static int inspect(const options *o, const char *model, const char *text, size_t n) {
    kr_inspect *x;
    kr_inspect_scan s;
    if (kr_inspect_open(&x, model, text, (int64_t)n, o->steps) != KR_OK) return fail();
    kr_status st = KR_OK;
    for (int i = 0; st == KR_OK && kr_inspect_get(x, i, &s); i++) {
        if (o->how.layer >= 0 && o->how.layer != s.layer) continue;
        st = o->attention ? say_attention(o, x, i, &s) : say_states(o, x, i, &s);
    }
    if (st == KR_OK && o->out) st = o->attention ? kr_inspect_draw_attention(x, &o->how, o->out) : kr_inspect_draw_states(x, &o->how, o->out);
    kr_inspect_free(x);
    if (st != KR_OK) return fail();
    if (o->out && !o->json) printf("%s\n", o->out);
    return 0;
}

int inspect_model(int argc, char **argv) {
    static const struct option list[] = {{"steps", 1, NULL, 's'}, {"layer", 1, NULL, 'l'}, {"head", 1, NULL, 'H'}, {"groups", 1, NULL, 'g'}, {"json", 0, NULL, 'j'}, {"help", 0, NULL, 'h'}, {0}};
    options o = {.attention = strcmp(argv[0], "attention") == 0, .steps = 64, .how = {.layer = -1, .head = -1}};
    double v;
    for (int c; (c = getopt_long(argc, argv, "o:h", list, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        if (c == 'j') o.json = true;
        else if (c == 'o') o.out = optarg;
        else if (c == '?') return misuse("inspect", "see the options");
        else {
            if (!number("inspect", c == 's' ? "steps" : c == 'l' ? "layer" : c == 'H' ? "head" : "groups", optarg, c == 's' || c == 'g' ? 1 : 0, c == 's' ? 4096 : 1e6, &v)) return EXIT_USAGE;
            *(c == 's' ? &o.steps : c == 'l' ? &o.how.layer : c == 'H' ? &o.how.head : &o.how.groups) = (int64_t)v;
        }
    }
    if (argc - optind != 2) return misuse("inspect", "want MODEL and TEXT");
    const char *model = argv[optind], *given = argv[optind + 1], *slash = strrchr(model, '/');
    FILE *f = strcmp(given, "-") == 0 ? stdin : fopen(given, "rb");
    size_t n = strlen(given);
    char *text = NULL;
    if (f && f != stdin) fclose(f);
    if (f && !(text = read_all(given, &n))) return EXIT_FAILED;
    o.how.title = slash && slash[1] ? slash + 1 : model;
    int code = inspect(&o, model, text ? text : given, n);
    free(text);
    return code;
}
