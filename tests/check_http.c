/* check_http.c - the server's HTTP: what is a request, who may ask, those who are slow, those who are too many. */
#include "serve_case.h"

static answer answer_to(const bench *b, const char *raw) {
    int fd = dial(b);
    say(fd, raw, strlen(raw));
    answer a = hear(fd);
    close(fd);
    return a;
}

static int status_of(const bench *b, const char *raw) {
    answer a = answer_to(b, raw);
    int status = a.status;
    forget(&a);
    return status;
}

static void test_http(void **state) {
    bench b = start((kr_server_options){.max_body = 4096});
    (void)state;
    begin(&b);
#define POST_HEAD "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: 15\r\n\r\n{\"content\":\"a\"}"), 200);
    assert_int_equal(status_of(&b, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"con\r\na\r\ntent\":\"a\"}\r\n0\r\n\r\n"), 200);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: 15\r\nContent-Length: 3\r\n\r\n{\"content\":\"a\"}"), 400);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: 15\r\nContent-Length: 15\r\n\r\n{\"content\":\"a\"}"), 400);
    assert_int_equal(status_of(&b, POST_HEAD "Transfer-Encoding: gzip\r\n\r\n"), 400);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: -1\r\n\r\n"), 400);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: 5000\r\n\r\n"), 413);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length: 99999999999999999999999\r\n\r\n"), 413);
    assert_int_equal(status_of(&b, POST_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
    assert_int_equal(status_of(&b, POST_HEAD "Content-Length : 15\r\n\r\n{\"content\":\"a\"}"), 400);
    refused_by(answer_to(&b, "GET /health HTTP/1.1\r\n\r\n"), 400, "invalid_header", NULL); /* no host */
    refused_by(answer_to(&b, "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"), 400, "invalid_header", NULL);
    assert_int_equal(status_of(&b, "GET /health HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(status_of(&b, "GET /v1/models HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n"), 403);
    assert_int_equal(status_of(&b, "GET /v1/models HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n"), 403);
    assert_int_equal(status_of(&b, "GET /v1/models HTTP/1.1\r\nHost: LOCALHOST:8080\r\n\r\n"), 200);
    assert_int_equal(status_of(&b, "GET /v1/models HTTP/1.1\r\nHost: 127.evil.example\r\n\r\n"), 403);
    assert_int_equal(status_of(&b, "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1.evil.example:8080\r\n\r\n"), 403);
    assert_int_equal(status_of(&b, "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.2:8080\r\n\r\n"), 200);
    assert_true(status_of(&b, "\x16\x03\x01\x02garbage\r\n\r\n") != 200);
    /* a target that says where it goes is as good as a path, and is what counts, not the header Host */
    static const struct { const char *first, *host; int status; } targets[] = {
        {"GET http://localhost:8080/v1/models?a=b HTTP/1.1", "localhost", 200}, {"GET HTTPS://[::1]:1/v1/models HTTP/1.1", "evil.example", 200},
        {"GET http://127.0.0.1/health HTTP/1.0", NULL, 200}, {"GET http://localhost HTTP/1.1", "localhost", 200}, {"GET http://localhost?a HTTP/1.1", "localhost", 200},
        {"GET http://evil.example/v1/models HTTP/1.1", "localhost", 403}, {"GET http://localhost.evil.example/v1/models HTTP/1.1", "localhost", 403},
        {"GET http://localhost/v1/models HTTP/1.1", NULL, 400}, {"GET http:///v1/models HTTP/1.1", "localhost", 400}, {"GET http://a@localhost/v1/models HTTP/1.1", "localhost", 400},
        {"GET http://localhost%2f/v1/models HTTP/1.1", "localhost", 400}, {"GET http://localhost/v1/nothing HTTP/1.1", "localhost", 404},
        {"GET ftp://localhost/v1/models HTTP/1.1", "localhost", 404}, {"GET /v1/models%00/x HTTP/1.1", "localhost", 400}, {"GET /v1/models?a=%00 HTTP/1.1", "localhost", 200}};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char raw[256];
        snprintf(raw, sizeof raw, "%s\r\n%s%s%sConnection: close\r\n\r\n", targets[i].first, targets[i].host ? "Host: " : "", targets[i].host ? targets[i].host : "", targets[i].host ? "\r\n" : "");
        int status = status_of(&b, raw);
        if (status != targets[i].status) fail_msg("%s: want %d, got %d", raw, targets[i].status, status);
    }
    kr_str s = {0}; /* more in chunks than is taken, more headers than are */
    kr_str_append(&s, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; i++) kr_str_appendf(&s, "3e8\r\n%01000d\r\n", 0);
    kr_str_append(&s, "0\r\n\r\n");
    assert_int_equal(status_of(&b, s.text), 413);
    kr_str_cut(&s, 0);
    kr_str_appendf(&s, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: %040000d\r\n\r\n", 0);
    refused_by(answer_to(&b, s.text), 431, "headers_too_large", NULL);
    kr_str_cut(&s, 0);
    kr_str_appendf(&s, "GET /%040000d HTTP/1.1\r\nHost: localhost\r\n\r\n", 0);
    refused_by(answer_to(&b, s.text), 414, "url_too_long", NULL);
    kr_str_cut(&s, 0); /* more than anyone could mean: libmicrohttpd's own words */
    kr_str_appendf(&s, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: %0100000d\r\n\r\n", 0);
    assert_int_equal(status_of(&b, s.text), 431);
    kr_str_free(&s);
    /* one connection, many requests; two at once in a pipe */
    int fd = dial(&b);
    for (int i = 0; i < 20; i++) {
        ask(fd, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 3}");
        answer a = hear(fd);
        assert_int_equal(a.status, 200);
        forget(&a);
    }
    close(fd);
    until(has_no_connections, &b, "all connections closed");
    end(&b);
}

static void test_keys(void **state) {
    static const char *const keys[] = {"first-key", "k2"};
    bench b = start((kr_server_options){.keys = keys, .n_keys = 2});
    (void)state;
    begin(&b);
    static const struct { const char *header; int status; } cases[] = {
        {"", 401}, {"Authorization: Bearer first-key\r\n", 200}, {"Authorization: bearer k2\r\n", 200}, {"X-API-Key: k2\r\n", 200}, {"Authorization: Bearer first-ke\r\n", 401},
        {"Authorization: Bearer first-keyy\r\n", 401}, {"Authorization: Basic first-key\r\n", 401}, {"Authorization: Bearer \r\n", 401}, {"X-API-Key: K2\r\n", 401}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        answer a = once(&b, "GET", "/v1/models", cases[i].header, NULL);
        if (a.status != cases[i].status) fail_msg("%s: %d", cases[i].header, a.status);
        forget(&a);
    }
    refused_by(once(&b, "POST", "/v1/completions", "", "{\"prompt\": \"a\"}"), 401, "missing_api_key", NULL);
    refused_by(once(&b, "GET", "/nowhere", "", NULL), 401, "missing_api_key", NULL);
    refused_by(once(&b, "GET", "/metrics", "", NULL), 401, "missing_api_key", NULL);
    answer a = once(&b, "GET", "/health", "", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
    end(&b);
}

static void test_origins(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const cors[] = {NULL, "https://a.example", "*"};
        bench b = start((kr_server_options){.cors = cors[i]});
        begin(&b);
        answer a = once(&b, "GET", "/v1/models", "Origin: https://a.example\r\n", NULL);
        assert_int_equal(a.status, i ? 200 : 403);
        assert_true(!strstr(a.head, "Access-Control-Allow-Origin") == !i);
        forget(&a);
        a = once(&b, "GET", "/v1/models", "Origin: https://b.example\r\n", NULL);
        assert_int_equal(a.status, i == 2 ? 200 : 403);
        forget(&a);
        a = once(&b, "GET", "/v1/models", "Origin: http://localhost:3000\r\n", NULL);
        assert_int_equal(a.status, 200);
        forget(&a);
        a = once(&b, "GET", "/v1/models", "Origin: http://localhost.b.example\r\n", NULL);
        assert_int_equal(a.status, i == 2 ? 200 : 403);
        forget(&a);
        a = once(&b, "OPTIONS", "/v1/completions", "Origin: https://a.example\r\nAccess-Control-Request-Headers: authorization\r\n", NULL);
        assert_int_equal(a.status, i ? 204 : 403);
        if (i) assert_non_null(strstr(a.head, "Access-Control-Allow-Headers: authorization"));
        forget(&a);
        end(&b);
    }
}

/* Requests that do not arrive, and streams that nobody reads. */
static void test_slow(void **state) {
    bench b = start((kr_server_options){.header_s = 1, .body_s = 1, .idle_s = 1, .max_unsent = 16384});
    static const char *const parts[] = {"", "POST /tokenize HT", "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nX:", "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"};
    enum { N = sizeof parts / sizeof *parts };
    int fd[N], small = 4096;
    char c;
    (void)state;
    begin(&b);
    int lazy = dial(&b);
    setsockopt(lazy, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ask(lazy, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 1000000, \"stream\": true, \"logprobs\": 5}");
    double t0 = kr_now();
    for (int i = 0; i < N; i++) say(fd[i] = dial(&b), parts[i], strlen(parts[i]));
    for (int i = 0; i < N; i++) {
        assert_true(recv(fd[i], &c, 1, 0) <= 0);
        close(fd[i]);
    }
    assert_true(kr_now() - t0 < 40);
    until(is_calm, &b, "the stream cut");
    assert_int_equal(stats(&b).n_cancelled, 1);
    close(lazy);
    end(&b);
}

static bool is_closed(int fd) {
    char c;
    return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

/* Connections that say nothing keep nobody out, and push nobody out who is at a request. */
static void test_crowded(void **state) {
    enum { MOST = 4 };
    bench b = start((kr_server_options){.max_connections = MOST, .idle_s = 60});
    int fd[3 * MOST];
    (void)state;
    begin(&b);
    int busy = dial(&b);
    ask(busy, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 1000000}");
    until(is_writing, &b, "a request in the engine");
    for (int i = 0; i < 3 * MOST; i++) {
        fd[i] = dial(&b);
        if (i % 2) say(fd[i], "GET /health HTTP/1.1\r\nX: ", 25);
    }
    answer a = once(&b, "GET", "/health", "", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
    for (double end_s = kr_now() + 30; !is_closed(fd[0]) && kr_now() < end_s;) usleep(1000);
    assert_true(is_closed(fd[0]));
    assert_false(is_closed(busy));
    for (double end_s = kr_now() + 30; kr_http_connections(b.s->http) > MOST && kr_now() < end_s;) usleep(1000);
    assert_true(kr_http_connections(b.s->http) <= MOST);
    for (int i = 0; i < 3 * MOST; i++) close(fd[i]);
    close(busy);
    until(is_calm, &b, "cancelled");
    end(&b);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_http), cmocka_unit_test(test_keys), cmocka_unit_test(test_origins), cmocka_unit_test(test_slow),
                                       cmocka_unit_test(test_crowded)};
#ifndef KR_WITH_SERVER
    puts("check_http: skipped, this build has no server (libmicrohttpd)");
    return 77;
#endif
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
