/* serve_load.c - many streams on a running server, for long: counts errors, times tokens.
 *
 *   serve_load PORT [--streams 256] [--seconds 60] [--max-tokens 24] [--prompt-bytes 64] [--shared N] [--pid P] [--abort] [--requests N]
 *              [--ignore-eos] [--hang-up]
 *
 * Each stream is a connection that asks again as soon as its answer has ended (--hang-up: a new one each time).  Prompts differ but for their first N bytes.
 * --abort: leaves each after its first bytes, at once, or before any, in turns.  --pid: samples the server's memory.  Prints one JSON
 * object; returns 1 if anything went wrong. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_STREAMS = 4096, BUFFER = 1 << 16, MAX_PROMPT = 1 << 15 };

typedef struct stream {
    int fd;
    bool asked, headers, broken, ended; /* ended: its last line is there, the last chunk may not be */
    double start, last;     /* of the request; of its last token */
    int64_t tokens, serial, done;
    char in[BUFFER];
    size_t n_in;
} stream;

typedef struct times { float *x; size_t n, room; } times;

static struct { int port, streams, max_tokens, prompt_bytes, shared; long pid, requests; double seconds; bool abort, ignore_eos, hang_up; } opt = {
    .streams = 256, .seconds = 60, .max_tokens = 24, .prompt_bytes = 64, .requests = -1};
static stream *all;
static int epoll;
static times first, gap, whole;
static int64_t n_done, n_errors, n_aborted, n_tokens, n_started, n_busy;
static char complaint[300];
static double begin;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add(times *t, double x) {
    if (t->n == t->room) t->x = realloc(t->x, (t->room = t->room ? 2 * t->room : 4096) * sizeof *t->x);
    if (!t->x) exit(2);
    t->x[t->n++] = (float)x;
}
static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}
static double share(times *t, double p) {
    if (!t->n) return 0;
    qsort(t->x, t->n, sizeof *t->x, by_size);
    return (double)t->x[(size_t)(p * (double)(t->n - 1))];
}

static void complain(const stream *s, const char *what) {
    n_errors++;
    if (!*complaint) snprintf(complaint, sizeof complaint, "%s: %.200s", what, s->n_in ? s->in : "");
    for (char *p = complaint; *p; p++)
        if (*p < 32 || *p == '"' || *p == '\\') *p = ' ';
}

static void leave(stream *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static bool more(void) { return (opt.requests < 0 || n_started < opt.requests) && now() - begin < opt.seconds; }

static void ask(stream *s) {
    static char body[MAX_PROMPT + 512], text[MAX_PROMPT + 1024];
    uint64_t r = (uint64_t)(s - all) * 0x9E3779B97F4A7C15u + (uint64_t)++s->serial * 0xD6E8FEB86659FD93u;
    int n = snprintf(body, sizeof body, "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"temperature\":0.8,\"max_tokens\":%d,%s\"prompt\":\"", opt.max_tokens, opt.ignore_eos ? "\"ignore_eos\":true," : "");
    for (int i = 0; i < opt.prompt_bytes; i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        body[n++] = i < opt.shared ? (char)('a' + i % 7) : "etaoin shrdlu"[(r >> 33) % 13];
    }
    n += snprintf(body + n, sizeof body - (size_t)n, "\"}");
    int m = snprintf(text, sizeof text, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, body);
    s->start = now();
    s->asked = true;
    s->headers = s->ended = false;
    s->last = 0;
    s->tokens = 0;
    s->n_in = 0;
    n_started++;
    if (send(s->fd, text, (size_t)m, MSG_NOSIGNAL) != m) complain(s, "a request could not be sent"), leave(s);
}

static void call(stream *s) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = 1 << 16;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&a, sizeof a)) {
        complain(s, "no connection");
        return leave(s);
    }
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &e);
    ask(s);
}

/* The events in what came; true: the answer has ended. */
static bool take(stream *s) {
    double t = now();
    for (char *at = s->in, *end; (end = strstr(at, "\n\n")); at = end + 2) {
        char *data = strstr(at, "data: ");
        if (!data || data > end) continue;
        if (strncmp(data, "data: [DONE]", 12) == 0) s->ended = true;
        if (strncmp(data, "data: {\"error\"", 14) == 0) return complain(s, "an error in a stream"), s->broken = true;
        bool text = false;
        char *p = strstr(data, "\"completion_tokens\":");
        if (p && p < end) n_tokens += atoll(p + 20);
        p = strstr(data, "\"text\":\"");
        if (p && p < end) text = p[8] != '"';
        if (!text) continue;
        if (s->tokens++ == 0) add(&first, t - s->start);
        else add(&gap, t - s->last);
        s->last = t;
    }
    if (s->ended && s->n_in >= 5 && memcmp(s->in + s->n_in - 5, "0\r\n\r\n", 5) == 0) return true;
    char *last = NULL;
    for (char *p = s->in; (p = strstr(p, "\n\n")); p += 2) last = p + 2;
    if (last) {
        s->n_in -= (size_t)(last - s->in);
        memmove(s->in, last, s->n_in + 1);
    }
    return false;
}

static void next(stream *s) {
    bool again = more();
    if (s->broken || opt.hang_up || opt.abort || !again) leave(s);
    s->broken = s->asked = false;
    if (!again) return;
    if (s->fd >= 0) ask(s);
    else call(s);
}

static void give_up(stream *s) {
    n_aborted++;
    next(s);
}

static void hear(stream *s) {
    ssize_t n = read(s->fd, s->in + s->n_in, BUFFER - 1 - s->n_in);
    if (n <= 0) {
        complain(s, n ? strerror(errno) : "the server closed the connection");
        s->broken = true;
        return next(s);
    }
    s->n_in += (size_t)n;
    s->in[s->n_in] = 0;
    if (!s->headers) {
        char *end = strstr(s->in, "\r\n\r\n");
        if (!end) return;
        s->headers = true;
        if (strncmp(s->in, "HTTP/1.1 200", 12) != 0) {
            if (strncmp(s->in, "HTTP/1.1 429", 12) == 0) n_busy++;
            complain(s, "refused");
            s->broken = true;
            return next(s);
        }
        s->n_in -= (size_t)(end + 4 - s->in);
        memmove(s->in, end + 4, s->n_in + 1);
    }
    if (opt.abort) return give_up(s);
    if (s->n_in == BUFFER - 1) return complain(s, "an event is too long"), s->broken = true, next(s);
    if (!take(s)) return;
    if (s->tokens == 0) complain(s, "an answer without text");
    n_done++;
    s->done++;
    add(&whole, now() - s->start);
    next(s);
}

static long memory_kb(void) {
    char path[64], line[200];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%ld/status", opt.pid);
    FILE *f = opt.pid ? fopen(path, "r") : NULL;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1) break;
    if (f) fclose(f);
    return kb;
}

static void read_options(int argc, char **argv) {
    const struct { const char *name; int *to; } ints[] = {{"--streams", &opt.streams}, {"--max-tokens", &opt.max_tokens}, {"--prompt-bytes", &opt.prompt_bytes}, {"--shared", &opt.shared}};
    if (argc < 2) exit(2);
    opt.port = atoi(argv[1]);
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        int k = 0;
        while (k < 4 && strcmp(argv[i], ints[k].name) != 0) k++;
        if (k < 4) *ints[k].to = atoi(value), i++;
        else if (strcmp(argv[i], "--seconds") == 0) opt.seconds = atof(value), i++;
        else if (strcmp(argv[i], "--pid") == 0) opt.pid = atol(value), i++;
        else if (strcmp(argv[i], "--requests") == 0) opt.requests = atol(value), i++;
        else if (strcmp(argv[i], "--abort") == 0) opt.abort = true;
        else if (strcmp(argv[i], "--ignore-eos") == 0) opt.ignore_eos = true;
        else if (strcmp(argv[i], "--hang-up") == 0) opt.hang_up = true;
        else exit(2);
    }
    if (opt.streams < 1 || opt.streams > MAX_STREAMS || opt.prompt_bytes > MAX_PROMPT || opt.prompt_bytes < 1) exit(2);
}

int main(int argc, char **argv) {
    struct epoll_event e[64];
    long memory[4] = {0}; /* first after a tenth, last, least, most since the first */
    double sampled = 0;
    read_options(argc, argv);
    all = calloc((size_t)opt.streams, sizeof *all);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!all || epoll < 0) return 2;
    begin = now();
    for (int i = 0; i < opt.streams; i++) all[i].fd = -1;
    for (int i = 0; i < opt.streams; i++) {
        if (more()) call(&all[i]);
        if (opt.abort && i % 3 == 0 && all[i].fd >= 0) give_up(&all[i]); /* before any answer */
    }
    for (;;) {
        int n = epoll_wait(epoll, e, 64, 200), open = 0;
        double t = now();
        for (int i = 0; i < n; i++) hear(e[i].data.ptr);
        for (int i = 0; i < opt.streams; i++) open += all[i].fd >= 0;
        if (!open) break;
        if (t - begin > opt.seconds + 300) {
            for (int i = 0; i < opt.streams; i++)
                if (all[i].fd >= 0) complain(&all[i], "no end");
            break;
        }
        if (t - sampled < 1 || t - begin < opt.seconds / 10) continue;
        sampled = t;
        memory[1] = memory_kb();
        if (!memory[0]) memory[0] = memory[2] = memory[3] = memory[1];
        if (memory[1] < memory[2]) memory[2] = memory[1];
        if (memory[1] > memory[3]) memory[3] = memory[1];
    }
    double took = now() - begin;
    int64_t least = INT64_MAX, most = 0; /* answers that a stream got */
    for (int i = 0; i < opt.streams; i++) {
        if (all[i].done < least) least = all[i].done;
        if (all[i].done > most) most = all[i].done;
    }
    printf("{\"streams\": %d, \"seconds\": %.1f, \"requests\": %lld, \"done\": %lld, \"aborted\": %lld, \"errors\": %lld, \"refused_429\": %lld, \"tokens\": %lld, \"tokens_per_s\": %.1f, ",
           opt.streams, took, (long long)n_started, (long long)n_done, (long long)n_aborted, (long long)n_errors, (long long)n_busy, (long long)n_tokens, (double)n_tokens / took);
    printf("\"first_ms\": {\"p50\": %.1f, \"p99\": %.1f}, \"token_ms\": {\"p50\": %.1f, \"p99\": %.1f}, \"request_ms\": {\"p50\": %.0f, \"p99\": %.0f}, ", 1e3 * share(&first, .5),
           1e3 * share(&first, .99), 1e3 * share(&gap, .5), 1e3 * share(&gap, .99), 1e3 * share(&whole, .5), 1e3 * share(&whole, .99));
    printf("\"rss_mb\": {\"start\": %.1f, \"end\": %.1f, \"least\": %.1f, \"most\": %.1f}, \"of_a_stream\": {\"least\": %lld, \"most\": %lld}, \"first_error\": \"%s\"}\n", (double)memory[0] / 1024, (double)memory[1] / 1024,
           (double)memory[2] / 1024, (double)memory[3] / 1024, (long long)least, (long long)most, complaint);
    return n_errors || (!opt.abort && !n_done);
}
