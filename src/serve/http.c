/* http.c - the one file that knows libmicrohttpd: a loop over its connections, and over those who wait.
 *
 * While an answer is not there yet its connection is suspended: libmicrohttpd does not look at it, and it overlooks
 * an end that comes right behind some bytes.  So the loop watches every socket for the end of its client.  Whatever has news for an exchange pushes it on a
 * list without locks and rings an eventfd.  Exchanges are made and freed by the loop alone.
 *
 * What libmicrohttpd 0.9 lets through is refused here: a length beside chunks, two lengths, blanks in names, requests that take
 * for ever to arrive (it only has a limit for silence), answers that nobody reads.  What it would refuse in a page of its own, since no
 * option of it gives that to us, is refused here first where it can be: a missing Host, which its strictness would find, and headers that are too
 * long, for which it has twice the room. */
#include "serve/gate.h"

#ifndef KR_WITH_SERVER
kr_status kr_http_new(kr_http **out, const kr_http_options *o) {
    (void)out, (void)o;
    KR_FAIL(KR_ERR_MISSING, "this build has no server: libmicrohttpd was not there when it was configured (Debian: libmicrohttpd-dev)");
}
int kr_http_port(const kr_http *h) { return (void)h, 0; }
int64_t kr_http_connections(const kr_http *h) { return (void)h, 0; }
bool kr_http_ending(const kr_http *h) { return (void)h, true; }
kr_status kr_http_run(kr_http *h, double drain_s) { return (void)h, (void)drain_s, KR_ERR_MISSING; }
void kr_http_stop(kr_http *h) { (void)h; }
void kr_http_free(kr_http *h) { (void)h; }
const char *kr_exchange_header(const kr_exchange *x, const char *name) { return (void)x, (void)name, NULL; }
const char *kr_exchange_host(const kr_exchange *x) { return (void)x, NULL; }
const char *kr_exchange_query(const kr_exchange *x, const char *name) { return (void)x, (void)name, NULL; }
bool kr_exchange_gone(const kr_exchange *x) { return (void)x, true; }
void kr_exchange_wake(kr_exchange *x) { (void)x; }
void kr_exchange_work(kr_exchange *x, void (*work)(kr_exchange *x)) { (void)x, (void)work; }
#else

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/timing.h"
#include "serve/mhd.h"

/* A connection, from accept to close. */
typedef struct line {
    struct line *next, *prev;
    int fd;
    kr_exchange *x;        /* the request that it is at */
    double since, allowed; /* what it waits for must be there by then; 0: nothing */
    bool cut;
} line;

typedef struct kr_exchange_inside {
    struct MHD_Connection *c;
    line *line;
    char *host;               /* that its target names */
    size_t n_before, n_target; /* of the target: before its path, in all */
    bool odd;                 /* no target that can be served */
    bool begun, refused, too_large, dispatched, suspended, ready, done, told_gone, told_late, dead, closed, aborted;
    bool busy;                /* a worker has it; only the loop says so, and unsays it */
    atomic_bool gone;         /* its client left */
    atomic_bool late;         /* the server waits no longer */
    size_t sent;              /* of out, to the client */
    int64_t all_sent, held;   /* held: bytes of the body counted in http->bodies */
    double waits_since;       /* for something to send */
    int status;
    char from[48], text[24];
    void (*work)(kr_exchange *x);
    atomic_bool woken;        /* it is in the list of news, or about to be */
    kr_exchange *next_news, *next_work, *next, *prev;
} inside;

struct kr_http {
    kr_http_options o;
    struct MHD_Daemon *daemon;
    int listener, epoll, bell, port;
    bool bound_unix, loopback;
    atomic_bool stopping;
    _Atomic(kr_exchange *) news;
    kr_exchange *all;         /* every exchange */
    line *lines;
    int64_t bodies;
    atomic_llong n_lines;
    pthread_mutex_t lock;     /* of the work below */
    pthread_cond_t some;
    kr_exchange *work, **work_end, *finished; /* finished: a worker is done with them */
    bool closing;
    pthread_t *worker;
    int n_workers;
    uint64_t salt, count;
};

/* --- what handlers ask ------------------------------------------------------------------------------ */

const char *kr_exchange_header(const kr_exchange *x, const char *name) { return MHD_lookup_connection_value(x->in->c, MHD_HEADER_KIND, name); }
const char *kr_exchange_host(const kr_exchange *x) { return x->in->host ? x->in->host : kr_exchange_header(x, "Host"); }
bool kr_exchange_gone(const kr_exchange *x) { return atomic_load(&x->in->gone) || atomic_load(&x->in->late); }
const char *kr_exchange_query(const kr_exchange *x, const char *name) { return MHD_lookup_connection_value(x->in->c, MHD_GET_ARGUMENT_KIND, name); }

static void ring(const kr_http *h) {
    uint64_t one = 1;
    ssize_t n = write(h->bell, &one, sizeof one); /* full: it rings already */
    (void)n;
}

void kr_exchange_wake(kr_exchange *x) {
    kr_http *h = x->http;
    if (atomic_exchange(&x->in->woken, true)) return;
    kr_exchange *first = atomic_load(&h->news);
    do x->in->next_news = first;
    while (!atomic_compare_exchange_weak(&h->news, &first, x));
    if (!first) ring(h);
}

/* --- workers ---------------------------------------------------------------------------------------- */

void kr_exchange_work(kr_exchange *x, void (*work)(kr_exchange *x)) {
    kr_http *h = x->http;
    x->in->work = work;
    x->in->next_work = NULL;
    x->in->busy = true;
    pthread_mutex_lock(&h->lock);
    *h->work_end = x;
    h->work_end = &x->in->next_work;
    pthread_cond_signal(&h->some);
    pthread_mutex_unlock(&h->lock);
}

static void *work(void *arg) {
    kr_http *h = arg;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->work && !h->closing) pthread_cond_wait(&h->some, &h->lock);
        kr_exchange *x = h->work;
        if (!x) break;
        if (!(h->work = x->in->next_work)) h->work_end = &h->work;
        pthread_mutex_unlock(&h->lock);
        x->in->work(x);
        pthread_mutex_lock(&h->lock);
        x->in->next_work = h->finished;
        h->finished = x; /* from here on the loop's: it may be freed at once */
        ring(h);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* --- an exchange begins ------------------------------------------------------------------------------- */

typedef struct headers { int n_length, n_chunks, n_host; bool odd; } headers;

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value) {
    headers *h = cls;
    (void)kind, (void)value;
    h->n_length += strcasecmp(name, "Content-Length") == 0;
    h->n_chunks += strcasecmp(name, "Transfer-Encoding") == 0;
    h->n_host += strcasecmp(name, "Host") == 0;
    h->odd |= !*name || strpbrk(name, " \t\r"); /* a blank before the colon: others may read past it */
    return MHD_YES;
}

/* Says in one way where it ends, and where it goes; false: refused. */
static bool is_framed(kr_exchange *x, bool needs_host) {
    const char *chunks = kr_exchange_header(x, "Transfer-Encoding");
    headers n = {0};
    MHD_get_connection_values(x->in->c, MHD_HEADER_KIND, count_header, &n);
    if (n.n_length + n.n_chunks > 1 || (chunks && strcasecmp(chunks, "chunked") != 0))
        kr_refuse(x, 400, NULL, "ambiguous_length", "The request says in more than one way how long it is.");
    else if (x->in->odd) kr_refuse(x, 400, NULL, "invalid_url", "The request's URL has a host that is none, more than a host and a port before its path, or a byte 0.");
    else if (n.odd) kr_refuse(x, 400, NULL, "invalid_header", "The name of a header has a blank in it.");
    else if (n.n_host > 1 || (needs_host && n.n_host == 0)) kr_refuse(x, 400, NULL, "invalid_header", "The request has %s header Host.", n.n_host ? "more than one" : "no");
    else return true;
    kr_exchange_set(x, "Connection", "close");
    return false;
}

/* Its first line and headers are short enough; false: refused. */
static bool is_short(kr_exchange *x) {
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(x->in->c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    long long most = (long long)x->http->o.max_header;
    if (x->in->n_target > (size_t)most) kr_refuse(x, 414, NULL, "url_too_long", "The request's URL has more than the %lld bytes that this server takes.", most);
    else if (i && i->header_size > (size_t)most) kr_refuse(x, 431, NULL, "headers_too_large", "The request's headers have more than the %lld bytes that this server takes.", most);
    else return true;
    kr_exchange_set(x, "Connection", "close");
    return false;
}

/* What its headers say already; false: refused. */
static bool admit(kr_exchange *x, const char *version) {
    kr_http *h = x->http;
    const char *length = kr_exchange_header(x, "Content-Length");
    if (!is_short(x) || !is_framed(x, strcmp(version, "HTTP/1.0") != 0)) return false;
    if (!kr_gate_open(x, &(kr_gate){&h->o, h->loopback})) return false;
    if (kr_http_ending(h) && !(x->route->flags & KR_ROUTE_ALWAYS)) {
        kr_refuse_status(x, KR_ERR_STOPPED, NULL);
        kr_exchange_set(x, "Connection", "close");
        return false;
    }
    if (length && strtoull(length, NULL, 10) > (uint64_t)h->o.max_body) x->in->too_large = true;
    if (length && !x->in->too_large && h->bodies + (int64_t)strtoull(length, NULL, 10) > h->o.max_bodies) {
        kr_refuse_status(x, KR_ERR_NOMEM, NULL);
        return false;
    }
    if (x->in->too_large) kr_refuse(x, 413, NULL, "body_too_large", "The request has more than the %lld bytes that this server takes.", (long long)h->o.max_body);
    return !x->in->too_large;
}

/* --- an exchange ------------------------------------------------------------------------------------------ */

static void address(kr_exchange *x) {
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(x->in->c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = i ? i->client_addr : NULL;
    const void *bytes = NULL;
    size_t n = 0;
    snprintf(x->in->from, sizeof x->in->from, "local");
    if (a && a->sa_family == AF_INET) bytes = &((const struct sockaddr_in *)a)->sin_addr, n = 4;
    if (a && a->sa_family == AF_INET6) bytes = &((const struct sockaddr_in6 *)a)->sin6_addr, n = 8; /* a household */
    if (!bytes || !inet_ntop(a->sa_family, bytes, x->in->from, sizeof x->in->from)) return;
    uint64_t hash = 14695981039346656037u;
    for (size_t k = 0; k < n; k++) hash = (hash ^ ((const unsigned char *)bytes)[k]) * 1099511628211u;
    x->client = (int64_t)hash;
}

/* The first line of a request is there. */
static void *open_exchange(void *cls, const char *uri, struct MHD_Connection *c) {
    kr_http *h = cls;
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    kr_exchange *x = kr_mem_new(sizeof *x);
    inside *in = kr_mem_new(sizeof *in);
    kr_target t;
    if (!x || !in || !i || !i->socket_context) return kr_mem_free(x), kr_mem_free(in), NULL;
    in->odd = !kr_gate_target(&t, uri);
    in->n_before = t.n_before, in->n_target = strlen(uri);
    if (t.n_host) {
        if (!(in->host = kr_mem_strdup(t.host))) return kr_mem_free(x), kr_mem_free(in), NULL;
        in->host[t.n_host] = 0;
    }
    *x = (kr_exchange){.http = h, .user = h->o.user, .status = 200, .type = "application/json", .at = kr_now(), .in = in};
    in->c = c;
    in->line = i->socket_context;
    in->line->since = x->at, in->line->allowed = h->o.header_s;
    uint64_t z = (h->salt + ++h->count) * 0x9E3779B97F4A7C15, y;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9, z = (z ^ (z >> 27)) * 0x94D049BB133111EB, z ^= z >> 31;
    if (getrandom(&y, sizeof y, GRND_NONBLOCK) != sizeof y) y = h->salt;
    snprintf(x->id, sizeof x->id, "%016llx%08llx", (unsigned long long)z, (unsigned long long)(y & 0xffffffff));
    if ((in->next = h->all)) h->all->in->prev = x;
    h->all = in->line->x = x;
    return x;
}

static void free_exchange(kr_exchange *x) {
    kr_mem_free(x->path);
    kr_mem_free(x->in->host);
    kr_mem_free(x->in);
    kr_mem_free(x);
}

static void write_log(kr_exchange *x, bool aborted) {
    kr_http *h = x->http;
    kr_str s = {0};
    char when[40];
    kr_str_appendf(&s, "{\"time\":\"%s\",\"id\":\"%s\",\"from\":\"%s\",\"method\":", kr_log_time(when), x->id, x->in->from);
    kr_str_append_json_text(&s, x->method, strlen(x->method));
    kr_str_append(&s, ",\"path\":");
    kr_str_append_json_text(&s, x->path ? x->path : "", x->path ? strlen(x->path) : 0);
    kr_str_appendf(&s, ",\"status\":%d,\"seconds\":%.4f,\"in_bytes\":%lld,\"out_bytes\":%lld", x->in->status, kr_now() - x->at, (long long)x->n_body,
                   (long long)x->in->all_sent);
    if (x->n_prompt) kr_str_appendf(&s, ",\"prompt_tokens\":%lld,\"cached_tokens\":%lld,\"completion_tokens\":%lld", (long long)x->n_prompt, (long long)x->n_cached, (long long)x->n_written);
    kr_str_appendf(&s, "%s}\n", aborted ? ",\"aborted\":true" : "");
    if (kr_str_status(&s) == KR_OK) h->o.log(h->o.user, kr_str_text(&s));
    kr_str_free(&s);
}

/* Neither a connection nor a worker has it any more. */
static void end_exchange(kr_exchange *x) {
    kr_http *h = x->http;
    inside *in = x->in;
    if (x->drop) x->drop(x);
    if (in->begun && h->o.seen) h->o.seen(x, in->status, in->all_sent, in->aborted);
    if (in->begun && h->o.log) write_log(x, in->aborted);
    h->bodies -= in->held;
    kr_exchange_drop_body(x);
    kr_str_free(&x->out);
    if (in->next) in->next->in->prev = in->prev;
    if (in->prev) in->prev->in->next = in->next;
    else h->all = in->next;
    if (atomic_load(&in->woken)) in->dead = true; /* in the list of news: freed when it comes up */
    else free_exchange(x);
}

static void close_exchange(void *cls, struct MHD_Connection *c, void **con_cls, enum MHD_RequestTerminationCode why) {
    kr_exchange *x = *con_cls;
    inside *in = x ? x->in : NULL;
    (void)cls, (void)c;
    if (!x) return;
    *con_cls = NULL;
    in->aborted = why != MHD_REQUEST_TERMINATED_COMPLETED_OK || (in->gone && !in->done);
    in->line->x = NULL;
    in->line->since = kr_now(), in->line->allowed = x->http->o.idle_s;
    in->line = NULL;
    in->closed = true;
    in->suspended = false;
    if (in->busy) in->gone = true; /* a worker still uses it: see take_finished */
    else end_exchange(x);
}

static ssize_t give(void *cls, uint64_t pos, char *buf, size_t max) {
    kr_exchange *x = cls;
    inside *in = x->in;
    size_t n = x->out.n - in->sent;
    (void)pos;
    if (in->gone || x->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) {
        if (in->done) return MHD_CONTENT_READER_END_OF_STREAM;
        in->line->allowed = 0;
        in->suspended = true;
        in->waits_since = kr_now();
        MHD_suspend_connection(in->c);
        return 0;
    }
    in->line->since = kr_now(), in->line->allowed = x->http->o.send_s;
    if (n > max) n = max;
    memcpy(buf, x->out.text + in->sent, n);
    in->sent += n;
    in->all_sent += (int64_t)n;
    if (in->sent == x->out.n) kr_str_cut(&x->out, 0), in->sent = 0;
    return (ssize_t)n;
}

static enum MHD_Result answer(kr_exchange *x) {
    inside *in = x->in;
    struct MHD_Response *r;
    if (!x->stream && x->out.failed) {
        kr_str_free(&x->out);
        kr_refuse_status(x, KR_ERR_NOMEM, NULL);
    }
    if (x->stream) r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, give, x, NULL);
    else r = MHD_create_response_from_buffer(x->out.n, (void *)(uintptr_t)kr_str_text(&x->out), MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    in->status = x->status;
    if (!x->stream) in->all_sent = (int64_t)x->out.n;
    if (x->status != 204) MHD_add_response_header(r, "Content-Type", x->type);
    MHD_add_response_header(r, "X-Request-Id", x->id);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (x->stream) MHD_add_response_header(r, "Cache-Control", "no-cache"), MHD_add_response_header(r, "X-Accel-Buffering", "no");
    for (int i = 0; i < x->n_header; i++) MHD_add_response_header(r, x->header[i].name, x->header[i].value);
    enum MHD_Result ok = MHD_queue_response(in->c, (unsigned)x->status, r);
    MHD_destroy_response(r);
    in->line->since = kr_now(), in->line->allowed = (x->stream ? 1 : 20) * x->http->o.send_s; /* a piece, or all of it, is to be taken by then */
    return ok;
}

static void resume(inside *in) {
    in->suspended = false;
    MHD_resume_connection(in->c);
}

/* The loop's look at an exchange that had news. */
static void look_at(kr_exchange *x) {
    inside *in = x->in;
    if (in->closed || !in->dispatched) return;
    if (in->busy) { /* a worker keeps what was made: the connection of a client that left need not wait for it */
        if (in->gone && in->suspended) resume(in);
        return;
    }
    if (!x->body.text) x->http->bodies -= in->held, in->held = 0;
    if (in->gone && !in->told_gone) {
        in->told_gone = true;
        if (x->gone) x->gone(x);
    }
    if (in->late && !in->told_late) {
        in->told_late = true;
        if (x->cut) x->cut(x);
    }
    if (!in->done) {
        if (!x->step || x->step(x)) in->done = true;
        else if (in->busy) return;
    }
    if (x->stream && (int64_t)(x->out.n - in->sent) > x->http->o.max_unsent && !in->gone) { /* it does not read */
        in->gone = in->told_gone = true;
        if (x->gone) x->gone(x);
    }
    in->ready = in->done || x->stream;
    if (in->suspended && (in->done || in->gone || (x->stream && (!in->status || x->out.n > in->sent)))) resume(in);
}

static enum MHD_Result receive(kr_exchange *x, const char *data, size_t *n) {
    inside *in = x->in;
    int64_t most = x->http->o.max_body;
    if (in->refused) {
        if ((in->held += (int64_t)*n, x->http->bodies += (int64_t)*n, in->held) > most) return MHD_NO;
    } else if ((int64_t)(x->body.n + *n) > most) {
        kr_str_free(&x->body);
        kr_refuse(x, 413, NULL, "body_too_large", "The request has more than the %lld bytes that this server takes.", (long long)most);
        in->refused = true;
    } else if (x->http->bodies + (int64_t)*n > x->http->o.max_bodies) {
        kr_str_free(&x->body);
        kr_refuse_status(x, KR_ERR_NOMEM, NULL);
        in->refused = true;
    } else {
        kr_str_append_n(&x->body, data, *n);
        x->n_body += (int64_t)*n;
        in->held += (int64_t)*n;
        x->http->bodies += (int64_t)*n;
        if (x->body.failed) return MHD_NO;
    }
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *data,
                              size_t *n, void **con_cls) {
    kr_exchange *x = *con_cls;
    inside *in = x ? x->in : NULL;
    (void)cls, (void)c;
    if (!x) return MHD_NO;
    if (!in->begun) {
        in->begun = true;
        in->line->since = kr_now(), in->line->allowed = x->http->o.body_s;
        snprintf(x->method, sizeof x->method, "%s", method);
        const char *path = strlen(url) > in->n_before ? url + in->n_before : "/"; /* nothing before it was escaped, or it is refused */
        if (!(x->path = kr_mem_strdup(path))) return MHD_NO;
        address(x);
        in->refused = !admit(x, version);
        bool body = kr_exchange_header(x, "Transfer-Encoding") || (kr_exchange_header(x, "Content-Length") && strcmp(kr_exchange_header(x, "Content-Length"), "0") != 0);
        return in->refused && body ? answer(x) : MHD_YES; /* an answer here closes the connection: no body is waited for */
    }
    if (*n) return receive(x, data, n);
    if (in->gone) return MHD_NO;
    if (in->refused) return answer(x);
    if (!in->dispatched) {
        in->dispatched = true;
        in->line->allowed = 0;
        if (x->route->flags & KR_ROUTE_QUICK) {
            x->route->run(x);
            look_at(x);
        } else {
            kr_exchange_work(x, x->route->run);
        }
    }
    if (in->ready && !in->busy) return answer(x);
    in->suspended = true;
    in->waits_since = kr_now();
    MHD_suspend_connection(in->c);
    return MHD_YES;
}

/* --- the loop --------------------------------------------------------------------------------------------- */

/* What workers are done with; `last`: nothing is begun any more. */
static void take_finished(kr_http *h, bool last) {
    pthread_mutex_lock(&h->lock);
    kr_exchange *x = h->finished, *next;
    h->finished = NULL;
    pthread_mutex_unlock(&h->lock);
    for (; x; x = next) {
        next = x->in->next_work;
        x->in->busy = false;
        if (x->in->closed) end_exchange(x);
        else if (!last) look_at(x);
    }
}

static void take_news(kr_http *h) {
    for (kr_exchange *x = atomic_exchange(&h->news, NULL), *next; x; x = next) {
        next = x->in->next_news;
        atomic_store(&x->in->woken, false);
        if (x->in->dead) free_exchange(x);
        else look_at(x);
    }
}

/* The client's end of the connection is closed. */
static void left(line *l) {
    if (!l->x || !l->x->in->dispatched) {
        shutdown(l->fd, SHUT_RDWR);
    } else {
        l->x->in->gone = true;
        kr_exchange_wake(l->x);
    }
}

/* Once a second: requests that take too long to arrive, streams that wait long for a token. */
static void tick(kr_http *h) {
    double now = kr_now();
    for (line *l = h->lines; l; l = l->next)
        if (!l->cut && l->allowed > 0 && now - l->since > l->allowed) {
            l->cut = true;
            shutdown(l->fd, SHUT_RDWR);
        }
    for (kr_exchange *x = h->all; x; x = x->in->next)
        if (x->in->status && x->stream && x->in->suspended && !x->in->done && now - x->in->waits_since > 15 && strcmp(x->type, "text/event-stream") == 0 && !x->in->busy) {
            kr_str_append(&x->out, ": still at it\n\n"); /* a comment, so that nobody between takes silence for the end */
            kr_exchange_wake(x);
        }
    if (h->o.tick) h->o.tick(h->o.user);
}

static bool idle(const kr_http *h) {
    for (const kr_exchange *x = h->all; x; x = x->in->next)
        if (x->in->begun) return false;
    return true;
}

static int wait_ms(kr_http *h, double next_tick) {
    MHD_UNSIGNED_LONG_LONG ms;
    double left_s = next_tick - kr_now();
    int mine = left_s > 0 ? (int)(left_s * 1e3) + 1 : 0;
    return MHD_get_timeout(h->daemon, &ms) == MHD_YES && (int64_t)ms < mine ? (int)ms : mine;
}

static void turn(kr_http *h, double next_tick) {
    struct epoll_event e[64];
    int n = epoll_wait(h->epoll, e, 64, wait_ms(h, next_tick));
    uint64_t rung;
    for (int i = 0; i < n; i++) {
        if (e[i].data.ptr == h) {
            ssize_t got = read(h->bell, &rung, sizeof rung);
            (void)got;
        } else if (e[i].data.ptr) left(e[i].data.ptr);
    }
    take_finished(h, false);
    take_news(h);
    MHD_run(h->daemon);
}

enum { LAST_WORDS_S = 10 }; /* for what is cut to be kept and its client to be told */

kr_status kr_http_run(kr_http *h, double drain_s) {
    double next = kr_now() + 1, until = 0;
    for (;;) {
        turn(h, next);
        double now = kr_now();
        if (now >= next) tick(h), next = now + 1;
        if (!kr_http_ending(h)) continue;
        if (!until) until = now + drain_s, next = now;
        if (idle(h)) return KR_OK;
        if (now > until) break;
        if (next > now + 0.05) next = now + 0.05;
    }
    for (kr_exchange *x = h->all; x; x = x->in->next) { /* each is to come to its end */
        x->in->late = true;
        if (x->in->line && !x->in->dispatched) shutdown(x->in->line->fd, SHUT_RDWR);
        kr_exchange_wake(x);
    }
    for (double end = kr_now() + LAST_WORDS_S; !idle(h) && kr_now() < end;) turn(h, kr_now() + 0.05);
    for (kr_exchange *x = h->all; x; x = x->in->next) { /* and who has not is cut off */
        x->in->gone = true;
        kr_exchange_wake(x);
    }
    for (double end = kr_now() + 2; h->all && kr_now() < end;) turn(h, kr_now() + 0.05);
    return KR_OK;
}

void kr_http_stop(kr_http *h) {
    atomic_store(&h->stopping, true);
    ring(h);
}

bool kr_http_ending(const kr_http *h) { return atomic_load(&((kr_http *)(uintptr_t)h)->stopping); }
int kr_http_port(const kr_http *h) { return h->port; }
int64_t kr_http_connections(const kr_http *h) { return atomic_load(&((kr_http *)(uintptr_t)h)->n_lines); }

/* --- opening and closing -------------------------------------------------------------------------------------- */

enum { SPARE = 16 }; /* connections beyond the most, for those that are being closed */

/* Of more connections than may be the one goes that has been silent for longest, or if each is at a request, the new one. */
static void make_room(kr_http *h) {
    line *silent = NULL;
    int64_t n = 0;
    for (line *l = h->lines; l; l = l->next) {
        n += !l->cut;
        if (!l->cut && (!l->x || !l->x->in->begun) && (!silent || l->since < silent->since)) silent = l;
    }
    if (!silent || n <= h->o.max_connections) return;
    silent->cut = true;
    shutdown(silent->fd, SHUT_RDWR);
}

static void connection(void *cls, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode what) {
    kr_http *h = cls;
    line *l = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        if (!(l = kr_mem_new(sizeof *l))) return;
        *l = (line){.fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd, .since = kr_now(), .allowed = h->o.idle_s};
        int on = 1;
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if ((l->next = h->lines)) h->lines->prev = l;
        h->lines = l;
        struct epoll_event e = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = l};
        epoll_ctl(h->epoll, EPOLL_CTL_ADD, l->fd, &e);
        if (atomic_fetch_add(&h->n_lines, 1) >= h->o.max_connections) make_room(h);
        *context = l;
    } else if (l) {
        if (l->next) l->next->prev = l->prev;
        if (l->prev) l->prev->next = l->next;
        else h->lines = l->next;
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, l->fd, NULL);
        atomic_fetch_sub(&h->n_lines, 1);
        kr_mem_free(l);
        *context = NULL;
    }
}

static kr_status listen_unix(kr_http *h) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    const char *path = h->o.unix_path;
    if (strlen(path) >= sizeof a.sun_path) KR_FAIL(KR_ERR_ARG, "%s: the name of a socket has at most %zu bytes", path, sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    if ((h->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0) KR_FAIL(KR_ERR_IO, "no socket: %s", strerror(errno));
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) { /* left by one that is gone? */
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool alive = probe >= 0 && connect(probe, (struct sockaddr *)&a, sizeof a) == 0;
        if (probe >= 0) close(probe);
        if (alive) KR_FAIL(KR_ERR_IO, "%s: another server listens there", path);
        unlink(path);
    }
    mode_t old = umask(0177); /* its owner alone */
    int bad = bind(h->listener, (struct sockaddr *)&a, sizeof a);
    umask(old);
    if (bad || listen(h->listener, SOMAXCONN)) KR_FAIL(KR_ERR_IO, "%s: cannot listen: %s", path, strerror(errno));
    h->bound_unix = h->loopback = true;
    return KR_OK;
}

static kr_status listen_tcp(kr_http *h) {
    struct addrinfo *all = NULL, want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char port[16];
    int on = 1, why = 0;
    snprintf(port, sizeof port, "%d", h->o.port);
    int bad = getaddrinfo(h->o.host, port, &want, &all);
    if (bad) KR_FAIL(KR_ERR_ARG, "%s: no such address to listen on: %s", h->o.host, gai_strerror(bad));
    for (struct addrinfo *a = all; a && h->listener < 0; a = a->ai_next) {
        h->listener = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (h->listener < 0) continue;
        setsockopt(h->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(h->listener, a->ai_addr, a->ai_addrlen) == 0 && listen(h->listener, SOMAXCONN) == 0) break;
        why = errno;
        close(h->listener);
        h->listener = -1;
    }
    freeaddrinfo(all);
    if (h->listener < 0) KR_FAIL(KR_ERR_IO, "%s port %d: cannot listen: %s", h->o.host, h->o.port, strerror(why));
    if (getsockname(h->listener, (struct sockaddr *)&at, &n) == 0) {
        const struct sockaddr_in *v4 = (const void *)&at;
        const struct sockaddr_in6 *v6 = (const void *)&at;
        h->port = ntohs(at.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
        h->loopback = at.ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) : (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    return KR_OK;
}

static void be_silent(void *cls, const char *fmt, va_list ap) { (void)cls, (void)fmt, (void)ap; }

static kr_status start_daemon(kr_http *h) {
    const kr_http_options *o = &h->o;
    struct MHD_OptionItem some[20];
    int n = 0;
#define PUT(option, number, pointer) some[n++] = (struct MHD_OptionItem){option, (intptr_t)(number), (void *)(uintptr_t)(pointer)}
    PUT(MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)be_silent, NULL);
    PUT(MHD_OPTION_LISTEN_SOCKET, h->listener, NULL);
    PUT(MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * o->max_header, NULL); /* see is_short */
    PUT(MHD_OPTION_CONNECTION_LIMIT, o->max_connections + SPARE, NULL);
    PUT(MHD_OPTION_CONNECTION_TIMEOUT, o->idle_s + 2, NULL); /* ours are nearer, see tick */
    if (o->max_per_ip) PUT(MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->max_per_ip, NULL);
    PUT(MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)close_exchange, h);
    PUT(MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connection, h);
    PUT(MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)open_exchange, h);
    if (o->tls_cert) PUT(MHD_OPTION_HTTPS_MEM_CERT, 0, o->tls_cert), PUT(MHD_OPTION_HTTPS_MEM_KEY, 0, o->tls_key);
    PUT(MHD_OPTION_END, 0, NULL);
#undef PUT
    unsigned flags = MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (o->tls_cert ? MHD_USE_TLS : 0);
    if (o->tls_cert && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) KR_FAIL(KR_ERR_MISSING, "this libmicrohttpd was built without TLS");
    h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, h, MHD_OPTION_ARRAY, some, MHD_OPTION_END);
    if (!h->daemon) KR_FAIL(KR_ERR_IO, "libmicrohttpd does not start%s", o->tls_cert ? ": are the certificate and its key PEM, and of each other?" : "");
    return KR_OK;
}

static kr_status open_http(kr_http *h) {
    if (getrandom(&h->salt, sizeof h->salt, 0) != sizeof h->salt) KR_FAIL(KR_ERR_IO, "no random numbers: %s", strerror(errno));
    if ((h->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 || (h->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        KR_FAIL(KR_ERR_IO, "no descriptors for a server: %s", strerror(errno));
    KR_TRY(h->o.unix_path ? listen_unix(h) : listen_tcp(h));
    KR_TRY(open_mhd());
    KR_TRY(start_daemon(h));
    struct epoll_event bell = {.events = EPOLLIN, .data.ptr = h}, mhd = {.events = EPOLLIN};
    int fd = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->bell, &bell) || epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &mhd))
        KR_FAIL(KR_ERR_IO, "epoll: %s", strerror(errno));
    if (!(h->worker = kr_mem_array((size_t)h->o.n_workers, sizeof *h->worker))) return KR_ERR_NOMEM;
    for (; h->n_workers < h->o.n_workers; h->n_workers++) {
        int why = pthread_create(&h->worker[h->n_workers], NULL, work, h);
        if (why) KR_FAIL(KR_ERR_NOMEM, "no thread for the server: %s", strerror(why));
    }
    return KR_OK;
}

kr_status kr_http_new(kr_http **out, const kr_http_options *o) {
    kr_http *h = kr_mem_new(sizeof *h);
    if (!h) return KR_ERR_NOMEM;
    h->o = *o;
    h->listener = h->epoll = h->bell = -1;
    h->work_end = &h->work;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->some, NULL);
    kr_status st = open_http(h);
    if (st != KR_OK) kr_http_free(h);
    else *out = h;
    return st;
}

void kr_http_free(kr_http *h) {
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->closing = true;
    pthread_cond_broadcast(&h->some);
    pthread_mutex_unlock(&h->lock);
    for (int i = 0; i < h->n_workers; i++) pthread_join(h->worker[i], NULL);
    take_finished(h, true);
    for (kr_exchange *x = h->all; x; x = x->in->next) { /* a suspended connection is not closed */
        x->in->gone = true;
        if (x->in->suspended) resume(x->in);
    }
    if (h->daemon) MHD_stop_daemon(h->daemon); /* closes the listener too */
    else if (h->listener >= 0) close(h->listener);
    take_news(h);
    if (h->bound_unix) unlink(h->o.unix_path);
    if (h->epoll >= 0) close(h->epoll);
    if (h->bell >= 0) close(h->bell);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->some);
    kr_mem_free(h->worker);
    kr_mem_free(h);
}
#endif
