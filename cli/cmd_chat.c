/* cmd_chat.c - krait chat: talk with a model. */
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chat.h"

static const char help[] =
    "usage: krait chat [MODEL | URL] [options]\n\n"
    "Talks with a model: a folder, a GGUF file, or a server that speaks OpenAI's protocol (http://host:8080).\n"
    "Without one, the small model that comes with Krait.\n\n"
    "  krait chat                                    the model that comes with Krait\n"
    "  krait chat model.gguf --system \"Be brief.\"    one of your own\n"
    "  krait chat http://127.0.0.1:8080              what `krait serve` runs, from another terminal\n"
    "  echo \"What does ennui mean?\" | krait chat     one answer a line, for scripts\n\n"
    "      --system TEXT         what the model is told before all else\n"
    "      --chat-template T     how a conversation becomes text: chatml, zephyr, tulu, llama3, plain, or a file (the model's own)\n"
    "  -n, --tokens N            an answer's length at most (512)\n"
    "  -t, --temperature X       0 always takes the likeliest (0.5)\n"
    "      --top-k N, --top-p X, --min-p X, --repetition-penalty X   (0, 0.9, 0, 1)\n"
    "      --seed N              same seed, same answers (1)\n"
    "      --load FILE           go on with a saved conversation\n"
    "      --no-history          do not keep what is typed (else in ~/.local/state/krait/chat_history, or KRAIT_HISTORY)\n"
    "      --threads N           of the CPU (all)\n"
    "      --device WHERE        cpu, cuda, or cuda:N for that GPU (cpu)\n"
    "      --dtype TYPE          how matrices are held (as the file has them)\n"
    "      --context N           how many tokens back attention sees, of models that have some (as the config says, or 2048)\n"
    "      --api-key KEY         for a server (else KRAIT_API_KEY; for https://api.openai.com OPENAI_API_KEY too)\n"
    "      --render TEMPLATE     write what a template makes of --input FILE (JSON: messages, ...; - is stdin), and end\n\n"
    "Ctrl-C stops an answer; Ctrl-D or /quit ends.  A line that ends with \\ goes on in the next one; so do all lines\n"
    "between two lines of \"\"\".  These commands are known, and Tab completes them:\n\n";

typedef struct known { const char *name, *args, *about; bool (*run)(chat *c, char *rest); } known;

double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

char *copied(const char *text, size_t n) {
    char *copy = malloc(n + 1);
    if (!copy) {
        fprintf(stderr, "krait: out of memory\n");
        exit(EXIT_FAILED);
    }
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

conversation *current(chat *c) { return &c->fork[c->at]; }

/* --- conversations ------------------------------------------------------------------------- */

static void drop_message(message *m) {
    kr_snapshot_free(m->before);
    free(m->content);
}

static void cut(conversation *v, int n) {
    while (v->n > n) drop_message(&v->m[--v->n]);
}

/* Nothing was read yet: all of it will be, at the next question. */
static void forget_states(conversation *v) {
    for (int i = 0; i < v->n; i++) kr_snapshot_free(v->m[i].before), v->m[i].before = NULL;
    kr_snapshot_free(v->now);
    free(v->fed);
    v->now = NULL, v->fed = NULL;
}

static void clear(conversation *v) {
    cut(v, 0);
    forget_states(v);
    free(v->m);
    v->m = NULL, v->room = 0;
}

static message *insert(conversation *v, int at, const char *role, const char *content) {
    if (v->n == v->room) {
        v->room = v->room ? 2 * v->room : 16;
        v->m = realloc(v->m, (size_t)v->room * sizeof *v->m);
        if (!v->m) exit(EXIT_FAILED);
    }
    memmove(v->m + at + 1, v->m + at, (size_t)(v->n++ - at) * sizeof *v->m);
    v->m[at] = (message){.content = copied(content, strlen(content))};
    snprintf(v->m[at].role, sizeof v->m[at].role, "%s", role);
    return &v->m[at];
}

/* What the user says; where the state stands is kept, of the latest MAX_STATES. */
static void say(conversation *v, const char *text) {
    message *m = insert(v, v->n, "user", text);
    int kept = 0;
    if (v->now) m->before = kr_snapshot_share(v->now), m->fed_before = strlen(v->fed);
    for (int i = v->n - 1; i >= 0; i--)
        if (v->m[i].before && ++kept > MAX_STATES) kr_snapshot_free(v->m[i].before), v->m[i].before = NULL;
}

/* Back to before the user's last message; false: there is none. */
static bool take_back(conversation *v, char **said) {
    int i = v->n - 1;
    while (i >= 0 && strcmp(v->m[i].role, "user") != 0) i--;
    if (i < 0) return false;
    kr_snapshot *to = v->m[i].before ? kr_snapshot_share(v->m[i].before) : NULL;
    kr_snapshot_free(v->now);
    v->now = to;
    if (v->fed && to) v->fed[v->m[i].fed_before] = 0;
    if (said) *said = copied(v->m[i].content, strlen(v->m[i].content));
    cut(v, i);
    return true;
}

/* Bytes that are no UTF-8 become "?": a model may write any, but JSON holds none. */
static void mend(char *text) {
    for (size_t i = 0, n = strlen(text), k; i < n; i += k ? k : 1)
        if ((k = utf8_letter(text + i, n - i)) == 0) text[i] = '?';
}

static bool answer(chat *c) {
    bool stopped = false;
    conversation *v = current(c);
    interrupted = 0;
    char *text = c->url ? server_answer(c, &stopped) : local_answer(c, &stopped);
    interrupted = 0;
    if (!text) return take_back(v, NULL), false;
    mend(text);
    insert(v, v->n, "assistant", text);
    free(text);
    printf("%s\n", stopped ? " [stopped]" : "");
    if (c->tty) printf("\n");
    fflush(stdout);
    return true;
}

/* --- commands: true goes on, false ends ------------------------------------------------------ */

static bool do_quit(chat *c, char *rest) { return (void)c, (void)rest, false; }

static bool do_undo(chat *c, char *rest) {
    (void)rest;
    if (!take_back(current(c), NULL)) printf("There is nothing to take back.\n");
    else printf("Taken back; %d messages are left.\n", current(c)->n);
    return true;
}

static bool do_retry(chat *c, char *rest) {
    char *said;
    (void)rest;
    if (!take_back(current(c), &said)) return printf("There is nothing to ask again.\n"), true;
    say(current(c), said);
    free(said);
    answer(c);
    return true;
}

static bool do_system(chat *c, char *rest) {
    conversation *v = current(c);
    bool has = v->n && strcmp(v->m[0].role, "system") == 0;
    if (!*rest) {
        const char *text = has ? v->m[0].content : "There is no system message.";
        return show_text(stdout, text, strlen(text)), printf("\n"), true;
    }
    forget_states(v);
    if (has) {
        drop_message(&v->m[0]);
        memmove(v->m, v->m + 1, (size_t)--v->n * sizeof *v->m);
    }
    if (strcmp(rest, "none") != 0) insert(v, 0, "system", rest);
    return true;
}

static bool do_fork(chat *c, char *rest) {
    for (int i = 0; !*rest && i < c->n_forks; i++) printf("%c %s: %d messages\n", i == c->at ? '*' : ' ', c->fork[i].name, c->fork[i].n);
    if (!*rest) return true;
    for (int i = 0; i < c->n_forks; i++)
        if (strcmp(c->fork[i].name, rest) == 0) return c->at = i, printf("On with %s, %d messages.\n", rest, c->fork[i].n), true;
    if (c->n_forks == MAX_FORKS || strlen(rest) >= sizeof c->fork[0].name) return printf("At most %d conversations, with names of at most 63 letters.\n", MAX_FORKS), true;
    const conversation *from = current(c);
    conversation *to = &c->fork[c->n_forks];
    *to = (conversation){0};
    snprintf(to->name, sizeof to->name, "%s", rest);
    for (int i = 0; i < from->n; i++) {
        message *m = insert(to, i, from->m[i].role, from->m[i].content);
        if (from->m[i].before) m->before = kr_snapshot_share(from->m[i].before), m->fed_before = from->m[i].fed_before;
    }
    if (from->fed) to->fed = copied(from->fed, strlen(from->fed));
    if (from->now) to->now = kr_snapshot_share(from->now);
    c->at = c->n_forks++;
    printf("A fork called %s; %s stays as it is.\n", rest, from->name);
    return true;
}

static bool do_save(chat *c, char *rest) {
    const conversation *v = current(c);
    json_t *list = json_array();
    if (!*rest) return json_decref(list), printf("/save wants a file.\n"), true;
    for (int i = 0; i < v->n; i++) json_array_append_new(list, json_pack("{s:s, s:s}", "role", v->m[i].role, "content", v->m[i].content));
    json_t *read = v->now && v->fed ? json_string(v->fed) : NULL; /* NULL, too, where it is no UTF-8: then it is read again */
    json_t *j = json_pack("{s:o, s:o}", "messages", list, "read", read ? read : json_string(""));
    if (!j || json_dump_file(j, rest, JSON_INDENT(1)) != 0) printf("%s could not be written.\n", rest);
    else if (c->url || local_save(c, rest) == 0) printf("%d messages are in %s%s.\n", v->n, rest, v->now ? ", the state beside it" : "");
    json_decref(j);
    return true;
}

static bool do_load(chat *c, char *rest) {
    json_error_t e;
    json_t *j = *rest ? json_load_file(rest, 0, &e) : NULL;
    const json_t *list = json_object_get(j, "messages"), *one;
    conversation *v = current(c);
    size_t i;
    bool fits = json_is_array(list);
    json_array_foreach(list, i, one) fits = fits && json_is_string(json_object_get(one, "role")) && json_is_string(json_object_get(one, "content"));
    if (!fits) return json_decref(j), printf(*rest ? "%s is no saved conversation.\n" : "/load wants a file.%s\n", rest), true;
    clear(v);
    json_array_foreach(list, i, one) insert(v, v->n, json_string_value(json_object_get(one, "role")), json_string_value(json_object_get(one, "content")));
    const char *fed = json_string_value(json_object_get(j, "read"));
    if (fed && *fed) v->fed = copied(fed, strlen(fed));
    if (!c->url) local_load(c, rest);
    printf("%d messages from %s.\n", v->n, rest);
    json_decref(j);
    return true;
}

static bool do_stats(chat *c, char *rest) {
    char size[32];
    (void)rest;
    printf("last answer: %lld tokens read in %.2f s (%.0f/s), %lld written in %.2f s (%.0f/s)\n", (long long)c->n_read, c->read_s, c->read_s > 0 ? (double)c->n_read / c->read_s : 0,
           (long long)c->n_written, c->write_s, c->write_s > 0 ? (double)c->n_written / c->write_s : 0);
    printf("in all: %lld read, %lld written; %d messages here, %d conversations\n", (long long)c->all_read, (long long)c->all_written, current(c)->n, c->n_forks);
    if (current(c)->now) printf("the state: %s, of %lld tokens\n", human_bytes(kr_snapshot_bytes(current(c)->now), size), (long long)kr_snapshot_n_tok(current(c)->now));
    return true;
}

static const struct { const char *name; size_t at; double min, max; } settings[] = {
    {"temperature", offsetof(kr_sampler_options, temperature), 0, 100}, {"top_p", offsetof(kr_sampler_options, top_p), 0, 1}, {"min_p", offsetof(kr_sampler_options, min_p), 0, 1},
    {"repetition_penalty", offsetof(kr_sampler_options, repetition_penalty), 1e-3, 1e3}, {"top_k", 0, 0, 1e9}, {"seed", 0, 0, 9e15}, {"max_tokens", 0, 1, 1e9}};
enum { N_SETTINGS = sizeof settings / sizeof *settings, N_REAL = 4, TOP_K = 4, SEED, TOKENS };

const char *setting_name(int i) { return i < N_SETTINGS ? settings[i].name : NULL; }

static double get_setting(const chat *c, int i) {
    if (i < N_REAL) return (double)*(const float *)((const char *)&c->how + settings[i].at);
    return i == TOP_K ? (double)c->how.top_k : i == SEED ? (double)c->how.seed : (double)c->max_tok;
}

static bool put_setting(chat *c, int i, const char *text) {
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !(x >= settings[i].min && x <= settings[i].max)) return false;
    if (i < N_REAL) *(float *)((char *)&c->how + settings[i].at) = (float)x;
    else if (i == TOP_K) c->how.top_k = (int64_t)x;
    else if (i == SEED) c->how.seed = (uint64_t)x, c->n_asked = 0;
    else c->max_tok = (int64_t)x;
    return true;
}

static bool do_set(chat *c, char *rest) {
    char *value = strchr(rest, ' ');
    if (value) *value++ = 0;
    for (int i = 0; i < N_SETTINGS; i++) {
        if (*rest && strcmp(rest, settings[i].name) != 0) continue;
        if (value && !put_setting(c, i, value)) printf("%s is a number from %g to %g.\n", rest, settings[i].min, settings[i].max);
        else printf("%s %g\n", settings[i].name, get_setting(c, i));
        if (*rest) return true;
    }
    if (*rest) printf("There is no setting \"%s\"; /set lists them.\n", rest);
    return true;
}

static bool do_help(chat *c, char *rest);

static const known commands[] = {
    {"/help", "", "what can be typed", do_help},
    {"/undo", "", "take the last exchange back", do_undo},
    {"/retry", "", "ask the last question again", do_retry},
    {"/fork", "[NAME]", "go on in a copy, or in one that is there; alone: which there are", do_fork},
    {"/save", "FILE", "write the conversation, and the state beside it", do_save},
    {"/load", "FILE", "go on with a saved one", do_load},
    {"/system", "[TEXT]", "what the model is told before all else; \"none\": nothing", do_system},
    {"/set", "[NAME VALUE]", "temperature, top_p, top_k, min_p, repetition_penalty, seed, max_tokens", do_set},
    {"/stats", "", "tokens, speed, the size of the state", do_stats},
    {"/quit", "", "end, as Ctrl-D does", do_quit}};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

const char *command_name(int i) { return i < N_COMMANDS ? commands[i].name : NULL; }

static void list_commands(FILE *to) {
    for (int i = 0; i < N_COMMANDS; i++) fprintf(to, "  %-8s %-13s %s\n", commands[i].name, commands[i].args, commands[i].about);
}

static bool do_help(chat *c, char *rest) {
    (void)c, (void)rest;
    list_commands(stdout);
    printf("A line that ends with \\ goes on; so do all between two lines of \"\"\".  //x says /x.  Ctrl-C stops an answer.\n");
    return true;
}

static bool run_command(chat *c, char *line) {
    char *rest = line + strcspn(line, " ");
    size_t n = (size_t)(rest - line);
    while (*rest == ' ') rest++;
    for (char *end = rest + strlen(rest); end > rest && end[-1] == ' ';) *--end = 0;
    for (int i = 0; i < N_COMMANDS; i++)
        if (strlen(commands[i].name) == n && strncmp(commands[i].name, line, n) == 0) {
            bool on = commands[i].run(c, rest);
            fflush(stdout);
            return on;
        }
    printf("There is no command %.*s; /help lists them.\n", (int)n, line);
    fflush(stdout);
    return true;
}

/* --- the conversation's loop ----------------------------------------------------------------------- */

static char *joined(char *a, const char *b) {
    size_t n = strlen(a), k = strlen(b);
    char *all = realloc(a, n + k + 2);
    if (!all) exit(EXIT_FAILED);
    all[n] = '\n';
    memcpy(all + n + 1, b, k + 1);
    return all;
}

/* All that one message has; NULL: the end. */
static char *read_message(bool *stop) {
    char *text = line_read("> ", stop);
    if (!text || *stop) return text;
    bool block = strcmp(text, "\"\"\"") == 0;
    if (block) *text = 0;
    for (size_t n; block || ((n = strlen(text)) && text[n - 1] == '\\');) {
        if (!block) text[n - 1] = 0;
        char *more = line_read(". ", stop);
        if (!more || *stop) return free(more), text;
        if (block && strcmp(more, "\"\"\"") == 0) return free(more), memmove(text, text + (*text == '\n'), strlen(text) + (*text != '\n')), text;
        text = joined(text, more);
        free(more);
    }
    return text;
}

static int converse(chat *c) {
    bool on = true, stop, well = true;
    while (on) {
        interrupted = 0;
        char *line = read_message(&stop);
        if (!line) break;
        if (stop || !line[strspn(line, " \t\n")]) { free(line); continue; }
        if (*line == '/' && line[1] != '/') on = run_command(c, line);
        else {
            say(current(c), line + (line[0] == '/' && line[1] == '/'));
            well = answer(c) && well;
        }
        free(line);
    }
    if (c->tty && on) printf("\n");
    if (interrupted) return EXIT_STOPPED;
    return well ? 0 : EXIT_FAILED;
}

static void on_interrupt(int sig) {
    line_wake();
    if (++interrupted < 4) return; /* nobody listens */
    signal(sig, SIG_DFL);
    raise(sig);
}

static void greet(const chat *c, const char *name) {
    char n[32];
    if (!c->tty) return;
    if (c->url) show_text(stdout, c->server_model, strlen(c->server_model)), printf(" at %s.", c->url);
    else {
        kr_model_info i;
        bool told = kr_model_describe_file(&i, name, 1, 1, 0, false) == KR_OK;
        printf("%s%s%s%s.", name, told ? ", " : "", told ? human_count((double)i.n_params, n) : "", told ? " parameters" : "");
    }
    printf("  /help says what can be typed, Ctrl-D ends.\n\n");
}

static int render_only(const char *template, const char *input) {
    kr_chat *form;
    char *text;
    size_t n;
    char *given = read_all(input ? input : "-", &n);
    if (!given) return EXIT_FAILED;
    kr_status st = kr_chat_open(&form, NULL, template);
    if (st == KR_OK) {
        st = kr_chat_render_json(form, given, (int64_t)n, &text);
        if (st == KR_OK) fputs(text, stdout), kr_chat_text_free(text);
        kr_chat_free(form);
    }
    free(given);
    return st == KR_OK ? 0 : fail();
}

typedef struct options { const char *model, *system, *form, *load, *render, *input; bool no_history; int n_threads; kr_model_options where; } options;

/* The key that others' programs use is for its own server alone. */
static bool is_openai(const char *url) {
    static const char own[] = "https://api.openai.com";
    size_t n = sizeof own - 1;
    return strncmp(url, own, n) == 0 && (url[n] == 0 || url[n] == '/');
}

static int start(chat *c, const options *o) {
    struct sigaction a = {.sa_handler = on_interrupt};
    bool remote = strncmp(o->model, "http://", 7) == 0 || strncmp(o->model, "https://", 8) == 0;
    if (remote) c->url = o->model;
    if (remote && !c->key && is_openai(c->url)) c->key = getenv("OPENAI_API_KEY");
    int bad = remote ? server_open(c) : local_open(c, o->model, &o->where, o->form, o->n_threads);
    sigaction(SIGINT, &a, NULL);
    snprintf(c->fork[0].name, sizeof c->fork[0].name, "main");
    c->n_forks = 1;
    if (!bad) {
        if (o->system) insert(current(c), 0, "system", o->system);
        greet(c, o->model);
        line_open(c, !o->no_history);
        if (o->load) do_load(c, (char *)(uintptr_t)o->load);
        bad = converse(c);
        line_close();
    }
    for (int i = 0; i < c->n_forks; i++) clear(&c->fork[i]);
    if (remote) server_close(c);
    else local_close(c);
    free(c->server_model);
    return bad;
}

int cmd_chat(int argc, char **argv) {
    enum { SYSTEM = 1000, TEMPLATE, TOPK, TOPP, MINP, PENALTY, SEED_, LOAD, NO_HISTORY, THREADS, DEVICE, DTYPE, CONTEXT, KEY, RENDER, INPUT };
    static const struct option known_options[] = {
        {"system", 1, NULL, SYSTEM}, {"chat-template", 1, NULL, TEMPLATE}, {"tokens", 1, NULL, 'n'}, {"temperature", 1, NULL, 't'}, {"top-k", 1, NULL, TOPK},
        {"top-p", 1, NULL, TOPP}, {"min-p", 1, NULL, MINP}, {"repetition-penalty", 1, NULL, PENALTY}, {"seed", 1, NULL, SEED_}, {"load", 1, NULL, LOAD},
        {"no-history", 0, NULL, NO_HISTORY}, {"threads", 1, NULL, THREADS}, {"device", 1, NULL, DEVICE}, {"dtype", 1, NULL, DTYPE}, {"context", 1, NULL, CONTEXT}, {"api-key", 1, NULL, KEY},
        {"render", 1, NULL, RENDER}, {"input", 1, NULL, INPUT}, {"help", 0, NULL, 'h'}, {0}};
    static chat c = {.how = {.temperature = 0.5f, .top_p = 0.9f, .repetition_penalty = 1, .seed = 1}, .max_tok = 512};
    options o = {0};
    char path[4096];
    double x;
    c.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    c.key = getenv("KRAIT_API_KEY");
#define NUMBER(name, min, max) if (!number("chat", name, optarg, min, max, &x)) return EXIT_USAGE
    for (int k; (k = getopt_long(argc, argv, "n:t:h", known_options, NULL)) != -1;) switch (k) {
        case 'h': return fputs(help, stdout), list_commands(stdout), 0;
        case 'n': NUMBER("tokens", 1, 1e9); c.max_tok = (int64_t)x; break;
        case 't': NUMBER("temperature", 0, 100); c.how.temperature = (float)x; break;
        case TOPK: NUMBER("top-k", 0, 1e9); c.how.top_k = (int64_t)x; break;
        case TOPP: NUMBER("top-p", 0, 1); c.how.top_p = (float)x; break;
        case MINP: NUMBER("min-p", 0, 1); c.how.min_p = (float)x; break;
        case PENALTY: NUMBER("repetition-penalty", 1e-3, 1e3); c.how.repetition_penalty = (float)x; break;
        case SEED_: NUMBER("seed", 0, 9e15); c.how.seed = (uint64_t)x; break;
        case THREADS: NUMBER("threads", 1, 1024); o.n_threads = (int)x; break;
        case SYSTEM: o.system = optarg; break;
        case TEMPLATE: o.form = optarg; break;
        case LOAD: o.load = optarg; break;
        case NO_HISTORY: o.no_history = true; break;
        case DEVICE: o.where.device = optarg; break;
        case DTYPE: o.where.dtype = optarg; break;
        case CONTEXT: NUMBER("context", 1, INT32_MAX); o.where.context = (int64_t)x; break;
        case KEY: c.key = optarg; break;
        case RENDER: o.render = optarg; break;
        case INPUT: o.input = optarg; break;
        default: return misuse("chat", "wrong option");
        }
#undef NUMBER
    if (o.render) return render_only(o.render, o.input);
    if (argc - optind > 1) return misuse("chat", "want one model, or none");
    o.model = argc > optind ? argv[optind] : default_model(path, sizeof path);
    if (!o.model) return misuse("chat", "the model that comes with Krait is not installed; name one, or set KRAIT_MODEL");
    return start(&c, &o);
}
