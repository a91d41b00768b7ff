/* fuzz.h - what a fuzz target is: one function over hostile bytes, and seeds to start from.
 *
 * A target tests/fuzz_NAME.c runs two ways.  Configured with -DKRAIT_FUZZ=ON (clang) it is
 * a libFuzzer program; otherwise fuzz_main.c mutates its seeds, the same number of times on any machine. */
#ifndef KR_TESTS_FUZZ_H
#define KR_TESTS_FUZZ_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Must come back from any input; aborts where a promise is broken.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
/* Writes the i-th valid input to `to` and returns its length; 0: there is none. */
size_t fuzz_seed(int i, uint8_t *to, size_t room);
/* How many ctest runs under sanitizers, of some FUZZ_SECONDS on one core; without them, at a fraction of the cost, four times as many.
 * Of what reads the files that people hand out, .ci/run has as many as last a minute. */
enum { FUZZ_SECONDS = 2 };
extern const long fuzz_inputs;
/* Pieces of the language, ended by NULL. */
extern const char *const fuzz_words[];

/* A promise that must hold for any input. */
#define FUZZ_MUST(e) ((e) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #e))
__attribute__((noreturn)) static inline void fuzz_broken(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, what);
    abort();
}
/* A seed that is a text. */
static inline size_t fuzz_text(const char *text, uint8_t *to, size_t room) {
    size_t n = strlen(text);
    FUZZ_MUST(n <= room);
    memcpy(to, text, n);
    return n;
}
#endif
