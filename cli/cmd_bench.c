/* cmd_bench.c - krait bench: how fast, beside what the machine can do. */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "krait/bench.h"

static const char help[] =
    "usage: krait bench machine                  the roof: arithmetic and memory, measured\n"
    "       krait bench ops [NAME ...]           each op beside the roof and its scalar reference\n"
    "       krait bench length                   the scans from 1024 steps up: the cost of a token stays\n"
    "       krait bench model MODEL              a training step, a prompt, a token\n"
    "       krait bench decode MODEL ...         on a CPU: steps of decoding, beside how fast memory is read\n"
    "       krait bench prefill MODEL ...        on a CPU: a prompt, beside how fast a product is\n"
    "       krait bench serve MODEL              several texts at once; a prompt that is known\n\n"
    "MODEL is a config.json, a recipe.json (its model; the data is not opened) or a folder with\n"
    "either.  Weights and tokens are drawn at random: only the config decides the speed.\n\n"
    "Every number is the best of several runs after a warm-up, with the median beside it.  On a\n"
    "busy machine they lie far apart: then believe neither.  \"roof\" is the share of what the\n"
    "machine can do at most: the time that the flops need in registers, or the bytes from\n"
    "memory, whichever is longer, over the time taken.  Data that stays in the caches can go\n"
    "above 100 %.  Backward counts twice the flops of forward, as the field does.  The roof of decode\n"
    "is reading the weights once and moving the states twice, as fast as these threads read as much\n"
    "memory in the same minute; that of prefill is what our own product of 1024 x 1024 reaches then.\n\n"
    "  --runs K        timed at least K times (7)\n"
    "  --seconds T     and for at least T seconds (0.2)\n"
    "  --threads N     default: all cores this process may use\n"
    "  --longest L     length: up to L steps (262144)\n"
    "  --batch N       model: rows of a training batch (8); decode: sequences in a step (1)\n"
    "  --length N      model: tokens of a row (1024); pictures have the size that their config says\n"
    "  --prompt N      model, prefill, serve: tokens of the prompt (1024)\n"
    "  --draft N       serve: one stream with up to N tokens guessed ahead and without, instead\n"
    "  --draft-model M serve: the same, and a smaller model M of as many tokens guesses (with --draft 7)\n"
    "  --only WHAT     model: train, infer, decode: a step of --batch sequences, or forward: a batch of whole rows\n"
    "  --device W      cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "  --dtype T       float32 or bfloat16: matrices, and on a GPU activations (float32); to infer\n"
    "                  also q8_0, q4_0, q4_k, q6_k, on a CPU float16; decode and prefill take a list\n"
    "  --state-dtype T float32, bfloat16 or float16: how states are stored on a GPU (float32)\n"
    "  --mapped        decode, prefill, serve: weights as the file has them, not woven\n"
    "  --woven         decode, prefill: woven, those in 16 and 32 bits too, as for several sequences\n"
    "  --recompute     model: as train.recompute, keep only the inputs of layers\n"
    "  --remake-scans N model: as train.remake_scans (0)\n"
    "  --profile       model: where the time goes, by op\n"
    "  --json          one JSON object a line\n";

typedef struct settings {
    kr_bench_options opt;
    kr_bench_machine machine;
    double longest, batch, length, prompt, draft;
    const char *only, *draft_model;
    bool recompute, profile, json, batch_given, headed;
} settings;

/* --- the machine ----------------------------------------------------------------------------- */

static int measure(settings *s) {
    kr_bench_machine *m = &s->machine;
    if (isatty(1)) fprintf(stderr, "measuring the machine ...\r");
    if (kr_bench_measure_machine(m, &s->opt) != KR_OK) return fail();
    if (s->json)
        printf("{\"bench\": \"machine\", \"cpu\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"krait\": \"%s\", "
               "\"fma_gflops\": %.4g, \"gemm_gflops\": %.4g, \"stream_gb_per_s\": %.4g}\n",
               m->cpu, m->isa, m->n_threads, m->version, m->fma_flops / 1e9, m->gemm_flops / 1e9,
               m->stream_bytes / 1e9);
    else if (strcmp(m->isa, "cuda") == 0)
        printf("machine  %s, %d multiprocessors; krait %s\n"
               "roof     %.1f TFLOP/s in a product of 8192 x 8192; %.0f GB/s copying its memory\n\n",
               m->cpu, m->n_threads, m->version, m->gemm_flops / 1e12, m->stream_bytes / 1e9);
    else
        printf("machine  %s, %d thread%s, %s; krait %s\n"
               "roof     %.0f GFLOP/s in registers, %.0f in a product of 1024 x 1024; %.1f GB/s from memory\n\n",
               m->cpu, m->n_threads, m->n_threads == 1 ? "" : "s", m->isa, m->version, m->fma_flops / 1e9,
               m->gemm_flops / 1e9, m->stream_bytes / 1e9);
    return 0;
}

/* The line over a table, with its first row: what is refused before has none. */
static void heading(settings *s, const char *line) {
    if (!s->json && !s->headed) printf("%s\n", line);
    s->headed = true;
}

/* --- ops and lengths --------------------------------------------------------------------------- */

static void op_row(void *user, const kr_bench_op *r) {
    settings *s = user;
    heading(s, "op              sizes                                 best ms median ms   GFLOP/s     GB/s    roof   x ref");
    const char *pass = r->backward ? "backward" : "forward";
    double t = r->time.best_s;
    char gflops[32] = "-";
    if (s->json) {
        printf("{\"bench\": \"op\", \"op\": \"%s\", \"sizes\": \"%s\", \"pass\": \"%s\", \"best_ms\": %.5g, "
               "\"median_ms\": %.5g, \"runs\": %d, \"gflops\": %.4g, \"gb_per_s\": %.4g, \"roof\": %.3g, "
               "\"speedup\": %.3g}\n",
               r->op, r->sizes, pass, t * 1e3, r->time.median_s * 1e3, r->time.n_runs, r->flops / t / 1e9,
               r->bytes / t / 1e9, r->roof, r->speedup);
    } else {
        if (r->flops > 0) snprintf(gflops, sizeof gflops, "%.1f", r->flops / t / 1e9);
        printf("%-15s %-26s %-8s %9.3f %9.3f %9s %8.2f %5.0f %% %7.1f\n", r->backward ? "" : r->op,
               r->backward ? "" : r->sizes, pass, t * 1e3, r->time.median_s * 1e3, gflops, r->bytes / t / 1e9,
               100 * r->roof, r->speedup);
    }
    fflush(stdout);
}

static int bench_ops(settings *s, char **names, int n) {
    int wrong = measure(s);
    if (wrong) return wrong;
    return kr_bench_ops(&s->machine, (const char *const *)names, n, &s->opt, op_row, s) == KR_OK ? 0 : fail();
}

static void length_row(void *user, const kr_bench_length *r) {
    settings *s = user;
    heading(s, "one sequence; nanoseconds a token\n"
               "op              sizes                length      forward     backward      tensors      scratch  bytes/tok");
    double L = (double)r->L, f = r->forward.best_s / L * 1e9, b = r->backward.best_s / L * 1e9;
    char tensors[32], work[32];
    if (s->json)
        printf("{\"bench\": \"length\", \"op\": \"%s\", \"sizes\": \"%s\", \"length\": %lld, "
               "\"forward_ns_per_token\": %.5g, \"backward_ns_per_token\": %.5g, \"tensor_bytes\": %lld, "
               "\"work_bytes\": %lld}\n",
               r->op, r->sizes, (long long)r->L, f, b, (long long)r->tensor_bytes, (long long)r->work_bytes);
    else
        printf("%-15s %-18s %8lld %12.1f %12.1f %12s %12s %10.0f\n", r->op, r->sizes, (long long)r->L, f, b,
               human_bytes(r->tensor_bytes, tensors), human_bytes(r->work_bytes, work),
               (double)(r->tensor_bytes + r->work_bytes) / L);
    fflush(stdout);
}

static int bench_length(settings *s) {
    int wrong = measure(s);
    if (wrong) return wrong;
    return kr_bench_lengths((int64_t)s->longest, &s->opt, length_row, s) == KR_OK ? 0 : fail();
}

/* --- models --------------------------------------------------------------------------------------- */

/* bytes: memory; 0: not told */
static void rate(const settings *s, const char *what, double tokens, int64_t bytes, const kr_bench_time *t, const char *note) {
    char best[32], median[32], memory[40] = "";
    if (bytes) snprintf(memory, sizeof memory, ", \"bytes\": %lld", (long long)bytes);
    if (s->json)
        printf("{\"bench\": \"%s\", \"tokens\": %.0f, \"best_s\": %.6g, \"median_s\": %.6g, \"runs\": %d, "
               "\"tokens_per_s\": %.6g, \"tokens_per_s_median\": %.6g%s}\n",
               what, tokens, t->best_s, t->median_s, t->n_runs, tokens / t->best_s, tokens / t->median_s, memory);
    else
        printf("%-8s %9.3f ms best, %9.3f ms median  %9s tokens/s (median %s)  %s\n", what, t->best_s * 1e3,
               t->median_s * 1e3, human_count(tokens / t->best_s, best), human_count(tokens / t->median_s, median),
               note);
    fflush(stdout);
}

static void parts(const settings *s, const char *what, const kr_bench_part *p, int n) {
    double all = 0;
    for (int i = 0; i < n; i++) all += p[i].seconds;
    if (s->json)
        for (int i = 0; i < n; i++)
            printf("{\"bench\": \"profile\", \"of\": \"%s\", \"op\": \"%s\", \"pass\": \"%s\", \"ms\": %.5g, "
                   "\"calls\": %lld, \"gflops\": %.4g}\n",
                   what, p[i].what, p[i].backward ? "backward" : "forward", p[i].seconds * 1e3, (long long)p[i].calls,
                   p[i].seconds > 0 ? p[i].flops / p[i].seconds / 1e9 : 0);
    if (s->json || n == 0) return;
    printf("\n  one %-22s %12s %8s %7s %9s\n", what, "ms", "share", "calls", "GFLOP/s");
    for (int i = 0; i < n; i++) {
        char gflops[32] = "-";
        if (p[i].seconds <= 0) continue;
        if (p[i].flops > 0) snprintf(gflops, sizeof gflops, "%.1f", p[i].flops / p[i].seconds / 1e9);
        const char *pass = p[i].what[0] == '(' ? "" : p[i].backward ? "backward" : "forward";
        printf("  %-16s %-9s %12.3f %6.1f %% %7lld %9s\n", p[i].what,
               pass, p[i].seconds * 1e3, 100 * p[i].seconds / all, (long long)p[i].calls, gflops);
    }
    printf("\n");
}

static int bench_train(settings *s, const char *path) {
    static kr_bench_train_result r;
    char bytes[32], flops[32], note[128];
    if (kr_bench_train(&r, path, (int64_t)s->batch, (int64_t)s->length, s->recompute, &s->opt) != KR_OK) return fail();
    snprintf(note, sizeof note, "%lld x %lld tokens, %s, %s FLOP/s", (long long)r.S, (long long)r.L,
             human_bytes(r.bytes, bytes), human_count(r.flops / r.step.best_s, flops));
    rate(s, "train", (double)(r.S * r.L), r.bytes, &r.step, note);
    if (s->profile) parts(s, "training step", r.part, r.n_parts);
    return 0;
}

static int bench_forward(settings *s, const char *path) {
    static kr_bench_forward_result r;
    char bytes[32], flops[32], note[128];
    if (kr_bench_forward(&r, path, (int64_t)s->batch, (int64_t)s->length, &s->opt) != KR_OK) return fail();
    snprintf(note, sizeof note, "%lld x %lld tokens, %s, %s FLOP/s", (long long)r.S, (long long)r.L,
             human_bytes(r.bytes, bytes), human_count(r.flops / r.batch.best_s, flops));
    rate(s, "forward", (double)(r.S * r.L), r.bytes, &r.batch, note);
    if (s->profile) parts(s, "batch", r.part, r.n_parts);
    return 0;
}

static int bench_infer(settings *s, const char *path) {
    static kr_bench_infer_result r;
    char bytes[32], note[96];
    kr_status st = kr_bench_infer(&r, path, (int64_t)s->prompt, &s->opt);
    if (st == KR_ERR_ARG && !s->only) return fprintf(stderr, "krait: %s\n", kr_error()), 0; /* one for training only */
    if (st != KR_OK) return fail();
    snprintf(note, sizeof note, "a prompt of %lld tokens", (long long)r.prompt_tok);
    rate(s, "prefill", (double)r.prompt_tok, 0, &r.prefill, note);
    snprintf(note, sizeof note, "one at a time; state %s", human_bytes(r.state_bytes, bytes));
    rate(s, "decode", 1, 0, &r.decode, note);
    if (s->profile)
        parts(s, "piece of the prompt", r.prefill_part, r.n_prefill), parts(s, "token", r.decode_part, r.n_decode);
    return 0;
}

static int bench_decode(settings *s, const char *path) {
    static kr_bench_decode_result r;
    char note[64];
    if (kr_bench_decode(&r, path, (int64_t)s->batch, &s->opt) != KR_OK) return fail();
    snprintf(note, sizeof note, "a step of %.0f sequences", s->batch);
    rate(s, "step", s->batch, 0, &r.step, note);
    if (s->profile) parts(s, "step of decoding", r.part, r.n_parts);
    return 0;
}

static int bench_model(settings *s, const char *path) {
    bool train = !s->only || strcmp(s->only, "train") == 0, infer = !s->only || strcmp(s->only, "infer") == 0;
    bool decode = s->only && strcmp(s->only, "decode") == 0, batch = s->only && strcmp(s->only, "forward") == 0;
    if (!train && !infer && !decode && !batch) return misuse("bench", "--only is \"%s\", want train, infer, decode or forward", s->only);
    int code = s->json && s->opt.device ? 0 : measure(s); /* a script knows the roof after one bench of it */
    if (!code && decode) code = bench_decode(s, path);
    if (!code && batch) code = bench_forward(s, path);
    if (!code && train) code = bench_train(s, path);
    if (!code && infer) code = bench_infer(s, path);
    return code;
}

static int bench_drafts(settings *s, const char *path) {
    static const char *const texts[] = {"the same token again and again", "16 tokens at random"};
    const char *helper = s->draft_model;
    kr_bench_drafts_result r;
    if (kr_bench_drafts(&r, path, helper, (int64_t)s->draft, &s->opt) != KR_OK) return fail();
    for (int i = 0; i < 2; i++) {
        double gain = r.tok_per_s[i] / r.plain_tok_per_s[i];
        if (s->json)
            printf("{\"bench\": \"drafts\", \"model\": \"%s\", \"draft_model\": %s%s%s, \"draft\": %.0f, \"text\": \"%s\", \"tokens_per_s\": %.5g, \"plain_tokens_per_s\": %.5g, "
                   "\"gain\": %.4g, \"guessed\": %lld, \"accepted\": %lld, \"written\": %lld}\n",
                   path, helper ? "\"" : "", helper ? helper : "null", helper ? "\"" : "", s->draft, texts[i], r.tok_per_s[i], r.plain_tok_per_s[i], gain, (long long)r.guessed[i], (long long)r.accepted[i], (long long)r.written);
        else
            printf("%-32s %8.1f tokens/s, without drafts %8.1f: %.2f times; %lld guessed, %lld right, %lld written\n", texts[i], r.tok_per_s[i], r.plain_tok_per_s[i],
                   gain, (long long)r.guessed[i], (long long)r.accepted[i], (long long)r.written);
    }
    return 0;
}

static int bench_serve(settings *s, const char *path) {
    static kr_bench_engine_result r;
    char bytes[32];
    if (kr_bench_engine(&r, path, (int64_t)s->prompt, &s->opt) != KR_OK) return fail();
    if (s->json)
        printf("{\"bench\": \"serve\", \"model\": \"%s\", \"prompt\": %lld, \"cold_ms\": %.5g, \"hit_ms\": %.5g, \"shared_ms\": %.5g, \"shared_cached\": %lld, "
               "\"tokens_per_s\": [%.5g, %.5g, %.5g], \"state_bytes\": %lld}\n",
               path, (long long)r.prompt_tok, r.cold_s * 1e3, r.hit_s * 1e3, r.shared_s * 1e3, (long long)r.shared_cached, r.tok_per_s[0], r.tok_per_s[1],
               r.tok_per_s[2], (long long)r.state_bytes);
    else {
        printf("first token of a prompt of %lld: %.1f ms; known: %.2f ms; all but its last token known: %.1f ms (%lld not read again); state %s\n",
               (long long)r.prompt_tok, r.cold_s * 1e3, r.hit_s * 1e3, r.shared_s * 1e3, (long long)r.shared_cached, human_bytes(r.state_bytes, bytes));
        for (int k = 0; k < KR_BENCH_STREAMS; k++) printf("%d stream%s %8.1f tokens/s together\n", kr_bench_streams[k], kr_bench_streams[k] > 1 ? "s" : " ", r.tok_per_s[k]);
    }
    return 0;
}

/* --- models on a CPU, beside the roof ---------------------------------------------------------------- */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int decode_row(settings *s, const char *path) {
    static kr_bench_decode_result r;
    if (kr_bench_decode(&r, path, (int64_t)s->batch, &s->opt) != KR_OK) return fail();
    heading(s, "model                weights   seq. weights MB state MB   best ms  median ms  tokens/s     GB/s   memory    roof");
    double bytes = (double)(r.weight_bytes + 2 * r.state_bytes), t = r.step.best_s, share = bytes / t / r.read_bytes;
    if (s->json)
        printf("{\"bench\": \"decode\", \"model\": \"%s\", \"dtype\": \"%s\", \"sequences\": %.0f, \"threads\": %d, "
               "\"weight_bytes\": %lld, \"state_bytes\": %lld, \"best_ms\": %.5g, \"median_ms\": %.5g, \"tokens_per_s\": %.5g, "
               "\"gb_per_s\": %.4g, \"read_gb_per_s\": %.4g, \"roof\": %.3g}\n",
               path, s->opt.dtype, s->batch, s->opt.n_threads, (long long)r.weight_bytes, (long long)r.state_bytes, t * 1e3,
               r.step.median_s * 1e3, s->batch / t, bytes / t / 1e9, r.read_bytes / 1e9, share);
    else
        printf("%-20s %-9s %4.0f %9.1f %8.1f %9.3f %10.3f %9.1f %8.1f %8.1f %5.0f %%\n", base_name(path), s->opt.dtype, s->batch,
               (double)r.weight_bytes / 1e6, (double)r.state_bytes / 1e6, t * 1e3, r.step.median_s * 1e3, s->batch / t,
               bytes / t / 1e9, r.read_bytes / 1e9, 100 * share);
    fflush(stdout);
    if (s->profile) parts(s, "step of decoding", r.part, r.n_parts);
    return 0;
}

static int prefill_row(settings *s, const char *path) {
    static kr_bench_prefill_result r;
    if (kr_bench_prefill(&r, path, (int64_t)s->prompt, &s->opt) != KR_OK) return fail();
    heading(s, "model                weights   tokens    best ms  median ms  tokens/s   GFLOP/s   product    roof");
    double t = r.prefill.best_s, share = r.flops / t / r.gemm_flops;
    if (s->json)
        printf("{\"bench\": \"prefill\", \"model\": \"%s\", \"dtype\": \"%s\", \"tokens\": %.0f, \"threads\": %d, \"best_ms\": %.5g, "
               "\"median_ms\": %.5g, \"tokens_per_s\": %.5g, \"gflops\": %.4g, \"gemm_gflops\": %.4g, \"roof\": %.3g}\n",
               path, s->opt.dtype, s->prompt, s->opt.n_threads, t * 1e3, r.prefill.median_s * 1e3, s->prompt / t, r.flops / t / 1e9,
               r.gemm_flops / 1e9, share);
    else
        printf("%-20s %-9s %6.0f %10.1f %10.1f %9.1f %9.1f %9.1f %5.0f %%\n", base_name(path), s->opt.dtype, s->prompt, t * 1e3,
               r.prefill.median_s * 1e3, s->prompt / t, r.flops / t / 1e9, r.gemm_flops / 1e9, 100 * share);
    fflush(stdout);
    return 0;
}

/* A row for every model and every type of its matrices. */
static int bench_rows(settings *s, char **models, int n, int (*row)(settings *s, const char *path)) {
    char list[256];
    snprintf(list, sizeof list, "%s", s->opt.dtype ? s->opt.dtype : "float32");
    for (int i = 0; i < n; i++) {
        char left[256], *at = left, *next;
        memcpy(left, list, sizeof left);
        for (; at; at = next) {
            if ((next = strchr(at, ','))) *next++ = 0;
            s->opt.dtype = at;
            int code = row(s, models[i]);
            if (code) return code;
        }
    }
    return 0;
}

static int bench_speed(settings *s, char **models, int n, bool prefill) {
    if (s->opt.device && strcmp(s->opt.device, "cpu") != 0) return misuse("bench", "decode and prefill are for a CPU");
    if (n < 1) return misuse("bench", "of which MODEL?");
    if (!s->batch_given) s->batch = 1;
    return bench_rows(s, models, n, prefill ? prefill_row : decode_row);
}

int cmd_bench(int argc, char **argv) {
    static const struct option options[] = {{"runs", 1, NULL, 'r'},
                                            {"seconds", 1, NULL, 's'},
                                            {"threads", 1, NULL, 't'},
                                            {"longest", 1, NULL, 'L'},
                                            {"batch", 1, NULL, 'b'},
                                            {"length", 1, NULL, 'l'},
                                            {"prompt", 1, NULL, 'P'}, {"draft", 1, NULL, 'G'}, {"draft-model", 1, NULL, 'M'},
                                            {"only", 1, NULL, 'o'},
                                            {"recompute", 0, NULL, 'c'},
                                            {"remake-scans", 1, NULL, 'm'},
                                            {"profile", 0, NULL, 'p'},
                                            {"device", 1, NULL, 'D'},
                                            {"dtype", 1, NULL, 'T'}, {"mapped", 0, NULL, 'u'}, {"woven", 0, NULL, 'w'},
                                            {"state-dtype", 1, NULL, 'Y'},
                                            {"json", 0, NULL, 'j'},
                                            {"help", 0, NULL, 'h'},
                                            {0}};
    static settings s = {.longest = 262144, .batch = 8, .length = 1024, .prompt = 1024};
    double x;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), 0;
        case 'r':
            if (!number("bench", "runs", optarg, 1, 500, &x)) return EXIT_USAGE;
            s.opt.runs = (int)x;
            break;
        case 's':
            if (!number("bench", "seconds", optarg, 1e-9, 3600, &s.opt.seconds)) return EXIT_USAGE;
            break;
        case 't':
            if (!number("bench", "threads", optarg, 1, 1024, &x)) return EXIT_USAGE;
            s.opt.n_threads = (int)x;
            break;
        case 'L':
            if (!number("bench", "longest", optarg, 1024, 1e9, &s.longest)) return EXIT_USAGE;
            break;
        case 'b':
            if (!number("bench", "batch", optarg, 1, 1e6, &s.batch)) return EXIT_USAGE;
            s.batch_given = true;
            break;
        case 'l':
            if (!number("bench", "length", optarg, 1, 1e9, &s.length)) return EXIT_USAGE;
            break;
        case 'G':
            if (!number("bench", "draft", optarg, 1, 15, &s.draft)) return EXIT_USAGE;
            break;
        case 'P':
            if (!number("bench", "prompt", optarg, 1, 1e9, &s.prompt)) return EXIT_USAGE;
            break;
        case 'm':
            if (!number("bench", "remake-scans", optarg, 0, 1e6, &x)) return EXIT_USAGE;
            s.opt.remake_scans = (int64_t)x;
            break;
        case 'M': s.draft_model = optarg; break;
        case 'o': s.only = optarg; break;
        case 'c': s.recompute = true; break;
        case 'p': s.profile = true; break;
        case 'j': s.json = true; break;
        case 'D': s.opt.device = optarg; break;
        case 'T': s.opt.dtype = optarg; break;
        case 'u': s.opt.mapped = true, s.opt.woven = false; break;
        case 'w': s.opt.woven = true, s.opt.mapped = false; break;
        case 'Y': s.opt.state_dtype = optarg; break;
        default: return misuse("bench", "wrong option");
        }
    if (s.draft_model && s.draft == 0) s.draft = 7; /* as krait serve */
    const char *what = optind < argc ? argv[optind] : "";
    int n = argc - optind - 1;
    if (strcmp(what, "machine") == 0 && n == 0) return measure(&s);
    if (strcmp(what, "ops") == 0) return bench_ops(&s, argv + optind + 1, n);
    if (strcmp(what, "length") == 0 && n == 0) return bench_length(&s);
    if (strcmp(what, "model") == 0 && n == 1) return bench_model(&s, argv[optind + 1]);
    if (strcmp(what, "serve") == 0 && n == 1) return s.draft > 0 ? bench_drafts(&s, argv[optind + 1]) : bench_serve(&s, argv[optind + 1]);
    if (strcmp(what, "decode") == 0 || strcmp(what, "prefill") == 0) return bench_speed(&s, argv + optind + 1, n, *what == 'p');
    return misuse("bench", "want machine, ops [NAME ...], length, model MODEL, decode MODEL ... or prefill MODEL ...");
}
