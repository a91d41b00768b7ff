/* check_states.c - named states over HTTP; a server that is killed; clients that leave.
 *
 * The server is a child, so that it can be killed, and so that what it leaks is seen at its end: this process
 * is the client alone. */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/str.h"
#include "krait/chat.h"
#include "krait/serve.h"
#include "model_case.h"
#include "serve/states.h"

static const char tiny[] = "{'model_type': 'krait', 'd_model': 32, 'n_layer': 2, 'vocab_size': 256, 'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 16}}";

typedef struct child { pid_t pid; int port; } child;
typedef struct setup { const char *dir, *cache, *form; int64_t budget; uint64_t seed; double drain_s; } setup;

static kr_server *running;
static void stop(int signal) {
    (void)signal;
    kr_server_stop(running);
}

/* Exits with 0 if all memory was given back. */
static void be_server(const setup *how, int to) {
    int64_t live = kr_mem_get_stats().n_live;
    kr_model *m = model_of(tiny, how->seed ? how->seed : 3);
    kr_server_options o = {.engine = {.n_slots = 4, .n_threads = 1, .cache_bytes = 1 << 20, .cache_dir = how->cache, .keep_s = 0.05},
                           .max_tok = 1000000,
                           .states_dir = how->dir, .states_bytes = how->budget, .name = "tiny"};
    kr_chat *chat;
    if (kr_chat_open(&chat, NULL, how->form ? how->form : "chatml") != KR_OK) exit(10);
    o.chat = chat;
    if (kr_server_new(&running, m, &o) != KR_OK) fprintf(stderr, "%s\n", kr_error()), exit(9);
    int port = kr_server_port(running);
    signal(SIGTERM, stop);
    if (write(to, &port, sizeof port) != sizeof port) exit(8);
    close(to);
    kr_status st = kr_server_run(running, how->drain_s > 0 ? how->drain_s : 5);
    kr_server_free(running);
    kr_model_release(m);
    kr_chat_free(chat);
    exit(st != KR_OK ? 7 : kr_mem_get_stats().n_live != live ? 6 : 0);
}

static child start_as(setup how) {
    int ends[2];
    child c = {0};
    pid_t parent = getpid();
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    if ((c.pid = fork()) == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */
        if (getppid() != parent) _exit(0);
        be_server(&how, ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], &c.port, sizeof c.port) != sizeof c.port) fail_msg("the server did not start");
    close(ends[0]);
    return c;
}

static child start(const char *dir, int64_t budget) { return start_as((setup){.dir = dir, .budget = budget}); }

static int end(child c, int with) {
    int status;
    kill(c.pid, with);
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    return status;
}
static void end_well(child c) {
    int status = end(c, SIGTERM);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the server ended with status %d", status);
}

/* --- a client ---------------------------------------------------------------------------------------- */

static int dial(child c) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){60, 0}, sizeof(struct timeval));
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    close(fd);
    return -1;
}

/* The status, 0 if the server is gone; the body in *text. */
static int ask(child c, const char *method, const char *path, const char *type, const void *body, size_t n, kr_str *text) {
    kr_str out = {0};
    char in[4096];
    int status = 0, fd = dial(c);
    kr_str_free(text);
    if (fd < 0) return 0;
    kr_str_appendf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", method, path, type, n);
    kr_str_append_n(&out, body, n);
    bool said = send(fd, out.text, out.n, MSG_NOSIGNAL) == (ssize_t)out.n;
    kr_str_free(&out);
    for (ssize_t got; said && (got = read(fd, in, sizeof in)) > 0;) kr_str_append_n(text, in, (size_t)got);
    close(fd);
    const char *end_of_head = text->n ? strstr(text->text, "\r\n\r\n") : NULL;
    if (!end_of_head || sscanf(text->text, "HTTP/1.1 %d", &status) != 1) return 0;
    size_t head = (size_t)(end_of_head - text->text) + 4;
    const char *length = strstr(text->text, "Content-Length: ");
    if (length && length < end_of_head && strtoull(length + 16, NULL, 10) != text->n - head) return 0; /* cut off */
    memmove(text->text, text->text + head, text->n - head);
    kr_str_cut(text, text->n - head);
    return status;
}
static int say(child c, const char *method, const char *path, const char *body, kr_str *text) { return ask(c, method, path, "application/json", body, strlen(body), text); }

static void expect(child c, int status, const char *method, const char *path, const char *body, const char *part) {
    kr_str text = {0};
    int got = say(c, method, path, body, &text);
    if (got != status || (part && !strstr(kr_str_text(&text), part))) fail_msg("%s %s %s: %d %s, want %d and %s", method, path, body, got, kr_str_text(&text), status, part ? part : "-");
    kr_str_free(&text);
}

/* What is written, greedily, after a body's start. */
static void text_of(child c, const char *body, char to[512]) {
    kr_str text = {0};
    json_t *j = NULL;
    assert_int_equal(say(c, "POST", "/v1/completions", body, &text), 200);
    assert_int_equal(kr_json_parse(&j, text.text, text.n, "answer"), KR_OK);
    const char *written = json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), 0), "text"));
    snprintf(to, 512, "%s", written ? written : "");
    json_decref(j);
    kr_str_free(&text);
}

#define GREEDY "\"temperature\": 0, \"max_tokens\": 20"

/* --- routes -------------------------------------------------------------------------------------------- */

static void test_routes(void **state) {
    char from_state[512], from_prompt[512], rest[512], both[1100];
    const char *dir = new_folder();
    kr_str text = {0};
    (void)state;
    child c = start(dir, 0);
    expect(c, 200, "GET", "/v1/states", "", "\"data\":[]");
    expect(c, 200, "PUT", "/v1/states/doc", "{\"prompt\": \"Once upon a time there was \"}", "\"n_tokens\":27");
    expect(c, 200, "POST", "/v1/states/doc/fork", "{\"name\": \"fork\"}", "\"parent\":\"doc\"");
    expect(c, 409, "POST", "/v1/states/doc/fork", "{\"name\": \"fork\"}", "state_exists");
    expect(c, 404, "POST", "/v1/states/none/fork", "{\"name\": \"x\"}", "state_not_found");
    expect(c, 400, "POST", "/v1/states/doc/fork", "{\"name\": \"../../etc/passwd\"}", "invalid_value");
    expect(c, 400, "POST", "/v1/states/doc/fork", "{\"name\": \"a\\u0000b\"}", "\"error\"");
    expect(c, 400, "POST", "/v1/states/doc/fork", "{\"to\": \"x\"}", "unknown_parameter");
    expect(c, 400, "GET", "/v1/states/%2e%2e", "", "invalid_value");
    expect(c, 404, "GET", "/v1/states/..%2f..%2findex.sqlite", "", NULL);
    expect(c, 400, "PUT", "/v1/states/x", "{\"prompt\": [\"a\", \"b\"]}", "one prompt");
    expect(c, 400, "PUT", "/v1/states/x", "{\"prompt\": \"\"}", "no tokens");
    expect(c, 404, "POST", "/v1/completions", "{\"state\": \"none\", \"prompt\": \"a\"}", "state_not_found");
    expect(c, 400, "POST", "/v1/completions", "{\"prompt\": \"a\", \"save_state\": \"a/b\"}", "save_state");
    expect(c, 400, "POST", "/v1/completions", "{\"prompt\": \"a\", \"save_state\": \"ab\", \"n\": 2}", "one answer");
    /* going on from it is as if it had just been read, with and without more */
    text_of(c, "{\"state\": \"fork\", " GREEDY "}", from_state);
    text_of(c, "{\"prompt\": \"Once upon a time there was \", " GREEDY "}", from_prompt);
    assert_string_equal(from_state, from_prompt);
    text_of(c, "{\"state\": \"fork\", \"prompt\": \"a king\", " GREEDY ", \"save_state\": \"end\"}", from_state);
    text_of(c, "{\"prompt\": \"Once upon a time there was a king\", \"temperature\": 0, \"max_tokens\": 40}", from_prompt);
    text_of(c, "{\"state\": \"end\", " GREEDY "}", rest);
    snprintf(both, sizeof both, "%s%s", from_state, rest);
    assert_memory_equal(both, from_prompt, 20); /* bytes that are no characters are not shown, so lengths may differ */
    expect(c, 200, "POST", "/v1/completions", "{\"state\": \"end\", \"stream\": true, \"save_state\": \"end\", " GREEDY "}", "\"choices\":[],\"state\":{\"name\":\"end\",\"n_tokens\":73}");
    expect(c, 200, "GET", "/v1/states/end", "", "\"n_tokens\":73");
    /* a chat goes on: two turns in two requests are those of one */
    expect(c, 200, "POST", "/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"save_state\": \"talk\", \"seed\": 1, \"max_tokens\": 1, \"logit_bias\": {\"65\": 100}}",
           "\"content\":\"A\"");
    expect(c, 200, "GET", "/v1/states/talk", "", "\"open\":true");
    expect(c, 200, "PUT", "/v1/states/one", "{\"state\": \"talk\", \"messages\": [{\"role\": \"user\", \"content\": \"And?\"}]}", NULL);
    expect(c, 200, "PUT", "/v1/states/whole",
           "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"And?\"}]}", "\"open\":false");
    expect(c, 200, "PUT", "/v1/states/more", "{\"state\": \"one\", \"messages\": [{\"role\": \"user\", \"content\": \"So\"}]}", NULL); /* behind a closed turn */
    expect(c, 200, "PUT", "/v1/states/more2", "{\"state\": \"whole\", \"prompt\": \"<|im_start|>user\\nSo<|im_end|>\\n\"}", NULL);
    assert_int_equal(say(c, "GET", "/v1/states", "", &text), 200);
    int64_t n[4] = {0};
    static const char *const names[] = {"\"name\":\"one\"", "\"name\":\"whole\"", "\"name\":\"more\"", "\"name\":\"more2\""};
    for (int i = 0; i < 4; i++) {
        const char *at = strstr(text.text, names[i]);
        assert_non_null(at);
        n[i] = strtoll(strstr(at, "\"n_tokens\":") + 11, NULL, 10);
    }
    assert_true(n[0] == n[1] && n[2] == n[3] && n[2] > n[0]);
    expect(c, 200, "GET", "/v1/states?prefix=more2", "", "\"data\":[{\"object\":\"state\",\"name\":\"more2\",");
    expect(c, 200, "GET", "/v1/states?prefix=nobody", "", "\"data\":[],\"files\"");
    text_of(c, "{\"state\": \"more\", " GREEDY "}", from_state);
    text_of(c, "{\"state\": \"more2\", " GREEDY "}", from_prompt);
    assert_memory_equal(from_state, from_prompt, 10);
    for (int i = 0; i < 5; i++) {
        static const char *const paths[] = {"/v1/states/talk", "/v1/states/one", "/v1/states/whole", "/v1/states/more", "/v1/states/more2"};
        expect(c, 200, "DELETE", paths[i], "", NULL);
    }
    /* down and up again */
    assert_int_equal(say(c, "GET", "/v1/states/end?raw=1", "", &text), 200);
    kr_str file = text;
    text = (kr_str){0};
    assert_int_equal(ask(c, "PUT", "/v1/states/up", "application/octet-stream", file.text, file.n, &text), 200);
    expect(c, 200, "GET", "/v1/states/up", "", "\"open\":false");
    assert_int_equal(ask(c, "PUT", "/v1/states/up?open=1", "application/octet-stream", file.text, file.n, &text), 200);
    expect(c, 200, "GET", "/v1/states/up", "", "\"open\":true");
    expect(c, 200, "PUT", "/v1/states/null", "{\"messages\": null, \"prompt\": \"ab\"}", "\"n_tokens\":2");
    expect(c, 200, "DELETE", "/v1/states/null", "", NULL);
    assert_int_equal(ask(c, "PUT", "/v1/states/up2", "application/octet-stream", file.text, file.n - 5, &text), 400);
    assert_int_equal(ask(c, "PUT", "/v1/states/up2", "application/octet-stream", "", 0, &text), 400);
    text_of(c, "{\"state\": \"up\", " GREEDY "}", from_state);
    text_of(c, "{\"state\": \"end\", " GREEDY "}", from_prompt);
    assert_string_equal(from_state, from_prompt);
    expect(c, 200, "DELETE", "/v1/states/doc", "", "\"deleted\":true");
    expect(c, 404, "DELETE", "/v1/states/doc", "", "state_not_found");
    expect(c, 200, "GET", "/metrics", "", "krait_named_states 3");
    end_well(c);
    /* another start, in a budget that is too small for more */
    c = start(dir, (int64_t)file.n * 3 + (int64_t)file.n / 2);
    text_of(c, "{\"state\": \"up\", " GREEDY "}", from_state);
    assert_string_equal(from_state, from_prompt);
    expect(c, 507, "PUT", "/v1/states/more", "{\"prompt\": \"a\"}", "no_room_for_states");
    expect(c, 200, "POST", "/v1/completions", "{\"prompt\": \"a\", \"save_state\": \"more\", \"max_tokens\": 2}", "\"error\":\"the state has");
    end_well(c);
    kr_str_free(&file);
    kr_str_free(&text);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* The last tokens that a state has read or written, as its file has them. */
static void tokens_of(child c, const char *name, kr_str *to) {
    char path[100];
    uint64_t n;
    json_t *head = NULL;
    kr_str file = {0};
    snprintf(path, sizeof path, "/v1/states/%s?raw=1", name);
    assert_int_equal(say(c, "GET", path, "", &file), 200);
    memcpy(&n, file.text, 8);
    assert_int_equal(kr_json_parse(&head, file.text + 8, n, "state"), KR_OK);
    const json_t *at = json_object_get(json_object_get(head, "sampler.recent"), "data_offsets");
    size_t from = (size_t)json_integer_value(json_array_get(at, 0)), end = (size_t)json_integer_value(json_array_get(at, 1));
    assert_true(end > from && 8 + n + end <= file.n);
    kr_str_cut(to, 0);
    kr_str_append_n(to, file.text + 8 + n + from, end - from);
    json_decref(head);
    kr_str_free(&file);
}

/* In these forms a turn ends with a text, which the state has read by then. */
static void test_text_stops(void **state) {
    static const struct { const char *form, *writes; } cases[] = {
        {"zephyr", "A</s>"}, {"tulu", "A</s>"}, {"chatml", "A<|im_end|>"}, {"plain", " A\\n\\nUser:"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = new_folder();
        char body[600], one[512], whole[512];
        kr_str a = {0}, b = {0}, file = {0};
        child c = start_as((setup){.dir = dir, .form = cases[i].form});
        snprintf(body, sizeof body, "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"save_state\": \"talk\", \"seed\": 1, \"grammar\": \"root ::= \\\"%s\\\"\"}", cases[i].writes);
        expect(c, 200, "POST", "/v1/chat/completions", body, "\"finish_reason\":\"stop\"");
        expect(c, 200, "GET", "/v1/states/talk", "", "\"open\":true");
        static const char *const more[] = {"{\"role\": \"user\", \"content\": \"And </s> User: so?\"}", "{\"role\": \"user\", \"content\": \"B\"}, {\"role\": \"assistant\", \"content\": \"C\"}, {\"role\": \"user\", \"content\": \"D\"}"};
        for (int k = 0; k < 2; k++) {
            snprintf(body, sizeof body, "{\"state\": \"talk\", \"messages\": [%s]}", more[k]);
            expect(c, 200, "PUT", "/v1/states/one", body, NULL);
            snprintf(body, sizeof body, "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"A\"}, %s]}", more[k]);
            expect(c, 200, "PUT", "/v1/states/whole", body, NULL);
            tokens_of(c, "one", &a);
            tokens_of(c, "whole", &b);
            if (a.n != b.n || memcmp(a.text, b.text, a.n) != 0) fail_msg("%s: a state goes on with other tokens than the whole conversation has", cases[i].form);
            text_of(c, "{\"state\": \"one\", " GREEDY "}", one);
            text_of(c, "{\"state\": \"whole\", " GREEDY "}", whole);
            assert_memory_equal(one, whole, 10);
        }
        /* the file knows it too, and that the turn is open */
        assert_int_equal(say(c, "GET", "/v1/states/talk?raw=1", "", &file), 200);
        assert_int_equal(ask(c, "PUT", "/v1/states/up", "application/octet-stream", file.text, file.n, &a), 200);
        expect(c, 200, "GET", "/v1/states/up", "", "\"open\":true");
        snprintf(body, sizeof body, "{\"state\": \"up\", \"messages\": [%s]}", more[1]);
        expect(c, 200, "PUT", "/v1/states/one", body, NULL);
        tokens_of(c, "one", &a);
        assert_memory_equal(a.text, b.text, a.n);
        kr_str_free(&a);
        kr_str_free(&b);
        kr_str_free(&file);
        end_well(c);
        assert_int_equal(kr_dir_remove(dir), KR_OK);
    }
}

static void test_none_kept(void **state) {
    (void)state;
    child c = start(NULL, 0);
    expect(c, 501, "GET", "/v1/states", "", "--states");
    expect(c, 501, "PUT", "/v1/states/a", "{\"prompt\": \"a\"}", "no_states");
    expect(c, 501, "POST", "/v1/completions", "{\"prompt\": \"a\", \"save_state\": \"a\"}", "no_states");
    end_well(c);
}

/* --- a server that is killed ---------------------------------------------------------------------------- */

static void prompt_of(int i, char *to) { sprintf(to, "{\"prompt\": \"text %d, of %d letters %.*s\"", i, i % 50, i % 50, "xyxxyxyxxyyxyxxyxyxxyyxyxxyxyxxyyxyxxyxyxxyyxyxxyxyxxyyx"); }

/* Whatever was answered with 200 is there after a kill at any time. */
static void test_killed(void **state) {
    enum { NAMES = 5 };
    const char *dir = new_folder();
    int kept[NAMES], doubtful[NAMES], n = 0;
    kr_str text = {0};
    char path[64], body[256], one[512], other[512];
    (void)state;
    for (int i = 0; i < NAMES; i++) kept[i] = -1;
    for (int round = 0; round < 10; round++) {
        child c = start(dir, 0);
        for (int i = 0; i < NAMES; i++) doubtful[i] = kept[i];
        pid_t killer = fork();
        if (killer == 0) {
            nanosleep(&(struct timespec){.tv_nsec = 20000000 + 7300000L * round}, NULL);
            kill(c.pid, SIGKILL);
            _exit(0);
        }
        for (int status = 200; status; n++) {
            snprintf(path, sizeof path, "/v1/states/s%d", n % NAMES);
            prompt_of(n, body);
            strcat(body, "}");
            doubtful[n % NAMES] = n;
            status = say(c, "PUT", path, body, &text);
            if (status == 200) kept[n % NAMES] = n;
            else if (status) fail_msg("%d: %s", status, kr_str_text(&text));
        }
        assert_int_equal(waitpid(killer, NULL, 0), killer);
        end(c, SIGKILL);
        c = start(dir, 0);
        for (int i = 0; i < NAMES; i++) {
            if (kept[i] < 0 && doubtful[i] < 0) continue;
            snprintf(path, sizeof path, "/v1/states/s%d", i);
            int status = say(c, "GET", path, "", &text);
            if (kept[i] < 0 && status == 404) continue;
            if (status != 200) fail_msg("round %d: s%d was kept and is lost: %d %s", round, i, status, kr_str_text(&text));
            snprintf(body, sizeof body, "{\"state\": \"s%d\", " GREEDY "}", i);
            text_of(c, body, one);
            prompt_of(kept[i], body);
            strcat(body, ", " GREEDY "}");
            text_of(c, body, other);
            if (strcmp(one, other) == 0) continue;
            prompt_of(doubtful[i], body); /* not answered, but done */
            strcat(body, ", " GREEDY "}");
            text_of(c, body, other);
            assert_string_equal(one, other);
            kept[i] = doubtful[i];
        }
        end_well(c);
    }
    kr_str_free(&text);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static int64_t metric(child c, const char *name) {
    kr_str text = {0};
    char line[100];
    assert_int_equal(say(c, "GET", "/metrics", "", &text), 200);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text.text, line);
    int64_t value = at ? strtoll(at + strlen(line), NULL, 10) : -1;
    kr_str_free(&text);
    return value;
}

/* --- a server that starts again ----------------------------------------------------------------------------- */

/* Greedily, what follows a text of 300 bytes and `rest`; how many of them were known. */
static int64_t go_on(child c, const char *rest, char to[512]) {
    kr_str text = {0}, body = {0};
    json_t *j = NULL;
    kr_str_append(&body, "{\"prompt\": \"");
    for (int i = 0; i < 30; i++) kr_str_appendf(&body, "number %02d,", i);
    kr_str_appendf(&body, "%s\", " GREEDY "}", rest);
    if (say(c, "POST", "/v1/completions", body.text, &text) != 200) fail_msg("%s", kr_str_text(&text));
    assert_int_equal(kr_json_parse(&j, text.text, text.n, "answer"), KR_OK);
    snprintf(to, 512, "%s", json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), 0), "text")));
    int64_t known = json_integer_value(json_object_get(json_object_get(json_object_get(j, "usage"), "prompt_tokens_details"), "cached_tokens"));
    json_decref(j);
    kr_str_free(&text);
    kr_str_free(&body);
    return known;
}

/* The tree of the prefix cache in dir: every save writes another file, and it last. */
static ino_t tree_in(const char *dir) {
    char path[600];
    kr_file_list list = {0};
    struct stat st = {0};
    snprintf(path, sizeof path, "%s/*/tree", dir);
    if (kr_file_glob(&list, path) != KR_OK || list.n != 1 || stat(list.name[0], &st) != 0) st.st_ino = 0;
    kr_file_list_free(&list);
    return st.st_ino;
}

static void test_warm(void **state) {
    const char *dir = new_folder();
    char first[512], again[512];
    (void)state;
    child c = start_as((setup){.cache = dir});
    assert_int_equal(go_on(c, "", first), 0);
    end_well(c);
    c = start_as((setup){.cache = dir});
    assert_int_equal(go_on(c, "", again), 300);
    assert_string_equal(first, again);
    ino_t tree = tree_in(dir);
    assert_int_equal(go_on(c, " and more of it", first), 256);
    for (int i = 0; (tree_in(dir) == tree || metric(c, "krait_cache_kept_entries") != metric(c, "krait_cache_entries")) && i < 6000; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* if that took two saves */
    end(c, SIGKILL);
    c = start_as((setup){.cache = dir});
    assert_int_equal(go_on(c, " and more of it", again), 315);
    assert_string_equal(first, again);
    end_well(c);
    c = start_as((setup){.cache = dir, .seed = 4}); /* another model */
    assert_int_equal(go_on(c, "", again), 0);
    assert_int_equal(metric(c, "krait_cache_kept_refused_total"), 0);
    end_well(c);
    c = start_as((setup){.cache = dir});
    assert_int_equal(go_on(c, " and more of it", again), 315);
    assert_string_equal(first, again);
    end_well(c);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* --- a server that ends ----------------------------------------------------------------------------------- */

/* Asks, ends the server once it writes, and hears the rest. */
static void cut_off(child c, const char *path, const char *body, kr_str *text) {
    char head[200], in[4096];
    int fd = dial(c);
    assert_true(fd >= 0);
    int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", path, strlen(body));
    assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
    assert_int_equal(send(fd, body, strlen(body), MSG_NOSIGNAL), (ssize_t)strlen(body));
    for (int i = 0; metric(c, "krait_generated_tokens_total") < 20 && i < 12000; i++) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    kill(c.pid, SIGTERM);
    kr_str_cut(text, 0);
    for (ssize_t got; (got = read(fd, in, sizeof in)) > 0;) kr_str_append_n(text, in, (size_t)got);
    close(fd);
    int status;
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the server ended with status %d", status);
}

static int64_t number_behind(const kr_str *text, const char *what) {
    const char *at = strstr(kr_str_text(text), what);
    if (!at) fail_msg("no %s in %s", what, kr_str_text(text));
    return strtoll(at + strlen(what), NULL, 10);
}

#define LETTERS "\"temperature\": 0, \"grammar\": \"root ::= [a-z]*\", "

/* What is not done in time is kept under a name that the client is told, and goes on from there as if nothing had been. */
static void test_cut(void **state) {
    const char *dir = new_folder();
    char name[100] = "", path[200], body[600], rest[512];
    kr_str text = {0}, said = {0};
    (void)state;
    setup how = {.dir = dir, .drain_s = 0.05};
    child c = start_as(how);
    cut_off(c, "/v1/completions", "{\"prompt\": \"the krait\", \"max_tokens\": 900000, \"stream\": true, " LETTERS "\"logprobs\": 0}", &text);
    assert_null(strstr(text.text, "[DONE]"));
    assert_non_null(strstr(text.text, "data: {\"error\":"));
    assert_non_null(strstr(text.text, "\"code\":\"shutting_down\""));
    const char *at = strstr(text.text, "\"state\":{\"name\":\"cut-");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"state\":{\"name\":\"%90[^\"]", name), 1);
    int64_t n = number_behind(&text, "\"n_tokens\":");
    for (const char *p = text.text; (p = strstr(p, "\"text\":\""));) { /* letters alone, so nothing is escaped */
        p += 8;
        kr_str_append_n(&said, p, strcspn(p, "\""));
    }
    assert_int_equal(said.n + 9, n);
    c = start_as(how);
    snprintf(path, sizeof path, "/v1/states/%s", name);
    expect(c, 200, "GET", path, "", "\"open\":false");
    snprintf(body, sizeof body, "{\"state\": \"%s\", " LETTERS "\"max_tokens\": 12}", name);
    text_of(c, body, rest);
    kr_str_append(&said, rest);
    snprintf(body, sizeof body, "{\"prompt\": \"the krait\", " LETTERS "\"max_tokens\": %lld}", (long long)n - 9 + 12);
    kr_str_cut(&text, 0);
    assert_int_equal(say(c, "POST", "/v1/completions", body, &text), 200);
    at = strstr(text.text, "\"text\":\"") + 8;
    assert_int_equal(strcspn(at, "\""), said.n);
    assert_memory_equal(at, said.text, said.n);
    /* a whole answer, under the name it asked for: what there is of it comes too */
    cut_off(c, "/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"max_tokens\": 900000, \"save_state\": \"mine\", " LETTERS "\"seed\": 1}", &text);
    assert_non_null(strstr(text.text, "HTTP/1.1 503"));
    assert_non_null(strstr(text.text, "Retry-After"));
    assert_non_null(strstr(text.text, "\"state\":{\"name\":\"mine\",\"n_tokens\":"));
    assert_non_null(strstr(text.text, "\"finish_reason\":null"));
    at = strstr(text.text, "\"content\":\"");
    assert_non_null(at);
    kr_str_cut(&said, 0);
    kr_str_append_n(&said, at + 11, strcspn(at + 11, "\""));
    c = start_as(how);
    expect(c, 200, "GET", "/v1/states/mine", "", "\"open\":true");
    /* a turn that was cut goes on as itself: empty, as all of it is in the state */
    kr_str_cut(&text, 0);
    assert_int_equal(say(c, "POST", "/v1/chat/completions", "{\"state\": \"mine\", \"messages\": [{\"role\": \"assistant\", \"content\": \"\"}], \"continue_final_message\": true, " LETTERS "\"max_tokens\": 12}", &text), 200);
    at = strstr(text.text, "\"content\":\"");
    kr_str_append_n(&said, at + 11, strcspn(at + 11, "\""));
    snprintf(body, sizeof body, "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], " LETTERS "\"max_tokens\": %zu}", said.n);
    kr_str_cut(&text, 0);
    assert_int_equal(say(c, "POST", "/v1/chat/completions", body, &text), 200);
    at = strstr(text.text, "\"content\":\"") + 11;
    assert_int_equal(strcspn(at, "\""), said.n);
    assert_memory_equal(at, said.text, said.n);
    /* two answers, each its own */
    cut_off(c, "/v1/completions", "{\"prompt\": \"the krait\", \"max_tokens\": 900000, \"stream\": true, \"n\": 2}", &text);
    assert_non_null(strstr(text.text, "\"states\":[{\"index\":0,\"name\":\"cut-"));
    assert_non_null(strstr(text.text, "{\"index\":1,\"name\":\"cut-"));
    kr_str_free(&text);
    kr_str_free(&said);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* A server without named states says that it ends; what it had read of a prompt, the next one knows. */
static void test_cut_reading(void **state) {
    const char *dir = new_folder();
    kr_str body = {0}, text = {0};
    (void)state;
    setup how = {.cache = dir, .drain_s = 0.05};
    kr_str_append(&body, "{\"prompt\": \"");
    for (int i = 0; i < 20000; i++) kr_str_appendf(&body, "%d, ", i % 1000);
    kr_str_append(&body, "\", \"max_tokens\": 900000}");
    child c = start_as(how);
    char head[200], in[4096];
    int fd = dial(c), n = snprintf(head, sizeof head, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", body.n);
    assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
    for (size_t at = 0; at < body.n;) {
        ssize_t k = send(fd, body.text + at, body.n - at, MSG_NOSIGNAL);
        assert_true(k > 0);
        at += (size_t)k;
    }
    for (int i = 0; metric(c, "krait_cache_entries") < 1 && i < 12000; i++) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    kill(c.pid, SIGTERM);
    for (ssize_t got; (got = read(fd, in, sizeof in)) > 0;) kr_str_append_n(&text, in, (size_t)got);
    close(fd);
    int status;
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(kr_str_text(&text), "HTTP/1.1 503"));
    assert_non_null(strstr(kr_str_text(&text), "\"code\":\"shutting_down\"}}"));
    c = start_as(how);
    kr_str_cut(&body, body.n - strlen("900000}"));
    kr_str_append(&body, "1}");
    assert_int_equal(say(c, "POST", "/v1/completions", body.text, &text), 200);
    assert_true(number_behind(&text, "\"cached_tokens\":") > 0);
    end_well(c);
    kr_str_free(&body);
    kr_str_free(&text);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* --- clients that leave ------------------------------------------------------------------------------------ */

/* At once, while they wait, after some tokens; of a stream and of a whole answer. */
static void test_left(void **state) {
    const char *dir = new_folder();
    int clients = getenv("KRAIT_CLIENTS") ? atoi(getenv("KRAIT_CLIENTS")) : 1000;
    child c = start(dir, 0);
    (void)state;
    for (int i = 0; i < clients; i++) {
        char body[200], out[400], in[300];
        int fd = dial(c), n;
        snprintf(body, sizeof body, "{\"prompt\": \"client %d\", \"max_tokens\": 900000, \"stream\": %s%s}", i, i % 2 ? "true" : "false", i % 5 ? "" : ", \"save_state\": \"left\"");
        n = snprintf(out, sizeof out, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
        assert_true(fd >= 0);
        assert_int_equal(send(fd, out, (size_t)(i % 7 ? n : n / 2), MSG_NOSIGNAL), i % 7 ? n : n / 2);
        if (i % 2 && i % 7 && i % 3 == 0) assert_true(read(fd, in, sizeof in) > 0);
        if (i % 11 == 0) nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        if (i % 4 == 0) setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)); /* a reset */
        close(fd);
    }
    for (int i = 0; i < 3000; i++) { /* all of it comes to rest */
        if (metric(c, "krait_http_streams") + metric(c, "krait_requests_waiting") + metric(c, "krait_requests_reading") + metric(c, "krait_requests_writing") == 0 &&
            metric(c, "krait_http_connections") <= 1)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    assert_int_equal(metric(c, "krait_http_streams"), 0);
    assert_int_equal(metric(c, "krait_requests_writing") + metric(c, "krait_requests_waiting") + metric(c, "krait_requests_reading"), 0);
    assert_int_equal(metric(c, "krait_http_connections"), 1);
    assert_int_equal(metric(c, "krait_requests_failed_total"), 0);
    assert_int_equal(metric(c, "krait_named_states"), 0); /* who left keeps nothing */
    assert_true(metric(c, "krait_http_aborted_total") <= clients);
    assert_int_equal(metric(c, "krait_requests_total"), metric(c, "krait_requests_cancelled_total"));
    expect(c, 200, "POST", "/v1/completions", "{\"prompt\": \"still there\", \"max_tokens\": 3}", "\"completion_tokens\":3");
    end_well(c); /* and nothing is leaked */
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

int main(void) {
    const char *dir = new_folder();
    kr_states *s = NULL;
    kr_status st = kr_states_open(&s, dir, NULL);
    kr_states_close(s);
    (void)kr_dir_remove(dir);
#ifndef KR_WITH_SERVER
    st = KR_ERR_MISSING;
#endif
    if (st == KR_ERR_MISSING) return printf("check_states: skipped: this build has no server, or no SQLite\n"), 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_routes), cmocka_unit_test(test_text_stops), cmocka_unit_test(test_none_kept), cmocka_unit_test(test_killed), cmocka_unit_test(test_warm), cmocka_unit_test(test_cut), cmocka_unit_test(test_cut_reading), cmocka_unit_test(test_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
