/* cmd_generate.c - krait generate: a model writes. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

static const char help[] =
    "usage: krait generate MODEL [--prompt TEXT | --file FILE]\n\n"
    "  -p, --prompt TEXT     what to continue (a newline)\n"
    "  -f, --file FILE       read the prompt from a file; \"-\" is stdin; any length\n"
    "  -n, --tokens N        tokens to write (256)\n"
    "  -t, --temperature X   0 always takes the likeliest; 1 draws as the model says (0.8)\n"
    "      --top-k N         draw among the N likeliest only; 0: all (0)\n"
    "      --top-p X         draw among the likeliest that together have this probability (0.95)\n"
    "      --min-p X         drop what is less likely than X times the likeliest (0)\n"
    "      --repetition-penalty X  divide the probability of tokens seen before by X (1)\n"
    "      --seed N          same seed, same text (1)\n"
    "      --stop TEXT       end where this would appear; can be given several times\n"
    "      --save FILE       keep the state at the end: the text can go on from there\n"
    "      --load FILE       go on from a kept state, after which the prompt (if any) is read\n"
    "      --prefill N       prompt tokens read at once (256); memory grows with it\n"
    "      --no-echo         do not print the prompt\n"
    "      --device WHERE    cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "      --dtype TYPE      float32 or bfloat16: how matrices are held (float32)\n"
    "      --state-dtype T   float32, bfloat16 or float16: how states are held on a GPU (float32)\n"
    "      --stats           tokens per second, to stderr\n";

typedef struct request {
    kr_session_options opt;
    const char *prompt, *file, *save, *load, *stop[16];
    int n_stop;
    int64_t n;
    bool no_echo, stats;
} request;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Text that may still become a stop string is held back, and so is half a character. */
typedef struct stream { const request *r; char held[4096]; size_t n; } stream;

static bool put_some(stream *s, const char *bytes, int64_t n) {
    memcpy(s->held + s->n, bytes, (size_t)n);
    s->n += (size_t)n;
    size_t keep = 0;
    for (int i = 0; i < s->r->n_stop; i++) {
        size_t len = strlen(s->r->stop[i]);
        char *found = memmem(s->held, s->n, s->r->stop[i], len);
        if (found) {
            fwrite(s->held, 1, (size_t)(found - s->held), stdout);
            s->n = 0;
            return false;
        }
        for (size_t k = len < s->n ? len - 1 : s->n; k > keep; k--)
            if (memcmp(s->held + s->n - k, s->r->stop[i], k) == 0) keep = k;
    }
    size_t whole = (size_t)kr_utf8_whole(s->held, (int64_t)s->n);
    if (s->n - whole > keep) keep = s->n - whole;
    fwrite(s->held, 1, s->n - keep, stdout);
    fflush(stdout);
    memmove(s->held, s->held + s->n - keep, keep);
    s->n = keep;
    return true;
}

/* A token may have any length: what is held has not. */
static bool put(stream *s, const char *bytes, int64_t n) {
    for (int64_t k; n > 0; bytes += k, n -= k)
        if (!put_some(s, bytes, k = n < 2048 ? n : 2048)) return false;
    return true;
}

static kr_status feed_text(const kr_model *m, kr_session *s, const char *text, size_t n, int64_t *n_tok) {
    *n_tok = kr_encode(m, text, (int64_t)n, NULL, 0);
    if (*n_tok < 0) return (kr_status)*n_tok;
    int32_t *tok = malloc(((size_t)*n_tok + 1) * sizeof *tok);
    if (!tok) return KR_ERR_NOMEM;
    kr_encode(m, text, (int64_t)n, tok, *n_tok);
    kr_status st = kr_session_feed(s, tok, *n_tok);
    free(tok);
    return st;
}

static kr_status write_text(const kr_model *m, kr_session *s, const request *r, int64_t *n_written) {
    stream out = {.r = r};
    for (*n_written = 0; *n_written < r->n && !interrupted; ++*n_written) {
        int64_t n;
        int32_t t = kr_session_sample(s);
        if (t == KR_END) break;
        const char *text = kr_token_text(m, t, &n);
        if (text && !put(&out, text, n)) return KR_OK;
        kr_status st = kr_session_feed(s, &t, 1);
        if (st != KR_OK) return st;
    }
    fwrite(out.held, 1, out.n, stdout);
    return KR_OK;
}

static int run(const kr_model *m, const request *r) {
    kr_session *s;
    int64_t n_prompt = 0, n_written = 0;
    size_t n = r->prompt ? strlen(r->prompt) : 0;
    char *from_file = NULL;
    if (r->file && !(from_file = read_all(r->file, &n))) return EXIT_FAILED;
    const char *prompt = from_file ? from_file : r->prompt ? r->prompt : r->load ? "" : "\n";
    if (!from_file && !r->prompt) n = strlen(prompt);
    kr_status st = kr_session_new(&s, m, &r->opt);
    if (st != KR_OK) return free(from_file), fail();
    double t0 = now(), t1 = t0;
    if (r->load) st = kr_session_load(s, r->load);
    if (st == KR_OK) st = feed_text(m, s, prompt, n, &n_prompt);
    t1 = now();
    if (st == KR_OK && !r->no_echo) fwrite(prompt, 1, n, stdout);
    if (st == KR_OK) st = write_text(m, s, r, &n_written);
    printf("\n");
    double t2 = now();
    if (st == KR_OK && r->save) st = kr_session_save(s, r->save);
    if (st == KR_OK && r->stats)
        fprintf(stderr, "prompt %lld tokens, %.0f tokens/s; written %lld tokens, %.0f tokens/s; state %lld bytes\n", (long long)n_prompt,
                t1 > t0 ? (double)n_prompt / (t1 - t0) : 0, (long long)n_written, t2 > t1 ? (double)n_written / (t2 - t1) : 0, (long long)kr_session_state_bytes(s));
    kr_session_free(s);
    free(from_file);
    if (st != KR_OK) return fail();
    return interrupted ? EXIT_STOPPED : 0;
}

int cmd_generate(int argc, char **argv) {
    enum { TOP_K = 1000, TOP_P, MIN_P, PENALTY, SEED, STOP, SAVE, LOAD, PREFILL, NO_ECHO, STATS, DEVICE, DTYPE, STATE_DTYPE };
    static const struct option options[] = {
        {"prompt", 1, NULL, 'p'}, {"file", 1, NULL, 'f'}, {"tokens", 1, NULL, 'n'}, {"temperature", 1, NULL, 't'}, {"top-k", 1, NULL, TOP_K},
        {"top-p", 1, NULL, TOP_P}, {"min-p", 1, NULL, MIN_P}, {"repetition-penalty", 1, NULL, PENALTY}, {"seed", 1, NULL, SEED}, {"stop", 1, NULL, STOP},
        {"save", 1, NULL, SAVE}, {"load", 1, NULL, LOAD}, {"prefill", 1, NULL, PREFILL}, {"no-echo", 0, NULL, NO_ECHO}, {"stats", 0, NULL, STATS},
        {"device", 1, NULL, DEVICE}, {"dtype", 1, NULL, DTYPE}, {"state-dtype", 1, NULL, STATE_DTYPE},
        {"help", 0, NULL, 'h'}, {0}};
    request r = {.opt = {.temperature = 0.8f, .top_p = 0.95f, .seed = 1}, .n = 256};
    kr_model_options where = {0};
    double x = 0;
#define NUMBER(name, min, max) if (!number("generate", name, optarg, min, max, &x)) return EXIT_USAGE
    for (int c; (c = getopt_long(argc, argv, "p:f:n:t:h", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), 0;
        case 'p': r.prompt = optarg; break;
        case 'f': r.file = optarg; break;
        case 'n': NUMBER("tokens", 0, 1e15); r.n = (int64_t)x; break;
        case 't': NUMBER("temperature", 0, 100); r.opt.temperature = (float)x; break;
        case TOP_K: NUMBER("top-k", 0, 1e9); r.opt.top_k = (int64_t)x; break;
        case TOP_P: NUMBER("top-p", 0, 1); r.opt.top_p = (float)x; break;
        case MIN_P: NUMBER("min-p", 0, 1); r.opt.min_p = (float)x; break;
        case PENALTY: NUMBER("repetition-penalty", 1e-3, 1e3); r.opt.repetition_penalty = (float)x; break;
        case SEED: NUMBER("seed", 0, 9e15); r.opt.seed = (uint64_t)x; break;
        case PREFILL: NUMBER("prefill", 1, 1e9); r.opt.prefill_tok = (int64_t)x; break;
        case STOP:
            if (r.n_stop == 16 || !*optarg || strlen(optarg) > 1000) return misuse("generate", "--stop: at most 16, of 1 to 1000 bytes");
            r.stop[r.n_stop++] = optarg;
            break;
        case SAVE: r.save = optarg; break;
        case LOAD: r.load = optarg; break;
        case NO_ECHO: r.no_echo = true; break;
        case STATS: r.stats = true; break;
        case DEVICE: where.device = optarg; break;
        case STATE_DTYPE: r.opt.state_dtype = optarg; break;
        case DTYPE: where.dtype = optarg; break;
        default: return misuse("generate", "wrong option");
        }
#undef NUMBER
    if (argc - optind != 1) return misuse("generate", "want one model folder");
    if (r.prompt && r.file) return misuse("generate", "--prompt and --file exclude each other");
    kr_model *m;
    if (kr_model_open(&m, argv[optind], &where) != KR_OK) return fail();
    watch_interrupts(NULL);
    int code = run(m, &r);
    kr_model_free(m);
    return code;
}
