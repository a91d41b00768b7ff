/* fuzz_main.c - runs a fuzz target without libFuzzer: the same mutations every time.
 *
 *   fuzz_NAME            mutates the seeds, as often as fuzz_inputs says
 *   fuzz_NAME -l         as often as lasts about KRAIT_FUZZ_SECONDS, if that is set; under sanitizers only
 *   fuzz_NAME -t 60      for a minute
 *   fuzz_NAME -i 123     the 123rd mutation alone, as after a crash
 *   fuzz_NAME -w DIR     writes the seeds there, a corpus for libFuzzer
 *   fuzz_NAME FILE...    these inputs
 *
 * Mutation i is a pure function of i.  They run in a child, so that whatever kills it, a
 * signal or a sanitizer, the parent can say which input did. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"

enum { ROOM = 1 << 16, HANG = 120 /* seconds for one input, on a machine that may be busy */ };

typedef struct input { uint8_t byte[ROOM]; size_t n; } input;

static int64_t below(kr_rng *r, size_t n) { return n ? kr_rng_below(r, (int64_t)n) : 0; }

/* Replaces `cut` bytes at `at` by n others, as far as there is room. */
static void splice(input *x, size_t at, size_t cut, const void *bytes, size_t n) {
    uint8_t copy[ROOM];
    if (cut > x->n - at) cut = x->n - at;
    if (n > ROOM || x->n - cut + n > ROOM) return;
    if (n) memcpy(copy, bytes, n); /* may lie in x itself */
    memmove(x->byte + at + n, x->byte + at + cut, x->n - at - cut);
    if (n) memcpy(x->byte + at, copy, n);
    x->n += n - cut;
}

/* A number in the text becomes one that tries the edges. */
static void change_number(input *x, size_t at, kr_rng *r) {
    static const char *const edges[] = {"-1", "0", "1", "2", "3", "7", "8", "9", "255", "4294967296", "9223372036854775807",
                                        "4611686018427387904", "9223372036854775808", "18446744073709551616", "1e999", "-0", "1.5"};
    while (at < x->n && (x->byte[at] < '0' || x->byte[at] > '9')) at++;
    size_t end = at;
    while (end < x->n && x->byte[end] >= '0' && x->byte[end] <= '9') end++;
    const char *with = edges[below(r, sizeof edges / sizeof *edges)];
    splice(x, at, end - at, with, strlen(with));
}

static void mutate(input *x, kr_rng *r) {
    static const uint64_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, UINT64_MAX};
    size_t at = (size_t)below(r, x->n + 1), other = (size_t)below(r, x->n + 1), n = (size_t)below(r, x->n - at < 64 ? x->n - at + 1 : 64);
    uint64_t value = odd[below(r, sizeof odd / sizeof *odd)];
    size_t words = 0;
    while (fuzz_words[words]) words++;
    const char *word = words ? fuzz_words[below(r, words)] : "";
    uint8_t any = (uint8_t)kr_rng_u64(r);
    switch (kr_rng_below(r, 11)) {
    case 0: if (at < x->n) x->byte[at] ^= (uint8_t)(1 << (any & 7)); break;
    case 1: if (at < x->n) x->byte[at] = any; break;
    case 2: splice(x, at, 0, &any, 1); break;
    case 3: splice(x, at, n, NULL, 0); break;                                        /* cut a piece out */
    case 4: splice(x, other, 0, x->byte + at, n); break;                             /* say a piece twice */
    case 5: splice(x, at, (size_t)1 << (any & 3), &value, (size_t)1 << (any & 3)); break;
    case 6: splice(x, at, 0, word, strlen(word)); break;
    case 7: splice(x, at, strlen(word), word, strlen(word)); break;
    case 8: x->n = any < 32 ? at : x->n; break;                                      /* cut the end off, seldom */
    default: change_number(x, at, r); break;
    }
}

static void make(input *x, uint64_t index) {
    int n_seeds = 0;
    kr_rng r = {.seed = 20260101, .stream = index};
    while ((x->n = fuzz_seed(n_seeds, x->byte, ROOM))) n_seeds++;
    if (n_seeds) x->n = fuzz_seed((int)(index % (uint64_t)n_seeds), x->byte, ROOM);
    if (index < (uint64_t)n_seeds) return; /* the seeds themselves come first */
    for (int64_t k = 1 + kr_rng_below(&r, 6); k > 0; k--) mutate(x, &r);
}

/* Runs on memory whose end is the end of a page, with nothing behind it. */
static void run(const input *x) {
    static uint8_t *wall;
    long page = sysconf(_SC_PAGESIZE);
    if (!wall) {
        wall = mmap(NULL, (size_t)(ROOM + page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (wall == MAP_FAILED || mprotect(wall + ROOM, (size_t)page, PROT_NONE)) exit(2);
    }
    memcpy(wall + ROOM - x->n, x->byte, x->n);
    LLVMFuzzerTestOneInput(wall + ROOM - x->n, x->n);
}

static int write_seeds(const char *dir) {
    static input x;
    char path[1024], name[32];
    if (kr_dir_make(dir) != KR_OK) goto bad;
    for (int i = 0; (x.n = fuzz_seed(i, x.byte, ROOM)); i++) {
        snprintf(name, sizeof name, "seed-%d", i);
        if (kr_path_join(path, sizeof path, dir, name) != KR_OK || kr_file_write(path, x.byte, x.n) != KR_OK) goto bad;
    }
    return 0;
bad:
    fprintf(stderr, "%s\n", kr_error());
    return 1;
}

static int run_files(char **path) {
    for (; *path; path++) {
        void *data;
        size_t n;
        if (kr_file_read(&data, &n, *path) != KR_OK) {
            fprintf(stderr, "%s\n", kr_error());
            return 1;
        }
        LLVMFuzzerTestOneInput(data, n);
        kr_mem_free(data);
    }
    return 0;
}

/* So many inputs, or (0) for so many seconds. */
static void run_all(volatile uint64_t *index, uint64_t n, double seconds) {
    static input x;
    time_t start = time(NULL);
    for (; n ? *index < n : *index % 64 || difftime(time(NULL), start) < seconds; ++*index) {
        alarm(HANG);
        make(&x, *index);
        run(&x);
    }
}

/* Always the same number, or a failure would come and go with the load of a machine. */
static uint64_t how_many(bool long_run) {
#ifdef KR_INSTRUMENTED
    const char *seconds = long_run ? getenv("KRAIT_FUZZ_SECONDS") : NULL;
    double times = seconds ? strtod(seconds, NULL) / FUZZ_SECONDS : 1;
    return times > 1 ? (uint64_t)((double)fuzz_inputs * times) : (uint64_t)fuzz_inputs;
#else
    (void)long_run;
    return 4 * (uint64_t)fuzz_inputs;
#endif
}

int main(int argc, char **argv) {
    static input x;
    bool long_run = argc == 2 && strcmp(argv[1], "-l") == 0;
    uint64_t n = how_many(long_run);
    double seconds = 0;
    int status;
    if (argc == 3 && strcmp(argv[1], "-w") == 0) return write_seeds(argv[2]);
    if (argc == 3 && strcmp(argv[1], "-i") == 0) {
        make(&x, strtoull(argv[2], NULL, 10));
        fwrite(x.byte, 1, x.n, stdout);
        fflush(stdout);
        run(&x);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "-t") == 0) seconds = strtod(argv[2], NULL), n = 0;
    else if (argc > 1 && !long_run) return run_files(argv + 1);
    volatile uint64_t *index = mmap(NULL, sizeof *index, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (index == MAP_FAILED) return 2;
    pid_t child = fork();
    if (child == 0) {
        run_all(index, n, seconds);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) return 2;
    if (status == 0) printf("%llu inputs\n", (unsigned long long)*index);
    else printf("FAIL: input %llu; see it again with  %s -i %llu\n", (unsigned long long)*index, argv[0], (unsigned long long)*index);
    return status != 0;
}
