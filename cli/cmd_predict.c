/* cmd_predict.c - krait predict: what a model says of files. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "krait/predict.h"

static const char help[] =
    "usage: krait predict MODEL FILE ... [-o FILE]\n\n"
    "FILEs are of the kind that the model was trained on (pictures, sound, tables, sequences; folders\n"
    "and patterns too); its folder says how they are made ready.  Without -o the answers go to\n"
    "standard output, one JSON object a line.\n\n"
    "  -o FILE        FILE.jsonl, FILE.csv, or, for classes of pixels, FILE.png (of several: FILE-1.png, ...)\n"
    "  --format F     jsonl or csv, whatever FILE is called\n"
    "  --top N        classes to name with their probabilities (5)\n"
    "  --device W     cpu, cuda, or cuda:N for that GPU (cpu)\n";

enum { JSONL, CSV, PNG };
typedef struct output {
    FILE *to;
    const char *path;
    int format, top;
    int64_t n;
} output;

/* RFC 4180: quotes where they are needed. */
static void print_cell(FILE *to, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) fprintf(to, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', to);
}

static void print_text(FILE *to, const char *text) { /* as JSON */
    fputc('"', to);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') fprintf(to, "\\%c", *p);
        else if (*p < 32) fprintf(to, "\\u%04x", *p);
        else fputc(*p, to);
    }
    fputc('"', to);
}

/* JSON has no NaN and no infinity. */
static void print_number(FILE *to, const char *before, int digits, float x) {
    if (isfinite(x)) fprintf(to, "%s%.*g", before, digits, (double)x);
    else fprintf(to, "%snull", before);
}

static const char *label(const kr_answer *a, int64_t i, char to[24]) {
    if (a->label && a->label[i]) return a->label[i];
    snprintf(to, 24, "%lld", (long long)i);
    return to;
}

/* The most probable behind `last` (-1: of all), of equals the first; -1: there is none that is a number. */
static int64_t next_best(const kr_answer *a, int64_t last) {
    int64_t next = -1;
    for (int64_t i = 0; i < a->n; i++) {
        bool after = last < 0 || a->values[i] < a->values[last] || (a->values[i] == a->values[last] && i > last);
        if (after && !isnan(a->values[i]) && (next < 0 || a->values[i] > a->values[next])) next = i;
    }
    return next;
}

static void json_classes(const output *o, const kr_answer *a) {
    char name[24];
    if (a->kind == KR_ANSWER_CLASS) {
        fputs(", \"class\": ", o->to);
        if (isnan(a->values[a->best])) fputs("null", o->to);
        else print_text(o->to, label(a, a->best, name));
        print_number(o->to, ", \"probability\": ", 6, a->values[a->best]);
    }
    fputs(a->kind == KR_ANSWER_CLASS ? ", \"classes\": {" : ", \"next\": {", o->to);
    int64_t i = -1;
    for (int k = 0; k < o->top && (i = next_best(a, i)) >= 0; k++) {
        if (k) fputs(", ", o->to);
        print_text(o->to, label(a, i, name));
        print_number(o->to, ": ", 6, a->values[i]);
    }
    fputs("}}\n", o->to);
}

static void json_answer(const output *o, const kr_answer *a) {
    fputs("{\"file\": ", o->to);
    print_text(o->to, a->name);
    if (a->kind == KR_ANSWER_CLASS || a->kind == KR_ANSWER_RANKED) {
        json_classes(o, a);
        return;
    }
    if (a->kind == KR_ANSWER_CELLS) fprintf(o->to, ", \"height\": %lld, \"width\": %lld", (long long)a->H, (long long)a->W);
    fputs(a->kind == KR_ANSWER_CELLS ? ", \"cells\": [" : ", \"values\": [", o->to);
    for (int64_t i = 0; i < a->n; i++) {
        if (a->kind == KR_ANSWER_CELLS) fprintf(o->to, "%s%d", i ? ", " : "", a->cells[i]);
        else print_number(o->to, i ? ", " : "", 7, a->values[i]);
    }
    fputs("]", o->to);
    if (a->kind == KR_ANSWER_NUMBERS && a->label) {
        char name[24];
        fputs(", \"names\": [", o->to);
        for (int64_t i = 0; i < a->n; i++) {
            fputs(i ? ", " : "", o->to);
            print_text(o->to, label(a, i, name));
        }
        fputs("]", o->to);
    }
    fputs("}\n", o->to);
}

/* A line for each of the N most probable. */
static void csv_ranked(const output *o, const kr_answer *a) {
    char name[24];
    int64_t i = -1;
    if (o->n == 0) fputs("file,rank,next,probability\n", o->to);
    for (int k = 0; k < o->top && (i = next_best(a, i)) >= 0; k++) {
        print_cell(o->to, a->name);
        fprintf(o->to, ",%d,", k + 1);
        print_cell(o->to, label(a, i, name));
        fprintf(o->to, ",%.7g\n", a->values[i]);
    }
}

static void csv_answer(const output *o, const kr_answer *a) {
    char name[24];
    if (a->kind == KR_ANSWER_RANKED) {
        csv_ranked(o, a);
        return;
    }
    if (o->n == 0) {
        fputs(a->kind == KR_ANSWER_CLASS ? "file,class" : "file", o->to);
        for (int64_t i = 0; i < a->n; i++) {
            fputc(',', o->to);
            print_cell(o->to, a->kind == KR_ANSWER_CELLS ? (snprintf(name, sizeof name, "%lld", (long long)i + 1), name) : label(a, i, name));
        }
        fputc('\n', o->to);
    }
    print_cell(o->to, a->name);
    if (a->kind == KR_ANSWER_CLASS) fputc(',', o->to), print_cell(o->to, label(a, a->best, name));
    for (int64_t i = 0; i < a->n; i++) {
        if (a->kind == KR_ANSWER_CELLS) fprintf(o->to, ",%d", a->cells[i]);
        else fprintf(o->to, ",%.7g", a->values[i]);
    }
    fputc('\n', o->to);
}

/* FILE.png of the first, FILE-1.png of the second, ...  Classes from black to white. */
static kr_status png_answer(const output *o, const kr_answer *a) {
    char path[4200];
    size_t stem = strlen(o->path) - 4;
    if (a->kind != KR_ANSWER_CELLS) {
        fprintf(stderr, "krait: %s: a PNG holds classes of pixels, and this model gives %s; want -o FILE.jsonl or FILE.csv\n", o->path,
                a->kind == KR_ANSWER_CLASS ? "a class for the whole" : a->kind == KR_ANSWER_RANKED ? "what comes next" : "numbers");
        return KR_ERR_STOPPED;
    }
    if (o->n) snprintf(path, sizeof path, "%.*s-%lld.png", (int)stem, o->path, (long long)o->n);
    else snprintf(path, sizeof path, "%s", o->path);
    uint8_t *grey = malloc((size_t)a->n);
    if (!grey) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < a->n; i++) grey[i] = (uint8_t)(a->cells[i] * 255 / (a->n_classes > 1 ? a->n_classes - 1 : 1));
    kr_status st = kr_png_write(path, a->H, a->W, grey);
    free(grey);
    return st;
}

static kr_status print(void *user, const kr_answer *a) {
    output *o = user;
    kr_status st = KR_OK;
    if (o->format == PNG) st = png_answer(o, a);
    else if (o->format == CSV) csv_answer(o, a);
    else json_answer(o, a);
    o->n++;
    return st == KR_OK && ferror(o->to) ? KR_ERR_STOPPED : st; /* no use to compute what cannot be said */
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

int cmd_predict(int argc, char **argv) {
    static const struct option options[] = {{"format", 1, NULL, 'f'}, {"top", 1, NULL, 't'}, {"device", 1, NULL, 'D'}, {"help", 0, NULL, 'h'}, {0}};
    kr_model_options where = {0};
    output o = {.to = stdout, .format = -1, .top = 5};
    double top = 5;
    for (int c; (c = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 'o') o.path = optarg;
        else if (c == 'D') where.device = optarg;
        else if (c == 'f') {
            o.format = strcmp(optarg, "jsonl") == 0 ? JSONL : strcmp(optarg, "csv") == 0 ? CSV : -1;
            if (o.format < 0) return misuse("predict", "--format is \"%s\", want jsonl or csv", optarg);
        } else if (c != 't') return misuse("predict", "wrong option");
        else if (!number("predict", "top", optarg, 1, 1e6, &top)) return EXIT_USAGE;
    }
    if (argc - optind < 2) return misuse("predict", "want a model and at least one file");
    o.top = (int)top;
    if (o.format < 0) o.format = !o.path || ends_with(o.path, ".jsonl") ? JSONL : ends_with(o.path, ".csv") ? CSV : ends_with(o.path, ".png") ? PNG : -1;
    if (o.format < 0) return misuse("predict", "-o is \"%s\": say with --format what it is to be, or call it .jsonl, .csv or .png", o.path);
    kr_model *m;
    if (kr_model_open(&m, argv[optind], &where) != KR_OK) return fail();
    if (o.path && o.format != PNG && !(o.to = fopen(o.path, "w"))) {
        perror(o.path);
        kr_model_free(m);
        return EXIT_FAILED;
    }
    kr_status st = kr_predict(m, (const char *const *)(argv + optind + 1), argc - optind - 1, print, &o);
    int code = st == KR_ERR_STOPPED ? EXIT_FAILED : st == KR_OK ? 0 : fail();
    bool lost = fflush(o.to) != 0 || ferror(o.to);
    if (lost) fprintf(stderr, "krait: %s: %s\n", o.path ? o.path : "standard output", strerror(errno)), code = EXIT_FAILED;
    if (o.to != stdout && fclose(o.to) != 0 && !lost) perror(o.path), code = EXIT_FAILED;
    kr_model_free(m);
    return code;
}
