/* common.c - messages, numbers and files for the commands. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

size_t utf8_letter(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    size_t size = *p < 0x80 ? 1 : *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0, k = 1;
    while (k < size && k < n && (p[k] & 0xC0) == 0x80) k++;
    bool bad = k != size || (size == 3 && ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] >= 0xA0))) || (size == 4 && ((*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] >= 0x90)));
    return bad ? 0 : size;
}

void show_text(FILE *to, const char *text, size_t n) {
    bool tty = isatty(fileno(to));
    if (!tty) fwrite(text, 1, n, to);
    for (size_t i = 0, k; tty && i < n; i += k ? k : 1) {
        unsigned char b = (unsigned char)text[i];
        k = utf8_letter(text + i, n - i);
        if ((b < 0x20 && b != '\n' && b != '\t') || b == 0x7F) fprintf(to, "^%c", b ^ 0x40);
        else if (k == 0 || (b == 0xC2 && (unsigned char)text[i + 1] < 0xA0)) fputs("\xEF\xBF\xBD", to);
        else fwrite(text + i, 1, k, to);
    }
    fflush(to);
}

int fail(void) {
    const char *why = kr_error();
    if (!*why) why = "failed";
    fputs("krait: ", stderr);
    show_text(stderr, why, strlen(why)); /* may cite a file */
    fputc('\n', stderr);
    return EXIT_FAILED;
}

bool open_functions(void *table, size_t bytes, const char *file, const char *names) {
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL), *f = lib;
    for (size_t at = 0; f && at < bytes; at += sizeof f, names += strlen(names) + 1)
        if ((f = dlsym(lib, names))) memcpy((char *)table + at, &f, sizeof f);
    if (!f) memset(table, 0, bytes);
    return f != NULL;
}

int misuse(const char *cmd, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "krait %s: ", cmd);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nTry `krait %s --help`.\n", cmd);
    va_end(ap);
    return EXIT_USAGE;
}

void warn_of_context(const kr_model *m, int64_t n) {
    int64_t sees = kr_model_context(m);
    if (sees && n > sees) fprintf(stderr, "krait: %lld tokens, and this model's attention sees the last %lld; --context N lets it see more\n", (long long)n, (long long)sees);
}

bool number(const char *cmd, const char *option, const char *text, double min, double max, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (end != text && *end == 0 && *out >= min && *out <= max) return true;
    misuse(cmd, "--%s is \"%s\", want a number from %g to %g", option, text, min, max);
    return false;
}

const char *human_bytes(int64_t n, char to[32]) {
    static const char *const unit[] = {"B", "KB", "MB", "GB", "TB"};
    double x = (double)n;
    int i = 0;
    while (x >= 1000 && i < 4) x /= 1000, i++;
    snprintf(to, 32, i ? "%.2f %s" : "%.0f %s", x, unit[i]);
    return to;
}

const char *human_count(double n, char to[32]) {
    if (n >= 1e9) snprintf(to, 32, "%.2fG", n / 1e9);
    else if (n >= 1e6) snprintf(to, 32, "%.2fM", n / 1e6);
    else if (n >= 1e4) snprintf(to, 32, "%.1fK", n / 1e3);
    else snprintf(to, 32, "%.0f", n);
    return to;
}

const char *human_time(double s, char to[32]) {
    long t = (long)(s + 0.5);
    if (s >= 3600) snprintf(to, 32, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
    else snprintf(to, 32, "%ld:%02ld", t / 60, t % 60);
    return to;
}

char *read_all(const char *path, size_t *n) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t size = 0, got;
    char *data = NULL;
    *n = 0;
    while (f) {
        if (size - *n < 65536) {
            char *more = realloc(data, size = size ? 2 * size : 1 << 17);
            if (!more) break;
            data = more;
        }
        got = fread(data + *n, 1, size - *n - 1, f);
        *n += got;
        if (got == 0) {
            bool bad = ferror(f);
            if (f != stdin) fclose(f);
            if (bad) break;
            data[*n] = 0;
            return data;
        }
    }
    fprintf(stderr, "krait: %s: %s\n", path, strerror(errno));
    free(data);
    return NULL;
}

void print_json_text(const char *text, int64_t n) {
    putchar('"');
    for (int64_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (c == '\n') fputs("\\n", stdout);
        else if (c == '\t') fputs("\\t", stdout);
        else if (c < 0x20 || c == 0x7f) printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

/* Beside the program: bin/krait has share/krait/models, a build in the source tree has models. */
const char *default_model(char *path, size_t size) {
    static const char *const beside[] = {"../share/krait/models", "../models", "../../models"};
    const char *own = getenv("KRAIT_MODEL");
    char program[4096];
    if (own && *own) return own;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash) *slash = 0;
    for (int i = 0; slash && i < 3; i++)
        if (snprintf(path, size, "%s/%s/krait-chat.gguf", program, beside[i]) < (int)size && access(path, R_OK) == 0) return path;
    return snprintf(path, size, "%s/krait-chat.gguf", KRAIT_MODELS) < (int)size && access(path, R_OK) == 0 ? path : NULL;
}

volatile int interrupted;
static void (*on_interrupt)(void);

/* The second one means it, unless it comes at once: timeout(1) and others tell a program and its group, so twice. */
static void handle(int sig) {
    static struct timespec first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (interrupted && (double)(now.tv_sec - first.tv_sec) + 1e-9 * (double)(now.tv_nsec - first.tv_nsec) < 0.5) return;
    if (interrupted) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    first = now;
    interrupted = 1;
    if (on_interrupt) on_interrupt();
}

void watch_interrupts(void (*also)(void)) {
    struct sigaction a = {.sa_handler = handle};
    on_interrupt = also;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}
