/* fuzz_http.c - the bytes of one connection, as they come from the network: a real server answers them in HTTP or closes.
 *
 * The first byte says how they are sent (see how below), the rest is sent: requests one behind another, whole or torn, until the client
 * leaves.  What comes back must be a row of answers as RFC 9112 frames them, each refusal of ours in OpenAI's shape; only the last may
 * be cut, and only if the client left before its end.  The server must go on, and at its end nothing may be left. */
#include "fuzz.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/timing.h"
#include "krait/chat.h"
#include "serve/server.h"

enum { TEAR = 3, PATIENT = 4, RESET = 8 }; /* how: '@' none of these, 'D' patient, 'G' in many pieces and patient, 'L' deaf */

#define HOST "Host: localhost\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\n" HOST
static const char *const seeds[] = {
    "DGET /health HTTP/1.1\r\n" HOST "\r\n",
    "EGET /health HTTP/1.1\r\n" HOST "\r\nGET /v1/models HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /health HTTP/1.1\r\n" HOST "\r\n",
    "D" POST("/v1/completions") "Content-Length: 32\r\n\r\n{\"prompt\":\"ab\", \"max_tokens\": 3}" POST("/tokenize") "Content-Length: 15\r\n\r\n{\"content\":\"a\"}",
    "G" POST("/v1/completions") "Transfer-Encoding: chunked\r\n\r\n11;a=\"b\"\r\n{\"stream\": true, \r\nF\r\n\"prompt\": \"abc\"\r\n1\r\n}\r\n0\r\nX-Late: 1\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
    "D" POST("/v1/chat/completions") "Expect: 100-continue\r\nContent-Length: 52\r\n\r\n{\"messages\": [{\"role\": \"user\", \"content\": \"krait\"}]}",
    "@" POST("/v1/completions") "Content-Length: 50\r\n\r\n{\"prompt\": \"a\", \"max_tokens\": 64, \"stream\": true }",
    "L" POST("/v1/completions") "Content-Length: 50\r\n\r\n{\"prompt\": \"a\", \"max_tokens\": 64, \"stream\": true }",
    "DGET http://localhost:8080/metrics?a=b%20c&d HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD /props HTTP/1.1\r\n" HOST "\r\n",
    "DPOST http://localhost:8080/tokenize?a HTTP/1.1\r\n" HOST "Content-Length: 15\r\n\r\n{\"content\":\"a\"}GET https://[::1]/health HTTP/1.1\r\n" HOST "\r\n",
    "DOPTIONS /v1/completions HTTP/1.1\r\n" HOST "Origin: https://a.example\r\nAccess-Control-Request-Headers: authorization,\tx\r\n\r\nDELETE /v1/models HTTP/1.1\r\n" HOST "\r\n",
    "F" POST("/detokenize") "Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "DGET /v1/states/%2e%2e%2f%00a HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\tc\r\nCookie: a=b; c=\"d\"\r\nOrigin: https://evil.example\r\n\r\n",
    "D" POST("/v1/embeddings") "Content-Length: 18\r\n\r\n{\"input\": [[1,2]]}GET /nowhere HTTP/1.1\n" "Host: localhost\n\n",
};
const long fuzz_inputs = 128; /* most of the time is spent waiting for answers */
const char *const fuzz_words[] = {"\r\n", "\r\n\r\n", "\n", "\r", " ", "\t", ":", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http://", "https://localhost", "/", "?", "#", "%00", "%0d%0a",
                                  "%", "*", "Host: localhost\r\n", "Content-Length: 5\r\n", "Content-Length: -1\r\n", "Content-Length: 0x10\r\n", "Content-Length: 99999999999999999999\r\n", "Transfer-Encoding: chunked\r\n",
                                  "Transfer-Encoding: identity, chunked\r\n", "Connection: close\r\n", "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n", "Expect: 100-continue\r\n", "0\r\n\r\n", "ffffffffffffffff\r\n", "1\r\na\r\n",
                                  "Origin: https://a.example\r\n", "Origin: \r\n", "Authorization: Bearer a\r\n", "{\"prompt\":\"a\"}", "\xff", NULL};

/* The last one has more headers than a server reads. */
size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    int n = (int)(sizeof seeds / sizeof *seeds);
    if (i < n) return fuzz_text(seeds[i], to, room);
    if (i > n) return 0;
    size_t at = fuzz_text("DGET /health HTTP/1.1\r\n" HOST "X: ", to, room), end = at + 40000;
    FUZZ_MUST(end + 4 <= room);
    memset(to + at, 'x', end - at);
    memcpy(to + end, "\r\n\r\n", 4);
    return end + 4;
}

/* --- the server ------------------------------------------------------------------------------------------------ */

static struct { kr_server *s; kr_model *m; kr_chat *chat; pthread_t thread; struct sockaddr_un at; int64_t live; } one;

static void *run(void *arg) {
    FUZZ_MUST(kr_server_run(arg, 10) == KR_OK);
    return NULL;
}

static void end_server(void) {
    kr_server_stop(one.s);
    pthread_join(one.thread, NULL);
    kr_server_free(one.s);
    kr_model_free(one.m);
    kr_chat_free(one.chat);
    FUZZ_MUST(kr_mem_get_stats().n_live == one.live);
}

/* Of a model of a thousand weights that reads bytes; false: this build has no server. */
static bool begin_server(void) {
    static const char config[] = "{\"model_type\": \"krait\", \"d_model\": 4, \"n_layer\": 1, \"vocab_size\": 256, \"mixer\": {\"type\": \"mamba1\", \"d_state\": 2}}";
    json_t *j;
    one.live = kr_mem_get_stats().n_live;
    FUZZ_MUST(kr_json_parse(&j, config, sizeof config - 1, "config") == KR_OK);
    FUZZ_MUST(kr_model_describe(&one.m, j, "config", KR_F32, NULL) == KR_OK && kr_params_alloc(one.m->params, false) == KR_OK);
    json_decref(j);
    kr_params_init(one.m->params, 1);
    FUZZ_MUST(kr_chat_open(&one.chat, NULL, "chatml") == KR_OK);
    one.at.sun_family = AF_UNIX;
    snprintf(one.at.sun_path, sizeof one.at.sun_path, "/tmp/krait-fuzz-http-%ld", (long)getpid());
    kr_server_options o = {.engine = {.n_slots = 2, .n_threads = 1, .cache_bytes = 4096}, .unix_path = one.at.sun_path, .cors = "https://a.example", .chat = one.chat,
                           .max_tok = 64, .max_prompt = 300, .max_n = 4, .max_embed = 300, .max_body = 4096, .n_workers = 2};
    kr_status st = kr_server_new(&one.s, one.m, &o);
    if (st == KR_ERR_MISSING) return kr_model_free(one.m), kr_chat_free(one.chat), false;
    FUZZ_MUST(st == KR_OK && pthread_create(&one.thread, NULL, run, one.s) == 0);
    atexit(end_server);
    return true;
}

/* --- the client ------------------------------------------------------------------------------------------------- */

typedef struct talk { uint8_t *got; size_t n, room; bool closed; } talk; /* closed: by the server, before we did */

static int dial(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_MUST(fd >= 0 && connect(fd, (struct sockaddr *)&one.at, sizeof one.at) == 0);
    return fd;
}

/* What is there to be read; false: the connection has ended. */
static bool take(int fd, talk *t) {
    for (;;) {
        if (t->room - t->n < 65536) FUZZ_MUST((t->got = realloc(t->got, t->room = 2 * t->room + 65536)) != NULL);
        ssize_t k = recv(fd, t->got + t->n, t->room - t->n - 1, 0);
        t->got[t->n + (size_t)(k > 0 ? k : 0)] = 0;
        if (k < 0 && errno == EAGAIN) return true;
        if (k <= 0) return false;
        t->n += (size_t)k;
    }
}

/* Until nothing comes for so long; false: the connection has ended. */
static bool listen_to(int fd, talk *t, int ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, ms) > 0)
        if (!take(fd, t)) return false;
    return true;
}

static void send_all(int fd, talk *t, const uint8_t *data, size_t n, int how) {
    size_t piece = (how & TEAR) == 0 ? n : (how & TEAR) == 1 ? n / 2 + 1 : (how & TEAR) == 2 ? 1 : 7;
    if (piece < n / 64) piece = n / 64; /* not all day */
    for (size_t at = 0, k; at < n && !t->closed; at += k) {
        k = n - at < piece ? n - at : piece;
        ssize_t sent = send(fd, data + at, k, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) t->closed = !(how & RESET) && (take(fd, t), true);
        if (sent < 0 && errno != EAGAIN) return;
        k = sent < 0 ? 0 : (size_t)sent;
        if (k == 0) poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 10);
        if (how & TEAR) sched_yield();
        if (!(how & RESET) && !take(fd, t)) t->closed = true;
    }
}

static void talk_to(talk *t, const uint8_t *data, size_t n, int how) {
    int fd = dial();
    send_all(fd, t, data, n, how);
    if (how & PATIENT && !(how & RESET) && !t->closed) t->closed = !listen_to(fd, t, t->n ? 4 : 20) || (t->n && !listen_to(fd, t, 4));
    if (!t->closed && !(how & RESET)) {
        shutdown(fd, SHUT_WR);
        FUZZ_MUST(!listen_to(fd, t, 15000)); /* then it ends, soon */
    }
    close(fd);
}

/* --- what came ---------------------------------------------------------------------------------------------------- */

static bool is_token(uint8_t c) { return c > 32 && c < 127 && !strchr("()<>@,;:\\\"/[]?={}", c); }

static const uint8_t *line_end(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p != '\r') {
        FUZZ_MUST(*p == '\t' || (*p >= 32 && *p != 127));
        p++;
    }
    FUZZ_MUST(end - p < 2 || p[1] == '\n');
    return end - p < 2 ? NULL : p;
}

typedef struct head { int status; bool ours, chunked, sized, html, closes; size_t length; const uint8_t *body; } head;

/* false: it is cut. */
static bool read_head(head *h, const uint8_t *p, const uint8_t *end) {
    const uint8_t *eol;
    *h = (head){0};
    for (size_t i = 0; i < 9 && p + i < end; i++) FUZZ_MUST(p[i] == (uint8_t)"HTTP/1.1 "[i] || (i == 7 && p[i] == '0'));
    if (!(eol = line_end(p, end))) return false;
    FUZZ_MUST(eol - p > 12 && sscanf((const char *)p + 9, "%3d", &h->status) == 1 && h->status >= 100 && h->status < 600 && p[12] == ' ');
    for (p = eol + 2; (eol = line_end(p, end)) && eol > p; p = eol + 2) {
        const uint8_t *colon = p;
        while (colon < eol && is_token(*colon)) colon++;
        FUZZ_MUST(colon > p && colon < eol && *colon == ':' && colon[1] == ' ');
        const char *value = (const char *)colon + 2;
#define IS(name) (strncasecmp((const char *)p, name ":", sizeof name) == 0)
        if (IS("X-Request-Id")) h->ours = true;
        if (IS("Connection")) h->closes = strncmp(value, "close\r", 6) == 0;
        if (IS("Content-Type")) h->html = strncmp(value, "application/json\r", 17) != 0;
        if (IS("Transfer-Encoding")) FUZZ_MUST(!h->chunked && !h->sized && (h->chunked = strncmp(value, "chunked\r", 8) == 0));
        if (IS("Content-Length")) {
            FUZZ_MUST(!h->sized && !h->chunked && *value >= '0' && *value <= '9');
            h->sized = true, h->length = strtoull(value, NULL, 10);
        }
#undef IS
    }
    if (eol) h->body = eol + 2;
    return eol != NULL;
}

static void check_refusal(const head *h) {
    json_t *j;
    FUZZ_MUST(!h->html && h->status != 500);
    FUZZ_MUST(kr_json_parse(&j, (const char *)h->body, h->length, "refusal") == KR_OK);
    json_t *e = json_object_get(j, "error");
    FUZZ_MUST(json_string_length(json_object_get(e, "message")) > 0 && json_is_string(json_object_get(e, "type")));
    FUZZ_MUST(json_object_get(e, "code") && json_object_get(e, "param"));
    json_decref(j);
}

/* libmicrohttpd's own, to what is no request or too much of one: it closes, so what stands behind is no answer (0.9.75 says its
 * head twice when a length is none). */
static void check_refusal_of_library(const head *h) {
    static const int its[] = {400, 413, 414, 431, 500, 501, 505};
    size_t i = 0;
    while (i < sizeof its / sizeof *its && its[i] != h->status) i++;
    FUZZ_MUST(i < sizeof its / sizeof *its && h->sized && h->closes);
}

/* Behind the chunks; NULL: they are cut. */
static const uint8_t *skip_chunks(const uint8_t *p, const uint8_t *end) {
    for (const uint8_t *eol; (eol = line_end(p, end));) {
        char *stop;
        size_t n = strtoull((const char *)p, &stop, 16);
        FUZZ_MUST(stop > (const char *)p && (const uint8_t *)stop == eol && eol - p < 10);
        if ((size_t)(end - eol) < n + 4) return NULL;
        FUZZ_MUST(memcmp(eol + 2 + n, "\r\n", 2) == 0);
        p = eol + n + 4;
        if (n == 0) return p;
    }
    return NULL;
}

/* Answers one behind another; `heads`: some may have no body. */
static void check_answers(const talk *t, bool heads) {
    const uint8_t *p = t->got, *end = p + t->n;
    while (p && p < end) {
        head h;
        bool whole = read_head(&h, p, end);
        p = whole ? h.body : NULL;
        if (whole && h.status >= 200 && h.status != 204 && h.status != 304) {
            FUZZ_MUST(h.sized || h.chunked || !t->closed || heads || h.ours);
            bool bare = heads && (p == end || (end - p > 7 && memcmp(p, "HTTP/1.", 7) == 0));
            if (bare) continue;
            if (!h.ours) check_refusal_of_library(&h);
            if (h.sized && (size_t)(end - p) < h.length) p = NULL;
            else if (!h.ours) return;
            else if (h.sized && h.status >= 400) check_refusal(&h), p += h.length;
            else if (h.sized) p += h.length;
            else if (h.chunked) p = skip_chunks(p, end);
            else p = end; /* to an older client: up to the end of the connection */
        }
        if (!p) FUZZ_MUST(!t->closed);
    }
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

static void check_health(void) {
    static const char ask[] = "GET /health HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    talk t = {0};
    int fd = dial();
    FUZZ_MUST(send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) == sizeof ask - 1);
    FUZZ_MUST(!listen_to(fd, &t, 15000) && t.n > 12 && memcmp(t.got, "HTTP/1.1 200", 12) == 0);
    close(fd);
    free(t.got);
    kr_engine_stats e;
    for (double until = kr_now() + 15;; usleep(1000)) { /* all who left are forgotten */
        kr_engine_get_stats(one.s->engine, &e);
        if (kr_http_connections(one.s->http) == 0 && e.n_reading + e.n_writing + e.n_waiting == 0) return;
        FUZZ_MUST(kr_now() < until);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static int n_inputs; /* -1: there is no server */
    if (n_inputs < 0 || n < 1) return 0;
    if (n_inputs == 0 && !begin_server()) return n_inputs = -1, 0;
    talk t = {0};
    bool heads = memmem(data, n, "HEAD", 4) != NULL;
    talk_to(&t, data + 1, n - 1, *data);
    if (getenv("FUZZ_SHOW") && t.n) fwrite(t.got, 1, t.n, stderr); /* with -i: what came of it */
    if (!(*data & RESET)) check_answers(&t, heads);
    free(t.got);
    if (++n_inputs % 64 == 0) check_health();
    return 0;
}
