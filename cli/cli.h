/* cli.h - what the commands of krait share. */
#ifndef KRAIT_CLI_H
#define KRAIT_CLI_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "krait.h"

/* Exit codes: 0 done; 1 done, but the answer is no (verify beyond tolerance); 2 wrong use;
 * 3 failed; 130 stopped by Ctrl-C. */
enum { EXIT_NO = 1, EXIT_USAGE = 2, EXIT_FAILED = 3, EXIT_STOPPED = 130 };

typedef struct command {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} command;
int cmd_train(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_predict(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_quantize(int argc, char **argv);
int cmd_reduce(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_tokenizer(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int inspect_model(int argc, char **argv); /* its attention and states */
typedef struct loose_options {
    int64_t n, H, W;           /* how many things; of a picture rows and columns */
    uint64_t seed;
    const char *from, *out;
    bool print;
} loose_options;
bool is_loose(const char *name);          /* an order of things that lie on no grid? */
int inspect_loose(const char *name, const loose_options *o);
int cmd_serve(int argc, char **argv);

/* "krait: SENTENCE" on stderr, with a hint where one is known; returns EXIT_FAILED. */
int fail(void);
/* The same for wrong use: the sentence, and where help is. */
int misuse(const char *command, const char *fmt, ...);
/* Says, on stderr, that n tokens are more than the model's attention sees, if so. */
void warn_of_context(const kr_model *m, int64_t n);
/* A number from an option; false (and said) unless it is one in [min, max]. */
bool number(const char *command, const char *option, const char *text, double min, double max, double *out);
/* What a model, a server or a file says, in pieces of whole characters.  On a terminal nothing of it is a command to
 * that: control characters but newlines and tabs, and bytes that are no UTF-8, are shown as "^[" or U+FFFD. */
void show_text(FILE *to, const char *text, size_t n);
/* How many bytes the UTF-8 character has that text[0, n) begins with; 0: it begins with none. */
size_t utf8_letter(const char *text, size_t n);
/* "1.50 GB", "3.2M", "2:05" into a buffer of 32. */
const char *human_bytes(int64_t n, char to[32]);
const char *human_count(double n, char to[32]);
const char *human_time(double seconds, char to[32]);
/* n bytes as a JSON string on stdout, quotes around it. */
void print_json_text(const char *text, int64_t n);
/* The model that comes with Krait: KRAIT_MODEL, the installation's or the source tree's; NULL: there is none. */
const char *default_model(char *path, size_t size);
/* A whole file, or stdin for "-"; NULL (and said) on failure.  free() it. */
char *read_all(const char *path, size_t *n);
/* Fills a table of pointers with the functions of `names`, a zero byte behind each, of a library that few need, so that nobody else
 * loads it.  False: they cannot be had. */
bool open_functions(void *table, size_t bytes, const char *file, const char *names);
/* Ctrl-C sets this; the second one ends the program at once. */
extern volatile int interrupted;
void watch_interrupts(void (*also)(void));
#endif
