/* serve_case.h - for tests of the server: one on a thread of the test's own, and a client that speaks HTTP to it. */
#ifndef KR_SERVE_CASE_H
#define KR_SERVE_CASE_H
#include "model_case.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/timing.h"
#include "krait/serve.h"
#include "serve/server.h"

static const char tiny[] = "{'model_type': 'krait', 'd_model': 32, 'n_layer': 2, 'vocab_size': 256, 'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 16}}";

typedef struct bench { kr_model *m; kr_server *s; pthread_t thread; double drain_s; kr_status ended; int64_t live; } bench;

static void *serve(void *arg) {
    bench *b = arg;
    b->ended = kr_server_run(b->s, b->drain_s);
    return NULL;
}

static bench start(kr_server_options o) {
    bench b = {.drain_s = 20, .live = kr_mem_get_stats().n_live};
    b.m = model_of(tiny, 5);
    if (!o.engine.n_threads) o.engine.n_threads = 1;
    if (!o.max_tok) o.max_tok = 1000000;
    if (kr_server_new(&b.s, b.m, &o) != KR_OK) fail_msg("%s", kr_error());
    return b;
}
static void begin(bench *b) { assert_int_equal(pthread_create(&b->thread, NULL, serve, b), 0); }

/* Stops, and wants everything back. */
static void end(bench *b) {
    kr_server_stop(b->s);
    pthread_join(b->thread, NULL);
    assert_int_equal(b->ended, KR_OK);
    kr_server_free(b->s);
    kr_model_free(b->m);
    assert_int_equal(kr_mem_get_stats().n_live, b->live);
}

/* --- a client ------------------------------------------------------------------------------------ */

static int dial(const bench *b) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)kr_server_port(b->s)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval most = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text, size_t n) {
    for (ssize_t k; n; text += k, n -= (size_t)k)
        if ((k = send(fd, text, n, MSG_NOSIGNAL)) <= 0) return; /* refused before all was said */
}

typedef struct answer { int status; char *head, *body; size_t n; } answer;

static void forget(answer *a) {
    free(a->head);
    *a = (answer){0};
}

/* An answer up to its end: by its length, its chunks, or the end of the connection. */
static answer hear(int fd) {
    size_t n = 0, room = 1 << 16, want = SIZE_MAX;
    char *t = malloc(room + 1), *body = NULL;
    answer a = {0};
    for (;;) {
        t[n] = 0;
        if (!body && (body = strstr(t, "\r\n\r\n"))) {
            const char *len = strcasestr(t, "\r\nContent-Length: ");
            *body = 0, body += 4;
            if (strncmp(t + 9, "204", 3) == 0) want = (size_t)(body - t); /* has none */
            if (len && len < body) want = (size_t)(body - t) + strtoull(len + 18, NULL, 10);
        }
        if (n >= want || (body && want == SIZE_MAX && n >= 5 && memcmp(t + n - 5, "0\r\n\r\n", 5) == 0)) break;
        if (n == room) {
            size_t at = body ? (size_t)(body - t) : 0;
            char *more = realloc(t, (room *= 2) + 1);
            assert_non_null(more);
            t = more;
            if (body) body = t + at;
        }
        ssize_t k = recv(fd, t + n, room - n, 0);
        if (k <= 0) break;
        n += (size_t)k;
    }
    a.head = t;
    if (!body) return a;
    a.status = atoi(t + 9);
    a.body = body;
    a.n = n - (size_t)(body - t);
    if (strcasestr(t, "\r\nTransfer-Encoding: chunked")) { /* in place */
        char *from = body, *to = body;
        for (size_t len; (len = strtoull(from, &from, 16)) > 0 && from + len < t + n; from += len + 2) memmove(to, from += 2, len), to += len;
        a.n = (size_t)(to - body);
        *to = 0;
    }
    return a;
}

static void ask(int fd, const char *method, const char *path, const char *headers, const char *body) {
    kr_str s = {0};
    kr_str_appendf(&s, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s", method, path, headers);
    if (body) kr_str_appendf(&s, "Content-Length: %zu\r\n", strlen(body));
    kr_str_appendf(&s, "\r\n%s", body ? body : "");
    say(fd, s.text, s.n);
    kr_str_free(&s);
}

static answer once(const bench *b, const char *method, const char *path, const char *headers, const char *body) {
    int fd = dial(b);
    ask(fd, method, path, headers, body);
    answer a = hear(fd);
    close(fd);
    return a;
}

/* JSON with ' for ". */
static answer post(const bench *b, const char *path, const char *body) {
    kr_str s = {0};
    kr_str_append(&s, body);
    for (size_t i = 0; i < s.n; i++)
        if (s.text[i] == '\'') s.text[i] = '"';
    answer a = once(b, "POST", path, "", kr_str_text(&s));
    kr_str_free(&s);
    return a;
}

static json_t *json_in(const answer *a) {
    json_error_t e;
    json_t *j = json_loadb(a->body ? a->body : "", a->n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);
    if (!j) fail_msg("%s: %s", e.text, a->body ? a->body : "");
    return j;
}

/* Refused with this status and code, of this field. */
static void refused_by(answer a, int status, const char *code, const char *param) {
    json_t *j = json_in(&a), *e = json_object_get(j, "error");
    const char *got = json_string_value(json_object_get(e, "param"));
    if (a.status != status || strcmp(json_string_value(json_object_get(e, "code")), code) != 0 || !json_string_value(json_object_get(e, "message")) ||
        !json_string_value(json_object_get(e, "type")) || (param && (!got || strcmp(got, param) != 0)))
        fail_msg("want %d %s %s, got %d %s", status, code, param ? param : "", a.status, a.body);
    json_decref(j);
    forget(&a);
}

static void until(bool (*is)(const bench *b), const bench *b, const char *what) {
    for (double end_s = kr_now() + 60; !is(b); usleep(2000))
        if (kr_now() > end_s) fail_msg("in vain: %s", what);
}
static kr_engine_stats stats(const bench *b) {
    kr_engine_stats e;
    kr_engine_get_stats(b->s->engine, &e);
    return e;
}
static bool is_calm(const bench *b) {
    kr_engine_stats e = stats(b);
    return e.n_writing + e.n_reading + e.n_waiting == 0;
}
static bool is_writing(const bench *b) { return stats(b).n_writing > 0; }
static bool is_waiting(const bench *b) { return stats(b).n_waiting > 0; }
static bool has_no_connections(const bench *b) { return kr_http_connections(b->s->http) == 0; }
#endif
