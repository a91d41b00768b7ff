/* cmd_tokenize.c - krait tokenize: text to token ids, and back. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "krait/tokenizer.h"

static const char help[] =
    "usage: krait tokenize TOKENIZER [FILE ...]     (a tokenizer.json or a folder with one; no file: stdin)\n\n"
    "  -t, --text TEXT  this instead of files\n"
    "      --pieces     a line a token: its id and its bytes, as JSON writes them\n"
    "      --count      bytes, tokens and bytes a token of each file, and megabytes a second\n"
    "      --raw        ids as 32-bit little-endian numbers\n"
    "      --decode     the other way: ids in the files (numbers with anything between), text out\n\n"
    "The ids are those of the Python package tokenizers; bytes that are no UTF-8 count as U+FFFD.\n";

typedef enum form { IDS, PIECES, COUNT, RAW, DECODE } form;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int decode(const kr_tokenizer *t, const char *text, const char *name) {
    for (const char *p = text; *p;) {
        char *end;
        int64_t n;
        if (*p < '0' || *p > '9') {
            p++;
            continue;
        }
        long long id = strtoll(p, &end, 10);
        const char *bytes = id <= INT32_MAX ? kr_tokenizer_text(t, (int32_t)id, &n) : NULL;
        if (!bytes) return fprintf(stderr, "krait: %s: there is no token %lld\n", name, id), EXIT_FAILED;
        fwrite(bytes, 1, (size_t)n, stdout);
        p = end;
    }
    return 0;
}

static int encode(const kr_tokenizer *t, const char *text, size_t n_bytes, const char *name, form how) {
    size_t room = n_bytes + 64; /* a token is a byte at least, but for U+FFFD and normalisation */
    int32_t *tok = malloc(room * sizeof *tok);
    if (!tok) return fprintf(stderr, "krait: %s: out of memory\n", name), EXIT_FAILED;
    double t0 = now();
    int64_t n = kr_tokenizer_encode(t, text, (int64_t)n_bytes, tok, (int64_t)room);
    double seconds = now() - t0;
    if (n > (int64_t)room) {
        free(tok);
        if (!(tok = malloc((size_t)n * sizeof *tok))) return fprintf(stderr, "krait: %s: out of memory\n", name), EXIT_FAILED;
        n = kr_tokenizer_encode(t, text, (int64_t)n_bytes, tok, n);
    }
    if (n < 0) return free(tok), fail();
    if (how == COUNT) printf("%-32s %12zu bytes %12lld tokens  %.3f bytes/token  %.1f MB/s\n", name, n_bytes, (long long)n, n ? (double)n_bytes / (double)n : 0, 1e-6 * (double)n_bytes / seconds);
    if (how == RAW) fwrite(tok, sizeof *tok, (size_t)n, stdout);
    for (int64_t i = 0; i < n && how == IDS; i++) printf("%s%d", i ? " " : "", tok[i]);
    if (how == IDS) putchar('\n');
    for (int64_t i = 0, k; i < n && how == PIECES; i++) {
        const char *piece = kr_tokenizer_text(t, tok[i], &k);
        printf("%d\t", tok[i]);
        print_json_text(piece, k);
        putchar('\n');
    }
    free(tok);
    return 0;
}

int cmd_tokenize(int argc, char **argv) {
    static const struct option options[] = {{"text", 1, NULL, 't'}, {"pieces", 0, NULL, PIECES + 1000}, {"count", 0, NULL, COUNT + 1000},
                                            {"raw", 0, NULL, RAW + 1000}, {"decode", 0, NULL, DECODE + 1000}, {"help", 0, NULL, 'h'}, {0}};
    static char *input[] = {"-", NULL};
    const char *text = NULL;
    form how = IDS;
    for (int c; (c = getopt_long(argc, argv, "t:h", options, NULL)) != -1;) {
        if (c == 'h') return fputs(help, stdout), 0;
        else if (c == 't') text = optarg;
        else if (c >= 1000) how = (form)(c - 1000);
        else return misuse("tokenize", "wrong option");
    }
    if (argc - optind < 1) return misuse("tokenize", "want a tokenizer");
    if (text && argc - optind > 1) return misuse("tokenize", "--text and files exclude each other");
    kr_tokenizer *t;
    if (kr_tokenizer_open(&t, argv[optind]) != KR_OK) return fail();
    int code = 0;
    char **file = argc - optind > 1 ? argv + optind + 1 : input;
    if (text) code = how == DECODE ? decode(t, text, "--text") : encode(t, text, strlen(text), "--text", how);
    for (; !text && *file && !code; file++) {
        size_t n;
        char *data = read_all(*file, &n);
        if (!data) code = EXIT_FAILED;
        else code = how == DECODE ? decode(t, data, *file) : encode(t, data, n, *file, how);
        free(data);
    }
    kr_tokenizer_free(t);
    return code;
}
