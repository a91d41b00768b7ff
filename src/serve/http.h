/* http.h - requests come in, handlers answer them: all of HTTP that the rest of this folder sees.
 *
 * One thread (the loop, kr_http_run) owns all connections; libmicrohttpd is behind http.c alone.  A group of
 * routes is a file with a table, listed in server.c:
 *
 *     static void get_thing(kr_exchange *x) {
 *         const char *name = kr_exchange_param(x, 0);            what stood for {name}
 *         if (!known(name)) { kr_refuse(x, 404, "name", "thing_not_found", "There is no thing \"%s\".", name); return; }
 *         kr_str_appendf(&x->out, "{\"name\": \"%s\"}\n", name);  status 200 and application/json unless said otherwise
 *     }
 *     const kr_route kr_routes_things[] = {{"GET", "/v1/things/{name}", get_thing, 0}, {0}};
 *
 * A handler answers in one of three ways:
 *
 *   at once     it fills x->out (and status, type) and returns.
 *   later       it sets x->state, x->step and x->drop, and returns.  After that and after each kr_exchange_wake
 *               (from any thread) the loop calls step, until that says true: now x->out is the answer.
 *   in pieces   the same with x->stream set: what step appends to x->out is sent at once.
 *
 * Handlers run on one of a few worker threads, so they may read files and take a while; those marked
 * KR_ROUTE_QUICK run on the loop and must be done in microseconds, as must step.  Where step has slow work to do it
 * calls kr_exchange_work.  A handler touches its own exchange and what is made to be shared. */
#ifndef KR_SERVE_HTTP_H
#define KR_SERVE_HTTP_H
#include <stdatomic.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct kr_http kr_http;
typedef struct kr_exchange kr_exchange;

enum {
    KR_ROUTE_OPEN = 1,  /* no API key is asked for */
    KR_ROUTE_QUICK = 2, /* runs on the loop */
    KR_ROUTE_ALWAYS = 4,/* also while the server is ending */
};
typedef struct kr_route {
    const char *method, *path; /* a step of the path that is {word} takes any one step */
    void (*run)(kr_exchange *x);
    int flags;
} kr_route;               /* a table ends with zeros */

enum { KR_HTTP_PARAMS = 2, KR_HTTP_PARAM_BYTES = 160, KR_HTTP_HEADERS = 10, KR_HTTP_HEADER_BYTES = 256 };

typedef struct kr_ids { int32_t *tok; int64_t n; } kr_ids;

struct kr_exchange {
    /* the question; does not change */
    kr_http *http;
    void *user;           /* kr_http_options.user */
    const kr_route *route;
    char method[16], *path;
    char param[KR_HTTP_PARAMS][KR_HTTP_PARAM_BYTES]; /* what stood for {words} of the route's path */
    char id[40];          /* of this request, unguessable: also X-Request-Id */
    int64_t client;       /* whose: by API key and address */
    double at;            /* kr_now() when its first line was there */
    int64_t n_body;       /* bytes */
    kr_str body;          /* a handler that needs it no more may drop it */
    kr_ids *ids;          /* long lists of token ids in it, which its JSON has not (body.c) */
    int64_t n_ids;
    /* the answer */
    int status;           /* 200 */
    const char *type;     /* application/json */
    kr_str out;
    struct { const char *name; char value[KR_HTTP_HEADER_BYTES]; } header[KR_HTTP_HEADERS];
    int n_header;
    bool stream;
    /* if it comes later */
    bool (*step)(kr_exchange *x);     /* true: all is said.  Never called while a worker has x */
    void (*drop)(kr_exchange *x);     /* x ends, answered or not (the client may have left): frees x->state */
    void (*gone)(kr_exchange *x);     /* the client left: stop what runs for it; step is called on */
    void (*cut)(kr_exchange *x);      /* the server ends and waits no longer: come to an end, and say so; step is called on */
    void *state;
    /* counted for the log by whoever knows */
    int64_t n_prompt, n_cached, n_written;
    struct kr_exchange_inside *in;    /* http.c's */
};

/* --- for handlers ------------------------------------------------------------------------------ */

static inline const char *kr_exchange_param(const kr_exchange *x, int i) { return x->param[i]; }
/* NULL: there is none.  For a route's own function, as the connection may close while others run. */
const char *kr_exchange_header(const kr_exchange *x, const char *name);
/* Where the request was to go: what its target names, or else its header Host. */
const char *kr_exchange_host(const kr_exchange *x);
const char *kr_exchange_query(const kr_exchange *x, const char *name);
/* Has the client left, or the server no more time?  From any thread: for those who work long on a worker, where x->gone is
 * not called. */
bool kr_exchange_gone(const kr_exchange *x);
/* One more header of the answer; of more than KR_HTTP_HEADERS the last is lost. */
void kr_exchange_set(kr_exchange *x, const char *name, const char *fmt, ...) KR_PRINTF(3, 4);
/* Has step called soon; from any thread, until drop. */
void kr_exchange_wake(kr_exchange *x);
/* From step: runs this on a worker, then step again. */
void kr_exchange_work(kr_exchange *x, void (*work)(kr_exchange *x));
/* The body as JSON, an object; NULL: refused already.  The caller drops it. */
json_t *kr_exchange_json(kr_exchange *x);
/* The ids of a list that is not in the JSON; NULL: it is. */
kr_ids *kr_exchange_ids(const kr_exchange *x, const json_t *list);
void kr_exchange_drop_body(kr_exchange *x);

/* An error in OpenAI's words replaces whatever was in x->out: {"error": {"message", "type", "param", "code"}}.
 * The type follows from the status; param and code may be NULL. */
void kr_refuse(kr_exchange *x, int status, const char *param, const char *code, const char *fmt, ...) KR_PRINTF(5, 6);
/* The same for a kr_status, in kr_error()'s words: ARG and CONFIG are 400, MISSING 404, BUSY 429 with Retry-After, STOPPED 503 ... */
void kr_refuse_status(kr_exchange *x, kr_status st, const char *param);
/* KR_ERR_BUSY, with Retry-After. */
void kr_refuse_busy(kr_exchange *x, int seconds);
/* The object alone, as a stream sends it. */
void kr_error_object(kr_str *to, int status, const char *param, const char *code, const char *message);
/* n bytes as a JSON string; what is no UTF-8 becomes U+FFFD. */
void kr_str_append_json_text(kr_str *to, const char *bytes, size_t n);
/* Now, as lines of the log have it; returns `to`. */
const char *kr_log_time(char to[40]);
/* A json_t as text. */
void kr_str_append_json_value(kr_str *to, const json_t *j);

/* --- for server.c ------------------------------------------------------------------------------- */

typedef struct kr_http_options {
    void *user;
    const kr_route *const *routes;     /* tables, ended by NULL */
    const char *host, *unix_path;
    int port;                          /* 0: any */
    const char *const *keys;           /* any of these opens; none: all is open */
    int n_keys;
    const char *cors;                  /* NULL: no other origin may ask; "*": any */
    const char *tls_cert, *tls_key;    /* PEM, the texts */
    int64_t max_body, max_bodies;      /* bytes of one request; of all that are being received */
    int64_t max_header, max_connections, max_per_ip, max_unsent;
    int n_workers;
    double header_s, body_s, idle_s, send_s;
    void (*log)(void *user, const char *line);
    void (*seen)(kr_exchange *x, int status, int64_t n_sent, bool aborted); /* each request at its end, on the loop */
    void (*tick)(void *user);          /* once a second, on the loop */
} kr_http_options;

kr_status kr_http_new(kr_http **out, const kr_http_options *o);
int kr_http_port(const kr_http *h);
int64_t kr_http_connections(const kr_http *h);
bool kr_http_ending(const kr_http *h);
/* Returns after kr_http_stop: when all that ran is answered, or drain_s later. */
kr_status kr_http_run(kr_http *h, double drain_s);
void kr_http_stop(kr_http *h); /* from anywhere, a signal handler too */
void kr_http_free(kr_http *h);
#endif
