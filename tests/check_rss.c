/* check_rss.c - a model of 130 million parameters in q8_0 runs in 1.2 times its file: weights where the file has them, a state,
 * and little else.  What is measured is the program, from its start to its end, with a vocabulary of the usual size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "model/gguf.h"
#include "text/tokenizer.h"

enum { SKIP = 77, N_LETTERS = 224 }; /* 224 * 224 pairs of letters: 50,432 tokens, 49,999 of them merges */
static const double most = 1.21; /* 1.2, and what the libraries of one machine take more than those of another */

static void must(kr_status st) {
    if (st == KR_OK) return;
    printf("check_rss: %s\n", kr_error());
    _exit(1);
}

/* A token for each byte and for pairs of them. */
static void write_vocabulary(kr_str *j) {
    kr_str letter[256] = {{0}}, merges = {0};
    int id = 256;
    kr_str_append(j, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (int b = 0; b < 256; b++) {
        kr_spell_bytes(&letter[b], &(unsigned char){(unsigned char)b}, 1);
        kr_str_append(j, b ? ",\n      " : "\n      "); /* as Hugging Face's files are laid out */
        kr_str_append_json(j, kr_str_text(&letter[b]));
        kr_str_appendf(j, ": %d", b);
    }
    for (int i = 0; i < N_LETTERS * N_LETTERS && id < 50277; i++) {
        kr_str pair = {0};
        const char *a = kr_str_text(&letter[i / N_LETTERS]), *b = kr_str_text(&letter[i % N_LETTERS]);
        kr_str_appendf(&pair, "%s%s", a, b);
        kr_str_append(j, ",\n      ");
        kr_str_append_json(j, kr_str_text(&pair));
        kr_str_appendf(j, ": %d", id++);
        kr_str_cut(&pair, 0);
        kr_str_appendf(&pair, "%s %s", a, b);
        kr_str_append(&merges, merges.n ? ",\n      " : "\n      ");
        kr_str_append_json(&merges, kr_str_text(&pair));
        kr_str_free(&pair);
    }
    kr_str_appendf(j, "}, \"merges\": [%s]}}", kr_str_text(&merges));
    for (int b = 0; b < 256; b++) kr_str_free(&letter[b]);
    kr_str_free(&merges);
    must(kr_str_status(j));
}

/* Its weights are zero: they take the room of any others. */
static void write_model(const char *config, const char *path) {
    kr_model *m;
    json_t *j;
    kr_str vocabulary = {0};
    must(kr_json_parse(&j, config, strlen(config), "a config"));
    must(kr_model_describe(&m, j, "a config", KR_F32, NULL));
    for (kr_param *p = m->params->first; p; p = p->next) kr_model_choose_dtype(m, p, kr_matrix_dtype(p, KR_Q8_0));
    must(kr_params_alloc(m->params, false));
    write_vocabulary(&vocabulary);
    must(kr_tokenizer_open_text(&m->tokenizer, kr_str_text(&vocabulary), vocabulary.n, "a vocabulary"));
    must(kr_gguf_save(m, path, KR_Q8_0));
}

/* In a process of its own, that starts small: what it has had at most counts for what it becomes. */
static int64_t run(const char *krait, const char *config, const char *path) {
    struct rusage used;
    int status = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0 && !krait) write_model(config, path), _exit(0);
    if (child == 0) {
        setenv("KRAIT_THREADS", "2", 1);
        if (!freopen("/dev/null", "w", stdout)) _exit(1);
        execl(krait, krait, "generate", path, "-p", "The krait is", "-n", "20", "-t", "0", (char *)NULL);
        _exit(1);
    }
    bool fine = child > 0 && wait4(child, &status, 0, &used) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!fine) printf("check_rss: %s failed\n", krait ? krait : "writing a model"), exit(1);
    return (int64_t)used.ru_maxrss * 1024;
}

int main(int argc, char **argv) {
    static const struct { const char *name, *config; } model[] = {
        {"mamba2-130m", "{\"d_model\": 768, \"n_layer\": 24, \"vocab_size\": 50277, \"pad_vocab_size_multiple\": 16, \"ssm_cfg\": {\"layer\": \"Mamba2\"}}"},
        {"mamba-130m", "{\"d_model\": 768, \"n_layer\": 24, \"vocab_size\": 50277, \"pad_vocab_size_multiple\": 8, \"ssm_cfg\": {}}"}};
    char dir[64], path[128], krait[4096];
    int bad = 0;
    (void)argc;
#ifdef KR_INSTRUMENTED
    return SKIP; /* that takes memory itself */
#endif
    const char *slash = strrchr(argv[0], '/');
    snprintf(krait, sizeof krait, "%.*s/krait", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    if (access(krait, X_OK)) return printf("check_rss: skipped: there is no %s\n", krait), SKIP;
    snprintf(dir, sizeof dir, "%s/krait_rss_XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"); /* pages of a file, in either */
    if (!mkdtemp(dir)) return 1;
    for (int i = 0; i < 2; i++) {
        struct stat file;
        snprintf(path, sizeof path, "%s/%s.gguf", dir, model[i].name);
        run(NULL, model[i].config, path);
        int64_t bytes = run(krait, model[i].config, path);
        if (stat(path, &file)) return 1;
        double ratio = (double)bytes / (double)file.st_size;
        printf("%s in q8_0: a file of %.1f MB, %.1f MB at most, %.3f times (want at most %.2f)\n", model[i].name, (double)file.st_size / 1e6, (double)bytes / 1e6, ratio, most);
        bad |= !(ratio <= most);
        unlink(path);
    }
    rmdir(dir);
    return bad;
}
