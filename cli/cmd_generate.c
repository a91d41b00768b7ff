/* cmd_generate.c - krait generate: a model writes. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "krait/grammar.h"
#include "krait/infer.h"

static const char help[] =
    "usage: krait generate MODEL [--prompt TEXT | --file FILE]\n\n"
    "  -p, --prompt TEXT     what to continue (a newline)\n"
    "  -f, --file FILE       read the prompt from a file; \"-\" is stdin; any length\n"
    "  -n, --tokens N        tokens to write (256)\n"
    "  -t, --temperature X   0 always takes the likeliest; 1 draws as the model says (0.8)\n"
    "      --top-k N         draw among the N likeliest only; 0: all (0)\n"
    "      --top-p X         draw among the likeliest that together have this probability (0.95)\n"
    "      --min-p X         drop what is less likely than X times the likeliest (0)\n"
    "      --typical-p X     draw among those about as surprising as expected, of this probability (0)\n"
    "      --top-n-sigma X   drop scores more than X standard deviations below the best (0)\n"
    "      --xtc-probability X, --xtc-threshold X   so often, drop all but the last of the tokens that likely (0, 0.1)\n"
    "      --mirostat TAU    keep to a surprise of TAU bits a token, instead of the cuts above (0)\n"
    "      --mirostat-eta X  how fast that learns (0.1)\n"
    "      --repetition-penalty X  divide the probability of tokens seen before by X (1)\n"
    "      --frequency-penalty X   off a token's score each time it was written (0)\n"
    "      --presence-penalty X    off a token's score once it was written (0)\n"
    "      --dry X           off the score of what repeats a stretch of tokens: X BASE^(length - ALLOWED) (0)\n"
    "      --dry-base X, --dry-allowed N, --dry-range N   (1.75, 2, 1024 tokens back)\n"
    "      --bias ID=X       add X to the score of a token, -inf: never; can be given several times\n"
    "      --min-tokens N    no end of the text before so many (0)\n"
    "      --grammar FILE    keep to a grammar (GBNF, as llama.cpp's)\n"
    "      --json-schema FILE  keep to a JSON schema\n"
    "      --draft MODEL     a smaller model of the same tokens guesses ahead; the text stays the same, sooner\n"
    "      --draft-ngram N   guess ahead from what followed the last N tokens before (0)\n"
    "      --draft-tokens N  guess so many at once, at most 15 (7)\n"
    "      --seed N          same seed, same text (1)\n"
    "      --logprobs N      each token and the N likeliest, with log-probabilities, to stderr\n"
    "      --stop TEXT       end where this would appear; can be given several times\n"
    "      --save FILE       keep the state at the end: the text can go on from there\n"
    "      --load FILE       go on from a kept state, after which the prompt (if any) is read\n"
    "      --context N       how many tokens back attention sees, of models that have some (as the config says, or 2048)\n"
    "      --prefill N       prompt tokens read at once (512); memory grows with it\n"
    "      --no-echo         do not print the prompt\n"
    "      --device WHERE    cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "      --dtype TYPE      how matrices are held: float32, bfloat16, q8_0, q6_k, q4_k, q4_0, on a CPU float16\n"
    "                        (as the file has them)\n"
    "      --mapped          leave weights in blocks in the file, shared with other processes, though products are slower\n"
    "      --woven           read those in 16 and 32 bits, too, and arrange them for products; for long texts\n"
    "      --state-dtype T   float32, bfloat16 or float16: how states are held on a GPU (float32)\n"
    "      --stats           tokens per second, to stderr\n";

typedef struct request {
    kr_session_options opt;
    kr_model_options where;
    kr_sampler_options how;
    kr_logit_bias bias[256];
    int64_t n_top;
    kr_draft_options guess;
    const char *draft, *grammar, *schema, *prompt, *file, *save, *load, *stop[16];
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

enum { MAX_TOP = 100 };
static void show_token(const kr_model *m, int32_t tok, double logprob) {
    int64_t n = 0;
    const char *text = kr_token_text(m, tok, &n);
    fprintf(stderr, " %d \"", tok);
    for (int64_t i = 0; text && i < n; i++) fprintf(stderr, text[i] < 32 || text[i] == '"' ? "\\x%02x" : "%c", (unsigned char)text[i]);
    fprintf(stderr, "\" %.4f", logprob);
}
static void show_logprobs(const kr_model *m, const kr_session *s, int32_t tok, int64_t n) {
    kr_logprob top[MAX_TOP];
    const float *logits = kr_session_logits(s);
    show_token(m, tok, kr_logprob_of(logits, kr_model_vocab_size(m), tok));
    n = kr_logprobs_top(logits, kr_model_vocab_size(m), top, n);
    for (int64_t i = 0; i < n; i++) {
        fputs(i ? "," : " |", stderr);
        show_token(m, top[i].tok, top[i].logprob);
    }
    fputc('\n', stderr);
}

static kr_status write_text(const kr_model *m, kr_session *s, const request *r, int64_t *n_written) {
    stream out = {.r = r};
    for (*n_written = 0; *n_written < r->n && !interrupted; ++*n_written) {
        int64_t n;
        int32_t t = kr_session_sample(s);
        if (t == KR_END) break;
        if (r->n_top >= 0) show_logprobs(m, s, t, r->n_top);
        const char *text = kr_token_text(m, t, &n);
        if (text && !put(&out, text, n)) return KR_OK;
        kr_status st = kr_session_feed(s, &t, 1);
        if (st != KR_OK) return st;
    }
    fwrite(out.held, 1, out.n, stdout);
    return KR_OK;
}

static kr_status set_grammar(const kr_model *m, kr_session *s, const request *r, const char *text, size_t n) {
    kr_grammar *g;
    if (!text) return KR_OK;
    kr_status st = r->grammar ? kr_grammar_new(&g, m, text, (int64_t)n) : kr_grammar_from_schema(&g, m, text, (int64_t)n);
    if (st != KR_OK) return st;
    st = kr_session_set_grammar(s, g);
    kr_grammar_free(g);
    return st;
}

/* Guesses come from a model, from the text, or not at all. */
static kr_status set_draft(kr_session *s, const request *r, kr_model **helper) {
    kr_draft_options o = r->guess;
    if (!r->draft && !o.n_gram) return KR_OK;
    if (r->draft) {
        kr_status st = kr_model_open(helper, r->draft, &r->where);
        if (st != KR_OK) return st;
        o.model = *helper;
    }
    return kr_session_set_draft(s, &o);
}

static int run(const kr_model *m, const request *r) {
    kr_session *s;
    kr_model *helper = NULL;
    int64_t n_prompt = 0, n_written = 0;
    size_t n = r->prompt ? strlen(r->prompt) : 0;
    const char *rules_file = r->grammar ? r->grammar : r->schema;
    char *from_file = NULL, *rules = NULL;
    size_t n_rules = 0;
    if (r->file && !(from_file = read_all(r->file, &n))) return EXIT_FAILED;
    if (rules_file && !(rules = read_all(rules_file, &n_rules))) return free(from_file), EXIT_FAILED;
    const char *prompt = from_file ? from_file : r->prompt ? r->prompt : r->load ? "" : "\n";
    if (!from_file && !r->prompt) n = strlen(prompt);
    kr_status st = kr_session_new(&s, m, &r->opt);
    if (st != KR_OK) return free(from_file), free(rules), fail();
    double t0 = now(), t1 = t0;
    st = set_grammar(m, s, r, rules, n_rules);
    if (st == KR_OK) st = set_draft(s, r, &helper);
    if (st == KR_OK && r->load) st = kr_session_load(s, r->load);
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
    kr_draft_stats guesses = kr_session_draft_stats(s);
    if (st == KR_OK && r->stats && guesses.n_runs)
        fprintf(stderr, "guessed %lld tokens in %lld runs, %lld were right\n", (long long)guesses.n_guessed, (long long)guesses.n_runs, (long long)guesses.n_accepted);
    if (st == KR_OK) warn_of_context(m, kr_session_n_tok(s));
    kr_session_free(s);
    kr_model_free(helper);
    free(from_file);
    free(rules);
    if (st != KR_OK) return fail();
    return interrupted ? EXIT_STOPPED : 0;
}

/* Numbers of the sampler; any other option by its own case. */
static const struct { const char *name; size_t at; double min, max; } numbers[] = {
#define REAL(option, field, min, max) {option, offsetof(kr_sampler_options, field), min, max}
    REAL("temperature", temperature, 0, 100), REAL("top-p", top_p, 0, 1), REAL("min-p", min_p, 0, 1), REAL("repetition-penalty", repetition_penalty, 1e-3, 1e3),
    REAL("typical-p", typical_p, 0, 1), REAL("top-n-sigma", top_n_sigma, 0, 1e3), REAL("xtc-probability", xtc_probability, 0, 1),
    REAL("xtc-threshold", xtc_threshold, 0, 1), REAL("mirostat", mirostat_tau, 0, 100), REAL("mirostat-eta", mirostat_eta, 0, 10),
    REAL("frequency-penalty", frequency_penalty, -100, 100), REAL("presence-penalty", presence_penalty, -100, 100), REAL("dry", dry_multiplier, 0, 1e3),
    REAL("dry-base", dry_base, 1, 100)};
static const struct { const char *name; size_t at; double max; } counts[] = {
#define COUNT(option, field, max) {option, offsetof(kr_sampler_options, field), max}
    COUNT("top-k", top_k, 1e9), COUNT("dry-allowed", dry_allowed, 1e9), COUNT("dry-range", dry_range, 4096), COUNT("min-tokens", min_tok, 1e15)};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers, N_COUNTS = sizeof counts / sizeof *counts, SAMPLER = 2000 };

static bool set_choice(kr_sampler_options *how, int i, const char *text) {
    double x;
    bool real = i < N_NUMBERS;
    if (!number("generate", real ? numbers[i].name : counts[i - N_NUMBERS].name, text, real ? numbers[i].min : 0, real ? numbers[i].max : counts[i - N_NUMBERS].max, &x)) return false;
    if (real) *(float *)((char *)how + numbers[i].at) = (float)x;
    else *(int64_t *)((char *)how + counts[i - N_NUMBERS].at) = (int64_t)x;
    return true;
}

static bool add_bias(request *r, const char *text) {
    char *end;
    long tok = strtol(text, &end, 10);
    if (r->how.n_bias == 256 || *end != '=' || tok < 0 || tok > INT32_MAX) return misuse("generate", "--bias is \"%s\", want ID=X, at most 256 times", text), false;
    float x = strtof(end + 1, &end);
    if (*end) return misuse("generate", "--bias is \"%s\", want ID=X", text), false;
    r->bias[r->how.n_bias++] = (kr_logit_bias){(int32_t)tok, x};
    return true;
}

int cmd_generate(int argc, char **argv) {
    enum { SEED = 1000, DRAFT, DRAFT_NGRAM, DRAFT_TOKENS, BIAS, LOGPROBS, GRAMMAR, SCHEMA, STOP, SAVE, LOAD, PREFILL, CONTEXT, NO_ECHO, STATS, DEVICE, DTYPE, STATE_DTYPE, MAPPED, WOVEN };
    struct option options[N_NUMBERS + N_COUNTS + 32] = {
        {"prompt", 1, NULL, 'p'}, {"file", 1, NULL, 'f'}, {"tokens", 1, NULL, 'n'}, {"seed", 1, NULL, SEED}, {"stop", 1, NULL, STOP},
        {"draft", 1, NULL, DRAFT}, {"draft-ngram", 1, NULL, DRAFT_NGRAM}, {"draft-tokens", 1, NULL, DRAFT_TOKENS}, {"grammar", 1, NULL, GRAMMAR}, {"json-schema", 1, NULL, SCHEMA}, {"bias", 1, NULL, BIAS}, {"logprobs", 1, NULL, LOGPROBS},
        {"save", 1, NULL, SAVE}, {"load", 1, NULL, LOAD}, {"prefill", 1, NULL, PREFILL}, {"context", 1, NULL, CONTEXT}, {"no-echo", 0, NULL, NO_ECHO}, {"stats", 0, NULL, STATS},
        {"device", 1, NULL, DEVICE}, {"dtype", 1, NULL, DTYPE}, {"state-dtype", 1, NULL, STATE_DTYPE}, {"mapped", 0, NULL, MAPPED}, {"woven", 0, NULL, WOVEN},
        {"help", 0, NULL, 'h'}, {0}};
    request r = {.how = {.temperature = 0.8f, .top_p = 0.95f, .seed = 1, .xtc_threshold = 0.1f}, .n = 256, .n_top = -1};
    double x = 0;
    int n_options = 0;
    while (options[n_options].name) n_options++;
    for (int i = 0; i < N_NUMBERS + N_COUNTS; i++)
        options[n_options++] = (struct option){i < N_NUMBERS ? numbers[i].name : counts[i - N_NUMBERS].name, 1, NULL, SAMPLER + i};
    r.opt.sampler = &r.how;
    r.how.bias = r.bias;
#define NUMBER(name, min, max) if (!number("generate", name, optarg, min, max, &x)) return EXIT_USAGE
    for (int c; (c = getopt_long(argc, argv, "p:f:n:t:h", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), 0;
        case 'p': r.prompt = optarg; break;
        case 'f': r.file = optarg; break;
        case 'n': NUMBER("tokens", 0, 1e15); r.n = (int64_t)x; break;
        case 't': if (!set_choice(&r.how, 0, optarg)) return EXIT_USAGE; break;
        case DRAFT: r.draft = optarg; break;
        case DRAFT_NGRAM: NUMBER("draft-ngram", 2, 64); r.guess.n_gram = (int64_t)x; break;
        case DRAFT_TOKENS: NUMBER("draft-tokens", 1, 15); r.guess.n_draft = (int64_t)x; break;
        case GRAMMAR: r.grammar = optarg; break;
        case SCHEMA: r.schema = optarg; break;
        case BIAS: if (!add_bias(&r, optarg)) return EXIT_USAGE; break;
        case LOGPROBS: NUMBER("logprobs", 0, MAX_TOP); r.n_top = (int64_t)x; break;
        case SEED: NUMBER("seed", 0, 9e15); r.how.seed = (uint64_t)x; break;
        case PREFILL: NUMBER("prefill", 1, 1e9); r.opt.prefill_tok = (int64_t)x; break;
        case CONTEXT: NUMBER("context", 1, INT32_MAX); r.where.context = (int64_t)x; break;
        case STOP:
            if (r.n_stop == 16 || !*optarg || strlen(optarg) > 1000) return misuse("generate", "--stop: at most 16, of 1 to 1000 bytes");
            r.stop[r.n_stop++] = optarg;
            break;
        case SAVE: r.save = optarg; break;
        case LOAD: r.load = optarg; break;
        case NO_ECHO: r.no_echo = true; break;
        case STATS: r.stats = true; break;
        case DEVICE: r.where.device = optarg; break;
        case STATE_DTYPE: r.opt.state_dtype = optarg; break;
        case DTYPE: r.where.dtype = optarg; break;
        case MAPPED: r.where.mapped = true; break;
        case WOVEN: r.where.woven = true; break;
        default:
            if (c < SAMPLER) return misuse("generate", "wrong option");
            if (!set_choice(&r.how, c - SAMPLER, optarg)) return EXIT_USAGE;
        }
#undef NUMBER
    if (argc - optind != 1) return misuse("generate", "want one model folder");
    if (r.prompt && r.file) return misuse("generate", "--prompt and --file exclude each other");
    if (r.grammar && r.schema) return misuse("generate", "--grammar and --json-schema exclude each other");
    kr_model *m;
    if (kr_model_open(&m, argv[optind], &r.where) != KR_OK) return fail();
    watch_interrupts(NULL);
    int code = run(m, &r);
    kr_model_free(m);
    return code;
}
