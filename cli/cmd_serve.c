/* cmd_serve.c - krait serve: a model behind HTTP. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "cli.h"
#include "krait/serve.h"

static const char help[] =
    "usage: krait serve [MODEL] [options]     (no model: the small one that comes with Krait)\n\n"
    "Answers over HTTP as OpenAI's API does, until Ctrl-C or SIGTERM; then it finishes what runs.\n\n"
    "  krait serve model                                        the page is at http://127.0.0.1:8080\n"
    "  curl 127.0.0.1:8080/v1/completions -d '{\"prompt\": \"She was \", \"max_tokens\": 20}'\n"
    "  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python program.py      any program that uses OpenAI's client\n\n"
    "Where\n"
    "      --host ADDRESS      where to listen (127.0.0.1: this machine alone; 0.0.0.0: all of its addresses)\n"
    "  -p, --port N            0: any that is free, which is then printed (8080)\n"
    "      --unix PATH         a socket in the file system instead, for its owner alone\n"
    "      --tls-cert FILE, --tls-key FILE   HTTPS, by a certificate and its key (PEM)\n"
    "Who\n"
    "      --api-key KEY       asked for in Authorization: Bearer KEY; can be given several times (none: open)\n"
    "      --api-key-file FILE a key a line; other users of this machine cannot see it, as they can --api-key\n"
    "      --cors ORIGIN       pages from there may ask, \"*\": from anywhere (only the server's own)\n"
    "What\n"
    "      --name NAME         of the model in answers (the last part of its path)\n"
    "      --chat-template T   how a conversation becomes text: chatml, zephyr, tulu, llama3, plain, or a file (the model's own)\n"
    "      --max-tokens N      most that a request may have written (4096)\n"
    "      --max-prompt N      most tokens of a prompt (4000000)\n"
    "      --max-n N           most answers to one request (64)\n"
    "      --max-embed N       most tokens of a request for embeddings (65536)\n"
    "      --states FOLDER     keeps named states there: /v1/states, \"state\" and \"save_state\" in requests (none)\n"
    "      --states-mb N       of all of them (8192)\n"
    "      --states-max N      names (100000); where one of the two does not suffice a new state is refused, or with\n"
    "      --states-forget     those used longest ago go\n"
    "How it runs\n"
    "      --slots N           sequences at once (8); each takes the memory of a state\n"
    "      --draft N           guess up to N tokens ahead, from the text itself, at most 15: the same text, sooner where it\n"
    "                          repeats itself; takes the memory of the states once more (none).  On a GPU while one text is\n"
    "                          written, and the same up to rounding\n"
    "      --draft-model M     a smaller model of the same tokens guesses, and the text itself only where that has not read yet\n"
    "      --max-waiting N     requests that wait for a slot; further ones are told to try again, 429 (1024)\n"
    "      --cache-mb N        memory for what prompts begin with; 0: none (512)\n"
    "      --cache FOLDER      also keeps that there, so that a server that starts again knows it; the folder has as\n"
    "                          many MB (none)\n"
    "      --reuse-replies     the cache also holds what was written, so conversations go on at once; their bits\n"
    "                          then differ by rounding from a reading of all of it\n"
    "      --stall-ms N        how long reading a prompt may hold up what is being written (100)\n"
    "      --threads N         of the CPU (all)\n"
    "      --device WHERE      cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "      --dtype TYPE        how matrices are held: float32, bfloat16, on a CPU float16, q8_0, q6_k, q4_k, q4_0\n"
    "                          (as the file has them)\n"
    "      --context N         how many tokens back attention sees, of models that have some (as the config says, or\n"
    "                          2048); a slot takes the memory of so many keys and values\n"
    "      --mapped            leave weights in the file, shared with other processes, though products are slower\n"
    "      --state-dtype T     float32, bfloat16 or float16: how states are held on a GPU (float32)\n"
    "How much it bears\n"
    "      --max-body-mb N     a request's body (32)\n"
    "      --max-connections N at once (1024)\n"
    "      --max-per-ip N      of one address (no limit of its own)\n"
    "      --body-seconds N    for a body to arrive (60)\n"
    "      --idle-seconds N    between two requests of a connection (75)\n"
    "      --drain-seconds N   at the end, for what runs to finish (30)\n"
    "      --log               a line of JSON for each request, to stderr\n\n"
    "docs/serve.md describes every route and field.\n";

static kr_server *running;
static void stop(void) { kr_server_stop(running); }

static void log_line(void *user, const char *line) {
    (void)user;
    fputs(line, stderr);
}

/* "models/small/" is called small. */
static const char *name_of(char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') path[--n] = 0;
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

enum { MAX_KEYS = 256 };
typedef struct setup {
    kr_server_options o;
    kr_model_options where;
    const char *key[MAX_KEYS];
    const char *template, *draft;
    char *key_text, *cert, *key_pem;
    double drain_s;
} setup;

static bool add_key(setup *s, const char *key) {
    if (s->o.n_keys == MAX_KEYS || !*key || strlen(key) > 512) return misuse("serve", "keys: at most %d, of 1 to 512 characters", MAX_KEYS), false;
    s->key[s->o.n_keys++] = key;
    return true;
}

static int read_keys(setup *s, const char *path) {
    size_t n;
    if (s->key_text) return misuse("serve", "one --api-key-file, please");
    if (!(s->key_text = read_all(path, &n))) return EXIT_FAILED;
    int before = s->o.n_keys;
    for (char *line = strtok(s->key_text, "\r\n"); line; line = strtok(NULL, "\r\n"))
        if (*line != '#' && !add_key(s, line)) return EXIT_USAGE;
    if (s->o.n_keys == before) return misuse("serve", "%s holds no key", path);
    return 0;
}

static bool is_loopback(const char *host) { return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcasecmp(host, "localhost") == 0; }

static int run(setup *s, char *path) {
    kr_server_options *o = &s->o;
    kr_model *m, *helper = NULL;
    kr_chat *chat = NULL;
    struct rlimit files;
    s->where.woven = !s->where.mapped;
    if (kr_model_open(&m, path, &s->where) != KR_OK) return fail();
    if (s->draft && kr_model_open(&helper, s->draft, &s->where) != KR_OK) return kr_model_free(m), fail();
    o->engine.draft = helper;
    if (helper && !o->engine.n_draft) o->engine.n_draft = 7;
    kr_status st = kr_chat_open(&chat, path, s->template);
    if (st != KR_OK && s->template) return kr_model_free(m), kr_model_free(helper), fail();
    if (st != KR_OK && st != KR_ERR_MISSING) fprintf(stderr, "krait serve: no chats: %s\n", kr_error());
    o->chat = chat;
    if (!o->name) o->name = name_of(path);
    if (!o->host) o->host = "127.0.0.1";
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
    st = kr_server_new(&running, m, o);
    if (st == KR_OK) {
        watch_interrupts(stop);
        if (!o->unix_path && !is_loopback(o->host) && !o->n_keys) fprintf(stderr, "krait serve: open to whoever reaches this machine; --api-key closes it\n");
        bool v6 = strchr(o->host, ':');
        if (o->unix_path) printf("krait: %s listens at %s\n", o->name, o->unix_path);
        else printf("krait: %s listens at %s://%s%s%s:%d\n", o->name, o->tls_cert ? "https" : "http", v6 ? "[" : "", o->host, v6 ? "]" : "", kr_server_port(running));
        if (kr_model_context(m)) printf("krait: its attention sees the last %lld tokens (--context)\n", (long long)kr_model_context(m));
        fflush(stdout);
        st = kr_server_run(running, s->drain_s);
    }
    int code = st == KR_OK ? 0 : fail();
    kr_server_free(running);
    kr_chat_free(chat);
    kr_model_free(m);
    kr_model_free(helper);
    return code;
}

/* Numbers; any other option by its own case. */
static const struct { const char *name; size_t at; double min, max; enum { WHOLE, INT, SECONDS } type; double unit; } numbers[] = {
#define OPTION(name, field, min, max, type, unit) {name, offsetof(kr_server_options, field), min, max, type, unit}
    OPTION("port", port, 0, 65535, INT, 1), OPTION("max-tokens", max_tok, 1, 1e12, WHOLE, 1), OPTION("max-prompt", max_prompt, 1, 1e12, WHOLE, 1),
    OPTION("max-n", max_n, 1, 1e4, WHOLE, 1), OPTION("max-embed", max_embed, 1, 1e12, WHOLE, 1), OPTION("states-max", states_max, 1, 1e9, WHOLE, 1), OPTION("slots", engine.n_slots, 1, 256, WHOLE, 1), OPTION("draft", engine.n_draft, 1, 15, WHOLE, 1),
    OPTION("max-waiting", engine.max_waiting, 1, 1e9, WHOLE, 1),
    OPTION("cache-mb", engine.cache_bytes, 0, 1e9, WHOLE, 1e6), OPTION("stall-ms", engine.stall_s, 1, 1e6, SECONDS, 1e-3), OPTION("threads", engine.n_threads, 1, 1024, INT, 1),
    OPTION("states-mb", states_bytes, 1, 1e9, WHOLE, 1e6), OPTION("max-body-mb", max_body, 1, 1e6, WHOLE, 1e6), OPTION("max-connections", max_connections, 1, 1e6, WHOLE, 1), OPTION("max-per-ip", max_per_ip, 1, 1e6, WHOLE, 1),
    OPTION("body-seconds", body_s, 1, 1e6, SECONDS, 1), OPTION("idle-seconds", idle_s, 1, 1e6, SECONDS, 1)};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers, NUMBERS = 2000 };

static bool set_number(kr_server_options *o, int i, const char *text) {
    double x;
    char *to = (char *)o + numbers[i].at;
    if (!number("serve", numbers[i].name, text, numbers[i].min, numbers[i].max, &x)) return false;
    if (numbers[i].type == SECONDS) *(double *)to = x * numbers[i].unit;
    else if (numbers[i].type == INT) *(int *)to = (int)x;
    else *(int64_t *)to = x == 0 ? -1 : (int64_t)(x * numbers[i].unit); /* 0 would be the default */
    return true;
}

static int read_options(setup *s, int argc, char **argv) {
    enum { HOST = 1000, UNIX, CERT, KEY, API_KEY, API_KEY_FILE, CORS, NAME, TEMPLATE, REUSE, DEVICE, DTYPE, STATE_DTYPE, DRAIN, LOG, STATES, FORGET, CACHE, CONTEXT, MAPPED, DRAFT_MODEL };
    struct option options[N_NUMBERS + 32] = {
        {"host", 1, NULL, HOST}, {"unix", 1, NULL, UNIX}, {"tls-cert", 1, NULL, CERT}, {"tls-key", 1, NULL, KEY}, {"api-key", 1, NULL, API_KEY},
        {"api-key-file", 1, NULL, API_KEY_FILE}, {"cors", 1, NULL, CORS}, {"name", 1, NULL, NAME}, {"chat-template", 1, NULL, TEMPLATE}, {"reuse-replies", 0, NULL, REUSE}, {"device", 1, NULL, DEVICE},
        {"dtype", 1, NULL, DTYPE}, {"state-dtype", 1, NULL, STATE_DTYPE}, {"drain-seconds", 1, NULL, DRAIN}, {"log", 0, NULL, LOG}, {"states", 1, NULL, STATES}, {"states-forget", 0, NULL, FORGET}, {"cache", 1, NULL, CACHE}, {"context", 1, NULL, CONTEXT}, {"mapped", 0, NULL, MAPPED}, {"draft-model", 1, NULL, DRAFT_MODEL}, {"help", 0, NULL, 'h'}, {0}};
    kr_server_options *o = &s->o;
    size_t n;
    double x;
    int n_options = 0, code;
    while (options[n_options].name) n_options++;
    for (int i = 0; i < N_NUMBERS; i++) options[n_options++] = (struct option){numbers[i].name, 1, NULL, NUMBERS + i};
    for (int c; (c = getopt_long(argc, argv, "p:h", options, NULL)) != -1;) switch (c) {
        case 'h': return fputs(help, stdout), -1;
        case 'p': if (!set_number(o, 0, optarg)) return EXIT_USAGE; break;
        case HOST: o->host = optarg; break;
        case UNIX: o->unix_path = optarg; break;
        case CERT: if (!(s->cert = read_all(optarg, &n))) return EXIT_FAILED; break;
        case KEY: if (!(s->key_pem = read_all(optarg, &n))) return EXIT_FAILED; break;
        case API_KEY: if (!add_key(s, optarg)) return EXIT_USAGE; break;
        case API_KEY_FILE: if ((code = read_keys(s, optarg)) != 0) return code; break;
        case CORS: o->cors = optarg; break;
        case NAME: o->name = optarg; break;
        case TEMPLATE: s->template = optarg; break;
        case REUSE: o->engine.reuse_replies = true; break;
        case DEVICE: s->where.device = optarg; break;
        case DTYPE: s->where.dtype = optarg; break;
        case MAPPED: s->where.mapped = true; break;
        case CONTEXT:
            if (!number("serve", "context", optarg, 1, INT32_MAX, &x)) return EXIT_USAGE;
            s->where.context = (int64_t)x;
            break;
        case DRAFT_MODEL: s->draft = optarg; break;
        case STATE_DTYPE: o->engine.state_dtype = optarg; break;
        case DRAIN: if (!number("serve", "drain-seconds", optarg, 0, 1e6, &s->drain_s)) return EXIT_USAGE; break;
        case STATES: o->states_dir = optarg; break;
        case FORGET: o->states_forget = true; break;
        case CACHE: o->engine.cache_dir = optarg; break;
        case LOG: o->log = log_line; break;
        default:
            if (c < NUMBERS) return misuse("serve", "wrong option");
            if (!set_number(o, c - NUMBERS, optarg)) return EXIT_USAGE;
        }
    if (argc - optind > 1) return misuse("serve", "want one model, or none");
    if (!s->cert != !s->key_pem) return misuse("serve", "--tls-cert and --tls-key go together");
    return 0;
}

int cmd_serve(int argc, char **argv) {
    setup s = {.o.port = 8080, .drain_s = 30};
    s.o.keys = s.key;
    int code = read_options(&s, argc, argv);
    s.o.tls_cert = s.cert, s.o.tls_key = s.key_pem;
    char path[4096];
    char *model = argc > optind ? argv[optind] : (char *)(uintptr_t)default_model(path, sizeof path);
    if (code == 0 && !model) code = misuse("serve", "the model that comes with Krait is not installed; name one, or set KRAIT_MODEL");
    if (code == 0) code = run(&s, model);
    free(s.key_text);
    free(s.cert);
    free(s.key_pem);
    return code < 0 ? 0 : code;
}
